//! The fold on an internal grid, and the grid that is fine enough.

use super::super::detector::Detector;
use super::super::eye::{CONVERGED, Eye, Fineness, MOST_BINS, WIDEST_BIN_EV, largest_change};
use super::super::fold::{Grid, RecoilSpectrum, StorageKernel};
use super::recoils::{Recoils, Source};
use crate::Error;
use crate::response::StoredEnergy;
use rayon::prelude::*;

/// The fold on one internal grid.
pub(super) struct OnGrid<'a> {
    recoils: &'a Recoils,
    edges: &'a [f64],
    detector: &'a Detector,
    pub(super) grid: Grid,
    fineness: Fineness,
}

impl<'a> OnGrid<'a> {
    /// The first grid that changes nothing when its bins are halved, and the largest relative change that halving still makes.
    pub(super) fn converged(
        recoils: &'a Recoils,
        edges: &'a [f64],
        detector: &'a Detector,
        stored: &[StoredEnergy],
        scale: f64,
    ) -> Result<(Self, f64), Error> {
        let mut widths: Vec<f64> = edges.windows(2).map(|e| e[1] - e[0]).collect();
        widths.sort_by(f64::total_cmp);
        // A start. The resolution of flat bins is exact, however sharp.
        let wanted = WIDEST_BIN_EV.min(0.5 * widths[widths.len() / 2]);
        // A whole number of bins up to the end, so that none reaches beyond.
        let mut n_bins = (recoils.end_ev / wanted).ceil().clamp(1.0, MOST_BINS);
        let mut fineness = Fineness::COARSE;
        let mut coarse = Self::new(recoils, edges, detector, n_bins, fineness);
        let mut seen = coarse.seen(stored, scale);
        loop {
            (n_bins, fineness) = (2.0 * n_bins, fineness.halved());
            let fine = Self::new(recoils, edges, detector, n_bins, fineness);
            let seen_finer = fine.seen(stored, scale);
            let (bin, change) = largest_change(&seen, &seen_finer);
            if change <= CONVERGED {
                return Ok((coarse, change));
            }
            if n_bins > MOST_BINS {
                return Err(coarse.not_converged([edges[bin], edges[bin + 1]], change));
            }
            (coarse, seen) = (fine, seen_finer);
        }
    }

    fn not_converged(&self, [low_ev, high_ev]: [f64; 2], change: f64) -> Error {
        let problem = format!(
            "the fold has not converged: halving internal bins of {:.3} eV still changes the bin from {low_ev} to {high_ev} eV by \
             {:.2} %, more than {} %",
            self.grid.width_ev,
            100.0 * change,
            100.0 * CONVERGED
        );
        let remedy = "Give wider output bins (edges), a resolution, or a spectrum that ends at a lower energy";
        Error::computation(problem, remedy)
    }

    fn new(recoils: &'a Recoils, edges: &'a [f64], detector: &'a Detector, n_bins: f64, fineness: Fineness) -> Self {
        let grid = Grid { width_ev: recoils.end_ev / n_bins, n_bins: n_bins as usize };
        Self { recoils, edges, detector, grid, fineness }
    }

    pub(super) fn kernels<'b>(&self, stored: &[StoredEnergy<'b>]) -> Vec<StorageKernel<'b>> {
        stored.iter().map(|stored| StorageKernel::new(*stored, self.grid)).collect()
    }

    pub(super) fn eye(&self, scale: f64) -> Eye {
        Eye::new(self.grid, &self.recoils.lines_ev, scale, self.edges, self.detector, self.fineness)
    }

    fn seen(&self, stored: &[StoredEnergy], scale: f64) -> Vec<f64> {
        self.eye(scale).see(&self.deposited(&self.kernels(stored)))
    }

    /// All recoils, with the stored energy taken off by the kernels of the responses, if these are given.
    pub(super) fn deposited(&self, kernels: &[StorageKernel]) -> RecoilSpectrum {
        let mut sum = RecoilSpectrum::empty(self.grid);
        for part in &self.recoils.parts {
            let mut recoils = RecoilSpectrum::empty(self.grid);
            part.sources.iter().for_each(|source| source.add_to(&mut recoils, source.content));
            let kernel = part.response.and_then(|index| kernels.get(index));
            let part = kernel.map_or_else(|| recoils.clone(), |k| k.apply(&recoils));
            sum.bins.iter_mut().zip(part.bins).for_each(|(s, b)| *s += b);
            sum.lines.extend(part.lines);
        }
        sum
    }

    pub(super) fn conservation_error(&self, kernels: &[StorageKernel], eye: &Eye) -> f64 {
        let total = self.recoils.total();
        let collected = eye.collected(&self.deposited(kernels));
        if total > 0.0 { (collected / total - 1.0).abs() } else { 0.0 }
    }

    /// Errors of bins, and events, are independent; the fold is linear.
    pub(super) fn errors(&self, kernels: &[StorageKernel], eye: &Eye) -> Option<Vec<f64>> {
        let empty = RecoilSpectrum::empty(self.grid);
        let mut wrong: Vec<(Option<&StorageKernel>, Source, f64, usize)> = Vec::new();
        let mut n_lines = 0;
        for part in &self.recoils.parts {
            let kernel = part.response.map(|index| &kernels[index]);
            for source in &part.sources {
                wrong.extend(source.error.map(|error| (kernel, *source, error, n_lines)));
                n_lines += usize::from(source.is_line());
            }
        }
        if wrong.is_empty() {
            return None;
        }
        let variance = |(kernel, source, error, line): &(Option<&StorageKernel>, Source, f64, usize)| -> Vec<f64> {
            let mut recoils = empty.clone();
            source.add_to(&mut recoils, *error);
            let mut deposited = kernel.map_or_else(|| recoils.clone(), |kernel| kernel.apply(&recoils));
            // The eye knows lines by their place in the list.
            let lines = std::mem::take(&mut deposited.lines);
            let mut seen = eye.see(&deposited);
            for alone in lines {
                seen.iter_mut().zip(eye.see_line(*line, alone.content)).for_each(|(s, l)| *s += l);
            }
            seen.iter().map(|e| e * e).collect()
        };
        let add = |mut a: Vec<f64>, b: Vec<f64>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        };
        // Chunks are summed in their order, so that rounding does not depend on the number of threads.
        let zero = || vec![0.0; self.edges.len() - 1];
        let sums: Vec<Vec<f64>> = wrong.par_chunks(256).map(|c| c.iter().map(variance).fold(zero(), add)).collect();
        Some(sums.into_iter().fold(zero(), add).iter().map(|v| v.sqrt()).collect())
    }
}

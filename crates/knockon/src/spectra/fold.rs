//! From recoil energies to visible energies: the stored energy is taken off, then the resolution applied.
//!
//! Everything is deterministic bookkeeping of counts: a spectrum is counts in narrow bins plus mono-energetic lines,
//! and each step moves counts between bins by differences of distribution functions, which telescope. Counts are
//! conserved to rounding, whatever the bin width; the width only limits how well a bin's content is located.

use crate::math::{gauss_legendre, integrate, normal_cdf, normal_density};
use crate::response::StoredEnergy;
use serde::Serialize;

/// Bins of equal width from 0 up.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Grid {
    /// Bin width in eV.
    pub width_ev: f64,
    /// Number of bins.
    pub n_bins: usize,
}

impl Grid {
    /// Lower and upper edge of a bin, in eV.
    pub fn edges(self, bin: usize) -> (f64, f64) {
        (bin as f64 * self.width_ev, (bin + 1) as f64 * self.width_ev)
    }

    /// The grid with all energies times `factor`.
    pub fn scaled(self, factor: f64) -> Self {
        Self { width_ev: factor * self.width_ev, ..self }
    }

    /// Upper end in eV.
    pub fn end_ev(self) -> f64 {
        self.n_bins as f64 * self.width_ev
    }
}

/// A mono-energetic part of a spectrum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Energy in eV.
    pub energy_ev: f64,
    /// Counts.
    pub content: f64,
}

/// Counts (in any normalisation) by energy: bins, taken as flat inside, plus lines.
#[derive(Clone, Debug)]
pub struct RecoilSpectrum {
    /// The bins.
    pub grid: Grid,
    /// Counts per bin.
    pub bins: Vec<f64>,
    /// Mono-energetic parts.
    pub lines: Vec<Line>,
}

impl RecoilSpectrum {
    /// No counts.
    pub fn empty(grid: Grid) -> Self {
        Self { grid, bins: vec![0.0; grid.n_bins], lines: Vec::new() }
    }

    /// The sum of spectra on one grid.
    pub fn sum(grid: Grid, spectra: impl IntoIterator<Item = Self>) -> Self {
        spectra.into_iter().fold(Self::empty(grid), |sum, spectrum| sum.combine(1.0, &spectrum, 1.0))
    }

    /// Integrates a rate per eV over every bin (3-point Gauss-Legendre).
    pub fn from_density(grid: Grid, mut rate_per_ev: impl FnMut(f64) -> f64) -> Self {
        let rule = gauss_legendre(3);
        let bins =
            (0..grid.n_bins).map(|i| integrate(&rule, grid.edges(i).0, grid.edges(i).1, &mut rate_per_ev)).collect();
        Self { grid, bins, lines: Vec::new() }
    }

    /// All counts.
    pub fn total(&self) -> f64 {
        self.bins.iter().sum::<f64>() + self.lines.iter().map(|l| l.content).sum::<f64>()
    }

    /// All counts times `factor`.
    pub fn times(mut self, factor: f64) -> Self {
        self.bins.iter_mut().for_each(|bin| *bin *= factor);
        self.lines.iter_mut().for_each(|line| line.content *= factor);
        self
    }

    /// All energies times `factor`.
    pub fn scaled(&self, factor: f64) -> Self {
        let lines = self.lines.iter().map(|l| Line { energy_ev: factor * l.energy_ev, ..*l }).collect();
        Self { grid: self.grid.scaled(factor), bins: self.bins.clone(), lines }
    }

    /// What recoils of one energy deposit: bins for those that leave defects, a line for those that do not.
    pub fn deposited_by(stored: StoredEnergy, grid: Grid, line: Line) -> Self {
        let mut bins = vec![0.0; grid.n_bins];
        let damaged = stored.defect_probability(line.energy_ev);
        spread(stored, grid, line.energy_ev, line.content * damaged, |target, p| bins[target] += p);
        Self { grid, bins, lines: vec![Line { content: line.content * (1.0 - damaged), ..line }] }
    }

    /// The sum of two spectra on the same grid, `self` scaled by `a` and `other` by `b`.
    pub fn combine(&self, a: f64, other: &Self, b: f64) -> Self {
        let scaled = |lines: &[Line], s: f64| -> Vec<Line> {
            lines.iter().map(|l| Line { content: s * l.content, ..*l }).collect()
        };
        Self {
            grid: self.grid,
            bins: self.bins.iter().zip(&other.bins).map(|(x, y)| a * x + b * y).collect(),
            lines: [scaled(&self.lines, a), scaled(&other.lines, b)].concat(),
        }
    }
}

/// What one set of response parameters does to every bin of a grid: computed once, applied to any spectrum.
pub struct StorageKernel<'a> {
    stored: StoredEnergy<'a>,
    grid: Grid,
    /// For each source bin: probability of ending `lag` bins lower, lag = 0, 1, ...
    rows: Vec<Vec<f64>>,
}

impl<'a> StorageKernel<'a> {
    /// Builds the kernel for a response with one set of numbers.
    pub fn new(stored: StoredEnergy<'a>, grid: Grid) -> Self {
        let rule = gauss_legendre(2);
        let rows = (0..grid.n_bins)
            .map(|bin| {
                let (low, high) = grid.edges(bin);
                // As long as the largest stored energy, not as the grid: grids of 20000 bins would take gigabytes.
                let mut row = vec![0.0];
                for &(x, w) in &rule {
                    let energy = 0.5 * (low + high) + 0.5 * (high - low) * x;
                    let intact = 1.0 - stored.defect_probability(energy);
                    row[0] += 0.5 * w * intact;
                    spread(stored, grid, energy, 0.5 * w * (1.0 - intact), |target, p| {
                        let lag = bin - target;
                        if lag >= row.len() {
                            row.resize(lag + 1, 0.0);
                        }
                        row[lag] += p;
                    });
                }
                let used = row.iter().rposition(|p| *p > 0.0).map_or(0, |last| last + 1);
                row.truncate(used);
                row.shrink_to_fit();
                row
            })
            .collect();
        Self { stored, grid, rows }
    }

    /// The spectrum of recoil energy minus stored energy. A line keeps its undamaged part as a line.
    pub fn apply(&self, spectrum: &RecoilSpectrum) -> RecoilSpectrum {
        let mut bins = vec![0.0; self.grid.n_bins];
        for (bin, (content, row)) in spectrum.bins.iter().zip(&self.rows).enumerate() {
            if *content != 0.0 {
                for (lag, p) in row.iter().enumerate() {
                    bins[bin - lag] += content * p;
                }
            }
        }
        let mut lines = Vec::with_capacity(spectrum.lines.len());
        for line in &spectrum.lines {
            let damaged = self.stored.defect_probability(line.energy_ev);
            lines.push(Line { content: line.content * (1.0 - damaged), ..*line });
            let weight = line.content * damaged;
            spread(self.stored, self.grid, line.energy_ev, weight, |target, p| bins[target] += p);
        }
        RecoilSpectrum { grid: self.grid, bins, lines }
    }
}

/// A distribution function this close to 1 is 1: what is left goes into the bin at hand.
const ALL: f64 = 1.0 - 1e-13;

/// Distributes `weight` over the bins of visible energy `energy` - E_stored: the stored energy between the distances
/// of `energy` from a bin's edges goes there. The last bin reached takes what is left, so that the parts add up; what stays above the
/// grid is left out.
fn spread(stored: StoredEnergy, grid: Grid, energy: f64, weight: f64, mut add: impl FnMut(usize, f64)) {
    let cdf = stored.nonzero_cdf(energy);
    let first = ((energy / grid.width_ev) as usize).min(grid.n_bins - 1);
    let above_grid = energy - grid.edges(first).1;
    let mut below = if above_grid > 0.0 { cdf(above_grid) } else { 0.0 };
    for bin in (0..=first).rev() {
        let reached = cdf(energy - grid.edges(bin).0);
        let up_to = if bin == 0 || reached > ALL { 1.0 } else { reached };
        add(bin, weight * (up_to - below));
        below = up_to;
        if below >= 1.0 {
            break;
        }
    }
}

/// Counts in the intervals between `edges_ev`, after a Gaussian resolution of standard deviation `sigma_ev` (0: none).
/// The first and last intervals do not collect what lies outside.
pub fn observe(spectrum: &RecoilSpectrum, sigma_ev: f64, edges_ev: &[f64]) -> Vec<f64> {
    let mut counts = vec![0.0; edges_ev.len().saturating_sub(1)];
    let sources =
        spectrum.bins.iter().enumerate().filter(|(_, c)| **c != 0.0).map(|(i, c)| (spectrum.grid.edges(i), *c));
    for ((low, high), content) in sources {
        let below = |x: f64| (smeared_ramp(x - low, sigma_ev) - smeared_ramp(x - high, sigma_ev)) / (high - low);
        collect(edges_ev, low, high, sigma_ev, content, below, &mut counts);
    }
    for line in &spectrum.lines {
        let below = |x: f64| {
            if sigma_ev > 0.0 { normal_cdf((x - line.energy_ev) / sigma_ev) } else { f64::from(x > line.energy_ev) }
        };
        collect(edges_ev, line.energy_ev, line.energy_ev, sigma_ev, line.content, below, &mut counts);
    }
    counts
}

/// Beyond this many standard deviations a Gaussian is 0: 1e-19 of the counts.
const REACH_SIGMAS: f64 = 9.0;

fn collect(
    edges: &[f64],
    low: f64,
    high: f64,
    sigma: f64,
    content: f64,
    below: impl Fn(f64) -> f64,
    counts: &mut [f64],
) {
    let first = edges.partition_point(|e| *e <= low - REACH_SIGMAS * sigma).saturating_sub(1);
    let mut left = edges.get(first).map_or(0.0, |e| below(*e));
    for bin in first..counts.len() {
        if edges[bin] > high + REACH_SIGMAS * sigma {
            break;
        }
        let right = below(edges[bin + 1]);
        counts[bin] += content * (right - left);
        left = right;
    }
}

/// Integral of the normal distribution function up to x: the ramp max(x, 0) blurred by `sigma`. Differences of it over
/// a bin give the distribution function of a blurred flat bin.
pub(super) fn smeared_ramp(x: f64, sigma: f64) -> f64 {
    if sigma > 0.0 { x * normal_cdf(x / sigma) + sigma * normal_density(x / sigma) } else { x.max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::Response;

    const GRID: Grid = Grid { width_ev: 0.25, n_bins: 1200 };

    fn sample() -> RecoilSpectrum {
        let mut spectrum = RecoilSpectrum::from_density(GRID, |e| 1e6 * (-e / 40.0).exp());
        spectrum.lines = vec![Line { energy_ev: 112.44, content: 3e5 }, Line { energy_ev: 160.27, content: 1e5 }];
        spectrum
    }

    #[test]
    fn counts_are_conserved() {
        let response = Response::from_paper();
        let spectrum = sample();
        for parameters in std::iter::once(&response.parameters).chain(response.bootstrap.iter().take(3)) {
            let kernel = StorageKernel::new(StoredEnergy::Curves(&response, parameters), GRID);
            assert!(kernel.rows.iter().all(|r| (r.iter().sum::<f64>() - 1.0).abs() < 1e-12));
            let stored = kernel.apply(&spectrum);
            assert!((stored.total() / spectrum.total() - 1.0).abs() < 1e-12);
            let edges: Vec<f64> = (-100..=400).map(f64::from).collect();
            for sigma in [0.0, 0.3, 5.0] {
                let seen: f64 = observe(&stored, sigma, &edges).iter().sum();
                assert!((seen / spectrum.total() - 1.0).abs() < 1e-12, "sigma {sigma}: {seen}");
            }
        }
    }

    #[test]
    fn mean_visible_energy_is_lower_by_the_mean_stored_energy() {
        let response = Response::from_paper();
        let mut spectrum = RecoilSpectrum::empty(GRID);
        spectrum.lines.push(Line { energy_ev: 160.0, content: 1.0 });
        let best = StoredEnergy::Curves(&response, &response.parameters);
        let stored = StorageKernel::new(best, GRID).apply(&spectrum);
        let mean: f64 = stored.bins.iter().enumerate().map(|(i, c)| c * (i as f64 + 0.5) * GRID.width_ev).sum::<f64>()
            + stored.lines.iter().map(|l| l.content * l.energy_ev).sum::<f64>();
        assert!((160.0 - mean - 11.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn resolution_of_a_line_is_a_gaussian() {
        let spectrum = RecoilSpectrum {
            grid: GRID,
            bins: vec![0.0; GRID.n_bins],
            lines: vec![Line { energy_ev: 100.0, content: 2.0 }],
        };
        let edges: Vec<f64> = (0..=400).map(|i| 0.5 * f64::from(i)).collect();
        let counts = observe(&spectrum, 5.0, &edges);
        let centre = |i: usize| 0.5 * i as f64 + 0.25 - 100.0;
        let mean: f64 = counts.iter().enumerate().map(|(i, c)| c * centre(i)).sum::<f64>() / 2.0;
        let variance: f64 = counts.iter().enumerate().map(|(i, c)| c * centre(i).powi(2)).sum::<f64>() / 2.0;
        assert!(mean.abs() < 1e-9 && (variance - 25.0 - 0.25 / 12.0).abs() < 1e-6, "{mean} {variance}");
        assert!((counts[200] / 0.5 - 2.0 * normal_density(0.05) / 5.0).abs() < 1e-4);
    }

    /// Halving the bins changes nothing that matters.
    #[test]
    fn the_grid_is_fine_enough() {
        let response = Response::from_paper();
        let best = StoredEnergy::Curves(&response, &response.parameters);
        let edges: Vec<f64> = (10..=200).map(f64::from).collect();
        let at = |width_ev: f64| {
            let grid = Grid { width_ev, n_bins: (300.0 / width_ev) as usize };
            let spectrum = RecoilSpectrum::from_density(grid, |e| (-e / 40.0).exp());
            observe(&StorageKernel::new(best, grid).apply(&spectrum), 0.0, &edges)
        };
        for (coarse, fine) in at(0.25).iter().zip(at(0.125)) {
            assert!((coarse / fine - 1.0).abs() < 2e-5, "{coarse} {fine}");
        }
    }
}

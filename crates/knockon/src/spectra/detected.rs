//! A spectrum of recoil energies as a detector sees it: the stored energy is taken off, then come resolution and trigger,
//! in this order, by quadrature, which conserves counts. Internal bins are halved, and the measured energies cut finer near
//! the threshold, until that changes nothing that matters.

use super::detector::{Detector, FAR_SIGMAS, Resolution};
use super::eye::{CONVERGED, Eye, Fineness, MOST_BINS, WIDEST_BIN_EV, largest_change};
use super::fold::{Grid, Line, RecoilSpectrum, StorageKernel};
use super::ratio;
use super::user::{BinnedSpectrum, Content, UserPart, UserSpectrum, are_whole};
use crate::Error;
use crate::math::band_by_bin;
use crate::response::{Responses, StoredEnergy};
use rayon::prelude::*;

/// Counts in bins of measured energy, seen without and with energy stored in defects. NaN: no value.
#[derive(Clone, Debug)]
pub struct DetectedSpectrum {
    /// Counts without stored energy.
    pub before: Vec<f64>,
    /// Counts with.
    pub after: Vec<f64>,
    /// Standard deviation of `after` from the errors of the input; a list of events has Poisson errors.
    pub after_error: Option<Vec<f64>>,
    /// 16 % and 84 % quantiles of `after` over the bootstrap sets; NaN without any.
    pub after_band: [Vec<f64>; 2],
    /// `after` / `before`.
    pub ratio: Vec<f64>,
    /// 16 % and 84 % quantiles of the ratio.
    pub ratio_band: [Vec<f64>; 2],
    /// Relative change of all counts, those outside the bins included and before the trigger: rounding only.
    pub conservation_error: f64,
    /// Largest relative change of a bin of `after` when the internal bins are halved (of bins with less than
    /// 1e-3 of the largest count: relative to that).
    pub convergence_error: f64,
    /// Share of all recoils that the trigger keeps and that `after` holds in its bins; NaN without recoils.
    pub kept_share: f64,
    /// Width of the internal bins in eV.
    pub internal_bin_ev: f64,
    /// Factor between deposited and measured energy with stored energy: 1 unless the capture peak calibrates.
    pub calibration_scale: f64,
}

/// Folds a binned spectrum into its own bins. Parts of species without a response are left uncorrected.
pub fn detect(
    spectrum: &BinnedSpectrum,
    responses: &Responses,
    detector: &Detector,
) -> Result<DetectedSpectrum, Error> {
    fold(&Recoils::binned(spectrum, responses)?, &spectrum.edges_ev, responses, detector)
}

/// Folds bins or events into bins between ascending `edges_ev` of measured energy. Events are recoils of the species of the only
/// response.
pub fn detect_into(
    spectrum: &UserSpectrum,
    edges_ev: &[f64],
    responses: &Responses,
    detector: &Detector,
) -> Result<DetectedSpectrum, Error> {
    let rising = edges_ev.windows(2).all(|e| e[1] > e[0]) && edges_ev.iter().all(|e| e.is_finite());
    if edges_ev.len() < 2 || !rising {
        let problem = format!("expected two or more ascending edges, found {edges_ev:?}");
        return Err(Error::input("edges", problem, "Write start:stop:step or a list, in ascending eV"));
    }
    if let Some(bin) = edges_ev.windows(2).find(|e| e[1] - e[0] < NARROWEST_BIN_EV) {
        let problem =
            format!("expected bins of at least {NARROWEST_BIN_EV} eV, found one from {} to {} eV", bin[0], bin[1]);
        return Err(Error::input("edges", problem, "Give wider bins (edges); energies are in eV"));
    }
    match spectrum {
        UserSpectrum::Binned(binned) => fold(&Recoils::binned(binned, responses)?, edges_ev, responses, detector),
        UserSpectrum::Events(events) => fold(&Recoils::events(events, responses)?, edges_ev, responses, detector),
    }
}

/// Narrower output bins need internal ones without number, and no detector tells them apart.
const NARROWEST_BIN_EV: f64 = 0.02;

/// A last bin with less than this share of the largest is empty: the spectrum has ended by itself.
const EMPTY: f64 = 1e-9;

/// Measured energy in eV above which a spectrum that ends before its recoils do gives too few counts: what is stored, and the
/// resolution, bring recoils down from above its last edge. None if its last bin is empty, so that nothing is missing.
pub fn complete_up_to_ev(
    spectrum: &BinnedSpectrum,
    responses: &Responses,
    detector: &Detector,
) -> Result<Option<f64>, Error> {
    let last = spectrum.edges_ev.len() - 2;
    let counts = |bin: usize| spectrum.parts.iter().map(|p| p.counts[bin]).sum::<f64>();
    let largest = (0..=last).map(counts).fold(0.0, f64::max);
    if counts(last) <= EMPTY * largest {
        return Ok(None);
    }
    let end = spectrum.edges_ev[last + 1];
    let best = responses.best();
    let mut highest = 0.0f64;
    for part in spectrum.parts.iter().filter(|part| part.counts[last] > 0.0) {
        let stored = responses.of(part.species.as_deref())?.map(|index| best[index]);
        highest = highest.max(stored.map_or(0.0, |stored| stored.rarely_exceeded_ev(end)));
    }
    let scale = detector.scale(responses, &best)?;
    Ok(Some(scale * (end - highest) - FAR_SIGMAS * detector.resolution.at(scale * end)))
}

/// Measured energy in eV below which a spectrum that begins above its lowest recoils gives too few counts: the resolution brings
/// recoils up from below its first edge. None if it begins within 1 eV, or its first bin is empty.
pub fn complete_from_ev(
    spectrum: &BinnedSpectrum,
    responses: &Responses,
    detector: &Detector,
) -> Result<Option<f64>, Error> {
    let counts = |bin: usize| spectrum.parts.iter().map(|p| p.counts[bin]).sum::<f64>();
    let largest = (0..spectrum.edges_ev.len() - 1).map(counts).fold(0.0, f64::max);
    let start = spectrum.edges_ev[0];
    if start <= 1.0 || counts(0) <= EMPTY * largest {
        return Ok(None);
    }
    let measured = detector.scale(responses, &responses.best())? * start;
    Ok(Some(measured + FAR_SIGMAS * detector.resolution.at(measured)))
}

/// Neighbouring bins whose densities differ by more than this factor are too coarse to be taken as flat inside,
const STEEP: f64 = 1.5;
/// unless both hold less than this share of the largest bin,
const NEGLIGIBLE: f64 = 1e-3;
/// or they differ by no more than this many standard deviations.
const FLUCTUATION_SIGMAS: f64 = 3.0;

/// The first energies in eV, low and high, between which bins are too coarse: they are taken as flat inside, but differ much from
/// their neighbours and are wider than the resolution's standard deviation, which would hide this. None where all are fine enough.
pub fn too_coarse_between_ev(spectrum: &BinnedSpectrum, resolution: Resolution) -> Option<[f64; 2]> {
    let edges = &spectrum.edges_ev;
    let n_bins = edges.len() - 1;
    let counts: Vec<f64> = (0..n_bins).map(|bin| spectrum.parts.iter().map(|p| p.counts[bin]).sum()).collect();
    let largest = counts.iter().copied().fold(0.0, f64::max);
    let is_poisson = spectrum.content == Content::Counts && are_whole(&counts);
    let variance = |bin: usize| -> f64 {
        let of = |part: &UserPart| match &part.errors {
            Some(errors) => errors[bin].powi(2),
            None if is_poisson => part.counts[bin],
            None => 0.0,
        };
        spectrum.parts.iter().map(of).sum()
    };
    let width = |bin: usize| edges[bin + 1] - edges[bin];
    let is_wide = |bin: usize| width(bin) > resolution.at(0.5 * (edges[bin] + edges[bin + 1]));
    let is_coarse = |first: &usize| {
        let pair = [*first, *first + 1];
        let [before, after] = pair.map(|bin| counts[bin] / width(bin));
        let deviation = pair.map(|bin| variance(bin) / width(bin).powi(2)).iter().sum::<f64>().sqrt();
        pair.iter().any(|bin| is_wide(*bin))
            && pair.iter().any(|bin| counts[*bin] > NEGLIGIBLE * largest)
            && before.max(after) > STEEP * before.min(after)
            && (after - before).abs() > FLUCTUATION_SIGMAS * deviation
    };
    let first = (0..n_bins - 1).find(is_coarse)?;
    let last = (first..n_bins - 1).take_while(is_coarse).last().unwrap_or(first);
    Some([edges[first], edges[last + 2]])
}

fn fold(
    recoils: &Recoils,
    edges: &[f64],
    responses: &Responses,
    detector: &Detector,
) -> Result<DetectedSpectrum, Error> {
    detector.validate()?;
    let best = responses.best();
    let best_scale = detector.scale(responses, &best)?;
    let at = |n_bins: f64, fineness| Fold::new(recoils, edges, detector, n_bins, fineness);
    let mut widths: Vec<f64> = edges.windows(2).map(|e| e[1] - e[0]).collect();
    widths.sort_by(f64::total_cmp);
    // A start: bins are halved below until nothing changes. The resolution of flat bins is exact, however sharp.
    let wanted = WIDEST_BIN_EV.min(0.5 * widths[widths.len() / 2]);
    // A whole number of bins up to the end, so that none reaches beyond.
    let mut n_bins = (recoils.end_ev / wanted).ceil().clamp(1.0, MOST_BINS);
    let mut fineness = Fineness::COARSE;
    let seen = |fold: &Fold| fold.seen(&best, best_scale);
    let mut coarse = at(n_bins, fineness);
    let mut after = seen(&coarse);
    let convergence_error = loop {
        (n_bins, fineness) = (2.0 * n_bins, fineness.halved());
        let fine = at(n_bins, fineness);
        let halved = seen(&fine);
        let (bin, change) = largest_change(&after, &halved);
        if change <= CONVERGED {
            break change;
        }
        if n_bins > MOST_BINS {
            let problem = format!(
                "the fold has not converged: halving internal bins of {:.3} eV still changes the bin from {} to {} eV by {:.2} \
                 %, more than {} %",
                coarse.grid.width_ev,
                edges[bin],
                edges[bin + 1],
                100.0 * change,
                100.0 * CONVERGED
            );
            let remedy = "Give wider output bins (edges), a resolution, or a spectrum that ends at a lower energy";
            return Err(Error::computation(problem, remedy));
        }
        (coarse, after) = (fine, halved);
    };
    let fold = coarse;
    let kernels = fold.kernels(&best);
    let eye = fold.eye(best_scale);
    let before = fold.eye(1.0).see(&fold.deposited(&[]));
    let replica = |stored: &Vec<StoredEnergy>| -> Result<Vec<f64>, Error> {
        let scale = detector.scale(responses, stored)?;
        let deposited = fold.deposited(&fold.kernels(stored));
        Ok(if scale == best_scale { eye.see(&deposited) } else { fold.eye(scale).see(&deposited) })
    };
    let replicas: Vec<Vec<f64>> = responses.replicas().par_iter().map(replica).collect::<Result<_, _>>()?;
    let ratios: Vec<Vec<f64>> = replicas.iter().map(|after| ratio(after, &before)).collect();
    Ok(DetectedSpectrum {
        after_error: fold.errors(&kernels, &eye),
        after_band: band_by_bin(&replicas, after.len()),
        ratio: ratio(&after, &before),
        ratio_band: band_by_bin(&ratios, after.len()),
        conservation_error: fold.conservation_error(&kernels, &eye),
        convergence_error,
        kept_share: after.iter().sum::<f64>() / recoils.total(),
        internal_bin_ev: fold.grid.width_ev,
        calibration_scale: best_scale,
        before,
        after,
    })
}

/// Recoils of one kind: flat bins, or lines.
struct Part {
    /// Which of the responses is for them.
    response: Option<usize>,
    sources: Vec<Source>,
}

/// Recoils between two energies, or of one energy where these are equal.
#[derive(Clone, Copy)]
struct Source {
    low_ev: f64,
    high_ev: f64,
    content: f64,
    error: Option<f64>,
}

/// Recoils as the input has them.
struct Recoils {
    parts: Vec<Part>,
    /// Energies of lines, in the order in which parts have them.
    lines_ev: Vec<f64>,
    end_ev: f64,
}

impl Recoils {
    fn binned(spectrum: &BinnedSpectrum, responses: &Responses) -> Result<Self, Error> {
        let edges = &spectrum.edges_ev;
        let parts = spectrum.parts.iter().map(|part| {
            let error = |bin: usize| part.errors.as_ref().map(|e| e[bin]);
            let sources = edges.windows(2).zip(&part.counts).enumerate().map(|(bin, (e, content))| Source {
                low_ev: e[0],
                high_ev: e[1],
                content: *content,
                error: error(bin),
            });
            Ok(Part { response: responses.of(part.species.as_deref())?, sources: sources.collect() })
        });
        let parts = parts.collect::<Result<_, Error>>()?;
        Ok(Self { parts, lines_ev: Vec::new(), end_ev: edges[edges.len() - 1] })
    }

    /// All recoils in counts.
    fn total(&self) -> f64 {
        self.parts.iter().flat_map(|p| &p.sources).map(|s| s.content).sum()
    }

    /// Events are counts of 1 with the error 1; those of one energy, of which lists of few decimals have many, are one line.
    fn events(events_ev: &[f64], responses: &Responses) -> Result<Self, Error> {
        let mut ascending = events_ev.to_vec();
        ascending.sort_by(f64::total_cmp);
        let source = |equal: &[f64]| {
            let content = equal.len() as f64;
            Source { low_ev: equal[0], high_ev: equal[0], content, error: Some(content.sqrt()) }
        };
        let sources: Vec<Source> = ascending.chunk_by(|a, b| a == b).map(source).collect();
        let lines_ev = sources.iter().map(|source| source.low_ev).collect();
        let end_ev = events_ev.iter().copied().fold(WIDEST_BIN_EV, f64::max);
        Ok(Self { parts: vec![Part { response: responses.of(None)?, sources }], lines_ev, end_ev })
    }
}

/// The fold on one internal grid.
struct Fold<'a> {
    recoils: &'a Recoils,
    edges: &'a [f64],
    detector: &'a Detector,
    grid: Grid,
    fineness: Fineness,
}

impl<'a> Fold<'a> {
    fn new(recoils: &'a Recoils, edges: &'a [f64], detector: &'a Detector, n_bins: f64, fineness: Fineness) -> Self {
        let grid = Grid { width_ev: recoils.end_ev / n_bins, n_bins: n_bins as usize };
        Self { recoils, edges, detector, grid, fineness }
    }

    fn kernels<'b>(&self, stored: &[StoredEnergy<'b>]) -> Vec<StorageKernel<'b>> {
        stored.iter().map(|stored| StorageKernel::new(*stored, self.grid)).collect()
    }

    fn eye(&self, scale: f64) -> Eye {
        Eye::new(self.grid, &self.recoils.lines_ev, scale, self.edges, self.detector, self.fineness)
    }

    fn seen(&self, stored: &[StoredEnergy], scale: f64) -> Vec<f64> {
        self.eye(scale).see(&self.deposited(&self.kernels(stored)))
    }

    /// All recoils, with the stored energy taken off by the kernels of the responses, if these are given.
    fn deposited(&self, kernels: &[StorageKernel]) -> RecoilSpectrum {
        let mut sum = RecoilSpectrum::empty(self.grid);
        for part in &self.recoils.parts {
            let mut recoils = RecoilSpectrum::empty(self.grid);
            part.sources.iter().for_each(|source| place(&mut recoils, *source, source.content));
            let kernel = part.response.and_then(|index| kernels.get(index));
            let part = kernel.map_or_else(|| recoils.clone(), |k| k.apply(&recoils));
            sum.bins.iter_mut().zip(part.bins).for_each(|(s, b)| *s += b);
            sum.lines.extend(part.lines);
        }
        sum
    }

    fn conservation_error(&self, kernels: &[StorageKernel], eye: &Eye) -> f64 {
        let total = self.recoils.total();
        let collected = eye.collected(&self.deposited(kernels));
        if total > 0.0 { (collected / total - 1.0).abs() } else { 0.0 }
    }

    /// Errors of bins, and events, are independent; the fold is linear.
    fn errors(&self, kernels: &[StorageKernel], eye: &Eye) -> Option<Vec<f64>> {
        let empty = RecoilSpectrum::empty(self.grid);
        let mut wrong: Vec<(Option<&StorageKernel>, Source, f64, usize)> = Vec::new();
        let mut n_lines = 0;
        for part in &self.recoils.parts {
            let kernel = part.response.map(|index| &kernels[index]);
            for source in &part.sources {
                wrong.extend(source.error.map(|error| (kernel, *source, error, n_lines)));
                n_lines += usize::from(source.low_ev == source.high_ev);
            }
        }
        if wrong.is_empty() {
            return None;
        }
        let variance = |(kernel, source, error, line): &(Option<&StorageKernel>, Source, f64, usize)| -> Vec<f64> {
            let mut recoils = empty.clone();
            place(&mut recoils, *source, *error);
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

/// Adds `content` at the energies of `source`: a line, or a flat stretch cut into internal bins.
fn place(spectrum: &mut RecoilSpectrum, source: Source, content: f64) {
    let Source { low_ev, high_ev, .. } = source;
    if low_ev == high_ev {
        spectrum.lines.push(Line { energy_ev: low_ev, content });
        return;
    }
    let grid = spectrum.grid;
    let first = ((low_ev / grid.width_ev) as usize).min(grid.n_bins - 1);
    let mut from = low_ev;
    for (bin, inside) in spectrum.bins.iter_mut().enumerate().skip(first) {
        // The last internal bin takes what rounding leaves.
        let to = if bin + 1 == grid.n_bins { high_ev } else { grid.edges(bin).1.clamp(from, high_ev) };
        *inside += content * (to - from) / (high_ev - low_ev);
        from = to;
        if to >= high_ev {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::{CAPTURE_PEAK_EV, Calibration};
    use super::super::detector::{EfficiencyOf, Resolution, Trigger};
    use super::super::events::{simulate, simulate_binned};
    use super::super::user::Content;
    use super::*;
    use crate::response::{AnyResponse, Response, ResponseMatrix};

    fn spectrum() -> BinnedSpectrum {
        let edges_ev: Vec<f64> = (0..=100).map(|i| 2.0 * f64::from(i)).collect();
        let counts: Vec<f64> = edges_ev[..100].iter().map(|e| 1e4 * (-e / 50.0).exp()).collect();
        let errors = Some(counts.iter().map(|c| c.sqrt()).collect());
        let parts = vec![
            UserPart { species: Some("W".to_owned()), counts: counts.clone(), errors },
            UserPart { species: Some("Ca".to_owned()), counts: vec![50.0; 100], errors: None },
        ];
        BinnedSpectrum { edges_ev, column: "counts".to_owned(), content: Content::Counts, parts }
    }

    fn detector() -> Detector {
        Detector {
            resolution: Resolution { constant_ev: 4.0, slope: 0.02 },
            trigger: Trigger::ErrorFunction { threshold_ev: 20.0, width_ev: Some(5.0), plateau: 0.9 },
            ..Detector::default()
        }
    }

    fn paper(replicas: usize) -> Responses {
        let mut response = Response::from_paper();
        response.bootstrap.truncate(replicas);
        AnyResponse::Curves(Box::new(response)).into()
    }

    #[test]
    fn counts_are_conserved_and_the_grid_is_fine_enough() {
        for detector in [Detector::default(), detector()] {
            let found = detect(&spectrum(), &paper(10), &detector).unwrap();
            assert!(found.conservation_error < 1e-9, "{}", found.conservation_error);
            assert!(found.convergence_error <= CONVERGED, "{}", found.convergence_error);
            let inside = (40..60).all(|i| found.after_band[0][i] < found.after_band[1][i]);
            assert!(inside && found.after_error.is_some());
        }
    }

    /// A spectrum that is cut off gives what the whole one gives up to the energy that is said, and too little above.
    #[test]
    fn a_spectrum_that_ends_too_low_is_told() {
        let bins = |end: i32| -> BinnedSpectrum {
            let edges_ev: Vec<f64> = (0..=end / 2).map(|i| 2.0 * f64::from(i)).collect();
            let counts = edges_ev[1..].iter().map(|e| (-e / 40.0).exp()).collect();
            let parts = vec![UserPart { species: None, counts, errors: None }];
            BinnedSpectrum { edges_ev, column: "counts".to_owned(), content: Content::Counts, parts }
        };
        let (response, resolution) = (paper(0), Resolution { constant_ev: 5.0, slope: 0.0 });
        for calibration in [Calibration::ElectronRecoils, Calibration::CapturePeak] {
            let detector = Detector { resolution, calibration, ..Detector::default() };
            let seen = |end| detect(&bins(end), &response, &detector).unwrap().after;
            let (whole, cut) = (seen(360), seen(200));
            let limit = complete_up_to_ev(&bins(200), &response, &detector).unwrap().unwrap();
            assert!((130.0..200.0).contains(&limit), "{limit}");
            let bin = (limit / 2.0) as usize - 1;
            assert!(whole[..bin].iter().zip(&cut).all(|(w, c)| (c / w - 1.0).abs() < 0.01), "{limit}");
            assert!(cut[99] < 0.95 * whole[99]);
        }
        let mut ended = bins(200);
        ended.parts[0].counts[99] = 0.0;
        assert_eq!(complete_up_to_ev(&ended, &response, &Detector::default()).unwrap(), None);
    }

    #[test]
    fn bins_that_are_too_coarse_are_told() {
        let bins = |counts: &[f64], width_ev: f64, errors| {
            let edges_ev = (0..=counts.len()).map(|i| width_ev * i as f64).collect();
            let parts = vec![UserPart { species: None, counts: counts.to_vec(), errors }];
            BinnedSpectrum { edges_ev, column: "counts".to_owned(), content: Content::Counts, parts }
        };
        let found = |counts: &[f64], width_ev, errors| {
            too_coarse_between_ev(&bins(counts, width_ev, errors), Resolution { constant_ev: 5.0, slope: 0.0 })
        };
        let steep = [1000.0, 900.0, 500.0, 250.0, 240.0, 10.0];
        assert_eq!(found(&steep, 20.0, None), Some([20.0, 80.0]));
        // The resolution hides what is narrower than it; what falls gently is fine.
        assert_eq!(found(&steep, 4.0, None), None);
        assert_eq!(found(&[1000.0, 700.0, 500.0], 20.0, None), None);
        // Fluctuations, of counts as of what has errors; expectations have none.
        assert_eq!(found(&[4.0, 1.0, 3.0], 20.0, None), None);
        assert_eq!(found(&[0.4, 0.1, 0.3], 20.0, None), Some([0.0, 60.0]));
        assert_eq!(found(&[0.4, 0.1, 0.3], 20.0, Some(vec![0.2; 3])), None);
        // Nobody sees the end of a spectrum that has fallen to nothing.
        assert_eq!(found(&[1e6, 9e5, 1e6, 9e5, 900.0], 20.0, None), Some([60.0, 100.0]));
        assert_eq!(found(&[2.5e6, 2e6, 1e3, 10.0], 20.0, None), Some([20.0, 60.0]));
        assert_eq!((found(&[5.0], 20.0, None), found(&[0.0, 0.0], 20.0, None)), (None, None));
    }

    #[test]
    fn the_share_that_is_kept_is_told() {
        let spectrum = spectrum();
        let total: f64 = spectrum.parts.iter().flat_map(|p| &p.counts).sum();
        for plateau in [1.0, 5e-4] {
            let trigger = Trigger::ErrorFunction { threshold_ev: 20.0, width_ev: Some(5.0), plateau };
            let found = detect(&spectrum, &paper(0), &Detector { trigger, ..Detector::default() }).unwrap();
            let expected = found.after.iter().sum::<f64>() / total;
            assert!((found.kept_share / expected - 1.0).abs() < 1e-12, "{} {expected}", found.kept_share);
            assert!((0.3 * plateau..plateau).contains(&found.kept_share), "{}", found.kept_share);
        }
    }

    #[test]
    fn events_agree_with_quadrature() {
        for calibration in [Calibration::ElectronRecoils, Calibration::CapturePeak] {
            events_agree_with(&Detector { calibration, ..detector() });
            events_agree_with(&Detector { calibration, efficiency_of: EfficiencyOf::Deposited, ..detector() });
        }
    }

    fn events_agree_with(detector: &Detector) {
        let (spectrum, response) = (spectrum(), paper(0));
        let folded = detect(&spectrum, &response, detector).unwrap();
        let number = 400_000;
        let events = simulate_binned(&spectrum, number, &response, detector, 5).unwrap();
        assert_eq!(events, simulate_binned(&spectrum, number, &response, detector, 5).unwrap());
        let total: f64 = spectrum.parts.iter().flat_map(|p| &p.counts).sum();
        let mut seen = vec![0.0; 100];
        for event in events.iter().filter(|e| e.triggered && e.measured_ev >= 0.0 && e.measured_ev < 200.0) {
            seen[(event.measured_ev / 2.0) as usize] += 1.0;
        }
        let mut chi_squared = 0.0;
        for (found, counts) in seen.iter().zip(&folded.after) {
            let expected = counts * number as f64 / total;
            chi_squared += (found - expected).powi(2) / expected.max(1.0);
        }
        // 100 bins: mean 100, standard deviation 14.
        assert!(chi_squared < 160.0, "{chi_squared}");
    }

    #[test]
    fn a_matrix_gives_what_its_response_gives() {
        let energies: Vec<f64> = (0..=200).map(f64::from).collect();
        let matrix = ResponseMatrix::from_response(&Response::from_paper(), &energies, 0.25).unwrap();
        let matrix = AnyResponse::Matrix(Box::new(matrix)).into();
        let (curves, table) =
            (detect(&spectrum(), &paper(0), &detector()).unwrap(), detect(&spectrum(), &matrix, &detector()).unwrap());
        assert!(table.conservation_error < 1e-9 && table.after_band[0][50].is_nan());
        for (a, b) in curves.after.iter().zip(&table.after).take(98) {
            assert!((a / b - 1.0).abs() < 2e-3, "{a} {b}");
        }
    }

    /// Each element by its own response: what each does alone, added up, whatever their order; the capture peak is that of W.
    #[test]
    fn several_elements_have_responses_of_their_own() {
        let mut calcium = Response::from_paper();
        "Ca".clone_into(&mut calcium.species);
        calcium.bootstrap.truncate(3);
        let calcium = AnyResponse::Curves(Box::new(calcium));
        let Some(tungsten) = paper(7).only().cloned() else { panic!("one response") };
        let detect_with = |responses: &[&AnyResponse], detector: &Detector| {
            let responses = Responses::new(responses.iter().map(|r| (*r).clone()).collect()).unwrap();
            detect(&spectrum(), &responses, detector)
        };
        let both = detect_with(&[&tungsten, &calcium], &detector()).unwrap();
        let [of_w, of_ca] = [&tungsten, &calcium].map(|alone| detect_with(&[alone], &detector()).unwrap());
        for bin in 0..100 {
            let expected = of_w.after[bin] + of_ca.after[bin] - of_w.before[bin];
            assert!((both.after[bin] - expected).abs() < 1e-9 * expected.max(1.0), "{bin}");
            assert_eq!(both.before[bin], of_w.before[bin]);
        }
        // Seven sets, since the response with most has as many: wider than with those of tungsten alone where calcium counts.
        let width = |of: &DetectedSpectrum| of.after_band[1][80] - of.after_band[0][80];
        assert!(width(&both) > 0.0 && width(&both) != width(&of_w));
        let peak = Detector { calibration: Calibration::CapturePeak, ..detector() };
        let [one_way, other_way] =
            [[&tungsten, &calcium], [&calcium, &tungsten]].map(|r| detect_with(&r, &peak).unwrap());
        assert!(one_way.calibration_scale > 1.05);
        assert_eq!(one_way.after, other_way.after);
        assert!(detect_with(&[&calcium], &peak).is_err());
        // One for each, and recoils of elements that nobody knows go with a lone response only.
        assert!(Responses::new(vec![calcium.clone(), calcium.clone()]).is_err() && Responses::new(Vec::new()).is_err());
        let both = Responses::new(vec![tungsten, calcium]).unwrap();
        let message = simulate(&[30.0], &both, &detector(), 1).unwrap_err().to_string();
        assert!(message.contains("by element") && message.contains("W, Ca"), "{message}");
    }

    #[test]
    fn nothing_happens_without_detector_to_what_the_response_does_not_know() {
        let mut spectrum = spectrum();
        spectrum.parts.remove(0);
        let found = detect(&spectrum, &paper(0), &Detector::default()).unwrap();
        assert!(found.after.iter().all(|c| (c / 50.0 - 1.0).abs() < 1e-9), "{:?}", found.after);
    }

    #[test]
    fn listed_events_keep_their_recoil_energy() {
        let events = simulate(&[100.0, 30.0], &paper(0), &Detector::default(), 1).unwrap();
        assert!(events.iter().all(|e| e.triggered && (e.recoil_ev - e.stored_ev - e.measured_ev).abs() < 1e-12));
        assert_eq!(events[0].recoil_ev, 100.0);
    }

    /// A list of as many events as a bin has counts, evenly spread, gives what the bin gives; errors are Poisson errors.
    #[test]
    fn events_fold_as_bins_do() {
        let low: Vec<f64> = (0..2000).map(|i| 90.0 + 0.01 * (f64::from(i) + 0.5)).collect();
        let part = UserPart { species: None, counts: vec![2000.0], errors: None };
        let column = "counts".to_owned();
        let binned =
            BinnedSpectrum { edges_ev: vec![90.0, 110.0], column, content: Content::Counts, parts: vec![part] };
        let edges: Vec<f64> = (0..=30).map(|i| 4.0 * f64::from(i)).collect();
        for detector in [Detector::default(), detector()] {
            let of_bins = detect_into(&UserSpectrum::Binned(binned.clone()), &edges, &paper(2), &detector).unwrap();
            let of_events = detect_into(&UserSpectrum::Events(low.clone()), &edges, &paper(2), &detector).unwrap();
            assert!(of_events.conservation_error < 1e-9 && of_events.convergence_error <= CONVERGED);
            for (a, b) in of_bins.after.iter().zip(&of_events.after) {
                assert!((a - b).abs() < 0.1, "{a} {b}");
            }
        }
        // Without any effect an event is in one bin, and errors are square roots of counts.
        let calm = detect_into(&UserSpectrum::Events(vec![1.0, 1.1, 5.0]), &edges, &paper(0), &Detector::default());
        let calm = calm.unwrap();
        assert!((calm.before[0] - 2.0).abs() < 1e-12 && (calm.before[1] - 1.0).abs() < 1e-12, "{:?}", calm.before);
        assert!((calm.after_error.unwrap()[0] - 2f64.sqrt()).abs() < 0.02);
    }

    /// A sharp threshold inside of a bin, and one that the resolution alone softens: exact fractions.
    #[test]
    fn sharp_thresholds_are_resolved() {
        let part = UserPart { species: Some("Ca".to_owned()), counts: vec![1000.0; 4], errors: None };
        let (edges_ev, column) = (vec![0.0, 30.0, 60.0, 90.0, 120.0], "counts".to_owned());
        let spectrum = BinnedSpectrum { edges_ev, column, content: Content::Counts, parts: vec![part] };
        for width_ev in [0.0, 1e-3] {
            let trigger = Trigger::ErrorFunction { threshold_ev: 21.0, width_ev: Some(width_ev), plateau: 1.0 };
            let detector = Detector { trigger, ..Detector::default() };
            let found = detect(&spectrum, &paper(0), &detector).unwrap();
            assert!((found.after[0] - 300.0).abs() < 0.3, "{:?} {}", found.after, found.internal_bin_ev);
            let resolution = Resolution { constant_ev: 2.0, slope: 0.0 };
            let found = detect(&spectrum, &paper(0), &Detector { resolution, ..detector }).unwrap();
            // What leaves upwards at 30 eV comes back from there.
            assert!((found.after[0] - 300.0).abs() < 0.3, "{:?}", found.after);
        }
    }

    /// A line below the threshold: what resolution and threshold of one pulse height let through once, not twice.
    #[test]
    fn an_efficiency_of_deposited_energies_is_that_of_the_line() {
        let trigger = Trigger::ErrorFunction { threshold_ev: 20.0, width_ev: Some(5.0), plateau: 1.0 };
        let resolution = Resolution { constant_ev: 5.0, slope: 0.0 };
        let detector = Detector { resolution, trigger, efficiency_of: EfficiencyOf::Deposited, ..Detector::default() };
        let edges: Vec<f64> = (0..=80).map(f64::from).collect();
        let found = detect_into(&UserSpectrum::Events(vec![15.0; 100]), &edges, &paper(0), &detector).unwrap();
        // Standard normal distribution at -1, and what is measured above 0: at -3.
        let expected = 100.0 * 0.158_655_253_93 * (1.0 - 0.001_349_898_03);
        let seen: f64 = found.before.iter().sum();
        assert!((seen - expected).abs() < 1e-5 * expected, "{seen} {expected}");
    }

    #[test]
    fn the_capture_peak_keeps_its_name() {
        let resolution = Resolution { constant_ev: 5.0, slope: 0.0 };
        let detector = Detector { resolution, calibration: Calibration::CapturePeak, ..Detector::default() };
        let edges: Vec<f64> = (0..=300).map(|i| 0.5 * f64::from(i)).collect();
        let events = UserSpectrum::Events(vec![CAPTURE_PEAK_EV; 10]);
        let found = detect_into(&events, &edges, &paper(5), &detector).unwrap();
        let top =
            |counts: &[f64]| (0..300).max_by(|a, b| counts[*a].total_cmp(&counts[*b])).unwrap() as f64 * 0.5 + 0.25;
        assert!((top(&found.after) - CAPTURE_PEAK_EV).abs() <= 0.3, "{}", top(&found.after));
        assert!((top(&found.before) - CAPTURE_PEAK_EV).abs() <= 0.3);
        assert!(found.calibration_scale > 1.05 && found.conservation_error < 1e-9);
        assert!(detect_into(&events, &[3.0, 2.0], &paper(0), &detector).is_err());
    }
}

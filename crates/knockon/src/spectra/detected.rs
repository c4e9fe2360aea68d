//! A spectrum of recoil energies as a detector sees it: the stored energy is taken off, then come resolution and trigger,
//! in this order. Once by quadrature, which conserves counts, and once event by event.

use super::detector::Detector;
use super::fold::{Grid, RecoilSpectrum, StorageKernel, observe_with};
use super::user::BinnedSpectrum;
use crate::Error;
use crate::math::quantile;
use crate::response::{Response, ResponseMatrix, StoredEnergy};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use rayon::prelude::*;

/// A response of either kind.
#[derive(Clone, Debug)]
pub enum AnyResponse {
    /// Curves, with bootstrap sets.
    Curves(Box<Response>),
    /// A table, perhaps with them.
    Matrix(Box<ResponseMatrix>),
}

impl AnyResponse {
    /// The best numbers.
    pub fn best(&self) -> StoredEnergy<'_> {
        match self {
            Self::Curves(response) => StoredEnergy::Curves(response, &response.parameters),
            Self::Matrix(matrix) => StoredEnergy::Matrix(matrix),
        }
    }

    fn replicas(&self) -> Vec<StoredEnergy<'_>> {
        match self {
            Self::Curves(response) => response.bootstrap.iter().map(|p| StoredEnergy::Curves(response, p)).collect(),
            Self::Matrix(matrix) => {
                (0..matrix.bootstrap.len()).map(|set| StoredEnergy::MatrixSet(matrix, set)).collect()
            }
        }
    }

    /// Species that it holds for.
    pub fn species(&self) -> &str {
        match self {
            Self::Curves(response) => &response.species,
            Self::Matrix(matrix) => &matrix.species,
        }
    }
}

/// Counts in the bins of the input, seen without and with energy stored in defects. NaN: no value.
#[derive(Clone, Debug)]
pub struct DetectedSpectrum {
    /// Counts without stored energy.
    pub before: Vec<f64>,
    /// Counts with.
    pub after: Vec<f64>,
    /// Standard deviation of `after` from the errors of the input.
    pub after_error: Option<Vec<f64>>,
    /// 16 % and 84 % quantiles of `after` over the bootstrap sets; NaN without any.
    pub after_band: [Vec<f64>; 2],
    /// `after` / `before`.
    pub ratio: Vec<f64>,
    /// 16 % and 84 % quantiles of the ratio.
    pub ratio_band: [Vec<f64>; 2],
    /// Relative change of all counts, those outside the bins included and before the trigger: rounding only.
    pub conservation_error: f64,
    /// Largest change of `after` when the internal bins are halved, relative to the largest count.
    pub convergence_error: f64,
    /// Width of the internal bins in eV.
    pub internal_bin_ev: f64,
}

/// Widest internal bin in eV.
const WIDEST_EV: f64 = 0.25;
/// Most internal bins.
const MOST_BINS: f64 = 20_000.0;

/// Folds a binned spectrum. Parts of another species than the response's are left uncorrected.
pub fn detect(
    spectrum: &BinnedSpectrum,
    response: &AnyResponse,
    detector: &Detector,
) -> Result<DetectedSpectrum, Error> {
    detector.validate()?;
    let edges = &spectrum.edges_ev;
    let end = edges[edges.len() - 1];
    let narrowest = edges.windows(2).map(|e| e[1] - e[0]).fold(f64::INFINITY, f64::min);
    let sigma = detector.resolution.constant_ev;
    let wanted = WIDEST_EV.min(0.5 * narrowest).min(if sigma > 0.0 { sigma / 4.0 } else { f64::INFINITY });
    // A whole number of bins up to the end, so that none reaches beyond.
    let width_ev = end / (end / wanted).ceil().min(MOST_BINS);
    let at = |width_ev: f64| {
        let grid = Grid { width_ev, n_bins: (end / width_ev).round() as usize };
        Fold { spectrum, species: response.species(), eye: Eye::new(grid, edges, detector) }
    };
    let fold = at(width_ev);
    let best = StorageKernel::of(response.best(), fold.eye.grid);
    let (before, after) = (fold.seen(None), fold.seen(Some(&best)));
    let finer = at(0.5 * width_ev);
    let halved = finer.seen(Some(&StorageKernel::of(response.best(), finer.eye.grid)));
    let top = after.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let convergence_error = after.iter().zip(&halved).map(|(a, b)| (a - b).abs() / top).fold(0.0, f64::max);
    let ratio = |after: &[f64]| -> Vec<f64> {
        let floor = 1e-9 * before.iter().copied().fold(0.0, f64::max);
        after.iter().zip(&before).map(|(a, b)| if *b > floor { a / b } else { f64::NAN }).collect()
    };
    let replicas: Vec<Vec<f64>> = response
        .replicas()
        .par_iter()
        .map(|stored| fold.seen(Some(&StorageKernel::of(*stored, fold.eye.grid))))
        .collect();
    let ratios: Vec<Vec<f64>> = replicas.iter().map(|r| ratio(r)).collect();
    let band = |of: &[Vec<f64>], q: f64| -> Vec<f64> {
        (0..after.len()).map(|i| quantile(&mut of.iter().map(|r| r[i]).collect::<Vec<_>>(), q)).collect()
    };
    Ok(DetectedSpectrum {
        after_error: fold.errors(&best),
        after_band: [band(&replicas, 0.16), band(&replicas, 0.84)],
        ratio: ratio(&after),
        ratio_band: [band(&ratios, 0.16), band(&ratios, 0.84)],
        conservation_error: fold.conservation_error(&best),
        convergence_error,
        internal_bin_ev: width_ev,
        before,
        after,
    })
}

struct Fold<'a> {
    spectrum: &'a BinnedSpectrum,
    species: &'a str,
    eye: Eye,
}

impl Fold<'_> {
    fn is_corrected(&self, species: Option<&str>) -> bool {
        species.is_none_or(|s| s == self.species)
    }

    /// Counts per bin on the internal grid, each bin of the input being flat.
    fn spread(&self, counts: &[f64]) -> RecoilSpectrum {
        let grid = self.eye.grid;
        let mut bins = vec![0.0; grid.n_bins];
        for (edges, content) in self.spectrum.edges_ev.windows(2).zip(counts) {
            let first = ((edges[0] / grid.width_ev) as usize).min(grid.n_bins - 1);
            let mut from = edges[0];
            for (bin, inside) in bins.iter_mut().enumerate().skip(first) {
                // The last internal bin takes what rounding leaves.
                let to = if bin + 1 == grid.n_bins { edges[1] } else { grid.edges(bin).1.clamp(from, edges[1]) };
                *inside += content * (to - from) / (edges[1] - edges[0]);
                from = to;
                if to >= edges[1] {
                    break;
                }
            }
        }
        RecoilSpectrum { grid, bins, lines: Vec::new() }
    }

    /// All recoils, with the stored energy taken off where a kernel is given.
    fn deposited(&self, kernel: Option<&StorageKernel>) -> Vec<f64> {
        let mut sum = vec![0.0; self.eye.grid.n_bins];
        for part in &self.spectrum.parts {
            let recoils = self.spread(&part.counts);
            let stored = kernel.filter(|_| self.is_corrected(part.species.as_deref()));
            let bins = stored.map_or_else(|| recoils.bins.clone(), |k| k.apply(&recoils).bins);
            sum.iter_mut().zip(bins).for_each(|(s, b)| *s += b);
        }
        sum
    }

    fn seen(&self, kernel: Option<&StorageKernel>) -> Vec<f64> {
        self.eye.see(&self.deposited(kernel))
    }

    fn conservation_error(&self, kernel: &StorageKernel) -> f64 {
        let total: f64 = self.spectrum.parts.iter().flat_map(|p| &p.counts).sum();
        let collected: f64 = self.deposited(Some(kernel)).iter().zip(&self.eye.collected).map(|(c, p)| c * p).sum();
        if total > 0.0 { (collected / total - 1.0).abs() } else { 0.0 }
    }

    /// Errors of input bins are independent; the fold is linear.
    fn errors(&self, kernel: &StorageKernel) -> Option<Vec<f64>> {
        if self.spectrum.parts.iter().all(|p| p.errors.is_none()) {
            return None;
        }
        let n_bins = self.spectrum.edges_ev.len() - 1;
        let mut variance = vec![0.0; n_bins];
        for part in &self.spectrum.parts {
            for (bin, error) in part.errors.iter().flatten().enumerate().filter(|(_, e)| **e > 0.0) {
                let mut one = vec![0.0; n_bins];
                one[bin] = *error;
                let recoils = self.spread(&one);
                let corrected = self.is_corrected(part.species.as_deref());
                let bins = if corrected { kernel.apply(&recoils).bins } else { recoils.bins };
                variance.iter_mut().zip(self.eye.see(&bins)).for_each(|(v, e)| *v += e * e);
            }
        }
        Some(variance.iter().map(|v: &f64| v.sqrt()).collect())
    }
}

/// What resolution and trigger do to each internal bin: computed once, used for every replica.
struct Eye {
    grid: Grid,
    n_out: usize,
    /// For each internal bin: first output bin reached, and the probability of being seen in it and the following.
    rows: Vec<(usize, Vec<f64>)>,
    /// Probability of ending anywhere, before the trigger: 1.
    collected: Vec<f64>,
}

impl Eye {
    fn new(grid: Grid, edges: &[f64], detector: &Detector) -> Self {
        let resolution = detector.resolution;
        let reach = 10.0 * resolution.at(grid.end_ev()) + 1.0;
        // Output bins in pieces over which the efficiency hardly changes; in front and behind, all that is not seen.
        let mut fine = vec![edges[0] - reach - edges[0].max(0.0)];
        let mut owner = vec![None];
        for (bin, pair) in edges.windows(2).enumerate() {
            let pieces = ((pair[1] - pair[0]) / 0.5).ceil().clamp(1.0, 200.0) as usize;
            for piece in 0..pieces {
                fine.push(pair[0] + (pair[1] - pair[0]) * piece as f64 / pieces as f64);
                owner.push(Some(bin));
            }
        }
        let end = edges[edges.len() - 1];
        fine.push(end);
        owner.push(None);
        fine.push(end.max(grid.end_ev()) + reach);
        // The interval in front is that of owner 0.
        let efficiency: Vec<f64> = fine.windows(2).map(|e| detector.trigger.mean(e[0], e[1])).collect();
        let n_out = edges.len() - 1;
        let one = |bin: usize| {
            let (low, high) = grid.edges(bin);
            let alone = Grid { width_ev: high - low, n_bins: 1 };
            let shifted: Vec<f64> = fine.iter().map(|e| e - low).collect();
            let source = RecoilSpectrum { grid: alone, bins: vec![1.0], lines: Vec::new() };
            let sigma = resolution.at(0.5 * (low + high));
            let pieces = observe_with(&source, |_| sigma, &shifted);
            let mut row = vec![0.0; n_out];
            for ((p, owner), efficiency) in pieces.iter().zip(&owner).zip(&efficiency) {
                if let Some(bin) = owner {
                    row[*bin] += p.max(0.0) * efficiency;
                }
            }
            let first = row.iter().position(|p| *p > 0.0).unwrap_or(0);
            let last = row.iter().rposition(|p| *p > 0.0).map_or(first, |last| last + 1);
            ((first, row[first..last].to_vec()), pieces.iter().sum::<f64>())
        };
        let (rows, collected) = (0..grid.n_bins).into_par_iter().map(one).unzip();
        Self { grid, n_out, rows, collected }
    }

    fn see(&self, bins: &[f64]) -> Vec<f64> {
        let mut seen = vec![0.0; self.n_out];
        for (content, (first, row)) in bins.iter().zip(&self.rows).filter(|(c, _)| **c != 0.0) {
            seen[*first..].iter_mut().zip(row).for_each(|(s, p)| *s += content * p);
        }
        seen
    }
}

/// One simulated event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Recoil energy in eV.
    pub recoil_ev: f64,
    /// Energy stored in defects, eV.
    pub stored_ev: f64,
    /// Energy after stored energy and resolution, eV.
    pub measured_ev: f64,
    /// Whether the trigger kept it.
    pub triggered: bool,
}

/// Simulates recoils of the response's species, one event each.
pub fn simulate(
    recoils_ev: &[f64],
    response: &AnyResponse,
    detector: &Detector,
    seed: u64,
) -> Result<Vec<Event>, Error> {
    detector.validate()?;
    let mut random = Pcg64::seed_from_u64(seed);
    Ok(recoils_ev.iter().map(|e| event(*e, Some(response.best()), detector, &mut random)).collect())
}

/// Draws `number` events from a binned spectrum, each bin being flat.
pub fn simulate_binned(
    spectrum: &BinnedSpectrum,
    number: usize,
    response: &AnyResponse,
    detector: &Detector,
    seed: u64,
) -> Result<Vec<Event>, Error> {
    detector.validate()?;
    let mut below = vec![0.0];
    let mut total = 0.0;
    for count in spectrum.parts.iter().flat_map(|p| &p.counts) {
        total += count;
        below.push(total);
    }
    if total <= 0.0 {
        return Err(Error::input("spectrum", "expected counts above 0 somewhere, found none", "Give another spectrum"));
    }
    let n_bins = spectrum.edges_ev.len() - 1;
    let mut random = Pcg64::seed_from_u64(seed);
    let draw = |_| {
        let target = total * random.random::<f64>();
        let cell = below.partition_point(|b| *b <= target).clamp(1, below.len() - 1) - 1;
        let (part, bin) = (&spectrum.parts[cell / n_bins], cell % n_bins);
        let inside = ((target - below[cell]) / (below[cell + 1] - below[cell])).clamp(0.0, 1.0);
        let (low, high) = (spectrum.edges_ev[bin], spectrum.edges_ev[bin + 1]);
        let corrected = part.species.as_deref().is_none_or(|s| s == response.species());
        event(low + inside * (high - low), corrected.then(|| response.best()), detector, &mut random)
    };
    Ok((0..number).map(draw).collect())
}

fn event(recoil_ev: f64, stored: Option<StoredEnergy>, detector: &Detector, random: &mut impl Rng) -> Event {
    let stored_ev = stored.map_or(0.0, |s| s.sample(recoil_ev, random));
    let deposited = recoil_ev - stored_ev;
    let noise: f64 = random.sample(StandardNormal);
    let measured_ev = deposited + detector.resolution.at(deposited) * noise;
    let triggered = random.random::<f64>() < detector.trigger.efficiency(measured_ev);
    Event { recoil_ev, stored_ev, measured_ev, triggered }
}

#[cfg(test)]
mod tests {
    use super::super::detector::{Resolution, Trigger};
    use super::super::user::{Content, UserPart};
    use super::*;

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
            trigger: Trigger::ErrorFunction { threshold_ev: 20.0, width_ev: 5.0, plateau: 0.9 },
        }
    }

    fn paper(replicas: usize) -> AnyResponse {
        let mut response = Response::from_paper();
        response.bootstrap.truncate(replicas);
        AnyResponse::Curves(Box::new(response))
    }

    #[test]
    fn counts_are_conserved_and_the_grid_is_fine_enough() {
        for detector in [Detector::default(), detector()] {
            let found = detect(&spectrum(), &paper(10), &detector).unwrap();
            assert!(found.conservation_error < 1e-9, "{}", found.conservation_error);
            assert!(found.convergence_error < 1e-4, "{}", found.convergence_error);
            let inside = (40..60).all(|i| found.after_band[0][i] < found.after_band[1][i]);
            assert!(inside && found.after_error.is_some());
        }
    }

    #[test]
    fn events_agree_with_quadrature() {
        let (spectrum, response, detector) = (spectrum(), paper(0), detector());
        let folded = detect(&spectrum, &response, &detector).unwrap();
        let number = 400_000;
        let events = simulate_binned(&spectrum, number, &response, &detector, 5).unwrap();
        assert_eq!(events, simulate_binned(&spectrum, number, &response, &detector, 5).unwrap());
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
        let matrix = AnyResponse::Matrix(Box::new(matrix));
        let (curves, table) =
            (detect(&spectrum(), &paper(0), &detector()).unwrap(), detect(&spectrum(), &matrix, &detector()).unwrap());
        assert!(table.conservation_error < 1e-9 && table.after_band[0][50].is_nan());
        for (a, b) in curves.after.iter().zip(&table.after).take(98) {
            assert!((a / b - 1.0).abs() < 2e-3, "{a} {b}");
        }
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
}

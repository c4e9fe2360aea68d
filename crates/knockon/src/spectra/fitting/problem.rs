//! One data set, one model, one detector: where fits start, how they go on, how far their parameters may be off.

use super::super::calibration::Calibration;
use super::super::detector::{Detector, FAR_SIGMAS, Resolution};
use super::super::eye::{CONVERGED, Fineness, MOST_BINS, WIDEST_BIN_EV, largest_change};
use super::super::fold::{Grid, RecoilSpectrum};
use super::super::user::BinnedSpectrum;
use super::likelihood::{Bounds, Expectation, Optimum, cash, central_difference, minimise};
use super::made::{Eyes, Truths};
use super::model::Model;
use super::projection::{Projection, in_bins};
use super::{Fits, check_counts, total};
use crate::Error;
use crate::response::{Responses, StoredEnergy};
use nalgebra::DMatrix;
use rand::SeedableRng;
use rand_distr::{Distribution, Poisson};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use std::cmp::Ordering;
use std::sync::Arc;

/// Widest internal bins of simulated recoils, eV: these are counted in bins, and where they stand inside is lost. Narrow peaks of theirs move by
/// up to half a bin when bins are halved, which with 0.25 eV changes expected counts by 0.3 %.
const SIMULATED_BIN_EV: f64 = 0.0625;
/// A fit ends where the statistic falls by less than this share: for parameters, and for the statistic of drawn data sets alone.
const EXACT: f64 = 1e-9;
const ROUGH: f64 = 1e-4;
/// Steps after which a fit has not converged.
const MOST_STEPS: usize = 200;
/// Drawn data sets that share a projection.
const CHUNK: u64 = 50;
/// Steps towards an end of a profile: a distance that is wrong by many orders of magnitude is found as well.
const MOST_PROFILE_STEPS: u32 = 40;
/// Bins of true spectra are not narrower than this, eV.
const RECOIL_BIN_EV: f64 = 1.0;

/// See the module.
#[derive(Clone)]
pub(super) struct Problem<'a> {
    model: &'a Model,
    responses: &'a Responses,
    detector: &'a Detector,
    edges: &'a [f64],
    /// Counts of all bins.
    pub(super) observed: Vec<f64>,
    /// Which bins are fitted, ascending.
    pub(super) fitted: Vec<usize>,
    grid: Grid,
    /// Indices of free parameters.
    pub(super) free: Vec<usize>,
    /// Where fits start; none for scales that nobody set.
    start: Vec<Option<f64>>,
    /// Steps of a fit at most.
    pub(super) most_steps: usize,
    eyes: Arc<Eyes>,
    truths: Arc<Truths>,
}

/// A fit: values of all parameters, covariance of the free ones.
pub(super) struct Fit {
    pub(super) values: Vec<f64>,
    pub(super) statistic: f64,
    pub(super) covariance: DMatrix<f64>,
    /// Whether these are the best values: if not, neither they nor the statistic say anything.
    pub(super) converged: bool,
}

/// What a bin may count where this is expected.
fn counts_of_bin((bin, expected): (usize, &f64)) -> Result<Poisson<f64>, Error> {
    Poisson::new(expected.max(f64::MIN_POSITIVE)).map_err(|_| {
        let problem = format!("expected a number of counts that can be drawn, found {expected} in bin {}", bin + 1);
        Error::computation(problem, "Hold parameters (fix), or cut the spectrum there")
    })
}

/// Bins that no excluded range of energies in eV reaches into.
fn not_excluded(edges: &[f64], excluded_ev: &[[f64; 2]]) -> Result<Vec<usize>, Error> {
    let reaches_into = |range: &[f64; 2], bin: usize| range[0] < edges[bin + 1] && range[1] > edges[bin];
    let bins = 0..edges.len() - 1;
    for range @ [low, high] in excluded_ev {
        if low.partial_cmp(high) != Some(Ordering::Less) {
            let problem = format!("expected a range of ascending energies, found {low} to {high} eV");
            return Err(Error::input("exclude-ev", problem, "Write LOW:HIGH in eV, as 80:120"));
        }
        if !bins.clone().any(|bin| reaches_into(range, bin)) {
            let (first, last) = (edges[0], edges[edges.len() - 1]);
            let problem = format!("expected energies of the spectrum, {first} to {last} eV, found {low} to {high} eV");
            return Err(Error::input("exclude-ev", problem, "Leave it out, or give energies in eV"));
        }
    }
    Ok(bins.filter(|bin| !excluded_ev.iter().any(|range| reaches_into(range, *bin))).collect())
}

/// What errors call the data.
const PLACE: &str = "measured spectrum";

/// Fails if bins reach beyond what the responses say, or to where recoils from beyond come down.
fn check_range(edges: &[f64], responses: &Responses, resolution: Resolution) -> Result<(), Error> {
    let refuse = |problem: String, remedy: &str| Err(Error::input(PLACE, problem, remedy));
    let [low, high] = responses.usable_range_ev();
    let last = edges[edges.len() - 1];
    if last > high {
        let problem = format!("expected energies up to {high} eV, where the response ends, found {last}");
        return refuse(problem, "Cut the spectrum there, or give a response that reaches further");
    }
    if low > edges[0] {
        let problem = format!("expected energies from {low} eV, where the response starts, found {}", edges[0]);
        return refuse(problem, "Cut the spectrum there, or give a response that reaches lower");
    }
    let sigma_ev = resolution.constant_ev + resolution.slope * high;
    let stored_ev = responses.best().iter().map(|stored| stored.rarely_exceeded_ev(high)).fold(0.0, f64::max);
    let complete = high - stored_ev - FAR_SIGMAS * sigma_ev;
    if last <= complete {
        return Ok(());
    }
    // Rounded down, so that a spectrum that is cut there is accepted.
    let complete = (100.0 * complete).floor() / 100.0;
    if complete <= edges[0] {
        let problem = format!(
            "expected a resolution that leaves energies below {high} eV, where the response ends, found one of {sigma_ev} eV there"
        );
        return refuse(problem, "Resolutions are in eV (resolution_ev, resolution_slope): correct them");
    }
    let problem = format!(
        "expected energies up to {complete} eV, found {last}: recoils above {high} eV, where the response ends, store \
         energy and come down to there"
    );
    refuse(problem, "Cut the spectrum there, or give a response that reaches further")
}

/// Internal bins of recoil energy, up to `high` eV at most.
fn grid(edges: &[f64], model: &Model, resolution: Resolution, high: f64) -> Grid {
    let last = edges[edges.len() - 1];
    // Recoils come down by the stored energy and move by the resolution: further up than anybody looks.
    let end = (1.35 * last + 10.0 * (resolution.constant_ev + resolution.slope * last) + 20.0).min(high);
    let narrowest = edges.windows(2).map(|e| e[1] - e[0]).fold(f64::INFINITY, f64::min);
    let sigma = if resolution.constant_ev > 0.0 { resolution.constant_ev } else { f64::INFINITY };
    let widest = if model.is_simulated() { SIMULATED_BIN_EV } else { WIDEST_BIN_EV };
    let n_bins = (end / (0.5 * narrowest).min(0.25 * sigma).min(widest)).ceil().clamp(1.0, MOST_BINS);
    Grid { width_ev: end / n_bins, n_bins: n_bins as usize }
}

impl<'a> Problem<'a> {
    pub(super) fn new(
        measured: &'a BinnedSpectrum,
        model: &'a Model,
        responses: &'a Responses,
        detector: &'a Detector,
        excluded_ev: &[[f64; 2]],
    ) -> Result<Self, Error> {
        detector.validate()?;
        model.check(responses)?;
        let refuse = |problem: String, remedy: &str| Err(Error::input(PLACE, problem, remedy));
        check_counts(measured, PLACE)?;
        let edges = &measured.edges_ev;
        let observed: Vec<f64> =
            (0..edges.len() - 1).map(|bin| measured.parts.iter().map(|p| p.counts[bin]).sum()).collect();
        let free: Vec<usize> = (0..model.parameters.len()).filter(|i| model.parameters[*i].free).collect();
        let fitted = not_excluded(edges, excluded_ev)?;
        let counts = fitted.iter().fold(0.0, |sum, bin| sum + observed[*bin]);
        if fitted.len() <= free.len() {
            let (bins, n) = (fitted.len(), free.len());
            let problem = format!("expected more bins than the {n} free parameters, found {bins}");
            return refuse(problem, "Give more data, exclude fewer bins, or hold parameters (fix)");
        }
        if counts <= 0.0 {
            let problem = format!("expected counts in the bins that are fitted, found none in {}", fitted.len());
            return refuse(problem, "Nothing can be fitted to no counts: give more data, or exclude fewer bins");
        }
        let mut start: Vec<Option<f64>> = model.parameters.iter().map(|p| p.start).collect();
        let resolution = start.len() - 1;
        let held_ev = start[resolution].unwrap_or(detector.resolution.constant_ev);
        let resolution_ev = if free.contains(&resolution) { held_ev.max(1.0) } else { held_ev };
        start[resolution] = Some(resolution_ev);
        let seen = Resolution { constant_ev: resolution_ev, ..detector.resolution };
        check_range(edges, responses, seen)?;
        let grid = grid(edges, model, seen, responses.usable_range_ev()[1]);
        Ok(Self {
            model,
            responses,
            detector,
            edges,
            observed,
            fitted,
            grid,
            free,
            start,
            most_steps: MOST_STEPS,
            eyes: Arc::default(),
            truths: Arc::default(),
        })
    }

    /// The model seen with one set of numbers of each response, or none.
    pub(super) fn projection<'b>(&'b self, stored: &[StoredEnergy<'b>]) -> Projection<'b> {
        // Calibrated with the capture peak, each response has its own energy scale.
        let shared = self.detector.calibration == Calibration::ElectronRecoils;
        let eyes = if shared { Arc::clone(&self.eyes) } else { Arc::default() };
        let interpolated = self.free.contains(&(self.model.parameters.len() - 1));
        self.projection_on(stored, self.grid, Fineness::COARSE).sharing(eyes, Arc::clone(&self.truths), interpolated)
    }

    fn projection_on<'b>(&'b self, stored: &[StoredEnergy<'b>], grid: Grid, fine: Fineness) -> Projection<'b> {
        Projection::new(self.model, self.responses, stored, self.detector, self.edges, (grid, fine))
    }

    /// The best of several starts: each parameter of a shape also from 0.4 and 2.5 times its start.
    pub(super) fn search(&self, stored: &[StoredEnergy]) -> Result<Fit, Error> {
        let mut projection = self.projection(stored);
        let mut starts = vec![self.start.clone()];
        let shapes = self.model.components.iter().flat_map(|c| c.first + 1..=c.first + c.n_shape);
        for index in shapes.filter(|i| self.free.contains(i)) {
            for factor in [0.4, 2.5] {
                let mut start = self.start.clone();
                start[index] = start[index].map(|value| factor * value);
                starts.push(start);
            }
        }
        let mut best: Option<Fit> = None;
        for start in starts {
            let Some(start) = self.scaled(&mut projection, &start)? else { continue };
            let found = self.minimise(&mut projection, &start, &self.free, EXACT)?;
            if best.as_ref().is_none_or(|b| found.statistic < b.statistic) {
                best = Some(found);
            }
        }
        best.filter(|b| b.converged).ok_or_else(|| {
            Error::computation(
                "the fit has not converged: a component does not reach the bins, or the data do not fix its parameters",
                "Hold parameters (fix), start them closer to what fits (start), or use fewer components",
            )
        })
    }

    /// One fit from good values.
    pub(super) fn fit_from(&self, stored: &[StoredEnergy], start: &[f64]) -> Result<Fit, Error> {
        self.minimise(&mut self.projection(stored), start, &self.free, EXACT)
    }

    /// Puts scales that nobody set where all components give equal shares of the counts; none where one gives no counts.
    fn scaled(&self, projection: &mut Projection, start: &[Option<f64>]) -> Result<Option<Vec<f64>>, Error> {
        let components = &self.model.components;
        let mut values: Vec<f64> = start.iter().map(|value| value.unwrap_or(1.0)).collect();
        let mut units = values.clone();
        components.iter().for_each(|component| units[component.first] = 1.0);
        let share = self.in_fitted(&self.observed).iter().sum::<f64>() / components.len() as f64;
        for (component, unit) in components.iter().zip(projection.components(&units)?) {
            let total: f64 = self.in_fitted(&unit).iter().sum();
            if start[component.first].is_none() {
                values[component.first] = share / total;
            }
            if total <= 0.0 && self.free.contains(&component.first) {
                return Ok(None);
            }
        }
        Ok(Some(values))
    }

    fn minimise(
        &self,
        projection: &mut Projection,
        start: &[f64],
        free: &[usize],
        tolerance: f64,
    ) -> Result<Fit, Error> {
        let filled = |fitted: &[f64]| -> Vec<f64> {
            let mut values = start.to_vec();
            free.iter().zip(fitted).for_each(|(i, v)| values[*i] = *v);
            values
        };
        let observed = self.in_fitted(&self.observed);
        if free.is_empty() {
            let statistic = cash(&observed, &self.in_fitted(&total(&projection.components(start)?)));
            return Ok(Fit { values: start.to_vec(), statistic, covariance: DMatrix::zeros(0, 0), converged: true });
        }
        let first: Vec<f64> = free.iter().map(|i| start[*i]).collect();
        let bounds: Vec<Bounds> = free.iter().map(|i| self.model.parameters[*i].bounds()).collect();
        let expect = |fitted: &[f64]| self.expect(projection, &filled(fitted), free);
        let found = minimise(&observed, &bounds, &first, (tolerance, self.most_steps), expect)?;
        let Optimum { values, statistic, covariance, converged } = found;
        Ok(Fit { values: filled(&values), statistic, covariance, converged })
    }

    /// What is expected in the bins that are fitted.
    fn expect(&self, projection: &mut Projection, values: &[f64], free: &[usize]) -> Result<Expectation, Error> {
        let all = projection.expect(values, free)?;
        let derivatives = all.derivatives.iter().map(|by| self.in_fitted(by)).collect();
        Ok(Expectation { counts: self.in_fitted(&all.counts), derivatives })
    }

    /// Of all bins those that are fitted.
    pub(super) fn in_fitted(&self, counts: &[f64]) -> Vec<f64> {
        self.fitted.iter().map(|bin| counts[*bin]).collect()
    }

    /// Least statistics of `sets` data sets drawn from `expected` counts, each with its own best parameters, but for those whose fit
    /// has not converged. The seed is fixed.
    pub(super) fn drawn_statistics(
        &self,
        stored: &[StoredEnergy],
        best: &Fit,
        (expected, sets): (&[f64], u64),
        fits: &Fits,
    ) -> Result<Vec<f64>, Error> {
        let counts: Vec<Poisson<f64>> = expected.iter().enumerate().map(counts_of_bin).collect::<Result<_, _>>()?;
        // Sets of a chunk share a projection, which is costly to make.
        let of_chunk = |chunk: u64| -> Result<Vec<f64>, Error> {
            let mut projection = self.projection(stored);
            let mut of_set = |set: u64| -> Result<Option<f64>, Error> {
                let mut random = Pcg64::seed_from_u64(set + 1);
                let observed = counts.iter().map(|m| m.sample(&mut random)).collect();
                let drawn = Self { observed, ..self.clone() };
                let fit = drawn.minimise(&mut projection, &best.values, &self.free, ROUGH)?;
                fits.count();
                Ok(fit.converged.then_some(fit.statistic))
            };
            (chunk * CHUNK..sets.min((chunk + 1) * CHUNK)).filter_map(|set| of_set(set).transpose()).collect()
        };
        let chunks: Vec<Vec<f64>> =
            (0..sets.div_ceil(CHUNK)).into_par_iter().map(of_chunk).collect::<Result<_, _>>()?;
        Ok(chunks.concat())
    }

    /// For each free parameter, where the least statistic over all others is 1 above the minimum, below and above.
    pub(super) fn profile(&self, stored: &[StoredEnergy], best: &Fit) -> Result<Vec<[f64; 2]>, Error> {
        let ends = |index: usize| -> Result<[f64; 2], Error> {
            let mut projection = self.projection(stored);
            let [low, high] = [-1.0, 1.0].map(|side| self.profile_end(&mut projection, best, index, side));
            Ok([low?, high?])
        };
        (0..self.free.len()).into_par_iter().map(ends).collect()
    }

    /// The root of sqrt(C - C_min) = 1 on one side, close to linear in the parameter: a secant through the minimum, kept between
    /// what is known to lie on either side of it. A bound that is reached before is the end; NaN where there is none, or
    /// where fits have not converged: these say on which side it may be, but not that it is there.
    fn profile_end(&self, projection: &mut Projection, best: &Fit, index: usize, side: f64) -> Result<f64, Error> {
        let parameter = self.free[index];
        let Bounds { low, high } = self.model.parameters[parameter].bounds();
        let others: Vec<usize> = self.free.iter().copied().filter(|p| *p != parameter).collect();
        let value = best.values[parameter];
        let mut distance = self.first_distance(projection, best, index)?;
        let (mut inside, mut outside) = (0.0_f64, f64::INFINITY);
        let mut start = best.values.clone();
        for _ in 0..MOST_PROFILE_STEPS {
            let end = (value + side * distance).clamp(low, high);
            start[parameter] = end;
            let found = self.minimise(projection, &start, &others, EXACT)?;
            let rise = (found.statistic - best.statistic).max(0.0).sqrt();
            let at_bound = end == low || end == high;
            if found.converged && ((rise - 1.0).abs() < 2e-3 || (at_bound && rise <= 1.0)) {
                return Ok(end);
            }
            start = found.values;
            distance = (end - value).abs();
            if rise < 1.0 {
                inside = distance;
            } else {
                outside = distance;
            }
            distance /= rise.clamp(0.1, 10.0);
            if !(inside..=outside).contains(&distance) && outside.is_finite() {
                distance = 0.5 * (inside + outside);
            }
        }
        Ok(f64::NAN)
    }

    /// About the standard deviation of a free parameter: from the fit, or, at a bound, where there is none, from what the counts
    /// say of this parameter alone.
    fn first_distance(&self, projection: &mut Projection, best: &Fit, index: usize) -> Result<f64, Error> {
        let deviation = best.covariance[(index, index)].sqrt();
        if deviation.is_finite() && deviation > 0.0 {
            return Ok(deviation);
        }
        let parameter = self.free[index];
        let expected = self.expect(projection, &best.values, &[parameter])?;
        // Where nothing is expected, a single count would be seen.
        let terms = expected.derivatives[0].iter().zip(&expected.counts).map(|(d, mu)| d * d / mu.max(1.0));
        let information: f64 = terms.sum();
        let alone = 1.0 / information.sqrt();
        Ok(if alone.is_finite() { alone } else { 0.1 * best.values[parameter].abs().max(1e-3) })
    }

    /// How many internal bins make one bin of true spectra.
    fn bins_per_recoil_bin(&self) -> usize {
        (RECOIL_BIN_EV / self.grid.width_ev).round().max(1.0) as usize
    }

    /// Edges of true spectra in eV.
    pub(super) fn recoil_edges(&self) -> Vec<f64> {
        let every = self.bins_per_recoil_bin();
        (0..=self.grid.n_bins / every).map(|i| (i * every) as f64 * self.grid.width_ev).collect()
    }

    /// True counts of each component.
    pub(super) fn recoils(&self, values: &[f64]) -> Result<Vec<Vec<f64>>, Error> {
        let every = self.bins_per_recoil_bin();
        let of = |(index, component): (usize, &super::model::Component)| -> Result<Vec<f64>, Error> {
            let shape = &values[component.first + 1..=component.first + component.n_shape];
            let truth =
                self.truths.of(index, shape, || self.model.truth(component, shape, self.grid, self.responses))?;
            let all = in_bins(RecoilSpectrum::sum(self.grid, truth.iter().map(|part| part.recoils.clone())));
            Ok(all.chunks_exact(every).map(|c| values[component.first] * c.iter().sum::<f64>()).collect())
        };
        self.model.components.iter().enumerate().map(of).collect()
    }

    /// Derivatives of the true counts by the free parameters.
    pub(super) fn recoil_derivatives(&self, values: &[f64]) -> Result<Vec<Vec<f64>>, Error> {
        let by = |parameter: &usize| -> Result<Vec<f64>, Error> {
            let bounds = self.model.parameters[*parameter].bounds();
            central_difference(values, *parameter, bounds, |at| self.recoils(at).map(|all| total(&all)))
        };
        self.free.iter().map(by).collect()
    }

    /// Largest relative change of expected counts (of small bins: relative to 1e-3 of the largest) when the internal bins
    /// are halved; refused where it is too large.
    pub(super) fn convergence_error(
        &self,
        stored: &[StoredEnergy],
        values: &[f64],
        expected: &[f64],
    ) -> Result<f64, Error> {
        let grid = Grid { width_ev: 0.5 * self.grid.width_ev, n_bins: 2 * self.grid.n_bins };
        let finer = total(&self.projection_on(stored, grid, Fineness::COARSE.halved()).components(values)?);
        // Bins that are left out may hold anything.
        let (number, change) = largest_change(&self.in_fitted(expected), &self.in_fitted(&finer));
        if change > CONVERGED {
            let bin = self.fitted[number];
            let problem = format!(
                "the fold has not converged: halving internal bins of {:.3} eV changes the {:.3} counts expected in bin {} by {:.2} %",
                self.grid.width_ev,
                finer[bin],
                bin + 1,
                100.0 * change
            );
            let remedy =
                "Cut the spectrum to where the trigger lets enough through; else give a resolution, or wider bins";
            return Err(Error::computation(problem, remedy));
        }
        Ok(change)
    }
}

//! What true spectrum fits a measured one: a parametric model is folded with response and detector and its parameters are
//! fitted to the counts ([`fit_spectrum`]). Nothing is inverted: a naive inversion would amplify the fluctuations of counts.
//!
//! `model` (sums of components) -> `projection` (expected counts and their derivatives) -> `likelihood` (Poisson, maximum);
//! `problem` is one fit of one data set; `made` keeps what is costly to make.

mod likelihood;
mod made;
mod model;
mod problem;
mod projection;
#[cfg(test)]
mod tests;

pub use model::{Model, Parameter};

use super::detector::Detector;
use super::user::{BinnedSpectrum, Content, are_whole};
use crate::Error;
use crate::math::{band, band_by_bin, gamma_p};
use crate::progress::Progress;
use crate::response::{Responses, StoredEnergy};
use likelihood::expected_statistic;
use nalgebra::DMatrix;
use problem::{Fit, Problem};
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// A fitted parameter.
#[derive(Clone, Debug)]
pub struct FittedParameter {
    /// As in [`Parameter::name`].
    pub name: String,
    /// Whether it was fitted.
    pub free: bool,
    /// Best value.
    pub value: f64,
    /// Standard deviation from the information matrix; NaN at a bound.
    pub deviation: f64,
    /// Ends of the 68 % interval from the profile likelihood (C rises by 1); NaN where there is none, or where fits on the way to
    /// it have not converged.
    pub interval: [f64; 2],
    /// 16 % and 84 % quantiles over fits with the response's bootstrap sets; NaN without any.
    pub response_interval: [f64; 2],
    /// What a fit without energy stored in defects finds.
    pub without_stored_energy: f64,
}

/// A spectrum with its uncertainties, in counts per bin.
#[derive(Clone, Debug)]
pub struct FittedCounts {
    /// Edges in eV.
    pub edges_ev: Vec<f64>,
    /// Best fit.
    pub counts: Vec<f64>,
    /// Standard deviation from that of the parameters.
    pub deviation: Vec<f64>,
    /// 16 % and 84 % quantiles over the response's bootstrap sets; NaN without any.
    pub response_band: [Vec<f64>; 2],
    /// Best fit by component.
    pub components: Vec<(String, Vec<f64>)>,
}

/// A fitted model.
#[derive(Clone, Debug)]
pub struct SpectrumFit {
    /// All parameters.
    pub parameters: Vec<FittedParameter>,
    /// Correlations of the free parameters, in their order; NaN at a bound.
    pub correlation: Vec<Vec<f64>>,
    /// Counts of all bins.
    pub observed: Vec<f64>,
    /// Which of them were fitted: all but those that an excluded range reaches into.
    pub is_fitted: Vec<bool>,
    /// As the detector sees the model, in the bins of the input.
    pub measured: FittedCounts,
    /// The true spectrum, recoil energies in bins of about 1 eV.
    pub recoils: FittedCounts,
    /// Cash statistic, and its mean and standard deviation if the model holds (fitted parameters subtracted).
    pub statistic: f64,
    /// See [`Self::statistic`].
    pub expected_statistic: f64,
    /// See [`Self::statistic`].
    pub statistic_deviation: f64,
    /// Probability of a statistic as large as this if the model holds.
    pub p_value: f64,
    /// Data sets that were drawn and fitted for it: [`DRAWN_SETS`], but for those whose fit has not converged; 0 where every bin has
    /// counts enough for a chi-squared distribution.
    pub n_drawn_sets: usize,
    /// The statistic of the fit without energy stored in defects.
    pub statistic_without_stored_energy: f64,
    /// Largest relative change of the expected counts when the internal bins are halved.
    pub convergence_error: f64,
    /// Factor between deposited and measured energy.
    pub calibration_scale: f64,
    /// Bootstrap sets used: the first [`MOST_RESPONSE_SETS`], but for those with which the fit has not converged.
    pub n_response_sets: usize,
}

impl SpectrumFit {
    /// Whether all counts that were fitted are whole numbers: errors and p-value assume Poisson counts. Expectations, which are not
    /// whole, may be fitted as well.
    pub fn counts_are_whole(&self) -> bool {
        let fitted = self.observed.iter().zip(&self.is_fitted).filter(|(_, is_fitted)| **is_fitted);
        are_whole(&fitted.map(|(counts, _)| *counts).collect::<Vec<f64>>())
    }
}

/// Refuses a spectrum of rates; `place` is what errors call it.
pub fn check_counts(measured: &BinnedSpectrum, place: &str) -> Result<(), Error> {
    if measured.content == Content::Counts {
        return Ok(());
    }
    let problem = format!("expected counts as observed, found \"{}\", which is read as a rate", measured.column);
    let remedy = "The Poisson likelihood needs counts. Multiply the rate by what its unit divides by: the exposure in kg day if it is per kg \
                  and day, and the width of each bin, in keV (that in eV over 1000) if it is per keV; name the column counts then. If \
                  the column holds counts already, rename it or say so (content counts)";
    Err(Error::input(place, problem, remedy))
}

/// Bootstrap sets that fits are repeated with at most.
pub const MOST_RESPONSE_SETS: usize = 100;

/// Expected counts in a bin below which the distribution of the statistic is sampled: there it depends on the counts and on what
/// the fit makes of them.
const FEW_COUNTS: f64 = 10.0;
/// Data sets drawn then: a p-value of 0.05 is known to 0.01.
pub const DRAWN_SETS: u64 = 400;

/// Fits `model` to the counts of `measured`, binned in measured energy; of several responses each is for the recoils of its
/// element. The resolution is the model's last parameter, by default held at that of the detector. Bins that one of the ranges
/// `excluded_ev` (low, high) reaches into are predicted, but say nothing of the parameters.
pub fn fit_spectrum(
    measured: &BinnedSpectrum,
    model: &Model,
    responses: &Responses,
    detector: &Detector,
    excluded_ev: &[[f64; 2]],
    progress: &dyn Progress,
) -> Result<SpectrumFit, Error> {
    let problem = Problem::new(measured, model, responses, detector, excluded_ev)?;
    let stored = &responses.best();
    let best = problem.search(stored)?;
    let without = problem.search(&[])?;
    let sets: Vec<Vec<StoredEnergy>> = responses.replicas().into_iter().take(MOST_RESPONSE_SETS).collect();
    let mut projection = problem.projection(stored);
    let components = projection.components(&best.values)?;
    let expected = total(&components);
    let drawn_sets = if has_few(&problem.in_fitted(&expected)) { DRAWN_SETS } else { 0 };
    let fits = Fits { progress, done: AtomicU64::new(0), total: sets.len() as u64 + drawn_sets };
    let replicas = fits_with_sets(&problem, &sets, &best, &fits)?;
    let intervals = problem.profile(stored, &best)?;
    let goodness = goodness(&problem, stored, &best, &expected, &fits)?;
    let convergence_error = problem.convergence_error(stored, &best.values, &expected)?;
    let derivatives = projection.expect(&best.values, &problem.free)?.derivatives;
    let seen: Vec<&Vec<f64>> = replicas.iter().map(|r| &r.seen).collect();
    let recoils: Vec<&Vec<f64>> = replicas.iter().map(|r| &r.recoils).collect();
    let fitted = |edges_ev, components, derivatives: &[Vec<f64>], sets: &[&Vec<f64>]| {
        fitted_counts(model, edges_ev, components, (derivatives, &best.covariance), sets)
    };
    Ok(SpectrumFit {
        parameters: fitted_parameters(model, &problem.free, [&best, &without], &intervals, &replicas),
        correlation: correlation(&best.covariance),
        is_fitted: (0..problem.observed.len()).map(|bin| problem.fitted.contains(&bin)).collect(),
        observed: problem.observed.clone(),
        measured: fitted(measured.edges_ev.clone(), components, &derivatives, &seen),
        recoils: fitted(
            problem.recoil_edges(),
            problem.recoils(&best.values)?,
            &problem.recoil_derivatives(&best.values)?,
            &recoils,
        ),
        statistic: best.statistic,
        expected_statistic: goodness.mean,
        statistic_deviation: goodness.variance.sqrt(),
        p_value: goodness.p_value,
        n_drawn_sets: goodness.n_drawn,
        statistic_without_stored_energy: without.statistic,
        convergence_error,
        calibration_scale: projection.scale(&best.values)?,
        n_response_sets: replicas.len(),
    })
}

/// Counts fits to one progress.
struct Fits<'a> {
    progress: &'a dyn Progress,
    done: AtomicU64,
    total: u64,
}

impl Fits<'_> {
    /// One more fit is done.
    fn count(&self) {
        self.progress.update(1 + self.done.fetch_add(1, Ordering::Relaxed), self.total);
    }
}

/// A fit with one of the response's bootstrap sets.
struct Replica {
    values: Vec<f64>,
    /// Measured counts.
    seen: Vec<f64>,
    /// True counts.
    recoils: Vec<f64>,
}

/// Each set of the response with its own best parameters, but for those with which the fit has not converged.
fn fits_with_sets(
    problem: &Problem,
    sets: &[Vec<StoredEnergy>],
    best: &Fit,
    fits: &Fits,
) -> Result<Vec<Replica>, Error> {
    let with_set = |set: &Vec<StoredEnergy>| -> Result<Option<Replica>, Error> {
        let Fit { values, converged, .. } = problem.fit_from(set, &best.values)?;
        fits.count();
        if !converged {
            return Ok(None);
        }
        let seen = total(&problem.projection(set).components(&values)?);
        let recoils = total(&problem.recoils(&values)?);
        Ok(Some(Replica { values, seen, recoils }))
    };
    let found: Vec<Option<Replica>> = sets.par_iter().map(with_set).collect::<Result<_, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// What the statistic should be if the model holds, fitted parameters subtracted, and how it compares.
struct Goodness {
    mean: f64,
    variance: f64,
    p_value: f64,
    /// Data sets that were drawn for it.
    n_drawn: usize,
}

/// Whether a bin expects so few counts that data sets are drawn for the p-value.
fn has_few(expected: &[f64]) -> bool {
    expected.iter().any(|m| *m < FEW_COUNTS)
}

fn goodness(
    problem: &Problem,
    stored: &[StoredEnergy],
    best: &Fit,
    expected: &[f64],
    fits: &Fits,
) -> Result<Goodness, Error> {
    let in_fitted = problem.in_fitted(expected);
    let (mean, variance) = expected_statistic(&in_fitted);
    // A fitted parameter takes one unit of chi squared, with its variance of 2.
    let n_free = problem.free.len() as f64;
    let (mean, variance) = (mean - n_free, (variance - 2.0 * n_free).max(0.0));
    if !has_few(&in_fitted) {
        let p_value = chi_squared_p_value(best.statistic, mean, variance);
        return Ok(Goodness { mean, variance, p_value, n_drawn: 0 });
    }
    let drawn = problem.drawn_statistics(stored, best, (expected, DRAWN_SETS), fits)?;
    if drawn.is_empty() {
        let problem = format!("no p-value: none of the fits of {DRAWN_SETS} drawn data sets has converged");
        return Err(Error::computation(problem, "Hold parameters (fix), or use fewer components"));
    }
    let p_value = drawn_p_value(best.statistic, &drawn);
    Ok(Goodness { mean, variance, p_value, n_drawn: drawn.len() })
}

/// All parameters, `free` being the indices of those that were fitted.
fn fitted_parameters(
    model: &Model,
    free: &[usize],
    [best, without]: [&Fit; 2],
    intervals: &[[f64; 2]],
    replicas: &[Replica],
) -> Vec<FittedParameter> {
    let fitted = |(index, parameter): (usize, &Parameter)| {
        let free = free.iter().position(|p| *p == index);
        let mut spread: Vec<f64> = replicas.iter().map(|r| r.values[index]).collect();
        FittedParameter {
            name: parameter.name.clone(),
            free: free.is_some(),
            value: best.values[index],
            deviation: free.map_or(f64::NAN, |i| best.covariance[(i, i)].sqrt()),
            interval: free.map_or([f64::NAN; 2], |i| intervals[i]),
            response_interval: free.map_or([f64::NAN; 2], |_| band(&mut spread)),
            without_stored_energy: without.values[index],
        }
    };
    model.parameters.iter().enumerate().map(fitted).collect()
}

/// Counts of the components with the uncertainties that follow from derivatives and covariance of the free parameters, and from
/// the same counts with `sets` of the response.
fn fitted_counts(
    model: &Model,
    edges_ev: Vec<f64>,
    components: Vec<Vec<f64>>,
    (derivatives, covariance): (&[Vec<f64>], &DMatrix<f64>),
    sets: &[&Vec<f64>],
) -> FittedCounts {
    let counts = total(&components);
    FittedCounts {
        edges_ev,
        deviation: deviation(derivatives, covariance, counts.len()),
        response_band: band_by_bin(sets, counts.len()),
        components: model.components.iter().map(|c| c.name.clone()).zip(components).collect(),
        counts,
    }
}

/// Probability of a larger value of chi squared, scaled and with degrees of freedom such that mean and variance are these: exact
/// for many counts in every bin, where they are n and 2 n.
fn chi_squared_p_value(statistic: f64, mean: f64, variance: f64) -> f64 {
    1.0 - gamma_p(mean * mean / variance, statistic * mean / variance)
}

/// Share of statistics as large as this among those drawn, this one counted with them (Davison and Hinkley, Bootstrap Methods
/// (1997), section 4.2).
fn drawn_p_value(statistic: f64, drawn: &[f64]) -> f64 {
    // Equal counts give equal statistics up to rounding.
    let as_large = drawn.iter().filter(|c| **c >= statistic - 1e-6 * (1.0 + statistic)).count();
    (as_large + 1) as f64 / (drawn.len() + 1) as f64
}

/// The sum of components.
fn total(components: &[Vec<f64>]) -> Vec<f64> {
    let n = components.first().map_or(0, Vec::len);
    (0..n).map(|bin| components.iter().map(|c| c[bin]).sum()).collect()
}

/// Standard deviation of each bin from that of the parameters that are not at a bound.
fn deviation(derivatives: &[Vec<f64>], covariance: &DMatrix<f64>, n_bins: usize) -> Vec<f64> {
    let inside: Vec<usize> = (0..derivatives.len()).filter(|i| covariance[(*i, *i)].is_finite()).collect();
    let variance = |bin: usize| -> f64 {
        let pairs = inside.iter().flat_map(|i| inside.iter().map(move |j| (*i, *j)));
        pairs.map(|(i, j)| derivatives[i][bin] * covariance[(i, j)] * derivatives[j][bin]).sum()
    };
    (0..n_bins).map(|bin| variance(bin).max(0.0).sqrt()).collect()
}

fn correlation(covariance: &DMatrix<f64>) -> Vec<Vec<f64>> {
    let n = covariance.nrows();
    let of = |i: usize, j: usize| covariance[(i, j)] / (covariance[(i, i)] * covariance[(j, j)]).sqrt();
    (0..n).map(|i| (0..n).map(|j| of(i, j)).collect()).collect()
}

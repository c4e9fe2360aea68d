//! All combinations of shape and evolution side by side: how well each predicts cascades it has not seen, and what each would
//! change. The user sees whether the choice matters.

use super::Parameters;
use super::build::{Fitted, Form, Known, Settings, fit_points, shape_points};
use super::evolution::Evolution;
use super::observable::Observables;
use super::samples::{EnergySamples, all_trials};
use super::shape::ShapeModel;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Recoil energies in eV at which consequences are shown: the capture peaks.
const ENERGIES_EV: [f64; 3] = [81.0, 112.0, 160.0];
/// Folds of the cross-validation, and directions that it needs.
const FOLDS: usize = 8;
const FEWEST_DIRECTIONS: usize = 4;
/// A stored energy that a form takes for impossible costs as much as this density per eV; one value must not decide.
const FLOOR: f64 = 1e-9;
/// Differences of the held-out log likelihood below this tell nothing (likelihoods within a factor of 7), however steady
/// they are from direction to direction.
const INDIFFERENT: f64 = 2.0;

/// One combination with its scores and consequences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelScore {
    /// Family of distributions.
    pub shape: ShapeModel,
    /// Family of curves that was asked for.
    pub evolution: Evolution,
    /// What the mean became: another curve where the one asked for did not fit.
    pub fitted_as: String,
    /// Numbers fitted to the non-zero stored energies; none for the empirical shape.
    pub n_parameters: Option<usize>,
    /// Sum of log densities (per eV) of the non-zero stored energies, with weights that add up to their effective number. The
    /// defect probability is the same for all and left out.
    pub log_likelihood: f64,
    /// Akaike's criterion, 2 k - 2 ln L. Curves are fitted to the shapes of single energies, so that L is close to its maximum,
    /// not at it.
    pub aic: Option<f64>,
    /// Schwarz's criterion, k ln n - 2 ln L.
    pub bic: Option<f64>,
    /// Mean log density of a held-out non-zero stored energy; whole directions are held out, in eight folds. None with fewer
    /// than four directions.
    pub held_out: Option<f64>,
    /// Best held-out score minus this one.
    pub behind_best: Option<f64>,
    /// Standard error of this difference, by direction.
    pub behind_best_error: Option<f64>,
    /// Whether the difference is within its standard error, or below 2 in the held-out log likelihood of all: the bootstrap
    /// draws among these, one of each `fitted_as`.
    pub accepted: bool,
    /// Whether it gives the best parameters.
    pub chosen: bool,
    /// What it means for the capture peaks.
    pub consequences: Vec<Observables>,
}

/// The scores of all combinations that the samples can carry, best first where they can be held out.
pub(super) fn scores(samples: &[EnergySamples], settings: &Settings, known: &Known) -> Vec<ModelScore> {
    let mut rows = Vec::new();
    let mut by_cluster: Vec<Vec<f64>> = Vec::new();
    let directions: Vec<u32> =
        samples.iter().flat_map(|s| s.runs.iter().map(|r| r.direction)).collect::<BTreeSet<_>>().into_iter().collect();
    let folds = FOLDS.min(directions.len());
    let held_out = directions.len() >= FEWEST_DIRECTIONS;
    // The defect probability takes no part in the scores: that of all directions serves every fold.
    let trials = all_trials(samples);
    for shape in ShapeModel::ALL {
        let known = known.best(shape);
        let points = shape_points(samples, shape, settings.minimum_nonzero);
        // Each fold's training samples and shapes, shared by all evolutions.
        let training: Vec<_> = (0..if held_out { folds } else { 0 })
            .map(|fold| {
                let kept = without(samples, |d| position(&directions, d) % folds == fold);
                let points = shape_points(&kept, shape, settings.minimum_nonzero);
                (kept, points)
            })
            .collect();
        for evolution in Evolution::ALL {
            let form = Form { shape, evolution, ..settings.form() };
            let fitted = fit_points(samples, &points, &trials, form, &known);
            if fitted.parameters.shape != shape {
                continue;
            }
            let mut clusters = vec![0.0; directions.len()];
            for (fold, (kept, points)) in training.iter().enumerate() {
                let parameters = fit_points(kept, points, &trials, form, &known).parameters;
                for (direction, value) in log_densities(samples, &parameters) {
                    let place = position(&directions, direction);
                    if place % folds == fold {
                        clusters[place] += value;
                    }
                }
            }
            by_cluster.push(clusters);
            rows.push(row(samples, settings, form, &fitted));
        }
    }
    if held_out {
        compare(&mut rows, &by_cluster, weight_of_all(samples));
    }
    rows
}

/// The forms that the bootstrap draws. Of those that became the same curve, as a parabola that gave way to a straight line,
/// only the first: it would count twice.
pub(super) fn accepted(rows: &[ModelScore], settings: &Settings) -> Vec<Form> {
    let mut drawn: Vec<&ModelScore> = Vec::new();
    for row in rows.iter().filter(|row| row.accepted) {
        if !drawn.iter().any(|d| d.shape == row.shape && d.fitted_as == row.fitted_as) {
            drawn.push(row);
        }
    }
    drawn.iter().map(|row| Form { shape: row.shape, evolution: row.evolution, ..settings.form() }).collect()
}

fn position(directions: &[u32], direction: u32) -> usize {
    directions.binary_search(&direction).unwrap_or(0)
}

fn row(samples: &[EnergySamples], settings: &Settings, form: Form, fitted: &Fitted) -> ModelScore {
    let log_likelihood: f64 = log_densities(samples, &fitted.parameters).iter().map(|(_, value)| value).sum();
    let n_parameters = (form.shape != ShapeModel::Empirical).then(|| {
        let asymmetry = usize::from(form.shape == ShapeModel::AsymmetricGaussian);
        fitted.mean_rule.n_parameters() + fitted.width_rule.n_parameters() + asymmetry
    });
    ModelScore {
        shape: form.shape,
        evolution: form.evolution,
        fitted_as: fitted.mean_rule.in_words(),
        n_parameters,
        log_likelihood,
        aic: n_parameters.map(|k| 2.0 * k as f64 - 2.0 * log_likelihood),
        bic: n_parameters.map(|k| k as f64 * weight_of_all(samples).ln() - 2.0 * log_likelihood),
        held_out: None,
        behind_best: None,
        behind_best_error: None,
        accepted: true,
        chosen: form == settings.form(),
        consequences: ENERGIES_EV.iter().map(|e| Observables::of(&fitted.parameters, *e)).collect(),
    }
}

/// Fills in the held-out scores from the sums of each direction.
fn compare(rows: &mut [ModelScore], by_cluster: &[Vec<f64>], weight: f64) {
    let totals: Vec<f64> = by_cluster.iter().map(|c| c.iter().sum()).collect();
    let Some(best) = (0..rows.len()).max_by(|a, b| totals[*a].total_cmp(&totals[*b])) else { return };
    for (index, row) in rows.iter_mut().enumerate() {
        let n = by_cluster[index].len() as f64;
        let differences: Vec<f64> = by_cluster[best].iter().zip(&by_cluster[index]).map(|(b, c)| b - c).collect();
        let mean = differences.iter().sum::<f64>() / n;
        let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() * n / (n - 1.0);
        row.held_out = Some(totals[index] / weight);
        row.behind_best = Some(n * mean / weight);
        row.behind_best_error = Some(variance.sqrt() / weight);
        row.accepted = n * mean <= variance.sqrt().max(INDIFFERENT);
    }
    rows.sort_by(|a, b| b.held_out.unwrap_or(0.0).total_cmp(&a.held_out.unwrap_or(0.0)));
}

/// Direction and weighted log density of each non-zero stored energy; weights of an energy add up to its effective number.
fn log_densities(samples: &[EnergySamples], parameters: &Parameters) -> Vec<(u32, f64)> {
    let mut values = Vec::new();
    for sample in samples {
        let shape = parameters.shape_at(sample.recoil_energy_ev);
        let effective = sample.statistics().effective_number;
        for run in sample.runs.iter().filter(|r| r.stored_energy_ev > 0.0) {
            let density = shape.density(run.stored_energy_ev.min(sample.recoil_energy_ev * (1.0 - 1e-9)));
            values.push((run.direction, run.weight * effective * density.max(FLOOR).ln()));
        }
    }
    values
}

/// Effective number of all non-zero stored energies.
fn weight_of_all(samples: &[EnergySamples]) -> f64 {
    let of = |s: &EnergySamples| s.statistics().effective_number * s.nonzero().1.iter().sum::<f64>();
    samples.iter().map(of).sum::<f64>().max(f64::MIN_POSITIVE)
}

/// The samples without some directions.
fn without(samples: &[EnergySamples], leave_out: impl Fn(u32) -> bool) -> Vec<EnergySamples> {
    let mut kept = samples.to_vec();
    for sample in &mut kept {
        sample.runs.retain(|r| !leave_out(r.direction));
        let total: f64 = sample.runs.iter().map(|r| r.weight).sum();
        sample.runs.iter_mut().for_each(|r| r.weight /= total);
    }
    kept.retain(|s| !s.runs.is_empty());
    kept
}

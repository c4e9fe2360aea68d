//! How errors fall with the number of labels: fits to parts of the data, tested on what was held out.
//!
//! Each part is a random choice of whole groups outside of the fold that is tested, so that the curve says what more labels
//! of the same kinds buy. The strength of the prior is that of the full fit. The errors are fitted with a power of the number
//! of labels, as learning curves of atomistic models follow (Zuo et al., J. Phys. Chem. A 124, 731 (2020), fig. 2).

use super::factor::{Factor, expand};
use super::prepared::Prepared;
use super::report::{ErrorRow, Split, errors};
use super::settings::Settings;
use super::training_data::TrainingData;
use crate::Error;
use crate::potential::Model;
use crate::progress::Progress;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::Serialize;

/// Parts of the training groups that are used.
const PARTS: [f64; 4] = [0.25, 0.5, 0.75, 1.0];
/// Random choices of each part.
const REPEATS: u64 = 3;

/// Held-out errors with one number of labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LearningPoint {
    /// Labels in the fit, mean over folds and choices.
    pub n_labels: f64,
    /// Class, or `all`.
    pub class: String,
    /// Mean absolute error of the energy of a box, eV, mean over choices; none without energies, and so on.
    pub energy_mae_ev_per_box: Option<f64>,
    /// Mean absolute error of a force component, eV/angstrom, mean over choices.
    pub force_mae_ev_per_angstrom: Option<f64>,
    /// Standard deviation of the force error over the choices.
    pub force_mae_spread_ev_per_angstrom: Option<f64>,
}

/// The curve for the variant and strength of `model`, which these settings and data must have made.
pub fn learning_curve(
    settings: &Settings,
    data: &TrainingData,
    model: &Model,
    progress: &dyn Progress,
) -> Result<Vec<LearningPoint>, Error> {
    let (sharing, strength) = super::posterior::fitted_as(settings, data, model)?;
    let prepared = Prepared::of(model.clone(), settings, data, &crate::progress::Silent)?;
    let prior = prepared.prior(sharing)?;
    let n_folds = prepared.folds.iter().max().map_or(0, |f| f + 1);
    let mut curve = Vec::new();
    // All of the data are one choice.
    let repeats_of = |part: f64| if part < 1.0 { REPEATS } else { 1 };
    let (total, mut done) = (PARTS.into_iter().map(repeats_of).sum(), 0);
    for part in PARTS {
        let repeats = repeats_of(part);
        let (mut rows, mut labels) = (Vec::new(), 0.0);
        for repeat in 0..repeats {
            let chosen: Vec<Vec<usize>> = (0..n_folds).map(|f| choose(&prepared.folds, f, part, repeat)).collect();
            let fit = |groups: &Vec<usize>| {
                let mut factor: Factor = prepared.isolated.clone();
                groups.iter().for_each(|g| factor.absorb(&prepared.streamed.groups[*g]));
                factor.compress();
                Ok(expand(&prior.mean, &prior.basis, &prior.decompose(&factor)?.solve(strength)))
            };
            let fits: Vec<Vec<f64>> = chosen.par_iter().map(fit).collect::<Result<_, Error>>()?;
            let predictions = prepared.predict_held_out(&fits)?;
            rows.push(errors(data, &prepared.class_names, &predictions, Split::HeldOut));
            let n_labels: usize = chosen.iter().flatten().map(|g| prepared.sizes[*g]).sum();
            labels += n_labels as f64 / (n_folds as f64 * repeats as f64);
            done += 1;
            progress.update(done, total);
        }
        curve.extend((0..rows[0].len()).map(|class| point(labels, &rows, class)));
    }
    Ok(curve)
}

/// Groups outside of a fold: a random part of them, at least one.
fn choose(folds: &[usize], fold: usize, part: f64, repeat: u64) -> Vec<usize> {
    let mut groups: Vec<usize> = (0..folds.len()).filter(|g| folds[*g] != fold).collect();
    groups.shuffle(&mut Pcg64::new(u128::from(repeat), fold as u128));
    groups.truncate(((part * groups.len() as f64).round() as usize).max(1));
    groups.sort_unstable();
    groups
}

fn point(n_labels: f64, rows: &[Vec<ErrorRow>], class: usize) -> LearningPoint {
    let mean = |of: &dyn Fn(&ErrorRow) -> Option<f64>| {
        let sum: Option<f64> = rows.iter().map(|r| of(&r[class])).sum();
        sum.map(|sum| sum / rows.len() as f64)
    };
    let force = mean(&|r| r.force_mae_ev_per_angstrom);
    LearningPoint {
        n_labels,
        class: rows[0][class].class.clone(),
        energy_mae_ev_per_box: mean(&|r| r.energy_mae_ev_per_box),
        force_mae_ev_per_angstrom: force,
        force_mae_spread_ev_per_angstrom: mean(&|r| Some((r.force_mae_ev_per_angstrom? - force?).powi(2)))
            .map(f64::sqrt),
    }
}

/// The power law through errors at numbers of labels, by least squares of the logarithms: error = factor * labels^exponent.
/// None with fewer than two points or where an error is zero.
pub fn power_law(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let logarithms: Vec<(f64, f64)> = points.iter().map(|(n, e)| (n.ln(), e.ln())).collect();
    let count = logarithms.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| logarithms.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let spread: f64 = logarithms.iter().map(|p| (p.0 - x).powi(2)).sum();
    let exponent = logarithms.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>() / spread;
    (exponent.is_finite()).then(|| ((y - exponent * x).exp(), exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_law_is_found() {
        let points: Vec<(f64, f64)> = [10.0, 20.0, 40.0, 75.0].map(|n: f64| (n, 3.0 * n.powf(-0.4))).to_vec();
        let (factor, exponent) = power_law(&points).unwrap();
        assert!((factor - 3.0).abs() < 1e-12 && (exponent + 0.4).abs() < 1e-12);
        assert!(power_law(&points[..1]).is_none() && power_law(&[(1.0, 0.0), (2.0, 1.0)]).is_none());
    }

    /// A part never holds groups of the tested fold, and larger parts of the same choice hold the smaller.
    #[test]
    fn parts_are_nested_and_leave_the_fold_out() {
        let folds = [0, 1, 2, 0, 1, 2, 0, 1];
        for fold in 0..3 {
            let (small, large) = (choose(&folds, fold, 0.5, 4), choose(&folds, fold, 1.0, 4));
            assert!(small.iter().all(|g| large.contains(g)) && small.len() < large.len());
            assert!(large.iter().all(|g| folds[*g] != fold));
            assert_eq!(large.len(), folds.iter().filter(|f| **f != fold).count());
        }
    }
}

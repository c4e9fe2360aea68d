//! Do the predicted deviations tell the errors? Committee and extrapolation grade against held-out data.
//!
//! The members of the committee are draws from the posterior of the regularised least squares. Its noise is what the
//! settings expect of each label, so it knows where data are dense or missing, but not how wrong the form of the model
//! is: its spread is too small. Every configuration is therefore predicted by a fit, and by a committee drawn around
//! that fit, which have not seen it or its relatives; the ratio of errors to deviations there is the scale by which
//! deviations are multiplied. docs/uncertainty.md compares with a bootstrap over groups.

use super::factor::{PriorPath, expand};
use super::prior::Prior;
use super::report::{Prediction, predict};
use super::stream::Unknowns;
use super::training_data::TrainingData;
use super::validation::Validation;
use crate::io::csv_field;
use crate::potential::{Descriptors, GradeBuilder, GradeFile, Model};
use crate::{Error, NeighborList};
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::Serialize;
use std::fmt::Write;

/// Members of the committee: few, because each costs a part of the model again; see docs/uncertainty.md.
pub const N_MEMBERS: usize = 8;
const SEED: u128 = 20_240_702;
/// The fewest points of a bin, and the most bins.
const POINTS_PER_BIN: usize = 8;
const MOST_BINS: usize = 10;

/// Deviations of the unknowns of the members from the fit with this decomposition; `stream` tells fits apart.
pub(super) fn draws(path: &PriorPath, prior: &Prior, strength: f64, stream: u128) -> Vec<Vec<f64>> {
    let mut random = Pcg64::new(SEED, stream);
    let zero = vec![0.0; prior.mean.len()];
    (0..N_MEMBERS).map(|_| expand(&zero, &prior.basis, &path.draw(strength, &mut random))).collect()
}

/// What was predicted of one held-out energy, or of the force on one atom, and how far off it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Index of the configuration.
    pub configuration: usize,
    /// Fold in which it was held out.
    pub fold: usize,
    /// Standard deviation (root mean square over components) or extrapolation grade.
    pub predicted: f64,
    /// Size of the error: absolute, or root mean square over the components of a force.
    pub error: f64,
}

/// Points of similar prediction.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Number of points.
    pub n_points: usize,
    /// Root mean square of the predictions.
    pub predicted_rms: f64,
    /// Root mean square of the errors.
    pub error_rms: f64,
}

impl Bin {
    fn new(points: &[Point]) -> Self {
        let rms =
            |of: fn(&Point) -> f64| (points.iter().map(|p| of(p).powi(2)).sum::<f64>() / points.len() as f64).sqrt();
        Self { n_points: points.len(), predicted_rms: rms(|p| p.predicted), error_rms: rms(|p| p.error) }
    }
}

/// Bins of equal numbers of points, by prediction.
pub fn bins(points: &[Point]) -> Vec<Bin> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.predicted.total_cmp(&b.predicted));
    let n_bins = (sorted.len() / POINTS_PER_BIN).clamp(1, MOST_BINS);
    let range = |k: usize| k * sorted.len() / n_bins..(k + 1) * sorted.len() / n_bins;
    (0..n_bins).map(range).filter(|r| !r.is_empty()).map(|r| Bin::new(&sorted[r])).collect()
}

/// The factor on the predictions that makes the errors of all bins as large, in the geometric mean.
pub fn scale(points: &[Point]) -> f64 {
    let ratios = bins(points).into_iter().filter(|b| b.predicted_rms > 0.0 && b.error_rms > 0.0);
    let logarithms: Vec<f64> = ratios.map(|b| (b.error_rms / b.predicted_rms).ln()).collect();
    (logarithms.iter().sum::<f64>() / logarithms.len().max(1) as f64).exp()
}

/// Spearman's rank correlation of predictions and errors; ties share their mean rank.
pub fn rank_correlation(points: &[Point]) -> f64 {
    let ranks = |of: fn(&Point) -> f64| {
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|a, b| of(&points[*a]).total_cmp(&of(&points[*b])));
        let mut ranks = vec![0.0; points.len()];
        for same in order.chunk_by(|a, b| of(&points[*a]) == of(&points[*b])) {
            let first = order.partition_point(|k| of(&points[*k]) < of(&points[same[0]]));
            same.iter().for_each(|k| ranks[*k] = first as f64 + 0.5 * (same.len() - 1) as f64);
        }
        ranks
    };
    let (a, b) = (ranks(|p| p.predicted), ranks(|p| p.error));
    let mean = 0.5 * (points.len() as f64 - 1.0);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt().max(f64::MIN_POSITIVE)
}

/// How predicted deviations of one quantity compare with held-out errors.
#[derive(Clone, Debug, Serialize)]
pub struct Calibration {
    /// Factor on the spread of the members.
    pub scale: f64,
    /// The smallest and largest scale when one fold is left out.
    pub scale_range: [f64; 2],
    /// Spearman's rank correlation of predictions and errors.
    pub rank_correlation: f64,
    /// Root-mean-square error divided by root-mean-square prediction, the scale of each fold taken from the others.
    pub error_to_prediction: f64,
    /// The same by bins of the prediction.
    pub bins: Vec<Bin>,
}

impl Calibration {
    /// Calibrates; afterwards the predictions of `points` are scaled with the scale from all other folds.
    pub fn new(points: &mut [Point]) -> Self {
        let all = scale(points);
        let n_folds = points.iter().map(|p| p.fold + 1).max().unwrap_or(0);
        let without = |fold: usize| {
            let others: Vec<Point> = points.iter().filter(|p| p.fold != fold).copied().collect();
            if others.is_empty() { all } else { scale(&others) }
        };
        let scales: Vec<f64> = (0..n_folds).map(without).collect();
        let rank_correlation = rank_correlation(points);
        points.iter_mut().for_each(|p| p.predicted *= scales[p.fold]);
        let whole = Bin::new(points);
        Self {
            scale: all,
            scale_range: [scales.iter().copied().fold(all, f64::min), scales.iter().copied().fold(all, f64::max)],
            rank_correlation,
            error_to_prediction: whole.error_rms / whole.predicted_rms.max(f64::MIN_POSITIVE),
            bins: bins(points),
        }
    }
}

/// How extrapolation grades compare with held-out errors of forces.
#[derive(Clone, Debug, Serialize)]
pub struct GradeReport {
    /// Grades from here on are called extrapolation.
    pub threshold: f64,
    /// Spearman's rank correlation of grades and errors.
    pub rank_correlation: f64,
    /// Atoms below the threshold.
    pub below: Option<Bin>,
    /// Atoms from the threshold on.
    pub above: Option<Bin>,
    /// By bins of the grade.
    pub bins: Vec<Bin>,
}

/// Section `uncertainty` of fit.json.
#[derive(Clone, Debug, Serialize)]
pub struct UncertaintyReport {
    /// Members of the committee.
    pub n_members: usize,
    /// Energies in eV per atom.
    pub energy: Calibration,
    /// Forces on atoms in eV/angstrom.
    pub force: Calibration,
    /// Grades.
    pub grade: GradeReport,
}

/// Held-out points of the committee, energies per atom and forces, before any scale.
pub(super) fn committee_points(
    empty: &Model,
    unknowns: &Unknowns,
    data: &TrainingData,
    folds: &[usize],
    prior: &Prior,
    validation: &Validation,
    held_out: &[Prediction],
) -> Result<[Vec<Point>; 2], Error> {
    let strength = validation.best.prior_strength;
    let fold_draws: Vec<Vec<Vec<f64>>> =
        validation.paths.par_iter().enumerate().map(|(f, path)| draws(path, prior, strength, 1 + f as u128)).collect();
    let mut energy_squares = vec![0.0; held_out.len()];
    let mut force_squares: Vec<Vec<f64>> = held_out.iter().map(|p| vec![0.0; p.evaluation.forces.len()]).collect();
    for member in 0..N_MEMBERS {
        let moved =
            |(x, draws): (&Vec<f64>, &Vec<Vec<f64>>)| x.iter().zip(&draws[member]).map(|(x, d)| x + d).collect();
        let fits: Vec<Vec<f64>> = validation.fold_unknowns.iter().zip(&fold_draws).map(moved).collect();
        let predictions = predict(empty, unknowns, data, &fits, |c| folds[c.group])?;
        for (k, (a, b)) in predictions.iter().zip(held_out).enumerate() {
            energy_squares[k] += (a.energy_ev - b.energy_ev).powi(2);
            for ((sum, x), y) in force_squares[k].iter_mut().zip(&a.evaluation.forces).zip(&b.evaluation.forces) {
                *sum += (*x - *y).length_squared() / 3.0;
            }
        }
    }
    let std = |square: f64| (square / N_MEMBERS as f64).sqrt();
    let (mut energy, mut force) = (Vec::new(), Vec::new());
    for (configuration, (c, p)) in data.configurations.iter().zip(held_out).enumerate() {
        let (fold, n_atoms) = (folds[c.group], c.atoms.len() as f64);
        if let Some(label) = c.energy_ev {
            let (predicted, error) = (std(energy_squares[configuration]), (p.energy_ev - label).abs());
            energy.push(Point { configuration, fold, predicted: predicted / n_atoms, error: error / n_atoms });
        }
        let errors = force_errors(c, p);
        let points = force_squares[configuration].iter().zip(errors);
        force.extend(points.map(|(square, error)| Point { configuration, fold, predicted: std(*square), error }));
    }
    Ok([energy, force])
}

/// Root mean square over the three components of the error of each atom's force; empty without labels.
fn force_errors(c: &super::Configuration, p: &Prediction) -> Vec<f64> {
    let error = |(a, b): (&glam::DVec3, &glam::DVec3)| ((*a - *b).length_squared() / 3.0).sqrt();
    p.evaluation.forces.iter().zip(c.forces.iter().flatten()).map(error).collect()
}

/// Grades of the final model, and points of held-out atoms, each graded by data that do not hold its group.
pub(super) fn grades(
    model: &Model,
    data: &TrainingData,
    folds: &[usize],
    held_out: &[Prediction],
) -> Result<(GradeFile, Vec<Point>), Error> {
    let descriptors = Descriptors::new(model)?;
    let of = |c: &super::Configuration| {
        let neighbors = NeighborList::build(&c.atoms, descriptors.cutoff_angstrom());
        descriptors.map(&c.atoms, &neighbors, |central, d| (central, d.to_vec()))
    };
    let environments: Vec<Vec<(usize, Vec<f64>)>> = data.configurations.par_iter().map(of).collect::<Result<_, _>>()?;
    let fold_of = |configuration: usize| folds[data.configurations[configuration].group];
    let without = |fold: Option<usize>| {
        let mut builder = GradeBuilder::new(&descriptors);
        let used = environments.iter().enumerate().filter(|(c, _)| fold != Some(fold_of(*c)));
        used.for_each(|(_, e)| builder.add(e));
        builder.build(model, &data.hash)
    };
    let n_folds = folds.iter().max().map_or(0, |f| f + 1);
    let of_folds: Vec<GradeFile> = (0..n_folds).into_par_iter().map(|f| without(Some(f))).collect::<Result<_, _>>()?;
    let mut points = Vec::new();
    for (configuration, (c, p)) in data.configurations.iter().zip(held_out).enumerate() {
        let fold = fold_of(configuration);
        for ((central, d), error) in environments[configuration].iter().zip(force_errors(c, p)) {
            let predicted = of_folds[fold].grade(*central, d);
            if predicted.is_finite() {
                points.push(Point { configuration, fold, predicted, error });
            }
        }
    }
    Ok((without(None)?, points))
}

/// Grades against errors, below and above the threshold.
pub(super) fn grade_report(points: &[Point], threshold: f64) -> GradeReport {
    let part = |above: bool| {
        let chosen: Vec<Point> = points.iter().filter(|p| (p.predicted >= threshold) == above).copied().collect();
        (!chosen.is_empty()).then(|| Bin::new(&chosen))
    };
    GradeReport {
        threshold,
        rank_correlation: rank_correlation(points),
        below: part(false),
        above: part(true),
        bins: bins(points),
    }
}

/// Lines of calibration.csv without its comment.
pub(super) fn csv(data: &TrainingData, class_names: &[String], quantities: [(&str, &[Point]); 3]) -> String {
    let mut text = String::from("configuration,class,quantity,predicted,error\n");
    for (quantity, points) in quantities {
        for p in points {
            let c = &data.configurations[p.configuration];
            let (id, class) = (csv_field(&c.id), csv_field(&class_names[c.class]));
            let _ = writeln!(text, "{id},{class},{quantity},{:.6},{:.6}", p.predicted, p.error);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use rand_distr::StandardNormal;

    fn points(n: usize, factor: f64) -> Vec<Point> {
        let mut random = Pcg64::new(2, 3);
        let point = |k: usize| {
            let predicted = 0.1 + k as f64 / n as f64;
            let error = factor * predicted * random.sample::<f64, _>(StandardNormal).abs();
            Point { configuration: k, fold: k % 4, predicted, error }
        };
        (0..n).map(point).collect()
    }

    /// Errors drawn with three times the predicted deviation give back the three, in every bin.
    #[test]
    fn the_scale_is_found() {
        let mut points = points(20_000, 3.0);
        let found = Calibration::new(&mut points);
        assert!((found.scale - 3.0).abs() < 0.1, "{}", found.scale);
        assert!((found.error_to_prediction - 1.0).abs() < 0.03 && found.rank_correlation > 0.4);
        assert!(found.scale_range[0] <= found.scale && found.scale <= found.scale_range[1]);
        assert_eq!(found.bins.len(), MOST_BINS);
        assert!(found.bins.iter().all(|b| (b.error_rms / b.predicted_rms - 1.0).abs() < 0.1), "{:?}", found.bins);
        assert!(found.bins.windows(2).all(|b| b[0].error_rms < b[1].error_rms));
    }

    #[test]
    fn ranks_share_ties() {
        let point = |predicted: f64, error: f64| Point { configuration: 0, fold: 0, predicted, error };
        let ascending = [point(1.0, 5.0), point(2.0, 6.0), point(9.0, 7.0)];
        assert!((rank_correlation(&ascending) - 1.0).abs() < 1e-12);
        let descending = [point(1.0, 7.0), point(2.0, 6.0), point(9.0, 5.0)];
        assert!((rank_correlation(&descending) + 1.0).abs() < 1e-12);
        // Ranks 0.5 0.5 2 and 0 1 2: covariance 1.5, variances 1.5 and 2.
        let tied = [point(1.0, 5.0), point(1.0, 6.0), point(9.0, 7.0)];
        assert!((rank_correlation(&tied) - 1.5 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(rank_correlation(&[]), 0.0);
    }

    #[test]
    fn grades_are_split_at_the_threshold() {
        let report = grade_report(&points(400, 1.0), 0.6);
        let (below, above) = (report.below.unwrap(), report.above.unwrap());
        assert_eq!(below.n_points + above.n_points, 400);
        assert!(below.predicted_rms < 0.6 && above.predicted_rms > 0.6 && above.error_rms > below.error_rms);
        assert!(grade_report(&points(40, 1.0), 9.0).above.is_none());
    }
}

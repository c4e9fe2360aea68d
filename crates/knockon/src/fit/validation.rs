//! Cross-validation in groups: which strength of the prior predicts configurations best that the fit has not seen.
//!
//! Among strengths that predict about equally well the strongest prior is taken, the rule of one standard error of
//! Breiman, Friedman, Olshen and Stone (Classification and Regression Trees, 1984, 3.4.3) with a fixed tolerance.
//!
//! Whole groups of related configurations go into one fold. A fold is predicted by the fit to all other folds; their
//! factors are combined, no row is computed again.

use super::factor::{Factor, PriorPath, expand};
use super::prior::Prior;
use super::settings::CrossValidationSettings;
use crate::Error;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Which fold each group is held out in: the largest groups first, each into the fold with the fewest configurations.
pub fn assign_folds(group_sizes: &[usize], n_folds: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..group_sizes.len()).collect();
    order.sort_by_key(|g| std::cmp::Reverse(group_sizes[*g]));
    let mut filled = vec![0; n_folds.min(group_sizes.len()).max(1)];
    let mut folds = vec![0; group_sizes.len()];
    for group in order {
        let emptiest = (0..filled.len()).min_by_key(|f| filled[*f]).unwrap_or(0);
        folds[group] = emptiest;
        filled[emptiest] += group_sizes[group];
    }
    folds
}

/// The factor of everything outside each fold, with the rows of `common` in all of them: what comes before a fold and what comes after
/// it are put together once, since combining factors is most of the work where there are many unknowns.
pub fn training_factors(groups: &[Factor], folds: &[usize], common: &Factor) -> Vec<Factor> {
    let n_folds = folds.iter().max().map_or(0, |f| f + 1);
    let combine = |parts: &mut dyn Iterator<Item = &Factor>| {
        let mut sum = Factor::new(common.n_unknowns());
        parts.for_each(|part| sum.absorb(part));
        sum.compress();
        sum
    };
    let of_fold = |fold| combine(&mut groups.iter().zip(folds).filter(|(_, f)| **f == fold).map(|(g, _)| g));
    let held_out: Vec<Factor> = (0..n_folds).into_par_iter().map(of_fold).collect();
    let running = |first: Factor, parts: &[&Factor]| -> Vec<Factor> {
        let mut sums = vec![first];
        for part in &parts[..parts.len().saturating_sub(1)] {
            let next = combine(&mut [&sums[sums.len() - 1], *part].into_iter());
            sums.push(next);
        }
        sums
    };
    let (before, after) = {
        let ascending: Vec<&Factor> = held_out.iter().collect();
        let descending: Vec<&Factor> = held_out.iter().rev().collect();
        rayon::join(|| running(common.clone(), &ascending), || running(Factor::new(common.n_unknowns()), &descending))
    };
    drop(held_out);
    // before[f]: the folds below f; after[k]: the last k folds.
    let outside = |fold: usize| combine(&mut [&before[fold], &after[n_folds - 1 - fold]].into_iter());
    (0..n_folds).into_par_iter().map(outside).collect()
}

/// How well one strength of the prior predicts held-out groups.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Score {
    /// Factor on the prior: 2 halves all its deviations.
    pub prior_strength: f64,
    /// Root-mean-square deviation of the held-out rows, each in units of its expected deviation: the mean over
    /// groups, weighted with their number of configurations. A mean of roots, so that one group far outside of the
    /// others does not decide alone.
    pub score: f64,
}

/// Cross-validation of one variant.
pub struct Validation {
    /// All strengths tried.
    pub scores: Vec<Score>,
    /// The strongest whose score is within the tolerance of the smallest.
    pub best: Score,
    /// Unknowns of the fit that has not seen each fold, for the best strength.
    pub fold_unknowns: Vec<Vec<f64>>,
    /// The decomposed problem of each of these fits.
    pub paths: Vec<PriorPath>,
}

/// Tries every strength. `training` are the factors of [`training_factors`].
pub fn cross_validate(
    groups: &[Factor],
    group_sizes: &[usize],
    folds: &[usize],
    training: &[Factor],
    prior: &Prior,
    settings: &CrossValidationSettings,
) -> Result<Validation, Error> {
    let paths: Vec<PriorPath> =
        training.par_iter().map(|t| PriorPath::new(t, &prior.mean, &prior.basis)).collect::<Result<_, _>>()?;
    let unknowns = |strength: f64| -> Vec<Vec<f64>> {
        paths.par_iter().map(|p| expand(&prior.mean, &prior.basis, &p.solve(strength))).collect()
    };
    let score = |strength: f64| {
        let x = unknowns(strength);
        let deviation = |g: usize| (groups[g].squared_residual(&x[folds[g]]) / groups[g].n_rows().max(1) as f64).sqrt();
        let sum: f64 = (0..groups.len()).map(|g| deviation(g) * group_sizes[g] as f64).sum();
        Score { prior_strength: strength, score: sum / group_sizes.iter().sum::<usize>().max(1) as f64 }
    };
    let scores: Vec<Score> = settings.strengths.iter().map(|s| score(*s)).collect();
    let smallest = scores.iter().map(|s| s.score).fold(f64::INFINITY, f64::min);
    let good = scores.iter().copied().filter(|s| s.score <= (1.0 + settings.tolerance) * smallest);
    let best = good.max_by(|a, b| a.prior_strength.total_cmp(&b.prior_strength)).ok_or_else(|| {
        Error::computation("no strength of the prior has a finite score", "Look for labels that are not numbers")
    })?;
    Ok(Validation { fold_unknowns: unknowns(best.prior_strength), best, scores, paths })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::factor::Matrix;
    use rand::RngExt;
    use rand_pcg::Pcg64;

    #[test]
    fn folds_are_balanced_and_groups_whole() {
        let folds = assign_folds(&[7, 1, 3, 3, 1, 1], 3);
        let size =
            |fold| folds.iter().zip([7, 1, 3, 3, 1, 1]).filter(|(f, _)| **f == fold).map(|(_, n)| n).sum::<usize>();
        assert_eq!((size(0), size(1), size(2)), (7, 5, 4));
        assert_eq!(assign_folds(&[2, 2], 10), vec![0, 1]);
    }

    /// Noise-free data want a weak prior, pure noise a strong one; held-out unknowns come from the other folds alone.
    #[test]
    fn strength_follows_the_noise() {
        let n = 12;
        let prior = Prior { mean: vec![0.0; n], basis: Matrix::identity(n, n) };
        for (noise, weak) in [(0.0, true), (30.0, false)] {
            let mut random = Pcg64::new(3, 5);
            let mut number = move || random.random_range(-1.0..1.0);
            let solution: Vec<f64> = (0..n).map(|_| number()).collect();
            let groups: Vec<Factor> = (0..6)
                .map(|_| {
                    let mut factor = Factor::new(n);
                    for _ in 0..5 {
                        let row: Vec<f64> = (0..n).map(|_| number()).collect();
                        let exact: f64 = row.iter().zip(&solution).map(|(a, b)| a * b).sum();
                        factor.push(row.into_iter(), exact + noise * number());
                    }
                    factor
                })
                .collect();
            let sizes = [1; 6];
            let folds = assign_folds(&sizes, 6);
            let training = training_factors(&groups, &folds, &Factor::new(n));
            assert!(training.iter().all(|t| t.n_rows() == 25));
            let settings = CrossValidationSettings { folds: 6, strengths: vec![0.01, 1.0, 100.0], tolerance: 0.0 };
            let found = cross_validate(&groups, &sizes, &folds, &training, &prior, &settings).unwrap();
            assert_eq!(found.best.prior_strength, if weak { 0.01 } else { 100.0 });
            if weak {
                let x = &found.fold_unknowns[0];
                assert!(x.iter().zip(&solution).all(|(a, b)| (a - b).abs() < 1e-3));
                let lenient = CrossValidationSettings { tolerance: 1e9, ..settings };
                let found = cross_validate(&groups, &sizes, &folds, &training, &prior, &lenient).unwrap();
                assert_eq!(found.best.prior_strength, 100.0);
            }
        }
    }
}

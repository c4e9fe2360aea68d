//! What energies depend on: the metric in which environments are compared, learned from a fit.
//!
//! Similarities compare environments by distances between their components, and most of what varies from one environment to another
//! does not matter to energies. A fit with similarities says what does: the slopes dE/dy of its energies with respect to the scaled
//! components y. A slope that is the same everywhere is a linear energy, which components have anyway, so what counts is how slopes vary
//! over the environments, their covariance C. Distances are then those of C^POWER y. Recursive feature machines learn such metrics from
//! the mean product of slopes (Radhakrishnan, Beaglehole, Pandit, Belkin, Science 383, 1461 (2024)).
//!
//! The metric has seen the labels that cross-validation holds out: docs/learning.md says how little that flatters.

use super::factor::{Matrix, eigen, gram, product};
use crate::Error;
use crate::potential::Similarity;
use rayon::prelude::*;

/// Power of the covariance of slopes that coordinates are multiplied by.
const POWER: f64 = 0.25;

/// Added to the eigenvalues of the covariance, as a fraction of the largest: no direction is forgotten.
const FLOOR: f64 = 1e-4;

/// The symmetric matrix that multiplies components times `scales`, for environments around one species and the similarity that a fit has
/// found for it.
pub(super) fn relevance(similarity: &Similarity, environments: &[Vec<f64>], scales: &[f64]) -> Result<Matrix, Error> {
    let n = scales.len();
    let of_scaled = |(slope, scale): (&f64, &f64)| if *scale > 0.0 { slope / scale } else { 0.0 };
    let slopes_of = |e: &Vec<f64>| similarity.slopes_ev(e).iter().zip(scales).map(of_scaled).collect::<Vec<f64>>();
    let slopes: Vec<Vec<f64>> = environments.par_iter().map(slopes_of).collect();
    let mean: Vec<f64> = (0..n).map(|i| slopes.iter().map(|s| s[i]).sum::<f64>() / slopes.len() as f64).collect();
    let centred = Matrix::from_fn(slopes.len(), n, |e, i| slopes[e][i] - mean[i]);
    let (axes, values) = eigen(gram(&centred).as_ref())?;
    // Eigenvalues ascend. With no slopes at all every direction is as good as another.
    let largest = values.last().copied().unwrap_or(0.0);
    let share = |value: f64| if largest > 0.0 { value.max(0.0) / largest } else { 1.0 };
    let stretched = Matrix::from_fn(n, n, |i, k| axes[(i, k)] * (share(values[k]) + FLOOR).powf(POWER));
    Ok(product(&stretched, &axes.transpose().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slopes of an energy that depends on the second of three components alone, which is measured in other units, vary along it alone.
    #[test]
    fn what_energies_do_not_depend_on_counts_little() {
        let similarity = Similarity {
            offset: vec![0.0],
            projection: vec![vec![0.0, 0.5, 0.0]],
            references: vec![vec![0.0], vec![1.0]],
            coefficients_ev: vec![1.0, -0.3],
        };
        let environments: Vec<Vec<f64>> =
            (0..40).map(|i: i32| [7, 4, 3].map(|m| f64::from(i * m % 11)).to_vec()).collect();
        let metric = relevance(&similarity, &environments, &[1.0, 0.2, 0.0]).unwrap();
        let expected = |row: usize, column: usize| match (row, column) {
            (1, 1) => (1.0 + FLOOR).powf(POWER),
            _ if row == column => FLOOR.powf(POWER),
            _ => 0.0,
        };
        for (row, column) in (0..9).map(|i| (i / 3, i % 3)) {
            let found = metric[(row, column)];
            assert!((found - expected(row, column)).abs() < 1e-6, "{row} {column}: {found}");
        }
        // Without an energy all count alike.
        let none = Similarity { coefficients_ev: vec![0.0; 2], ..similarity };
        let metric = relevance(&none, &environments, &[1.0; 3]).unwrap();
        assert!((metric[(0, 0)] - metric[(2, 2)]).abs() < 1e-12 && metric[(0, 1)].abs() < 1e-12);
    }
}

//! Poisson likelihood of binned counts, and its maximum.
//!
//! The statistic is that of Cash (ApJ 228 (1979) 939), C = 2 sum (m - n + n ln(n / m)): up to a constant minus twice the
//! logarithm of the likelihood, and close to chi squared for large counts. It is minimised by Fisher scoring, damped as by
//! Marquardt: the information matrix sum dm dm^T / m needs first derivatives only and is positive. What the statistic should
//! be if the model holds follows from summing over the Poisson distribution of every bin (Kaastra, A&A 605 (2017) A51).

use crate::Error;
use nalgebra::{DMatrix, DVector};

/// Counts below this are taken as this: the logarithm needs it.
const LEAST_EXPECTED: f64 = 1e-9;

/// Expected counts, and for each free parameter their derivatives.
pub(super) struct Expectation {
    pub(super) counts: Vec<f64>,
    pub(super) derivatives: Vec<Vec<f64>>,
}

/// Bounds of a parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Derivatives by one of the parameters `values` of what `counts` makes of them, within its bounds.
pub(super) fn central_difference(
    values: &[f64],
    parameter: usize,
    bounds: Bounds,
    mut counts: impl FnMut(&[f64]) -> Result<Vec<f64>, Error>,
) -> Result<Vec<f64>, Error> {
    // Relative, but for values near 0, as exponents may have.
    let step = 1e-4 * values[parameter].abs().max(0.1);
    let mut at = values.to_vec();
    let mut side = |value: f64| {
        at[parameter] = value;
        counts(&at)
    };
    let (high, low) = ((values[parameter] + step).min(bounds.high), (values[parameter] - step).max(bounds.low));
    let (above, below) = (side(high)?, side(low)?);
    Ok(above.iter().zip(&below).map(|(a, b)| (a - b) / (high - low)).collect())
}

/// Where the statistic is least.
#[derive(Clone, Debug)]
pub(super) struct Optimum {
    pub(super) values: Vec<f64>,
    pub(super) statistic: f64,
    /// Inverse of the information matrix; rows of parameters at a bound are NaN.
    pub(super) covariance: DMatrix<f64>,
    pub(super) converged: bool,
}

/// The statistic C.
pub(super) fn cash(observed: &[f64], expected: &[f64]) -> f64 {
    observed.iter().zip(expected).map(|(n, m)| term(*n, m.max(LEAST_EXPECTED))).sum()
}

fn term(n: f64, m: f64) -> f64 {
    2.0 * (m - n + if n > 0.0 { n * (n / m).ln() } else { 0.0 })
}

/// Mean and variance of C if the counts are drawn from `expected`.
pub(super) fn expected_statistic(expected: &[f64]) -> (f64, f64) {
    let of_bin = |m: &f64| -> (f64, f64) {
        let m = m.max(LEAST_EXPECTED);
        if m > 500.0 {
            // Asymptotic: mean 1 + 1 / 6 m, variance 2 + 2 / 3 m (up to 1e-5 here).
            return (1.0 + 1.0 / (6.0 * m), 2.0 + 2.0 / (3.0 * m));
        }
        let (mut p, mut mean, mut square) = ((-m).exp(), 0.0, 0.0);
        for k in 0..=(m + 12.0 * m.sqrt() + 25.0) as usize {
            if k > 0 {
                p *= m / k as f64;
            }
            let c = term(k as f64, m);
            mean += p * c;
            square += p * c * c;
        }
        (mean, square - mean * mean)
    };
    expected.iter().map(of_bin).fold((0.0, 0.0), |(a, b), (mean, variance)| (a + mean, b + variance))
}

/// Minimises C from `start`, until it falls by less than the share `tolerance` or after `most_steps`; `expect` gives expected counts and derivatives of
/// all parameters.
pub(super) fn minimise(
    observed: &[f64],
    bounds: &[Bounds],
    start: &[f64],
    (tolerance, most_steps): (f64, usize),
    mut expect: impl FnMut(&[f64]) -> Result<Expectation, Error>,
) -> Result<Optimum, Error> {
    let clamp =
        |values: Vec<f64>| -> Vec<f64> { values.iter().zip(bounds).map(|(v, b)| v.clamp(b.low, b.high)).collect() };
    let mut values = clamp(start.to_vec());
    let mut here = expect(&values)?;
    let mut statistic = cash(observed, &here.counts);
    let (mut damping, mut converged) = (1e-3, start.is_empty());
    for _ in 0..most_steps {
        if converged {
            break;
        }
        let (gradient, information) = slopes(observed, &here);
        // A parameter at a bound that wants to leave is held.
        let held: Vec<bool> = (0..values.len())
            .map(|i| {
                (values[i] <= bounds[i].low && gradient[i] < 0.0) || (values[i] >= bounds[i].high && gradient[i] > 0.0)
            })
            .collect();
        // A step that should gain next to nothing is the last one: at the minimum C changes by rounding only, up or down, at
        // any damping.
        let newton = DVector::from_vec(damped_step(&gradient, &information, &held, 1e-9));
        if gradient.dot(&newton) < tolerance * (1.0 + statistic.abs()) {
            values = clamp(values.iter().zip(&newton).map(|(v, s)| v + s).collect());
            here = expect(&values)?;
            (statistic, converged) = (cash(observed, &here.counts), true);
            break;
        }
        let mut improved = false;
        while damping < 1e12 {
            let step = damped_step(&gradient, &information, &held, damping);
            let trial = clamp(values.iter().zip(&step).map(|(v, s)| v + s).collect());
            let there = expect(&trial)?;
            let value = cash(observed, &there.counts);
            if value <= statistic {
                converged = statistic - value < tolerance * (1.0 + value.abs()) && damping < 1.0;
                (values, here, statistic, improved) = (trial, there, value, true);
                damping = (damping / 10.0f64).max(1e-9);
                break;
            }
            damping *= 10.0;
        }
        if !improved {
            // No step is small enough to help: rounding, at the minimum.
            converged = true;
        }
    }
    let covariance = covariance(&values, bounds, &slopes(observed, &here).1);
    Ok(Optimum { values, statistic, covariance, converged })
}

/// Half the negative gradient of C, and the information matrix.
fn slopes(observed: &[f64], at: &Expectation) -> (DVector<f64>, DMatrix<f64>) {
    let n = at.derivatives.len();
    let mut gradient = DVector::zeros(n);
    let mut information = DMatrix::zeros(n, n);
    for (bin, (n_observed, m)) in observed.iter().zip(&at.counts).enumerate() {
        let m = m.max(LEAST_EXPECTED);
        for i in 0..n {
            let slope = at.derivatives[i][bin];
            gradient[i] += (n_observed / m - 1.0) * slope;
            for j in 0..=i {
                information[(i, j)] += slope * at.derivatives[j][bin] / m;
            }
        }
    }
    information.fill_upper_triangle_with_lower_triangle();
    (gradient, information)
}

fn damped_step(gradient: &DVector<f64>, information: &DMatrix<f64>, held: &[bool], damping: f64) -> Vec<f64> {
    let free: Vec<usize> = (0..held.len()).filter(|i| !held[*i] && information[(*i, *i)] > 0.0).collect();
    let mut step = vec![0.0; held.len()];
    // All are at their bounds.
    if free.is_empty() {
        return step;
    }
    // Scaled to a unit diagonal, for parameters of any unit.
    let scale: Vec<f64> = free.iter().map(|i| information[(*i, *i)].sqrt()).collect();
    let matrix = DMatrix::from_fn(free.len(), free.len(), |a, b| {
        information[(free[a], free[b])] / (scale[a] * scale[b]) + if a == b { damping } else { 0.0 }
    });
    let right = DVector::from_fn(free.len(), |a, _| gradient[free[a]] / scale[a]);
    if let Some(solution) = matrix.lu().solve(&right) {
        free.iter().enumerate().for_each(|(a, i)| step[*i] = solution[a] / scale[a]);
    }
    step
}

fn covariance(values: &[f64], bounds: &[Bounds], information: &DMatrix<f64>) -> DMatrix<f64> {
    let n = values.len();
    let inside = |i: &usize| values[*i] > bounds[*i].low && values[*i] < bounds[*i].high;
    let free: Vec<usize> = (0..n).filter(|i| inside(i) && information[(*i, *i)] > 0.0).collect();
    let scale: Vec<f64> = free.iter().map(|i| information[(*i, *i)].sqrt()).collect();
    let matrix =
        DMatrix::from_fn(free.len(), free.len(), |a, b| information[(free[a], free[b])] / (scale[a] * scale[b]));
    let mut covariance = DMatrix::from_element(n, n, f64::NAN);
    if free.is_empty() {
        return covariance;
    }
    if let Some(inverse) = matrix.try_inverse() {
        for (a, i) in free.iter().enumerate() {
            for (b, j) in free.iter().enumerate() {
                covariance[(*i, *j)] = inverse[(a, b)] / (scale[a] * scale[b]);
            }
        }
    }
    covariance
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Bounds = Bounds { low: 0.0, high: 1e9 };
    const STOP: (f64, usize) = (1e-9, 200);

    /// Less than a fixed background: the signal is best at its bound, where nothing is left to vary.
    #[test]
    fn a_single_parameter_may_end_at_its_bound() {
        let below = |v: &[f64]| Ok(Expectation { counts: vec![5.0 + v[0]; 3], derivatives: vec![vec![1.0; 3]] });
        let found = minimise(&[1.0, 2.0, 3.0], &[ANY], &[1.0], STOP, below).unwrap();
        assert!(found.converged && found.values == [0.0] && found.covariance[(0, 0)].is_nan());
    }

    /// A constant has the mean as its maximum, with the error of a mean; a scaled template too.
    #[test]
    fn closed_forms() {
        let observed = [3.0, 7.0, 0.0, 6.0];
        let constant = |v: &[f64]| Ok(Expectation { counts: vec![v[0]; 4], derivatives: vec![vec![1.0; 4]] });
        let found = minimise(&observed, &[ANY], &[100.0], STOP, constant).unwrap();
        assert!(found.converged && (found.values[0] - 4.0).abs() < 1e-6, "{:?}", found.values);
        assert!((found.covariance[(0, 0)] - 1.0).abs() < 1e-6);
        let template = [1.0, 2.0, 3.0, 4.0];
        let scaled = |v: &[f64]| {
            let counts = template.iter().map(|t| v[0] * t).collect();
            Ok(Expectation { counts, derivatives: vec![template.to_vec()] })
        };
        let found = minimise(&observed, &[ANY], &[1e-3], STOP, scaled).unwrap();
        assert!((found.values[0] - 1.6).abs() < 1e-7 && (found.covariance[(0, 0)] - 0.16).abs() < 1e-7);
    }

    /// exp(a + b x) with exact counts: the parameters come back, and a bound is respected.
    #[test]
    fn a_curve_is_found_from_far_away() {
        let at = |v: &[f64]| {
            let counts: Vec<f64> = (0..50).map(|x| v[0] * (-f64::from(x) / v[1]).exp()).collect();
            let by_slope = counts.iter().enumerate().map(|(x, m)| m * x as f64 / (v[1] * v[1])).collect();
            let derivatives = vec![counts.iter().map(|m| m / v[0]).collect(), by_slope];
            Ok(Expectation { counts, derivatives })
        };
        let observed = at(&[300.0, 12.0]).unwrap().counts;
        let low = Bounds { low: 1e-3, high: 1e6 };
        let found = minimise(&observed, &[low, low], &[5.0, 60.0], STOP, at).unwrap();
        assert!(found.converged && found.statistic < 1e-6, "{found:?}");
        assert!((found.values[0] - 300.0).abs() < 1e-3 && (found.values[1] - 12.0).abs() < 1e-4);
        let held = minimise(&observed, &[low, Bounds { low: 20.0, high: 1e6 }], &[5.0, 60.0], STOP, at).unwrap();
        assert!(held.values[1] == 20.0 && held.covariance[(1, 1)].is_nan() && held.covariance[(0, 0)] > 0.0);
    }

    #[test]
    fn the_statistic_has_its_expected_mean() {
        // m = 0.5: by hand, P(0) = 0.6065, c = 1; P(1) = 0.3033, c = 2 (ln 2 - 0.5); ...
        let (mean, variance) = expected_statistic(&[0.5]);
        let by_hand: f64 = 0.606_531 * 1.0
            + 0.303_265 * 0.386_294
            + 0.075_816 * 2.545_177
            + 0.012_636 * 5.750_557
            + 0.001_580 * 9.635_532
            + 0.000_158 * 14.025_85
            + 0.000_013 * 18.8;
        assert!((mean - by_hand).abs() < 1e-3 && variance > 0.0, "{mean} {by_hand}");
        // Large counts: chi squared with one degree of freedom; both branches join.
        let ((below, _), (above, v)) = (expected_statistic(&[499.9]), expected_statistic(&[500.1]));
        assert!((below - above).abs() < 1e-5 && (v - 2.0).abs() < 0.01);
    }
}

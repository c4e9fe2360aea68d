//! How a shape parameter grows with the recoil energy: a polynomial through the energies of a campaign, or a known
//! curve scaled to them when they are too few.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

/// c0 + c1 E + c2 E^2, in eV.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Polynomial(pub [f64; 3]);

impl Polynomial {
    /// Value at a recoil energy in eV.
    pub fn at(&self, recoil_energy_ev: f64) -> f64 {
        let [a, b, c] = self.0;
        a + recoil_energy_ev * (b + recoil_energy_ev * c)
    }

    /// The polynomial times a number.
    pub fn scaled(&self, factor: f64) -> Self {
        Self(self.0.map(|c| factor * c))
    }

    /// The straight line through two points.
    pub fn line_through(first: (f64, f64), second: (f64, f64)) -> Self {
        let slope = (second.1 - first.1) / (second.0 - first.0);
        Self([first.1 - slope * first.0, slope, 0.0])
    }
}

/// A parameter measured at one recoil energy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Value in eV.
    pub value: f64,
    /// Variance of the value in eV^2.
    pub variance: f64,
}

/// Where a curve came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// No data: the known curve.
    Known,
    /// The known curve times this factor.
    Scaled(f64),
    /// A polynomial of this order, through the origin or not, fitted to this many energies.
    Fitted {
        /// 1 or 2.
        order: usize,
        /// Whether the constant was held at 0.
        through_origin: bool,
        /// Energies used.
        energies: usize,
    },
}

/// Energies closer than this ratio say nothing about a slope.
const SMALLEST_LEVER: f64 = 1.2;
/// Curves are used up to here, beyond the highest recoil of a campaign: a fitted polynomial must not turn over before.
pub(super) const HIGHEST_USE_EV: f64 = 500.0;

/// Fits the polynomial of `order` (1 or 2) by weighted least squares. A stored energy and its spread are positive and
/// grow with the recoil energy, so a fit that starts below 0 is repeated through the origin, one that turns over below
/// [`HIGHEST_USE_EV`] is repeated with a lower order, and when nothing is left, or the energies are too few or too
/// close, the `known` curve is scaled to the points.
pub(super) fn fit(points: &[Point], order: usize, known: &Polynomial) -> (Polynomial, Rule) {
    if points.is_empty() {
        return (*known, Rule::Known);
    }
    let energy = |pick: fn(f64, f64) -> f64, start: f64| points.iter().map(|p| p.recoil_energy_ev).fold(start, pick);
    let lever = energy(f64::max, 0.0) / energy(f64::min, f64::INFINITY);
    if points.len() >= 2 && lever >= SMALLEST_LEVER {
        let highest = order.min(points.len() - 1).max(1);
        for candidate in (1..=highest).rev() {
            let fitted = |through_origin| {
                let rule = Rule::Fitted { order: candidate, through_origin, energies: points.len() };
                least_squares(points, candidate, through_origin).map(|polynomial| (polynomial, rule))
            };
            let free = fitted(false);
            let starts_below_zero = free.is_some_and(|(polynomial, _)| polynomial.0[0] < 0.0);
            let chosen = if starts_below_zero { fitted(true) } else { free };
            if let Some(found) = chosen.filter(|(polynomial, _)| grows_from_zero(polynomial)) {
                return found;
            }
        }
    }
    let overlap: f64 = points.iter().map(|p| p.value * known.at(p.recoil_energy_ev) / p.variance).sum();
    let norm: f64 = points.iter().map(|p| known.at(p.recoil_energy_ev).powi(2) / p.variance).sum();
    (known.scaled(overlap / norm), Rule::Scaled(overlap / norm))
}

fn least_squares(points: &[Point], order: usize, through_origin: bool) -> Option<Polynomial> {
    let first = usize::from(through_origin);
    let scale = points.iter().map(|p| p.recoil_energy_ev).fold(0.0, f64::max);
    let weight = |p: &Point| 1.0 / p.variance.sqrt();
    let rows = DMatrix::from_fn(points.len(), order + 1 - first, |i, k| {
        weight(&points[i]) * (points[i].recoil_energy_ev / scale).powi((k + first) as i32)
    });
    let values = DVector::from_fn(points.len(), |i, _| weight(&points[i]) * points[i].value);
    let solution = rows.svd(true, true).solve(&values, 1e-12).ok()?;
    let mut coefficients = [0.0; 3];
    for (k, value) in solution.iter().enumerate() {
        coefficients[k + first] = value / scale.powi((k + first) as i32);
    }
    coefficients.iter().all(|c| c.is_finite()).then_some(Polynomial(coefficients))
}

fn grows_from_zero(polynomial: &Polynomial) -> bool {
    let [a, b, c] = polynomial.0;
    a >= 0.0 && b >= 0.0 && b + 2.0 * c * HIGHEST_USE_EV >= 0.0 && polynomial.at(HIGHEST_USE_EV) > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Polynomial = Polynomial([4.0, 0.05, 0.0]);

    fn points(values: &[(f64, f64)]) -> Vec<Point> {
        values.iter().map(|&(recoil_energy_ev, value)| Point { recoil_energy_ev, value, variance: 0.1 }).collect()
    }

    #[test]
    fn enough_points_are_fitted() {
        let (line, rule) = fit(&points(&[(40.0, 6.0), (80.0, 8.0), (160.0, 12.0)]), 1, &KNOWN);
        assert!((line.at(100.0) - 9.0).abs() < 1e-9);
        assert_eq!(rule, Rule::Fitted { order: 1, through_origin: false, energies: 3 });
        let parabola = |e: f64| 1.0 + 0.1 * e - 5e-5 * e * e;
        let (curve, _) = fit(&points(&[20.0, 60.0, 100.0, 160.0].map(|e| (e, parabola(e)))), 2, &KNOWN);
        assert!((curve.at(300.0) - parabola(300.0)).abs() < 1e-8);
    }

    #[test]
    fn a_fit_that_starts_below_zero_goes_through_the_origin() {
        let (line, rule) = fit(&points(&[(50.0, 2.0), (100.0, 8.0)]), 1, &KNOWN);
        assert_eq!(line.0[0], 0.0);
        assert!(matches!(rule, Rule::Fitted { through_origin: true, .. }));
    }

    #[test]
    fn too_little_data_scale_the_known_curve() {
        let (curve, rule) = fit(&points(&[(100.0, 18.0)]), 2, &KNOWN);
        assert_eq!(rule, Rule::Scaled(2.0));
        assert_eq!(curve, KNOWN.scaled(2.0));
        assert!(matches!(fit(&points(&[(100.0, 9.0), (110.0, 12.0)]), 1, &KNOWN).1, Rule::Scaled(_)));
        assert!(matches!(fit(&points(&[(50.0, 12.0), (100.0, 5.0)]), 1, &KNOWN).1, Rule::Scaled(_)));
        assert_eq!(fit(&[], 1, &KNOWN), (KNOWN, Rule::Known));
    }
}

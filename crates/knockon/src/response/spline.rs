//! A cubic through points that rises where they rise: no overshoot between them.

use serde::{Deserialize, Serialize};

/// Monotone piecewise cubic through points with ascending `x` (Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984)
/// 300): slopes are harmonic means of the neighbouring secants, 0 where these change sign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonotoneSpline {
    /// Ascending, two or more.
    pub x: Vec<f64>,
    /// One value for each `x`.
    pub y: Vec<f64>,
}

impl MonotoneSpline {
    /// Value, and slope, at `x`; outside of the points the value of the nearest, and slope 0.
    pub fn value_and_slope(&self, x: f64) -> [f64; 2] {
        let last = self.x.len() - 1;
        if x <= self.x[0] || x >= self.x[last] {
            return [if x <= self.x[0] { self.y[0] } else { self.y[last] }, 0.0];
        }
        let i = self.x.partition_point(|knot| *knot <= x) - 1;
        let h = self.x[i + 1] - self.x[i];
        let t = (x - self.x[i]) / h;
        let (y0, y1) = (self.y[i], self.y[i + 1]);
        let (d0, d1) = (self.slope(i), self.slope(i + 1));
        // Cubic Hermite basis.
        let secant = (y1 - y0) / h;
        let (b, c) = (3.0 * secant - 2.0 * d0 - d1, d0 + d1 - 2.0 * secant);
        [y0 + h * t * (d0 + t * (b + t * c)), d0 + t * (2.0 * b + 3.0 * t * c)]
    }

    fn secant(&self, i: usize) -> f64 {
        (self.y[i + 1] - self.y[i]) / (self.x[i + 1] - self.x[i])
    }

    /// Slope at point `i`.
    fn slope(&self, i: usize) -> f64 {
        let last = self.x.len() - 1;
        if last == 1 {
            return self.secant(0);
        }
        if i == 0 || i == last {
            // The parabola through three points, held within 0 and three times the secant.
            let (near, far) = if i == 0 { (0, 1) } else { (last - 1, last - 2) };
            let width = |k: usize| self.x[k + 1] - self.x[k];
            let (a, b) = (self.secant(near), self.secant(far));
            let slope = ((2.0 * width(near) + width(far)) * a - width(near) * b) / (width(near) + width(far));
            let (low, high) = if a >= 0.0 { (0.0, 3.0 * a) } else { (3.0 * a, 0.0) };
            return slope.clamp(low, high);
        }
        let (a, b) = (self.secant(i - 1), self.secant(i));
        if a * b <= 0.0 {
            return 0.0;
        }
        let (left, right) = (self.x[i] - self.x[i - 1], self.x[i + 1] - self.x[i]);
        let (weight_a, weight_b) = (2.0 * right + left, right + 2.0 * left);
        (weight_a + weight_b) / (weight_a / a + weight_b / b)
    }

    /// Whether the points can carry a curve: two or more, finite, ascending.
    pub(super) fn is_sound(&self) -> bool {
        self.x.len() >= 2
            && self.x.len() == self.y.len()
            && self.x.iter().chain(&self.y).all(|v| v.is_finite())
            && self.x.windows(2).all(|w| w[1] > w[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line_and_a_monotone_curve_monotone() {
        let line = MonotoneSpline { x: vec![0.0, 1.0, 3.0, 4.0], y: vec![1.0, 3.0, 7.0, 9.0] };
        for x in [0.2, 0.9, 2.0, 3.7] {
            let [value, slope] = line.value_and_slope(x);
            assert!((value - 1.0 - 2.0 * x).abs() < 1e-12 && (slope - 2.0).abs() < 1e-12);
        }
        let step = MonotoneSpline { x: vec![0.0, 1.0, 2.0, 3.0], y: vec![0.0, 0.0, 1.0, 1.0] };
        for k in 0..300 {
            let x = 0.01 * f64::from(k);
            let [value, slope] = step.value_and_slope(x);
            assert!((0.0..=1.0).contains(&value) && slope >= 0.0, "{x} {value} {slope}");
            let difference = (step.value_and_slope(x + 1e-6)[0] - value) / 1e-6;
            assert!((difference - slope).abs() < 1e-4, "{x}");
        }
    }
}

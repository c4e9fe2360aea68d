//! Functions of the squared distance as tables, which need no root and no division.

use std::array::from_fn;

/// K functions as cubic Hermite splines in the square of the distance: value and slope are continuous, and the slope is exactly
/// that of the value, so that forces are those of the energy.
pub(super) struct SquareTable<const K: usize> {
    segments: Vec<Segment<K>>,
}

struct Segment<const K: usize> {
    start: f64,
    inverse_step: f64,
    intervals: Vec<Interval<K>>,
}

/// Coefficients of the powers of the place within an interval; those of two functions fill one cache line.
#[repr(align(64))]
struct Interval<const K: usize>([[f64; K]; 4]);

impl<const K: usize> SquareTable<K> {
    /// Of functions of the distance, given as value and slope, with as many intervals between any two neighbours of `knots`.
    pub(super) fn new(knots: &[f64], intervals: usize, function: impl Fn(f64) -> [[f64; 2]; K]) -> Self {
        let in_square = |square: f64| {
            let r = square.sqrt();
            function(r).map(|[value, slope]| [value, 0.5 * slope / r])
        };
        let segment = |ends: &[f64]| Segment::new(ends[0] * ends[0], ends[1] * ends[1], intervals, &in_square);
        Self { segments: knots.windows(2).map(segment).collect() }
    }

    /// Interval, place in it, and inverse of its length. Most pairs are far apart: the last segment is looked at first.
    #[inline(always)]
    fn place(&self, square: f64) -> (&[[f64; K]; 4], f64, f64) {
        let beginning = self.segments.iter().rev().find(|s| square >= s.start);
        let segment = beginning.unwrap_or(&self.segments[0]);
        let x = (square - segment.start) * segment.inverse_step;
        let k = (x as usize).min(segment.intervals.len() - 1);
        (&segment.intervals[k].0, x - k as f64, segment.inverse_step)
    }

    /// Value of one function; `square` lies within the table.
    #[inline(always)]
    pub(super) fn value(&self, square: f64, function: usize) -> f64 {
        let (c, t, _) = self.place(square);
        (0..4).rev().fold(0.0, |sum, power| sum * t + c[power][function])
    }

    /// Values, and slopes with respect to the square; `square` lies within the table.
    #[inline(always)]
    pub(super) fn evaluate(&self, square: f64) -> ([f64; K], [f64; K]) {
        let ([c0, c1, c2, c3], t, inverse_step) = self.place(square);
        let value = |k: usize| c0[k] + t * (c1[k] + t * (c2[k] + t * c3[k]));
        let slope = |k: usize| inverse_step * (c1[k] + t * (2.0 * c2[k] + t * (3.0 * c3[k])));
        (from_fn(value), from_fn(slope))
    }
}

impl<const K: usize> Segment<K> {
    fn new(start: f64, end: f64, intervals: usize, function: &impl Fn(f64) -> [[f64; 2]; K]) -> Self {
        let step = (end - start) / intervals as f64;
        let node = |k| function(if k == intervals { end } else { start + step * k as f64 });
        let nodes: Vec<[[f64; 2]; K]> = (0..=intervals).map(node).collect();
        let interval = |ends: &[[[f64; 2]; K]]| {
            let of_each: [[f64; 4]; K] = from_fn(|k| cubic(step, ends[0][k], ends[1][k]));
            Interval(from_fn(|power| from_fn(|k| of_each[k][power])))
        };
        Self { start, inverse_step: 1.0 / step, intervals: nodes.windows(2).map(interval).collect() }
    }
}

/// Power coefficients in the place within an interval of the cubic Hermite interpolant.
fn cubic(step: f64, [p0, v0]: [f64; 2], [p1, v1]: [f64; 2]) -> [f64; 4] {
    let (v0, v1, d) = (v0 * step, v1 * step, p1 - p0);
    [p0, v0, 3.0 * d - 2.0 * v0 - v1, v0 + v1 - 2.0 * d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the square of the distance r^6 is a cubic, which the table holds exactly.
    #[test]
    fn cubics_are_exact() {
        let table = SquareTable::new(&[0.5, 1.0, 3.0], 7, |r| [[r.powi(6), 6.0 * r.powi(5)], [1.0, 0.0]]);
        for k in 0..=100 {
            let square = 0.25 + (9.0 - 0.25) * f64::from(k) / 100.0;
            let (values, slopes) = table.evaluate(square);
            assert!((values[0] - square.powi(3)).abs() < 1e-11 && (values[1] - 1.0).abs() < 1e-14, "at {square}");
            assert!((slopes[0] - 3.0 * square.powi(2)).abs() < 1e-11 && slopes[1].abs() < 1e-14, "at {square}");
            assert!((table.value(square, 0) - values[0]).abs() < 1e-11);
        }
    }
}

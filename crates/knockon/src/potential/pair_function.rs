//! The two-body function of one pair of species: kernels, quintic bridge, ZBL; exact and as a table.

use super::model::{PairTerm, pair_index};
use crate::Species;
use std::array::from_fn;

/// Value, first and second derivative with respect to the distance.
pub type Jet = [f64; 3];

/// The kernels at distance `r` >= outer_angstrom: exp(-(r - z)^2 / (2 sigma^2)) times the taper.
fn kernel(term: &PairTerm, center: f64, r: f64) -> Jet {
    let variance = term.sigma_angstrom * term.sigma_angstrom;
    let x = (r - center) / variance;
    let g = gaussian(term, center, r);
    product([g, -x * g, (x * x - 1.0 / variance) * g], taper(term, r))
}

/// A kernel without the taper.
fn gaussian(term: &PairTerm, center: f64, r: f64) -> f64 {
    let variance = term.sigma_angstrom * term.sigma_angstrom;
    (-0.5 * (r - center) * ((r - center) / variance)).exp()
}

/// 1 below taper_start, then down to 0 at the cutoff.
fn taper(term: &PairTerm, r: f64) -> Jet {
    term.cutoff_switch.jet(term.taper_start_angstrom, term.cutoff_angstrom, r)
}

/// The product of two functions.
pub(super) fn product(a: Jet, b: Jet) -> Jet {
    [a[0] * b[0], a[1] * b[0] + a[0] * b[1], a[2] * b[0] + 2.0 * a[1] * b[1] + a[0] * b[2]]
}

/// The quintic on [r0, r1] with given value, slope and curvature at both ends, evaluated at r.
fn quintic(r0: f64, start: Jet, r1: f64, end: Jet, r: f64) -> Jet {
    let h = r1 - r0;
    let c = quintic_coefficients(h, start, end);
    let t = (r - r0) / h;
    let value = c.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let slope = (1..6).rev().fold(0.0, |sum, k| sum * t + k as f64 * c[k]);
    let curvature = (2..6).rev().fold(0.0, |sum, k| sum * t + (k * (k - 1)) as f64 * c[k]);
    [value, slope / h, curvature / (h * h)]
}

/// Power coefficients in t = (r - r0) / h of the quintic Hermite interpolant.
fn quintic_coefficients(h: f64, start: Jet, end: Jet) -> [f64; 6] {
    let [p0, v0, a0] = [start[0], start[1] * h, start[2] * h * h];
    let [p1, v1, a1] = [end[0], end[1] * h, end[2] * h * h];
    let d = p1 - p0;
    [
        p0,
        v0,
        0.5 * a0,
        10.0 * d - 6.0 * v0 - 4.0 * v1 - 1.5 * a0 + 0.5 * a1,
        -15.0 * d + 8.0 * v0 + 7.0 * v1 + 1.5 * a0 - a1,
        6.0 * d - 3.0 * (v0 + v1) - 0.5 * a0 + 0.5 * a1,
    ]
}

/// What a unit coefficient of kernel `center` adds to the energy of a bond.
pub fn basis_function(term: &PairTerm, center: f64, r: f64) -> Jet {
    if r <= term.inner_angstrom || r > term.cutoff_angstrom {
        return [0.0; 3];
    }
    if r >= term.outer_angstrom {
        return kernel(term, center, r);
    }
    let end = kernel(term, center, term.outer_angstrom);
    quintic(term.inner_angstrom, [0.0; 3], term.outer_angstrom, end, r)
}

/// Adds the values of all kernels at distance `r`, those of [`basis_function`], to `sums`.
pub(super) fn add_basis_values<'a>(term: &PairTerm, r: f64, sums: impl Iterator<Item = &'a mut f64>) {
    let kernels = sums.zip(&term.centers_angstrom);
    if r >= term.outer_angstrom && r <= term.cutoff_angstrom {
        let taper = taper(term, r)[0];
        kernels.for_each(|(sum, center)| *sum += gaussian(term, *center, r) * taper);
    } else {
        kernels.for_each(|(sum, center)| *sum += basis_function(term, *center, r)[0]);
    }
}

/// The part of the energy of a bond that no coefficient multiplies: ZBL and its side of the bridge.
pub fn fixed_function(term: &PairTerm, a: Species, b: Species, r: f64) -> Jet {
    if r <= term.inner_angstrom {
        return term.zbl.evaluate(a, b, r);
    }
    if r >= term.outer_angstrom {
        return [0.0; 3];
    }
    let start = term.zbl.evaluate(a, b, term.inner_angstrom);
    quintic(term.inner_angstrom, start, term.outer_angstrom, [0.0; 3], r)
}

/// Energy of a bond in eV at distance `r` in angstrom, with its first two derivatives.
pub fn pair_function(term: &PairTerm, species: [Species; 2], coefficients_ev: &[f64], r: f64) -> Jet {
    add_kernels(term, fixed_function(term, species[0], species[1], r), coefficients_ev, r)
}

/// `jet` and the kernels with their coefficients.
fn add_kernels(term: &PairTerm, jet: Jet, coefficients_ev: &[f64], r: f64) -> Jet {
    term.centers_angstrom.iter().zip(coefficients_ev).fold(jet, |jet, (center, c)| {
        let basis = basis_function(term, *center, r);
        [jet[0] + c * basis[0], jet[1] + c * basis[1], jet[2] + c * basis[2]]
    })
}

/// Intervals of each segment of a table with which the interpolation error is below 1e-12 of the function.
pub(super) const INTERVALS: usize = 1024;
/// The same for the deviations of a committee's members, of which errors of 1e-6 do not matter.
const MEMBER_INTERVALS: usize = 512;

/// K two-body functions of the same distance as quintic Hermite splines: one segment for the bridge, one up to the taper,
/// one to the cutoff, so that no interval contains a point where a higher derivative jumps.
#[derive(Clone)]
pub(super) struct PairTable<const K: usize> {
    segments: Vec<Segment<K>>,
    inner: f64,
    cutoff: f64,
}

#[derive(Clone)]
struct Segment<const K: usize> {
    start: f64,
    end: f64,
    inverse_step: f64,
    coefficients: Vec<[[f64; K]; 6]>,
}

/// The tables of all unordered pairs of species of a model, and ZBL below them.
pub(super) struct PairTables {
    term: PairTerm,
    species: Vec<Species>,
    tables: Vec<PairTable<1>>,
}

impl PairTables {
    pub(super) fn new(term: &PairTerm, species: &[Species]) -> Self {
        let n = species.len();
        let pairs = (0..n).flat_map(|a| (a..n).map(move |b| (a, b)));
        let tables = pairs
            .map(|(a, b)| {
                let coefficients = &term.pairs[pair_index(a, b, n)].coefficients_ev;
                PairTable::new(term, INTERVALS, |r| [pair_function(term, [species[a], species[b]], coefficients, r)])
            })
            .collect();
        Self { term: term.clone(), species: species.to_vec(), tables }
    }

    pub(super) fn cutoff_angstrom(&self) -> f64 {
        self.term.cutoff_angstrom
    }

    /// Energy and slope of the bond between species `a` and `b`.
    pub(super) fn evaluate(&self, a: usize, b: usize, r: f64) -> (f64, f64) {
        if r <= self.term.inner_angstrom {
            let [value, slope, _] = self.term.zbl.evaluate(self.species[a], self.species[b], r);
            return (value, slope);
        }
        let ([value], [slope]) = self.tables[pair_index(a, b, self.species.len())].evaluate(r);
        (value, slope)
    }
}

impl<const K: usize> PairTable<K> {
    /// Of kernels alone, with K sets of coefficients: what the members of a committee add to the bond of one pair of species.
    pub(super) fn of_kernels(term: &PairTerm, coefficients_ev: [&[f64]; K]) -> Self {
        Self::new(term, MEMBER_INTERVALS, |r| coefficients_ev.map(|c| add_kernels(term, [0.0; 3], c, r)))
    }

    fn new(term: &PairTerm, intervals: usize, function: impl Fn(f64) -> [Jet; K]) -> Self {
        let mut knots = vec![term.inner_angstrom, term.outer_angstrom];
        if term.taper_start_angstrom > term.outer_angstrom {
            knots.push(term.taper_start_angstrom);
        }
        knots.push(term.cutoff_angstrom);
        let segment = |ends: &[f64]| Segment::new(ends[0], ends[1], intervals, &function);
        let segments = knots.windows(2).map(segment).collect();
        Self { segments, inner: term.inner_angstrom, cutoff: term.cutoff_angstrom }
    }

    /// Values and slopes; none outside of the table.
    #[inline(always)]
    pub(super) fn evaluate(&self, r: f64) -> ([f64; K], [f64; K]) {
        if r >= self.cutoff || r < self.inner {
            return ([0.0; K], [0.0; K]);
        }
        let segment = self.segments.iter().find(|s| r < s.end).expect("segments cover the range up to the cutoff");
        segment.evaluate(r)
    }
}

impl<const K: usize> Segment<K> {
    fn new(start: f64, end: f64, intervals: usize, function: &impl Fn(f64) -> [Jet; K]) -> Self {
        let step = (end - start) / intervals as f64;
        let node = |k| if k == intervals { end } else { start + step * k as f64 };
        let nodes: Vec<[Jet; K]> = (0..=intervals).map(|k| function(node(k))).collect();
        let interval = |ends: &[[Jet; K]]| {
            let of_each: [[f64; 6]; K] = from_fn(|k| quintic_coefficients(step, ends[0][k], ends[1][k]));
            from_fn(|power| from_fn(|k| of_each[k][power]))
        };
        let coefficients = nodes.windows(2).map(interval).collect();
        Self { start, end, inverse_step: 1.0 / step, coefficients }
    }

    #[inline(always)]
    fn evaluate(&self, r: f64) -> ([f64; K], [f64; K]) {
        let x = (r - self.start) * self.inverse_step;
        let k = (x as usize).min(self.coefficients.len() - 1);
        let t = x - k as f64;
        let [c0, c1, c2, c3, c4, c5] = &self.coefficients[k];
        let value = |k: usize| c0[k] + t * (c1[k] + t * (c2[k] + t * (c3[k] + t * (c4[k] + t * c5[k]))));
        let slope = |k: usize| c1[k] + t * (2.0 * c2[k] + t * (3.0 * c3[k] + t * (4.0 * c4[k] + t * 5.0 * c5[k])));
        (from_fn(value), from_fn(|k| slope(k) * self.inverse_step))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cutoff_switch::CutoffSwitch;
    use super::super::zbl::Zbl;
    use super::*;

    fn term() -> PairTerm {
        let centers_angstrom: Vec<f64> = (0..20).map(|k| 0.2 + 4.6 * f64::from(k) / 19.0).collect();
        PairTerm {
            cutoff_angstrom: 4.8,
            taper_start_angstrom: 0.0,
            cutoff_switch: CutoffSwitch::default(),
            centers_angstrom,
            sigma_angstrom: 0.25,
            inner_angstrom: 1.0,
            outer_angstrom: 1.3,
            zbl: Zbl::default(),
            pairs: vec![],
        }
    }

    fn coefficients() -> Vec<f64> {
        (0..20).map(|k| (f64::from(k) * 1.7).sin()).collect()
    }

    fn tungsten_oxygen() -> [Species; 2] {
        ["W", "O"].map(|s| Species::from_symbol(s).unwrap())
    }

    #[test]
    fn function_is_continuous_up_to_the_second_derivative() {
        let term = term();
        let f = |r| pair_function(&term, tungsten_oxygen(), &coefficients(), r);
        for joint in [1.0, 1.3] {
            let (below, above) = (f(joint - 1e-9), f(joint + 1e-9));
            for k in 0..3 {
                assert!((below[k] - above[k]).abs() < 1e-5 * (1.0 + below[k].abs()), "derivative {k} at {joint}");
            }
        }
        assert!(f(4.8 - 1e-7)[1].abs() < 1e-5);
        assert!(
            (f(0.9)[0] - Zbl::default().evaluate(tungsten_oxygen()[0], tungsten_oxygen()[1], 0.9)[0]).abs() < 1e-12
        );
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let term = term();
        let f = |r| pair_function(&term, tungsten_oxygen(), &coefficients(), r);
        let h = 1e-5;
        for r in [0.7, 1.1, 1.25, 1.31, 2.2, 4.7] {
            let [low, mid, high] = [f(r - h), f(r), f(r + h)];
            assert!(((high[0] - low[0]) / (2.0 * h) - mid[1]).abs() < 1e-6 * (1.0 + mid[1].abs()), "slope at {r}");
            assert!(((high[1] - low[1]) / (2.0 * h) - mid[2]).abs() < 1e-6 * (1.0 + mid[2].abs()), "curvature at {r}");
        }
    }

    #[test]
    fn table_agrees_with_the_function() {
        let term = term();
        let f = |r| pair_function(&term, tungsten_oxygen(), &coefficients(), r);
        for (intervals, tolerance) in [(INTERVALS, 1e-11), (MEMBER_INTERVALS, 1e-6)] {
            let table = PairTable::new(&term, intervals, |r| [f(r)]);
            for k in 0..10_000 {
                let r = 1.0 + 3.8 * (f64::from(k) + 0.5) / 10_000.0;
                let ([value], [slope]) = table.evaluate(r);
                let [exact, exact_slope, _] = f(r);
                assert!((value - exact).abs() < tolerance * (1.0 + exact.abs()), "value at {r}: {value} {exact}");
                assert!((slope - exact_slope).abs() < 100.0 * tolerance * (1.0 + exact_slope.abs()), "slope at {r}");
            }
        }
    }
}

//! Moments of the neighbours around eight central atoms, and the derivative of a linear function of them.
//!
//! The moment of a family (p, q) and power j (see [`super::layout`]) is the sum over neighbours of
//! f conj(a)^p b^q x^j, with conj(b)^-q for negative q.

use super::lanes::{Complex, ComplexLanes};
use super::layout::{Family, Layout};
use fearless_simd::{Simd, SimdBase, SimdFloat, f64x8};

/// Cayley-Klein parameters of one neighbour per lane.
#[derive(Clone, Copy)]
pub(super) struct CayleyKlein<S: Simd> {
    pub(super) a: Complex<S>,
    pub(super) b: Complex<S>,
}

impl<S: Simd> CayleyKlein<S> {
    /// |a|^2 - |b|^2.
    #[inline(always)]
    fn x(&self) -> f64x8<S> {
        let b = self.b.re.mul_add(self.b.re, self.b.im * self.b.im);
        self.a.re.mul_add(self.a.re, self.a.im.mul_sub(self.a.im, b))
    }
}

/// Derivatives of a real function with respect to the real and imaginary parts of a and b.
pub(super) struct Gradient<S: Simd> {
    pub(super) a: Complex<S>,
    pub(super) b: Complex<S>,
    /// Derivative with respect to the amplitude f.
    pub(super) amplitude: f64x8<S>,
}

/// Runs of families with the same q.
#[inline(always)]
pub(super) fn rows(layout: &Layout) -> impl DoubleEndedIterator<Item = &[Family]> {
    layout.families.chunk_by(|one, next| one.q == next.q)
}

/// Adds K neighbours per lane with amplitudes f to the moments. Several neighbours at once share the memory traffic.
#[inline(always)]
pub(super) fn accumulate<S: Simd, const K: usize>(
    simd: S,
    layout: &Layout,
    neighbors: [(CayleyKlein<S>, f64x8<S>); K],
    moments: &mut [ComplexLanes],
) {
    let x = neighbors.map(|(q, _)| q.x());
    let zero = f64x8::splat(simd, 0.0);
    let amplitude = neighbors.map(|(_, f)| Complex { re: f, im: zero });
    let mut start = amplitude; // f b^q or f conj(b)^-q
    for row in rows(layout) {
        let q = row[0].q;
        for k in 0..K {
            let b = neighbors[k].0.b;
            start[k] = match q {
                0 => amplitude[k],
                -1 => Complex::conjugate_product(b, amplitude[k]),
                _ if q > 0 => Complex::product(b, start[k]),
                _ => Complex::conjugate_product(b, start[k]),
            };
        }
        let mut phase = start;
        for (index, family) in row.iter().enumerate() {
            if index > 0 || q < 0 {
                for k in 0..K {
                    phase[k] = Complex::conjugate_product(neighbors[k].0.a, phase[k]);
                }
            }
            let mut term = phase;
            for moment in &mut moments[family.start..family.start + family.count] {
                let mut sum = moment.load(simd);
                for k in 0..K {
                    sum = sum.add(term[k]);
                    term[k] = term[k].scale(x[k]);
                }
                moment.store(sum);
            }
        }
    }
}

/// Value and derivatives of Re F, F = sum over families S(x) a^p conj(b)^q (b^-q for negative q) with
/// S(x) = sum_j seed_j x^j: the sum of Re(seed conj(moment)) over the moments of one neighbour with f = 1.
///
/// Horner's rule in x, in a, and in conj(b) or b, each with its derivative.
#[inline(always)]
pub(super) fn differentiate<S: Simd>(
    simd: S,
    layout: &Layout,
    q: CayleyKlein<S>,
    seeds: &[ComplexLanes],
) -> Gradient<S> {
    let (x, a) = (q.x(), q.a);
    let zero = Complex::zero(simd);
    let conjugate_b = Complex { re: q.b.re, im: -q.b.im };
    let mut slope_x = zero.re;
    let (mut value, mut slope_a) = (zero, zero);
    let mut slope_b = [zero; 2];
    for (negative, b) in [(false, conjugate_b), (true, q.b)] {
        // Sums over the rows so far: F, dF/db, dF/da, dF/dx.
        let [mut f, mut f_b, mut f_a, mut f_x] = [zero; 4];
        for row in rows(layout).rev().filter(|row| (row[0].q < 0) == negative) {
            let [mut g, mut g_a, mut g_x] = [zero; 3];
            for family in row.iter().rev() {
                let (s, s_x) = polynomial(simd, &seeds[family.start..family.start + family.count], x);
                g_a = g.add_product(g_a, a);
                g = s.add_product(g, a);
                g_x = s_x.add_product(g_x, a);
            }
            if negative {
                // These rows start at p = 1.
                g_a = g.add_product(g_a, a);
                g = Complex::product(g, a);
                g_x = Complex::product(g_x, a);
            }
            f_b = f.add_product(f_b, b);
            f = g.add_product(f, b);
            f_a = g_a.add_product(f_a, b);
            f_x = g_x.add_product(f_x, b);
        }
        if negative {
            // ... and the rows at q = -1.
            f_b = f.add_product(f_b, b);
            f = Complex::product(f, b);
            f_a = Complex::product(f_a, b);
            f_x = Complex::product(f_x, b);
        }
        value = value.add(f);
        slope_a = slope_a.add(f_a);
        slope_x += f_x.re;
        slope_b[usize::from(negative)] = f_b;
    }
    let twice = slope_x + slope_x;
    // For a holomorphic function of z, d Re F = Re(F' dz): real part Re F', imaginary part -Im F'; opposite for conj(z).
    Gradient {
        a: Complex { re: twice.mul_add(a.re, slope_a.re), im: twice.mul_sub(a.im, slope_a.im) },
        b: Complex {
            re: slope_b[0].re + slope_b[1].re - twice * q.b.re,
            im: slope_b[0].im - slope_b[1].im - twice * q.b.im,
        },
        amplitude: value.re,
    }
}

/// sum_j seeds_j x^j and its derivative.
#[inline(always)]
fn polynomial<S: Simd>(simd: S, seeds: &[ComplexLanes], x: f64x8<S>) -> (Complex<S>, Complex<S>) {
    let mut slope = Complex::zero(simd);
    let Some((last, lower)) = seeds.split_last() else { return (slope, slope) };
    let mut value = last.load(simd);
    for seed in lower.iter().rev() {
        slope = value.add_scaled(slope, x);
        value = seed.load(simd).add_scaled(value, x);
    }
    (value, slope)
}

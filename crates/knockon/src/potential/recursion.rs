//! The Wigner functions of one neighbour and the reverse sweep through them.
//!
//! U^l[mb][ma] / sqrt((l-ma)! ma! / ((l-mb)! mb!)) = V^l[mb][ma] is the coefficient of t^ma of the polynomial
//! (conj(a) - conj(b) t)^(l-mb) (b + a t)^mb in the Cayley-Klein parameters a, b of the neighbour
//! (Varshalovich, Quantum Theory of Angular Momentum, 4.8.2, without its square roots). So row (mb, l) is
//! row (mb, l-1) times (conj(a) - conj(b) t), and row (mb, 2mb) is row (mb-1, 2mb-1) times (b + a t).

use super::coupling::Layout;
use super::lanes::{Complex, ComplexLanes};
use fearless_simd::{Simd, SimdBase, f64x8};

/// Cayley-Klein parameters of one neighbour per lane.
#[derive(Clone, Copy)]
pub(super) struct CayleyKlein<S: Simd> {
    pub(super) a: Complex<S>,
    pub(super) b: Complex<S>,
}

/// Derivatives of a real function with respect to the real and imaginary parts of a and b.
pub(super) struct Gradient<S: Simd> {
    pub(super) a: Complex<S>,
    pub(super) b: Complex<S>,
    /// Derivative with respect to the amplitude that multiplies all V.
    pub(super) amplitude: f64x8<S>,
}

/// Longest row.
const MAX_ROW: usize = 9;

/// Fills `v` (half layout) with `amplitude * V`.
#[inline(always)]
pub(super) fn forward<S: Simd>(
    simd: S,
    layout: &Layout,
    q: CayleyKlein<S>,
    amplitude: f64x8<S>,
    v: &mut [ComplexLanes],
) {
    let two_j_max = layout.two_j_max;
    v[0].store(Complex { re: amplitude, im: f64x8::splat(simd, 0.0) });
    for mb in 0..=two_j_max / 2 {
        if mb > 0 {
            let (old, new) = v.split_at_mut(layout.half_row(2 * mb, mb));
            let start = layout.half_row(2 * mb - 1, mb - 1);
            multiply_by_second(simd, q, &old[start..start + 2 * mb], &mut new[..=2 * mb]);
        }
        for l in 2 * mb + 1..=two_j_max {
            let start = layout.half_row(l, mb);
            let (old, new) = v.split_at_mut(start);
            multiply_by_first(simd, q, &old[start - l..], &mut new[..=l]);
        }
    }
}

/// new(t) = old(t) (conj(a) - conj(b) t).
#[inline(always)]
fn multiply_by_first<S: Simd>(simd: S, q: CayleyKlein<S>, old: &[ComplexLanes], new: &mut [ComplexLanes]) {
    let (last, rest) = new.split_last_mut().expect("a row has at least one element");
    let mut carry = Complex::zero(simd);
    for (old, new) in old.iter().zip(rest) {
        let value = old.load(simd);
        new.store(carry.add_conjugate_product(q.a, value));
        carry = Complex::zero(simd).sub_conjugate_product(q.b, value);
    }
    last.store(carry);
}

/// new(t) = old(t) (b + a t).
#[inline(always)]
fn multiply_by_second<S: Simd>(simd: S, q: CayleyKlein<S>, old: &[ComplexLanes], new: &mut [ComplexLanes]) {
    let (last, rest) = new.split_last_mut().expect("a row has at least one element");
    let mut carry = Complex::zero(simd);
    for (old, new) in old.iter().zip(rest) {
        let value = old.load(simd);
        new.store(carry.add_product(q.b, value));
        carry = Complex::product(q.a, value);
    }
    last.store(carry);
}

/// Derivatives of sum Re(conj(seed) V): a reverse sweep through the recursion. `v` holds V with amplitude 1.
#[inline(always)]
pub(super) fn reverse<S: Simd>(
    simd: S,
    layout: &Layout,
    q: CayleyKlein<S>,
    v: &[ComplexLanes],
    seed: &[ComplexLanes],
) -> Gradient<S> {
    let zero = Complex::zero(simd);
    let mut gradient = Gradient { a: zero, b: zero, amplitude: zero.re };
    // What row (mb, 2mb) passes on to row (mb-1, 2mb-1).
    let mut passed_on = [zero; MAX_ROW];
    for mb in (0..=layout.two_j_max / 2).rev() {
        let mut adjoint = [zero; MAX_ROW];
        let top = layout.half_row(layout.two_j_max, mb);
        for (adjoint, seed) in adjoint.iter_mut().zip(&seed[top..=top + layout.two_j_max]) {
            *adjoint = seed.load(simd);
        }
        for l in (2 * mb..layout.two_j_max).rev() {
            let row = layout.half_row(l, mb)..layout.half_row(l, mb) + l + 1;
            step_back_first(simd, q, &v[row.clone()], &seed[row], &mut adjoint, &mut gradient);
            if l == 2 * mb + 1 && mb < layout.two_j_max / 2 {
                for (adjoint, passed) in adjoint.iter_mut().zip(&passed_on[..=l]) {
                    *adjoint = adjoint.add(*passed);
                }
            }
        }
        if mb == 0 {
            gradient.amplitude = adjoint[0].re;
        } else {
            let start = layout.half_row(2 * mb - 1, mb - 1);
            step_back_second(simd, q, &v[start..start + 2 * mb], &adjoint, &mut passed_on, &mut gradient);
        }
    }
    gradient
}

/// Adjoint of [`multiply_by_first`]: turns the adjoint of a row into that of the row before, whose values are `old`.
#[inline(always)]
fn step_back_first<S: Simd>(
    simd: S,
    q: CayleyKlein<S>,
    old: &[ComplexLanes],
    seed: &[ComplexLanes],
    adjoint: &mut [Complex<S>; MAX_ROW],
    gradient: &mut Gradient<S>,
) {
    for (k, (old, seed)) in old.iter().zip(seed).enumerate() {
        let value = old.load(simd);
        let (low, high) = (adjoint[k], adjoint[k + 1]);
        // d/d conj(a): conj(low) value; d/d conj(b): -conj(high) value
        gradient.a = gradient.a.add_conjugate_product(low, value);
        gradient.b = gradient.b.sub_conjugate_product(high, value);
        adjoint[k] = seed.load(simd).add_product(q.a, low).sub_product(q.b, high);
    }
}

/// Adjoint of [`multiply_by_second`].
#[inline(always)]
fn step_back_second<S: Simd>(
    simd: S,
    q: CayleyKlein<S>,
    old: &[ComplexLanes],
    adjoint: &[Complex<S>; MAX_ROW],
    passed_on: &mut [Complex<S>; MAX_ROW],
    gradient: &mut Gradient<S>,
) {
    for (k, old) in old.iter().enumerate() {
        let value = old.load(simd);
        let (low, high) = (adjoint[k], adjoint[k + 1]);
        // d/da: conj(high) value; d/db: conj(low) value; the gradient collects d/d conj, hence the other order
        gradient.a = gradient.a.add_conjugate_product(value, high);
        gradient.b = gradient.b.add_conjugate_product(value, low);
        passed_on[k] = Complex::conjugate_product(q.b, low).add_conjugate_product(q.a, high);
    }
}

//! Eight central atoms side by side: every number of the many-body kernel is a vector with one lane per atom.

use fearless_simd::{Simd, SimdBase, SimdFloat, SimdFrom, f64x8};

/// Central atoms that are evaluated together.
pub(super) const LANES: usize = 8;

/// A vector in memory, aligned to a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub(super) [f64; LANES]);

impl Lanes {
    #[inline(always)]
    pub(super) fn load<S: Simd>(&self, simd: S) -> f64x8<S> {
        f64x8::simd_from(simd, self.0)
    }

    #[inline(always)]
    pub(super) fn store<S: Simd>(&mut self, value: f64x8<S>) {
        value.store_slice(&mut self.0);
    }
}

/// A complex vector in memory.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct ComplexLanes {
    pub(super) re: Lanes,
    pub(super) im: Lanes,
}

impl ComplexLanes {
    #[inline(always)]
    pub(super) fn load<S: Simd>(&self, simd: S) -> Complex<S> {
        Complex { re: self.re.load(simd), im: self.im.load(simd) }
    }

    #[inline(always)]
    pub(super) fn store<S: Simd>(&mut self, value: Complex<S>) {
        self.re.store(value.re);
        self.im.store(value.im);
    }
}

/// A complex vector in registers.
#[derive(Clone, Copy)]
pub(super) struct Complex<S: Simd> {
    pub(super) re: f64x8<S>,
    pub(super) im: f64x8<S>,
}

impl<S: Simd> Complex<S> {
    #[inline(always)]
    pub(super) fn zero(simd: S) -> Self {
        Self { re: f64x8::splat(simd, 0.0), im: f64x8::splat(simd, 0.0) }
    }

    #[inline(always)]
    pub(super) fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    /// self * factor.
    #[inline(always)]
    pub(super) fn scale(self, factor: f64x8<S>) -> Self {
        Self { re: self.re * factor, im: self.im * factor }
    }

    /// self + other * factor.
    #[inline(always)]
    pub(super) fn add_scaled(self, other: Self, factor: f64x8<S>) -> Self {
        Self { re: other.re.mul_add(factor, self.re), im: other.im.mul_add(factor, self.im) }
    }

    /// self + a b.
    #[inline(always)]
    pub(super) fn add_product(self, a: Self, b: Self) -> Self {
        let re = a.re.mul_add(b.re, self.re);
        let im = a.re.mul_add(b.im, self.im);
        Self { re: (-a.im).mul_add(b.im, re), im: a.im.mul_add(b.re, im) }
    }

    /// a b.
    #[inline(always)]
    pub(super) fn product(a: Self, b: Self) -> Self {
        Self { re: a.re.mul_sub(b.re, a.im * b.im), im: a.re.mul_add(b.im, a.im * b.re) }
    }

    /// conj(a) b.
    #[inline(always)]
    pub(super) fn conjugate_product(a: Self, b: Self) -> Self {
        Self { re: a.re.mul_add(b.re, a.im * b.im), im: a.re.mul_sub(b.im, a.im * b.re) }
    }
}

/// sin and cos of lanes in [0, pi], to a few units in the last place: Taylor series about pi/2.
#[inline(always)]
pub(super) fn sin_cos<S: Simd>(simd: S, angle: f64x8<S>) -> (f64x8<S>, f64x8<S>) {
    // |y| <= pi/2; the first terms left out are y^23/23! < 1.3e-18 and y^24/24! < 9e-20.
    const SIN: [f64; 11] = series(1);
    const COS: [f64; 12] = series(0);
    let y = (angle - std::f64::consts::FRAC_PI_2) - 6.123_233_995_736_766e-17;
    let square = y * y;
    let horner = |coefficients: &[f64]| {
        let (last, rest) = coefficients.split_last().expect("the series has terms");
        rest.iter().rev().fold(f64x8::splat(simd, *last), |sum, c| sum.mul_add(square, f64x8::splat(simd, *c)))
    };
    // sin(y + pi/2) = cos y, cos(y + pi/2) = -sin y
    (horner(&COS), -(y * horner(&SIN)))
}

/// exp of lanes up to 1, to 3e-14 of its value down to -40 and exp(-40) = 4e-18 below: Taylor series of a sixty-fourth of the exponent, then
/// six squares.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, exponent: f64x8<S>) -> f64x8<S> {
    // |x| <= 40/64; the first term left out is x^17/17! < 1e-18.
    const TERMS: [f64; 17] = inverse_factorials();
    let x = exponent.max(-40.0) * (1.0 / 64.0);
    let (last, rest) = TERMS.split_last().expect("the series has terms");
    let mut value = rest.iter().rev().fold(f64x8::splat(simd, *last), |sum, c| sum.mul_add(x, f64x8::splat(simd, *c)));
    for _ in 0..6 {
        value = value * value;
    }
    value
}

/// 1 / k!.
const fn inverse_factorials<const N: usize>() -> [f64; N] {
    let mut coefficients = [1.0; N];
    let mut k = 1;
    while k < N {
        coefficients[k] = coefficients[k - 1] / k as f64;
        k += 1;
    }
    coefficients
}

/// Coefficients (-1)^k / (2k + first)! of the Taylor series of sin (first = 1) and cos (first = 0) in y^2.
const fn series<const N: usize>(first: usize) -> [f64; N] {
    let mut coefficients = [0.0; N];
    let mut k = 0;
    let mut value = 1.0;
    while k < N {
        coefficients[k] = value;
        let n = (2 * k + first) as f64;
        value /= -((n + 1.0) * (n + 2.0));
        k += 1;
    }
    coefficients
}

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::{Level, dispatch};

    #[test]
    fn exponentials_are_accurate() {
        for step in 0..=1000 {
            let exponent = 1.0 - 0.05 * f64::from(step);
            let value = dispatch!(Level::new(), simd => exp(simd, f64x8::splat(simd, exponent))[0]);
            let expected = exponent.max(-40.0).exp();
            assert!((value / expected - 1.0).abs() < 3e-14, "exp {exponent}: {value} {expected}");
        }
    }

    #[test]
    fn sin_and_cos_are_accurate() {
        for step in 0..=1000 {
            let angle = std::f64::consts::PI * f64::from(step) / 1000.0;
            let (sin, cos) = dispatch!(Level::new(), simd => {
                let (sin, cos) = sin_cos(simd, f64x8::splat(simd, angle));
                (sin[0], cos[0])
            });
            assert!((sin - angle.sin()).abs() < 3e-16, "sin {angle}");
            assert!((cos - angle.cos()).abs() < 3e-16, "cos {angle}");
        }
    }
}

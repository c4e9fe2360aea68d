//! How functions of the distance are taken to zero at a cutoff.

use super::lanes::sin_cos;
use super::pair_function::Jet;
use fearless_simd::{Simd, SimdBase, SimdFloat, f64x8};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A function that falls from 1 to 0 up to a cutoff, with zero slope at both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutoffSwitch {
    /// Half a cosine, as in SNAP and MILADY. Its second derivative is not zero at the cutoff, so elastic constants and
    /// frequencies jump where a shell of neighbours passes it.
    #[default]
    Cosine,
    /// (1 - t)^3 (1 + 3 t + 6 t^2), the polynomial of degree five that is continuous up to the second derivative at both ends.
    Quintic,
}

impl CutoffSwitch {
    /// Whether it is half a cosine, which is left out of files.
    pub(crate) fn is_cosine(&self) -> bool {
        *self == Self::Cosine
    }

    /// 1 up to `start`, 0 beyond `cutoff`, with the first two derivatives. At the cutoff itself those from below: tables end there.
    pub(super) fn jet(self, start: f64, cutoff: f64, r: f64) -> Jet {
        if r <= start {
            return [1.0, 0.0, 0.0];
        }
        if r > cutoff {
            return [0.0; 3];
        }
        let width = cutoff - start;
        match self {
            Self::Cosine => {
                let k = PI / width;
                let (sin, cos) = libm::sincos(k * (r - start));
                [0.5 * (1.0 + cos), -0.5 * k * sin, -0.5 * k * k * cos]
            }
            Self::Quintic => {
                let t = (r - start) / width;
                let u = 1.0 - t;
                let curvature = -60.0 * t * u * (u - t);
                [u * u * u * (1.0 + t * (3.0 + 6.0 * t)), -30.0 * t * t * u * u / width, curvature / (width * width)]
            }
        }
    }

    /// The switch from 0 to `cutoff` at distances within, and its derivative.
    #[inline(always)]
    pub(super) fn within<S: Simd>(self, simd: S, cutoff: f64, r: f64x8<S>) -> (f64x8<S>, f64x8<S>) {
        match self {
            Self::Cosine => {
                let (sin, cos) = sin_cos(simd, r * (PI / cutoff));
                ((cos + 1.0) * 0.5, sin * (-0.5 * PI / cutoff))
            }
            Self::Quintic => {
                let one = f64x8::splat(simd, 1.0);
                let t = r * (1.0 / cutoff);
                let u = one - t;
                let square = u * u;
                let sum = t.mul_add(t.mul_add(f64x8::splat(simd, 6.0), f64x8::splat(simd, 3.0)), one);
                (square * u * sum, t * t * square * (-30.0 / cutoff))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fearless_simd::{Level, dispatch};

    const BOTH: [CutoffSwitch; 2] = [CutoffSwitch::Cosine, CutoffSwitch::Quintic];

    #[test]
    fn derivatives_agree_with_differences() {
        for switch in BOTH {
            for r in [2.2, 2.7, 3.5, 4.4] {
                let h = 1e-5;
                let [low, mid, high] = [r - h, r, r + h].map(|r| switch.jet(2.0, 4.5, r));
                for k in 0..2 {
                    let slope = (high[k] - low[k]) / (2.0 * h);
                    assert!((slope - mid[k + 1]).abs() < 1e-8, "{switch:?}: derivative {} at {r}", k + 1);
                }
            }
        }
    }

    #[test]
    fn ends_are_as_smooth_as_the_switch_is_said_to_be() {
        for (switch, largest_curvature) in [(CutoffSwitch::Cosine, 0.789_568), (CutoffSwitch::Quintic, 0.0)] {
            let [above, below] = [2.0 + 1e-9, 4.5 - 1e-9].map(|r| switch.jet(2.0, 4.5, r));
            assert!((above[0] - 1.0).abs() < 1e-12 && below[0].abs() < 1e-12, "{switch:?}: {above:?} {below:?}");
            assert!(above[1].abs() < 1e-8 && below[1].abs() < 1e-8, "{switch:?}: {above:?} {below:?}");
            let largest = above[2].abs().max(below[2].abs());
            assert!((largest - largest_curvature).abs() < 1e-6, "{switch:?}: {largest}");
        }
    }

    #[test]
    fn vectors_agree_with_numbers() {
        for switch in BOTH {
            for r in [0.1, 1.3, 2.9, 4.4999] {
                let (value, slope) = dispatch!(Level::new(), simd => {
                    let (value, slope) = switch.within(simd, 4.5, f64x8::splat(simd, r));
                    (value[0], slope[0])
                });
                let [expected, expected_slope, _] = switch.jet(0.0, 4.5, r);
                assert!((value - expected).abs() < 1e-15, "{switch:?} at {r}: {value} {expected}");
                assert!((slope - expected_slope).abs() < 1e-15, "{switch:?} at {r}: {slope} {expected_slope}");
            }
        }
    }
}

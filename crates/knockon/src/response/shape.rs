//! Distributions of the non-zero stored energies: four families with a common parametrisation.
//!
//! A family is described by mean and standard deviation of its parent distribution, one of them by an asymmetry and one
//! by a measured profile; the parent is then cut at 0 and at the recoil energy and normalised in between. Describing all
//! by mean and width lets one set of curves over the recoil energy serve every family, and lets published means be used
//! where samples are missing.

use super::spline::MonotoneSpline;
use crate::math::{gamma_p, minimise, normal_cdf, normal_density};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A family of distributions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ShapeModel {
    /// Normal distribution.
    #[default]
    Gaussian,
    /// Two half-Gaussians with one maximum and different widths.
    AsymmetricGaussian,
    /// Gamma distribution.
    Gamma,
    /// What the cascades of all energies show together, smoothed ([`Profile`]).
    Empirical,
}

impl ShapeModel {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gaussian, Self::AsymmetricGaussian, Self::Gamma, Self::Empirical];

    /// Name in prose.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "Gaussian",
            Self::AsymmetricGaussian => "asymmetric Gaussian",
            Self::Gamma => "Gamma",
            Self::Empirical => "smoothed empirical distribution",
        }
    }
}

/// Distribution function of (stored energy - mean) / standard deviation, pooled over all recoil energies and smoothed with a
/// Gaussian kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Profile(MonotoneSpline);

/// Reach of a profile in standard deviations below and above the mean, and distance of its points.
const PROFILE_REACH: [f64; 2] = [-4.0, 8.0];
const PROFILE_STEP: f64 = 0.25;

impl Profile {
    /// From standardised values and their weights. The bandwidth is Silverman's, 0.9 n^(-1/5) standard deviations (Density
    /// Estimation, 1986, eq. 3.31) with the effective number n; the values are drawn together so that the smoothed
    /// distribution keeps mean 0 and variance 1. `None` with fewer than two different values.
    pub(super) fn of(values: &[f64], weights: &[f64]) -> Option<Self> {
        let total: f64 = weights.iter().sum();
        let mean = values.iter().zip(weights).map(|(z, w)| z * w).sum::<f64>() / total;
        let variance = values.iter().zip(weights).map(|(z, w)| w * (z - mean).powi(2)).sum::<f64>() / total;
        if !(variance.is_finite() && variance > 1e-12) {
            return None;
        }
        let effective = total * total / weights.iter().map(|w| w * w).sum::<f64>();
        let bandwidth = 0.9 * effective.powf(-0.2);
        let shrink = (1.0 - bandwidth * bandwidth).max(0.0).sqrt();
        let points: Vec<f64> = values.iter().map(|z| shrink * (z - mean) / variance.sqrt()).collect();
        let below = |x: f64| -> f64 {
            points.iter().zip(weights).map(|(p, w)| w * normal_cdf((x - p) / bandwidth)).sum::<f64>() / total
        };
        let steps = ((PROFILE_REACH[1] - PROFILE_REACH[0]) / PROFILE_STEP).round() as usize;
        let x: Vec<f64> = (0..=steps).map(|i| PROFILE_REACH[0] + i as f64 * PROFILE_STEP).collect();
        let (first, last) = (below(PROFILE_REACH[0]), below(PROFILE_REACH[1]));
        // Rounded so that files stay small; 1e-7 of the probability.
        let y = x.iter().map(|x| ((below(*x) - first) / (last - first) * 1e7).round() / 1e7).collect();
        Some(Self(MonotoneSpline { x, y }))
    }

    /// Whether it is a distribution function.
    pub(super) fn is_sound(&self) -> bool {
        let y = &self.0.y;
        self.0.is_sound() && y[0] == 0.0 && y[y.len() - 1] == 1.0 && y.windows(2).all(|w| w[1] >= w[0])
    }
}

/// A member of a family, cut to [0, `limit_ev`].
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    model: ShapeModel,
    profile: Option<&'a Profile>,
    /// Gaussian, empirical: mean and sigma twice; asymmetric: mode, left and right sigma; Gamma: 0, shape k, scale theta.
    internal: [f64; 3],
    limit_ev: f64,
    below_zero: f64,
    norm: f64,
}

/// Less parent probability than this inside the limits: the cut distribution is taken as flat. It happens for recoil
/// energies far below the mean stored energy only, where the defect probability is practically 0.
const EMPTY: f64 = 1e-12;

impl<'a> Shape<'a> {
    /// A shape from the moments of its parent (eV) and the recoil energy that limits it. `asymmetry` is
    /// (sigma_right - sigma_left) / (sigma_right + sigma_left), in (-1, 1); only the asymmetric Gaussian uses it.
    /// An empirical shape is a Gaussian here, see [`Self::empirical`].
    pub fn new(model: ShapeModel, mean_ev: f64, standard_deviation_ev: f64, asymmetry: f64, limit_ev: f64) -> Self {
        Self::with_profile(model, None, mean_ev, standard_deviation_ev, asymmetry, limit_ev)
    }

    /// A measured profile with this mean and standard deviation in eV.
    pub fn empirical(profile: &'a Profile, mean_ev: f64, standard_deviation_ev: f64, limit_ev: f64) -> Self {
        Self::with_profile(ShapeModel::Empirical, Some(profile), mean_ev, standard_deviation_ev, 0.0, limit_ev)
    }

    fn with_profile(
        model: ShapeModel,
        profile: Option<&'a Profile>,
        mean_ev: f64,
        standard_deviation_ev: f64,
        asymmetry: f64,
        limit_ev: f64,
    ) -> Self {
        let (mean, deviation) = (mean_ev.max(1e-6), standard_deviation_ev.max(1e-6));
        let internal = match model {
            ShapeModel::Gaussian | ShapeModel::Empirical => [mean, deviation, deviation],
            ShapeModel::AsymmetricGaussian => {
                // Variance of a split normal: (1 - 2/pi) (right - left)^2 + left right; mean: mode + sqrt(2/pi) (right - left).
                let a = asymmetry.clamp(-0.95, 0.95);
                let half_sum = deviation / ((1.0 - 2.0 / PI) * 4.0 * a * a + 1.0 - a * a).sqrt();
                let (left, right) = (half_sum * (1.0 - a), half_sum * (1.0 + a));
                [mean - (2.0 / PI).sqrt() * (right - left), left, right]
            }
            ShapeModel::Gamma => [0.0, (mean / deviation).powi(2), deviation * deviation / mean],
        };
        let mut shape = Self { model, profile, internal, limit_ev, below_zero: 0.0, norm: 1.0 };
        shape.below_zero = shape.parent_cdf(0.0);
        shape.norm = shape.parent_cdf(limit_ev) - shape.below_zero;
        shape
    }

    fn parent_cdf(&self, x: f64) -> f64 {
        let [a, b, c] = self.internal;
        if let Some(Profile(spline)) = self.profile {
            return spline.value_and_slope((x - a) / b)[0];
        }
        match self.model {
            ShapeModel::Gaussian | ShapeModel::Empirical => normal_cdf((x - a) / b),
            ShapeModel::AsymmetricGaussian if x < a => 2.0 * b / (b + c) * normal_cdf((x - a) / b),
            ShapeModel::AsymmetricGaussian => (b + c * (2.0 * normal_cdf((x - a) / c) - 1.0)) / (b + c),
            ShapeModel::Gamma => gamma_p(b, x / c),
        }
    }

    fn parent_density(&self, x: f64) -> f64 {
        let [a, b, c] = self.internal;
        if let Some(Profile(spline)) = self.profile {
            return spline.value_and_slope((x - a) / b)[1] / b;
        }
        match self.model {
            ShapeModel::Gaussian | ShapeModel::Empirical => normal_density((x - a) / b) / b,
            ShapeModel::AsymmetricGaussian => 2.0 / (b + c) * normal_density((x - a) / if x < a { b } else { c }),
            ShapeModel::Gamma => ((b - 1.0) * (x / c).ln() - x / c - libm::lgamma(b)).exp() / c,
        }
    }

    /// Probability that a non-zero stored energy is below `x` eV.
    pub fn cdf(&self, x: f64) -> f64 {
        if x <= 0.0 {
            0.0
        } else if x >= self.limit_ev {
            1.0
        } else if self.norm < EMPTY {
            x / self.limit_ev
        } else {
            ((self.parent_cdf(x) - self.below_zero) / self.norm).clamp(0.0, 1.0)
        }
    }

    /// Density per eV of non-zero stored energies at `x` eV.
    pub fn density(&self, x: f64) -> f64 {
        if x <= 0.0 || x >= self.limit_ev {
            0.0
        } else if self.norm < EMPTY {
            1.0 / self.limit_ev
        } else {
            self.parent_density(x) / self.norm
        }
    }
}

/// Parent mean, standard deviation and asymmetry of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ShapeFit {
    /// Parent mean in eV.
    pub mean_ev: f64,
    /// Parent standard deviation in eV.
    pub standard_deviation_ev: f64,
    /// Asymmetry; 0 but for the asymmetric Gaussian.
    pub asymmetry: f64,
}

/// Mean of the parent at least, as a share of that of the values. Values that crowd at zero would be fitted best by the tail of a parent
/// with its mean at or below zero, whose width is then any multiple of it, and whose mean says nothing of theirs.
const LEAST_PARENT_MEAN: f64 = 0.5;

/// Weighted maximum likelihood of the cut distribution for non-zero stored energies `values` (eV) with `weights`,
/// started from the moments. Needs two different values; parents of which the cut leaves little but a tail are not considered.
pub(super) fn fit(model: ShapeModel, values: &[f64], weights: &[f64], recoil_energy_ev: f64) -> Option<ShapeFit> {
    let total: f64 = weights.iter().sum();
    let mean = values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / total;
    let variance = values.iter().zip(weights).map(|(v, w)| w * (v - mean).powi(2)).sum::<f64>() / total;
    // Bessel's correction with the effective number of equally weighted values.
    let effective = total * total / weights.iter().map(|w| w * w).sum::<f64>();
    let unbiased = variance * effective / (effective - 1.0);
    if !(unbiased.is_finite() && unbiased > 1e-12) {
        return None;
    }
    let deviation = unbiased.sqrt();
    if model == ShapeModel::Empirical {
        // Moments: the profile is made of the values themselves.
        return Some(ShapeFit { mean_ev: mean, standard_deviation_ev: deviation, asymmetry: 0.0 });
    }
    let negative_log_likelihood = |p: &[f64]| {
        let asymmetry = p.get(2).map_or(0.0, |a| a.tanh());
        let (m, s) = (p[0], p[1].exp());
        if m < LEAST_PARENT_MEAN * mean || m > recoil_energy_ev || s > 2.0 * deviation.max(m) || s < 0.1 * deviation {
            return f64::INFINITY;
        }
        let shape = Shape::new(model, m, s, asymmetry, recoil_energy_ev);
        -values.iter().zip(weights).map(|(v, w)| w * shape.density(*v).max(1e-300).ln()).sum::<f64>() / total
    };
    // Maximum likelihood gives the biased variance; starting from the unbiased one and rescaling by the same factor
    // keeps small samples from looking narrow.
    let mut start = vec![mean.min(0.99 * recoil_energy_ev), variance.sqrt().ln()];
    let mut steps = vec![0.2 * deviation, 0.2];
    if model == ShapeModel::AsymmetricGaussian {
        start.push(0.0);
        steps.push(0.2);
    }
    let best = minimise(&start, &steps, 1e-10, negative_log_likelihood);
    Some(ShapeFit {
        mean_ev: best[0],
        standard_deviation_ev: best[1].exp() * (unbiased / variance).sqrt(),
        asymmetry: best.get(2).map_or(0.0, |a| a.tanh()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{gauss_legendre, integrate};

    const MODELS: [ShapeModel; 3] = [ShapeModel::Gaussian, ShapeModel::AsymmetricGaussian, ShapeModel::Gamma];

    fn quadrature(low: f64, high: f64, f: impl Fn(f64) -> f64) -> f64 {
        let rule = gauss_legendre(20);
        let step = (high - low) / 100.0;
        (0..100).map(|i| integrate(&rule, low + step * f64::from(i), low + step * f64::from(i + 1), &f)).sum()
    }

    #[test]
    fn densities_are_normalised_and_are_derivatives_of_the_distribution_functions() {
        for model in MODELS {
            for limit in [3.0, 8.0, 112.0] {
                let shape = Shape::new(model, 8.0, 2.5, 0.3, limit);
                // 1e-6: the kinks of the split normal and the end of the Gamma density are not polynomial.
                assert!((quadrature(0.0, limit, |x| shape.density(x)) - 1.0).abs() < 1e-6, "{model:?} {limit}");
                for x in [0.2 * limit, 0.6 * limit] {
                    let slope = (shape.cdf(x + 1e-5) - shape.cdf(x - 1e-5)) / 2e-5;
                    assert!((slope - shape.density(x)).abs() < 1e-6, "{model:?} {limit} {x}");
                }
                assert_eq!((shape.cdf(0.0), shape.cdf(limit)), (0.0, 1.0));
            }
        }
    }

    #[test]
    fn moments_are_those_asked_for_when_nothing_is_cut() {
        for model in MODELS {
            let shape = Shape::new(model, 20.0, 2.5, 0.3, 112.0);
            let mean = quadrature(0.0, 60.0, |x| x * shape.density(x));
            let variance = quadrature(0.0, 60.0, |x| (x - mean).powi(2) * shape.density(x));
            assert!((mean - 20.0).abs() < 1e-4 && (variance.sqrt() - 2.5).abs() < 1e-4, "{model:?} {mean} {variance}");
        }
    }

    #[test]
    fn a_shape_with_nothing_between_its_limits_is_flat() {
        let shape = Shape::new(ShapeModel::Gaussian, 10.0, 0.5, 0.0, 1.0);
        assert_eq!((shape.cdf(0.5), shape.density(0.5)), (0.5, 1.0));
    }

    /// Smoothed quantiles of a skewed distribution: mean, variance and skewness survive, and the density is the slope.
    #[test]
    fn a_profile_keeps_moments_and_skewness() {
        let gamma = Shape::new(ShapeModel::Gamma, 10.0, 3.0, 0.0, 200.0);
        let values: Vec<f64> = (0..400)
            .map(|i| {
                let (mut low, mut high) = (0.0, 200.0);
                for _ in 0..50 {
                    let middle = 0.5 * (low + high);
                    if gamma.cdf(middle) < (f64::from(i) + 0.5) / 400.0 { low = middle } else { high = middle }
                }
                (0.5 * (low + high) - 10.0) / 3.0
            })
            .collect();
        let profile = Profile::of(&values, &vec![1.0; 400]).unwrap();
        assert!(profile.is_sound());
        let shape = Shape::empirical(&profile, 20.0, 3.0, 160.0);
        let moment = |power: i32, about: f64| quadrature(0.0, 60.0, |x| (x - about).powi(power) * shape.density(x));
        let (mean, variance) = (moment(1, 0.0), moment(2, 20.0));
        assert!((moment(0, 0.0) - 1.0).abs() < 1e-4 && (mean - 20.0).abs() < 0.02, "{} {mean}", moment(0, 0.0));
        assert!((variance.sqrt() - 3.0).abs() < 0.06, "{variance}");
        // The Gamma distribution has the skewness 2 sigma / mean = 0.6; smoothing by h = 0.27 takes off (1 + h^2)^(-3/2).
        let skewness = moment(3, mean) / variance.powf(1.5);
        assert!((0.4..0.62).contains(&skewness), "{skewness}");
        for x in [14.0, 19.0, 26.0] {
            let slope = (shape.cdf(x + 1e-5) - shape.cdf(x - 1e-5)) / 2e-5;
            assert!((slope - shape.density(x)).abs() < 1e-5, "{x}");
        }
        assert!(Profile::of(&[1.0, 1.0], &[1.0, 1.0]).is_none());
    }

    /// Values at the quantiles of a known shape: the fit finds its parameters.
    #[test]
    fn likelihood_fit_finds_the_parameters() {
        for model in MODELS {
            let asymmetry = if model == ShapeModel::AsymmetricGaussian { 0.4 } else { 0.0 };
            let shape = Shape::new(model, 8.0, 3.0, asymmetry, 81.0);
            let values: Vec<f64> = (0..2000)
                .map(|i| {
                    let (mut low, mut high) = (0.0, 81.0);
                    for _ in 0..60 {
                        let middle = 0.5 * (low + high);
                        if shape.cdf(middle) < (f64::from(i) + 0.5) / 2000.0 { low = middle } else { high = middle }
                    }
                    0.5 * (low + high)
                })
                .collect();
            let found = fit(model, &values, &vec![1.0; 2000], 81.0).unwrap();
            assert!((found.mean_ev - 8.0).abs() < 0.05, "{model:?} {found:?}");
            assert!((found.standard_deviation_ev - 3.0).abs() < 0.05, "{model:?} {found:?}");
            assert!((found.asymmetry - asymmetry).abs() < 0.03, "{model:?} {found:?}");
        }
        assert!(fit(ShapeModel::Gaussian, &[5.0, 5.0], &[1.0, 1.0], 81.0).is_none());
    }
}

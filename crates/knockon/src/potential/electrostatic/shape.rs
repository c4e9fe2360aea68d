//! How what atoms feel of each other's charges and dipoles depends on the distance.

use crate::potential::cutoff_switch::CutoffSwitch;
use crate::potential::model::InnerSwitch;
use crate::potential::pair_function::{Jet, product};
use crate::units::COULOMB_EV_ANGSTROM;
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// 2 / sqrt(pi).
const TWO_OVER_ROOT_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI;

/// Shapes of the functions of the distance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElectrostaticShape {
    /// All functions vanish from here on.
    pub cutoff_angstrom: f64,
    /// The Coulomb energy falls as erfc(damping r) / r.
    pub damping_per_angstrom: f64,
    /// The field is that of a Gaussian charge erf(smoothing r).
    pub smoothing_per_angstrom: f64,
    /// Where they are switched off towards short range: by half a cosine, with dipoles that act on each other by a quintic.
    pub inner_switch: InnerSwitch,
    /// How the field is taken to zero at the cutoff; the energy is shifted to end there as smoothly.
    #[serde(default, skip_serializing_if = "CutoffSwitch::is_cosine")]
    pub cutoff_switch: CutoffSwitch,
    /// Charges in elementary charges, in the order of the species, whose fields induce the dipoles that act on each other; empty: none do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dipole_charges_e: Vec<f64>,
}

impl ElectrostaticShape {
    /// Energy of two elementary charges in eV at distance `r`, with its first two derivatives.
    pub fn energy(&self, r: f64) -> Jet {
        if r >= self.cutoff_angstrom || r <= self.inner_switch.start_angstrom {
            return [0.0; 3];
        }
        let end = damped(self.damping_per_angstrom, self.cutoff_angstrom);
        let [value, slope, curvature] = damped(self.damping_per_angstrom, r);
        let (x, end_curvature) = (r - self.cutoff_angstrom, if self.cutoff_switch.is_cosine() { 0.0 } else { end[2] });
        let shifted = [
            value - end[0] - x * (end[1] + 0.5 * x * end_curvature),
            slope - end[1] - x * end_curvature,
            curvature - end_curvature,
        ];
        product(shifted, self.inner(r)).map(|x| x * COULOMB_EV_ANGSTROM)
    }

    /// Field of an elementary charge in 1/angstrom^2 (in units of the elementary charge), with its first two derivatives.
    pub fn field(&self, r: f64) -> Jet {
        if r >= self.cutoff_angstrom || r <= self.inner_switch.start_angstrom {
            return [0.0; 3];
        }
        let taper = self.cutoff_switch.jet(0.0, self.cutoff_angstrom, r);
        product(product(smoothed(self.smoothing_per_angstrom, r), taper), self.inner(r))
    }

    /// The switch towards short range. Forces between dipoles have a second derivative of the field, which must not jump.
    fn inner(&self, r: f64) -> Jet {
        if self.dipole_charges_e.is_empty() {
            return self.inner_switch.jet(r);
        }
        let [off, slope, curvature] =
            CutoffSwitch::Quintic.jet(self.inner_switch.start_angstrom, self.inner_switch.end_angstrom, r);
        [1.0 - off, -slope, -curvature]
    }

    /// The energy, and the field over the distance, each with its slope.
    pub(super) fn radial(&self, r: f64) -> [[f64; 2]; 2] {
        let ([energy, energy_slope, _], [field, field_slope, _]) = (self.energy(r), self.field(r));
        [[energy, energy_slope], [field / r, (field_slope - field / r) / r]]
    }

    /// Slope of the field over the distance with respect to the square of the distance, and its own slope with respect to the distance.
    pub(super) fn anisotropy(&self, r: f64) -> [f64; 2] {
        let [field, slope, curvature] = self.field(r);
        let (r2, r3) = (r * r, r * r * r);
        [0.5 * (slope / r2 - field / r3), 0.5 * (curvature / r2 - 3.0 * slope / r3 + 3.0 * field / (r2 * r2))]
    }

    /// All functions at one vector, without tables.
    pub(super) fn felt(&self, vector: DVec3) -> Felt {
        let r = vector.length();
        let [[energy, energy_slope], [field, field_slope]] = self.radial(r);
        let [anisotropy, anisotropy_slope] = self.anisotropy(r);
        let [energy_slope, field_slope, anisotropy_slope] =
            [energy_slope, field_slope, anisotropy_slope].map(|slope| 0.5 * slope / r);
        Felt { vector, energy, energy_slope, field, field_slope, anisotropy, anisotropy_slope }
    }

    /// What does not fit, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        let (switch, cutoff) = (self.inner_switch, self.cutoff_angstrom);
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let complaint = |expected: &str, found: f64| Err(format!("expected electrostatic.{expected}, found {found}"));
        switch.check()?;
        if !positive(switch.start_angstrom) {
            return complaint("inner_switch.start_angstrom positive", switch.start_angstrom);
        }
        if !positive(cutoff) || cutoff <= switch.end_angstrom {
            return complaint("cutoff_angstrom beyond its inner switch", cutoff);
        }
        if !(self.damping_per_angstrom >= 0.0 && self.damping_per_angstrom.is_finite()) {
            return complaint("damping_per_angstrom zero or positive", self.damping_per_angstrom);
        }
        if !self.dipole_charges_e.is_empty() && self.cutoff_switch.is_cosine() {
            return Err("expected electrostatic.cutoff_switch = \"quintic\" with dipole_charges_e (forces between dipoles would jump at the cutoff of a cosine), found \"cosine\"".into());
        }
        if !positive(self.smoothing_per_angstrom) {
            return complaint("smoothing_per_angstrom positive", self.smoothing_per_angstrom);
        }
        Ok(())
    }
}

/// erfc(a r) / r.
fn damped(a: f64, r: f64) -> Jet {
    let (c, g) = (libm::erfc(a * r), TWO_OVER_ROOT_PI * a * libm::exp(-(a * r).powi(2)));
    [c / r, -(c / r + g) / r, 2.0 * (c / r + g) / (r * r) + 2.0 * a * a * g]
}

/// erf(a r) / r^2 - 2 a / sqrt(pi) exp(-(a r)^2) / r: minus the slope of erf(a r) / r.
fn smoothed(a: f64, r: f64) -> Jet {
    let (e, g) = (libm::erf(a * r), TWO_OVER_ROOT_PI * a * libm::exp(-(a * r).powi(2)));
    let field = (e / r - g) / r;
    let a2 = a * a;
    [field, 2.0 * (a2 * g - field / r), 6.0 * field / (r * r) - 4.0 * a2 * g / r - 4.0 * a2 * a2 * r * g]
}

/// One pair and the functions of its distance.
#[derive(Clone, Copy, Default)]
pub(in crate::potential) struct Felt {
    /// From the first atom to the second, in angstrom.
    pub(in crate::potential) vector: DVec3,
    /// Energy of elementary charges in eV.
    pub(in crate::potential) energy: f64,
    /// Its derivative with respect to the square of the distance.
    pub(super) energy_slope: f64,
    /// Field of an elementary charge over the distance.
    pub(in crate::potential) field: f64,
    /// Its derivative with respect to the square of the distance.
    pub(super) field_slope: f64,
    /// The same derivative, where it is part of the field of a dipole ...
    pub(super) anisotropy: f64,
    /// ... and its own derivative with respect to the square of the distance.
    pub(super) anisotropy_slope: f64,
}

impl Felt {
    /// Derivative of the energy of elementary charges with respect to the vector.
    #[inline(always)]
    pub(in crate::potential) fn energy_gradient(&self) -> DVec3 {
        self.vector * (2.0 * self.energy_slope)
    }

    /// Derivative of (field of one atom at the other) . `other` with respect to the vector to the one; the same in both
    /// directions.
    #[inline(always)]
    pub(in crate::potential) fn field_gradient(&self, other: DVec3) -> DVec3 {
        other * self.field + self.vector * (2.0 * self.field_slope * self.vector.dot(other))
    }

    /// T `dipole`: the derivative of the field with respect to the vector, times a dipole; the same in both directions.
    #[inline(always)]
    pub(in crate::potential) fn of_dipole(&self, dipole: DVec3) -> DVec3 {
        dipole * self.field + self.vector * (2.0 * self.anisotropy * self.vector.dot(dipole))
    }

    /// Derivative of a . T b with respect to the vector.
    #[inline(always)]
    pub(in crate::potential) fn dipole_gradient(&self, a: DVec3, b: DVec3) -> DVec3 {
        let [along_a, along_b] = [a, b].map(|dipole| self.vector.dot(dipole));
        self.vector * (2.0 * (self.field_slope * a.dot(b) + 2.0 * self.anisotropy_slope * along_a * along_b))
            + (a * along_b + b * along_a) * (2.0 * self.anisotropy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Electrostatic, ElectrostaticKernel};
    use super::*;

    fn shape() -> ElectrostaticShape {
        ElectrostaticShape {
            cutoff_angstrom: 10.0,
            damping_per_angstrom: 0.2,
            smoothing_per_angstrom: 0.9,
            inner_switch: InnerSwitch { start_angstrom: 0.7, end_angstrom: 1.2 },
            cutoff_switch: CutoffSwitch::Cosine,
            dipole_charges_e: Vec::new(),
        }
    }

    /// Energy and field, with each switch.
    fn functions() -> [Box<dyn Fn(f64) -> Jet>; 6] {
        [
            Box::new(|r| shape().energy(r)),
            Box::new(|r| shape().field(r)),
            Box::new(|r| smoother_shape().energy(r)),
            Box::new(|r| smoother_shape().field(r)),
            Box::new(|r| shape_with_dipoles().energy(r)),
            Box::new(|r| shape_with_dipoles().field(r)),
        ]
    }

    fn smoother_shape() -> ElectrostaticShape {
        ElectrostaticShape { cutoff_switch: CutoffSwitch::Quintic, ..shape() }
    }

    fn shape_with_dipoles() -> ElectrostaticShape {
        ElectrostaticShape { dipole_charges_e: vec![1.0], ..smoother_shape() }
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let h = 1e-5;
        for f in functions() {
            for r in [0.75, 1.1, 1.3, 2.2, 4.7, 9.5, 9.999] {
                let [low, mid, high] = [f(r - h), f(r), f(r + h)];
                for k in 0..2 {
                    let difference = (high[k] - low[k]) / (2.0 * h);
                    assert!((difference - mid[k + 1]).abs() < 1e-7 * (1.0 + mid[k + 1].abs()), "{k} at {r}");
                }
            }
        }
    }

    /// At distances between the switch and the cutoff: closed forms with the values of erf from tables (Abramowitz and Stegun, 7.1).
    #[test]
    fn functions_have_their_closed_forms() {
        let plain = ElectrostaticShape { damping_per_angstrom: 0.0, ..shape() };
        let expected = COULOMB_EV_ANGSTROM * (0.5 - 0.1 + (2.0 - 10.0) / 100.0);
        assert!((plain.energy(2.0)[0] - expected).abs() < 1e-12);
        // smoothing 0.5, r = 2: erf(1) = 0.8427007929, half a cosine at a fifth of the cutoff.
        let smooth = ElectrostaticShape { smoothing_per_angstrom: 0.5, ..shape() };
        let field = (0.842_700_792_9 / 2.0 - TWO_OVER_ROOT_PI * 0.5 * (-1.0_f64).exp()) / 2.0;
        let taper = 0.5 * (1.0 + (std::f64::consts::PI / 5.0).cos());
        assert!((smooth.field(2.0)[0] - field * taper).abs() < 1e-10);
        for (f, outside) in [(shape().energy(10.0), 10.0), (shape().field(0.7), 0.7), (shape().field(11.0), 11.0)] {
            assert_eq!(f, [0.0; 3], "at {outside}");
        }
    }

    #[test]
    fn forces_are_continuous_at_both_ends() {
        for f in functions() {
            for end in [0.7 + 1e-7, 10.0 - 1e-7] {
                assert!(f(end)[0].abs() < 1e-5 && f(end)[1].abs() < 1e-4, "{:?} at {end}", f(end));
            }
        }
    }

    #[test]
    fn the_smoother_switch_ends_without_curvature() {
        let end = 10.0 - 1e-7;
        for f in [smoother_shape().energy(end), smoother_shape().field(end)] {
            assert!(f.iter().all(|x| x.abs() < 1e-6), "{f:?}");
        }
        assert!(shape().energy(end)[2] > 5e-3 && shape().field(end)[2] > 4e-4);
        let start = 0.7 + 1e-7;
        for f in [shape_with_dipoles().energy(start), shape_with_dipoles().field(start)] {
            assert!(f.iter().all(|x| x.abs() < 1e-2), "{f:?}");
        }
        assert!(smoother_shape().energy(start)[2] > 10.0 && smoother_shape().field(start)[2] > 1.0);
    }

    #[test]
    fn gradients_are_those_of_energy_and_field() {
        let (vector, other) = (DVec3::new(1.3, -0.4, 2.1), DVec3::new(0.3, 0.9, -0.2));
        let felt = shape().felt(vector);
        for axis in 0..3 {
            let [low, high] = [-1e-5, 1e-5].map(|h| shape().felt(vector + DVec3::AXES[axis] * h));
            let energy = (high.energy - low.energy) / 2e-5;
            assert!((energy - felt.energy_gradient()[axis]).abs() < 1e-8, "energy, axis {axis}");
            let field = (other.dot(high.vector) * high.field - other.dot(low.vector) * low.field) / 2e-5;
            assert!((field - felt.field_gradient(other)[axis]).abs() < 1e-8, "field, axis {axis}");
            assert!((felt.of_dipole(other) - felt.field_gradient(other)).length() < 1e-14, "axis {axis}");
            let third = DVec3::new(-0.6, 0.5, 0.8);
            let tensor = (third.dot(high.of_dipole(other)) - third.dot(low.of_dipole(other))) / 2e-5;
            assert!((tensor - felt.dipole_gradient(third, other)[axis]).abs() < 1e-8, "dipoles, axis {axis}");
        }
    }

    #[test]
    fn table_agrees_with_the_functions() {
        let shape = shape_with_dipoles();
        let kernel = ElectrostaticKernel::new(&Electrostatic::empty(shape.clone(), &[]));
        for k in 0..10_000 {
            let r = 0.7 + 9.3 * (f64::from(k) + 0.5) / 10_000.0;
            let vector = DVec3::new(0.6, 0.0, -0.8) * r;
            let (found, exact) = (kernel.felt_with_dipoles(vector, r * r), shape.felt(vector));
            let gradients = [&found, &exact]
                .map(|felt| [felt.energy_gradient(), felt.field_gradient(DVec3::X), felt.of_dipole(DVec3::X)]);
            let values = [(found.energy, exact.energy), (found.field * r, exact.field * r)];
            let slopes = (0..3).flat_map(|k| (0..3).map(move |axis| (gradients[0][k][axis], gradients[1][k][axis])));
            let all = values.into_iter().map(|pair| (pair, 1e-8)).chain(slopes.map(|pair| (pair, 1e-6)));
            for ((found, expected), tolerance) in all {
                assert!((found - expected).abs() < tolerance * (1.0 + expected.abs()), "at {r}: {found} {expected}");
            }
        }
    }
}

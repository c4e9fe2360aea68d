//! Helm's nuclear form factor.

use crate::math::three_j1_over_x;

/// hbar c in eV fm (CODATA 2022).
const HBAR_C_EV_FM: f64 = 197.326_980_4e6;

/// F^2(q) of a nucleus that recoils with `recoil_energy_ev`: Helm's form with the radius of Lewin & Smith, Astropart.
/// Phys. 6 (1996) 87, eqs. 4.7, 4.10, 4.11: skin s = 0.9 fm, a = 0.52 fm, c = 1.23 A^(1/3) - 0.60 fm.
pub fn helm_squared(nucleons: f64, mass_ev: f64, recoil_energy_ev: f64) -> f64 {
    let (skin, a) = (0.9, 0.52);
    let c = 1.23 * nucleons.cbrt() - 0.60;
    let radius = (c * c + 7.0 / 3.0 * (std::f64::consts::PI * a).powi(2) - 5.0 * skin * skin).sqrt();
    let q = (2.0 * mass_ev * recoil_energy_ev).sqrt() / HBAR_C_EV_FM;
    let amplitude = three_j1_over_x(q * radius) * (-0.5 * (q * skin).powi(2)).exp();
    amplitude * amplitude
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ATOMIC_MASS_EV;

    /// Values of an independent implementation.
    #[test]
    fn tungsten_has_its_known_values() {
        for (energy, expected) in [(100.0, 0.9917), (300.0, 0.9754), (1000.0, 0.920)] {
            let found = helm_squared(183.84, 183.84 * ATOMIC_MASS_EV, energy);
            assert!((found - expected).abs() < 1e-4 * 5.0, "{energy} eV: {found}");
        }
        assert_eq!(helm_squared(16.0, 16.0 * ATOMIC_MASS_EV, 0.0), 1.0);
    }
}

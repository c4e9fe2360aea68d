//! Screened nuclear repulsion at short range.

use crate::Species;
use crate::units::COULOMB_EV_ANGSTROM;
use serde::{Deserialize, Serialize};

/// V(r) = Z1 Z2 e^2 / (4 pi eps0 r) * sum_k prefactor_k exp(-exponent_k r / a), a = length / (Z1^p + Z2^p).
///
/// The default is the universal potential of Ziegler, Biersack and Littmark (1985), as in LAMMPS `pair_style zbl`.
/// MILADY uses three exponentials that are 12-30 % softer at 1 angstrom; set them here to reproduce its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zbl {
    /// Screening length before division by the charges, in angstrom.
    pub length_angstrom: f64,
    /// Power of the charges in the screening length.
    pub charge_power: f64,
    /// Amplitudes of the exponentials.
    pub prefactors: Vec<f64>,
    /// Decay constants of the exponentials, in inverse screening lengths.
    pub exponents: Vec<f64>,
}

impl Default for Zbl {
    fn default() -> Self {
        Self {
            length_angstrom: 0.46850,
            charge_power: 0.23,
            prefactors: vec![0.18175, 0.50986, 0.28022, 0.02817],
            exponents: vec![3.19980, 0.94229, 0.40290, 0.20162],
        }
    }
}

impl Zbl {
    /// Whether the numbers make a repulsion that ends. Without exponentials there is none.
    pub(super) fn is_sound(&self) -> bool {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        positive(self.length_angstrom)
            && self.charge_power.is_finite()
            && self.prefactors.len() == self.exponents.len()
            && self.prefactors.iter().all(|x| x.is_finite())
            && self.exponents.iter().all(|x| positive(*x))
    }

    /// Energy in eV at a distance in angstrom, and its first two derivatives.
    pub fn evaluate(&self, a: Species, b: Species, r: f64) -> [f64; 3] {
        let [za, zb] = [a, b].map(|s| f64::from(s.atomic_number()));
        let length = self.length_angstrom / (za.powf(self.charge_power) + zb.powf(self.charge_power));
        let (mut phi, mut slope, mut curvature) = (0.0, 0.0, 0.0);
        for (prefactor, exponent) in self.prefactors.iter().zip(&self.exponents) {
            let k = exponent / length;
            let term = prefactor * (-k * r).exp();
            phi += term;
            slope -= k * term;
            curvature += k * k * term;
        }
        let coulomb = za * zb * COULOMB_EV_ANGSTROM / r;
        [coulomb * phi, coulomb * (slope - phi / r), coulomb * (curvature - 2.0 * slope / r + 2.0 * phi / (r * r))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values computed independently with the constants of LAMMPS' `pair_style zbl` (no switching).
    #[test]
    fn universal_potential_at_one_angstrom() {
        let zbl = Zbl::default();
        let species = |s| Species::from_symbol(s).unwrap();
        for (a, b, expected) in [("W", "W", 435.8), ("W", "O", 97.4), ("O", "O", 23.3), ("Ca", "W", 187.4)] {
            let [energy, ..] = zbl.evaluate(species(a), species(b), 1.0);
            assert!((energy - expected).abs() < 0.06, "{a}-{b}: {energy}");
        }
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let zbl = Zbl::default();
        let (w, o) = (Species::from_symbol("W").unwrap(), Species::from_symbol("O").unwrap());
        let h = 1e-4;
        for r in [0.3, 0.9, 1.2] {
            let [low, mid, high] = [r - h, r, r + h].map(|r| zbl.evaluate(w, o, r));
            assert!(((high[0] - low[0]) / (2.0 * h) / mid[1] - 1.0).abs() < 1e-6);
            assert!(((high[1] - low[1]) / (2.0 * h) / mid[2] - 1.0).abs() < 1e-6);
        }
    }
}

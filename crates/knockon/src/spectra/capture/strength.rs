//! How strongly a nucleus emits gamma rays: mean strength functions f_XL in MeV^-(2L+1), defined by the mean partial width
//! Gamma = f_XL E_gamma^(2L+1) / rho(initial level).
//!
//! E1: simplified modified Lorentzian (Goriely & Plujko, Phys. Rev. C 99 (2019) 014303). M1: spin flip, scissors mode and the
//! low-energy upbend (Goriely et al., Eur. Phys. J. A 55 (2019) 172). E2: giant quadrupole resonance (RIPL-3: Capote et al.,
//! Nucl. Data Sheets 110 (2009) 3107).

use std::f64::consts::PI;

/// 1 / (3 pi^2 hbar^2 c^2) in 1/(mb MeV^2).
const PER_MILLIBARN: f64 = 8.674e-8;
/// Protons of tungsten.
const PROTONS: f64 = 74.0;
/// Quadrupole deformation of the tungsten isotopes, rounded.
const DEFORMATION: f64 = 0.23;

/// One of the two giant dipole resonances of a deformed nucleus: energy and width in MeV, strength in units of the
/// Thomas-Reiche-Kuhn sum rule.
pub(super) type GiantDipole = (f64, f64, f64);

/// Strength functions of one nucleus.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strength {
    mass_number: f64,
    giant_dipoles: [GiantDipole; 2],
}

/// A Lorentzian without its dimensional factor.
fn lorentzian(gamma: f64, (energy, width, peak): (f64, f64, f64)) -> f64 {
    PER_MILLIBARN * peak * gamma * width * width / ((gamma * gamma - energy * energy).powi(2) + (gamma * width).powi(2))
}

impl Strength {
    pub(super) fn new(mass_number: u32, giant_dipoles: [GiantDipole; 2]) -> Self {
        Self { mass_number: f64::from(mass_number), giant_dipoles }
    }

    /// Electric dipole, in MeV^-3; both energies in MeV.
    pub(super) fn e1(&self, gamma: f64, final_energy: f64) -> f64 {
        let sum_rule = 60.0 * (self.mass_number - PROTONS) * PROTONS / self.mass_number;
        // Temperature of a Fermi gas with the level density parameter A / 9.5 per MeV.
        let temperature = (final_energy.max(0.0) / (self.mass_number / 9.5)).sqrt();
        let occupation = if temperature > 0.0 { -(-gamma / temperature).exp_m1() } else { 1.0 };
        let resonance = |&(energy, width, strength): &GiantDipole| {
            let damping = width / energy * (gamma + (2.0 * PI * temperature).powi(2) / energy);
            strength * 2.0 / PI * gamma * damping
                / ((gamma * gamma - energy * energy).powi(2) + (gamma * damping).powi(2))
        };
        PER_MILLIBARN * sum_rule * self.giant_dipoles.iter().map(resonance).sum::<f64>() / occupation
    }

    /// Magnetic dipole, in MeV^-3.
    pub(super) fn m1(&self, gamma: f64) -> f64 {
        let a = self.mass_number;
        let spin_flip = (18.0 * a.powf(-1.0 / 6.0), 4.0, 0.03 * a.powf(5.0 / 6.0));
        let scissors = (5.0 * a.powf(-0.1), 1.5, 0.02 * DEFORMATION * a.powf(0.9));
        let upbend = 3.5e-8 * (-6.0 * DEFORMATION).exp() * (-0.8 * gamma).exp();
        lorentzian(gamma, spin_flip) + lorentzian(gamma, scissors) + upbend
    }

    /// Electric quadrupole, in MeV^-5.
    pub(super) fn e2(&self, gamma: f64) -> f64 {
        let a = self.mass_number;
        let (energy, width) = (63.0 / a.cbrt(), 6.11 - 0.012 * a);
        let peak = 1.4e-4 * PROTONS * PROTONS * energy / (a.cbrt() * width);
        0.6 * lorentzian(gamma, (energy, width, peak)) / (gamma * gamma)
    }

    /// Mean partial width times level density of the initial level, between levels whose spins are given doubled: the sum over
    /// the multipoles that angular momentum and parity allow.
    pub(super) fn reduced_width(&self, gamma: f64, final_energy: f64, spins: (u32, u32), parity_changes: bool) -> f64 {
        let allows = |order: u32| spins.0.abs_diff(spins.1) <= 2 * order && spins.0 + spins.1 >= 2 * order;
        let dipole = if !allows(1) {
            0.0
        } else if parity_changes {
            self.e1(gamma, final_energy)
        } else {
            self.m1(gamma)
        };
        let quadrupole = if allows(2) && !parity_changes { self.e2(gamma) } else { 0.0 };
        dipole * gamma.powi(3) + quadrupole * gamma.powi(5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUNGSTEN: [GiantDipole; 2] = [(12.25, 4.005, 0.4), (14.881, 4.771, 0.8)];

    /// At its energy a cold resonance alone is 2 s sigma_TRK / (pi E Gamma), and it falls off to both sides.
    #[test]
    fn e1_peaks_where_the_resonance_is() {
        let strength = Strength::new(183, [(14.0, 4.0, 1.2), (20.0, 4.0, 0.0)]);
        let expected = PER_MILLIBARN * 60.0 * 109.0 * 74.0 / 183.0 * 1.2 * 2.0 / (PI * 14.0 * 4.0);
        assert!((strength.e1(14.0, 0.0) / expected - 1.0).abs() < 1e-12);
        assert!(strength.e1(9.0, 0.0) < 0.5 * expected && strength.e1(25.0, 0.0) < 0.5 * expected);
    }

    #[test]
    fn selection_rules_hold() {
        let strength = Strength::new(184, TUNGSTEN);
        let width = |from, to, parity| strength.reduced_width(6.0, 1.0, (from, to), parity);
        assert_eq!(width(0, 0, true), 0.0);
        assert_eq!(width(0, 0, false), 0.0);
        assert_eq!(width(2, 6, true), 0.0, "no M2");
        assert!(width(2, 6, false) > 0.0 && width(2, 6, false) < 0.1 * width(2, 4, false), "E2 is weak");
        assert_eq!(width(0, 4, false), width(4, 0, false));
        assert!(width(2, 4, true) > width(2, 4, false), "E1 is stronger than M1");
    }

    #[test]
    fn a_hot_final_state_emits_soft_gamma_rays() {
        let strength = Strength::new(183, TUNGSTEN);
        assert_eq!(strength.e1(1e-3, 0.0), strength.e1(1e-3, -1.0));
        let limit = strength.e1(1e-4, 4.0);
        assert!(limit > 0.0 && (strength.e1(1e-6, 4.0) / limit - 1.0).abs() < 1e-3, "finite at zero energy");
    }
}

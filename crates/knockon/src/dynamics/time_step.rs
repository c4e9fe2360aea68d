//! The variable time step: no atom moves farther than a given distance in one step.

use crate::units::NATURAL_TIME_FS;
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// Limits on one step of the dynamics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeStep {
    /// Farthest that any atom may move in one step, in angstrom; 0.01 in Soum-Sidikov et al. (2024).
    pub max_displacement_angstrom: f64,
    /// Longest step in fs: a small part of the shortest vibration (37 fs for 910 cm^-1 in CaWO4).
    pub max_fs: f64,
}

impl Default for TimeStep {
    fn default() -> Self {
        Self { max_displacement_angstrom: 0.01, max_fs: 1.0 }
    }
}

impl TimeStep {
    /// The longest step in fs for which |v| t + |a| t^2 / 2 stays within the limit for every atom.
    ///
    /// `velocities` in angstrom per natural time, `forces` in eV/angstrom. LAMMPS' `fix dt/reset` takes the smaller
    /// of x/|v| and sqrt(2 x/|a|) and shortens it where both act together; the root of the quadratic equation
    /// bounds the same displacement in one formula, whatever the angle between velocity and acceleration.
    pub fn choose_fs(&self, velocities: &[DVec3], forces: &[DVec3], masses_u: &[f64]) -> f64 {
        let limit = self.max_displacement_angstrom;
        let mut step = self.max_fs / NATURAL_TIME_FS;
        for ((velocity, force), mass) in velocities.iter().zip(forces).zip(masses_u) {
            let (v, a) = (velocity.length(), force.length() / mass);
            step = step.min(2.0 * limit / (v + (v * v + 2.0 * a * limit).sqrt()));
        }
        step * NATURAL_TIME_FS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_atoms_get_the_step_of_the_paper() {
        // 160 eV tungsten: 129.6 A/ps, hence 0.077 fs for 0.01 A.
        let mass = 183.84_f64;
        let velocity = DVec3::new(0.0, (2.0 * 160.0 / mass).sqrt(), 0.0);
        let step = TimeStep::default().choose_fs(&[velocity], &[DVec3::ZERO], &[mass]);
        assert!((step - 0.0772).abs() < 1e-4, "{step}");
    }

    #[test]
    fn displacement_is_bounded_and_the_bound_is_reached() {
        let limits = TimeStep { max_displacement_angstrom: 0.01, max_fs: 1e9 };
        for (v, f) in [(1.0, 0.0), (0.0, 3.0), (0.2, 5.0), (-0.2, 5.0)] {
            let (velocity, force, mass) = (DVec3::X * v, DVec3::X * f, 16.0);
            let t = limits.choose_fs(&[velocity], &[force], &[mass]) / NATURAL_TIME_FS;
            let moved = (v * t + 0.5 * f / mass * t * t).abs();
            assert!(moved <= 0.01 * (1.0 + 1e-12));
            assert!(v < 0.0 || moved > 0.01 * (1.0 - 1e-9));
        }
        let at_rest = TimeStep::default().choose_fs(&[DVec3::ZERO], &[DVec3::ZERO], &[1.0]);
        assert!((at_rest - 1.0).abs() < 1e-12);
    }
}

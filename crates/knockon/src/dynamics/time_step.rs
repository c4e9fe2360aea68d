//! The variable time step: no atom moves farther than a given distance in one step.

use crate::units::NATURAL_TIME_FS;
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Limits on one step of the dynamics.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeStep {
    /// Farthest that any atom may move in one step, in angstrom; 0.01 in Soum-Sidikov et al. (2024).
    pub max_displacement_angstrom: f64,
    /// Longest step in fs: a small part of the shortest vibration (37 fs for 910 cm^-1 in CaWO4).
    pub max_fs: f64,
    /// Largest change of an atom's kinetic energy in one step, in eV, if it is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_energy_change_ev: Option<f64>,
}

impl Default for TimeStep {
    fn default() -> Self {
        Self { max_displacement_angstrom: 0.01, max_fs: 1.0, max_energy_change_ev: None }
    }
}

impl TimeStep {
    /// The longest step in fs for which |v| t + |a| t^2 / 2 stays within the limit for every atom.
    ///
    /// `velocities` in angstrom per natural time, `forces` in eV/angstrom. LAMMPS' `fix dt/reset` takes the smaller
    /// of x/|v| and sqrt(2 x/|a|) and shortens it where both act together; the root of the quadratic equation
    /// bounds the same displacement in one formula, whatever the angle between velocity and acceleration. The work on an
    /// atom is at most |f| |v| t, the bound of its `emax`, plus |f| |a| t^2 / 2: |f| times the displacement that is bounded
    /// here.
    pub fn choose_fs(&self, velocities: &[DVec3], forces: &[DVec3], masses_u: &[f64]) -> f64 {
        let mut step = self.max_fs / NATURAL_TIME_FS;
        for ((velocity, force), mass) in velocities.iter().zip(forces).zip(masses_u) {
            let (v, a) = (velocity.length(), force.length() / mass);
            let allowed = self.max_energy_change_ev.map_or(f64::INFINITY, |change| change / force.length());
            let limit = self.max_displacement_angstrom.min(allowed);
            step = step.min(2.0 * limit / (v + (v * v + 2.0 * a * limit).sqrt()));
        }
        step * NATURAL_TIME_FS
    }
}

/// How many steps had which length, in bins of a tenth of a decade.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeStepHistogram {
    /// Steps by the floor of 10 log10(step / fs).
    counts: BTreeMap<i32, u64>,
}

/// One bin of a [`TimeStepHistogram`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimeStepBin {
    /// Shortest step in fs that belongs to it.
    pub from_fs: f64,
    /// Shortest step in fs that no longer belongs to it.
    pub to_fs: f64,
    /// Number of steps.
    pub steps: u64,
}

impl TimeStepHistogram {
    /// Counts one step.
    pub fn count(&mut self, step_fs: f64) {
        *self.counts.entry((10.0 * libm::log10(step_fs)).floor() as i32).or_default() += 1;
    }

    /// The bins that hold steps, from short to long ones.
    pub fn bins(&self) -> Vec<TimeStepBin> {
        let edge = |bin: i32| libm::pow(10.0, f64::from(bin) / 10.0);
        let bin = |(bin, steps): (&i32, &u64)| TimeStepBin { from_fs: edge(*bin), to_fs: edge(bin + 1), steps: *steps };
        self.counts.iter().map(bin).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_change_of_energy_is_bounded() {
        let limits = TimeStep { max_displacement_angstrom: 1.0, max_fs: 1e9, max_energy_change_ev: Some(0.1) };
        for (v, f) in [(1.0, 0.3), (0.0, 3.0), (0.2, 5.0), (-0.5, 5.0)] {
            let mass = 16.0;
            let t = limits.choose_fs(&[DVec3::X * v], &[DVec3::X * f], &[mass]) / NATURAL_TIME_FS;
            // Constant force: the work is force times displacement.
            let work = f * (v * t + 0.5 * f / mass * t * t);
            assert!(work.abs() <= 0.1 * (1.0 + 1e-12) && (v < 0.0 || work > 0.1 * (1.0 - 1e-9)), "{work}");
        }
        let free = limits.choose_fs(&[DVec3::X], &[DVec3::ZERO], &[16.0]) / NATURAL_TIME_FS;
        assert!((free - 1.0).abs() < 1e-12);
    }

    #[test]
    fn steps_are_counted_in_tenths_of_decades() {
        let mut histogram = TimeStepHistogram::default();
        [0.0999, 0.101, 0.12, 0.999, 1.001].into_iter().for_each(|step| histogram.count(step));
        let bins = histogram.bins();
        assert_eq!(bins.iter().map(|b| b.steps).collect::<Vec<_>>(), [1, 2, 1, 1]);
        assert!((bins[1].from_fs - 0.1).abs() < 1e-12 && (bins[1].to_fs - 0.1 * 10_f64.powf(0.1)).abs() < 1e-12);
    }

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
        let limits = TimeStep { max_displacement_angstrom: 0.01, max_fs: 1e9, max_energy_change_ev: None };
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

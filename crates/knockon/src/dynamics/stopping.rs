//! Electronic stopping: what fast atoms lose to electrons.

use crate::units::{BOHR_ANGSTROM, COULOMB_EV_ANGSTROM, NATURAL_TIME_FS};
use crate::{Atoms, Species};
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// Whether fast atoms lose energy to electrons.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ElectronicStopping {
    /// Atoms with less kinetic energy, in eV, lose nothing.
    pub above_ev: f64,
}

impl Default for ElectronicStopping {
    fn default() -> Self {
        Self { above_ev: 10.0 }
    }
}

/// Bohr velocity in angstrom per fs.
const BOHR_VELOCITY: f64 = 21.876_913;

/// Friction of each atom of a crystal: the stopping power of Lindhard and Scharff (Phys. Rev. 124, 128 (1961)),
/// 8 pi e^2 a0 n Z1^(7/6) Z2 / (Z1^(2/3) + Z2^(2/3))^(3/2) v / v0, summed over the elements of the crystal (Bragg's rule).
///
/// At some 100 eV, far below the Bohr velocity and with a band gap, it is an upper bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Friction {
    above_ev: f64,
    /// Stopping force over speed, in eV fs / angstrom^2.
    per_atom: Vec<f64>,
}

impl Friction {
    /// Friction of the atoms of a crystal.
    pub fn new(stopping: ElectronicStopping, crystal: &Atoms) -> Self {
        let elements = crystal.elements();
        let density =
            |of: Species| crystal.species.iter().filter(|s| **s == of).count() as f64 / crystal.cell.volume_angstrom3();
        let of = |mover: Species| {
            elements.iter().map(|target| density(*target) * per_density(mover, *target)).sum::<f64>() / BOHR_VELOCITY
        };
        let by_element: Vec<f64> = elements.iter().map(|element| of(*element)).collect();
        let index = |s: &Species| elements.binary_search(s).expect("all elements are listed");
        let per_atom = crystal.species.iter().map(|s| by_element[index(s)]).collect();
        Self { above_ev: stopping.above_ev, per_atom }
    }

    /// Exact decay of the velocities under friction alone; returns the energy in eV that was lost. Velocities in angstrom
    /// per natural time.
    pub(super) fn act(&self, velocities: &mut [DVec3], masses_u: &[f64], time_fs: f64) -> f64 {
        let mut lost = 0.0;
        for ((velocity, mass), friction) in velocities.iter_mut().zip(masses_u).zip(&self.per_atom) {
            let energy = 0.5 * mass * velocity.length_squared();
            if energy > self.above_ev {
                *velocity *= libm::exp(-rate_per_fs(*friction, *mass) * time_fs);
                lost += energy - 0.5 * mass * velocity.length_squared();
            }
        }
        lost
    }
}

/// One u is one eV per square of angstrom and natural time.
fn rate_per_fs(friction: f64, mass_u: f64) -> f64 {
    friction / (mass_u * NATURAL_TIME_FS * NATURAL_TIME_FS)
}

/// Stopping power at the Bohr velocity per density of the target, in eV angstrom^2.
fn per_density(mover: Species, target: Species) -> f64 {
    let [z1, z2] = [mover, target].map(|s| f64::from(s.atomic_number()));
    let screening = libm::pow(z1, 2.0 / 3.0) + libm::pow(z2, 2.0 / 3.0);
    8.0 * std::f64::consts::PI * COULOMB_EV_ANGSTROM * BOHR_ANGSTROM * libm::pow(z1, 7.0 / 6.0) * z2
        / libm::pow(screening, 1.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::Simulation;
    use crate::dynamics::testing::{PairPotential, calcium_tungstate};
    use crate::dynamics::thermostat::speed;

    fn stopping(above_ev: f64) -> Friction {
        Friction::new(ElectronicStopping { above_ev }, &calcium_tungstate())
    }

    /// Values of the reference notes, computed by hand with Bragg's rule for the PBE density.
    #[test]
    fn tungsten_in_calcium_tungstate_loses_what_lindhard_and_scharff_say() {
        let crystal = calcium_tungstate();
        let masses = crystal.masses_u();
        for (energy, per_angstrom) in [(20.0, 0.62), (112.0, 1.46), (160.0, 1.75)] {
            let mut velocities = vec![DVec3::ZERO; crystal.len()];
            velocities[0] = DVec3::Y * speed(energy, masses[0]);
            let time_fs = 1e-4;
            let path = velocities[0].length() * time_fs / NATURAL_TIME_FS;
            let found = stopping(1.0).act(&mut velocities, &masses, time_fs) / path;
            assert!((found / per_angstrom - 1.0).abs() < 0.01, "{energy}: {found}");
        }
    }

    /// A free atom under friction: its speed falls linearly with the path, exponentially with time.
    #[test]
    fn a_free_atom_slows_down_as_the_closed_form_says() {
        let mut atoms = calcium_tungstate();
        let friction = stopping(1.0);
        // One atom of the crystal, alone.
        atoms.species.truncate(1);
        atoms.positions.truncate(1);
        let potential = PairPotential::repulsion(2.0);
        let mass = atoms.masses_u()[0];
        let mut simulation = Simulation::new(&potential, atoms, 0.3).expect("a simulation");
        let (first, begin) = (speed(112.0, mass), simulation.atoms().positions[0]);
        simulation.set_velocities(vec![DVec3::X * first]);
        let mut lost = 0.0;
        for _ in 0..400 {
            lost += simulation.slow_down(&friction, 0.25);
            simulation.step(0.5, None).expect("a step");
            lost += simulation.slow_down(&friction, 0.25);
        }
        let rate = rate_per_fs(friction.per_atom[0], mass);
        let expected = first * (-rate * 200.0).exp();
        let (last, path) = (simulation.velocities()[0].x, simulation.atoms().positions[0].x - begin.x);
        assert!((last / expected - 1.0).abs() < 1e-12, "{last} {expected}");
        assert!((path * rate * NATURAL_TIME_FS / (first - expected) - 1.0).abs() < 1e-6, "{path}");
        assert!((112.0 - simulation.kinetic_energy_ev() - lost).abs() < 1e-10);
    }

    #[test]
    fn slow_atoms_lose_nothing() {
        let crystal = calcium_tungstate();
        let masses = crystal.masses_u();
        let mut velocities: Vec<DVec3> = masses.iter().map(|m| DVec3::Z * speed(9.9, *m)).collect();
        let before = velocities.clone();
        assert_eq!(stopping(10.0).act(&mut velocities, &masses, 1.0), 0.0);
        assert_eq!(velocities, before);
    }
}

//! Temperature: initial velocities and the Langevin bath.

use crate::units::BOLTZMANN_EV_PER_K;
use glam::DVec3;
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Maxwell-Boltzmann velocities in angstrom per natural time, without total momentum, for a given temperature.
pub fn thermal_velocities(masses_u: &[f64], temperature_k: f64, random: &mut Pcg64) -> Vec<DVec3> {
    let spread = |mass: f64| (BOLTZMANN_EV_PER_K * temperature_k / mass).sqrt();
    let mut velocities: Vec<DVec3> = masses_u.iter().map(|m| spread(*m) * normal(random)).collect();
    remove_drift(&mut velocities, masses_u);
    velocities
}

/// Subtracts the velocity of the centre of mass.
pub(crate) fn remove_drift(velocities: &mut [DVec3], masses_u: &[f64]) {
    let momentum: DVec3 = velocities.iter().zip(masses_u).map(|(v, m)| *v * *m).sum();
    let drift = momentum / masses_u.iter().sum::<f64>();
    velocities.iter_mut().for_each(|v| *v -= drift);
}

fn normal(random: &mut Pcg64) -> DVec3 {
    let mut draw = || random.sample::<f64, _>(StandardNormal);
    let (x, y, z) = (draw(), draw(), draw());
    DVec3::new(x, y, z)
}

/// A Langevin bath: friction and noise, atom by atom, drawn in the order of the atoms from one generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bath {
    /// Temperature of the bath in K.
    pub temperature_k: f64,
    /// Friction of each atom in 1/fs; atoms with zero move freely.
    pub friction_per_fs: Vec<f64>,
    /// Energy in eV that the bath has given to the atoms so far.
    pub energy_given_ev: f64,
    random: Pcg64,
}

impl Bath {
    /// A bath that has not exchanged energy yet. Equal seeds give equal noise.
    pub fn new(temperature_k: f64, friction_per_fs: Vec<f64>, seed: u64) -> Self {
        Self { temperature_k, friction_per_fs, energy_given_ev: 0.0, random: Pcg64::new(u128::from(seed), 1) }
    }

    /// The exact Ornstein-Uhlenbeck step of duration `time_fs` (the O of BAOAB; Leimkuhler and Matthews 2013).
    pub(crate) fn act(&mut self, velocities: &mut [DVec3], masses_u: &[f64], time_fs: f64) {
        for ((velocity, mass), friction) in velocities.iter_mut().zip(masses_u).zip(&self.friction_per_fs) {
            if *friction > 0.0 {
                let keep = (-friction * time_fs).exp();
                let spread = ((1.0 - keep * keep) * BOLTZMANN_EV_PER_K * self.temperature_k / mass).sqrt();
                let before = velocity.length_squared();
                *velocity = keep * *velocity + spread * normal(&mut self.random);
                self.energy_given_ev += 0.5 * mass * (velocity.length_squared() - before);
            }
        }
    }
}

/// Speed in angstrom per natural time of a mass with this kinetic energy.
pub(crate) fn speed(kinetic_energy_ev: f64, mass_u: f64) -> f64 {
    (2.0 * kinetic_energy_ev / mass_u).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thermal_velocities_have_the_temperature_and_no_momentum() {
        let masses: Vec<f64> = (0..30_000).map(|i| if i % 3 == 0 { 183.84 } else { 16.0 }).collect();
        let velocities = thermal_velocities(&masses, 133.0, &mut Pcg64::new(7, 1));
        let momentum: DVec3 = velocities.iter().zip(&masses).map(|(v, m)| *v * *m).sum();
        assert!(momentum.length() < 1e-9);
        let kinetic: f64 = velocities.iter().zip(&masses).map(|(v, m)| 0.5 * m * v.length_squared()).sum();
        let temperature = kinetic / (1.5 * masses.len() as f64 * BOLTZMANN_EV_PER_K);
        // The relative spread of a chi-squared variable with 90 000 degrees of freedom is 0.47 %.
        assert!((temperature / 133.0 - 1.0).abs() < 0.02, "{temperature}");
    }
}

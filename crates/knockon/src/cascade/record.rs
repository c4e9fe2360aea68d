//! What a recoil leaves: its record.

use super::close_pairs::ClosestPairs;
use super::{Defects, Disorder, Flag};
use crate::Species;
use crate::dynamics::TimeStepBin;
use crate::units::BOLTZMANN_EV_PER_K;
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The temperature after a cascade may differ from what the heat makes of a harmonic crystal by this part of the rise ...
const HEAT_PART: f64 = 0.15;
/// ... and so many standard deviations of the kinetic temperature of a box of its size.
const HEAT_DEVIATIONS: f64 = 5.0;

/// What happened in one recoil.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recoil {
    /// Kinetic energy in eV of the recoiling atom after the kick.
    pub recoil_energy_ev: f64,
    /// Direction of the kick, a unit vector.
    pub direction: DVec3,
    /// Energy in eV that the kick added: the recoil energy less the thermal kinetic energy that it replaced.
    pub energy_given_ev: f64,
    /// Energy of the quenched box less that of the perfect box, in eV.
    pub stored_energy_ev: f64,
    /// Total energy at the end less that after the kick and what border and electrons gave, in eV: the integration error.
    pub energy_drift_ev: f64,
    /// Energy in eV that the border's bath gave to the atoms (negative: it cooled them).
    pub border_energy_ev: f64,
    /// Energy in eV that the atoms lost to electrons.
    #[serde(default)]
    pub electronic_energy_ev: f64,
    /// Shortest time step in fs.
    pub min_time_step_fs: f64,
    /// How many steps had which length; empty in records of earlier versions.
    #[serde(default)]
    pub time_steps: Vec<TimeStepBin>,
    /// Time steps taken.
    pub steps: u64,
    /// Time in fs from the kick to the quench.
    pub simulated_time_fs: f64,
    /// Kinetic temperature in K before the quench.
    pub final_temperature_k: f64,
    /// How much hotter than before the kick that is, in K; none in records of earlier versions.
    pub temperature_rise_k: Option<f64>,
    /// The largest kinetic temperature in K of the atoms near the faces of the box at any step; none in records of earlier
    /// versions.
    pub max_border_temperature_k: Option<f64>,
    /// Largest force on an atom after the quench, in eV/angstrom.
    pub max_force_ev_per_angstrom: f64,
    /// Evaluations that the quench took.
    pub quench_evaluations: u64,
    /// Shortest distance in angstrom between two atoms at any step of the cascade.
    pub min_distance_angstrom: f64,
    /// The same by pair of elements, symbols in alphabetical order such as `O-W`; pairs that always were farther apart than the
    /// cutoff of the potential are left out. Empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "ClosestPairs::is_empty")]
    pub closest_pairs_angstrom: BTreeMap<String, f64>,
    /// Atoms farther than 1 angstrom from where they were in the perfect box.
    pub displaced_atoms: usize,
    /// Largest displacement in angstrom from the perfect box.
    pub max_displacement_angstrom: f64,
    /// Largest distance in angstrom from the recoil's site to a displaced atom's end point.
    pub damage_radius_angstrom: f64,
    /// Point defects of the quenched box, from a Wigner-Seitz analysis; empty in records of earlier versions.
    #[serde(default)]
    pub defects: Defects,
    /// Atoms of the quenched box whose surroundings are not those of the crystal; none in records of earlier versions.
    #[serde(default)]
    pub disorder: Option<Disorder>,
    /// Displacements in angstrom of the displaced atoms, the largest first.
    #[serde(default)]
    pub displacements: Vec<Displacement>,
    /// Largest extrapolation grade of an atom during the cascade, where someone looked (see [`super::GradeWatch`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_extrapolation_grade: Option<f64>,
    /// Reasons not to trust this run, by their names ([`Flag::name`]).
    pub flags: Vec<String>,
}

impl Recoil {
    /// Energy in eV that is neither stored nor gone at the end: heat of the box.
    pub fn heat_ev(&self) -> f64 {
        let given_ev = self.energy_given_ev + self.border_energy_ev - self.electronic_energy_ev;
        given_ev + self.energy_drift_ev - self.stored_energy_ev
    }

    /// How much hotter in K a box of `n_atoms` is by this heat if it is shared equally by motion and bonds, as in a harmonic
    /// crystal: to be compared with `temperature_rise_k`.
    pub fn heat_temperature_rise_k(&self, n_atoms: usize) -> f64 {
        self.heat_ev() / (3.0 * n_atoms as f64 * BOLTZMANN_EV_PER_K)
    }

    /// Flags a recoil whose start was not in equilibrium ([`crate::cascade::Equilibrium::warning`]): whoever made the start
    /// knows.
    pub fn flag_start(&mut self) {
        self.flags.push(Flag::Start.name().to_owned());
    }

    /// The pair of elements that came closest; none in records of earlier versions.
    pub fn closest_pair(&self) -> Option<&str> {
        let closest = self.closest_pairs_angstrom.iter().min_by(|a, b| a.1.total_cmp(b.1));
        closest.map(|(pair, _)| pair.as_str())
    }

    /// Whether the temperature rose as the heat says, by `rise_k`.
    pub(super) fn heat_is_found(&self, rise_k: f64, n_atoms: usize) -> bool {
        let expected_k = self.heat_temperature_rise_k(n_atoms);
        let start_temperature_k = self.final_temperature_k - rise_k;
        // The energy before and after is known, so that only its part in motion fluctuates, by k T sqrt(3 N) / 2.
        let deviation_k = self.final_temperature_k.hypot(start_temperature_k) / (3.0 * n_atoms as f64).sqrt();
        (rise_k - expected_k).abs() <= HEAT_PART * expected_k.abs() + HEAT_DEVIATIONS * deviation_k
    }
}

/// An atom that ended far from where it was in the perfect box.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Displacement {
    /// Its element.
    pub species: Species,
    /// How far in angstrom.
    pub distance_angstrom: f64,
}

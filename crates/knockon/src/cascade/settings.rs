//! What a campaign is to do.

use super::recoil::MAX_RECOIL_ENERGY_EV;
use super::starts::sampling_window;
use super::{Border, RecoilSettings, RunningSettings, Thermalization};
use crate::settings::{check, is_not_negative, is_positive};
use crate::units::BOLTZMANN_EV_PER_K;
use crate::{Error, Species};
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A box that recoils heat by more than this (kelvin) is too small: the campaigns that ship stay below 240 K at 160 eV, and
/// cool their border.
const MAX_RISE_K: f64 = 500.0;
/// Longer steps (femtoseconds, and angstrom of the fastest atom) are warned of: our choice, five times the
/// displacement that ships and a fifteenth of the period of the fastest modes of CaWO4 (891 / cm, 37 fs) or less.
const MAX_STEP_FS: f64 = 2.0;
const MAX_STEP_ANGSTROM: f64 = 0.1;

/// A campaign of recoils of one species in one crystal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignSettings {
    /// File with the unit cell of the crystal; relative paths count from the settings file.
    pub crystal: PathBuf,
    /// The box is this many unit cells along each lattice vector.
    pub cells: [usize; 3],
    /// Whether the model first relaxes the unit cell, lattice constants included.
    pub relax_cell: bool,
    /// The recoiling element; the atom nearest to the middle of the box is kicked.
    pub species: Species,
    /// Which of the element's sites, where no symmetry of the crystal maps all of them onto each other: counted from 1 in the
    /// order in which their first atoms stand in the crystal's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<usize>,
    /// Recoil directions: how many in the irreducible part of the sphere, or which.
    pub directions: Directions,
    /// All random numbers of the campaign follow from it.
    pub seed: u64,
    /// Recoil energies and how many thermalised starts each is run from.
    pub energies: Vec<RecoilEnergy>,
    /// How starts are made.
    pub thermalization: Thermalization,
    /// How recoils are followed.
    pub recoil: RecoilSettings,
    /// The potential, where the command line names none; relative paths count from the settings file.
    #[serde(default)]
    pub model: Option<PathBuf>,
    /// Whether to look how far cascades go outside of the training data.
    #[serde(default)]
    pub extrapolation: Option<GradeSettings>,
    /// Which boxes are written for every run, which changes no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<FrameSettings>,
    /// Checkpoints and time limits, which change no result.
    #[serde(default)]
    pub running: RunningSettings,
}

/// Recoil directions that are asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of directions, or a list of vectors such as [[1, 0, 0], [1, 1, 0]]")]
pub enum Directions {
    /// So many, spread evenly over the irreducible part of the sphere.
    Count(usize),
    /// These, of any length, Cartesian; none the image of another under the symmetry of the site.
    Vectors(Vec<DVec3>),
}

impl Directions {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Self::Count(count) => *count,
            Self::Vectors(vectors) => vectors.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Boxes that are written for every run, as `runs/run-NNNNN.xyz`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrameSettings {
    /// Times in fs after the kick, before the quenched box, which is always the last.
    pub times_fs: Vec<f64>,
}

/// How extrapolation grades are watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradeSettings {
    /// File with the grades of the potential, relative to the settings file; by default the `.grade` beside the model.
    #[serde(default)]
    pub grade: Option<PathBuf>,
    /// All atoms are graded at every so many steps.
    #[serde(default = "default_every_steps")]
    pub every_steps: u64,
}

fn default_every_steps() -> u64 {
    20
}

/// One recoil energy of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoilEnergy {
    /// Recoil energy in eV.
    pub energy_ev: f64,
    /// Every direction is run from this many starts.
    pub starts: usize,
}

impl Thermalization {
    /// Checks what types cannot; `place` names the settings in errors.
    pub fn validate(&self, place: &str) -> Result<(), Error> {
        let is_step = is_positive(self.time_step_fs);
        let fits = is_positive(self.time_fs) && (!is_step || self.time_fs >= self.time_step_fs);
        let sampled = (0.0..=self.time_fs).contains(&self.sampling_time_fs);
        check(
            place,
            &[
                (is_not_negative(self.temperature_k), "thermalization.temperature_k", "zero or more"),
                (is_step, "thermalization.time_step_fs", "a positive time"),
                (fits, "thermalization.time_fs", "at least one time_step_fs"),
                (sampled, "thermalization.sampling_time_fs", "at most time_fs"),
                (is_positive(self.friction_per_fs), "thermalization.friction_per_fs", "a positive friction"),
            ],
        )
    }
}

impl RecoilSettings {
    /// Checks what types cannot; `place` names the settings in errors.
    pub fn validate(&self, place: &str) -> Result<(), Error> {
        let step = &self.time_step;
        let border = |fine: fn(&Border) -> bool| self.border.as_ref().is_none_or(fine);
        let stopping = self.electronic_stopping.is_none_or(|e| is_not_negative(e.above_ev));
        let energy_change = step.max_energy_change_ev.is_none_or(is_positive);
        let quench_force = is_positive(self.quench.max_force_ev_per_angstrom);
        let quench_stress = is_positive(self.quench.max_stress_ev_per_angstrom3);
        check(
            place,
            &[
                (is_positive(self.time_fs), "recoil.time_fs", "a positive time"),
                (self.max_steps > 0, "recoil.max_steps", "at least 1"),
                (is_positive(self.skin_angstrom), "recoil.skin_angstrom", "a positive length"),
                (self.min_distance_angstrom.is_sound(), "recoil.min_distance_angstrom", "zero or more"),
                (
                    is_positive(step.max_displacement_angstrom),
                    "recoil.time_step.max_displacement_angstrom",
                    "a positive length",
                ),
                (is_positive(step.max_fs), "recoil.time_step.max_fs", "a positive time"),
                (energy_change, "recoil.time_step.max_energy_change_ev", "a positive energy"),
                (stopping, "recoil.electronic_stopping.above_ev", "zero or more"),
                (quench_force, "recoil.quench.max_force_ev_per_angstrom", "a positive force"),
                (quench_stress, "recoil.quench.max_stress_ev_per_angstrom3", "a positive stress"),
                (self.quench.max_evaluations > 0, "recoil.quench.max_evaluations", "at least 1"),
                (
                    border(|b| is_positive(b.thickness_angstrom)),
                    "recoil.border.thickness_angstrom",
                    "a positive length",
                ),
                (border(|b| is_positive(b.friction_per_fs)), "recoil.border.friction_per_fs", "a positive friction"),
                (border(|b| is_not_negative(b.temperature_k)), "recoil.border.temperature_k", "zero or more"),
            ],
        )
    }
}

impl CampaignSettings {
    /// Checks what types cannot; `place` names the settings in errors.
    pub fn validate(&self, place: &str) -> Result<(), Error> {
        let energies: Vec<f64> = self.energies.iter().map(|e| e.energy_ev).collect();
        let out_of_range = |energy: &f64| !(*energy > 0.0 && *energy <= MAX_RECOIL_ENERGY_EV);
        // The first entry that is wrong: errors show its line.
        let wrong_energy = energies.iter().position(out_of_range);
        let repeated = (1..energies.len()).find(|k| energies[..*k].contains(&energies[*k]));
        let without_starts = self.energies.iter().position(|e| e.starts == 0);
        let setting = |entry: Option<usize>, name: &str| format!("energies.{}.{name}", entry.unwrap_or(0) + 1);
        let [of_range, of_repeated, of_starts] =
            [(wrong_energy, "energy_ev"), (repeated, "energy_ev"), (without_starts, "starts")]
                .map(|(k, name)| setting(k, name));
        let frames = self.frames.as_ref().map_or(&[][..], |f| &f.times_fs);
        check(
            place,
            &[
                (self.cells.iter().all(|n| *n > 0), "cells", "three positive numbers"),
                (!self.directions.is_empty(), "directions", "at least 1"),
                (!energies.is_empty(), "energies", "at least one [[energies]] with energy_ev and starts"),
                (wrong_energy.is_none(), &of_range, "a positive energy of at most 1e5 eV"),
                (repeated.is_none(), &of_repeated, "energies that differ (more recoils of one have more starts)"),
                (without_starts.is_none(), &of_starts, "at least 1"),
                (
                    self.extrapolation.as_ref().is_none_or(|e| e.every_steps > 0),
                    "extrapolation.every_steps",
                    "at least 1",
                ),
                (
                    frames.iter().all(|t| (0.0..=self.recoil.time_fs).contains(t)),
                    "frames.times_fs",
                    "times from 0 to recoil.time_fs",
                ),
                (is_not_negative(self.running.checkpoint_every_min), "running.checkpoint_every_min", "zero or more"),
                (self.running.checkpoint_every_steps != Some(0), "running.checkpoint_every_steps", "at least 1"),
                (is_positive(self.running.max_hours), "running.max_hours", "a positive time"),
            ],
        )?;
        self.thermalization.validate(place)?;
        // A plan cannot take back what was asked for, and starts are only made when recoils are run.
        let setting = format!("{place}: thermalization.sampling_time_fs");
        sampling_window(&self.thermalization, self.max_starts(), &setting)?;
        self.recoil.validate(place)
    }

    /// What will likely flag recoils in a box of so many atoms, in words: they take hours, and this can be said before.
    pub fn warnings(&self, n_atoms: usize) -> Vec<String> {
        let energy_ev = self.energies.iter().map(|e| e.energy_ev).fold(0.0, f64::max);
        // Half of the energy becomes kinetic, 3/2 k_B T per atom.
        let rise_k = energy_ev / (3.0 * n_atoms as f64 * BOLTZMANN_EV_PER_K);
        let needed = (energy_ev / (3.0 * MAX_RISE_K * BOLTZMANN_EV_PER_K)).ceil();
        let small = (rise_k > MAX_RISE_K).then(|| {
            format!(
                "WARNING: a recoil of {energy_ev} eV heats this box of {n_atoms} atoms by {rise_k:.0} K and reaches its periodic \
                 images: expected {MAX_RISE_K:.0} K at most (flags small-box, hot-border). Take more `cells`, {needed} atoms or more"
            )
        });
        let step = &self.recoil.time_step;
        let long = (step.max_fs > MAX_STEP_FS || step.max_displacement_angstrom > MAX_STEP_ANGSTROM).then(|| {
            format!(
                "WARNING: recoil.time_step allows steps of {} fs and {} A: expected at most {MAX_STEP_FS} fs and {MAX_STEP_ANGSTROM} A, \
                 beyond which energies drift (flag drift)",
                step.max_fs, step.max_displacement_angstrom
            )
        });
        let bath = (self.thermalization.time_step_fs > MAX_STEP_FS).then(|| {
            format!(
                "WARNING: thermalization.time_step_fs is {}: expected at most {MAX_STEP_FS} fs, beyond which starts are not at \
                 their temperature (flag start)",
                self.thermalization.time_step_fs
            )
        });
        [small, long, bath]
            .into_iter()
            .flatten()
            .chain(self.thermalization.closeness_warning(self.max_starts()))
            .collect()
    }

    /// The starts that the energy with most of them needs.
    pub fn max_starts(&self) -> usize {
        self.energies.iter().map(|e| e.starts).max().unwrap_or(1)
    }
}

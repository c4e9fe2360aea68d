//! What a campaign is to do.

use super::recoil::MAX_ENERGY_EV;
use super::{RecoilSettings, RunningSettings, Thermalization};
use crate::{Error, Species};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// Number of directions in the irreducible part of the sphere.
    pub directions: usize,
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

impl CampaignSettings {
    /// Checks what types cannot.
    pub fn validate(&self, place: &str) -> Result<(), Error> {
        let t = &self.thermalization;
        let r = &self.recoil;
        let checks = [
            (self.cells.iter().all(|n| *n > 0), "cells", "three positive numbers"),
            (self.directions > 0, "directions", "at least 1"),
            (!self.energies.is_empty(), "energies", "at least one [[energies]] with energy_ev and starts"),
            (
                self.energies.iter().all(|e| e.energy_ev > 0.0 && e.energy_ev <= MAX_ENERGY_EV),
                "energy_ev",
                "a positive energy of at most 1e5 eV",
            ),
            (self.energies.iter().all(|e| e.starts > 0), "starts", "at least 1"),
            (t.temperature_k >= 0.0 && t.temperature_k.is_finite(), "thermalization.temperature_k", "zero or more"),
            (
                t.time_step_fs > 0.0 && t.time_fs >= t.time_step_fs,
                "thermalization.time_fs",
                "at least one time_step_fs",
            ),
            ((0.0..=t.time_fs).contains(&t.sampling_time_fs), "thermalization.sampling_time_fs", "at most time_fs"),
            (t.friction_per_fs > 0.0, "thermalization.friction_per_fs", "a positive friction"),
            (self.extrapolation.as_ref().is_none_or(|e| e.every_steps > 0), "extrapolation.every_steps", "at least 1"),
            (r.time_fs > 0.0 && r.time_fs.is_finite(), "recoil.time_fs", "a positive time"),
            (r.max_steps > 0, "recoil.max_steps", "at least 1"),
            (
                self.frames.as_ref().is_none_or(|f| f.times_fs.iter().all(|t| (0.0..=r.time_fs).contains(t))),
                "frames.times_fs",
                "times from 0 to recoil.time_fs",
            ),
            (self.running.checkpoint_every_min >= 0.0, "running.checkpoint_every_min", "zero or more"),
            (self.running.checkpoint_every_steps != Some(0), "running.checkpoint_every_steps", "at least 1"),
            (self.running.max_hours > 0.0, "running.max_hours", "a positive time"),
            (r.skin_angstrom > 0.0, "recoil.skin_angstrom", "a positive length"),
            (
                r.time_step.max_displacement_angstrom > 0.0,
                "recoil.time_step.max_displacement_angstrom",
                "a positive length",
            ),
            (r.time_step.max_fs > 0.0, "recoil.time_step.max_fs", "a positive time"),
            (
                r.time_step.max_energy_change_ev.is_none_or(|e| e > 0.0),
                "recoil.time_step.max_energy_change_ev",
                "a positive energy",
            ),
            (
                r.electronic_stopping.is_none_or(|e| e.above_ev >= 0.0),
                "recoil.electronic_stopping.above_ev",
                "zero or more",
            ),
            (r.quench.max_force_ev_per_angstrom > 0.0, "recoil.quench.max_force_ev_per_angstrom", "a positive force"),
        ];
        match checks.iter().find(|(fine, ..)| !fine) {
            None => Ok(()),
            Some((_, name, expected)) => {
                Err(Error::input(format!("{place}: {name}"), format!("expected {expected}"), "Change this setting"))
            }
        }
    }

    pub(super) fn max_starts(&self) -> usize {
        self.energies.iter().map(|e| e.starts).max().unwrap_or(1)
    }
}

//! What a campaign leaves on disk.

use super::{CampaignSettings, Direction, PerfectBox, Recoil};
use crate::io::write_atomically;
use crate::symmetry::SiteSymmetry;
use crate::{Atoms, Error, Species};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// The file of one finished recoil.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    pub(super) run: usize,
    pub(super) key: String,
    pub(super) species: Species,
    pub(super) direction: usize,
    pub(super) weight_sr: f64,
    pub(super) start: usize,
    pub(super) recoil: Recoil,
    pub(super) wall_time_s: f64,
    pub(super) model_hash: String,
}

impl RunRecord {
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).expect("plain numbers and text");
        write_atomically(path, text.as_bytes())
    }

    /// One line for the user.
    pub(super) fn summary(&self) -> String {
        let r = &self.recoil;
        let flags = if r.flags.is_empty() { String::new() } else { format!(", flagged: {}", r.flags.join(" ")) };
        format!(
            "recoil {}: {} eV along ({:+.2} {:+.2} {:+.2}) stores {:.2} eV, {} displaced atoms, {} steps, {:.0} s{flags}",
            self.run,
            r.recoil_energy_ev,
            r.direction.x,
            r.direction.y,
            r.direction.z,
            r.stored_energy_ev,
            r.displaced_atoms,
            r.steps,
            self.wall_time_s,
        )
    }
}

/// `recoils.csv`: one line per recoil, units in the column names.
pub(super) fn write_recoils_csv(path: &Path, records: &[RunRecord]) -> Result<(), Error> {
    let mut text = String::from(
        "run,species,recoil_energy_ev,direction,direction_x,direction_y,direction_z,weight_sr,start,stored_energy_ev,\
         energy_drift_ev,min_time_step_fs,steps,simulated_time_fs,max_force_ev_per_angstrom,min_distance_angstrom,\
         displaced_atoms,flags,wall_time_s,model_hash\n",
    );
    for record in records {
        let r = &record.recoil;
        writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:.3},{}",
            record.run,
            record.species,
            r.recoil_energy_ev,
            record.direction,
            r.direction.x,
            r.direction.y,
            r.direction.z,
            record.weight_sr,
            record.start,
            r.stored_energy_ev,
            r.energy_drift_ev,
            r.min_time_step_fs,
            r.steps,
            r.simulated_time_fs,
            r.max_force_ev_per_angstrom,
            r.min_distance_angstrom,
            r.displaced_atoms,
            r.flags.join(";"),
            record.wall_time_s,
            record.model_hash,
        )
        .expect("text grows");
    }
    write_atomically(path, text.as_bytes())
}

/// The ideal crystal as it is written into JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitCell {
    /// Lattice vectors a, b, c in angstrom, one after the other.
    pub vectors: [f64; 9],
    /// Elements.
    pub species: Vec<Species>,
    /// Cartesian positions in angstrom.
    pub positions: Vec<[f64; 3]>,
}

impl UnitCell {
    /// Copies cell, species and positions.
    pub fn new(atoms: &Atoms) -> Self {
        Self {
            vectors: atoms.cell.vectors.to_cols_array(),
            species: atoms.species.clone(),
            positions: atoms.positions.iter().map(|p| p.to_array()).collect(),
        }
    }
}

/// Content of `campaign.json`.
pub(super) struct CampaignFile<'a> {
    pub(super) model_hash: &'a str,
    pub(super) settings: &'a CampaignSettings,
    pub(super) perfect: &'a PerfectBox,
    pub(super) unit_cell: UnitCell,
    pub(super) site: &'a SiteSymmetry,
    pub(super) directions: &'a [Direction],
    pub(super) n_runs: usize,
    pub(super) n_flagged: usize,
}

impl CampaignFile<'_> {
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let (settings, cell) = (self.settings, self.perfect.atoms.cell.vectors);
        let row_major = |m: &glam::DMat3| m.transpose().to_cols_array();
        let direction = |d: &Direction| serde_json::json!({ "x": d.vector.x, "y": d.vector.y, "z": d.vector.z, "weight_sr": d.weight_sr });
        let value = serde_json::json!({
            "model_hash": self.model_hash,
            "crystal_file": settings.crystal,
            "n_atoms": self.perfect.atoms.len(),
            "cells": settings.cells,
            "box_angstrom": [cell.x_axis.length(), cell.y_axis.length(), cell.z_axis.length()],
            "perfect_energy_ev": self.perfect.energy_ev,
            "temperature_k": settings.thermalization.temperature_k,
            "simulated_time_fs": settings.recoil.time_fs,
            "time_step_displacement_angstrom": settings.recoil.time_step.max_displacement_angstrom,
            "species": settings.species,
            "space_group": self.site.space_group,
            "space_group_number": self.site.space_group_number,
            "site_symmetry": self.site.point_group,
            "site_group_order": self.site.operations.len(),
            "operations": self.site.operations.iter().map(row_major).collect::<Vec<_>>(),
            "directions": self.directions.iter().map(direction).collect::<Vec<_>>(),
            "energies_ev": settings.energies.iter().map(|e| e.energy_ev).collect::<Vec<_>>(),
            "starts": settings.energies.iter().map(|e| e.starts).collect::<Vec<_>>(),
            "n_runs": self.n_runs,
            "n_flagged": self.n_flagged,
            "seed": settings.seed,
            "unit_cell": self.unit_cell,
            "central_atom_index": self.perfect.central_atom,
            "settings": settings,
        });
        write_atomically(path, serde_json::to_string_pretty(&value).expect("plain numbers and text").as_bytes())
    }
}

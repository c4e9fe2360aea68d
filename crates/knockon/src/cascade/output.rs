//! What a campaign leaves on disk.

use super::{
    Defects, Direction, KineticEnergies, Plan, Recoil, RecoilSettings, Snapshot, SpeciesDefects, Thermalization,
    central_atom,
};
use crate::io::{Frame, write_atomically};
use crate::symmetry::SiteSymmetry;
use crate::{Atoms, Cell, Error, Species};
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// How a recoil was made: with the potential, the crystal and the program that its record names, enough to make it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// The box was this many unit cells along each lattice vector.
    pub cells: [usize; 3],
    /// How its start was made.
    pub thermalization: Thermalization,
    /// How it was followed.
    pub recoil: RecoilSettings,
    /// All random numbers follow from it.
    pub seed: u64,
    /// Extrapolation grades were looked at every so many steps; none where nobody looked.
    pub graded_every_steps: Option<u64>,
}

/// The file of one finished recoil.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RunRecord {
    pub(super) run: usize,
    /// That of the plan, which has crystal and directions.
    pub(super) key: String,
    pub(super) species: Species,
    pub(super) direction: usize,
    pub(super) weight_sr: f64,
    pub(super) start: usize,
    pub(super) recoil: Recoil,
    /// Energy in eV from which the stored energy counts.
    #[serde(default)]
    pub(super) perfect_energy_ev: f64,
    pub(super) wall_time_s: f64,
    pub(super) model_hash: String,
    /// Version of the program.
    #[serde(default)]
    pub(super) program: String,
    /// Commit that it was built from, where that was known.
    #[serde(default)]
    pub(super) commit: String,
    /// Records of earlier versions have none: the plan beside them says how they were made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<Protocol>,
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

/// `recoils.csv`: one line per recoil, units in the column names, the weights of the directions of the plan, one column of
/// defects for each element of the crystal. What a record lacks is left empty.
pub(super) fn recoils_csv(plan: &Plan, records: &[RunRecord]) -> String {
    let elements = plan.elements();
    let mut text = String::from(
        "run,species,recoil_energy_ev,direction,direction_x,direction_y,direction_z,weight_sr,start,stored_energy_ev,\
         energy_drift_ev,border_energy_ev,electronic_energy_ev,heat_ev,heat_temperature_rise_k,temperature_rise_k,min_time_step_fs,steps,simulated_time_fs,max_force_ev_per_angstrom,min_distance_angstrom,\
         displaced_atoms,disordered_atoms,disordered_volume_angstrom3,left_site_atoms,frenkel_pairs",
    );
    for kind in ["vacancies", "interstitials", "antisites"] {
        elements.iter().for_each(|element| write!(text, ",{kind}_{element}").expect("text grows"));
    }
    text.push_str(",max_grade,flags,wall_time_s,program,commit,model_hash\n");
    let n_atoms = plan.n_atoms();
    for record in records {
        let r = &record.recoil;
        let cells = [
            record.run.to_string(),
            record.species.to_string(),
            r.recoil_energy_ev.to_string(),
            record.direction.to_string(),
            r.direction.x.to_string(),
            r.direction.y.to_string(),
            r.direction.z.to_string(),
            plan.directions[record.direction].weight_sr.to_string(),
            record.start.to_string(),
            r.stored_energy_ev.to_string(),
            r.energy_drift_ev.to_string(),
            r.border_energy_ev.to_string(),
            r.electronic_energy_ev.to_string(),
            r.heat_ev().to_string(),
            r.heat_temperature_rise_k(n_atoms).to_string(),
            r.temperature_rise_k.to_string(),
            r.min_time_step_fs.to_string(),
            r.steps.to_string(),
            r.simulated_time_fs.to_string(),
            r.max_force_ev_per_angstrom.to_string(),
            r.min_distance_angstrom.to_string(),
            r.displaced_atoms.to_string(),
            r.disorder.map_or(String::new(), |d| d.atoms.to_string()),
            r.disorder.map_or(String::new(), |d| d.volume_angstrom3.to_string()),
        ];
        let defects = defect_cells(&r.defects, &elements);
        let end = [
            r.max_extrapolation_grade.map_or(String::new(), |grade| format!("{grade:.4}")),
            r.flags.join(";"),
            format!("{:.3}", record.wall_time_s),
            record.program.clone(),
            record.commit.clone(),
            record.model_hash.clone(),
        ];
        text.push_str(&[&cells[..], &defects, &end].concat().join(","));
        text.push('\n');
    }
    text
}

/// Atoms that left their site, Frenkel pairs, then vacancies, interstitials and antisites of each element.
fn defect_cells(defects: &Defects, elements: &[Species]) -> Vec<String> {
    if defects.species.is_empty() {
        return vec![String::new(); 2 + 3 * elements.len()];
    }
    let mut cells = vec![defects.left_site_atoms.to_string(), defects.total(SpeciesDefects::frenkel_pairs).to_string()];
    let counts: [fn(&SpeciesDefects) -> usize; 3] = [|s| s.vacancies, |s| s.interstitials, |s| s.antisites];
    for count in counts {
        let of = |element: &Species| defects.species.iter().find(|s| s.species == *element).map_or(0, count);
        cells.extend(elements.iter().map(|element| of(element).to_string()));
    }
    cells
}

/// Snapshots of a cascade as frames, with their times in fs. `perfect` gives species and cell.
pub fn snapshots(perfect: &Atoms, frames: &[Snapshot]) -> Vec<Frame> {
    let frame = |snapshot: &Snapshot| {
        let mut frame = Frame::new(Atoms { positions: snapshot.positions.clone(), ..perfect.clone() });
        frame.info.set("time_fs", snapshot.time_fs);
        frame
    };
    frames.iter().map(frame).collect()
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

    /// Whether all lattice vectors and atoms are closer than `distance_angstrom` to those of another cell, elements in the
    /// same order.
    pub(super) fn is_close(&self, other: &Self, distance_angstrom: f64) -> bool {
        let near = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < distance_angstrom)
        };
        self.species == other.species
            && near(&self.vectors, &other.vectors)
            && near(self.positions.as_flattened(), other.positions.as_flattened())
    }

    /// The crystal; `place` names the origin in the error if it is none.
    pub(super) fn atoms(&self, place: &str) -> Result<Atoms, Error> {
        let [a, b, c] = glam::DMat3::from_cols_array(&self.vectors).to_cols_array_2d().map(DVec3::from_array);
        let positions = self.positions.iter().map(|p| DVec3::from_array(*p)).collect();
        Atoms::new(Cell::periodic(a, b, c), self.species.clone(), positions, place)
    }
}

/// Content of `campaign.json`.
pub(super) struct CampaignFile<'a> {
    pub(super) plan: &'a Plan,
    pub(super) site: SiteSymmetry,
    pub(super) ideal_box: Atoms,
    pub(super) perfect_energy_ev: Option<f64>,
    pub(super) kinetic_energies: Option<KineticEnergies>,
    pub(super) n_runs: usize,
    pub(super) n_flagged: usize,
}

impl CampaignFile<'_> {
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let (plan, cell) = (self.plan, self.ideal_box.cell.vectors);
        let settings = &plan.settings;
        let row_major = |m: &glam::DMat3| m.transpose().to_cols_array();
        let direction = |d: &Direction| serde_json::json!({ "x": d.vector.x, "y": d.vector.y, "z": d.vector.z, "weight_sr": d.weight_sr });
        let value = serde_json::json!({
            "model_hash": plan.model_hash,
            "crystal_file": settings.crystal,
            "n_atoms": self.ideal_box.len(),
            "cells": settings.cells,
            "box_angstrom": [cell.x_axis.length(), cell.y_axis.length(), cell.z_axis.length()],
            "perfect_energy_ev": self.perfect_energy_ev,
            "temperature_k": settings.thermalization.temperature_k,
            "kinetic_energies": self.kinetic_energies,
            "simulated_time_fs": settings.recoil.time_fs,
            "time_step_displacement_angstrom": settings.recoil.time_step.max_displacement_angstrom,
            "species": settings.species,
            "space_group": self.site.space_group,
            "space_group_number": self.site.space_group_number,
            "site_symmetry": self.site.point_group,
            "site_group_order": self.site.operations.len(),
            "operations": self.site.operations.iter().map(row_major).collect::<Vec<_>>(),
            "directions": plan.directions.iter().map(direction).collect::<Vec<_>>(),
            "energies_ev": settings.energies.iter().map(|e| e.energy_ev).collect::<Vec<_>>(),
            "starts": settings.energies.iter().map(|e| e.starts).collect::<Vec<_>>(),
            "n_runs": self.n_runs,
            "n_flagged": self.n_flagged,
            "seed": settings.seed,
            "unit_cell": plan.unit_cell,
            "central_atom_index": central_atom(&self.ideal_box, settings.species)?,
            "settings": settings,
        });
        write_atomically(path, serde_json::to_string_pretty(&value).expect("plain numbers and text").as_bytes())
    }
}

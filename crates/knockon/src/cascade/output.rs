//! What a campaign leaves on disk.

use super::{
    CampaignOverview, Defects, Direction, KineticEnergies, Plan, Recoil, RecoilSettings, SampledDirection, Snapshot,
    SpeciesDefects, Thermalization,
};
use crate::io::{Frame, write_atomically};
use crate::symmetry::SiteSymmetry;
use crate::{Atoms, Cell, Error, Species};
use glam::DVec3;
use serde::{Deserialize, Serialize};
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
    /// Which site of the element recoiled, where that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<usize>,
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
    /// Energy in eV from which the stored energy counts; none in records of earlier versions.
    pub(super) perfect_energy_ev: Option<f64>,
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
/// defects for each element of the crystal. What a record lacks is left empty. Columns keep their names and places, new ones
/// come last.
pub(super) fn recoils_csv(plan: &Plan, records: &[RunRecord]) -> String {
    let columns = columns(plan);
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let mut text = names.join(",");
    text.push('\n');
    for record in records {
        let cells: Vec<String> = columns.iter().map(|(_, cell)| cell(record)).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

/// The name of a column and what stands there for a record.
type Column<'a> = (String, Box<dyn Fn(&RunRecord) -> String + 'a>);

/// What a column needs that is the same for all crystals.
type MakeCell = fn(&Plan, &RunRecord) -> String;

/// The columns before those of single elements.
const FIRST_COLUMNS: [(&str, MakeCell); 26] = [
    ("run", |_, r| r.run.to_string()),
    ("species", |_, r| r.species.to_string()),
    ("recoil_energy_ev", |_, r| r.recoil.recoil_energy_ev.to_string()),
    ("direction", |_, r| r.direction.to_string()),
    ("direction_x", |_, r| r.recoil.direction.x.to_string()),
    ("direction_y", |_, r| r.recoil.direction.y.to_string()),
    ("direction_z", |_, r| r.recoil.direction.z.to_string()),
    ("weight_sr", |plan, r| plan.directions[r.direction].weight_sr.to_string()),
    ("start", |_, r| r.start.to_string()),
    ("stored_energy_ev", |_, r| r.recoil.stored_energy_ev.to_string()),
    ("energy_drift_ev", |_, r| r.recoil.energy_drift_ev.to_string()),
    ("border_energy_ev", |_, r| r.recoil.border_energy_ev.to_string()),
    ("electronic_energy_ev", |_, r| r.recoil.electronic_energy_ev.to_string()),
    ("heat_ev", |_, r| r.recoil.heat_ev().to_string()),
    ("heat_temperature_rise_k", |plan, r| r.recoil.heat_temperature_rise_k(plan.n_atoms()).to_string()),
    ("temperature_rise_k", |_, r| optional(r.recoil.temperature_rise_k)),
    ("min_time_step_fs", |_, r| r.recoil.min_time_step_fs.to_string()),
    ("steps", |_, r| r.recoil.steps.to_string()),
    ("simulated_time_fs", |_, r| r.recoil.simulated_time_fs.to_string()),
    ("max_force_ev_per_angstrom", |_, r| r.recoil.max_force_ev_per_angstrom.to_string()),
    ("min_distance_angstrom", |_, r| r.recoil.min_distance_angstrom.to_string()),
    ("displaced_atoms", |_, r| r.recoil.displaced_atoms.to_string()),
    ("disordered_atoms", |_, r| optional(r.recoil.disorder.map(|d| d.atoms))),
    ("disordered_volume_angstrom3", |_, r| optional(r.recoil.disorder.map(|d| d.volume_angstrom3))),
    ("left_site_atoms", |_, r| of_defects(r, |d| d.left_site_atoms)),
    ("frenkel_pairs", |_, r| of_defects(r, |d| d.total(SpeciesDefects::frenkel_pairs))),
];

type CountDefects = fn(&SpeciesDefects) -> usize;

/// Columns of each element.
const DEFECT_COLUMNS: [(&str, CountDefects); 3] =
    [("vacancies", |s| s.vacancies), ("interstitials", |s| s.interstitials), ("antisites", |s| s.antisites)];

/// The columns after those of single elements.
const LAST_COLUMNS: [(&str, MakeCell); 11] = [
    ("max_grade", |_, r| r.recoil.max_extrapolation_grade.map_or(String::new(), |grade| format!("{grade:.4}"))),
    ("flags", |_, r| r.recoil.flags.join(";")),
    ("wall_time_s", |_, r| format!("{:.3}", r.wall_time_s)),
    ("program", |_, r| r.program.clone()),
    ("commit", |_, r| r.commit.clone()),
    ("model_hash", |_, r| r.model_hash.clone()),
    ("energy_given_ev", |_, r| r.recoil.energy_given_ev.to_string()),
    ("max_border_temperature_k", |_, r| optional(r.recoil.max_border_temperature_k)),
    ("largest_region_angstrom3", |_, r| optional(r.recoil.disorder.map(|d| d.largest_region_angstrom3))),
    ("damage_radius_angstrom", |_, r| r.recoil.damage_radius_angstrom.to_string()),
    ("closest_pair", |_, r| r.recoil.closest_pair().unwrap_or_default().to_owned()),
];

fn columns(plan: &Plan) -> Vec<Column<'_>> {
    let mut columns: Vec<Column<'_>> = Vec::new();
    columns.extend(FIRST_COLUMNS.map(|(name, cell)| column(plan, name, cell)));
    for (kind, count) in DEFECT_COLUMNS {
        for element in plan.elements() {
            let cell = move |record: &RunRecord| {
                let of_element = |d: &Defects| d.species.iter().find(|s| s.species == element).map_or(0, count);
                of_defects(record, of_element)
            };
            columns.push((format!("{kind}_{element}"), Box::new(cell)));
        }
    }
    columns.extend(LAST_COLUMNS.map(|(name, cell)| column(plan, name, cell)));
    columns
}

fn column<'a>(plan: &'a Plan, name: &str, cell: MakeCell) -> Column<'a> {
    (name.to_owned(), Box::new(move |record: &RunRecord| cell(plan, record)))
}

fn optional(number: Option<impl ToString>) -> String {
    number.map_or(String::new(), |number| number.to_string())
}

/// A number of the defects, where the record has these.
fn of_defects(record: &RunRecord, count: impl Fn(&Defects) -> usize) -> String {
    let defects = &record.recoil.defects;
    optional((!defects.species.is_empty()).then(|| count(defects)))
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

/// What `campaign.json` is made of.
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
    pub(super) fn write(self, path: &Path) -> Result<(), Error> {
        // As a value, for keys in the order of the alphabet.
        let value = serde_json::to_value(self.overview()?).expect("plain numbers and text");
        write_atomically(path, serde_json::to_string_pretty(&value).expect("plain numbers and text").as_bytes())
    }

    fn overview(self) -> Result<CampaignOverview, Error> {
        let (plan, cell) = (self.plan, self.ideal_box.cell.vectors);
        let settings = &plan.settings;
        let direction = |d: &Direction| {
            let [x, y, z] = d.vector.to_array();
            SampledDirection { x, y, z, weight_sr: d.weight_sr }
        };
        Ok(CampaignOverview {
            model_hash: plan.model_hash.clone(),
            crystal_file: settings.crystal.clone(),
            n_atoms: self.ideal_box.len(),
            cells: settings.cells,
            box_angstrom: [cell.x_axis.length(), cell.y_axis.length(), cell.z_axis.length()],
            perfect_energy_ev: self.perfect_energy_ev,
            temperature_k: settings.thermalization.temperature_k,
            kinetic_energies: self.kinetic_energies,
            simulated_time_fs: settings.recoil.time_fs,
            time_step_displacement_angstrom: settings.recoil.time_step.max_displacement_angstrom,
            species: settings.species,
            space_group: self.site.space_group,
            space_group_number: self.site.space_group_number,
            site_symmetry: self.site.point_group.to_owned(),
            site_group_order: self.site.operations.len(),
            operations: self.site.operations.iter().map(|matrix| matrix.transpose().to_cols_array()).collect(),
            directions: plan.directions.iter().map(direction).collect(),
            energies_ev: settings.energies.iter().map(|energy| energy.energy_ev).collect(),
            starts: settings.energies.iter().map(|energy| energy.starts).collect(),
            n_runs: self.n_runs,
            n_flagged: self.n_flagged,
            seed: settings.seed,
            unit_cell: plan.unit_cell.clone(),
            central_atom_index: plan.central_atom()?,
            settings: settings.clone(),
        })
    }
}

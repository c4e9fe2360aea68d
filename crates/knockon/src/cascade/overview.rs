//! `campaign.json`: a campaign as a whole, for all who use what it gave.

use super::{CampaignSettings, InequivalentSites, KineticEnergies, RecoilSite, UnitCell};
use crate::io::read_text_if_there;
use crate::symmetry::{POSITION_TOLERANCE_ANGSTROM, point_operations};
use crate::{Error, Species};
use glam::{DMat3, DVec3};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Content of `campaign.json`. Everything must be there but what is not known of every campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CampaignOverview {
    /// Hash of the potential.
    pub model_hash: String,
    /// The crystal's file, as the settings name it.
    pub crystal_file: PathBuf,
    /// Atoms of the box.
    pub n_atoms: usize,
    /// The box is this many unit cells along each lattice vector.
    pub cells: [usize; 3],
    /// Edges of the box in angstrom.
    pub box_angstrom: [f64; 3],
    /// Energy in eV from which stored energies count; none before the first recoil.
    pub perfect_energy_ev: Option<f64>,
    /// Temperature in K at which the box was thermalised.
    pub temperature_k: f64,
    /// Kinetic energies of the atoms in all starts; none where there are no starts or no motion.
    pub kinetic_energies: Option<KineticEnergies>,
    /// How long recoils were followed, in fs.
    pub simulated_time_fs: f64,
    /// No atom moved more than this in one step, in angstrom.
    pub time_step_displacement_angstrom: f64,
    /// The recoiling element.
    pub species: Species,
    /// Hermann-Mauguin symbol of the crystal's space group.
    pub space_group: String,
    /// Its number, 1 to 230.
    pub space_group_number: i32,
    /// Hermann-Mauguin symbol of the site's point group.
    pub site_symmetry: String,
    /// How many operations that has.
    pub site_group_order: usize,
    /// The operations, Cartesian matrices, one row after the other ([`Self::site_operations`]).
    pub operations: Vec<[f64; 9]>,
    /// Directions of the plan.
    pub directions: Vec<SampledDirection>,
    /// Recoil energies of the plan in eV.
    pub energies_ev: Vec<f64>,
    /// Starts at each of these energies.
    pub starts: Vec<usize>,
    /// Finished recoils.
    pub n_runs: usize,
    /// Those of them that have flags.
    pub n_flagged: usize,
    /// All random numbers follow from it.
    pub seed: u64,
    /// The ideal crystal.
    pub unit_cell: UnitCell,
    /// The atom of the box that recoiled, from 0.
    pub central_atom_index: usize,
    /// All settings.
    pub settings: CampaignSettings,
}

/// A direction of recoil, a unit vector, with the solid angle in sr that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampledDirection {
    /// Cartesian component.
    pub x: f64,
    /// Cartesian component.
    pub y: f64,
    /// Cartesian component.
    pub z: f64,
    /// Solid angle in sr, images included.
    pub weight_sr: f64,
}

impl SampledDirection {
    /// The direction.
    pub fn vector(&self) -> DVec3 {
        DVec3::new(self.x, self.y, self.z)
    }
}

impl CampaignOverview {
    /// Reads the file at `path`; none if there is no such file.
    pub fn read_if_there(path: &Path) -> Result<Option<Self>, Error> {
        let text = read_text_if_there(path)?;
        text.map(|text| Self::parse(&text, &path.display().to_string())).transpose()
    }

    /// Reads the text of a file; `name` is what errors call it.
    pub fn parse(text: &str, name: &str) -> Result<Self, Error> {
        let overview: Self = serde_json::from_str(text).map_err(|e| {
            let problem = format!("expected what `knockon campaign` writes, found: {e}");
            Error::input(format!("{name}, line {}", e.line()), problem, REMEDY)
        })?;
        overview.check(name)?;
        Ok(overview)
    }

    /// What types do not tell. Without operations, images of directions would be left out; without a crystal, there would be no map.
    fn check(&self, name: &str) -> Result<(), Error> {
        let problem = |problem: String| Error::input(name, problem, REMEDY);
        let (found, order) = (self.operations.len(), self.site_group_order);
        if found == 0 || found != order {
            return Err(problem(format!(
                "expected the {order} operations of the site (site_group_order), found {found}"
            )));
        }
        let mut lengths = self.directions.iter().map(|direction| direction.vector().length());
        if let Some(length) = lengths.find(|length| (length - 1.0).abs() > 1e-3) {
            return Err(problem(format!("expected directions of length 1, found one of {length}")));
        }
        let (atom, n_atoms) = (self.central_atom_index, self.n_atoms);
        if atom >= n_atoms {
            return Err(problem(format!("expected central_atom_index below {n_atoms} (n_atoms), found {atom}")));
        }
        if self.unit_cell.species.is_empty() {
            return Err(problem("expected atoms in unit_cell, found none".to_owned()));
        }
        self.unit_cell.atoms(&format!("{name}, unit_cell")).map(|_| ())
    }

    /// The operations that map the surroundings of the recoiling atom onto themselves.
    pub fn site_operations(&self) -> Vec<DMat3> {
        self.operations.iter().map(|rows| DMat3::from_cols_array(rows).transpose()).collect()
    }

    /// Which site of its element the recoiling atom is on. Fails if the symmetry of `unit_cell` cannot be found.
    pub fn site(&self) -> Result<RecoilSite, Error> {
        let crystal = self.unit_cell.atoms("unit_cell")?;
        let sites = InequivalentSites::find(&crystal, self.species)?;
        // Atom k of the box is atom k mod n of the unit cell.
        sites.of_atom(self.central_atom_index % crystal.len()).ok_or_else(|| {
            let problem = format!("expected an atom of {} as central_atom_index, found another", self.species);
            Error::input("campaign.json", problem, REMEDY)
        })
    }

    /// The crystal's own, which map the recoiling atom onto every one that is equivalent to it.
    pub fn point_operations(&self) -> Result<Vec<DMat3>, Error> {
        point_operations(&self.unit_cell.atoms("unit_cell")?, POSITION_TOLERANCE_ANGSTROM)
    }
}

const REMEDY: &str = "Make it again: knockon campaign collect";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn shipped(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4").join(name).join("campaign.json");
        std::fs::read_to_string(path).expect("it ships")
    }

    #[test]
    fn files_that_ship_are_read_and_written_with_the_same_bytes() {
        for labels in [
            "",
            "-56-labels",
            "-69-labels",
            "-87-labels",
            "-87-labels-8x8x4",
            "-105-labels",
            "-114-labels",
            "-120-labels",
            "-125-labels",
            "-154-labels",
            "-161-labels",
            "-167-labels",
        ] {
            let name = format!("campaign{labels}");
            let text = shipped(&name);
            let overview = CampaignOverview::parse(&text, &name).expect("a campaign");
            let directions =
                if ["", "-125-labels", "-154-labels", "-161-labels", "-167-labels"].contains(&labels) { 16 } else { 8 };
            assert_eq!((overview.site_operations().len(), overview.directions.len()), (4, directions), "{name}");
            let again = serde_json::to_value(&overview).expect("plain numbers and text");
            assert_eq!(serde_json::to_string_pretty(&again).expect("plain numbers and text"), text, "{name}");
        }
    }

    /// Without operations, a response near one direction lost the images of the others without a word.
    #[test]
    fn what_is_missing_is_named() {
        let whole: Value = serde_json::from_str(&shipped("campaign")).expect("JSON");
        let optional = ["perfect_energy_ev", "kinetic_energies"];
        for key in whole.as_object().expect("an object").keys() {
            let mut part = whole.clone();
            part.as_object_mut().expect("an object").remove(key);
            match CampaignOverview::parse(&part.to_string(), "c.json") {
                Ok(_) => assert!(optional.contains(&key.as_str()), "{key}"),
                Err(error) => assert!(error.to_string().contains(&format!("missing field `{key}`")), "{error}"),
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (pointer, value, expected) in [
            ("/operations", serde_json::json!([]), "expected the 4 operations of the site"),
            ("/operations/3", serde_json::json!([1, 0, 0]), "invalid length 3"),
            ("/directions/0/x", serde_json::json!(7.0), "directions of length 1"),
            ("/central_atom_index", serde_json::json!(1_000_000), "central_atom_index below 2592"),
            ("/unit_cell/species", serde_json::json!(["W"]), "as many species as positions"),
            ("/unit_cell/vectors", serde_json::json!([0, 0, 0, 0, 0, 0, 0, 0, 0]), "positive volume"),
        ] {
            let mut changed: Value = serde_json::from_str(&shipped("campaign")).expect("JSON");
            *changed.pointer_mut(pointer).expect(pointer) = value;
            let error = CampaignOverview::parse(&changed.to_string(), "c.json").expect_err(pointer).to_string();
            assert!(error.starts_with("c.json") && error.contains(expected), "{error}");
        }
    }
}

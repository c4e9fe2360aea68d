//! Several sets of coefficients around one model: how far its predictions may be off.
//!
//! The model is linear, so sets of coefficients that fit the data about as well as the best one form a Gaussian cloud
//! around it; the spread of their predictions is a standard deviation. What the cloud is and how it is calibrated is
//! the fit's business (`fit::calibration`); here is its file and its evaluation.

use super::design::{Columns, Sharing};
use super::file_kind::FileKind;
use super::members::Members;
use super::model::Model;
use super::{Evaluation, Instructions, LinearPotential};
use crate::io::{content_hash, read_text, write_atomically};
use crate::{Atoms, Error, NeighborList};
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The version of the committee file that this program writes, and the newest that it reads.
const FORMAT_VERSION: u32 = 1;
const KIND: FileKind = FileKind {
    name: "committee file",
    version: FORMAT_VERSION,
    remedy: "Give the .committee file that knockon fit wrote beside the model",
};

/// The file: deviations of the members' coefficients from those of one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitteeFile {
    /// Version of the file format.
    pub format_version: u32,
    /// Hash of the model that the members deviate from.
    pub model_hash: String,
    /// Hash of the data of the fit.
    pub data_hash: String,
    /// Hash of the settings of the fit.
    pub settings_hash: String,
    /// The spread of energies is multiplied by this; from held-out errors.
    pub energy_scale: f64,
    /// The spread of forces is multiplied by this; from held-out errors.
    pub force_scale: f64,
    /// The members.
    #[serde(rename = "member")]
    pub members: Vec<Member>,
}

/// One set of coefficients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Coefficients less those of the model, in their units (eV but for charges, responses and dipoles, as in the model), in the order of [`Columns`] with a set for
    /// each central species. Single precision is more than enough for deviations.
    pub deviations_ev: Vec<f32>,
}

impl CommitteeFile {
    /// A committee of these deviations from the coefficients of `model`, not calibrated yet.
    pub fn new(model: &Model, data_hash: &str, settings_hash: &str, deviations: &[Vec<f64>]) -> Self {
        let member = |d: &Vec<f64>| Member { deviations_ev: d.iter().map(|x| *x as f32).collect() };
        Self {
            format_version: FORMAT_VERSION,
            model_hash: model.hash(),
            data_hash: data_hash.to_owned(),
            settings_hash: settings_hash.to_owned(),
            energy_scale: 1.0,
            force_scale: 1.0,
            members: deviations.iter().map(member).collect(),
        }
    }

    /// The text of the file; reading it gives back the same numbers exactly.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("a committee holds only what TOML can hold")
    }

    /// Names the committee: hash of its file.
    pub fn hash(&self) -> String {
        content_hash(self.to_text().as_bytes())
    }

    /// Reads a committee from the text of its file; `place` names it in errors.
    pub fn from_text(text: &str, place: &str) -> Result<Self, Error> {
        KIND.read(text, place, |file: &Self| file.format_version)
    }

    /// Reads a committee file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_text(&read_text(path)?, &path.display().to_string())
    }

    /// Writes the file atomically.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        write_atomically(path, self.to_text().as_bytes())
    }
}

/// Standard deviations of the predictions for one box.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Uncertainty {
    /// Of the energy of the box in eV.
    pub energy_std_ev: f64,
    /// Of each force component in eV/angstrom.
    pub force_std: Vec<DVec3>,
}

impl Uncertainty {
    /// Root mean square over the three components of the deviation of each atom's force, in eV/angstrom.
    pub fn force_std_by_atom(&self) -> Vec<f64> {
        self.force_std.iter().map(|s| (s.length_squared() / 3.0).sqrt()).collect()
    }
}

/// A committee made ready for evaluation together with its model.
pub struct Committee {
    model: LinearPotential,
    /// How many members there are.
    n_members: usize,
    members: Members,
    energy_scale: f64,
    force_scale: f64,
}

impl Committee {
    /// Prepares model and members. Fails if the committee belongs to another model.
    pub fn new(model: &Model, file: &CommitteeFile, place: &str) -> Result<Self, Error> {
        check_model(model, &file.model_hash, place)?;
        let columns = Columns::new(model, Sharing::PerSpecies);
        let member = |m: &Member| {
            if m.deviations_ev.len() != columns.len() {
                let found = format!("expected {} numbers per member, found {}", columns.len(), m.deviations_ev.len());
                return Err(Error::input(place, found, "Fit again to write a new committee"));
            }
            let deviations: Vec<f64> = m.deviations_ev.iter().map(|d| f64::from(*d)).collect();
            Ok(model.with_coefficients(&columns, &deviations))
        };
        let positive = |scale: f64| scale.is_finite() && scale >= 0.0;
        if file.members.is_empty() || !positive(file.energy_scale) || !positive(file.force_scale) {
            let found = "expected at least one member and scales that are not negative";
            return Err(Error::input(place, found, "Fit again to write a new committee"));
        }
        let potential = LinearPotential::new(model)?;
        let deviations: Vec<Model> = file.members.iter().map(member).collect::<Result<_, Error>>()?;
        Ok(Self {
            n_members: deviations.len(),
            members: Members::new(potential.kernel(), &deviations),
            model: potential,
            energy_scale: file.energy_scale,
            force_scale: file.force_scale,
        })
    }

    /// The same with other vector instructions; none if this processor lacks them. Results differ in the last bits.
    pub fn with_instructions(self, instructions: Instructions) -> Option<Self> {
        Some(Self { model: self.model.with_instructions(instructions)?, ..self })
    }

    /// The model itself.
    pub fn model(&self) -> &LinearPotential {
        &self.model
    }

    /// What the model says, in `evaluation`, and the standard deviation of it: the calibrated root-mean-square
    /// difference of the members from the model.
    pub fn evaluate(
        &self,
        atoms: &Atoms,
        neighbors: &NeighborList,
        evaluation: &mut Evaluation,
    ) -> Result<Uncertainty, Error> {
        let deviations = self.model.evaluate_with(&self.members, atoms, neighbors, evaluation, None)?;
        let root = |sum: f64, scale: f64| scale * (sum / self.n_members as f64).sqrt();
        let of_components = |s: &DVec3| DVec3::from_array(s.to_array().map(|x| root(x, self.force_scale)));
        Ok(Uncertainty {
            energy_std_ev: root(deviations.energies_ev.iter().map(|e| e * e).sum(), self.energy_scale),
            force_std: deviations.force_squares.iter().map(of_components).collect(),
        })
    }
}

/// Fails if something that was made for the model with the hash `expected` is used with another one.
pub(super) fn check_model(model: &Model, expected: &str, place: &str) -> Result<(), Error> {
    let hash = model.hash();
    if hash == expected {
        return Ok(());
    }
    let found = format!("expected something made for this model ({hash}), found one made for the model {expected}");
    Err(Error::input(place, found, "Use the files that one knockon fit wrote together"))
}

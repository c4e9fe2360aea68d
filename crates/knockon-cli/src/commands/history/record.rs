//! One line of the record, and the file of all.

use super::Kick;
use anyhow::{Context, Result};
use knockon::fit::ErrorRow;
use knockon::fit::learning::LearningPoint;
use knockon::frenkel::LabelledPair;
use knockon::io::{read_text, write_atomically};
use knockon::potential::Model;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// One line of the record.
#[derive(Serialize)]
pub(super) struct Record {
    pub(super) model_hash: String,
    pub(super) data_hash: String,
    /// Of the settings of the fit.
    pub(super) settings_hash: String,
    pub(super) form: Form,
    pub(super) n_configurations: u64,
    pub(super) held_out: Vec<ErrorRow>,
    pub(super) checks: Vec<Value>,
    pub(super) frenkel_pairs: Vec<LabelledPair>,
    pub(super) recoils: Vec<RecordedRecoil>,
    pub(super) learning_curve: Vec<LearningPoint>,
}

/// What kind of model it is: errors of one form and of another are not to be compared by the number of labels alone.
#[derive(Serialize)]
pub(super) struct Form {
    /// Density channels, those of all cutoffs together.
    pub(super) channels: usize,
    /// The longest first.
    pub(super) cutoffs_angstrom: Vec<f64>,
    pub(super) two_j_max: usize,
    /// How far charges reach; none where the form has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) charge_cutoff_angstrom: Option<f64>,
    /// Charges by species whose fields induce dipoles that act on each other; none where the form has no such dipoles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) dipole_charges_e: Vec<f64>,
    /// References of similarities by species; none where the form has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) references: Vec<usize>,
    /// Unknowns of the fit.
    pub(super) n_parameters: u64,
}

impl Form {
    pub(super) fn new(model: &Model, n_parameters: u64) -> Self {
        let channels = model.central.first().map_or(0, |c| c.channel_weights.len());
        let (cutoffs_angstrom, two_j_max) = (model.many_body.reaches_angstrom(channels), model.many_body.two_j_max);
        let charge_cutoff_angstrom = model.electrostatic.as_ref().map(|e| e.shape.cutoff_angstrom);
        let dipole_charges_e = model.electrostatic.as_ref().map_or(Vec::new(), |e| e.shape.dipole_charges_e.clone());
        let references = model.central.iter().flat_map(|c| &c.similarity).map(|s| s.references.len()).collect();
        Self {
            channels,
            cutoffs_angstrom,
            two_j_max,
            charge_cutoff_angstrom,
            dipole_charges_e,
            references,
            n_parameters,
        }
    }
}

#[derive(Serialize)]
pub(super) struct RecordedRecoil {
    #[serde(flatten)]
    pub(super) kick: Kick,
    pub(super) n_atoms: usize,
    /// None where the potential could not follow the recoil to its end.
    pub(super) stored_energy_ev: Option<f64>,
    pub(super) vacancies: usize,
    pub(super) flags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

/// Adds the record to the file and gives back all records of it.
pub(super) fn add(file: &Path, record: &Record) -> Result<Vec<Value>> {
    let text = if file.exists() { read_text(file)? } else { String::new() };
    let mut records = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let parse = || format!("{}, line {}: expected a record in JSON", file.display(), number + 1);
        records.push(serde_json::from_str::<Value>(line).with_context(parse)?);
    }
    let new = serde_json::to_value(record)?;
    match records.iter_mut().find(|r| r["model_hash"] == new["model_hash"]) {
        Some(old) => *old = new,
        None => records.push(new),
    }
    let lines: String = records.iter().map(|r| format!("{r}\n")).collect();
    write_atomically(file, lines.as_bytes())?;
    Ok(records)
}

//! Fitting the potential to labelled configurations: weighted linear least squares with a physical prior.
//!
//! [`TrainingData`] reads the labels; [`stream`] turns them into triangular factors, one per group of related
//! configurations; [`prior`] says what is believed before any data; [`validation`] chooses the strength of the prior
//! and the variant on held-out groups; [`report`] measures the errors; [`calibration`] makes and tests what predicts
//! them elsewhere. [`run`] does all of it.

pub mod calibration;
pub mod factor;
pub mod information;
pub mod isolated;
pub mod learning;
pub mod posterior;
mod prepared;
pub mod prior;
pub mod references;
mod relevance;
pub mod report;
pub mod settings;
pub mod stream;
pub mod training_data;
pub mod validation;

#[cfg(test)]
mod tests;

pub use information::Information;
pub use posterior::Posterior;
pub use report::{ErrorRow, Report, Split, summary};
pub use settings::Settings;
pub use training_data::{Configuration, TrainingData};

use crate::Error;
use crate::checks::{CHECKS_ENTRY, Check, DataDistances, PASSED};
use crate::dataset::CellKind;
use crate::potential::{CommitteeFile, GradeFile, Model};
use crate::progress::Progress;
use calibration::UncertaintyReport;
use prepared::{Prepared, Solution, Uncertainty, Variant};
use report::{GroupRow, OffsetRow, PaperErrors, Prediction, SpeciesOffsetRow, VariantRow, errors, parity_lines};
use std::ops::Range;

/// A fitted model with its errors.
pub struct Fit {
    /// The potential, with its provenance.
    pub model: Model,
    /// Errors, variants, cross-validation. `checks_passed` is false until checks have been made.
    pub report: Report,
    /// Which distances the data hold.
    pub distances: DataDistances,
    /// Lines of parity.csv, without the comment that names data and model.
    pub parity: String,
    /// Sets of coefficients around the model that predict how far it may be off.
    pub committee: CommitteeFile,
    /// What the training data look like.
    pub grade: GradeFile,
    /// Lines of calibration.csv, without the comment that names data and model.
    pub calibration: String,
}

impl Fit {
    /// Writes the verdict of the checks into the report and into the provenance of the model (entry `checks`), so that
    /// whoever has only the model file can tell: see [`crate::checks::failed`].
    pub fn record_checks(&mut self, found: &[Check]) {
        let failed: Vec<String> = found.iter().filter(|c| !c.passed).map(|c| c.name.clone()).collect();
        let verdict = if failed.is_empty() { PASSED.to_owned() } else { format!("failed: {}", failed.join(", ")) };
        self.model.provenance.insert(CHECKS_ENTRY.into(), verdict);
        let hash = self.model.hash();
        self.report.model_hash.clone_from(&hash);
        self.committee.model_hash.clone_from(&hash);
        self.grade.model_hash = hash;
        self.report.checks_passed = failed.is_empty();
        self.report.failed_checks = failed;
    }

    /// Names data and model, for the first line of tables.
    pub fn hashes(&self) -> String {
        format!("data {}, model {}", self.report.data_hash, self.report.model_hash)
    }

    /// Text of calibration.csv.
    pub fn calibration_csv(&self) -> String {
        format!("# {}\n{}", self.hashes(), self.calibration)
    }

    /// Text of parity.csv.
    pub fn parity_csv(&self) -> String {
        format!("# {}\nconfiguration,class,split,quantity,reference,predicted\n{}", self.hashes(), self.parity)
    }
}

/// Fits the model of the settings to the data.
pub fn run(settings: &Settings, data: &TrainingData, progress: &dyn Progress) -> Result<Fit, Error> {
    let n_passes = settings.model.similarity.as_ref().map_or(1, |s| s.passes);
    let mut prepared = Prepared::new(settings, data, progress)?;
    let (mut variants, mut chosen) = prepared.best_variant()?;
    for pass in 1..n_passes {
        let score = variants[chosen].validation.best.score;
        progress.message(&format!("pass {pass} of {n_passes}: held-out score {score:.3}"));
        let before = prepared.model(&variants[chosen], &prepared.solve(&variants[chosen])?);
        // One pass at a time: factors are large.
        drop(prepared);
        prepared = Prepared::after(before, settings, data, progress)?;
        (variants, chosen) = prepared.best_variant()?;
    }
    let variant = &variants[chosen];
    let solution = prepared.solve(variant)?;
    let model = prepared.model(variant, &solution);
    let uncertainty = prepared.uncertainty(variant, &solution, &model)?;
    let Uncertainty { committee, grade, report: uncertainty, table: calibration } = uncertainty;
    let report = prepared.report(&variants, chosen, &solution, &model, uncertainty);
    let parity = parity_lines(data, &prepared.class_names, &solution.trained, Split::Training)
        + &parity_lines(data, &prepared.class_names, &variant.held_out, Split::HeldOut);
    Ok(Fit { model, report, distances: prepared.distances, parity, committee, grade, calibration })
}

impl Prepared<'_> {
    /// All of fit.json, before any checks.
    fn report(
        &self,
        variants: &[Variant],
        chosen: usize,
        solution: &Solution,
        model: &Model,
        uncertainty: UncertaintyReport,
    ) -> Report {
        let (settings, data, variant) = (self.settings, self.data, &variants[chosen]);
        let files = self.file_names();
        let errors_of = |predictions: &[Prediction], split| errors(data, &self.class_names, predictions, split);
        let variant_rows = variants.iter().enumerate().map(|(index, v)| self.variant_row(v, index == chosen));
        Report {
            name: settings.name.clone(),
            data_file: files.join(" "),
            data_files: files,
            data_hash: data.hash.clone(),
            model_hash: model.hash(),
            settings_hash: settings.hash(),
            variant: variant.name().to_owned(),
            n_configurations: data.configurations.len(),
            n_rows: solution.n_rows,
            n_columns: variant.prior.n_parameters(),
            rank: solution.path.rank(),
            condition_number: solution.path.condition_number(variant.strength()),
            prior_strength: variant.strength(),
            errors: [errors_of(&solution.trained, Split::Training), errors_of(&variant.held_out, Split::HeldOut)]
                .concat(),
            variants: variant_rows.collect(),
            // JSON has no other numbers than finite ones.
            cross_validation: variant.validation.scores.iter().filter(|s| s.score.is_finite()).copied().collect(),
            offsets: self.offset_rows(&solution.unknowns),
            species_offsets: self.species_offset_rows(&solution.unknowns),
            groups: self.group_rows(),
            uncertainty,
            paper: PaperErrors::of(data),
            checks_passed: false,
            failed_checks: Vec::new(),
        }
    }

    fn variant_row(&self, variant: &Variant, chosen: bool) -> VariantRow {
        let errors = errors(self.data, &self.class_names, &variant.held_out, Split::HeldOut);
        let total = errors.last().expect("there is always a total");
        VariantRow {
            variant: variant.name().to_owned(),
            n_parameters: variant.prior.n_parameters(),
            prior_strength: variant.strength(),
            score: variant.validation.best.score,
            held_out_energy_rmse_ev_per_atom: total.energy_rmse_ev_per_atom,
            held_out_force_rmse_ev_per_angstrom: total.force_rmse_ev_per_angstrom,
            chosen,
        }
    }

    fn offset_rows(&self, unknowns: &[f64]) -> Vec<OffsetRow> {
        let row = |(kind, k): (usize, &CellKind)| OffsetRow {
            kind: k.name.clone(),
            n_configurations: self.data.configurations.iter().filter(|c| c.kind == kind).count(),
            offset_ev_per_atom: self.unknowns.offset(kind).map_or(0.0, |column| unknowns[column]),
        };
        self.data.kinds.as_slice().iter().enumerate().map(row).collect()
    }

    fn species_offset_rows(&self, unknowns: &[f64]) -> Vec<SpeciesOffsetRow> {
        let mut rows = Vec::new();
        for (origin, made) in self.data.origins.iter().enumerate() {
            let n_configurations = self.data.configurations.iter().filter(|c| c.origin == origin).count();
            for (index, species) in self.settings.model.species.iter().enumerate() {
                rows.extend(self.unknowns.species_offset(origin, index).map(|column| SpeciesOffsetRow {
                    label_settings: made.name(),
                    n_configurations,
                    species: *species,
                    offset_ev: unknowns[column],
                }));
            }
        }
        rows
    }

    fn group_rows(&self) -> Vec<GroupRow> {
        let row = |(index, range): (usize, Range<usize>)| GroupRow {
            group: self.data.groups[index].clone(),
            fold: self.folds[index],
            configurations: self.data.configurations[range].iter().map(|c| c.id.clone()).collect(),
        };
        self.data.group_ranges().into_iter().enumerate().map(row).collect()
    }
}

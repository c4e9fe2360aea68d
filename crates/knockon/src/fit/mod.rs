//! Fitting the potential to labelled configurations: weighted linear least squares with a physical prior.
//!
//! [`Dataset`] reads the labels; [`stream`] turns them into triangular factors, one per group of related
//! configurations; [`prior`] says what is believed before any data; [`validation`] chooses the strength of the prior
//! and the variant on held-out groups; [`report`] measures the errors; [`calibration`] makes and tests what predicts
//! them elsewhere. [`run`] does all of it.

pub mod calibration;
pub mod dataset;
pub mod factor;
pub mod information;
pub mod learning;
pub mod origin;
pub mod posterior;
pub mod prior;
pub mod report;
pub mod settings;
pub mod stream;
pub mod validation;

#[cfg(test)]
mod tests;

pub use dataset::{Configuration, Dataset};
pub use information::Information;
pub use posterior::Posterior;
pub use report::{ErrorRow, Report, Split, summary};
pub use settings::Settings;

use crate::Error;
use crate::checks::{CHECKS_ENTRY, Check, DataDistances, PASSED};
use crate::potential::{CommitteeFile, EXTRAPOLATION_THRESHOLD, GradeFile, Model, Sharing};
use crate::progress::Progress;
use calibration::{Calibration, UncertaintyReport};
use factor::{Factor, Path, expand};
use prior::{Prior, Repulsion};
use report::{GroupRow, OffsetRow, PAPER, SpeciesOffsetRow, VariantRow, errors, model_of, parity_lines, predict};
use stream::Unknowns;
use validation::{Validation, assign_folds, cross_validate, training_factors};

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

/// One variant with its cross-validation.
struct Variant {
    sharing: Sharing,
    prior: Prior,
    validation: Validation,
    held_out: Vec<report::Prediction>,
}

/// Everything that is known before a strength of the prior is chosen: the data as factors, and what the prior needs.
struct Prepared {
    unknowns: Unknowns,
    streamed: stream::Streamed,
    distances: DataDistances,
    repulsion: Repulsion,
    isolated: Factor,
}

impl Prepared {
    fn new(settings: &Settings, data: &Dataset, progress: &dyn Progress) -> Result<Self, Error> {
        let empty = settings.empty_model();
        let unknowns = Unknowns::new(&empty, data);
        let streamed = stream::stream(settings, data, &unknowns, progress)?;
        let boxes = data.configurations.iter().map(|c| &c.atoms);
        let distances = DataDistances::new(&settings.model.species, boxes, empty.cutoff_angstrom());
        let reference = &data.configurations[data.reference].atoms;
        let crystal = DataDistances::new(&settings.model.species, std::iter::once(reference), empty.cutoff_angstrom());
        let repulsion = Repulsion::new(settings, &distances, &crystal);
        let isolated = stream::isolated_pairs(settings, &unknowns, &repulsion)?;
        Ok(Self { unknowns, streamed, distances, repulsion, isolated })
    }

    fn prior(&self, settings: &Settings, data: &Dataset, sharing: Sharing) -> Result<Prior, Error> {
        let energy = reference_energy_ev_per_atom(data);
        Prior::new(settings, &self.unknowns, sharing, &self.streamed.force_rms, energy, &self.repulsion)
    }

    /// The factor of all rows.
    fn whole(&self) -> Factor {
        let mut whole = self.isolated.clone();
        self.streamed.groups.iter().for_each(|g| whole.absorb(g));
        whole.compress();
        whole
    }
}

/// Fits the model of the settings to the data.
pub fn run(settings: &Settings, data: &Dataset, progress: &dyn Progress) -> Result<Fit, Error> {
    let empty = settings.empty_model();
    let prepared = Prepared::new(settings, data, progress)?;
    let Prepared { unknowns, streamed, isolated, .. } = &prepared;
    let sizes: Vec<usize> = data.group_ranges().iter().map(ExactSizeIterator::len).collect();
    let folds = assign_folds(&sizes, settings.cross_validation.folds);
    let training = training_factors(&streamed.groups, &folds, isolated);
    let class_names: Vec<String> = settings.classes.iter().map(|c| c.name.clone()).collect();

    let mut variants = Vec::new();
    for sharing in settings.sharing.variants() {
        let prior = prepared.prior(settings, data, sharing)?;
        let validation =
            cross_validate(&streamed.groups, &sizes, &folds, &training, &prior, &settings.cross_validation)?;
        let held_out = predict(&empty, unknowns, data, &validation.fold_unknowns, |c| folds[c.group])?;
        variants.push(Variant { sharing, prior, validation, held_out });
    }
    let scores = variants.iter().map(|v| v.validation.best.score);
    let chosen = scores.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index);
    let Variant { sharing, prior, validation, held_out } = &variants[chosen];

    let whole = prepared.whole();
    let path = Path::new(&whole, &prior.mean, &prior.basis)?;
    let strength = validation.best.prior_strength;
    let x = expand(&prior.mean, &prior.basis, &path.solve(strength));
    let trained = predict(&empty, unknowns, data, std::slice::from_ref(&x), |_| 0)?;

    let mut model = model_of(&empty, unknowns, &x);
    let files: Vec<String> = settings.data_files.iter().map(|f| file_name(f)).collect();
    model.provenance.insert("program".into(), concat!("knockon ", env!("CARGO_PKG_VERSION")).into());
    model.provenance.insert("data_files".into(), files.join(" "));
    model.provenance.insert("data_hash".into(), data.hash.clone());
    model.provenance.insert("settings_hash".into(), settings.hash());
    model.provenance.insert("variant".into(), variant_name(*sharing).into());
    model.provenance.insert("prior_strength".into(), strength.to_string());

    let deviations: Vec<Vec<f64>> = calibration::draws(&path, prior, strength, 0)
        .into_iter()
        .map(|draw| draw[..unknowns.columns.len()].to_vec())
        .collect();
    let mut committee = CommitteeFile::new(&model, &data.hash, &settings.hash(), &deviations);
    let [mut energy_points, mut force_points] =
        calibration::committee_points(&empty, unknowns, data, &folds, prior, validation, held_out)?;
    let (grade, grade_points) = calibration::grades(&model, data, &folds, held_out)?;
    let uncertainty = UncertaintyReport {
        n_members: calibration::N_MEMBERS,
        energy: Calibration::new(&mut energy_points),
        force: Calibration::new(&mut force_points),
        grade: calibration::grade_report(&grade_points, EXTRAPOLATION_THRESHOLD),
    };
    (committee.energy_scale, committee.force_scale) = (uncertainty.energy.scale, uncertainty.force.scale);
    let points = [
        ("energy_std_ev_per_atom", &energy_points[..]),
        ("force_std_ev_per_angstrom", &force_points[..]),
        ("extrapolation_grade", &grade_points[..]),
    ];
    let calibration = calibration::csv(data, &class_names, points);

    let held_out_errors = |v: &Variant| errors(data, &class_names, &v.held_out, Split::HeldOut);
    let variant_row = |(index, v): (usize, &Variant)| {
        let total = held_out_errors(v).pop().expect("there is always a total");
        VariantRow {
            variant: variant_name(v.sharing).to_owned(),
            n_parameters: v.prior.n_parameters(),
            prior_strength: v.validation.best.prior_strength,
            score: v.validation.best.score,
            held_out_energy_rmse_ev_per_atom: total.energy_rmse_ev_per_atom,
            held_out_force_rmse_ev_per_angstrom: total.force_rmse_ev_per_angstrom,
            chosen: index == chosen,
        }
    };
    let offset = |(kind, k): (usize, &dataset::Kind)| OffsetRow {
        kind: k.name.clone(),
        n_configurations: data.configurations.iter().filter(|c| c.kind == kind).count(),
        offset_ev_per_atom: unknowns.offset(kind).map_or(0.0, |column| x[column]),
    };
    let of = unknowns;
    let species_offsets = (0..data.origins.len()).flat_map(|origin| {
        let species = settings.model.species.iter().enumerate();
        species.filter_map(move |(s, symbol)| Some((origin, symbol, of.species_offset(origin, s)?)))
    });
    let species_offset = |(origin, symbol, column): (usize, &crate::Species, usize)| SpeciesOffsetRow {
        label_settings: data.origins[origin].name(),
        n_configurations: data.configurations.iter().filter(|c| c.origin == origin).count(),
        species: *symbol,
        offset_ev: x[column],
    };
    let species_offsets = species_offsets.map(species_offset).collect();
    let group = |(index, range): (usize, std::ops::Range<usize>)| GroupRow {
        group: data.groups[index].clone(),
        fold: folds[index],
        configurations: data.configurations[range].iter().map(|c| c.id.clone()).collect(),
    };
    let mut all_errors = errors(data, &class_names, &trained, Split::Training);
    all_errors.extend(errors(data, &class_names, held_out, Split::HeldOut));
    let report = Report {
        name: settings.name.clone(),
        data_file: files.join(" "),
        data_files: files,
        data_hash: data.hash.clone(),
        model_hash: model.hash(),
        settings_hash: settings.hash(),
        variant: variant_name(*sharing).to_owned(),
        n_configurations: data.configurations.len(),
        n_rows: whole.n_rows(),
        n_columns: prior.n_parameters(),
        rank: path.rank(),
        condition_number: path.condition_number(strength),
        prior_strength: strength,
        errors: all_errors,
        variants: variants.iter().enumerate().map(variant_row).collect(),
        cross_validation: validation.scores.clone(),
        offsets: data.kinds.iter().enumerate().map(offset).collect(),
        species_offsets,
        groups: data.group_ranges().into_iter().enumerate().map(group).collect(),
        uncertainty,
        paper: PAPER,
        checks_passed: false,
        failed_checks: Vec::new(),
    };
    let parity = parity_lines(data, &class_names, &trained, Split::Training)
        + &parity_lines(data, &class_names, held_out, Split::HeldOut);
    Ok(Fit { model, report, distances: prepared.distances, parity, committee, grade, calibration })
}

fn variant_name(sharing: Sharing) -> &'static str {
    match sharing {
        Sharing::Shared => "shared",
        Sharing::PerSpecies => "per_species",
    }
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// Energy per atom of the reference crystal, or of the first configuration with an energy.
fn reference_energy_ev_per_atom(data: &Dataset) -> f64 {
    let of = |c: &Configuration| c.energy_ev.map(|e| e / c.atoms.len() as f64);
    of(&data.configurations[data.reference]).or_else(|| data.configurations.iter().find_map(of)).unwrap_or(0.0)
}

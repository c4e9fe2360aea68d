//! The steps of a fit, in their order: data as factors and what the prior needs ([`Prepared`]), the variants with their
//! cross-validation ([`Variant`]), the fit to all data ([`Solution`]), what predicts its errors ([`Uncertainty`]).

use super::calibration::{self, Calibration, UncertaintyReport};
use super::factor::{Factor, PriorPath, expand};
use super::isolated;
use super::prior::{Prior, Repulsion};
use super::references;
use super::report::{Prediction, model_of, predict};
use super::settings::Settings;
use super::stream::{self, Streamed, Unknowns};
use super::training_data::{Configuration, TrainingData};
use super::validation::{Validation, assign_folds, cross_validate, training_factors};
use crate::Error;
use crate::checks::DataDistances;
use crate::potential::{Columns, CommitteeFile, EXTRAPOLATION_THRESHOLD, GradeFile, Model, Sharing};
use crate::progress::Progress;

/// Everything that is known before a strength of the prior is chosen: the data as factors, and what the prior needs.
pub(super) struct Prepared<'a> {
    pub(super) settings: &'a Settings,
    pub(super) data: &'a TrainingData,
    /// The model without coefficients.
    pub(super) empty: Model,
    pub(super) unknowns: Unknowns,
    pub(super) streamed: Streamed,
    pub(super) distances: DataDistances,
    repulsion: Repulsion,
    pub(super) isolated: Factor,
    /// Number of configurations of each group.
    pub(super) sizes: Vec<usize>,
    /// Fold in which each group is held out.
    pub(super) folds: Vec<usize>,
    pub(super) class_names: Vec<String>,
}

/// One variant with its cross-validation.
pub(super) struct Variant {
    pub(super) sharing: Sharing,
    pub(super) prior: Prior,
    pub(super) validation: Validation,
    pub(super) held_out: Vec<Prediction>,
}

impl Variant {
    pub(super) fn name(&self) -> &'static str {
        variant_name(self.sharing)
    }

    /// Strength of the prior that predicts held-out groups best.
    pub(super) fn strength(&self) -> f64 {
        self.validation.best.prior_strength
    }
}

/// A variant fitted to all data.
pub(super) struct Solution {
    pub(super) n_rows: usize,
    pub(super) path: PriorPath,
    /// Value of each unknown.
    pub(super) unknowns: Vec<f64>,
    pub(super) trained: Vec<Prediction>,
}

/// What predicts the errors of a model, and whether it does on held-out data.
pub(super) struct Uncertainty {
    pub(super) committee: CommitteeFile,
    pub(super) grade: GradeFile,
    pub(super) report: UncertaintyReport,
    /// Lines of calibration.csv.
    pub(super) table: String,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(settings: &'a Settings, data: &'a TrainingData, progress: &dyn Progress) -> Result<Self, Error> {
        Self::after(settings.empty_model(), settings, data, progress)
    }

    /// The same with references that are chosen by what energies of the fit before depend on.
    pub(super) fn after(
        before: Model,
        settings: &'a Settings,
        data: &'a TrainingData,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        Self::of(references::with_references(before, settings, data)?, settings, data, progress)
    }

    /// The same with the structure, and so the references, of a model that these settings and data made.
    pub(super) fn of(
        model: Model,
        settings: &'a Settings,
        data: &'a TrainingData,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let columns = Columns::new(&model, Sharing::PerSpecies);
        let empty = model.with_coefficients(&columns, &vec![0.0; columns.len()]);
        let unknowns = Unknowns::new(&empty, data);
        let streamed = stream::stream(settings, &empty, data, &unknowns, progress)?;
        let boxes = data.configurations.iter().map(|c| &c.atoms);
        let distances = DataDistances::new(&settings.model.species, boxes, empty.cutoff_angstrom());
        let reference = &data.configurations[data.reference].atoms;
        let crystal =
            DataDistances::new(&settings.model.species, std::iter::once(reference), empty.bond_cutoff_angstrom());
        let repulsion = Repulsion::new(settings, &distances, &crystal);
        let isolated = isolated::isolated_atoms(settings, &empty, &unknowns, &repulsion)?;
        let sizes: Vec<usize> = data.group_ranges().iter().map(ExactSizeIterator::len).collect();
        let folds = assign_folds(&sizes, settings.cross_validation.folds);
        let class_names = settings.classes.iter().map(|c| c.name.clone()).collect();
        Ok(Self {
            settings,
            data,
            empty,
            unknowns,
            streamed,
            distances,
            repulsion,
            isolated,
            sizes,
            folds,
            class_names,
        })
    }

    pub(super) fn prior(&self, sharing: Sharing) -> Result<Prior, Error> {
        let energy = reference_energy_ev_per_atom(self.data);
        Prior::new(
            self.settings,
            &self.empty,
            &self.unknowns,
            sharing,
            &self.streamed.force_rms,
            energy,
            &self.repulsion,
        )
    }

    /// The factor of all rows.
    pub(super) fn whole(&self) -> Factor {
        let mut whole = self.isolated.clone();
        self.streamed.groups.iter().for_each(|g| whole.absorb(g));
        whole.compress();
        whole
    }

    /// Predicts every configuration with the one of `fits` that belongs to its fold.
    pub(super) fn predict_held_out(&self, fits: &[Vec<f64>]) -> Result<Vec<Prediction>, Error> {
        let folds = &self.folds;
        predict(&self.empty, &self.unknowns, self.data, fits, |c| folds[c.group])
    }

    /// The variants that the settings name, each with the strength of its prior that predicts held-out groups best.
    pub(super) fn variants(&self) -> Result<Vec<Variant>, Error> {
        let (groups, settings) = (&self.streamed.groups, &self.settings.cross_validation);
        let training = training_factors(groups, &self.folds, &self.isolated);
        let variant = |sharing: Sharing| -> Result<Variant, Error> {
            let prior = self.prior(sharing)?;
            let validation = cross_validate(groups, &self.sizes, &self.folds, &training, &prior, settings)?;
            let held_out = self.predict_held_out(&validation.fold_unknowns)?;
            Ok(Variant { sharing, prior, validation, held_out })
        };
        self.settings.sharing.variants().into_iter().map(variant).collect()
    }

    /// All variants, and which of them predicts held-out groups best.
    pub(super) fn best_variant(&self) -> Result<(Vec<Variant>, usize), Error> {
        let variants = self.variants()?;
        let scores = variants.iter().map(|v| v.validation.best.score);
        let best = scores.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index);
        Ok((variants, best))
    }

    /// Fits a variant to all data.
    pub(super) fn solve(&self, variant: &Variant) -> Result<Solution, Error> {
        let (whole, prior) = (self.whole(), &variant.prior);
        let path = prior.decompose(&whole)?;
        let unknowns = expand(&prior.mean, &prior.basis, &path.solve(variant.strength()));
        let trained = predict(&self.empty, &self.unknowns, self.data, std::slice::from_ref(&unknowns), |_| 0)?;
        Ok(Solution { n_rows: whole.n_rows(), path, unknowns, trained })
    }

    /// The model of a solution, with what says where it comes from.
    pub(super) fn model(&self, variant: &Variant, solution: &Solution) -> Model {
        let mut model = model_of(&self.empty, &self.unknowns, &solution.unknowns);
        let entries = [
            ("program", concat!("knockon ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("data_files", self.file_names().join(" ")),
            ("data_hash", self.data.hash.clone()),
            ("settings_hash", self.settings.hash()),
            ("variant", variant.name().to_owned()),
            ("prior_strength", variant.strength().to_string()),
        ];
        model.provenance.extend(entries.map(|(key, value)| (key.to_owned(), value)));
        model
    }

    /// Names of the files of the data.
    pub(super) fn file_names(&self) -> Vec<String> {
        let name = |path: &std::path::Path| {
            path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned())
        };
        self.settings.data_files.iter().map(|path| name(path)).collect()
    }

    /// Committee and grades of the model of a solution, tested on held-out data.
    pub(super) fn uncertainty(
        &self,
        variant: &Variant,
        solution: &Solution,
        model: &Model,
    ) -> Result<Uncertainty, Error> {
        let (data, unknowns, folds) = (self.data, &self.unknowns, &self.folds);
        let Variant { prior, validation, held_out, .. } = variant;
        let draws = calibration::draws(&solution.path, prior, variant.strength(), 0);
        let n_coefficients = unknowns.columns.len();
        let deviations: Vec<Vec<f64>> = draws.into_iter().map(|draw| draw[..n_coefficients].to_vec()).collect();
        let mut committee = CommitteeFile::new(model, &data.hash, &self.settings.hash(), &deviations);
        let [mut energy_points, mut force_points] =
            calibration::committee_points(&self.empty, unknowns, data, folds, prior, validation, held_out)?;
        let (grade, grade_points) = calibration::grades(model, data, folds, held_out)?;
        let report = UncertaintyReport {
            n_members: calibration::N_MEMBERS,
            energy: Calibration::new(&mut energy_points),
            force: Calibration::new(&mut force_points),
            grade: calibration::grade_report(&grade_points, EXTRAPOLATION_THRESHOLD),
        };
        (committee.energy_scale, committee.force_scale) = (report.energy.scale, report.force.scale);
        let points = [
            ("energy_std_ev_per_atom", &energy_points[..]),
            ("force_std_ev_per_angstrom", &force_points[..]),
            ("extrapolation_grade", &grade_points[..]),
        ];
        let table = calibration::csv(data, &self.class_names, points);
        Ok(Uncertainty { committee, grade, report, table })
    }
}

pub(super) fn variant_name(sharing: Sharing) -> &'static str {
    match sharing {
        Sharing::Shared => "shared",
        Sharing::PerSpecies => "per_species",
    }
}

/// Energy per atom of the reference crystal, or of the first configuration with an energy.
fn reference_energy_ev_per_atom(data: &TrainingData) -> f64 {
    let of = |c: &Configuration| c.energy_ev.map(|e| e / c.atoms.len() as f64);
    of(&data.configurations[data.reference]).or_else(|| data.configurations.iter().find_map(of)).unwrap_or(0.0)
}

//! What a fit is worth: errors by class on training and held-out data, and the files that say so.

use super::calibration::UncertaintyReport;
use super::stream::Unknowns;
use super::training_data::{Configuration, TrainingData};
use super::validation::Score;
use crate::io::csv_field;
use crate::potential::{LinearPotential, Model};
use crate::{Error, Evaluation, Potential, Species};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Mean absolute errors published for the potential of the paper (arXiv 2407.00133): energy per box, and force.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PaperErrors {
    /// Energy per box in eV.
    pub energy_mae_ev: f64,
    /// Force in eV/angstrom.
    pub force_mae_ev_per_angstrom: f64,
}

/// The paper's numbers, on its own 348 training configurations.
pub const PAPER: PaperErrors = PaperErrors { energy_mae_ev: 0.474, force_mae_ev_per_angstrom: 0.131 };

impl PaperErrors {
    /// Of data with calcium, tungsten and oxygen and nothing else; None for others, with which the paper has nothing to do.
    pub fn of(data: &TrainingData) -> Option<Self> {
        let species = data.configurations.iter().flat_map(|c| &c.atoms.species);
        let found: BTreeSet<&str> = species.map(|species| species.symbol()).collect();
        (found == BTreeSet::from(["Ca", "O", "W"])).then_some(PAPER)
    }
}

/// Whether the configurations were part of the fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Predicted by the fit to all data.
    Training,
    /// Each configuration predicted by a fit that has not seen its group.
    HeldOut,
}

impl Split {
    /// As it stands in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::HeldOut => "held_out",
        }
    }
}

/// What a model says about one configuration.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// Energy in eV, with the offsets of the kind of cell and of the settings of the label.
    pub energy_ev: f64,
    /// The model's energy, forces and strain derivative.
    pub evaluation: Evaluation,
}

/// Predicts configurations with the unknowns of a fit; `unknowns_of` gives those for the index of a configuration.
pub fn predict(
    empty: &Model,
    unknowns: &Unknowns,
    data: &TrainingData,
    fits: &[Vec<f64>],
    fit_of: impl Fn(&Configuration) -> usize + Sync,
) -> Result<Vec<Prediction>, Error> {
    let potentials = fits.par_iter().map(|x| LinearPotential::new(&model_of(empty, unknowns, x)));
    let potentials: Vec<LinearPotential> = potentials.collect::<Result<_, _>>()?;
    let one = |c: &Configuration| {
        let fit = fit_of(c);
        let neighbors = potentials[fit].neighbor_list(&c.atoms, 0.0);
        let mut evaluation = Evaluation::default();
        potentials[fit].evaluate(&c.atoms, &neighbors, &mut evaluation)?;
        let offset: f64 = unknowns.offset_terms(c).iter().map(|(k, count)| count * fits[fit][*k]).sum();
        Ok(Prediction { energy_ev: evaluation.energy_ev() + offset, evaluation })
    };
    data.configurations.par_iter().map(one).collect()
}

/// The model with the coefficients of a fit.
pub fn model_of(empty: &Model, unknowns: &Unknowns, x: &[f64]) -> Model {
    empty.with_coefficients(&unknowns.columns, &x[..unknowns.columns.len()])
}

/// Errors of one class on one split.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorRow {
    /// Training or held out.
    pub split: Split,
    /// Class, or `all`.
    pub class: String,
    /// Number of configurations.
    pub n_configurations: usize,
    /// Mean absolute error of the energy of a box; none without energies, and so on.
    pub energy_mae_ev_per_box: Option<f64>,
    /// Root-mean-square error of the energy of a box.
    pub energy_rmse_ev_per_box: Option<f64>,
    /// Mean absolute error of the energy per atom.
    pub energy_mae_ev_per_atom: Option<f64>,
    /// Root-mean-square error of the energy per atom.
    pub energy_rmse_ev_per_atom: Option<f64>,
    /// Mean absolute error of a force component.
    pub force_mae_ev_per_angstrom: Option<f64>,
    /// Root-mean-square error of a force component.
    pub force_rmse_ev_per_angstrom: Option<f64>,
    /// Mean absolute error of a stress component.
    pub stress_mae_ev_per_angstrom3: Option<f64>,
    /// Root-mean-square error of a stress component.
    pub stress_rmse_ev_per_angstrom3: Option<f64>,
}

#[derive(Default)]
struct Mean {
    n: usize,
    absolute: f64,
    square: f64,
}

impl Mean {
    fn add(&mut self, error: f64) {
        self.n += 1;
        self.absolute += error.abs();
        self.square += error * error;
    }

    fn mae(&self) -> Option<f64> {
        (self.n > 0).then(|| self.absolute / self.n as f64)
    }

    fn rmse(&self) -> Option<f64> {
        (self.n > 0).then(|| (self.square / self.n as f64).sqrt())
    }
}

/// Errors by class, the total last.
pub fn errors(data: &TrainingData, class_names: &[String], predictions: &[Prediction], split: Split) -> Vec<ErrorRow> {
    let row = |class: Option<usize>| {
        let (mut box_energy, mut atom_energy, mut force, mut stress) =
            (Mean::default(), Mean::default(), Mean::default(), Mean::default());
        let mut n_configurations = 0;
        for (c, p) in data.configurations.iter().zip(predictions) {
            if class.is_some_and(|class| class != c.class) {
                continue;
            }
            n_configurations += 1;
            if let Some(energy) = c.energy_ev {
                box_energy.add(p.energy_ev - energy);
                atom_energy.add((p.energy_ev - energy) / c.atoms.len() as f64);
            }
            for (found, expected) in p.evaluation.forces.iter().zip(c.forces.iter().flatten()) {
                (*found - *expected).to_array().into_iter().for_each(|e| force.add(e));
            }
            let predicted = p.evaluation.stress(c.atoms.cell.volume_angstrom3());
            for (found, expected) in predicted.iter().zip(c.stress.iter().flatten()) {
                stress.add(found - expected);
            }
        }
        ErrorRow {
            split,
            class: class.map_or("all".to_owned(), |c| class_names[c].clone()),
            n_configurations,
            energy_mae_ev_per_box: box_energy.mae(),
            energy_rmse_ev_per_box: box_energy.rmse(),
            energy_mae_ev_per_atom: atom_energy.mae(),
            energy_rmse_ev_per_atom: atom_energy.rmse(),
            force_mae_ev_per_angstrom: force.mae(),
            force_rmse_ev_per_angstrom: force.rmse(),
            stress_mae_ev_per_angstrom3: stress.mae(),
            stress_rmse_ev_per_angstrom3: stress.rmse(),
        }
    };
    let mut rows: Vec<ErrorRow> = (0..class_names.len()).map(|c| row(Some(c))).collect();
    rows.retain(|r| r.n_configurations > 0);
    rows.push(row(None));
    rows
}

/// Lines of parity.csv without its header.
pub fn parity_lines(data: &TrainingData, class_names: &[String], predictions: &[Prediction], split: Split) -> String {
    let mut text = String::new();
    for (c, p) in data.configurations.iter().zip(predictions) {
        let start = format!("{},{},{}", csv_field(&c.id), csv_field(&class_names[c.class]), split.name());
        if let Some(energy) = c.energy_ev {
            let n = c.atoms.len() as f64;
            let _ = writeln!(text, "{start},energy_ev_per_atom,{:.6},{:.6}", energy / n, p.energy_ev / n);
        }
        for (found, expected) in p.evaluation.forces.iter().zip(c.forces.iter().flatten()) {
            for axis in 0..3 {
                let _ = writeln!(text, "{start},force_ev_per_angstrom,{:.4},{:.4}", expected[axis], found[axis]);
            }
        }
        let predicted = p.evaluation.stress(c.atoms.cell.volume_angstrom3());
        for (found, expected) in predicted.iter().zip(c.stress.iter().flatten()) {
            let _ = writeln!(text, "{start},stress_ev_per_angstrom3,{expected:.6},{found:.6}");
        }
    }
    text
}

/// One variant of the fit, on held-out data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VariantRow {
    /// `shared` or `per_species`.
    pub variant: String,
    /// Number of free parameters.
    pub n_parameters: usize,
    /// Strength of the prior that predicts best.
    pub prior_strength: f64,
    /// Its score; see [`Score`].
    pub score: f64,
    /// Energy error per atom; none without energies.
    pub held_out_energy_rmse_ev_per_atom: Option<f64>,
    /// Error of force components; none without forces.
    pub held_out_force_rmse_ev_per_angstrom: Option<f64>,
    /// True for the variant that was kept.
    pub chosen: bool,
}

/// The offset of one kind of cell.
#[derive(Clone, Debug, Serialize)]
pub struct OffsetRow {
    /// Kind of cell.
    pub kind: String,
    /// Configurations of this kind.
    pub n_configurations: usize,
    /// Energy of the labels relative to the reference kind, per atom.
    pub offset_ev_per_atom: f64,
}

/// The constant by which labels of other settings than those of the reference differ, for one species.
#[derive(Clone, Debug, Serialize)]
pub struct SpeciesOffsetRow {
    /// How these labels were made.
    pub label_settings: String,
    /// How many there are.
    pub n_configurations: usize,
    /// The species.
    pub species: Species,
    /// Energy per atom of this species relative to labels of the reference's settings. With one composition in the
    /// data only the sum over a formula unit means something.
    pub offset_ev: f64,
}

/// Everything in fit.json.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the model.
    pub name: String,
    /// Files of the data.
    pub data_files: Vec<String>,
    /// The files as one word, for captions.
    pub data_file: String,
    /// Hash of the data.
    pub data_hash: String,
    /// Hash of the model file.
    pub model_hash: String,
    /// Hash of the settings.
    pub settings_hash: String,
    /// `shared` or `per_species`.
    pub variant: String,
    /// Number of configurations.
    pub n_configurations: usize,
    /// Rows of the least-squares problem.
    pub n_rows: usize,
    /// Free parameters of the chosen variant.
    pub n_columns: usize,
    /// Directions that the data alone determine.
    pub rank: usize,
    /// Of data and prior together.
    pub condition_number: f64,
    /// Strength of the prior of the final fit.
    pub prior_strength: f64,
    /// Errors by split and class.
    pub errors: Vec<ErrorRow>,
    /// All variants.
    pub variants: Vec<VariantRow>,
    /// Scores of the strengths tried, for the chosen variant.
    pub cross_validation: Vec<Score>,
    /// Energy offsets of kinds of cell.
    pub offsets: Vec<OffsetRow>,
    /// Constants per species between labels of different settings; empty if all labels have the same.
    pub species_offsets: Vec<SpeciesOffsetRow>,
    /// Groups of related configurations and the fold in which each was held out.
    pub groups: Vec<GroupRow>,
    /// Whether committee and extrapolation grade tell held-out errors.
    pub uncertainty: UncertaintyReport,
    /// The paper's errors, for comparison where the data are of its crystal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paper: Option<PaperErrors>,
    /// True if the potential has passed everything that a cascade needs. `knockon reproduce` stops before its cascades where
    /// it is false, unless told `--accept-failing-potential`.
    pub checks_passed: bool,
    /// Names of the checks that failed.
    pub failed_checks: Vec<String>,
}

/// A group of related configurations.
#[derive(Clone, Debug, Serialize)]
pub struct GroupRow {
    /// Class and distinguishing keys.
    pub group: String,
    /// Fold in which it was held out.
    pub fold: usize,
    /// Its configurations.
    pub configurations: Vec<String>,
}

/// An error in another unit, or a dash where there are no labels.
fn cell(error: Option<f64>, unit: f64, digits: usize) -> String {
    error.map_or_else(|| "-".to_owned(), |error| format!("{:.digits$}", unit * error))
}

/// The tables of a report as text for a terminal.
pub fn summary(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} configurations, {} rows, {} parameters ({}), rank of the data {}, condition number {:.1e}, prior strength {}",
        report.n_configurations,
        report.n_rows,
        report.n_columns,
        report.variant,
        report.rank,
        report.condition_number,
        report.prior_strength
    );
    let tried = || report.cross_validation.iter().map(|score| score.prior_strength);
    let (least, most) = (tried().fold(f64::INFINITY, f64::min), tried().fold(0.0, f64::max));
    for (end, which, more) in [(least, "smallest", "smaller"), (most, "largest", "larger")] {
        if least < most && report.prior_strength == end {
            let _ = writeln!(
                text,
                "this prior strength is the {which} of those tried: add {more} ones to strengths of [cross_validation]"
            );
        }
    }
    for v in &report.variants {
        let mark = if v.chosen { "*" } else { " " };
        let _ = writeln!(
            text,
            "{mark} {:12} held-out score {:.3}, energy RMSE {} meV/atom, force RMSE {} eV/A, prior strength {}",
            v.variant,
            v.score,
            cell(v.held_out_energy_rmse_ev_per_atom, 1000.0, 1),
            cell(v.held_out_force_rmse_ev_per_angstrom, 1.0, 3),
            v.prior_strength
        );
    }
    text.push_str(&errors_table(report));
    for row in &report.species_offsets {
        let _ = writeln!(
            text,
            "offset of {} labels ({}): {} {:+.4} eV per atom",
            row.n_configurations, row.label_settings, row.species, row.offset_ev
        );
    }
    text.push_str(&uncertainty_summary(&report.uncertainty));
    text
}

/// Errors by split and class, and the paper's.
fn errors_table(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{:9} {:12} {:>4}  {:>8} {:>8}  {:>8} {:>8}  {:>7} {:>7}  {:>7} {:>7}",
        "split", "class", "n", "E MAE", "E RMSE", "E MAE", "E RMSE", "F MAE", "F RMSE", "S MAE", "S RMSE"
    );
    let _ = writeln!(
        text,
        "{:9} {:12} {:>4}  {:>17}  {:>17}  {:>15}  {:>15}",
        "", "", "", "eV per box", "meV per atom", "eV/A", "GPa"
    );
    for r in &report.errors {
        let gpa = |stress: Option<f64>| cell(stress, crate::units::EV_PER_ANGSTROM3_IN_GPA, 2);
        let _ = writeln!(
            text,
            "{:9} {:12} {:>4}  {:>8} {:>8}  {:>8} {:>8}  {:>7} {:>7}  {:>7} {:>7}",
            r.split.name(),
            r.class,
            r.n_configurations,
            cell(r.energy_mae_ev_per_box, 1.0, 3),
            cell(r.energy_rmse_ev_per_box, 1.0, 3),
            cell(r.energy_mae_ev_per_atom, 1000.0, 1),
            cell(r.energy_rmse_ev_per_atom, 1000.0, 1),
            cell(r.force_mae_ev_per_angstrom, 1.0, 3),
            cell(r.force_rmse_ev_per_angstrom, 1.0, 3),
            gpa(r.stress_mae_ev_per_angstrom3),
            gpa(r.stress_rmse_ev_per_angstrom3)
        );
    }
    if let Some(paper) = &report.paper {
        let _ = writeln!(
            text,
            "paper     (its own 348)      {:>8.3}                              {:>7.3}",
            paper.energy_mae_ev, paper.force_mae_ev_per_angstrom
        );
    }
    text
}

/// Whether committee and grade tell held-out errors, in three lines.
fn uncertainty_summary(u: &UncertaintyReport) -> String {
    let mut text = String::new();
    for (name, c) in [("energy", &u.energy), ("force", &u.force)] {
        let [low, high] = c.scale_range;
        let _ = writeln!(
            text,
            "committee {name:6} spread times {:.2} ({low:.2} to {high:.2}); rank correlation with held-out errors {:.2}, \
             error over prediction {:.2}",
            c.scale, c.rank_correlation, c.error_to_prediction
        );
    }
    let rms = |bin: &Option<super::calibration::Bin>| bin.map_or(f64::NAN, |b| b.error_rms);
    let _ = writeln!(
        text,
        "extrapolation grade     rank correlation with held-out force errors {:.2}; force RMSE {:.2} eV/A below {}, {:.2} from there",
        u.grade.rank_correlation,
        rms(&u.grade.below),
        u.grade.threshold,
        rms(&u.grade.above)
    );
    text
}

//! `knockon evaluate`.

use super::data::{LabelArguments, push_aligned};
use super::outputs::refuse_overwriting;
use crate::progress::{Bar, say};
use anyhow::{Context, Result};
use glam::DVec3;
use knockon::dataset::DataSet;
use knockon::io::labels::{is_of_model, remove_label, stamp_model};
use knockon::io::{Column, Frame, LabelKeys, write_extxyz};
use knockon::potential::{Committee, CommitteeFile, Extrapolation, GradeFile, LinearPotential, Model};
use knockon::progress::Progress;
use knockon::{Evaluation, Potential};
use std::path::{Path, PathBuf};

/// Arguments of `knockon evaluate`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  knockon evaluate data/cawo4/cawo4.model data/cawo4/cawo4_pbe.xyz -o evaluated.xyz\n\n\
    OUTPUT holds energy (eV), forces (eV/A), stress (eV/A^3, positive in tension; boxes that repeat in all directions)\n\
    and the energy of each atom (column energies, eV). Labels of INPUT are kept as label_energy, label_forces and\n\
    label_stress, and the deviations from them are shown; energies of first-principles codes have zeros of their own.\n\
    Where a model computed those of INPUT, the labels are what it has under these names already.\n\
    What says how they were computed does not stay: code and xc name the model.\n\
    With --committee there is energy_std (eV, of the box) and a column force_std (eV/A, of a force component); with --grade\n\
    max_grade and a column grade: from 2 on an environment lies outside of the training data."
)]
pub(crate) struct Arguments {
    /// The model file, made by knockon fit or knockon import.
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Configurations: extended XYZ, or one as POSCAR or LAMMPS data.
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    /// The extended XYZ file to write.
    #[arg(short, long, value_name = "OUTPUT")]
    output: PathBuf,
    /// Standard deviations of energy and forces, from the committee of the model (made by knockon fit).
    #[arg(long, value_name = "FILE")]
    committee: Option<PathBuf>,
    /// How far each atom's environment lies outside of the training data, from the grades of the model (made by knockon
    /// fit).
    #[arg(long, value_name = "FILE")]
    grade: Option<PathBuf>,
    #[command(flatten)]
    labels: LabelArguments,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let models = [Some(&arguments.model), arguments.committee.as_ref(), arguments.grade.as_ref()];
    refuse_overwriting(&models.into_iter().flatten().collect::<Vec<_>>(), &arguments.output)?;
    let model = Model::load(&arguments.model)?;
    let potential = LinearPotential::new(&model)?;
    let committee = arguments.committee.as_ref().map(|path| load_committee(&model, path)).transpose()?;
    let extrapolation = arguments.grade.as_ref().map(|path| load_grades(&model, path)).transpose()?;
    let keys = arguments.labels.keys();
    let data = DataSet::load(std::slice::from_ref(&arguments.input), &keys)?;
    let bar = Bar::new("evaluating");
    let hash = model.hash();
    let mut frames = Vec::with_capacity(data.frames.len());
    let mut evaluation = Evaluation::default();
    let mut deviations = Deviations::default();
    for (index, frame) in data.frames.iter().enumerate() {
        let place = || format!("configuration {} ({}) of {}", index + 1, data.names[index], arguments.input.display());
        let neighbors = potential.neighbor_list(&frame.atoms, 0.0);
        let shortest = neighbors.shortest_distance_angstrom(&frame.atoms);
        if shortest < CLOSE_ANGSTROM {
            bar.message(&format!("{}: atoms {shortest:.3} A apart. Are these angstrom?", place()));
        }
        potential.evaluate(&frame.atoms, &neighbors, &mut evaluation).with_context(place)?;
        let label = label(frame, &keys);
        let mut evaluated = evaluated(frame, &label, &evaluation, &hash);
        if let Some(committee) = &committee {
            let found = committee.evaluate(&frame.atoms, &neighbors, &mut evaluation).with_context(place)?;
            evaluated.info.set("energy_std", format!("{:?}", found.energy_std_ev));
            set_column(&mut evaluated, "force_std", &found.force_std_by_atom());
        }
        if let Some(extrapolation) = &extrapolation {
            let mut grades = extrapolation.grades(&frame.atoms, &neighbors).with_context(place)?;
            // Files hold finite numbers: an element without training data is infinitely far.
            grades.iter_mut().for_each(|grade| *grade = grade.min(f64::MAX));
            evaluated.info.set("max_grade", format!("{:?}", grades.iter().copied().fold(0.0, f64::max)));
            set_column(&mut evaluated, "grade", &grades);
        }
        deviations.add(&label, &evaluated);
        frames.push(evaluated);
        bar.update(index as u64 + 1, data.frames.len() as u64);
    }
    write_extxyz(&arguments.output, &frames)?;
    drop(bar);
    out!("{}", deviations.table());
    say(&format!("{}: {} configurations, model {hash}, data {}", arguments.output.display(), frames.len(), data.hash));
    Ok(())
}

/// No bond is shorter, but for that of hydrogen.
const CLOSE_ANGSTROM: f64 = 0.7;

fn load_committee(model: &Model, path: &Path) -> Result<Committee> {
    Ok(Committee::new(model, &CommitteeFile::load(path)?, &path.display().to_string())?)
}

/// The extrapolation grades in a file, which must belong to the model.
pub(crate) fn load_grades(model: &Model, path: &Path) -> Result<Extrapolation> {
    Ok(Extrapolation::new(model, GradeFile::load(path)?, &path.display().to_string())?)
}

fn set_column(frame: &mut Frame, name: &str, values: &[f64]) {
    frame.columns.retain(|c| c.name != name);
    frame.columns.push(Column::reals(name, values));
}

/// Names under which labels are kept.
const LABEL_ENERGY: &str = "label_energy";
const LABEL_FORCES: &str = "label_forces";
const LABEL_STRESS: &str = "label_stress";

/// What the model is compared with: the labels of the configuration or, where an earlier model took their place, those that were
/// kept then. What the user named is a label in any case.
fn label(frame: &Frame, keys: &LabelKeys) -> Frame {
    let is_label = |key: &Option<String>| key.is_some() || !is_of_model(frame);
    let mut label = Frame::new(frame.atoms.clone());
    label.energy_ev = if is_label(&keys.energy) { frame.energy_ev } else { frame.info.number(LABEL_ENERGY) };
    label.forces = if is_label(&keys.forces) { frame.forces.clone() } else { kept_forces(frame) };
    label.stress = if is_label(&keys.stress) { frame.stress } else { kept_stress(frame) };
    label
}

fn kept_forces(frame: &Frame) -> Option<Vec<DVec3>> {
    let column = frame.column(LABEL_FORCES).filter(|c| c.width == 3)?;
    let numbers = finite(column.words.iter().map(String::as_str))?;
    Some(numbers.chunks_exact(3).map(DVec3::from_slice).collect())
}

fn kept_stress(frame: &Frame) -> Option<[f64; 6]> {
    finite(frame.info.words(LABEL_STRESS)?.into_iter())?.try_into().ok()
}

/// All of them, if all are finite numbers.
fn finite<'a>(words: impl Iterator<Item = &'a str>) -> Option<Vec<f64>> {
    words.map(|word| word.parse().ok().filter(|x: &f64| x.is_finite())).collect()
}

/// The configuration with the model's results in place of its labels, which are kept under other names.
fn evaluated(frame: &Frame, label: &Frame, evaluation: &Evaluation, model_hash: &str) -> Frame {
    let mut result = frame.clone();
    remove_label(&mut result);
    stamp_model(&mut result, model_hash);
    result.columns.retain(|c| c.name != LABEL_FORCES || label.forces.is_none());
    if let Some(energy) = label.energy_ev {
        result.info.set(LABEL_ENERGY, format!("{energy:?}"));
    }
    if let Some(stress) = label.stress {
        result.info.set(LABEL_STRESS, stress.map(|s| format!("{s:?}")).join(" "));
    }
    if let Some(forces) = &label.forces {
        result.columns.push(Column::vectors(LABEL_FORCES, forces));
    }
    result.energy_ev = Some(evaluation.energy_ev());
    result.forces = Some(evaluation.forces.clone());
    let cell = &frame.atoms.cell;
    result.stress = cell.periodic.all().then(|| evaluation.stress(cell.volume_angstrom3()));
    result.columns.push(Column::reals("energies", &evaluation.energies_ev));
    result
}

/// Sums over the numbers of one kind that have labels.
#[derive(Default)]
struct Sums {
    count: usize,
    absolute: f64,
    squares: f64,
    largest: f64,
}

impl Sums {
    fn add(&mut self, deviation: f64) {
        self.count += 1;
        self.absolute += deviation.abs();
        self.squares += deviation * deviation;
        self.largest = self.largest.max(deviation.abs());
    }
}

#[derive(Default)]
struct Deviations {
    energy_per_atom: Sums,
    force: Sums,
    stress: Sums,
}

impl Deviations {
    fn add(&mut self, label: &Frame, model: &Frame) {
        if let (Some(label_energy), Some(energy)) = (label.energy_ev, model.energy_ev) {
            self.energy_per_atom.add((energy - label_energy) / label.atoms.len() as f64);
        }
        for (a, b) in label.forces.iter().flatten().zip(model.forces.iter().flatten()) {
            (*b - *a).to_array().into_iter().for_each(|d| self.force.add(d));
        }
        if let (Some(a), Some(b)) = (label.stress, model.stress) {
            a.iter().zip(b).for_each(|(a, b)| self.stress.add(b - a));
        }
    }

    /// Empty if there are no labels.
    fn table(&self) -> String {
        let mut rows = vec![
            ["deviation from labels", "unit", "number", "mean absolute", "root mean square", "largest"]
                .map(str::to_owned),
        ];
        let kinds = [
            ("energy", "eV/atom", &self.energy_per_atom),
            ("force component", "eV/A", &self.force),
            ("stress component", "eV/A^3", &self.stress),
        ];
        for (name, unit, sums) in kinds.into_iter().filter(|k| k.2.count > 0) {
            let n = sums.count as f64;
            let numbers = [sums.absolute / n, (sums.squares / n).sqrt(), sums.largest].map(|x| format!("{x:.6}"));
            let [mean, rms, largest] = numbers;
            rows.push([name.to_owned(), unit.to_owned(), sums.count.to_string(), mean, rms, largest]);
        }
        let mut text = String::new();
        if rows.len() > 1 {
            push_aligned(&mut text, &rows);
        }
        if self.energy_per_atom.count > 0 {
            text.push_str(
                "Energies as they are: constants between kinds of cells (k-points), which knockon fit takes out, are in it.\n",
            );
        }
        text
    }
}

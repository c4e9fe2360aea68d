//! `knockon relax`.

use super::label::calculator::{Forces, ForcesArguments};
use super::outputs::refuse_overwriting;
use crate::progress::Bar;
use anyhow::Result;
use knockon::dynamics::{QuenchSettings, Quenched, Simulation, quench_guided, quench_others, relax_cell};
use knockon::io::labels::remove_label;
use knockon::io::{Column, Frame, Info, read_structures, write_extxyz};
use knockon::potential::{LinearPotential, Model};
use knockon::progress::Progress;
use knockon::units::EV_PER_ANGSTROM3_IN_GPA;
use knockon::{Atoms, Error, Potential, Species};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Arguments of `knockon relax`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  knockon relax pair.xyz --model data/cawo4/cawo4.model -o relaxed.xyz\n\n\
    With a calculator, every evaluation is kept beside OUTPUT and becomes a label (of relaxed.xyz in relaxed.evaluations.xyz),\n\
    with the keys of what it is a step of, whose id it has as parent; the same command started again looks up what was\n\
    computed and goes on. Ask no more of --max-force than its forces are converged to.\n\
    What could not be relaxed is in OUTPUT with converged=F, at the lowest point reached; the exit status is 2 then. max_force is\n\
    the largest force left on an atom that may move. Atoms stay where they are whose flags say so: F in a column move_mask\n\
    (ASE's FixAtoms), F F F behind a position of a POSCAR.")]
pub(crate) struct Arguments {
    /// What to relax: extended XYZ with one configuration or many (each on its own), POSCAR or LAMMPS data.
    input: PathBuf,
    #[command(flatten)]
    forces: ForcesArguments,
    /// A model of about the same energies, which shows the way to the calculator: 0.4 of the evaluations in four tests
    /// (validation/guided).
    #[arg(long, value_name = "MODEL", requires = "calculator", conflicts_with = "cell")]
    guide: Option<PathBuf>,
    /// Extended XYZ file for what is relaxed, with energies (eV), forces (eV/A) and stress (eV/A^3).
    #[arg(short, long)]
    output: PathBuf,
    /// Relax the cell too, to zero stress.
    #[arg(long)]
    cell: bool,
    /// Largest force left on an atom, in eV/A [default: 1e-4, with a calculator 0.03].
    #[arg(long, value_name = "EV_PER_ANGSTROM")]
    max_force: Option<f64>,
    /// Largest component of the stress left, in eV/A^3 (with --cell).
    #[arg(long, value_name = "EV_PER_ANGSTROM3", default_value_t = 1e-6)]
    max_stress: f64,
    /// Give up after this many evaluations [default: 5000, with a calculator 300].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_evaluations: Option<u32>,
}

impl Arguments {
    /// The largest force in eV/A and the number of evaluations: exact where they cost nothing.
    fn limits(&self) -> (f64, u32) {
        let (max_force, max_evaluations) = if self.forces.is_model() { (1e-4, 5000) } else { (0.03, 300) };
        (self.max_force.unwrap_or(max_force), self.max_evaluations.unwrap_or(max_evaluations))
    }
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let models = [arguments.forces.model_file(), arguments.guide.as_deref()];
    refuse_overwriting(&models.into_iter().flatten().collect::<Vec<_>>(), &arguments.output)?;
    let starts = read_structures(&arguments.input)?;
    let species: BTreeSet<Species> = starts.iter().flat_map(|start| start.atoms.species.iter().copied()).collect();
    let species: Vec<Species> = species.into_iter().collect();
    let (max_force, max_evaluations) = arguments.limits();
    is_positive("--max-force", "eV/A", max_force)?;
    is_positive("--max-stress", "eV/A^3", arguments.max_stress)?;
    let guide = arguments.guide.as_deref().map(|path| open_guide(path, &species)).transpose()?;
    let evaluations = evaluations_file(&arguments.output);
    let forces = arguments.forces.open(&evaluations, &species, arguments.cell)?;
    let settings = QuenchSettings {
        max_force_ev_per_angstrom: max_force,
        max_stress_ev_per_angstrom3: arguments.max_stress,
        max_evaluations: max_evaluations as usize,
    };
    let leader = guide.as_ref().map(|(_, potential)| potential as &dyn Potential);
    let bar = Bar::new("relax");
    let (n_starts, mut unfinished) = (starts.len(), Vec::new());
    let mut output = Output::new(&arguments.output, &arguments.input, &forces);
    for (index, start) in starts.into_iter().enumerate() {
        bar.update(index as u64, n_starts as u64);
        forces.follow(&start)?;
        let tags = (start.info.clone(), start.columns.clone());
        let (frame, problem) = match relax(forces.potential(), leader, start, arguments.cell, &settings) {
            Ok((frame, quenched)) if quenched.converged => {
                bar.message(&report(&frame, &quenched));
                (Some(with_max_force(frame, quenched.max_force_ev_per_angstrom)), None)
            }
            Ok((frame, quenched)) => {
                let left = what_is_left(&frame, &quenched, &settings);
                let frame = on_the_way(frame, Some(quenched.max_force_ev_per_angstrom));
                (Some(frame), Some(format!(" at {left} after {} evaluations", quenched.evaluations)))
            }
            Err(other @ (Error::Io { .. } | Error::Stopped)) => {
                output.write_so_far()?;
                return Err(other.into());
            }
            // What one configuration does or is says nothing of the others.
            Err(error) => (forces.lowest().map(|lowest| stranded(lowest, tags)), Some(format!(": {error}"))),
        };
        unfinished.extend(problem.map(|problem| format!("configuration {}{problem}", index + 1)));
        if let Some(mut frame) = frame {
            forces.stamp(&mut frame);
            guide.iter().for_each(|(hash, _)| frame.info.set("guide", hash.clone()));
            output.push(frame)?;
        }
    }
    output.write()?;
    ensure_all_relaxed(&unfinished, n_starts, arguments)
}

/// An error that lists what did not relax, if anything.
fn ensure_all_relaxed(unfinished: &[String], n_starts: usize, arguments: &Arguments) -> Result<()> {
    let rest = if arguments.output.exists() {
        format!(
            "Those that got anywhere are in {} with converged=F, at the lowest point reached. Where evaluations ran out allow \
             more with --max-evaluations, or ask for a larger --max-force (or --max-stress)",
            arguments.output.display()
        )
    } else {
        "None got anywhere, and nothing was written".to_owned()
    };
    anyhow::ensure!(
        unfinished.is_empty(),
        "{}: {} of {n_starts} configurations did not relax: {}. {rest}",
        arguments.input.display(),
        unfinished.len(),
        unfinished.join(", "),
    );
    Ok(())
}

/// The lowest point of a relaxation that failed.
fn stranded(lowest: Frame, (info, columns): (Info, Vec<Column>)) -> Frame {
    let (energy_ev, forces, stress) = (lowest.energy_ev, lowest.forces, lowest.stress);
    let frame = Frame { energy_ev, forces, stress, ..without_label(lowest.atoms, info, columns) };
    let max_force = frame.max_force_ev_per_angstrom();
    on_the_way(frame, max_force)
}

/// An error that names the option, unless its value is positive.
pub(super) fn is_positive(option: &str, unit: &str, value: f64) -> Result<()> {
    anyhow::ensure!(
        value > 0.0 && value.is_finite(),
        "{option}: expected a positive number of {unit}, found {value}. Change it"
    );
    Ok(())
}

/// Beside the output, with its whole name but for `.xyz` or `.json`.
pub(super) fn evaluations_file(output: &Path) -> PathBuf {
    let is_usual =
        output.extension().is_some_and(|found| ["xyz", "extxyz", "json"].iter().any(|usual| found == *usual));
    let name = if is_usual { output.file_stem() } else { output.file_name() };
    output.with_file_name(format!("{}.evaluations.xyz", name.unwrap_or_default().to_string_lossy()))
}

/// With a model thousands of starts may take less time than writing all of them again after each.
const REWRITE_INTERVAL: Duration = Duration::from_secs(10);

/// What has become of the starts so far, and the file for it, which is written again and again: a calculator takes hours for each.
struct Output<'a> {
    path: &'a Path,
    frames: Vec<Frame>,
    written: Instant,
    /// None: only at the end, because a device keeps what it is given, and the starts must not be lost while they are needed.
    interval: Option<Duration>,
}

impl<'a> Output<'a> {
    fn new(path: &'a Path, input: &Path, forces: &Forces) -> Self {
        let is_device = std::fs::metadata(path).is_ok_and(|found| !found.is_file());
        let is_input = path.canonicalize().is_ok_and(|path| input.canonicalize().is_ok_and(|input| input == path));
        let interval = if forces.model().is_some() { REWRITE_INTERVAL } else { Duration::ZERO };
        Self {
            path,
            frames: Vec::new(),
            written: Instant::now(),
            interval: (!is_device && !is_input).then_some(interval),
        }
    }

    fn push(&mut self, frame: Frame) -> Result<(), Error> {
        self.frames.push(frame);
        if self.interval.is_some_and(|interval| self.written.elapsed() >= interval) {
            self.write()?;
        }
        Ok(())
    }

    /// Writes what there is when the work ends early, unless that takes the place of starts that are still needed.
    fn write_so_far(&mut self) -> Result<(), Error> {
        if self.interval.is_some() { self.write() } else { Ok(()) }
    }

    /// Writes all; where there is nothing, a file of an earlier run stays.
    fn write(&mut self) -> Result<(), Error> {
        if !self.frames.is_empty() {
            write_extxyz(self.path, &self.frames)?;
            self.written = Instant::now();
        }
        Ok(())
    }
}

/// Marks a configuration whose relaxation did not come to its end, with the largest force (eV/A) that is left.
pub(super) fn on_the_way(mut frame: Frame, max_force: Option<f64>) -> Frame {
    frame.info.set("converged", "F");
    match max_force {
        Some(force) => with_max_force(frame, force),
        None => frame,
    }
}

fn with_max_force(mut frame: Frame, max_force: f64) -> Frame {
    frame.info.set("max_force", format!("{max_force:.3e}"));
    frame
}

/// The force that is left, or the stress where only that is too large.
fn what_is_left(frame: &Frame, quenched: &Quenched, settings: &QuenchSettings) -> String {
    let force = quenched.max_force_ev_per_angstrom;
    match frame.stress {
        Some(stress) if force <= settings.max_force_ev_per_angstrom => {
            format!("a stress of {:.2e} eV/A^3", stress.iter().fold(0.0, |m: f64, s| m.max(s.abs())))
        }
        _ => format!("{force:.2e} eV/A"),
    }
}

/// The atoms that must not move.
pub(super) fn frozen_atoms(start: &Frame) -> Result<Vec<usize>, Error> {
    let Some(mask) = start.column("move_mask") else { return Ok(Vec::new()) };
    let mut frozen = Vec::new();
    for (atom, flags) in mask.words.chunks(mask.width).enumerate() {
        let moves = |word: &String| word.starts_with(['T', 't', '1']);
        if flags.iter().any(moves) && !flags.iter().all(moves) {
            let found = format!(
                "expected atoms that move along all axes or along none, found \"{}\" for atom {}",
                flags.join(" "),
                atom + 1
            );
            return Err(Error::input("move_mask", found, "Free or fix all axes of this atom"));
        }
        if !flags.iter().any(moves) {
            frozen.push(atom);
        }
    }
    Ok(frozen)
}

/// Hash and potential of a guide that knows these elements.
pub(super) fn open_guide(path: &Path, species: &[Species]) -> Result<(String, LinearPotential)> {
    let model = Model::load(path)?;
    let known = model.species();
    let unknown: Vec<&str> = species.iter().filter(|s| !known.contains(s)).map(|s| s.symbol()).collect();
    let known: Vec<&str> = known.iter().map(|s| s.symbol()).collect();
    anyhow::ensure!(
        unknown.is_empty(),
        "{}: expected a guide that knows {}, found one of {}. Give another --guide, or none",
        path.display(),
        unknown.join(", "),
        known.join(", ")
    );
    Ok((model.hash(), LinearPotential::new(&model)?))
}

/// The relaxed configuration, with the tags of the start but those of its label.
fn relax(
    potential: &dyn Potential,
    guide: Option<&dyn Potential>,
    start: Frame,
    with_cell: bool,
    settings: &QuenchSettings,
) -> Result<(Frame, Quenched), Error> {
    let frozen = frozen_atoms(&start)?;
    if !frozen.is_empty() && (with_cell || guide.is_some()) {
        let found = format!("expected atoms that may all move, found {} that must not (move_mask)", frozen.len());
        return Err(Error::input("--cell or --guide", found, "Relax without it, or free the atoms"));
    }
    let (atoms, mut quenched) = if with_cell {
        let relaxed = relax_cell(potential, &start.atoms, settings)?;
        (relaxed.atoms, relaxed.quenched)
    } else if let Some(guide) = guide {
        quench_guided(potential, guide, &start.atoms, settings)?
    } else {
        let mut simulation = Simulation::new(potential, start.atoms, 0.5)?;
        let quenched = quench_others(&mut simulation, settings, &frozen)?;
        (simulation.atoms().clone(), quenched)
    };
    let end = Simulation::new(potential, atoms, 0.1)?;
    let evaluation = end.evaluation();
    quenched.energy_ev = evaluation.energy_ev();
    let mut frame = without_label(end.atoms().clone(), start.info, start.columns);
    frame.energy_ev = Some(evaluation.energy_ev());
    frame.forces = Some(evaluation.forces.clone());
    // A calculator may give no stress.
    if frame.atoms.cell.periodic.all() && evaluation.strain_derivative_ev.is_finite() {
        frame.stress = Some(evaluation.stress(frame.atoms.cell.volume_angstrom3()));
    }
    Ok((frame, quenched))
}

/// A configuration with the tags and columns of its start but those of labels: its atoms have moved away from where these are.
fn without_label(atoms: Atoms, info: Info, columns: Vec<Column>) -> Frame {
    let mut frame = Frame { info, columns, ..Frame::new(atoms) };
    remove_label(&mut frame);
    for key in ["label_energy", "label_stress"] {
        frame.info.remove(key);
    }
    frame.columns.retain(|column| column.name != "label_forces");
    frame
}

fn report(frame: &Frame, quenched: &Quenched) -> String {
    let vectors = frame.atoms.cell.vectors;
    let [a, b, c] = [vectors.x_axis, vectors.y_axis, vectors.z_axis].map(|v| v.length());
    let mut text = format!(
        "energy      {:.6} eV ({} evaluations)\nmax force   {:.2e} eV/A",
        quenched.energy_ev, quenched.evaluations, quenched.max_force_ev_per_angstrom
    );
    if let Some(stress) = frame.stress {
        let pressure = -(stress[0] + stress[1] + stress[2]) / 3.0 * EV_PER_ANGSTROM3_IN_GPA;
        let volume = vectors.determinant().abs();
        text += &format!("\ncell        {a:.6} x {b:.6} x {c:.6} A, {volume:.4} A^3\npressure    {pressure:+.4} GPa");
    }
    text
}

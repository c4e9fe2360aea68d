//! `knockon relax`.

use super::label::calculator::ForcesArguments;
use crate::progress::Bar;
use anyhow::Result;
use knockon::dynamics::{QuenchSettings, Quenched, Simulation, quench, quench_guided, relax_cell};
use knockon::io::labels::remove_label;
use knockon::io::{Frame, read_structures, write_extxyz};
use knockon::potential::{LinearPotential, Model};
use knockon::progress::Progress;
use knockon::units::EV_PER_ANGSTROM3_IN_GPA;
use knockon::{Error, Potential, Species};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Arguments of `knockon relax`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  knockon relax pair.xyz --model data/cawo4/cawo4.model -o relaxed.xyz\n\n\
    With a calculator, every evaluation is kept beside OUTPUT and becomes a label in OUTPUT.evaluations.xyz, with the keys of\n\
    what it is a step of, whose id it has as parent; the same command started again looks up what was computed and goes on.")]
pub(crate) struct Arguments {
    /// What to relax: extended XYZ with one configuration or many (each on its own), POSCAR or LAMMPS data.
    input: PathBuf,
    #[command(flatten)]
    forces: ForcesArguments,
    /// A model of about the same energies, which shows the way to the calculator: half the evaluations in four tests
    /// (validation/guided).
    #[arg(long, value_name = "MODEL", requires = "calculator", conflicts_with = "cell")]
    guide: Option<PathBuf>,
    /// Extended XYZ file for what is relaxed, with energies (eV), forces (eV/A) and stress (eV/A^3).
    #[arg(short, long)]
    output: PathBuf,
    /// Relax the cell too, to zero stress.
    #[arg(long)]
    cell: bool,
    /// Largest force left on an atom, in eV/A.
    #[arg(long, value_name = "EV_PER_ANGSTROM", default_value_t = 1e-4)]
    max_force: f64,
    /// Largest component of the stress left, in eV/A^3 (with --cell).
    #[arg(long, value_name = "EV_PER_ANGSTROM3", default_value_t = 1e-6)]
    max_stress: f64,
    /// Give up after this many evaluations of the model.
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..))]
    max_evaluations: u32,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let starts = read_structures(&arguments.input)?;
    let species: BTreeSet<Species> = starts.iter().flat_map(|start| start.atoms.species.iter().copied()).collect();
    let species: Vec<Species> = species.into_iter().collect();
    for (name, unit, value) in
        [("--max-force", "eV/A", arguments.max_force), ("--max-stress", "eV/A^3", arguments.max_stress)]
    {
        anyhow::ensure!(
            value > 0.0 && value.is_finite(),
            "{name}: expected a positive number of {unit}, found {value}. Change it"
        );
    }
    let guide = arguments.guide.as_deref().map(|path| open_guide(path, &species)).transpose()?;
    let evaluations = arguments.output.with_extension("evaluations.xyz");
    let forces = arguments.forces.open(&evaluations, &species, arguments.cell)?;
    let settings = QuenchSettings {
        max_force_ev_per_angstrom: arguments.max_force,
        max_stress_ev_per_angstrom3: arguments.max_stress,
        max_evaluations: arguments.max_evaluations as usize,
    };
    let leader = guide.as_ref().map(|(_, potential)| potential as &dyn Potential);
    let bar = Bar::new("relax");
    let (n_starts, mut relaxed, mut unfinished) = (starts.len(), Vec::new(), Vec::new());
    for (index, start) in starts.into_iter().enumerate() {
        bar.update(index as u64, n_starts as u64);
        forces.follow(&start)?;
        match relax(forces.potential(), leader, start, arguments.cell, &settings) {
            Ok((mut frame, quenched)) if quenched.converged => {
                forces.stamp(&mut frame);
                frame.info.set("max_force", arguments.max_force.to_string());
                guide.iter().for_each(|(hash, _)| frame.info.set("guide", hash.clone()));
                bar.message(&report(&frame, &quenched));
                relaxed.push(frame);
            }
            Ok((_, quenched)) => {
                let (force, evaluations) = (quenched.max_force_ev_per_angstrom, quenched.evaluations);
                unfinished
                    .push(format!("configuration {} at {force:.2e} eV/A after {evaluations} evaluations", index + 1));
            }
            // What one configuration does says nothing of the others.
            Err(error @ Error::Computation { .. }) => unfinished.push(format!("configuration {}: {error}", index + 1)),
            Err(other) => return Err(other.into()),
        }
    }
    if !relaxed.is_empty() {
        write_extxyz(&arguments.output, &relaxed)?;
    }
    anyhow::ensure!(
        unfinished.is_empty(),
        "{} of {n_starts} configurations did not relax and are not in {}: {}. Where evaluations ran out allow more with \
         --max-evaluations, or ask for a larger --max-force",
        unfinished.len(),
        arguments.output.display(),
        unfinished.join(", ")
    );
    Ok(())
}

/// Hash and potential of a guide that knows these elements.
fn open_guide(path: &Path, species: &[Species]) -> Result<(String, LinearPotential)> {
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
    let (atoms, mut quenched) = if with_cell {
        let relaxed = relax_cell(potential, &start.atoms, settings)?;
        (relaxed.atoms, relaxed.quenched)
    } else if let Some(guide) = guide {
        quench_guided(potential, guide, &start.atoms, settings)?
    } else {
        let mut simulation = Simulation::new(potential, start.atoms, 0.5)?;
        let quenched = quench(&mut simulation, settings)?;
        (simulation.atoms().clone(), quenched)
    };
    let end = Simulation::new(potential, atoms, 0.1)?;
    let evaluation = end.evaluation();
    quenched.energy_ev = evaluation.energy_ev();
    let mut frame = Frame::new(end.atoms().clone());
    frame.info = start.info;
    remove_label(&mut frame);
    // Atoms have moved away from where these labels are.
    for key in ["label_energy", "label_stress"] {
        frame.info.remove(key);
    }
    frame.energy_ev = Some(evaluation.energy_ev());
    frame.forces = Some(evaluation.forces.clone());
    // A calculator may give no stress.
    if frame.atoms.cell.periodic.all() && evaluation.strain_derivative_ev.is_finite() {
        frame.stress = Some(evaluation.stress(frame.atoms.cell.volume_angstrom3()));
    }
    Ok((frame, quenched))
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

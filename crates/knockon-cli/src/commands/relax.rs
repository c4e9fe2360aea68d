//! `knockon relax`.

use crate::progress::say;
use anyhow::Result;
use knockon::Atoms;
use knockon::dynamics::{QuenchSettings, Quenched, Simulation, quench, relax_cell};
use knockon::io::{Frame, read_structure, write_extxyz};
use knockon::potential::{LinearPotential, Model};
use knockon::units::EV_PER_ANGSTROM3_IN_GPA;
use std::path::PathBuf;

/// Arguments of `knockon relax`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Model file, made by `knockon fit` or `knockon import`.
    model: PathBuf,
    /// Structure to relax: extended XYZ with one configuration, POSCAR or LAMMPS data.
    input: PathBuf,
    /// Extended XYZ file for the relaxed structure with its energy (eV), forces (eV/A) and stress (eV/A^3).
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
    #[arg(long, value_name = "N", default_value_t = 5000)]
    max_evaluations: usize,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let model = Model::load(&arguments.model)?;
    let potential = LinearPotential::new(&model)?;
    let start = read_structure(&arguments.input)?.atoms;
    let settings = QuenchSettings {
        max_force_ev_per_angstrom: arguments.max_force,
        max_stress_ev_per_angstrom3: arguments.max_stress,
        max_evaluations: arguments.max_evaluations,
    };
    let (frame, quenched) = relax(&potential, start, arguments.cell, &settings)?;
    report(&frame, &quenched);
    if !quenched.converged {
        anyhow::bail!(
            "the relaxation stopped at a force of {:.2e} eV/A after {} evaluations. Allow more with --max-evaluations, \
             or ask for a larger --max-force",
            quenched.max_force_ev_per_angstrom,
            quenched.evaluations
        );
    }
    write_extxyz(&arguments.output, &[frame])?;
    Ok(())
}

fn relax(
    potential: &LinearPotential,
    start: Atoms,
    with_cell: bool,
    settings: &QuenchSettings,
) -> Result<(Frame, Quenched)> {
    let (atoms, mut quenched) = if with_cell {
        let relaxed = relax_cell(potential, &start, settings)?;
        (relaxed.atoms, relaxed.quenched)
    } else {
        let mut simulation = Simulation::new(potential, start, 0.5)?;
        let quenched = quench(&mut simulation, settings)?;
        (simulation.atoms().clone(), quenched)
    };
    let end = Simulation::new(potential, atoms, 0.1)?;
    let evaluation = end.evaluation();
    quenched.energy_ev = evaluation.energy_ev();
    let mut frame = Frame::new(end.atoms().clone());
    frame.energy_ev = Some(evaluation.energy_ev());
    frame.forces = Some(evaluation.forces.clone());
    if frame.atoms.cell.periodic.all() {
        frame.stress = Some(evaluation.stress(frame.atoms.cell.volume_angstrom3()));
    }
    Ok((frame, quenched))
}

fn report(frame: &Frame, quenched: &Quenched) {
    let vectors = frame.atoms.cell.vectors;
    let [a, b, c] = [vectors.x_axis, vectors.y_axis, vectors.z_axis];
    say(&format!("energy      {:.6} eV ({} evaluations)", quenched.energy_ev, quenched.evaluations));
    say(&format!("max force   {:.2e} eV/A", quenched.max_force_ev_per_angstrom));
    if let Some(stress) = frame.stress {
        let pressure = -(stress[0] + stress[1] + stress[2]) / 3.0 * EV_PER_ANGSTROM3_IN_GPA;
        say(&format!(
            "cell        {:.6} x {:.6} x {:.6} A, {:.4} A^3",
            a.length(),
            b.length(),
            c.length(),
            vectors.determinant().abs()
        ));
        say(&format!("pressure    {pressure:+.4} GPa"));
    }
}

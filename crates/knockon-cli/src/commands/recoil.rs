//! `knockon recoil`.

use super::outputs::refuse_overwriting;
use crate::progress::{Bar, say};
use crate::signals;
use anyhow::{Context, Result, bail};
use glam::DVec3;
use knockon::cascade::{
    Border, Checkpoint, Defects, Disorder, Followed, GradeWatch, InequivalentSites, MAX_RECOIL_ENERGY_EV, MinDistance,
    PerfectBox, Protocol, Recoil, RecoilSettings, RecoilTask, RunningSettings, SpeciesDefects, Start, Thermalization,
    check_size, run_recoil, snapshots, thermalize,
};
use knockon::dynamics::{ElectronicStopping, QuenchSettings, Simulation, TimeStep, relaxed_unit_cell};
use knockon::io::{Frame, read_structure, read_text_if_there, remove_if_there, write_atomically, write_extxyz};
use knockon::potential::{LinearPotential, Model};
use knockon::progress::{Progress, Silent};
use knockon::{Atoms, Species};
use std::path::PathBuf;

/// Arguments of `knockon recoil`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Model file, made by `knockon fit` or `knockon import`.
    #[arg(long)]
    model: PathBuf,
    /// Unit cell of the crystal: extended XYZ, POSCAR or LAMMPS data.
    #[arg(long)]
    crystal: PathBuf,
    /// Size of the box in unit cells, such as 5x5x3.
    #[arg(long, value_name = "AxBxC", value_parser = parse_cells, default_value = "5x5x3")]
    cells: [usize; 3],
    /// Element that recoils; the atom nearest to the middle of the box is kicked.
    #[arg(long, default_value = "W", value_parser = parse_species)]
    species: Species,
    /// Which of the element's sites recoils, where no symmetry of the crystal maps all of them onto each other: 1 is that of the
    /// element's first atom in the crystal's file. Without it, the atom nearest to the middle of the box is kicked all the same.
    #[arg(long, value_name = "N")]
    site: Option<usize>,
    /// Recoil energy in eV.
    #[arg(long, value_name = "EV", value_parser = parse_energy, allow_hyphen_values = true)]
    energy_ev: f64,
    /// Direction of the recoil, Cartesian, of any length.
    #[arg(long, value_name = "X,Y,Z", value_parser = parse_direction, allow_hyphen_values = true)]
    direction: DVec3,
    /// Folder for recoil.json, perfect.xyz (the box without recoil) and final.xyz (the quenched box); one with the result of another recoil is refused.
    #[arg(short, long, value_name = "DIR", default_value = "knockon-out/recoil")]
    output: PathBuf,
    /// Time in fs from the kick to the quench.
    #[arg(long, value_name = "FS", default_value_t = 1000.0)]
    time_fs: f64,
    /// Farthest that any atom may move in one time step, in A.
    #[arg(long, value_name = "ANGSTROM", default_value_t = 0.01)]
    max_displacement: f64,
    /// Longest time step in fs.
    #[arg(long, value_name = "FS", default_value_t = 1.0)]
    max_time_step_fs: f64,
    /// Temperature before the recoil in K (3/8 of the Debye temperature stands for zero-point motion).
    #[arg(long, value_name = "K", default_value_t = 133.0)]
    temperature_k: f64,
    /// Length of the thermalisation in fs.
    #[arg(long, value_name = "FS", default_value_t = 500.0)]
    thermalization_fs: f64,
    /// Thickness in A of a cooled layer at the faces of the box; without it energy is conserved.
    #[arg(long, value_name = "ANGSTROM")]
    border_angstrom: Option<f64>,
    /// Friction of the cooled layer in 1/fs.
    #[arg(long, value_name = "PER_FS", default_value_t = 0.01)]
    border_friction: f64,
    /// Let atoms with more kinetic energy than this, in eV, lose energy to electrons (Lindhard and Scharff).
    #[arg(long, value_name = "EV", value_parser = parse_not_negative)]
    stopping_above_ev: Option<f64>,
    /// Largest change of an atom's kinetic energy in one time step, in eV.
    #[arg(long, value_name = "EV", value_parser = parse_not_negative)]
    max_energy_change_ev: Option<f64>,
    /// Also write frames.xyz: the atoms at these times in fs after the kick, such as 0,100,500.
    #[arg(long, value_name = "FS,...", value_delimiter = ',', value_parser = parse_not_negative)]
    frames: Vec<f64>,
    /// Keep the lattice constants of the crystal file instead of the model's own.
    #[arg(long)]
    keep_cell: bool,
    /// Record how far the cascade goes outside of the training data, with the grades of the model (made by knockon fit).
    #[arg(long, value_name = "FILE")]
    grade: Option<PathBuf>,
    /// Look at the grades at every so many steps.
    #[arg(long, value_name = "STEPS", default_value_t = 20)]
    grade_every: u64,
    /// Write how the kicked atom slows down: rows time_fs,momentum_share for `knockon spectrum capture --slowing-down`. Average
    /// the files of several directions.
    #[arg(long, value_name = "FILE")]
    slowing_down: Option<PathBuf>,
    /// Seed of the thermal motion.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Flag the recoil `close-pair` if two atoms come closer than this (angstrom), or for pairs of elements such as O-W=1.2,O-O=0.9.
    /// Pairs that are not named have the default.
    #[arg(long, value_name = "ANGSTROM", value_parser = MinDistance::parse, default_value = "1")]
    min_distance: MinDistance,
    /// Give up after so many time steps.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    max_steps: u64,
    /// Keep the state every so many minutes; the same command goes on from there.
    #[arg(long, value_name = "MIN", default_value_t = 5.0)]
    checkpoint_min: f64,
    /// Give up after so many hours.
    #[arg(long, value_name = "HOURS", default_value_t = 240.0)]
    max_hours: f64,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings = settings(arguments);
    let thermalization = Thermalization::for_one_start(arguments.temperature_k, arguments.thermalization_fs);
    arguments.check(&settings, &thermalization)?;
    if let Some(output) = &arguments.slowing_down {
        let inputs: Vec<&PathBuf> =
            [&arguments.model, &arguments.crystal].into_iter().chain(&arguments.grade).collect();
        refuse_overwriting(&inputs, output)?;
    }
    let model = Model::load(&arguments.model)?;
    let potential = LinearPotential::new(&model)?;
    super::campaign::warn_of_failing(&model);
    let extrapolation = arguments.grade.as_ref().map(|path| super::evaluate::load_grades(&model, path)).transpose()?;
    let unit_cell = unit_cell(arguments, &potential)?;
    let perfect = perfect_box(arguments, &settings, &potential, &unit_cell)?;
    say(&format!("{} atoms, kicked atom: {}", perfect.atoms.len(), perfect.central_atom + 1));
    let key = key(arguments, &model, &unit_cell);
    let protocol = Protocol {
        cells: arguments.cells,
        thermalization,
        recoil: settings.clone(),
        site: arguments.site,
        seed: arguments.seed,
        graded_every_steps: extrapolation.as_ref().map(|_| arguments.grade_every),
    };
    refuse_other_recoil(arguments, &model, &protocol)?;
    let _listening = signals::listen()?;
    let (start, doubt) = start(arguments, &thermalization, &potential, &perfect, &key)?;
    let every_steps = arguments.grade_every;
    let task = RecoilTask {
        potential: &potential,
        perfect: &perfect,
        start: &start,
        energy_ev: arguments.energy_ev,
        direction: arguments.direction,
        settings: &settings,
        seed: arguments.seed,
        grades: extrapolation.as_ref().map(|extrapolation| GradeWatch { extrapolation, every_steps }),
        frames_fs: &arguments.frames,
    };
    let (mut followed, slowing_down) = follow(arguments, &task, &key)?;
    if doubt.is_some() {
        followed.recoil.flag_start();
    }
    out!("{}", ledger(&followed.recoil));
    if let Some(path) = &arguments.slowing_down {
        write_atomically(path, slowing_down.text(arguments).as_bytes())?;
    }
    write(arguments, &model, &perfect.atoms, &followed, &protocol)?;
    for stage in [RECOIL, THERMALIZATION] {
        kept(arguments, stage, &key, &Silent).remove()?;
    }
    Ok(())
}

/// Refuses a folder with the result of another recoil, which would be lost. The same one again has the same result.
fn refuse_other_recoil(arguments: &Arguments, model: &Model, protocol: &Protocol) -> Result<()> {
    let path = arguments.output.join("recoil.json");
    let Some(text) = read_text_if_there(&path)? else { return Ok(()) };
    let found: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    // Through text, as what was found: digits are parsed alike.
    let protocol: serde_json::Value = serde_json::from_str(&serde_json::to_string(protocol)?)?;
    let recoil = &found["recoil"];
    let along = |axis: usize| recoil["direction"][axis].as_f64().unwrap_or(f64::NAN);
    let direction = DVec3::new(along(0), along(1), along(2));
    let is_same = found["model_hash"] == model.hash()
        && found["species"] == arguments.species.symbol()
        && found["protocol"] == protocol
        && recoil["recoil_energy_ev"].as_f64() == Some(arguments.energy_ev)
        && direction.distance(arguments.direction.normalize_or_zero()) < 1e-9;
    if is_same {
        return Ok(());
    }
    bail!(
        "{}: expected no result of another recoil, found one of {} of {} eV along {direction:.4}, or with another model or protocol. \
         Give another --output, or remove that folder",
        path.display(),
        found["species"].as_str().unwrap_or("an unknown element"),
        recoil["recoil_energy_ev"]
    )
}

/// Stages that keep a checkpoint, as their files are called.
const THERMALIZATION: &str = "thermalisation";
const RECOIL: &str = "recoil";

impl Arguments {
    /// Checks what types cannot, before anything is computed.
    fn check(&self, settings: &RecoilSettings, thermalization: &Thermalization) -> Result<()> {
        settings.validate("settings")?;
        if self.max_hours.is_nan() || self.max_hours <= 0.0 {
            bail!("--max-hours: expected a positive time, found {}", self.max_hours);
        }
        if self.slowing_down.is_some() && self.energy_ev == 0.0 {
            bail!("--slowing-down: an atom without recoil energy does not slow down; give --energy-ev");
        }
        thermalization.validate("settings")?;
        self.check_frames()
    }

    /// Frames after the end of the cascade would never come.
    fn check_frames(&self) -> Result<()> {
        if let Some(late) = self.frames.iter().find(|time_fs| **time_fs > self.time_fs) {
            bail!(
                "--frames: expected times up to --time-fs, {} fs, found {late} fs. Follow the recoil longer",
                self.time_fs
            );
        }
        Ok(())
    }
}

/// The unit cell, relaxed with the model unless it is to stay.
fn unit_cell(arguments: &Arguments, potential: &LinearPotential) -> Result<Atoms> {
    let unit_cell = read_structure(&arguments.crystal)?.atoms;
    arguments.min_distance.check_pairs(&unit_cell.elements())?;
    if arguments.keep_cell {
        return Ok(unit_cell);
    }
    Ok(relaxed_unit_cell(potential, &unit_cell, &QuenchSettings::default())?)
}

/// The box without recoil.
fn perfect_box(
    arguments: &Arguments,
    settings: &RecoilSettings,
    potential: &LinearPotential,
    unit_cell: &Atoms,
) -> Result<PerfectBox> {
    check_size(unit_cell, arguments.cells)?;
    let crystal = unit_cell.supercell(arguments.cells);
    settings.border.map_or(Ok(()), |border| border.check_box(&crystal.cell))?;
    let mut perfect = PerfectBox::new(potential, crystal, arguments.species, settings.quench, settings.skin_angstrom)?;
    choose_site(arguments, unit_cell, &mut perfect)?;
    Ok(perfect)
}

/// The thermalised box, and what speaks against its equilibrium, which is told.
fn start(
    arguments: &Arguments,
    thermalization: &Thermalization,
    potential: &LinearPotential,
    perfect: &PerfectBox,
    key: &str,
) -> Result<(Start, Option<String>)> {
    let thermalized = {
        let bar = Bar::new("thermalisation");
        let mut checkpoint = kept(arguments, THERMALIZATION, key, &bar);
        thermalize(potential, perfect, thermalization, 1, arguments.seed, &mut checkpoint)?
    };
    let start = thermalized.starts.into_iter().next().context("the thermalisation gave no start")?;
    let doubt = thermalized.equilibrium.warning(&perfect.atoms);
    doubt.iter().for_each(|warning| say(warning));
    Ok((start, doubt))
}

/// Follows the recoil and, if asked, how the kicked atom slows down.
fn follow(arguments: &Arguments, task: &RecoilTask<'_>, key: &str) -> Result<(Followed, SlowingDown)> {
    let bar = Bar::new("recoil (fs)");
    let mut checkpoint = kept(arguments, RECOIL, key, &bar);
    if arguments.slowing_down.is_some() {
        // The curve begins at the kick: it is recorded in one go.
        checkpoint.remove()?;
    }
    let mut slowing_down = SlowingDown::new(arguments);
    let followed = run_recoil(task, &mut checkpoint, &mut |s| {
        bar.update(s.time_fs() as u64, task.settings.time_fs as u64);
        slowing_down.see(s, task.perfect.central_atom);
    })?;
    Ok((followed, slowing_down))
}

/// Kicks an atom of the site that is asked for; where there are several and none is, says so.
fn choose_site(arguments: &Arguments, unit_cell: &Atoms, perfect: &mut PerfectBox) -> Result<()> {
    let sites = InequivalentSites::find(unit_cell, arguments.species);
    if arguments.site.is_some() {
        perfect.central_atom = sites?.central_atom(arguments.cells, arguments.site)?;
    } else if let Ok(sites) = sites
        && sites.count() > 1
    {
        say(&format!(
            "{} inequivalent sites of {} ({}): the atom nearest to the middle is kicked, --site chooses another",
            sites.count(),
            arguments.species,
            sites.list()
        ));
    }
    Ok(())
}

/// The checkpoint of one stage.
fn kept<'a>(arguments: &Arguments, stage: &str, key: &str, progress: &'a dyn Progress) -> Checkpoint<'a> {
    let running = RunningSettings {
        checkpoint_every_min: arguments.checkpoint_min.max(0.0),
        checkpoint_every_steps: None,
        max_hours: arguments.max_hours,
    };
    Checkpoint::new(&arguments.output.join(stage).with_extension("checkpoint"), key, running, progress)
}

/// Names what checkpoints depend on besides what the stages know themselves.
fn key(arguments: &Arguments, model: &Model, unit_cell: &Atoms) -> String {
    let crystal = (&unit_cell.species, unit_cell.cell.vectors, &unit_cell.positions);
    let (cells, species, site) = (arguments.cells, arguments.species, arguments.site);
    format!("{} {cells:?} {species} {site:?} {crystal:?}", model.hash())
}

/// Momentum of the kicked atom along its first direction over its first momentum, 0 where it moves backwards.
struct SlowingDown {
    direction: DVec3,
    recoil_energy_ev: f64,
    rows: Vec<[f64; 2]>,
}

/// Distance of the rows of [`SlowingDown`] in fs.
const SLOWING_DOWN_EVERY_FS: f64 = 2.0;

impl SlowingDown {
    fn new(arguments: &Arguments) -> Self {
        let direction = arguments.direction.normalize_or_zero();
        Self { direction, recoil_energy_ev: arguments.energy_ev, rows: vec![[0.0, 1.0]] }
    }

    fn see(&mut self, simulation: &Simulation<'_>, atom: usize) {
        if self.rows.last().is_some_and(|last| simulation.time_fs() < last[0] + SLOWING_DOWN_EVERY_FS) {
            return;
        }
        let along = simulation.velocities()[atom].normalize_or_zero().dot(self.direction);
        let speed = (simulation.kinetic_energy_of_atom_ev(atom) / self.recoil_energy_ev).sqrt();
        self.rows.push([simulation.time_fs(), (along * speed).clamp(0.0, 1.0)]);
    }

    fn text(&self, arguments: &Arguments) -> String {
        let rows: String = self.rows.iter().map(|[time, share]| format!("{time:.3},{share:.6}\n")).collect();
        format!(
            "# {} of {} eV along {}\ntime_fs,momentum_share\n{rows}",
            arguments.species, arguments.energy_ev, self.direction
        )
    }
}

fn settings(arguments: &Arguments) -> RecoilSettings {
    let border = arguments.border_angstrom.map(|thickness_angstrom| Border {
        thickness_angstrom,
        friction_per_fs: arguments.border_friction,
        temperature_k: arguments.temperature_k,
    });
    RecoilSettings {
        time_step: TimeStep {
            max_displacement_angstrom: arguments.max_displacement,
            max_fs: arguments.max_time_step_fs,
            max_energy_change_ev: arguments.max_energy_change_ev,
        },
        border,
        electronic_stopping: arguments.stopping_above_ev.map(|above_ev| ElectronicStopping { above_ev }),
        max_steps: arguments.max_steps,
        min_distance_angstrom: arguments.min_distance.clone(),
        ..RecoilSettings::lasting(arguments.time_fs)
    }
}

fn write(
    arguments: &Arguments,
    model: &Model,
    perfect: &Atoms,
    followed: &Followed,
    protocol: &Protocol,
) -> Result<()> {
    let Followed { recoil, quenched, frames } = followed;
    let json = serde_json::json!({
        "program": crate::PROGRAM,
        "commit": crate::COMMIT,
        "model_hash": model.hash(),
        "crystal_file": arguments.crystal,
        "relax_cell": !arguments.keep_cell,
        "species": arguments.species,
        "n_atoms": quenched.len(),
        "protocol": protocol,
        "recoil": recoil,
    });
    let path = arguments.output.join("recoil.json");
    write_extxyz(&arguments.output.join("perfect.xyz"), &[Frame::new(perfect.clone())])?;
    let frames_path = arguments.output.join("frames.xyz");
    if frames.is_empty() {
        // Those of an earlier recoil in this folder are not of this one.
        remove_if_there(&frames_path)?;
    } else {
        write_extxyz(&frames_path, &snapshots(perfect, frames))?;
    }
    let mut frame = Frame::new(quenched.clone());
    frame.info.set("stored_energy_ev", recoil.stored_energy_ev);
    frame.info.set("recoil_energy_ev", recoil.recoil_energy_ev);
    write_extxyz(&arguments.output.join("final.xyz"), &[frame])?;
    write_atomically(&path, serde_json::to_string_pretty(&json)?.as_bytes())?;
    say(&format!("wrote {} and boxes beside it", path.display()));
    Ok(())
}

/// A temperature that records of earlier versions lack.
fn kelvin(temperature_k: Option<f64>, decimals: usize) -> String {
    temperature_k.map_or("not known".to_owned(), |k| format!("{k:.decimals$} K"))
}

/// The balance of one recoil for people.
fn ledger(r: &Recoil) -> String {
    let grade = r.max_extrapolation_grade.map_or("not looked at".to_owned(), |g| format!("{g:.2} at most"));
    let flags = if r.flags.is_empty() { "none".to_owned() } else { r.flags.join(", ") };
    format!(
        "recoil energy            {:.3} eV along ({:.4} {:.4} {:.4})\n\
         energy given             {:.4} eV (less the thermal energy it replaced)\n\
         stored energy            {:.4} eV ({:.1} % of the recoil)\n\
         temperature rise         {}; near the faces at most {}\n\
         disorder                 {}\n\
         displaced atoms          {} (more than 1 A; farthest {:.2} A; damage within {:.1} A)\n\
         left their site          {} atoms\n{}\
         shortest distance        {:.3} A{}\n\
         energy drift             {:+.2e} eV; border gave {:+.3} eV; electrons took {:.3} eV\n\
         time                     {:.0} fs in {} steps, shortest {:.4} fs; then {:.0} K\n\
         quench                   {} evaluations, largest force {:.1e} eV/A\n\
         extrapolation grade      {grade}\n\
         flags                    {flags}\n",
        r.recoil_energy_ev,
        r.direction.x,
        r.direction.y,
        r.direction.z,
        r.energy_given_ev,
        r.stored_energy_ev,
        100.0 * r.stored_energy_ev / r.recoil_energy_ev.max(1e-9),
        kelvin(r.temperature_rise_k, 1),
        kelvin(r.max_border_temperature_k, 0),
        r.disorder.map_or("not looked at".to_owned(), |d| disorder(&d)),
        r.displaced_atoms,
        r.max_displacement_angstrom,
        r.damage_radius_angstrom,
        r.defects.left_site_atoms,
        defects(&r.defects),
        r.min_distance_angstrom,
        r.closest_pair().map_or(String::new(), |pair| format!(" ({pair})")),
        r.energy_drift_ev,
        r.border_energy_ev,
        r.electronic_energy_ev,
        r.simulated_time_fs,
        r.steps,
        r.min_time_step_fs,
        r.final_temperature_k,
        r.quench_evaluations,
        r.max_force_ev_per_angstrom,
    )
}

fn disorder(d: &Disorder) -> String {
    format!(
        "{} atoms, {:.0} A^3; largest region {} atoms, {:.0} A^3",
        d.atoms, d.volume_angstrom3, d.largest_region_atoms, d.largest_region_angstrom3
    )
}

/// One line for each element.
fn defects(found: &Defects) -> String {
    let line = |s: &SpeciesDefects| {
        let title = format!("defects of {}", s.species);
        format!("{title:<25}{} vacancies, {} interstitials, {} antisites\n", s.vacancies, s.interstitials, s.antisites)
    };
    found.species.iter().map(line).collect()
}

pub(super) fn parse_cells(text: &str) -> Result<[usize; 3], String> {
    let numbers: Option<Vec<usize>> = text.split('x').map(|n| n.parse().ok().filter(|n| *n > 0)).collect();
    let cells = numbers.and_then(|numbers| <[usize; 3]>::try_from(numbers).ok());
    cells.ok_or_else(|| format!("expected three positive numbers such as 5x5x3, found {text}"))
}

fn parse_direction(text: &str) -> Result<DVec3, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|n| n.trim().parse().ok()).collect();
    numbers
        .and_then(|numbers| <[f64; 3]>::try_from(numbers).ok())
        .map(DVec3::from_array)
        .filter(|v| v.is_finite() && *v != DVec3::ZERO)
        .ok_or_else(|| format!("expected three numbers such as 0,0,1 (not all zero), found {text}"))
}

fn parse_energy(text: &str) -> Result<f64, String> {
    let energy = text.trim().parse().ok().filter(|energy| (0.0..=MAX_RECOIL_ENERGY_EV).contains(energy));
    energy.ok_or_else(|| format!("expected an energy from 0 to {MAX_RECOIL_ENERGY_EV} eV, found {text}"))
}

fn parse_not_negative(text: &str) -> Result<f64, String> {
    let number = text.trim().parse().ok().filter(|x: &f64| x.is_finite() && *x >= 0.0);
    number.ok_or_else(|| format!("expected a number that is not negative, found {text}"))
}

fn parse_species(text: &str) -> Result<Species, String> {
    Species::try_from(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_directions_are_read_or_refused() {
        assert_eq!(parse_cells("5x5x3"), Ok([5, 5, 3]));
        assert!(parse_cells("5x5").is_err() && parse_cells("5x0x3").is_err() && parse_cells("axbxc").is_err());
        assert!(parse_cells("5x0x3x2").is_err() && parse_direction("1,x,0,1").is_err());
        assert!(parse_energy("112").is_ok() && ["-5", "nan", "1e6"].iter().all(|e| parse_energy(e).is_err()));
        assert_eq!(parse_direction("0, -1,2.5"), Ok(DVec3::new(0.0, -1.0, 2.5)));
        assert!(parse_direction("0,0,0").is_err() && parse_direction("1,2").is_err());
    }
}

//! `knockon bench`.

use super::data::push_aligned;
use crate::progress::say;
use anyhow::{Context, Result, ensure};
use cpu_time::ProcessTime;
use knockon::dynamics::{Simulation, thermal_velocities};
use knockon::io::{parse_extxyz, read_structure};
use knockon::math::quantile;
use knockon::potential::{
    Committee, CommitteeFile, LinearPotential, Model, StepProfile, instruction_set, peak_flops_per_second, rattled,
};
use knockon::{Atoms, Evaluation, NeighborList, Potential};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Instant;

const SHIPPED_MODEL: &str = include_str!("../../../../data/cawo4/cawo4.model");
const SHIPPED_CRYSTAL: &str = include_str!("../../../../data/cawo4/cawo4.xyz");

/// Arguments of `knockon bench`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  knockon bench --threads 1\n\n\
    A box of rattled atoms moves with velocity Verlet; energies, forces and the virial are computed at every step and the\n\
    neighbour list is rebuilt when an atom has moved half of the skin, as in recoils. Times are medians over repeats of\n\
    the same run; CPU time is that of the process, so that it hardly depends on what else the machine does.\n\
    Steps of an evaluation are timed on one thread.")]
pub(crate) struct Arguments {
    /// Size of the box in unit cells.
    #[arg(long, value_name = "AxBxC", value_parser = super::recoil::parse_cells, default_value = "4x4x2")]
    cells: [usize; 3],
    /// Model file (default: the shipped model of CaWO4).
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Unit cell: extended XYZ, POSCAR or LAMMPS data (default: CaWO4, the conventional cell of 24 atoms).
    #[arg(long, value_name = "FILE")]
    crystal: Option<PathBuf>,
    /// Steps of each run.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Runs; medians are printed.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// Length of a step in fs.
    #[arg(long, value_name = "FS", default_value_t = 1.0)]
    step_fs: f64,
    /// Temperature of the velocities in K.
    #[arg(long, value_name = "K", default_value_t = 300.0)]
    temperature_k: f64,
    /// Displacement of the atoms from their sites along each axis in A (standard deviation).
    #[arg(long, value_name = "ANGSTROM", default_value_t = 0.05)]
    rattle_angstrom: f64,
    /// How much farther than the cutoff the neighbour list reaches, in A.
    #[arg(long, value_name = "ANGSTROM", default_value_t = 0.5)]
    skin_angstrom: f64,
    /// Also measure energies and forces of a committee, relative to one model's (the model's .committee file).
    #[arg(long, value_name = "FILE")]
    committee: Option<PathBuf>,
    /// Also measure the extrapolation grades of all atoms, relative to one evaluation (the model's .grade file).
    #[arg(long, value_name = "FILE")]
    grade: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// A box of so many atoms takes some 100 GB.
const MOST_ATOMS: usize = 100_000_000;

impl Arguments {
    /// Checks what types cannot.
    fn check(&self, atoms_of_a_cell: usize) -> Result<()> {
        for (name, value, most) in [
            ("--step-fs", self.step_fs, 100.0),
            ("--temperature-k", self.temperature_k, 1e6),
            ("--rattle-angstrom", self.rattle_angstrom, 1.0),
            ("--skin-angstrom", self.skin_angstrom, 10.0),
        ] {
            ensure!(
                (0.0..=most).contains(&value),
                "{name}: expected a number from 0 to {most}, found {value}. Change it"
            );
        }
        let n_atoms = self.cells.iter().try_fold(atoms_of_a_cell, |n, cells| n.checked_mul(*cells));
        ensure!(
            n_atoms.is_some_and(|n| n <= MOST_ATOMS),
            "--cells: expected a box of up to {MOST_ATOMS} atoms, found {:?} cells of {atoms_of_a_cell}. Take a smaller one",
            self.cells
        );
        Ok(())
    }
}

/// Median and minimum of repeated measurements.
#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    median: f64,
    minimum: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        // Sorts them.
        let median = quantile(&mut values, 0.5);
        Self { median, minimum: values[0] }
    }
}

/// One step of an evaluation, per atom.
#[derive(Serialize)]
struct Kernel {
    name: &'static str,
    microseconds_per_atom: f64,
    minimum_microseconds_per_atom: f64,
    #[serde(flatten)]
    arithmetic: Option<Arithmetic>,
}

/// Operations per atom, and how fast they were done.
#[derive(Serialize)]
struct Arithmetic {
    fused_multiply_adds: f64,
    additions: f64,
    multiplications: f64,
    divisions: f64,
    flops: f64,
    bytes: f64,
    gigaflops_per_second: f64,
    fraction_of_peak: f64,
}

/// What a committee costs: energies and forces of all its members and the model, by turns with the model alone.
#[derive(Serialize)]
struct CommitteeCost {
    members: usize,
    /// CPU time of one evaluation with all members, over that of the model alone.
    cost_relative_to_model: f64,
}

/// What is measured; times are in microseconds per atom and step.
#[derive(Serialize)]
struct Report {
    program: &'static str,
    processor: String,
    instruction_set: &'static str,
    threads: usize,
    model: String,
    atoms: usize,
    neighbors_within_cutoff: f64,
    steps: u32,
    repeats: u32,
    step_fs: f64,
    temperature_k: f64,
    skin_angstrom: f64,
    microseconds_per_atom_step: f64,
    minimum_microseconds_per_atom_step: f64,
    cpu_microseconds_per_atom_step: f64,
    atom_steps_per_second: f64,
    neighbor_list_builds: u64,
    neighbor_list_microseconds_per_atom_and_build: f64,
    neighbor_list_share: f64,
    peak_gigaflops_per_second: f64,
    kernels: Vec<Kernel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committee: Option<CommitteeCost>,
    /// CPU time of the extrapolation grades of all atoms over that of energies and forces.
    #[serde(skip_serializing_if = "Option::is_none")]
    grades_relative_to_model: Option<f64>,
    peak_memory_mib: Option<f64>,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let model = match &arguments.model {
        Some(path) => Model::load(path)?,
        None => Model::from_text(SHIPPED_MODEL, "the shipped model")?,
    };
    let crystal = match &arguments.crystal {
        Some(path) => read_structure(path)?,
        None => parse_extxyz(SHIPPED_CRYSTAL, "the shipped crystal", &Default::default())?.remove(0),
    };
    arguments.check(crystal.atoms.len())?;
    let atoms = rattled(&crystal.atoms.supercell(arguments.cells), arguments.rattle_angstrom, 1);
    let potential = LinearPotential::new(&model)?;
    let mut report = measure(arguments, &model, &potential, &atoms)?;
    if let Some(path) = &arguments.committee {
        let file = CommitteeFile::load(path)?;
        let committee = Committee::new(&model, &file, &path.display().to_string())?;
        let mut evaluation = Evaluation::default();
        let cost_relative_to_model = relative_cost(&potential, &atoms, arguments.repeats, |neighbors| {
            committee.evaluate(&atoms, neighbors, &mut evaluation).map(drop)
        })?;
        report.committee = Some(CommitteeCost { members: file.members.len(), cost_relative_to_model });
    }
    if let Some(path) = &arguments.grade {
        let extrapolation = super::evaluate::load_grades(&model, path)?;
        let grades = |neighbors: &NeighborList| extrapolation.grades(&atoms, neighbors).map(drop);
        report.grades_relative_to_model = Some(relative_cost(&potential, &atoms, arguments.repeats, grades)?);
    }
    if arguments.json {
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        out!("{}", report.tables());
    }
    Ok(())
}

fn measure(arguments: &Arguments, model: &Model, potential: &LinearPotential, atoms: &Atoms) -> Result<Report> {
    let n_atoms = atoms.len() as f64;
    let repeats = arguments.repeats;
    let (mut wall, mut cpu, mut lists, mut peaks) = (vec![], vec![], vec![], vec![]);
    let mut profiles: Vec<Vec<StepProfile>> = vec![];
    let mut evaluation = Evaluation::default();
    let one_thread = rayon::ThreadPoolBuilder::new().num_threads(1).build().context("cannot start a thread")?;
    let velocities = thermal_velocities(&atoms.masses_u(), arguments.temperature_k, &mut rand_pcg::Pcg64::new(1, 1));
    let mut builds = 0;
    let mut neighbors_within_cutoff = 0.0;
    // Everything once per repeat, so that a busy moment of the machine does not hit all measurements of one kind.
    for repeat in 0..repeats {
        say(&format!("repeat {} of {repeats}", repeat + 1));
        let mut simulation = Simulation::new(potential, atoms.clone(), arguments.skin_angstrom)?;
        simulation.set_velocities(velocities.clone());
        let (start, start_cpu) = (Instant::now(), ProcessTime::now());
        for _ in 0..arguments.steps {
            simulation.step(arguments.step_fs, None)?;
        }
        let per_step = 1e6 / (n_atoms * f64::from(arguments.steps));
        wall.push(start.elapsed().as_secs_f64() * per_step);
        cpu.push(start_cpu.elapsed().as_secs_f64() * per_step);
        builds = simulation.builds - 1;
        drop(simulation);
        one_thread.install(|| -> Result<()> {
            let start = ProcessTime::now();
            let neighbors = potential.neighbor_list(atoms, arguments.skin_angstrom);
            lists.push(start.elapsed().as_secs_f64() * 1e6 / n_atoms);
            profiles.push(potential.profile(atoms, &neighbors, &mut evaluation)?);
            peaks.push(peak_flops_per_second());
            if repeat == 0 {
                let exact = NeighborList::build(atoms, potential.cutoff_angstrom());
                neighbors_within_cutoff = exact.index.len() as f64 / n_atoms;
            }
            Ok(())
        })?;
    }
    let [wall, cpu, lists] = [wall, cpu, lists].map(Spread::of);
    let peak = peaks.into_iter().fold(0.0, f64::max);
    let list_per_step = lists.median * builds as f64 / f64::from(arguments.steps);
    Ok(Report {
        program: concat!("knockon ", env!("CARGO_PKG_VERSION")),
        processor: processor(),
        instruction_set: instruction_set(),
        threads: rayon::current_num_threads(),
        model: model.hash(),
        atoms: atoms.len(),
        neighbors_within_cutoff,
        steps: arguments.steps,
        repeats,
        step_fs: arguments.step_fs,
        temperature_k: arguments.temperature_k,
        skin_angstrom: arguments.skin_angstrom,
        microseconds_per_atom_step: wall.median,
        minimum_microseconds_per_atom_step: wall.minimum,
        cpu_microseconds_per_atom_step: cpu.median,
        atom_steps_per_second: 1e6 / wall.median,
        neighbor_list_builds: builds,
        neighbor_list_microseconds_per_atom_and_build: lists.median,
        neighbor_list_share: list_per_step / cpu.median,
        peak_gigaflops_per_second: peak * 1e-9,
        kernels: kernels(&profiles, n_atoms, peak),
        committee: None,
        grades_relative_to_model: None,
        peak_memory_mib: peak_memory_mib(),
    })
}

/// CPU time of something over that of an evaluation of the model, by turns: the median over the repeats.
fn relative_cost(
    potential: &LinearPotential,
    atoms: &Atoms,
    repeats: u32,
    mut act: impl FnMut(&NeighborList) -> Result<(), knockon::Error>,
) -> Result<f64> {
    let neighbors = potential.neighbor_list(atoms, 0.0);
    let mut evaluation = Evaluation::default();
    let mut ratios = Vec::new();
    // The first turn fills caches and memory.
    for _ in 0..=repeats {
        let start = ProcessTime::now();
        potential.evaluate(atoms, &neighbors, &mut evaluation)?;
        let alone = start.elapsed().as_secs_f64();
        let start = ProcessTime::now();
        act(&neighbors)?;
        ratios.push(start.elapsed().as_secs_f64() / alone);
    }
    Ok(Spread::of(ratios.split_off(1)).median)
}

/// Medians over the repeats of each step.
fn kernels(profiles: &[Vec<StepProfile>], n_atoms: f64, peak: f64) -> Vec<Kernel> {
    let first = profiles.first().into_iter().flatten();
    first
        .enumerate()
        .map(|(index, step)| {
            let seconds = Spread::of(profiles.iter().map(|p| p[index].cpu_seconds / n_atoms).collect());
            let arithmetic = step.operations.map(|total| {
                let each = total * (1.0 / n_atoms);
                let rate = each.flops() / seconds.median;
                Arithmetic {
                    fused_multiply_adds: each.fused,
                    additions: each.additions,
                    multiplications: each.multiplications,
                    divisions: each.divisions,
                    flops: each.flops(),
                    bytes: each.bytes,
                    gigaflops_per_second: rate * 1e-9,
                    fraction_of_peak: rate / peak,
                }
            });
            Kernel {
                name: step.name,
                microseconds_per_atom: seconds.median * 1e6,
                minimum_microseconds_per_atom: seconds.minimum * 1e6,
                arithmetic,
            }
        })
        .collect()
}

impl Report {
    fn tables(&self) -> String {
        let mut text = format!(
            "{}, {}, threads: {}\n{} atoms, {:.1} neighbours within the cutoff, model {}\n\n",
            self.processor, self.instruction_set, self.threads, self.atoms, self.neighbors_within_cutoff, self.model
        );
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        let mut rows = vec![row(["microseconds per atom and step", "median", "minimum"])];
        rows.push([
            "dynamics, wall time".to_owned(),
            format!("{:.2}", self.microseconds_per_atom_step),
            format!("{:.2}", self.minimum_microseconds_per_atom_step),
        ]);
        rows.push([
            "dynamics, CPU time".to_owned(),
            format!("{:.2}", self.cpu_microseconds_per_atom_step),
            String::new(),
        ]);
        for kernel in &self.kernels {
            rows.push([
                format!("  {}", kernel.name),
                format!("{:.2}", kernel.microseconds_per_atom),
                format!("{:.2}", kernel.minimum_microseconds_per_atom),
            ]);
        }
        push_aligned(&mut text, &rows);
        let header = ["per atom", "fused", "add", "multiply", "flops", "bytes", "Gflop/s", "of peak"];
        let mut rows = vec![header.map(str::to_owned)];
        for (kernel, a) in self.kernels.iter().filter_map(|k| Some((k, k.arithmetic.as_ref()?))) {
            let numbers = [a.fused_multiply_adds, a.additions, a.multiplications, a.flops, a.bytes];
            let [fused, additions, multiplications, flops, bytes] = numbers.map(|x| format!("{x:.0}"));
            let rate = format!("{:.1}", a.gigaflops_per_second);
            let fraction = format!("{:.0} %", 100.0 * a.fraction_of_peak);
            rows.push([kernel.name.to_owned(), fused, additions, multiplications, flops, bytes, rate, fraction]);
        }
        push_aligned(&mut text, &rows);
        text.push_str(&format!(
            "{:.0} atom-steps/s. Measured peak of one core: {:.1} Gflop/s (fused multiply-adds count twice).\n\
             Neighbour list: {} builds in {} steps of {} fs, {:.2} microseconds per atom and build, {:.1} % of the run.\n",
            self.atom_steps_per_second,
            self.peak_gigaflops_per_second,
            self.neighbor_list_builds,
            self.steps,
            self.step_fs,
            self.neighbor_list_microseconds_per_atom_and_build,
            100.0 * self.neighbor_list_share,
        ));
        if let Some(CommitteeCost { members, cost_relative_to_model }) = &self.committee {
            let each = (cost_relative_to_model - 1.0) / *members as f64;
            text.push_str(&format!(
                "Energies and forces of {members} members and the model: {cost_relative_to_model:.2} times the model alone, \
                 {each:.2} for each member.\n"
            ));
        }
        if let Some(cost) = self.grades_relative_to_model {
            text.push_str(&format!("Extrapolation grades of all atoms: {cost:.2} times one evaluation.\n"));
        }
        if let Some(memory) = self.peak_memory_mib {
            text.push_str(&format!("Peak memory: {memory:.0} MiB.\n"));
        }
        text
    }
}

/// The processor's name where the system tells it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("model name"));
    line.and_then(|l| l.split_once(':'))
        .map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Most memory that this process has held so far, where the system tells it.
fn peak_memory_mib() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn medians_of_odd_and_even_numbers_of_repeats() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]).median, 2.0);
        let even = Spread::of(vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!((even.median, even.minimum), (2.5, 1.0));
    }
}

//! `knockon label`.

pub(crate) mod calculator;
pub(crate) mod candidates;
pub(crate) mod environment;
mod records;
pub(crate) mod settings;
mod workers;

use crate::progress::say;
use anyhow::{Result, bail};
use candidates::{Candidate, mesh_of_label};
use environment::EnvironmentArguments;
use knockon::dataset::{Duplicate, duplicates};
use knockon::io::{Frame, remove_if_there};
use records::{Record, Records};
use settings::Settings;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;
use workers::{Job, NOT_USABLE, Worker, record_death};

/// Arguments of `knockon label`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  knockon label candidates.xyz --calculator gpaw --config examples/cawo4/label.toml -o labels.xyz --workers 2\n\n\
    Stop it at any moment and start it again: it goes on where it was. The same command on other machines that see the\n\
    same folder shares the work. Configurations whose id is in LABELS are done. LABELS.records holds one file for each\n\
    label or failure; failures are named at the end (exit code 2), are not tried again without --retry-failed and never\n\
    become labels.\n\
    Candidates may have the info keys id, kpts (mesh, e.g. \"2 2 1\") and want_stress (T)."
)]
pub(crate) struct Arguments {
    /// Configurations to label (extended XYZ).
    #[arg(value_name = "CANDIDATES")]
    candidates: PathBuf,
    /// gpaw, cp2k, vasp or espresso; or ase:MODULE.CLASS for any other calculator of ASE's kind.
    #[arg(long, value_name = "NAME")]
    calculator: String,
    /// Settings of the labels.
    #[arg(long, value_name = "TOML")]
    config: PathBuf,
    /// The extended XYZ file to which labels are added.
    #[arg(short, long, value_name = "LABELS")]
    output: PathBuf,
    /// Number of processes, each with one thread unless OMP_NUM_THREADS says otherwise.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
    #[command(flatten)]
    environment: EnvironmentArguments,
    /// Try configurations again that failed.
    #[arg(long)]
    retry_failed: bool,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    check(arguments)?;
    let settings = Settings::load(&arguments.config)?;
    let candidates = candidates::read(&arguments.candidates, &settings)?;
    let environment = arguments.environment.open(&arguments.calculator)?;
    let job = Job::new(environment, &arguments.calculator, arguments.environment.nice, &settings)?;
    let records = Records::open(&arguments.output, &arguments.calculator, &settings, job.describe()?)?;
    records.collect(&candidates)?;
    let open = not_labelled(&records, &candidates, arguments.retry_failed)?;
    warn_of_duplicates(&records, &open)?;
    job.give(&records, &open)?;
    let mut watch = Watch::new(&records, &candidates, &open, arguments.workers)?;
    say(&format!("{} configurations, {} to label{}", candidates.len(), open.len(), watch.time_left()));
    watch.report()?;
    watch.work(&job)?;
    watch.summary(&arguments.output)
}

fn check(arguments: &Arguments) -> Result<()> {
    check_name(&arguments.calculator)?;
    if !(1..=1000).contains(&arguments.workers) {
        bail!("--workers: expected 1 to 1000, found {}", arguments.workers);
    }
    Ok(())
}

fn check_name(calculator: &str) -> Result<()> {
    let custom = calculator.strip_prefix("ase:").is_some_and(|class| class.contains('.'));
    if !custom && !["gpaw", "cp2k", "vasp", "espresso"].contains(&calculator) {
        bail!(
            "--calculator: expected gpaw, cp2k, vasp, espresso or ase:MODULE.CLASS, found {calculator}. Choose one of them"
        );
    }
    if !cfg!(unix) {
        bail!("calculators need Linux or macOS. On Windows use the Windows Subsystem for Linux");
    }
    Ok(())
}

/// Candidates that are not in the file of labels; an id that is there must be of the same calculation.
fn not_labelled<'a>(records: &Records, candidates: &'a [Candidate], retry: bool) -> Result<Vec<&'a Candidate>> {
    let labels = records.labels()?;
    let by_id: HashMap<&str, _> = labels.iter().filter_map(|l| Some((l.info.get("id")?, l))).collect();
    let mut open = Vec::new();
    for candidate in candidates {
        match by_id.get(candidate.id.as_str()) {
            Some(label) if !candidate.is_labelled_by(label) => bail!(
                "expected \"{}\" to be the configuration of that id that is labelled already, found another geometry or mesh, or a \
                 label without the stress that is wanted. Give it an id of its own",
                candidate.id
            ),
            Some(_) => {}
            None => {
                if retry && records.failure(candidate)?.is_some() {
                    remove_if_there(&records.failure_path(candidate))?;
                }
                open.push(candidate);
            }
        }
    }
    Ok(open)
}

/// Names open candidates that are labelled already, or twice among the candidates, but for a symmetry of the crystal.
fn warn_of_duplicates(records: &Records, open: &[&Candidate]) -> Result<()> {
    const SAME_ANGSTROM: f64 = 1e-3;
    let labels = records.labels()?;
    let n_labels = labels.len();
    let meshes = labels.iter().map(mesh_of_label).chain(open.iter().map(|c| Some(c.kpoints))).collect::<Vec<_>>();
    let frames: Vec<Frame> = labels.into_iter().chain(open.iter().map(|c| c.frame.clone())).collect();
    let name = |(k, frame): (usize, &Frame)| {
        frame.info.get("id").map_or(format!("label {} (without id)", k + 1), str::to_owned)
    };
    let names: Vec<String> = frames.iter().enumerate().map(name).collect();
    let open_names: HashSet<&str> = names[n_labels..].iter().map(String::as_str).collect();
    let meshes: HashMap<&String, Option<[u32; 3]>> = names.iter().zip(meshes).collect();
    let is_waste = |p: &&Duplicate| open_names.contains(p.second.as_str()) && meshes[&p.first] == meshes[&p.second];
    for pair in duplicates(&frames, &names, SAME_ANGSTROM).iter().filter(is_waste) {
        say(&format!(
            "warning: {} has {}, as {}, whose label tells as much. Take it out of the candidates to save its time",
            pair.second,
            pair.description(),
            pair.first
        ));
    }
    Ok(())
}

/// How often the folder of records is looked at.
const POLL: Duration = Duration::from_millis(300);

/// Follows the work.
struct Watch<'a> {
    records: &'a Records,
    candidates: &'a [Candidate],
    open: &'a [&'a Candidate],
    /// Which of the open ones have a label or a failure.
    settled: Vec<bool>,
    /// Atoms and wall-clock seconds of the labels that there are.
    costs: Vec<(usize, f64)>,
    failures: Vec<(&'a Candidate, String)>,
    deaths: HashMap<String, u32>,
    n_workers: usize,
}

impl<'a> Watch<'a> {
    fn new(
        records: &'a Records,
        candidates: &'a [Candidate],
        open: &'a [&'a Candidate],
        n_workers: usize,
    ) -> Result<Self> {
        let open_ids: HashSet<&str> = open.iter().map(|candidate| candidate.id.as_str()).collect();
        let mut costs = Vec::new();
        // What was labelled before tells how long the rest takes.
        for candidate in candidates.iter().filter(|candidate| !open_ids.contains(candidate.id.as_str())) {
            costs.extend(records.result(candidate)?.map(|record| (candidate.frame.atoms.len(), record.seconds)));
        }
        Ok(Self {
            records,
            candidates,
            open,
            settled: vec![false; open.len()],
            costs,
            failures: Vec::new(),
            deaths: HashMap::new(),
            n_workers,
        })
    }

    /// Runs workers until there is nothing left that they can do.
    fn work(&mut self, job: &Job) -> Result<()> {
        let n_workers = self.n_workers.min(self.settled.iter().filter(|s| !**s).count());
        let mut workers = (0..n_workers).map(|_| job.start()).collect::<Result<Vec<Worker>>>()?;
        let mut repair = None;
        while !workers.is_empty() {
            std::thread::sleep(POLL);
            let mut living = Vec::new();
            for mut worker in workers {
                match worker.ended()? {
                    None => living.push(worker),
                    Some(status) if status.success() => {}
                    // Nothing that this one tried worked; another one may be at something that does.
                    Some(status) if status.code() == Some(NOT_USABLE) => repair = Some(worker.last_words()),
                    Some(status) => {
                        self.death(&worker, status)?;
                        living.push(job.start()?);
                    }
                }
            }
            workers = living;
            self.report()?;
        }
        if let Some(words) = repair {
            // Failures that the worker took back, or what it left to others, may have been done by these since.
            for candidate in self.open {
                if self.records.result(candidate)?.is_none() && self.records.failure(candidate)?.is_none() {
                    bail!("a worker could not do its work:\n{words}");
                }
            }
        }
        Ok(())
    }

    /// A worker died without saying why; the second time over the same configuration this is a failure.
    fn death(&mut self, worker: &Worker, status: std::process::ExitStatus) -> Result<()> {
        let words = worker.last_words();
        let Some(candidate) = worker.left_behind(self.records, self.open) else {
            bail!("a worker could not do its work ({status}):\n{words}");
        };
        let deaths = self.deaths.entry(candidate.id.clone()).or_default();
        *deaths += 1;
        say(&format!("{}: the worker died ({status})", candidate.id));
        if *deaths > 1 {
            record_death(self.records, candidate, status, &words)?;
        }
        Ok(())
    }

    /// Collects and shows what is new.
    fn report(&mut self) -> Result<()> {
        let mut lines = Vec::new();
        for (index, candidate) in self.open.iter().enumerate().filter(|(k, _)| !self.settled[*k]).collect::<Vec<_>>() {
            if let Some(record) = self.records.result(candidate)? {
                self.settled[index] = true;
                self.costs.push((candidate.frame.atoms.len(), record.seconds));
                lines.push(describe(candidate, &record));
            } else if let Some(failure) = self.records.failure(candidate)? {
                self.settled[index] = true;
                lines.push(format!("{}: FAILED, {}", candidate.id, failure.reason));
                self.failures.push((candidate, failure.reason));
            }
        }
        if !lines.is_empty() {
            self.records.collect(self.candidates)?;
            lines.iter().for_each(|line| say(line));
            say(&self.progress());
        }
        Ok(())
    }

    /// How much is done and how long the rest should take.
    fn progress(&self) -> String {
        let done = self.settled.iter().filter(|settled| **settled).count();
        format!("  {done} of {}{}", self.open.len(), self.time_left())
    }

    /// How long the rest should take, in words that follow others; nothing if nothing is left or no label says how long one takes.
    fn time_left(&self) -> String {
        let open = self.open.iter().zip(&self.settled).filter(|(_, settled)| !**settled);
        let left: Vec<usize> = open.map(|(candidate, _)| candidate.frame.atoms.len()).collect();
        let seconds = seconds_left(&self.costs, &left, self.n_workers);
        seconds.map(|seconds| format!(", about {} left", duration(seconds))).unwrap_or_default()
    }

    fn summary(&self, output: &std::path::Path) -> Result<()> {
        let left = self.settled.iter().filter(|s| !**s).count();
        let n_labels = self.records.labels()?.len();
        say(&format!("{}: {n_labels} labels, {} failed", output.display(), self.failures.len()));
        if left > 0 {
            say(&format!("{left} configurations are being labelled by other workers; run this again to collect them"));
        }
        self.ensure_none_failed()
    }

    fn ensure_none_failed(&self) -> Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        let line = |(candidate, reason): &(&Candidate, String)| {
            format!("  {}: {reason} ({})", candidate.id, self.records.failure_path(candidate).display())
        };
        bail!(
            "expected a label of each configuration, {} of {} failed:\n{}\nThe other labels are kept; --retry-failed tries these again",
            self.failures.len(),
            self.candidates.len(),
            self.failures.iter().map(line).collect::<Vec<_>>().join("\n")
        )
    }
}

/// Wall-clock seconds for boxes of these numbers of atoms, from the atoms and seconds of labels: the mean of boxes of the same
/// size, or scaled with the number of atoms from the others. There is no work for more workers than boxes.
fn seconds_left(costs: &[(usize, f64)], left: &[usize], n_workers: usize) -> Option<f64> {
    let mean = |seconds: &[f64]| seconds.iter().sum::<f64>() / seconds.len() as f64;
    let per_atom: Vec<f64> = costs.iter().map(|(n_atoms, seconds)| seconds / *n_atoms as f64).collect();
    let cost = |n_atoms: usize| {
        let same: Vec<f64> = costs.iter().filter(|(n, _)| *n == n_atoms).map(|(_, seconds)| *seconds).collect();
        if same.is_empty() { mean(&per_atom) * n_atoms as f64 } else { mean(&same) }
    };
    let seconds = left.iter().map(|n_atoms| cost(*n_atoms)).sum::<f64>() / n_workers.min(left.len()) as f64;
    Some(seconds).filter(|seconds| seconds.is_finite())
}

fn describe(candidate: &Candidate, record: &Record) -> String {
    format!(
        "{}: E {:.3} eV, largest force {:.2} eV/A, {}",
        candidate.id,
        record.energy,
        record.max_force_ev_per_angstrom(),
        duration(record.seconds)
    )
}

fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        0..2 => format!("{seconds:.0} s"),
        2..120 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_sizes_and_workers() {
        let costs = [(96, 3600.0), (96, 1800.0), (24, 400.0)];
        // Of the same size; of another one, by the mean time per atom, (37.5 + 18.75 + 16.67) / 3 s.
        assert_eq!(seconds_left(&costs, &[96], 1), Some(2700.0));
        let other = seconds_left(&costs, &[48], 1).unwrap();
        assert!((other - 48.0 * (37.5 + 18.75 + 400.0 / 24.0) / 3.0).abs() < 1e-9, "{other}");
        // Two workers halve four boxes; eight workers are no faster than one over the last box.
        assert_eq!(seconds_left(&costs, &[96; 4], 2), Some(5400.0));
        assert_eq!(seconds_left(&costs, &[96], 8), Some(2700.0));
        assert_eq!((seconds_left(&costs, &[], 2), seconds_left(&[], &[96], 2)), (None, None));
    }
}

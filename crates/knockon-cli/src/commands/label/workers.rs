//! The processes that label.

use super::candidates::Candidate;
use super::environment::{Environment, SCRIPTS};
use super::records::{Described, Failure, Records};
use super::settings::Settings;
use anyhow::{Context, Result, bail};
use knockon::cascade::claims::Holder;
use knockon::io::{Frame, write_extxyz};
use serde::Serialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

/// Exit status of the scripts when the code is not set up so that it can run; then they have said what to repair.
pub(super) const NOT_USABLE: i32 = 78; // EX_CONFIG of sysexits.h

/// Scripts, settings and candidates in a temporary folder, as the workers find them.
pub(crate) struct Job {
    folder: tempfile::TempDir,
    python: PathBuf,
    settings: serde_json::Value,
}

/// What to do, for the Python side.
#[derive(Serialize)]
struct Orders<'a> {
    calculator: &'a str,
    gpu: bool,
    nice: u8,
    settings: &'a Settings,
    scratch: &'a Path,
}

#[derive(Serialize)]
struct Entry<'a> {
    stem: &'a str,
    geometry: &'a str,
    kpts: [u32; 3],
    stress: bool,
}

impl<'a> Entry<'a> {
    fn of(candidate: &'a Candidate) -> Self {
        let Candidate { stem, geometry, kpoints, stress, .. } = candidate;
        Self { stem, geometry, kpts: *kpoints, stress: *stress }
    }
}

/// OpenBLAS chooses its kernels by the model of the processor, and takes those of 2004 (Prescott) for models newer than itself: Debian 12's
/// 0.3.21 multiplies matrices four to five times slower then, and GPAW takes twice as long. What the processor can do decides here.
fn openblas_kernels() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
        {
            return Some("SKYLAKEX");
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Some("HASWELL");
        }
    }
    None
}

impl Job {
    pub(crate) fn new(environment: Environment, calculator: &str, nice: u8, settings: &Settings) -> Result<Self> {
        let Environment { python, gpu } = environment;
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        for (name, text) in SCRIPTS {
            std::fs::write(folder.path().join(name), text).context("cannot write into a temporary folder")?;
        }
        let orders = Orders { calculator, gpu, nice, settings, scratch: folder.path() };
        let settings = serde_json::to_value(orders)?;
        let job = Self { folder, python, settings };
        job.write(&job.settings)?;
        Ok(job)
    }

    fn write(&self, orders: &serde_json::Value) -> Result<()> {
        let path = self.folder.path().join("job.json");
        std::fs::write(path, orders.to_string()).context("cannot write into a temporary folder")
    }

    fn command(&self, task: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg("-B").arg(self.folder.path().join("label.py")).arg(task).arg(self.folder.path().join("job.json"));
        // One process per core is faster than threads.
        for (name, value) in [("OMP_NUM_THREADS", Some("1")), ("OPENBLAS_CORETYPE", openblas_kernels())] {
            if let (None, Some(value)) = (std::env::var_os(name), value) {
                command.env(name, value);
            }
        }
        command
    }

    /// The version of the code; an error if the environment does not work.
    pub(crate) fn describe(&self) -> Result<Described> {
        let output = self.command("describe").stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("cannot start {}", self.python.display()))?;
        if output.status.code() == Some(NOT_USABLE) {
            bail!("{}", last_lines(&String::from_utf8_lossy(&output.stderr), 1));
        }
        if !output.status.success() {
            bail!(
                "{} cannot use this calculator:\n{}\nName a Python that can with --python, or leave that out to have one made",
                self.python.display(),
                last_lines(&String::from_utf8_lossy(&output.stderr), 5)
            );
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line).with_context(|| format!("{}: unexpected answer {line:?}", self.python.display()))
    }

    /// Tells the workers what there is to do.
    pub(crate) fn give(&self, records: &Records, candidates: &[&Candidate]) -> Result<()> {
        let path = self.folder.path().join("candidates.extxyz");
        let bare = |c: &&Candidate| Frame::new(c.frame.atoms.clone());
        write_extxyz(&path, &candidates.iter().map(bare).collect::<Vec<_>>())?;
        let entries: Vec<Entry<'_>> = candidates.iter().map(|c| Entry::of(c)).collect();
        let mut orders = self.settings.clone();
        orders["candidates"] = serde_json::to_value(&path)?;
        orders["folder"] = serde_json::to_value(std::path::absolute(&records.folder).context("no current folder")?)?;
        orders["entries"] = serde_json::to_value(entries)?;
        self.write(&orders)
    }

    /// Starts a process that labels what it is asked for.
    pub(crate) fn serve(&self) -> Result<Server> {
        let (file, log) = self.log()?;
        let mut command = self.command("serve");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.python.display()))?;
        let answers = BufReader::new(child.stdout.take().context("a process without standard output")?);
        Ok(Server { worker: Worker::new(child, log), answers })
    }

    /// Starts one worker.
    pub(crate) fn start(&self) -> Result<Worker> {
        let (file, log) = self.log()?;
        let mut command = self.command("work");
        let outputs = [file.try_clone(), Ok(file)].map(|f| f.map(Stdio::from));
        let [stdout, stderr] = outputs;
        // The worker ends when the pipe to it does, so it cannot be left behind.
        command.stdin(Stdio::piped()).stdout(stdout.context("log file")?).stderr(stderr.context("log file")?);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.python.display()))?;
        Ok(Worker::new(child, log))
    }

    /// A file that is one process's alone.
    fn log(&self) -> Result<(File, PathBuf)> {
        let log = tempfile::Builder::new().suffix(".log").tempfile_in(self.folder.path());
        log.and_then(|log| log.keep().map_err(|e| e.error)).context("cannot write into a temporary folder")
    }
}

/// One process.
pub(crate) struct Worker {
    child: Child,
    log: PathBuf,
    /// By which its claims are known.
    holder: Holder,
}

impl Worker {
    fn new(child: Child, log: PathBuf) -> Self {
        let holder = Holder::of_process(child.id());
        Self { child, log, holder }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask for the state of a worker")
    }

    /// The last lines that it wrote.
    pub(crate) fn last_words(&self) -> String {
        last_lines(&std::fs::read_to_string(&self.log).unwrap_or_default(), 5)
    }

    /// The candidate that it was at when it died.
    pub(crate) fn left_behind<'a>(&self, records: &Records, candidates: &[&'a Candidate]) -> Option<&'a Candidate> {
        candidates.iter().copied().find(|c| self.holder.holds(&records.folder.join(&c.stem)))
    }
}

/// A process that labels one configuration after the other.
pub(crate) struct Server {
    worker: Worker,
    answers: BufReader<ChildStdout>,
}

/// A configuration for a server.
#[derive(Serialize)]
struct Question<'a> {
    #[serde(flatten)]
    entry: Entry<'a>,
    symbols: Vec<&'a str>,
    cell: [[f64; 3]; 3],
    pbc: [bool; 3],
    positions: Vec<[f64; 3]>,
}

impl Server {
    /// Has it labelled. Afterwards there is a record of the label or the failure, unless another process is at it.
    pub(crate) fn ask(&mut self, candidate: &Candidate) -> Result<()> {
        let atoms = &candidate.frame.atoms;
        let v = atoms.cell.vectors;
        let question = Question {
            entry: Entry::of(candidate),
            symbols: atoms.species.iter().map(|s| s.symbol()).collect(),
            cell: [v.x_axis, v.y_axis, v.z_axis].map(|v| v.to_array()),
            pbc: atoms.cell.periodic.into(),
            positions: atoms.positions.iter().map(|p| p.to_array()).collect(),
        };
        let input = self.worker.child.stdin.as_mut().context("a process without standard input")?;
        let sent = writeln!(input, "{}", serde_json::to_string(&question)?).and_then(|()| input.flush());
        let mut answer = String::new();
        let heard = sent.and_then(|()| self.answers.read_line(&mut answer));
        if answer.trim() != "done" {
            let problem = heard.err().map(|e| format!(" ({e})")).unwrap_or_default();
            bail!("the calculator ended{problem}:\n{}", self.worker.last_words());
        }
        Ok(())
    }
}

impl Server {
    /// How it ended, and the last lines that it wrote.
    pub(crate) fn end(mut self) -> Result<(ExitStatus, String)> {
        drop(self.worker.child.stdin.take());
        let status = self.worker.child.wait().context("cannot ask for the state of a calculator")?;
        Ok((status, self.worker.last_words()))
    }
}

impl Drop for Server {
    /// The process ends with its standard input.
    fn drop(&mut self) {
        drop(self.worker.child.stdin.take());
        let _ = self.worker.child.wait();
    }
}

/// Writes down that a configuration kills its workers.
pub(crate) fn record_death(records: &Records, candidate: &Candidate, status: ExitStatus, words: &str) -> Result<()> {
    let reason = format!("the worker died twice ({status}; out of memory?) {words}");
    let failure = Failure { reason, geometry: Some(candidate.geometry.clone()) };
    let text = serde_json::to_string(&failure)?;
    Ok(knockon::io::write_atomically(&records.failure_path(candidate), text.as_bytes())?)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// `echo` stands for a Python that says a line.
    #[test]
    fn what_one_worker_says_is_not_lost_when_the_next_begins() -> Result<()> {
        let (folder, settings) = (tempfile::tempdir()?, serde_json::Value::Null);
        let job = Job { folder, python: PathBuf::from("echo"), settings };
        let mut first = job.start()?;
        first.child.wait()?;
        let said = first.last_words();
        let mut second = job.start()?;
        assert!(said.contains("label.py work") && first.last_words() == said && second.log != first.log);
        second.child.wait()?;
        assert_eq!(second.last_words(), said);
        Ok(())
    }
}

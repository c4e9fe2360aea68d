//! A computation under way, kept in a file, so that a process that is killed loses minutes and not hours.
//!
//! Whoever goes on from the file ends with the same bits as if nothing had happened: the file holds every number as it
//! stands in memory. It is bound to the inputs of the computation and to the sources of this library by a hash, and to its own
//! content by another; a file that does not fit is not used.

use super::claims::Claim;
use crate::Error;
use crate::io::{content_hash, remove_if_there, write_atomically};
use crate::progress::Progress;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How long computations run, and when they keep where they are. Results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunningSettings {
    /// Checkpoints are written after so many minutes.
    pub checkpoint_every_min: f64,
    /// Checkpoints are also written after so many steps.
    pub checkpoint_every_steps: Option<u64>,
    /// A recoil or a thermalisation that takes longer than so many hours, all processes together, fails.
    pub max_hours: f64,
}

impl Default for RunningSettings {
    fn default() -> Self {
        Self { checkpoint_every_min: 5.0, checkpoint_every_steps: None, max_hours: 240.0 }
    }
}

/// Where a computation keeps its state.
pub struct Checkpoint<'a> {
    path: Option<PathBuf>,
    key: String,
    inputs: String,
    settings: RunningSettings,
    progress: &'a dyn Progress,
    /// The right to do this work, where others may want it too.
    claim: Option<&'a Claim>,
    /// Whether the file is another computation's or another program's, which may want to go on from it.
    is_foreign: bool,
    /// Seconds that earlier processes took.
    earlier_s: f64,
    began: Instant,
    written: Instant,
    steps: u64,
}

/// What is in the file, after 16 digits of the hash of all this.
#[derive(Serialize, Deserialize)]
struct Content<T> {
    inputs: String,
    underway: Underway,
    state: T,
}

/// How far a computation is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Underway {
    /// Seconds of work so far.
    pub wall_time_s: f64,
    /// Part of the simulated time that is done, 0 to 1.
    pub part_done: f64,
}

impl Underway {
    /// Seconds that the whole computation takes if it goes on at this pace; none before it has moved.
    pub fn expected_s(&self) -> Option<f64> {
        (self.part_done > 0.0).then(|| self.wall_time_s / self.part_done)
    }
}

/// Digits of [`content_hash`].
const HASH_DIGITS: usize = 16;

/// Hash of the sources that this library was built from (build.rs): they say what a state means and how it goes on. Two builds of one
/// commit may differ, and two commits may have the same.
const SOURCES: &str = env!("KNOCKON_SOURCES");

impl<'a> Checkpoint<'a> {
    /// A checkpoint in the file `path`. `key` names all that the computation does not see of what it depends on, such as the
    /// potential.
    pub fn new(path: &Path, key: &str, settings: RunningSettings, progress: &'a dyn Progress) -> Self {
        Self { path: Some(path.to_owned()), key: key.to_owned(), settings, ..Self::nowhere(progress) }
    }

    /// Keeps nothing.
    pub fn nowhere(progress: &'a dyn Progress) -> Self {
        let now = Instant::now();
        Self {
            path: None,
            key: String::new(),
            inputs: String::new(),
            settings: RunningSettings::default(),
            progress,
            claim: None,
            is_foreign: false,
            earlier_s: 0.0,
            began: now,
            written: now,
            steps: 0,
        }
    }

    /// The same checkpoint, written only as long as the work is this process's.
    pub(super) fn under(self, claim: &'a Claim) -> Self {
        Self { claim: Some(claim), ..self }
    }

    /// Fails if another process has taken the work over: from then on its files are that one's.
    pub(super) fn check_claim(&self) -> Result<(), Error> {
        if !self.claim.is_some_and(Claim::is_lost) {
            return Ok(());
        }
        let work = self.path.as_ref().map_or(String::new(), |path| path.with_extension("").display().to_string());
        let problem =
            format!("{work} was taken over by another process, because this one was silent for more than 15 minutes");
        Err(Error::computation(problem, "What is done is kept: the same command does what is left"))
    }

    /// Who hears of progress.
    pub(super) fn progress(&self) -> &'a dyn Progress {
        self.progress
    }

    /// Wall time in seconds, earlier processes included.
    pub fn wall_time_s(&self) -> f64 {
        self.earlier_s + self.began.elapsed().as_secs_f64()
    }

    /// The state in the file if it belongs to a computation with these `inputs`, or in one that was set aside for that of
    /// another. A file that does not fit is reported, and set aside when the next is written.
    pub(super) fn resume<T: DeserializeOwned>(&mut self, inputs: &impl Serialize) -> Result<Option<T>, Error> {
        self.inputs = name(&self.key, SOURCES, inputs);
        let Some(path) = self.path.clone() else { return Ok(None) };
        let mut report = None;
        // Of a process that died while it put one checkpoint in the place of another, the new one is left.
        for file in [path.clone(), beside(&path, NEW), set_aside(&path)] {
            let bytes = match std::fs::read(&file) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other.map_err(|e| Error::io("read", &file, e))?,
            };
            match read::<T>(&bytes, &self.inputs) {
                Ok(content) => {
                    self.earlier_s = content.underway.wall_time_s;
                    let from = file.display();
                    self.progress.message(&format!("going on from {from}, after {:.0} s of work", self.earlier_s));
                    return Ok(Some(content.state));
                }
                Err(misfit) if file == path => {
                    self.is_foreign = misfit == Misfit::Other;
                    report = Some(format!("{}: {}", path.display(), misfit.describe()));
                }
                Err(_) => {}
            }
        }
        if let Some(report) = report {
            self.progress.message(&format!("{report}; it is not used, and the work begins anew"));
        }
        Ok(None)
    }

    /// To be called after every step, with the part of the work that is done and with what gives the state then. Writes it
    /// if it is time to, or if the computation is to stop, which then fails; it fails too if it took too long. Where it is only
    /// time to and the file cannot be written, that is reported, and tried again at the next time: nothing is lost yet.
    pub(super) fn offer<T: Serialize>(&mut self, part_done: f64, state: impl FnOnce() -> T) -> Result<(), Error> {
        self.steps += 1;
        let stopped = self.progress.is_stopped();
        let too_long = self.wall_time_s() > 3600.0 * self.settings.max_hours;
        let due = self.written.elapsed().as_secs_f64() >= 60.0 * self.settings.checkpoint_every_min
            || self.settings.checkpoint_every_steps.is_some_and(|every| self.steps.is_multiple_of(every));
        if due || stopped || too_long {
            match self.write(part_done, state()) {
                Err(error @ Error::Io { .. }) if !stopped && !too_long => {
                    self.written = Instant::now();
                    self.progress.message(&format!("WARNING: no checkpoint: {error}. The work goes on"));
                }
                other => other?,
            }
        }
        if too_long {
            let problem = format!("it took more than {} h", self.settings.max_hours);
            return Err(Error::computation(
                problem,
                "Raise max_hours ([running] of the settings, or --max-hours) and try again: it goes on from there",
            ));
        }
        if stopped { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Writes the state now.
    pub(super) fn write<T: Serialize>(&mut self, part_done: f64, state: T) -> Result<(), Error> {
        let Some(path) = &self.path else { return Ok(()) };
        self.check_claim()?;
        let underway = Underway { wall_time_s: self.wall_time_s(), part_done };
        let content = Content { inputs: self.inputs.clone(), underway, state };
        let body = postcard::to_stdvec(&content).expect("plain numbers and text");
        let mut bytes = content_hash(&body).into_bytes();
        bytes.extend(body);
        if self.is_foreign {
            // The new state first: what is set aside may take the place of the one that this work went on from.
            let new = beside(path, NEW);
            write_atomically(&new, &bytes)?;
            match std::fs::rename(path, set_aside(path)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other.map_err(|e| Error::io("rename", path, e))?,
            }
            std::fs::rename(&new, path).map_err(|e| Error::io("rename", &new, e))?;
            self.is_foreign = false;
        } else {
            write_atomically(path, &bytes)?;
        }
        self.written = Instant::now();
        Ok(())
    }

    /// Removes the file: the result is on disk.
    pub fn remove(&self) -> Result<(), Error> {
        self.path.as_ref().map_or(Ok(()), |path| remove_checkpoint(path))
    }
}

/// Ending of a checkpoint that is about to take the place of one of other work.
const NEW: &str = "new";

/// Removes a checkpoint and what was set aside for it.
pub(super) fn remove_checkpoint(path: &Path) -> Result<(), Error> {
    remove_if_there(path)?;
    remove_if_there(&beside(path, NEW))?;
    remove_if_there(&set_aside(path))?;
    Ok(())
}

/// Where a checkpoint goes when one of another program or of other work takes its place.
fn set_aside(path: &Path) -> PathBuf {
    beside(path, "other")
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Names a computation: equal names, equal bits.
fn name(key: &str, sources: &str, inputs: &impl Serialize) -> String {
    content_hash(&postcard::to_stdvec(&(key, sources, inputs)).expect("plain numbers and text"))
}

/// How far the computation was that keeps its state in the file `path`; none if there is no such file, or if this version of
/// the program cannot read it.
pub(super) fn underway(path: &Path) -> Option<Underway> {
    let mut beginning = Vec::new();
    File::open(path).ok()?.take(BEGINNING_BYTES).read_to_end(&mut beginning).ok()?;
    let (_, underway): (String, Underway) = postcard::take_from_bytes(beginning.get(HASH_DIGITS..)?).ok()?.0;
    (0.0..=1.0).contains(&underway.part_done).then_some(underway)
}

/// Enough for the hash, the inputs and [`Underway`].
const BEGINNING_BYTES: u64 = 256;

/// Why a checkpoint is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misfit {
    Damaged,
    Other,
}

impl Misfit {
    fn describe(self) -> &'static str {
        match self {
            Self::Damaged => "expected a checkpoint, found a damaged file",
            Self::Other => {
                "expected a checkpoint of this work, found one made with other inputs or by a program of other sources"
            }
        }
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8], inputs: &str) -> Result<Content<T>, Misfit> {
    let (hash, body) = bytes.split_at_checked(HASH_DIGITS).ok_or(Misfit::Damaged)?;
    if content_hash(body).as_bytes() != hash {
        return Err(Misfit::Damaged);
    }
    // The inputs come first: what follows need not be a state that this program knows.
    let (found, _) = postcard::take_from_bytes::<String>(body).map_err(|_| Misfit::Other)?;
    if found != inputs {
        return Err(Misfit::Other);
    }
    postcard::from_bytes(body).map_err(|_| Misfit::Other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use std::sync::Mutex;
    use std::time::Duration;

    const EVERY: RunningSettings =
        RunningSettings { checkpoint_every_min: 1e9, checkpoint_every_steps: Some(2), max_hours: 1e9 };

    #[test]
    fn what_fits_is_read_back_exactly_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.checkpoint");
        let state = (vec![0.1 + 0.2, f64::INFINITY, -0.0], u128::MAX);
        let open = |key: &str| Checkpoint::new(&path, key, EVERY, &Silent);
        let mut first = open("key");
        assert_eq!(first.resume::<(Vec<f64>, u128)>(&1).expect("no file"), None);
        first.offer(0.1, || &state).expect("not due");
        assert!(!path.exists() && underway(&path).is_none());
        first.offer(0.2, || &state).expect("written");
        let found = underway(&path).expect("under way");
        assert!(found.part_done == 0.2 && found.expected_s().expect("moved") >= found.wall_time_s);
        let read = |key: &str, inputs: i32| open(key).resume::<(Vec<f64>, u128)>(&inputs).expect("readable");
        let found = read("key", 1).expect("the state");
        assert_eq!(found.1, state.1);
        assert!(found.0.iter().zip(&state.0).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert!(read("key", 2).is_none() && read("other", 1).is_none());
        let bytes = std::fs::read(&path).expect("a file");
        for damaged in [&bytes[..bytes.len() - 1], &bytes[..7], &[], &[&bytes[..30], &[1], &bytes[31..]].concat()] {
            std::fs::write(&path, damaged).expect("written");
            assert!(read("key", 1).is_none());
        }
        first.remove().expect("removed");
        first.remove().expect("nothing to remove");
    }

    /// As by a program that was changed and built again from the same commit.
    #[test]
    fn a_checkpoint_of_other_sources_is_not_used() {
        assert_eq!(SOURCES.len(), 16);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.checkpoint");
        let open = || Checkpoint::new(&path, "key", EVERY, &Silent);
        for (sources, state) in [(SOURCES, Some(7_u8)), ("those of another build", None)] {
            let mut other = open();
            other.inputs = name("key", sources, &1);
            other.write(0.5, 7_u8).expect("written");
            assert_eq!(open().resume::<u8>(&1).expect("readable"), state);
        }
    }

    /// As when a program is built anew and the old one called again: each finds what it wrote.
    #[test]
    fn a_checkpoint_of_other_work_is_set_aside_and_taken_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.checkpoint");
        let work = |inputs: i32, state: u8| {
            let mut checkpoint = Checkpoint::new(&path, "key", EVERY, &Silent);
            let found = checkpoint.resume::<u8>(&inputs).expect("readable");
            checkpoint.write(0.5, state).expect("written");
            found
        };
        assert_eq!((work(1, 10), work(2, 20)), (None, None));
        assert_eq!((work(1, 11), work(1, 12)), (Some(10), Some(11)));
        assert_eq!((work(2, 21), work(1, 13), work(2, 22)), (Some(20), Some(12), Some(21)));
        // One generation is kept.
        assert_eq!((work(3, 30), work(1, 14)), (None, None));
        let last = Checkpoint::new(&path, "key", EVERY, &Silent);
        last.remove().expect("removed");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);

        // A damaged file is nobody's.
        work(1, 15);
        work(2, 23);
        std::fs::write(&path, "damaged").expect("written");
        assert_eq!((work(3, 31), work(1, 16)), (None, Some(15)));
    }

    /// Keeps what it is told.
    #[derive(Default)]
    struct Listener(Mutex<Vec<String>>);

    impl Progress for Listener {
        fn update(&self, _done: u64, _total: u64) {}
        fn message(&self, text: &str) {
            self.0.lock().expect("no panic").push(text.to_owned());
        }
    }

    /// As on a full disk: the state in memory goes on, and is written when there is room.
    #[test]
    fn a_checkpoint_that_cannot_be_written_is_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let obstacle = folder.path().join("a");
        let path = obstacle.join("b.checkpoint");
        std::fs::write(&obstacle, "not a folder").expect("written");
        let listener = Listener::default();
        let mut checkpoint = Checkpoint::new(&path, "key", EVERY, &listener);
        for step in 1..5_u8 {
            checkpoint.offer(0.1, || step).expect("a warning");
        }
        let said = listener.0.lock().expect("no panic").clone();
        assert!(said.len() == 2 && said[0].contains("WARNING: no checkpoint: cannot create"), "{said:?}");
        assert!(checkpoint.write(0.1, 5_u8).is_err());
        std::fs::remove_file(&obstacle).expect("removed");
        checkpoint.offer(0.1, || 5_u8).expect("not due");
        checkpoint.offer(0.1, || 6_u8).expect("written");
        assert!(path.exists());

        // Where the computation ends, its state would be lost.
        std::fs::remove_dir_all(&obstacle).expect("removed");
        std::fs::write(&obstacle, "not a folder").expect("written");
        let mut late = Checkpoint::new(&path, "key", RunningSettings { max_hours: 0.0, ..EVERY }, &listener);
        assert!(matches!(late.offer(0.1, || 1_u8), Err(Error::Io { .. })));
    }

    /// What build.rs leaves out of the hash of the sources is not what states depend on.
    #[test]
    fn states_do_not_depend_on_sources_that_are_not_hashed() {
        fn check(folder: &Path) {
            for entry in std::fs::read_dir(folder).expect("a folder of sources") {
                let path = entry.expect("an entry").path();
                if LEFT_OUT.iter().any(|name| path.ends_with(format!("src/{name}"))) {
                    continue;
                }
                if path.is_dir() {
                    check(&path);
                } else {
                    let text = std::fs::read_to_string(&path).expect("a source");
                    let used = LEFT_OUT.iter().find(|name| text.contains(&format!("crate::{name}")));
                    assert_eq!(used, None, "{}: take it into the hash of build.rs", path.display());
                }
            }
        }
        check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    }

    /// As in build.rs.
    const LEFT_OUT: [&str; 3] = ["response", "selection", "spectra"];

    /// Twelve steps and gradient changes of a quench of 49152 atoms, and six vectors more.
    #[test]
    fn a_full_size_state_is_written_in_moments() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.checkpoint");
        let state = vec![vec![glam::DVec3::new(0.1, 0.2, 0.3); 49152]; 30];
        let mut checkpoint = Checkpoint::new(&path, "", EVERY, &Silent);
        let began = Instant::now();
        checkpoint.write(0.5, &state).expect("written");
        let written = began.elapsed();
        assert_eq!(checkpoint.resume::<Vec<Vec<glam::DVec3>>>(&0).expect("readable").as_ref().map(Vec::len), None);
        checkpoint.write(0.5, &state).expect("written");
        let began = Instant::now();
        assert_eq!(checkpoint.resume::<Vec<Vec<glam::DVec3>>>(&0).expect("readable").as_ref(), Some(&state));
        eprintln!("35 MB written in {written:.2?}, read and compared in {:.2?}", began.elapsed());
        // Well below a second on an idle machine.
        assert!(written < Duration::from_secs(5), "{written:?}");
    }

    #[test]
    fn a_computation_that_takes_too_long_fails_and_keeps_its_state() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.checkpoint");
        let mut checkpoint = Checkpoint::new(&path, "", RunningSettings { max_hours: 0.0, ..EVERY }, &Silent);
        assert!(checkpoint.resume::<u8>(&0).expect("no file").is_none());
        let error = checkpoint.offer(0.0, || 7_u8).expect_err("too long").to_string();
        assert!(error.contains("max_hours") && path.exists(), "{error}");
    }
}

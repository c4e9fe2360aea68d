//! Who works on what, in a folder that processes on any number of machines share.
//!
//! The protocol of `companion/claims.py`, with which `knockon label` shares out its work: a claim is a file that is created
//! only if it is not there, which is atomic on local and on network file systems. If its owner is gone, whoever creates the
//! file of the next generation owns the work. Nothing is taken away from a living owner, so there is no race; the price is
//! that who gets a claim must look again whether the work has been done meanwhile.

use crate::Error;
use crate::io::{create_atomically, file_system_time, read_text, remove_unfinished};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, SystemTime};

const HEARTBEAT: Duration = Duration::from_secs(60);
/// An owner on another machine that has been silent for so long is gone.
const STALE: Duration = Duration::from_secs(900);
/// A successor that was made by mistake is gone after far less than this many moments.
const MOMENTS: usize = 200;
const MOMENT: Duration = Duration::from_millis(5);

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    /// The machine since it was started, and the container within it where the system says so.
    host: String,
    pid: u32,
    /// When the process was started, in the system's own count: its number alone may be given to another one later.
    started: Option<String>,
    /// Number of the claim among those of its process, so that no two claims look alike.
    #[serde(default)]
    number: u64,
}

/// How many claims this process has made.
static CLAIMS: AtomicU64 = AtomicU64::new(0);

impl Owner {
    fn this_process() -> Self {
        let pid = std::process::id();
        Self { host: host(), pid, started: started(pid), number: CLAIMS.fetch_add(1, Ordering::Relaxed) }
    }

    /// None if it cannot be known from here.
    fn lives(&self) -> Option<bool> {
        if self.host != host() || self.started.is_none() {
            return None;
        }
        match started(self.pid) {
            // Systems that hide the processes of other users (hidepid of proc(5)) hide the first one, too.
            None if started(1).is_none() => None,
            found => Some(found == self.started),
        }
    }
}

/// A process whose claims can be told from those of others, as far as the system says who it is.
pub struct Holder {
    /// See [`machine`].
    machine: Option<String>,
    pid: u32,
    /// See [`started`].
    started: Option<String>,
}

impl Holder {
    /// The process with this number, on this machine. It must not have been waited for yet: then its number may be another's.
    pub fn of_process(pid: u32) -> Self {
        Self { machine: machine(), pid, started: started(pid) }
    }

    /// Whether it has, or had when it ended, a claim on the work whose files begin with `stem`.
    pub fn holds(&self, stem: &Path) -> bool {
        (0..generations(stem)).filter_map(|generation| owner(&path(stem, generation))).any(|owner| self.is(&owner))
    }

    /// Others may have its number: on other machines, in other containers, or at another time.
    fn is(&self, owner: &Owner) -> bool {
        let same = |known: Option<&str>, found: Option<&str>| known.is_none_or(|known| found == Some(known));
        owner.pid == self.pid
            && same(self.started.as_deref(), owner.started.as_deref())
            && same(self.machine.as_deref(), Some(&owner.host))
    }
}

/// The right to do one piece of work, kept alive by a heartbeat until it is dropped.
pub(super) struct Claim {
    stem: PathBuf,
    generation: usize,
    /// What its file holds.
    text: String,
    /// Its end stops the heartbeat.
    _heart: Sender<()>,
}

impl Claim {
    /// A claim on the work whose files begin with `stem`, or None if somebody else is at it. Fails if the folder cannot be
    /// written to.
    pub(super) fn take(stem: &Path) -> Result<Option<Self>, Error> {
        let text = serde_json::to_string(&Owner::this_process()).expect("plain text");
        loop {
            let generation = generations(stem);
            let predecessor = generation.checked_sub(1).map(|g| path(stem, g));
            let seen = predecessor.as_deref().map(contents);
            if seen == Some(None) {
                continue; // given up this moment: count anew
            }
            if predecessor.as_deref().is_some_and(owner_lives) {
                return Ok(None);
            }
            let path = path(stem, generation);
            if !create_atomically(&path, text.as_bytes())? {
                return Ok(None);
            }
            // Had the predecessor been given up meanwhile, others would begin to count anew below this claim.
            if seen == predecessor.as_deref().map(contents) {
                return Ok(Some(Self::kept_alive(stem, generation, text)));
            }
            let _ = std::fs::remove_file(&path);
        }
    }

    fn kept_alive(stem: &Path, generation: usize, text: String) -> Self {
        let (heart, stopped) = channel();
        let (beating, same) = (path(stem, generation), text.clone());
        std::thread::spawn(move || {
            while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) && !is_replaced(&beating, &same) {
                // The same bytes again: the file gets the time of the file system's own clock, and readers always see all.
                let beat = OpenOptions::new().write(true).open(&beating);
                // Errors may pass: a file server that is away for a while.
                let _ = beat.and_then(|mut file| file.write_all(same.as_bytes()));
            }
        });
        Self { stem: stem.to_owned(), generation, text, _heart: heart }
    }

    /// Whether the work is another process's, which may be done with it by now: this one was taken for dead because it was
    /// silent for too long, as on a machine that was suspended.
    pub(super) fn is_lost(&self) -> bool {
        let successor = path(&self.stem, self.generation + 1);
        let is_succeeded = || {
            (0..MOMENTS).all(|_| {
                let exists = successor.exists();
                if exists {
                    std::thread::sleep(MOMENT);
                }
                exists
            })
        };
        is_replaced(&path(&self.stem, self.generation), &self.text) || is_succeeded()
    }

    /// Whether somebody is at the work whose files begin with `stem`.
    pub(super) fn is_held(stem: &Path) -> bool {
        let generation = generations(stem);
        generation > 0 && owner_lives(&path(stem, generation - 1))
    }

    /// Removes what dead owners left of finished work.
    pub(super) fn clear(stem: &Path) {
        remove_unfinished(stem);
        for generation in 0.. {
            if std::fs::remove_file(path(stem, generation)).is_err() {
                return;
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // One that was taken over stays below its successor. If it cannot be removed, it is given up when this process ends.
        if !self.is_lost() {
            let _ = std::fs::remove_file(path(&self.stem, self.generation));
        }
    }
}

fn path(stem: &Path, generation: usize) -> PathBuf {
    let name = stem.file_name().unwrap_or_default().to_string_lossy();
    stem.with_file_name(format!("{name}.claim{generation}"))
}

fn generations(stem: &Path) -> usize {
    (0..).take_while(|generation| path(stem, *generation).exists()).count()
}

/// None if there is no such file, nothing of one that cannot be read, such as another user's.
fn contents(path: &Path) -> Option<Vec<u8>> {
    match std::fs::read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(_) => Some(Vec::new()),
    }
}

/// Whether the file of a claim has gone or holds another one. Where it cannot be read at the moment, it is as it was.
fn is_replaced(path: &Path, text: &str) -> bool {
    match std::fs::read(path) {
        Ok(found) => found != text.as_bytes(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// None of a claim that cannot be read.
fn owner(path: &Path) -> Option<Owner> {
    read_text(path).ok().and_then(|text| serde_json::from_str(&text).ok())
}

fn owner_lives(path: &Path) -> bool {
    // A claim that cannot be read was made on a machine that died: its age decides.
    owner(path).and_then(|owner| owner.lives()).unwrap_or_else(|| !is_silent(path, now))
}

/// Whether a claim has been given up, or its owner silent for too long. An owner of whom that cannot be known, because the file
/// server is away for a while or this process may not write, lives: nothing is taken away from the living.
fn is_silent(path: &Path, now: impl FnOnce(&Path) -> std::io::Result<SystemTime>) -> bool {
    match std::fs::metadata(path).and_then(|m| m.modified()) {
        Ok(beat) => now(path).is_ok_and(|now| now.duration_since(beat).unwrap_or_default() >= STALE),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

/// The time by the clock of the file system, because those of the machines may differ.
fn now(claim: &Path) -> std::io::Result<SystemTime> {
    file_system_time(&claim.with_extension(""))
}

/// The number of this machine's start, and the container within it; None where the system does not say both, and
/// `companion/claims.py` writes something else.
fn machine() -> Option<String> {
    Some(format!("{} {}", boot_id()?, container()?))
}

/// [`machine`], or as much of it as is known.
fn host() -> String {
    let name = || std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned());
    let start = boot_id().unwrap_or_else(|| name().unwrap_or_else(|_| "unknown".to_owned()));
    format!("{start} {}", container().unwrap_or_default()).trim().to_owned()
}

/// Two machines may have one name, but never one number of their start.
fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// Containers of one machine do not see each other's processes.
fn container() -> Option<String> {
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(namespace.display().to_string())
}

/// Field 22 of /proc/PID/stat (proc(5)); the second field may hold anything in parentheses. None without such a process,
/// or where the system has no such file: there, age decides.
fn started(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn write(path: &Path, owner: &Owner) {
        std::fs::write(path, serde_json::to_string(owner).expect("plain text")).expect("written");
    }

    #[test]
    fn only_one_of_many_gets_a_claim() {
        let folder = tempfile::tempdir().expect("a folder");
        let stem = folder.path().join("run");
        let take = || Claim::take(&stem).expect("a folder to write to");
        let claims: Vec<Option<Claim>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect()
        });
        assert_eq!(claims.iter().flatten().count(), 1);
        assert!(Claim::is_held(&stem));
        drop(claims);
        assert!(!Claim::is_held(&stem) && take().is_some());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn claims_of_the_dead_are_taken_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let stem = folder.path().join("run");
        let living = Owner::this_process();
        // The same process number, given to a process that was started at another time.
        write(&path(&stem, 0), &Owner { started: Some("1".to_owned()), ..living.clone() });
        let claim = Claim::take(&stem).expect("a folder to write to").expect("the owner is gone");
        assert!(path(&stem, 1).exists() && Claim::take(&stem).expect("a folder to write to").is_none());
        drop(claim);
        Claim::clear(&stem);
        assert_eq!(generations(&stem), 0);

        // Of an owner elsewhere only the age is known.
        write(&path(&stem, 0), &Owner { host: "elsewhere".to_owned(), ..living });
        assert!(Claim::take(&stem).expect("a folder to write to").is_none());
        let long_ago = std::time::SystemTime::now() - 2 * STALE;
        OpenOptions::new().write(true).open(path(&stem, 0)).and_then(|f| f.set_modified(long_ago)).expect("set");
        // Whoever cannot tell the time takes nothing away.
        assert!(!is_silent(&path(&stem, 0), |_| Err(ErrorKind::NotFound.into())) && is_silent(&path(&stem, 0), now));
        assert!(!Claim::is_held(&stem));
        let successor = Claim::take(&stem).expect("a folder to write to").expect("the owner is gone");

        // The silent owner comes back, sees that and ends: its successor is still the only one.
        let text = read_text(&path(&stem, 0)).expect("a claim");
        let silent = || {
            let (_heart, _) = channel();
            Claim { stem: stem.clone(), generation: 0, text: text.clone(), _heart }
        };
        assert!(silent().is_lost() && !successor.is_lost());
        assert!(path(&stem, 0).exists() && Claim::take(&stem).expect("a folder to write to").is_none());
        drop(successor);
        Claim::clear(&stem);
        assert_eq!(generations(&stem), 0);

        // It comes back when its successor is done, and when the next one is at it.
        assert!(silent().is_lost());
        let next = Claim::take(&stem).expect("a folder to write to").expect("nobody else");
        assert!(silent().is_lost() && !next.is_lost());
    }

    /// Also by those that `companion/claims.py` writes, without a number.
    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_is_known_by_its_claims() {
        let folder = tempfile::tempdir().expect("a folder");
        let stem = folder.path().join("run");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("a process");
        let holder = Holder::of_process(child.id());
        child.kill().and_then(|()| child.wait()).expect("ended");
        let own = Owner {
            host: machine().expect("a machine with a number"),
            pid: holder.pid,
            started: holder.started.clone(),
            number: 0,
        };
        assert!(own.started.is_some() && own.host == host() && !holder.holds(&stem));
        let others = [
            Owner { pid: std::process::id(), ..own.clone() },
            Owner { host: "another container".to_owned(), ..own.clone() },
            Owner { started: Some("1".to_owned()), ..own.clone() },
        ];
        for (generation, other) in others.iter().enumerate() {
            write(&path(&stem, generation), other);
            assert!(!holder.holds(&stem), "{other:?}");
        }
        std::fs::write(path(&stem, 3), "cut sho").expect("written");
        assert!(!holder.holds(&stem));
        let words =
            format!(r#"{{"host": "{}", "pid": {}, "started": "{}"}}"#, own.host, own.pid, own.started.expect("known"));
        std::fs::write(path(&stem, 4), words).expect("written");
        assert!(holder.holds(&stem));
    }

    /// As one of another user, who has made it unreadable.
    #[test]
    fn a_claim_that_cannot_be_read_is_somebodys() {
        let folder = tempfile::tempdir().expect("a folder");
        let stem = folder.path().join("run");
        std::fs::create_dir(path(&stem, 0)).expect("nothing that can be read");
        assert!(Claim::take(&stem).expect("a folder to write to").is_none() && Claim::is_held(&stem));
    }

    /// Many threads take, hold and drop again and again: never two at a time.
    #[test]
    fn nobody_shares_a_claim_that_changes_hands() {
        let folder = tempfile::tempdir().expect("a folder");
        let stem = folder.path().join("run");
        let (holders, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            for _ in 0..300 {
                if let Some(claim) = Claim::take(&stem).expect("a folder to write to") {
                    assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                    taken.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    holders.fetch_sub(1, Ordering::SeqCst);
                    drop(claim);
                }
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
        assert!(taken.load(Ordering::SeqCst) > 0);
        assert_eq!(generations(&stem), 0);
    }
}

//! Who works on what, in a folder that processes on any number of machines share.
//!
//! The protocol of `companion/claims.py`, with which `knockon label` shares out its work: a claim is a file that is created
//! only if it is not there, which is atomic on local and on network file systems. If its owner is gone, whoever creates the
//! file of the next generation owns the work. Nothing is taken away from a living owner, so there is no race; the price is
//! that who gets a claim must look again whether the work has been done meanwhile.

use crate::Error;
use crate::io::{create_atomically, read_text};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

const HEARTBEAT: Duration = Duration::from_secs(60);
/// An owner on another machine that has been silent for so long is gone.
const STALE: Duration = Duration::from_secs(900);

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    /// Name of the machine, and of the container within it where the system says so.
    host: String,
    pid: u32,
    /// When the process was started, in the system's own count: its number alone may be given to another one later.
    started: Option<String>,
}

impl Owner {
    fn this_process() -> Self {
        let pid = std::process::id();
        Self { host: host(), pid, started: started(pid) }
    }

    /// None if it cannot be known from here.
    fn lives(&self) -> Option<bool> {
        let known = self.host == host() && self.started.is_some();
        known.then(|| started(self.pid) == self.started)
    }
}

/// The right to do one piece of work, kept alive by a heartbeat until it is dropped.
pub(super) struct Claim {
    path: PathBuf,
    /// Its end stops the heartbeat.
    _heart: Sender<()>,
}

impl Claim {
    /// A claim on the work whose files begin with `stem`, or None if somebody else is at it. Fails if the folder cannot be
    /// written to.
    pub(super) fn take(stem: &Path) -> Result<Option<Self>, Error> {
        let generation = generations(stem);
        if generation > 0 && owner_lives(&path(stem, generation - 1)) {
            return Ok(None);
        }
        let path = path(stem, generation);
        let text = serde_json::to_string(&Owner::this_process()).expect("plain text");
        if !create_atomically(&path, text.as_bytes())? {
            return Ok(None);
        }
        let (heart, stopped) = channel();
        let beating = path.clone();
        std::thread::spawn(move || {
            // The same bytes again: the file gets the time of the file system's own clock, and readers always see all.
            let beat = || OpenOptions::new().write(true).open(&beating).and_then(|mut f| f.write_all(text.as_bytes()));
            while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) && beat().is_ok() {}
        });
        Ok(Some(Self { path, _heart: heart }))
    }

    /// Whether somebody is at the work whose files begin with `stem`.
    pub(super) fn is_held(stem: &Path) -> bool {
        let generation = generations(stem);
        generation > 0 && owner_lives(&path(stem, generation - 1))
    }

    /// Removes what dead owners left of finished work.
    pub(super) fn clear(stem: &Path) {
        for generation in 0.. {
            if std::fs::remove_file(path(stem, generation)).is_err() {
                return;
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // If it cannot be removed, it is given up when this process ends.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn path(stem: &Path, generation: usize) -> PathBuf {
    let name = stem.file_name().unwrap_or_default().to_string_lossy();
    stem.with_file_name(format!("{name}.claim{generation}"))
}

fn generations(stem: &Path) -> usize {
    (0..).take_while(|generation| path(stem, *generation).exists()).count()
}

fn owner_lives(path: &Path) -> bool {
    let owner = read_text(path).ok().and_then(|text| serde_json::from_str::<Owner>(&text).ok());
    // A claim that cannot be read was made on a machine that died: its age decides.
    owner.and_then(|owner| owner.lives()).unwrap_or_else(|| age(path).is_some_and(|age| age < STALE))
}

/// By the clock of the file system, because those of the machines may differ. None if the file has gone.
fn age(path: &Path) -> Option<Duration> {
    let modified = std::fs::metadata(path).and_then(|m| m.modified()).ok()?;
    let probe = path.with_extension(format!("probe{}-{:?}", std::process::id(), std::thread::current().id()));
    let now = File::create(&probe).and_then(|f| f.metadata()).and_then(|m| m.modified());
    let _ = std::fs::remove_file(&probe);
    Some(now.ok()?.duration_since(modified).unwrap_or_default())
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "unknown".to_owned());
    // Containers of one machine may share its name, but do not see each other's processes.
    let container = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", name.trim(), container.display()).trim().to_owned()
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
        File::options().write(true).open(path(&stem, 0)).and_then(|f| f.set_modified(long_ago)).expect("set");
        assert!(Claim::take(&stem).expect("a folder to write to").is_some());
    }
}

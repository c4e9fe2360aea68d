//! Workers that are killed, stopped or many, and disks that are full: nothing is lost and no result changes. The full
//! version is validation/crash-safety.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn knockon(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
    command.args(arguments);
    command
}

fn succeed(arguments: &[&str]) -> Output {
    let output = knockon(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The campaign of validation/crash-safety with less to do.
fn plan(folder: &Path) {
    let text = std::fs::read_to_string(root().join("validation/crash-safety/campaign.toml")).unwrap();
    let data = root().join("data");
    let text = text
        .replace("../../data", data.to_str().unwrap())
        .replace("time_fs = 60.0", "time_fs = 15.0")
        .replace("time_fs = 100.0", "time_fs = 60.0");
    let config = folder.with_extension("toml");
    std::fs::write(&config, text).unwrap();
    succeed(&["campaign", "plan", config.to_str().unwrap(), "-o", folder.to_str().unwrap()]);
}

fn worker(folder: &Path) -> Child {
    let arguments = ["--threads", "1", "campaign", "run", folder.to_str().unwrap()];
    knockon(&arguments).stderr(Stdio::piped()).spawn().unwrap()
}

/// The table without wall times.
fn table(folder: &Path) -> Vec<String> {
    succeed(&["campaign", "collect", folder.to_str().unwrap()]);
    let text = std::fs::read_to_string(folder.join("recoils.csv")).unwrap();
    let wall = text.lines().next().unwrap().split(',').position(|name| name == "wall_time_s").unwrap();
    let others = |line: &str| {
        let cells = line.split(',').enumerate().filter(|(column, _)| *column != wall);
        cells.map(|(_, cell)| cell).collect::<Vec<_>>().join(",")
    };
    text.lines().map(others).collect()
}

/// Each recoil is done once, by four processes that begin at the same time.
fn shared(folder: &Path) -> Vec<String> {
    plan(folder);
    let workers: Vec<Child> = (0..4).map(|_| worker(folder)).collect();
    let mut said = String::new();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success());
        said += &String::from_utf8(output.stderr).unwrap();
    }
    for run in 0..6 {
        assert_eq!(said.matches(&format!("recoil {run}:")).count(), 1, "{said}");
    }
    assert_eq!(said.matches("thermalising").count(), 1, "{said}");
    table(folder)
}

#[test]
fn killed_and_stopped_workers_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let expected = shared(&folder.path().join("shared"));

    let killed = folder.path().join("killed");
    plan(&killed);
    // Ever later, so that it ends on slow machines too.
    let mut kills = 0;
    for round in 0_u64.. {
        let mut worker = worker(&killed);
        std::thread::sleep(Duration::from_millis(150 * (1 + round)));
        if worker.try_wait().unwrap().is_some() {
            break;
        }
        kills += 1;
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    assert!(kills >= 2, "{kills}");
    assert_eq!(table(&killed), expected);
    let left: Vec<_> = std::fs::read_dir(killed.join("runs")).unwrap().collect();
    assert_eq!(left.len(), 6, "{left:?}");

    // SIGTERM, as of a scheduler that takes the machine away.
    let stopped = folder.path().join("stopped");
    plan(&stopped);
    let first = worker(&stopped);
    while !stopped.join("runs/run-00000.checkpoint").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    Command::new("kill").args(["-TERM", &first.id().to_string()]).status().unwrap();
    let output = first.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("stopped as asked"), "{said}");
    let status = String::from_utf8(succeed(&["campaign", "status", stopped.to_str().unwrap()]).stdout).unwrap();
    assert!(status.contains(" % of its time simulated in 0.0 h"), "{status}");
    let said = String::from_utf8(worker(&stopped).wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("going on from"), "{said}");
    assert_eq!(table(&stopped), expected);
}

/// Taken away even if the test fails.
struct Disk(PathBuf);

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Needs the right to mount.
#[test]
fn a_full_disk_is_an_error_that_can_be_mended() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        let arguments = ["-t", "tmpfs", "-o", options, "none", disk.to_str().unwrap()];
        Command::new("mount").args(arguments).output().is_ok_and(|output| output.status.success())
    };
    if !mount("size=8m") {
        eprintln!("skipped: mounting a small disk is not permitted here");
        return;
    }
    let _mounted = Disk(disk.clone());
    let campaign = disk.join("campaign");
    plan(&campaign);
    let fails_with = |options: &str, reason: &str| {
        assert!(mount(&format!("remount,{options}")));
        let output = worker(&campaign).wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(reason) && said.contains("disk is not full"), "{said}");
    };
    let used: u64 = {
        let output = Command::new("du").args(["-sk", disk.to_str().unwrap()]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
    };
    fails_with(&format!("size={}k", used + 12), "No space left on device");
    fails_with("size=8m,ro", "Read-only file system");
    assert!(mount("remount,rw"));
    let done = worker(&campaign).wait_with_output().unwrap().status.success();
    let rows = table(&campaign).len();
    assert!(done && rows == 7, "{rows}");
}

//! `knockon label` with quick calculators of ASE: resumed work, several workers, failures.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use common::python;
use glam::DVec3;
use knockon::io::{Frame, read_extxyz, write_extxyz};
use knockon::{Atoms, Cell, Species};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Settings, candidates and labels in a folder of their own.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(settings: &str, candidates: &[Frame]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("label.toml"), settings).unwrap();
        write_extxyz(&folder.path().join("candidates.xyz"), candidates).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, calculator: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
        command.arg("label").arg(self.path("candidates.xyz")).arg("--calculator").arg(calculator);
        command.arg("--config").arg(self.path("label.toml")).arg("-o").arg(self.path("labels.xyz"));
        command.arg("--python").arg(python()).args(more);
        command.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python"));
        command
    }

    fn run(&self, calculator: &str, more: &[&str]) -> Output {
        self.command(calculator, more).output().unwrap()
    }

    /// Ids of the labels, in the order of the file.
    fn ids(&self) -> Vec<String> {
        let path = self.path("labels.xyz");
        let labels = if path.exists() { read_extxyz(&path).unwrap() } else { Vec::new() };
        labels.iter().map(|l| l.info.get("id").unwrap().to_owned()).collect()
    }
}

const EMT: &str = "xc = \"EMT\"\ncutoff_ev = 1.0\nkpoint_length_angstrom = 1.0\nstress = \"all\"\n";

/// A cubic cell of copper with `n` of its four atoms, the first moved by `shift`.
fn copper(id: &str, n: usize, shift: f64) -> Frame {
    let cell = Cell::periodic(DVec3::X * 3.61, DVec3::Y * 3.61, DVec3::Z * 3.61);
    let sites = [DVec3::new(shift, 0.0, 0.0), DVec3::new(1.805, 1.805, 0.0), DVec3::new(1.805, 0.0, 1.805)];
    let sites = [sites.as_slice(), &[DVec3::new(0.0, 1.805, 1.805)]].concat();
    let species = vec![Species::from_symbol("Cu").unwrap(); n];
    let mut frame = Frame::new(Atoms::new(cell, species, sites[..n].to_vec(), "copper").unwrap());
    frame.info.set("id", id);
    frame
}

fn coppers(n: usize) -> Vec<Frame> {
    (0..n).map(|k| copper(&format!("cu {k}"), 4, 0.1 * (k as f64 + 1.0))).collect()
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn labels_agree_with_the_calculator_and_settings_go_with_them() {
    let mut candidates = coppers(2);
    candidates[1].info.set("kpts", "2 1 3");
    let settings = EMT.replace("1.0\nkpoint", "1.5\npulay_stress_ev_per_atom = 0.5\nkpoint");
    let bench = Bench::new(&settings, &candidates);
    let output = bench.run("ase:ase.calculators.emt.EMT", &[]);
    assert!(output.status.success(), "{}", message(&output));
    let labels = read_extxyz(&bench.path("labels.xyz")).unwrap();
    assert_eq!(labels.len(), 2);
    assert_eq!(labels[0].atoms, candidates[0].atoms, "geometries keep all their digits");
    let info = |k: usize, key: &str| labels[k].info.get(key).unwrap_or("-").to_owned();
    assert_eq!([info(0, "xc"), info(0, "ecut"), info(0, "kpts")], ["EMT", "1.5", "-"]);
    assert_eq!([info(0, "code"), info(1, "kpts")], ["EMT of ASE 3.29.0", "2 1 3"]);
    let forces = labels[0].forces.as_ref().unwrap();
    assert!(forces[0].x < -0.1 && forces.iter().sum::<DVec3>().length() < 1e-10);
    let raw: Vec<f64> = labels[0].info.words("stress_raw").unwrap().iter().map(|w| w.parse().unwrap()).collect();
    let stress = labels[0].stress.unwrap();
    let pulay = 0.5 * 4.0 / 3.61_f64.powi(3);
    for (k, expected) in [pulay, pulay, pulay, 0.0, 0.0, 0.0].into_iter().enumerate() {
        assert!((raw[k] - stress[k] - expected).abs() < 1e-14, "{raw:?} {stress:?}");
    }
    // Other settings do not go into the same file, and an id stands for one geometry.
    std::fs::write(bench.path("label.toml"), EMT).unwrap();
    let refused = message(&bench.run("ase:ase.calculators.emt.EMT", &[]));
    assert!(refused.contains("choose another -o"), "{refused}");
    std::fs::write(bench.path("label.toml"), settings).unwrap();
    write_extxyz(&bench.path("candidates.xyz"), &[copper("cu 0", 4, 0.3)]).unwrap();
    let refused = message(&bench.run("ase:ase.calculators.emt.EMT", &[]));
    assert!(refused.contains("another geometry"), "{refused}");
}

#[test]
fn failures_are_recorded_and_never_become_labels() {
    let candidates: Vec<Frame> = (1..=4).chain([4]).map(|n| copper(&format!("n{n}"), n, 0.0)).take(4).collect();
    let mut candidates = candidates;
    candidates.push(Frame::new(candidates[3].atoms.supercell([2, 1, 1])));
    candidates[4].info.set("id", "n8");
    let bench = Bench::new(EMT, &candidates);
    let output = bench.run("ase:slow_emt.Moody", &["--workers", "2"]);
    assert!(output.status.success(), "{}", message(&output));
    assert_eq!(bench.ids(), ["n8"]);
    let text = message(&output);
    for expected in ["n1: FAILED, RuntimeError: no, thanks", "n2: FAILED, Unconverged", "n3: FAILED", "not finite"] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(text.contains("n4: FAILED, the worker died twice") && text.contains("1 labels, 4 failed"), "{text}");
    // They are not tried again unless asked, and then under the same rules.
    let again = message(&bench.run("ase:slow_emt.Moody", &[]));
    assert!(again.contains("n1: FAILED") && !again.contains("the worker died (") && bench.ids().len() == 1, "{again}");
    let again = message(&bench.run("ase:slow_emt.Moody", &["--retry-failed"]));
    assert!(again.contains("the worker died (") && bench.ids().len() == 1, "{again}");
}

/// Process ids of workers whose command line names a temporary folder of this test's candidates.
fn until(seconds: u64, what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(seconds), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn killed_work_goes_on_where_it_was() {
    let bench = Bench::new(EMT, &coppers(8));
    let mut child = bench.command("ase:slow_emt.SlowEMT", &["--workers", "2"]).spawn().unwrap();
    until(60, "some labels appear while others are being made", || bench.ids().len() >= 2);
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let done = bench.ids();
    assert!((2..8).contains(&done.len()), "{done:?}");
    // The workers end with their parent: no new records after a moment.
    let records = || std::fs::read_dir(bench.path("labels.xyz.records")).unwrap().count();
    std::thread::sleep(Duration::from_secs(1));
    let before = records();
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(records(), before, "orphans are at work");
    let output = bench.run("ase:slow_emt.SlowEMT", &["--workers", "2"]);
    assert!(output.status.success(), "{}", message(&output));
    let mut ids = bench.ids();
    assert_eq!(ids[..done.len()], done, "what was there stays");
    ids.sort();
    assert_eq!(ids, (0..8).map(|k| format!("cu {k}")).collect::<Vec<_>>());
    let left = std::fs::read_dir(bench.path("labels.xyz.records")).unwrap();
    let left: Vec<String> = left.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.contains("claim")), "{left:?}");
}

#[test]
fn a_killed_worker_is_replaced_and_two_programs_share_the_work() {
    let bench = Bench::new(EMT, &coppers(8));
    let programs: Vec<_> = (0..2)
        .map(|_| bench.command("ase:slow_emt.SlowEMT", &[]).stderr(std::process::Stdio::piped()).spawn().unwrap())
        .collect();
    let claim = || {
        let files = std::fs::read_dir(bench.path("labels.xyz.records")).ok()?;
        let path = files.filter_map(Result::ok).map(|f| f.path()).find(|p| p.to_string_lossy().contains(".claim"))?;
        let text = std::fs::read_to_string(path).ok()?;
        Some(serde_json::from_str::<serde_json::Value>(&text).ok()?["pid"].as_u64()?.to_string())
    };
    until(60, "somebody claims something", || claim().is_some());
    let pid = std::iter::repeat_with(claim).flatten().next().unwrap();
    assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let outputs: Vec<Output> = programs.into_iter().map(|p| p.wait_with_output().unwrap()).collect();
    let texts: Vec<String> = outputs.iter().map(message).collect();
    assert!(outputs.iter().all(|o| o.status.success()), "{texts:?}");
    assert_eq!(texts.iter().filter(|t| t.contains("the worker died (")).count(), 1, "{texts:?}");
    let mut ids = bench.ids();
    ids.sort();
    assert_eq!(ids, (0..8).map(|k| format!("cu {k}")).collect::<Vec<_>>(), "{texts:?}");
    assert!(texts.iter().all(|t| !t.contains("FAILED")), "{texts:?}");
}

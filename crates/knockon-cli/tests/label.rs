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
    // Nor without the records, of which the file of labels keeps the name of its settings.
    std::fs::rename(bench.path("labels.xyz.records"), bench.path("away")).unwrap();
    std::fs::write(bench.path("label.toml"), format!("{settings}[parameters]\nasap_cutoff = true\n")).unwrap();
    let refused = message(&bench.run("ase:ase.calculators.emt.EMT", &[]));
    assert!(refused.contains("label_settings") && refused.contains("choose another -o"), "{refused}");
    std::fs::remove_dir_all(bench.path("labels.xyz.records")).unwrap();
    std::fs::rename(bench.path("away"), bench.path("labels.xyz.records")).unwrap();
    std::fs::write(bench.path("label.toml"), settings).unwrap();
    let mut meshed = copper("cu 0", 4, 0.1);
    meshed.info.set("kpts", "2 2 2");
    for other in [copper("cu 0", 4, 0.3), meshed] {
        write_extxyz(&bench.path("candidates.xyz"), &[other]).unwrap();
        let refused = message(&bench.run("ase:ase.calculators.emt.EMT", &[]));
        assert!(refused.contains("another geometry or mesh"), "{refused}");
    }
}

/// Some codes say their version and pseudopotentials only in their results.
#[test]
fn a_code_that_changes_between_two_labels_is_noticed() {
    let bench = Bench::new(EMT, &coppers(3));
    assert!(bench.run("ase:ase.calculators.emt.EMT", &[]).status.success());
    std::fs::remove_file(bench.path("labels.xyz")).unwrap();
    let files = std::fs::read_dir(bench.path("labels.xyz.records")).unwrap().map(|f| f.unwrap().path());
    let record = files.into_iter().find(|p| p.to_string_lossy().contains("cu_1.")).unwrap();
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replace("EMT of ASE 3.29.0", "EMT of ASE 3.29.0 (patched)")).unwrap();
    let output = bench.run("ase:ase.calculators.emt.EMT", &[]);
    let said = message(&output);
    assert_eq!((output.status.code(), bench.ids()), (Some(2), vec!["cu 0".to_owned()]), "{said}");
    assert!(said.contains("expected the settings of \"cu 0\"") && said.contains("(patched)"), "{said}");
}

#[test]
fn failures_are_recorded_and_never_become_labels() {
    let mut candidates: Vec<Frame> = (1..=4).map(|n| copper(&format!("n{n}"), n, 0.0)).collect();
    candidates.push(Frame::new(candidates[3].atoms.supercell([2, 1, 1])));
    candidates[4].info.set("id", "n8");
    let bench = Bench::new(EMT, &candidates);
    let output = bench.run("ase:slow_emt.Moody", &["--workers", "2"]);
    assert_eq!(output.status.code(), Some(2), "{}", message(&output));
    assert_eq!(bench.ids(), ["n8"]);
    let text = message(&output);
    for expected in ["n1: FAILED, RuntimeError: no, thanks", "n2: FAILED, Unconverged", "n3: FAILED", "not finite"] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert!(text.contains("n4: FAILED, the worker died twice") && text.contains("1 labels, 4 failed"), "{text}");
    let end = text.split("4 of 5 failed:").nth(1).unwrap_or("");
    assert!(end.contains("n1: RuntimeError: no, thanks (") && end.contains(".failed.json)"), "{text}");
    assert!(end.contains("--retry-failed"), "{text}");
    // They are not tried again unless asked, and then under the same rules.
    let again = message(&bench.run("ase:slow_emt.Moody", &[]));
    assert!(again.contains("n1: FAILED") && !again.contains("the worker died (") && bench.ids().len() == 1, "{again}");
    let again = message(&bench.run("ase:slow_emt.Moody", &["--retry-failed"]));
    assert!(again.contains("the worker died (") && bench.ids().len() == 1, "{again}");
}

/// One atom is what the calculator fails for.
#[test]
fn a_code_that_never_works_does_not_spoil_the_queue() {
    let mut candidates: Vec<Frame> = (0..5).map(|k| copper(&format!("bad {k}"), 1, 0.1 * f64::from(k))).collect();
    candidates.push(Frame::new(copper("", 4, 0.0).atoms.supercell([2, 1, 1])));
    candidates[5].info.set("id", "good");
    let bench = Bench::new(EMT, &candidates);
    let failures = || {
        let files = std::fs::read_dir(bench.path("labels.xyz.records")).unwrap().flatten();
        files.filter(|file| file.file_name().to_string_lossy().ends_with(".failed.json")).count()
    };
    let output = bench.run("ase:slow_emt.Moody", &[]);
    let text = message(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("3 configurations in a row failed alike") && text.contains("no, thanks"), "{text}");
    assert!(text.contains("This looks like the installation: repair") && text.contains("not kept"), "{text}");
    assert_eq!(failures(), 0);
    // Where the code runs, failures are those of configurations.
    candidates.rotate_right(1);
    write_extxyz(&bench.path("candidates.xyz"), &candidates).unwrap();
    let output = bench.run("ase:slow_emt.Moody", &[]);
    assert!(message(&output).contains("5 of 6 failed"), "{}", message(&output));
    assert_eq!((bench.ids(), failures()), (vec!["good".to_owned()], 5));
}

/// A worker that has seen nothing but failures ends alone: the one beside it may be at the first that works.
/// With GPAW each holds a gigabyte, and queues are long.
#[test]
fn calculators_go_with_their_configurations() {
    let bench = Bench::new(EMT, &coppers(3));
    let output = bench.run("ase:slow_emt.Large", &[]);
    assert!(output.status.success(), "{}", message(&output));
    assert_eq!(bench.ids().len(), 3, "{}", message(&output));
}

/// A label costs minutes: who asks for the mirror image of another configuration should know.
#[test]
fn images_under_a_symmetry_of_the_crystal_are_named() {
    let bench = Bench::new(EMT, &[copper("plus", 4, 0.1), copper("other", 4, 0.2), copper("minus", 4, -0.1)]);
    let output = bench.run("ase:ase.calculators.emt.EMT", &[]);
    let said = message(&output);
    let expected = "minus has the same structure, turned, mirrored or moved as a whole, as plus";
    assert!(output.status.success() && said.contains(expected) && said.matches("warning").count() == 1, "{said}");
    assert_eq!(bench.ids().len(), 3);
}

#[test]
fn a_worker_without_luck_does_not_end_the_others() {
    let mut candidates = vec![Frame::new(copper("", 4, 0.0).atoms.supercell([2, 1, 1]))];
    candidates[0].info.set("id", "good");
    candidates.extend((0..5).map(|k| copper(&format!("bad {k}"), 1, 0.1 * f64::from(k))));
    let bench = Bench::new(EMT, &candidates);
    let output = bench.run("ase:slow_emt.SlowMoody", &["--workers", "2"]);
    let text = message(&output);
    assert!(output.status.code() == Some(2) && text.contains("1 labels, 5 failed"), "{text}");
    assert_eq!(bench.ids(), ["good"]);
}

#[test]
fn what_a_code_needs_is_asked_for_before_anything_is_tried() {
    let refused = |calculator: &str, parameters: &str| {
        let bench = Bench::new(&format!("{EMT}[parameters]\n{parameters}"), &coppers(1));
        let mut command = bench.command(calculator, &[]);
        for name in ["ASE_VASP_COMMAND", "VASP_COMMAND", "VASP_SCRIPT", "VASP_PP_PATH", "ASE_CP2K_COMMAND"] {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        assert!(output.status.code() == Some(2) && !bench.path("labels.xyz.records").exists(), "{}", message(&output));
        message(&output)
    };
    let cases = [
        ("vasp", "", "expected the command of VASP in the environment as ASE_VASP_COMMAND"),
        ("vasp", "command = \"no-such-vasp -x\"", "expected the program no-such-vasp"),
        ("vasp", "command = \"sh\"", "VASP_PP_PATH"),
        ("cp2k", "command = \"no-such-cp2k -s\"", "expected the program no-such-cp2k"),
        ("espresso", "command = \"no-such-pw.x\"", "expected the program no-such-pw.x"),
        ("espresso", "command = \"sh\"", "expected pseudo_dir in [parameters]"),
        (
            "espresso",
            "command = \"sh\"\npseudo_dir = \"/\"\npseudopotentials = { Cu = \"no-such.upf\" }",
            "expected the pseudopotential no-such.upf in /",
        ),
    ];
    for (calculator, parameters, expected) in cases {
        let text = refused(calculator, parameters);
        assert!(text.contains(expected) && !text.contains("--python"), "{calculator} {parameters}: {text}");
    }
}

/// Waits for something that must happen.
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
    // What was labelled before tells how long the rest takes.
    assert!(message(&output).contains(" to label, about "), "{}", message(&output));
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

#[test]
fn claims_of_other_machines_are_respected_until_they_are_old() {
    let bench = Bench::new(EMT, &coppers(1));
    assert!(bench.run("ase:slow_emt.Nothing", &[]).status.code() == Some(2), "no such calculator");
    let output = bench.run("ase:slow_emt.SlowEMT", &[]);
    assert!(output.status.success() && bench.ids() == ["cu 0"], "{}", message(&output));
    let records = bench.path("labels.xyz.records");
    let file =
        std::fs::read_dir(&records).unwrap().map(|f| f.unwrap().path()).find(|p| p.to_string_lossy().contains("cu_0"));
    let record = file.unwrap();
    let claim = PathBuf::from(record.to_string_lossy().replace(".json", ".claim0"));
    let forget = || {
        let _ = std::fs::remove_file(&record);
        let _ = std::fs::remove_file(bench.path("labels.xyz"));
    };
    let claim_it = |age: Duration| {
        forget();
        std::fs::write(&claim, r#"{"host": "elsewhere", "pid": 1, "started": "1"}"#).unwrap();
        let time = std::time::SystemTime::now() - age;
        std::fs::File::options().write(true).open(&claim).unwrap().set_modified(time).unwrap();
    };
    claim_it(Duration::from_secs(60));
    let text = message(&bench.run("ase:slow_emt.SlowEMT", &[]));
    assert!(text.contains("1 configurations are being labelled by other workers") && bench.ids().is_empty(), "{text}");
    claim_it(Duration::from_secs(3600));
    let text = message(&bench.run("ase:slow_emt.SlowEMT", &[]));
    assert!(bench.ids() == ["cu 0"] && !claim.exists(), "{text}");
}

/// Inputs for a code.
fn inputs(bench: &Bench, code: &str, more: &[&str]) -> Output {
    // Inputs of another call are not written over.
    let _ = std::fs::remove_dir_all(bench.path("inputs"));
    write_inputs(bench, code, more)
}

fn write_inputs(bench: &Bench, code: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
    command.arg("dft-input").arg(bench.path("candidates.xyz")).args(["--code", code, "-o"]).arg(bench.path("inputs"));
    command.arg("--config").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cawo4/label.toml"));
    command.args(more).output().unwrap()
}

#[test]
fn inputs_for_codes_elsewhere() {
    let mut box_ = copper("W and O", 4, 0.1);
    for (k, symbol) in ["O", "W", "O", "W"].into_iter().enumerate() {
        box_.atoms.species[k] = Species::from_symbol(symbol).unwrap();
    }
    box_.info.set("kpts", "1 1 1");
    let bench = Bench::new(EMT, &[box_.clone()]);
    let folder = bench.path("inputs/0000-W_and_O");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let output = inputs(&bench, "vasp", &["--hse06", "--relax", "--potcar", "W=W_pv"]);
    assert!(output.status.success(), "{}", message(&output));
    let written = knockon::io::parse_poscar(&text("pbe/POSCAR"), "POSCAR").unwrap();
    let symbols: Vec<&str> = written.atoms.species.iter().map(|s| s.symbol()).collect();
    assert_eq!(symbols, ["O", "O", "W", "W"], "each species once, as in the POTCAR");
    assert_eq!(written.atoms.positions[1], box_.atoms.positions[2]);
    assert!(text("pbe/POTCAR.txt").contains("cat $POTPAW_PBE/O/POTCAR $POTPAW_PBE/W_pv/POTCAR > POTCAR"));
    assert!(text("pbe/INCAR").contains("LWAVE  = .TRUE.") && text("pbe/INCAR").contains("EDIFFG = -0.002"));
    assert!(text("hse06/INCAR").contains("HFSCREEN = 0.2") && text("hse06/KPOINTS").contains("Gamma\n1 1 1\n"));
    for (more, expected) in
        [(&[][..], "a new or empty folder"), (&["--potcar", "Fe=Fe_pv"], "an element of the candidates")]
    {
        let refused = write_inputs(&bench, "vasp", more);
        assert!(!refused.status.success() && message(&refused).contains(expected), "{}", message(&refused));
    }
    // HSE06 begins where PBE ended.
    let positions_of_pbe = "RESTART_FILE_NAME ../pbe/pbe-1.restart\n  RESTART_DEFAULT F\n  RESTART_POS T\n";
    assert!(inputs(&bench, "cp2k", &["--hse06", "--relax"]).status.success());
    assert!(text("hse06/hse06.inp").contains(positions_of_pbe) && !text("pbe/pbe.inp").contains("EXT_RESTART"));
    let output = inputs(&bench, "cp2k", &["--hse06"]);
    assert!(output.status.success(), "{}", message(&output));
    assert!(!text("hse06/hse06.inp").contains("EXT_RESTART"));
    assert!(text("hse06/hse06.inp").contains("WFN_RESTART_FILE_NAME ../pbe/pbe-RESTART.wfn"));
    // Where CP2K is installed, it must accept its inputs, with k-points, too.
    let mut mesh = box_;
    mesh.info.set("kpts", "1 2 1");
    write_extxyz(&bench.path("candidates.xyz"), &[mesh]).unwrap();
    assert!(message(&write_inputs(&bench, "cp2k", &["--hse06"])).contains("expected Gamma only"));
    let files = [folder.join("pbe/pbe.inp"), folder.join("hse06/hse06.inp")];
    let accepted = |file: &PathBuf| {
        let check =
            Command::new("cp2k").arg("--check").arg("-i").arg(file).current_dir(file.parent().unwrap()).output();
        check.is_ok_and(|o| String::from_utf8_lossy(&o.stdout).contains("SUCCESS"))
    };
    let installed = Command::new("cp2k").arg("--version").output().is_ok();
    assert!(!installed || files.iter().all(accepted));
    assert!(inputs(&bench, "cp2k", &["--relax"]).status.success());
    assert!(!installed || accepted(&files[0]));
}

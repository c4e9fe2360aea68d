//! `knockon relax`, `knockon elastic` and `knockon frenkel` with an ASE calculator instead of a model.

#![cfg(unix)]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::python;
use glam::DVec3;
use knockon::io::{Frame, read_extxyz, write_extxyz};
use knockon::{Atoms, Cell, Species};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const EMT: &str = "xc = \"EMT\"\ncutoff_ev = 1.0\nkpoint_length_angstrom = 1.0\nstress = \"marked\"\n";

/// Four atoms of copper, the first away from its site.
fn copper(id: &str, shift: DVec3) -> Frame {
    let cell = Cell::periodic(DVec3::X * 3.61, DVec3::Y * 3.61, DVec3::Z * 3.61);
    let sites = [shift, DVec3::new(1.805, 1.805, 0.0), DVec3::new(1.805, 0.0, 1.805), DVec3::new(0.0, 1.805, 1.805)];
    let mut frame = Frame::new(Atoms::new(cell, vec![element("Cu"); 4], sites.to_vec(), "copper").unwrap());
    frame.info.set("id", id);
    frame
}

fn element(symbol: &str) -> Species {
    Species::from_symbol(symbol).unwrap()
}

fn knockon(folder: &Path, verb: &str, calculator: &str, more: &[&str]) -> Output {
    knockon_with(folder, EMT, verb, calculator, more)
}

fn knockon_with(folder: &Path, settings: &str, verb: &str, calculator: &str, more: &[&str]) -> Output {
    command(folder, settings, verb, calculator, more).output().unwrap()
}

/// Calculators may be in `tests/python` and in the folder.
fn command(folder: &Path, settings: &str, verb: &str, calculator: &str, more: &[&str]) -> Command {
    std::fs::write(folder.join("label.toml"), settings).unwrap();
    let modules = [Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python"), folder.to_owned()];
    let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
    command.current_dir(folder);
    command.args([verb, "--calculator", calculator, "--calculator-config", "label.toml", "--python"]);
    command.arg(python()).args(more).env("PYTHONPATH", std::env::join_paths(modules).unwrap());
    command
}

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn atoms_relax_with_a_calculator_and_every_evaluation_is_a_label() {
    let folder = tempfile::tempdir().unwrap();
    let starts = [("site", DVec3::ZERO), ("a", DVec3::X * 0.2), ("b", DVec3::new(0.1, -0.1, 0.05))];
    let mut starts: Vec<Frame> = starts.map(|(id, shift)| copper(id, shift)).to_vec();
    for (key, value) in [("cls", "frenkel"), ("site", "7"), ("kpts", "2 2 2"), ("xc", "model")] {
        starts[1].info.set(key, value);
    }
    write_extxyz(&folder.path().join("starts.xyz"), &starts).unwrap();
    let exactly = ["starts.xyz", "-o", "relaxed.xyz", "--max-force", "1e-4"];
    let relax = || knockon(folder.path(), "relax", "ase:ase.calculators.emt.EMT", &exactly);
    let output = relax();
    assert!(output.status.success(), "{}", message(&output));
    let relaxed = read_extxyz(&folder.path().join("relaxed.xyz")).unwrap();
    let energy = |k: usize| relaxed[k].energy_ev.unwrap();
    // The site is a minimum by symmetry; the others come back to it.
    for (k, start) in starts.iter().enumerate() {
        assert_eq!(relaxed[k].info.get("id"), start.info.get("id"));
        assert!((energy(k) - energy(0)).abs() < 1e-6, "{k}: {} {}", energy(k), energy(0));
    }
    let labels = read_extxyz(&folder.path().join("relaxed.evaluations.xyz")).unwrap();
    assert!(labels.len() > 6 && labels.iter().all(|l| l.info.get("xc") == Some("EMT") && l.forces.is_some()));
    // Steps have the keys by which a fit keeps relatives together.
    for start in &starts {
        let steps = labels.iter().filter(|l| l.info.get("parent") == start.info.get("id"));
        let numbers: Vec<f64> = steps.clone().filter_map(|l| l.info.number("step")).collect();
        assert!(!numbers.is_empty() && numbers.iter().enumerate().all(|(k, n)| *n == k as f64), "{numbers:?}");
        let first = steps.clone().next().unwrap();
        assert_eq!(first.atoms, start.atoms);
        for label in steps {
            let [of_label, of_start] = [label, start].map(|f| ["cls", "site"].map(|key| f.info.get(key)));
            assert_eq!(of_label, of_start);
            assert!(label.info.get("kpts").is_none(), "the mesh is that of the evaluation");
        }
    }
    assert!(labels.iter().all(|l| l.info.get("parent").is_some()));
    // What was computed is looked up.
    let written = || {
        let files = std::fs::read_dir(folder.path().join("relaxed.evaluations.xyz.records")).unwrap().flatten();
        let mut times: Vec<_> = files
            .filter(|file| file.path().extension().is_some_and(|e| e == "json"))
            .map(|file| (file.path(), file.metadata().unwrap().modified().unwrap()))
            .collect();
        times.sort();
        times
    };
    let (before, table) = (written(), std::fs::read(folder.path().join("relaxed.xyz")).unwrap());
    std::fs::remove_file(folder.path().join("relaxed.xyz")).unwrap();
    assert!(relax().status.success());
    assert_eq!((written(), std::fs::read(folder.path().join("relaxed.xyz")).unwrap()), (before, table.clone()));

    // A record of another geometry with the same name is refused; those of earlier versions do not say of which they are.
    let record = written().remove(0).0;
    let text = std::fs::read_to_string(&record).unwrap();
    let mut changed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(changed["geometry"].as_str().map(str::len), Some(16), "{text}");
    changed["geometry"] = "0123456789abcdef".into();
    std::fs::write(&record, changed.to_string()).unwrap();
    let refused = relax();
    assert_eq!(refused.status.code(), Some(2));
    assert!(message(&refused).contains("another that has the same name"), "{}", message(&refused));
    changed.as_object_mut().unwrap().remove("geometry");
    std::fs::write(&record, changed.to_string()).unwrap();
    let accepted = relax();
    assert!(accepted.status.success(), "{}", message(&accepted));
    assert_eq!(std::fs::read(folder.path().join("relaxed.xyz")).unwrap(), table);
}

/// The first start is relaxed, the second one under way.
#[test]
fn what_was_computed_is_there_when_the_program_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_extxyz(&at("starts.xyz"), &[copper("a", DVec3::X * 0.2), copper("b", DVec3::Y * 0.2)]).unwrap();
    let arguments = ["starts.xyz", "-o", "relaxed.xyz", "--max-force", "0.02"];
    let relax = || command(folder.path(), EMT, "relax", "ase:slow_emt.SlowEMT", &arguments);
    let mut child = relax().stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !at("relaxed.xyz").exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "nothing is relaxed");
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    let relaxed = read_extxyz(&at("relaxed.xyz")).unwrap();
    assert_eq!(relaxed.iter().map(|f| f.info.get("id")).collect::<Vec<_>>(), [Some("a")]);
    let kept = read_extxyz(&at("relaxed.evaluations.xyz")).unwrap();
    let records = std::fs::read_dir(at("relaxed.evaluations.xyz.records")).unwrap().flatten();
    let n_records = records.filter(|f| f.path().extension().is_some_and(|e| e == "json")).count();
    assert!(kept.len() >= 3 && n_records <= kept.len() + 1, "{} {n_records}", kept.len());
    // A record can be understood without its label.
    for label in &kept {
        let id = label.info.get("id").unwrap();
        let name = format!("{id}.{}.json", id.trim_start_matches("geometry-"));
        let text = std::fs::read_to_string(at("relaxed.evaluations.xyz.records").join(name)).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        let positions: Vec<[f64; 3]> = serde_json::from_value(record["positions"].clone()).unwrap();
        assert_eq!(positions, label.atoms.positions.iter().map(|x| x.to_array()).collect::<Vec<_>>());
        assert_eq!(record["symbols"], serde_json::json!(["Cu", "Cu", "Cu", "Cu"]));
        assert_eq!(
            (record["cell"][2][2].as_f64(), &record["pbc"]),
            (Some(3.61), &serde_json::json!([true, true, true]))
        );
    }
    let output = relax().output().unwrap();
    assert!(output.status.success(), "{}", message(&output));
    let all = read_extxyz(&at("relaxed.evaluations.xyz")).unwrap();
    assert_eq!(all[..kept.len()], kept);
    for start in ["a", "b"] {
        let steps = all.iter().filter(|l| l.info.get("parent") == Some(start)).filter_map(|l| l.info.number("step"));
        assert!(steps.enumerate().all(|(k, step)| step == k as f64), "steps are counted on");
    }
}

/// Has no result near the site, nor in a process that is not nice.
const HOLED: &str = "import os
from ase.calculators.emt import EMT
class Holed(EMT):
    def calculate(self, *arguments, **more):
        super().calculate(*arguments, **more)
        if os.nice(0) < 5 or abs(self.atoms.positions[0, 0]) < 0.15:
            raise RuntimeError('a hole')
";

#[test]
fn what_does_not_relax_ends_at_its_lowest_point() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut starts = [copper("site", DVec3::ZERO), copper("a", DVec3::X * 0.2)];
    starts[1].info.set("cls", "frenkel");
    write_extxyz(&at("starts.xyz"), &starts).unwrap();
    std::fs::write(at("holed.py"), HOLED).unwrap();
    let few = ["starts.xyz", "-o", "few.xyz", "--max-evaluations", "3"];
    let holed = ["starts.xyz", "-o", "holed.xyz", "--nice", "5"];
    let cases =
        [("few", "ase:ase.calculators.emt.EMT", few.as_slice()), ("holed", "ase:holed.Holed", holed.as_slice())];
    for (name, calculator, arguments) in cases {
        let output = knockon(folder.path(), "relax", calculator, arguments);
        assert!(output.status.code() == Some(2) && message(&output).contains("converged=F"), "{}", message(&output));
        let found = read_extxyz(&at(&format!("{name}.xyz"))).unwrap();
        let lowest = found.iter().find(|f| f.info.get("id") == Some("a")).unwrap();
        let info = |key: &str| lowest.info.get(key).unwrap_or("-");
        assert_eq!(
            [info("converged"), info("cls"), info("xc"), info("parent")],
            ["F", "frenkel", "EMT", "-"],
            "{name}"
        );
        let force = lowest.max_force_ev_per_angstrom().unwrap();
        assert!(
            force > 1e-4 && (lowest.info.number("max_force").unwrap() / force - 1.0).abs() < 1e-3,
            "{name} {force}"
        );
        let labels = read_extxyz(&at(&format!("{name}.evaluations.xyz"))).unwrap();
        let steps = labels.iter().filter(|l| l.info.get("parent") == Some("a"));
        let energies: Vec<f64> = steps.map(|l| l.energy_ev.unwrap()).collect();
        assert!(energies.iter().all(|e| *e >= lowest.energy_ev.unwrap()), "{name} {energies:?}");
        // In the hole there is nothing to tell; a site has no forces from the start.
        let site = found.iter().find(|f| f.info.get("id") == Some("site"));
        assert_eq!(site.map(|f| f.info.get("converged")), (name == "few").then_some(None), "{name}");
    }
    // Relaxed on from there it is like any other.
    let output = knockon(folder.path(), "relax", "ase:ase.calculators.emt.EMT", &["few.xyz", "-o", "relaxed.xyz"]);
    assert!(output.status.success(), "{}", message(&output));
    let relaxed = read_extxyz(&at("relaxed.xyz")).unwrap();
    assert!(relaxed.len() == 2 && relaxed.iter().all(|f| f.info.get("converged").is_none()));
    assert!(relaxed[1].info.number("max_force").unwrap() <= 0.03, "what a calculator is asked for by default");
}

#[test]
fn even_a_guide_that_knows_nothing_leads_to_a_minimum() {
    let folder = tempfile::tempdir().unwrap();
    // A crystal of oxygen as the effective medium theory would have it, and a model of a tungstate.
    let mut frame = copper("oxygen", DVec3::new(0.1, 0.0, 0.05));
    frame.atoms.species = vec![element("O"); 4];
    let scale = 3.9 / 3.61;
    frame.atoms.cell = Cell::periodic(DVec3::X * 3.9, DVec3::Y * 3.9, DVec3::Z * 3.9);
    frame.atoms.positions.iter_mut().for_each(|x| *x *= scale);
    write_extxyz(&folder.path().join("start.xyz"), &[frame]).unwrap();
    let relax = |more: &[&str]| {
        let arguments = [&["start.xyz", "-o", "relaxed.xyz", "--max-force", "1e-3"], more].concat();
        let output = knockon(folder.path(), "relax", "ase:ase.calculators.emt.EMT", &arguments);
        assert!(output.status.success(), "{}", message(&output));
        read_extxyz(&folder.path().join("relaxed.xyz")).unwrap()[0].energy_ev.unwrap()
    };
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4/cawo4.model");
    let (alone, guided) = (relax(&[]), relax(&["--guide", model.to_str().unwrap()]));
    assert!(guided < alone + 1e-3, "{alone} {guided}");
}

#[test]
fn a_calculator_that_fails_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let mut frame = copper("gold and nothing", DVec3::ZERO);
    frame.atoms.species[0] = element("W"); // not in EMT
    write_extxyz(&folder.path().join("starts.xyz"), &[frame, copper("fine", DVec3::X * 0.1)]).unwrap();
    let output = knockon(folder.path(), "relax", "ase:ase.calculators.emt.EMT", &["starts.xyz", "-o", "relaxed.xyz"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message(&output).contains("NotImplementedError") && message(&output).contains("records"),
        "{}",
        message(&output)
    );
    // The other one is relaxed all the same, and says with what.
    let relaxed = read_extxyz(&folder.path().join("relaxed.xyz")).unwrap();
    let info = |key: &str| relaxed[0].info.get(key).unwrap_or("-").to_owned();
    assert_eq!((relaxed.len(), info("id"), info("xc")), (1, "fine".to_owned(), "EMT".to_owned()));
    // A start that kills the code has failed like others, for good.
    for _ in 0..2 {
        let output = knockon(folder.path(), "relax", "ase:slow_emt.Moody", &["starts.xyz", "-o", "dead.xyz"]);
        let text = message(&output);
        assert!(output.status.code() == Some(2) && text.contains("the worker died twice"), "{text}");
        assert!(text.contains("remove ") && text.contains(".failed.json: it is computed again then"), "{text}");
    }
    // A cell needs a stress.
    let cell = ["starts.xyz", "-o", "cell.xyz", "--cell"];
    let output =
        knockon_with(folder.path(), &EMT.replace("marked", "none"), "relax", "ase:ase.calculators.emt.EMT", &cell);
    assert!(output.status.code() == Some(2) && message(&output).contains("found \"none\""), "{}", message(&output));
    let output = knockon(folder.path(), "relax", "emt", &["starts.xyz", "-o", "relaxed.xyz"]);
    assert!(message(&output).contains("expected gpaw, cp2k"), "{}", message(&output));
}

/// An atom of copper moved to another place, in 27 atoms: far too few for a stable pair, but every start must end somewhere.
#[test]
fn a_search_is_driven_by_a_calculator() {
    let folder = tempfile::tempdir().unwrap();
    write_extxyz(&folder.path().join("copper.xyz"), &[copper("copper", DVec3::ZERO)]).unwrap();
    let search = "crystal = \"copper.xyz\"\nrelax_cell = false\nspecies = [\"Cu\"]\nsupercells = [3]\n\
                  grid_spacing_angstrom = 1.9\nmin_distance_angstrom = 1.5\nreach_angstrom = 2.6\n\
                  max_force_ev_per_angstrom = 0.02\n\
                  elastic_constants_gpa = [[173, 116, 116, 0, 0, 0], [116, 173, 116, 0, 0, 0], [116, 116, 173, 0, 0, 0],\n\
                  [0, 0, 0, 91, 0, 0], [0, 0, 0, 0, 91, 0], [0, 0, 0, 0, 0, 91]]\n";
    std::fs::write(folder.path().join("frenkel.toml"), search).unwrap();
    let output = knockon(folder.path(), "frenkel", "ase:ase.calculators.emt.EMT", &["frenkel.toml", "-o", "out"]);
    assert!(output.status.success(), "{}", message(&output));
    assert!(message(&output).contains("starts: ") && message(&output).contains("0 failed"), "{}", message(&output));
    let labels = read_extxyz(&folder.path().join("out/evaluations.xyz")).unwrap();
    // The first label is of the perfect box, which has no forces; all have a stress.
    assert!(labels[0].atoms.len() == 27 && labels[0].max_force_ev_per_angstrom().unwrap() < 1e-9);
    assert!(labels.len() > 10 && labels.iter().all(|l| l.stress.is_some()));

    // Labelled pairs are compared with models; a code would take days to relax them.
    let mut pairs = [copper("perfect", DVec3::ZERO), copper("pair", DVec3::X * 0.3)];
    for (frame, class) in pairs.iter_mut().zip(["perfect", "frenkel"]) {
        frame.info.set("cls", class);
        frame.energy_ev = Some(0.0);
    }
    write_extxyz(&folder.path().join("pairs.xyz"), &pairs).unwrap();
    let more = ["frenkel.toml", "-o", "out", "--labels", "pairs.xyz"];
    let output = knockon(folder.path(), "frenkel", "ase:ase.calculators.emt.EMT", &more);
    assert!(output.status.success(), "{}", message(&output));
    assert!(!folder.path().join("out/labelled.json").exists());
    assert_eq!(read_extxyz(&folder.path().join("out/evaluations.xyz")).unwrap().len(), labels.len());
}

/// Slopes of the stress of strained copper, found by ASE alone.
const SLOPES: &str = "from ase.build import bulk
from ase.calculators.emt import EMT
import numpy as np
def stress(strain):
    atoms = bulk('Cu', 'fcc', 3.61, cubic=True)
    atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    atoms.calc = EMT()
    return atoms.get_stress()
def slope(i, j):
    e = np.zeros((3, 3))
    e[i, j] = e[j, i] = 0.002 if i == j else 0.001
    return (stress(e) - stress(-e)) / 0.004 * 160.21766208
x, s = slope(0, 0), slope(1, 2)
print(x[0], x[1], s[3])
";

#[test]
fn elastic_constants_are_found_with_a_calculator() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_extxyz(&at("copper.xyz"), &[copper("copper", DVec3::ZERO)]).unwrap();
    let exactly = ["copper.xyz", "-o", "elastic.json", "--strain", "0.002", "--max-force", "1e-3"];
    // By itself a cell that is 0.2 % longer would have one point less along that edge.
    let settings = EMT.replace("kpoint_length_angstrom = 1.0", "kpoint_length_angstrom = 9.03");
    let find = || knockon_with(folder.path(), &settings, "elastic", "ase:ase.calculators.emt.EMT", &exactly);
    let output = find();
    assert!(output.status.success(), "{}", message(&output));
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    let found: serde_json::Value = serde_json::from_slice(&std::fs::read(at("elastic.json")).unwrap()).unwrap();
    let element = |i: usize, j: usize| found["elastic_constants_gpa"][i][j].as_f64().unwrap();
    let ase = Command::new(python()).args(["-c", SLOPES]).output().unwrap();
    let ase: Vec<f64> =
        String::from_utf8_lossy(&ase.stdout).split_whitespace().map(|word| word.parse().unwrap()).collect();
    assert_eq!(ase.len(), 3, "ASE's slopes");
    for ((i, j), expected) in [(0, 0), (0, 1), (3, 3)].into_iter().zip(&ase) {
        assert!((element(i, j) - expected).abs() < 0.05, "C{}{}: {} {expected}", i + 1, j + 1, element(i, j));
    }
    assert_eq!((&found["n_strained"], &found["forces"]["xc"]), (&3.into(), &"EMT".into()));
    // What is printed goes into the settings of a search.
    let line = printed.lines().find(|line| line.starts_with("elastic_constants_gpa")).unwrap();
    let table: toml::Table = line.parse().unwrap();
    assert!((table["elastic_constants_gpa"][3][3].as_float().unwrap() - element(3, 3)).abs() < 0.01);
    // One label of the crystal and one of each strain, of a class of their own; they are not computed again.
    let labels = || std::fs::read(at("elastic.evaluations.xyz")).unwrap();
    let before = labels();
    let frames = read_extxyz(&at("elastic.evaluations.xyz")).unwrap();
    assert!(
        frames.len() == 4
            && frames
                .iter()
                .all(|l| l.class() == Some("strain") && l.stress.is_some() && l.info.get("kpts") == Some("3 3 3")),
        "{frames:?}"
    );
    let again = find();
    assert!(again.status.success() && again.stdout == output.stdout && labels() == before);

    let refused = |more: &[&str]| {
        let output = knockon(folder.path(), "elastic", "ase:ase.calculators.emt.EMT", &[&exactly[..3], more].concat());
        assert_eq!(output.status.code(), Some(2));
        message(&output)
    };
    assert!(refused(&["--strain", "0"]).contains("--strain: expected a number above 0 and up to 0.05, found 0"));
    assert!(refused(&["--max-force", "-1"]).contains("--max-force: expected a positive number of eV/A"));
}

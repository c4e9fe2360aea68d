//! Fit, choose what to label next, record: at toy size, with the shipped labels of unit cells.

#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use knockon::io::read_extxyz;
use knockon::selection::SelectionSettings;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn knockon(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("knockon").unwrap();
    command.arg("--quiet").args(arguments);
    command
}

/// A fit of a small model to the labels of 24 atoms; returns the folder with `fit.toml` and `model/`.
fn toy_fit() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let labels = std::fs::read_to_string(root().join("data/cawo4/cawo4_pbe.xyz")).unwrap();
    let (mut lines, mut cells) = (labels.lines(), String::new());
    while let Some(count) = lines.next() {
        let frame: Vec<&str> = lines.by_ref().take(count.trim().parse::<usize>().unwrap() + 1).collect();
        if count.trim() == "24" {
            cells += &format!("24\n{}\n", frame.join("\n"));
        }
    }
    std::fs::write(at("labels.xyz"), cells).unwrap();
    let shipped = std::fs::read_to_string(root().join("examples/cawo4/laptop/fit.toml")).unwrap();
    let start = shipped.find("data_files").unwrap();
    let end = start + shipped[start..].find('\n').unwrap();
    let mut toy = shipped.clone();
    toy.replace_range(start..end, "data_files = [\"labels.xyz\"]");
    let smaller = [
        ("leave_out = [\"fpW-s101-00\"]", "leave_out = []"),
        ("reaches_angstrom = [4.8, 4.2, 3.6, 3.1, 2.6]", "reaches_angstrom = [4.8, 3.1]"),
        ("two_j_max = 3", "two_j_max = 2"),
        ("n_kernels = 33", "n_kernels = 10"),
        ("folds = 8", "folds = 4"),
    ];
    for (old, new) in smaller {
        assert!(toy.contains(old), "{old}");
        toy = toy.replace(old, new);
    }
    toy += "\n[checks]\nrecoils_per_species = 0\n";
    std::fs::write(at("fit.toml"), toy).unwrap();
    knockon(&["fit"]).arg(at("fit.toml")).arg("-o").arg(at("model")).assert().success();
    folder
}

const SELECT: &str = "
cells = [1, 1, 1]
fit = \"fit.toml\"
number = 5
seed = 3
min_distance_angstrom = 1.1
max_force_ev_per_angstrom = 200.0

[pools.cascade]
species = [\"O\"]
energies_ev = [5.0]
recoils = 1
temperature_k = 100.0
frame_times_fs = [5.0, 10.0]
quenched = false

[pools.thermal]
temperatures_k = [300.0]
interval_fs = 20.0
frames = 2

[pools.strain]
cells = 4
strain = 0.03
displacement_angstrom = 0.05
at_most = 2

[pools.close_pair]
distances_angstrom = [1.5, 2.5]
max_force_ev_per_angstrom = 0.5
";

#[test]
fn a_potential_chooses_labels_and_is_recorded() {
    let folder = toy_fit();
    let at = |name: &str| folder.path().join(name);
    let crystal = root().join("data/cawo4/cawo4.xyz");
    std::fs::write(at("select.toml"), format!("crystal = {crystal:?}\n{SELECT}")).unwrap();
    let model = at("model/cawo4.model");
    let select = |threads: &str, output: &str| {
        let mut command = knockon(&["--threads", threads, "select"]);
        command.arg(at("select.toml")).arg("--model").arg(&model).arg("-o").arg(at(output)).assert().success();
        std::fs::read_to_string(at(output).join("selected.xyz")).unwrap()
    };
    let chosen = select("1", "one");
    assert_eq!(chosen, select("2", "two"), "the choice does not depend on the number of threads");
    let gains: Vec<f64> = values(&chosen, "gain_nats=").iter().map(|v| v.parse().unwrap()).collect();
    assert_eq!(gains.len(), 5);
    assert!(gains.windows(2).all(|g| g[0] >= g[1]) && gains[4] > 0.0, "{gains:?}");
    assert!(values(&chosen, "cls=").iter().filter(|c| *c == "strain").count() <= 2);
    let mut ids = values(&chosen, " id=");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    let pool = std::fs::read_to_string(at("one/pool.csv")).unwrap();
    // Two frames, two thermal, four strained, and some close pairs: in one unit cell others are too close for some.
    let of = |class: &str| pool.lines().filter(|l| l.split(',').nth(1) == Some(class)).count();
    assert_eq!((of("thermal"), of("strain")), (2, 4), "{pool}");
    // A toy potential may not bring a recoil to its end; it is left out then.
    assert!([0, 2].contains(&of("hot_cascade")), "{pool}");
    assert!(of("short_pair") > 2, "{pool}");

    // What waits for a label is known: with all choices waiting, others are chosen.
    let again = format!("crystal = {crystal:?}\nwaiting = [\"one/selected.xyz\"]\n{SELECT}");
    std::fs::write(at("again.toml"), again).unwrap();
    knockon(&["select"]).arg(at("again.toml")).arg("--model").arg(&model).arg("-o").arg(at("three")).assert().success();
    let next = std::fs::read_to_string(at("three/selected.xyz")).unwrap();
    assert!(values(&next, "gain_nats=")[0].parse::<f64>().unwrap() < gains[0]);

    let shipped = root().join("data/cawo4/cawo4.model");
    let refused =
        knockon(&["select"]).arg(at("select.toml")).arg("--model").arg(shipped).arg("-o").arg(at("x")).assert();
    let message = String::from_utf8(refused.code(2).get_output().stderr.clone()).unwrap();
    assert!(message.contains("Give the settings of the fit that made this model (--settings)"), "{message}");

    let recoils = "[recoils]\ncells = [1, 1, 1]\ntemperature_k = 50.0\ntime_fs = 20.0\nseed = 1\n\
                   kicks = [{ species = \"O\", energy_ev = 5.0, direction = [0.0, 0.6, 0.8] }]\n";
    std::fs::write(at("history.toml"), format!("fit = \"fit.toml\"\ncrystal = {crystal:?}\n{recoils}")).unwrap();
    let record = || {
        let mut command = knockon(&["history"]);
        command.arg(at("history.toml")).arg("--fit").arg(at("model")).arg("--file").arg(at("history.jsonl"));
        command.arg("-o").arg(at("history")).assert().success();
        std::fs::read_to_string(at("history.jsonl")).unwrap()
    };
    let line = record();
    let parsed: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(parsed["n_configurations"], 15);
    assert_eq!(parsed["recoils"][0]["n_atoms"], 24);
    let form = &parsed["form"];
    assert_eq!(form["channels"], 20);
    assert_eq!(form["two_j_max"], 2);
    assert_eq!(form["cutoffs_angstrom"], serde_json::json!([4.8, 3.1]));
    assert_eq!(form["charge_cutoff_angstrom"], 10.0);
    assert_eq!(form["dipole_charges_e"], serde_json::json!([1.36, -1.16, 3.2]));
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(at("model/fit.json")).unwrap()).unwrap();
    assert_eq!(form["n_parameters"], report["n_columns"]);
    assert_eq!(parsed["settings_hash"], report["settings_hash"]);
    let parts: Vec<f64> =
        parsed["learning_curve"].as_array().unwrap().iter().filter_map(|p| p["n_labels"].as_f64()).collect();
    assert!(parts.windows(2).all(|p| p[0] <= p[1]) && parts.iter().all(|n| *n < 15.0), "{parts:?}");
    assert_eq!(record(), line, "the same potential again replaces its line");
    for name in ["history.csv", "learning-curve.csv", "learning-curve.svg", "learning-curve.png"] {
        assert!(at("history").join(name).exists(), "{name}");
    }
}

/// What has a label is known to the next choice: it is in the fit, or waits.
#[test]
fn the_shipped_settings_name_all_shipped_labels() {
    let examples = root().join("examples/cawo4");
    let text = |path: &str| std::fs::read_to_string(examples.join(path)).unwrap();
    let select: SelectionSettings = toml::from_str(&text("select.toml")).unwrap();
    let fit_file = examples.join(&select.fit);
    let fit: knockon::fit::Settings = toml::from_str(&std::fs::read_to_string(&fit_file).unwrap()).unwrap();
    let fitted = fit.data_files.iter().map(|file| fit_file.parent().unwrap().join(file));
    let waiting: Vec<PathBuf> = select.waiting.iter().map(|file| examples.join(file)).collect();
    let known: Vec<PathBuf> = fitted.chain(waiting.iter().cloned()).map(|p| p.canonicalize().unwrap()).collect();
    let is_labelled = |path: &PathBuf| read_extxyz(path).unwrap().iter().any(|frame| frame.energy_ev.is_some());
    let files = std::fs::read_dir(root().join("data/cawo4")).unwrap().map(|file| file.unwrap().path());
    for file in files.filter(|path| path.extension().is_some_and(|e| e == "xyz")).filter(is_labelled) {
        assert!(known.contains(&file.canonicalize().unwrap()), "{} is neither in the fit nor waits", file.display());
    }
    // `knockon select` reads what waits, perfect boxes aside, as configurations of the classes of the fit.
    for frame in waiting.iter().flat_map(|file| read_extxyz(file).unwrap()) {
        assert!(fit.classes.iter().any(|class| Some(class.name.as_str()) == frame.class()), "{:?}", frame.class());
    }
}

/// The values after a key in all comment lines.
fn values(text: &str, key: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.split_once(key));
    lines.map(|(_, rest)| rest.split_whitespace().next().unwrap().to_owned()).collect()
}

//! Bad input ends with exit code 2, an error that names place and remedy, and no output.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use assert_cmd::Command;
use std::path::{Path, PathBuf};

fn bad(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad").join(name).to_str().unwrap().to_owned()
}

fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

/// A SNAP potential of Ca, O and W with j_max 1, and the model made from it.
fn write_model(folder: &Path) -> String {
    let block = "0.1\n0.2\n-0.1\n0.05\n0.02\n-0.03\n";
    let text = format!("3 6\nCa 0.5 0.7\n{block}O 0.5 0.45\n{block}W 0.5 1.52\n{block}");
    let [coefficients, settings, model] = ["a.snapcoeff", "a.snapparam", "a.model"].map(|n| folder.join(n));
    std::fs::write(&coefficients, text).unwrap();
    std::fs::write(&settings, "rcutfac 4.8\ntwojmax 2\n").unwrap();
    let model = model.to_str().unwrap().to_owned();
    knockon().args(["import"]).args([coefficients, settings]).args(["-o", &model]).assert().success();
    model
}

fn knockon() -> Command {
    Command::new(env!("CARGO_BIN_EXE_knockon"))
}

/// Runs, and returns what was said on standard error after checking the exit code and that `output` is not there.
fn refused(arguments: &[&str], output: &Path) -> String {
    let run = knockon().args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(!output.exists(), "{arguments:?} left {}", output.display());
    let parent = output.parent().unwrap();
    let leftovers = std::fs::read_dir(parent)
        .map_or(0, |d| d.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(".tmp")).count());
    assert_eq!(leftovers, 0, "{arguments:?} left temporary files");
    message
}

#[test]
fn bad_configurations_are_refused_with_place_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let model = write_model(folder.path());
    for (file, place, problem) in [
        ("truncated.xyz", "line 2", "expected 3 atoms, found 2"),
        (
            "nan_force.xyz",
            "line 4 (atom 2 of configuration 1)",
            "expected a finite number in column \"forces\", found \"nan\"",
        ),
        ("no_such_element.xyz", "configuration 1", "expected an element from H to Pu, found \"Vibranium\""),
        ("species_unknown_to_model.xyz", "configuration 1", "expected atoms of the species Ca, O, W, found Fe"),
        ("zero_volume.xyz", "configuration 1", "expected a cell with positive volume"),
        ("two_energies.xyz", "configuration 1", "\"energy\" and \"REF_energy\""),
        ("overlapping_atoms.xyz", "configuration 1", "found atoms 1 and 2 at 0.0010 A"),
        ("thin_cell.xyz", "configuration 1", "at least 0.2 A apart, found 0.0500 A"),
        ("flat_cell.xyz", "configuration 1", "at least 0.2 A apart, found 0.0001 A"),
        ("too_many_columns.xyz", "line 3", "expected 4 values as Properties says, found 6"),
        ("absent.xyz", "absent.xyz", "cannot read"),
    ] {
        let output = folder.path().join("output.xyz");
        let message = refused(&["evaluate", &model, &bad(file), "-o", output.to_str().unwrap()], &output);
        for expected in [file, place, problem] {
            assert!(message.contains(expected), "{file}: expected {expected:?} in {message:?}");
        }
        let sentences = message.trim().matches(". ").count();
        assert!(sentences >= 1, "{file}: a remedy follows the problem: {message}");
    }
}

#[test]
fn bad_models_and_settings_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output.xyz");
    let data = project("data/cawo4/cawo4_pbe.xyz");
    for (file, expected) in [
        ("newer.model", "expected a model file of version 5 or older, found version 99. Install a newer knockon"),
        ("misspelt.model", "many_bodies"),
        ("truncated.xyz", "expected a knockon model file"),
    ] {
        let message =
            refused(&["evaluate", &bad(file), data.to_str().unwrap(), "-o", output.to_str().unwrap()], &output);
        assert!(message.contains(file) && message.contains(expected), "{file}: {message}");
    }
    let shipped = std::fs::read_to_string(project("data/cawo4/cawo4.model")).unwrap();
    for (from, to, expected) in [
        ("length_angstrom = 0.4685", "length_angstrom = -0.4685", "in pair.zbl a positive length_angstrom"),
        ("prefactors = [", "prefactors = [0.1, ", "as many prefactors as positive exponents"),
        ("end_angstrom = ", "end_angstrom = inf # ", "inner_switch with 0 <= start < end <= 50"),
        ("\ncutoff_angstrom = ", "\ncutoff_angstrom = 1e9 # ", "cutoffs of up to 50 A"),
        ("self_weight = ", "self_weight = nan # ", "a finite self_weight"),
    ] {
        let broken = folder.path().join("broken.model");
        let text = shipped.replacen(from, to, 1);
        assert_ne!(text, shipped, "{from}");
        std::fs::write(&broken, text).unwrap();
        let arguments = ["evaluate", broken.to_str().unwrap(), data.to_str().unwrap(), "-o", output.to_str().unwrap()];
        let message = refused(&arguments, &output);
        assert!(message.contains(expected), "{to}: {message}");
    }
    let fit = std::fs::read_to_string(project("examples/cawo4/laptop/fit.toml")).unwrap();
    let files = "\"../../../data/cawo4/cawo4_pbe.xyz\", \"../../../data/cawo4/labels.xyz\"";
    let no_labels = fit.replace(files, &format!("{:?}", bad("no_labels.xyz"))).replace("[\"fpW-s101-00\"]", "[]");
    for (text, expected) in [
        (fit.replace("sharing =", "shraing ="), "shraing"),
        (fit.replace("name = \"cawo4\"", "name = 3"), "name = 3"),
        (no_labels, "expected an energy or forces for \"bare\", found neither"),
    ] {
        let settings = folder.path().join("fit.toml");
        std::fs::write(&settings, text).unwrap();
        let output = folder.path().join("fit");
        let message = refused(&["fit", settings.to_str().unwrap(), "-o", output.to_str().unwrap()], &output);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn limits_that_no_relaxation_meets_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = write_model(folder.path());
    let (crystal, output) = (project("data/cawo4/cawo4.xyz"), folder.path().join("output.xyz"));
    let [crystal, to] = [&crystal, &output].map(|path| path.to_str().unwrap());
    for (limit, unit) in [("--max-force=-1", "eV/A"), ("--max-stress=-1", "eV/A^3"), ("--max-stress=nan", "eV/A^3")] {
        let message = refused(&["relax", crystal, "--model", &model, "-o", to, limit], &output);
        let (name, _) = limit.split_once('=').unwrap();
        assert!(message.contains(&format!("{name}: expected a positive number of {unit}, found")), "{message}");
    }
}

#[test]
fn a_misspelt_key_of_labels_is_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output.xyz");
    let [model, data] = ["data/cawo4/cawo4.model", "data/cawo4/cawo4_pbe.xyz"].map(project);
    let [model, data, to] = [&model, &data, &output].map(|path| path.to_str().unwrap());
    for (option, what) in [("--energy-key", "energy key"), ("--forces-key", "forces key")] {
        let message = refused(&["evaluate", model, data, "-o", to, option, "frces"], &output);
        assert!(message.contains(&format!("{what}: expected \"frces\" in at least one of")), "{message}");
        assert!(
            message.contains(", label_settings, ") || message.contains(", pair, "),
            "the names that are there: {message}"
        );
    }
}

#[test]
fn a_wrong_setting_is_shown_with_its_line_and_value() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("campaign.toml");
    let text = std::fs::read_to_string(project("examples/cawo4/tiny-campaign.toml")).unwrap();
    let data = project("data/cawo4").display().to_string();
    let text = text.replace("../../data/cawo4", &data).replacen("temperature_k = ", "temperature_k = -", 1);
    std::fs::write(&settings, &text).unwrap();
    let line = 1 + text.lines().position(|line| line.starts_with("temperature_k")).unwrap();
    let output = folder.path().join("campaign");
    let message = refused(&["campaign", "plan", settings.to_str().unwrap(), "-o", output.to_str().unwrap()], &output);
    let expected = format!("line {line}: thermalization.temperature_k: expected zero or more, found -133");
    assert!(message.contains(&expected), "{message}");
    for (command, text, expected) in [
        ("response", "name = \"x\"\nreplicates = 3\n", "line 2: replicates: expected 20 to 100000, found 3"),
        ("spectra", "\n[dark_matter]\nmass_gev = -2.0\n", "line 3: dark_matter.mass_gev: expected a number above 0"),
    ] {
        let settings = folder.path().join("settings.toml");
        std::fs::write(&settings, text).unwrap();
        let output = folder.path().join(command);
        let message = refused(&[command, settings.to_str().unwrap(), "-o", output.to_str().unwrap()], &output);
        assert!(message.contains(&format!("settings.toml, {expected}")), "{message}");
    }
}

#[test]
fn a_report_of_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    // A folder of another purpose, and one of a stage where that of the run is expected.
    std::fs::write(folder.path().join("spectra.json"), "{}").unwrap();
    let message = refused(&["report", folder.path().to_str().unwrap()], &folder.path().join("report.html"));
    for expected in
        ["model/, campaign/, response/, spectra/", "found none of them", "knockon reproduce", "-o OUT/model"]
    {
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn measurements_of_nothing_are_refused() {
    for (option, expected) in [
        ("--skin-angstrom=nan", "--skin-angstrom: expected a number from 0 to 10, found NaN"),
        ("--temperature-k=-5", "--temperature-k: expected a number from 0"),
        ("--cells=1000000x1000000x1000000", "--cells: expected a box of up to"),
        ("--threads=100000", "--threads"),
    ] {
        let output = knockon().args(["bench", "--steps=1", "--repeats=1", option]).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && message.contains(expected), "{message}");
    }
}

/// As with `| head`.
#[cfg(unix)]
#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_knockon"));
    command.arg("data").arg(project("data/cawo4/cawo4_pbe.xyz")).stderr(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn bad_imports_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output.model");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let coefficients = file("a.snapcoeff", "1 6\nW 0.5 1\n1\n2\n3\n4\n5\n");
    let settings = file("a.snapparam", "rcutfac 4.8\ntwojmax 2\n");
    let chemical = file("b.snapparam", "rcutfac 4.8\ntwojmax 2\nchemflag 1\n");
    let pot = file("a.pot", "#\n#\n#\n#\n#\n#\n1 1 Fe 1 1\n8 3 3\n55.8\n1 1 0\n4.8\n");
    for (files, expected) in [
        (
            vec![coefficients.as_str(), &settings],
            "a.snapcoeff, line 7: expected 6 coefficients of W, found the end of the file",
        ),
        (vec![coefficients.as_str(), &chemical], "b.snapparam, line 3: expected chemflag 0"),
        (vec![pot.as_str()], "a.pot, line 8: expected descriptor type 9"),
        (vec![coefficients.as_str()], "as many .snapcoeff as .snapparam"),
        (vec!["model.txt"], "end in .pot, .snapcoeff or .snapparam"),
    ] {
        let message = refused(&[&["import"], files.as_slice(), &["-o", output.to_str().unwrap()]].concat(), &output);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let model = write_model(folder.path());
    let data = project("data/cawo4/cawo4_pbe.xyz");
    let data = data.to_str().unwrap();
    // A device without room.
    let run = knockon().args(["evaluate", &model, data, "-o", "/dev/full"]).output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("cannot write /dev/full: No space left"), "{run:?}");
    assert!(!std::fs::metadata("/dev/full").unwrap().is_file(), "the device is still a device");
    // A folder in which no file may grow beyond one block; the output that was there before stays.
    let output = folder.path().join("output.xyz");
    std::fs::write(&output, "before").unwrap();
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, "sh", env!("CARGO_BIN_EXE_knockon"), "evaluate", &model, data, "-o"]).arg(&output);
    let run = limited.output().unwrap();
    assert_eq!(run.status.code(), Some(2), "{run:?}");
    assert!(String::from_utf8_lossy(&run.stderr).contains("cannot write"), "{run:?}");
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before, "no temporary file is left");
}

#[test]
fn a_summary_of_data_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let [json, csv] = ["summary.json", "rows.csv"].map(|n| folder.path().join(n));
    let files = [bad("no_labels.xyz"), bad("overlapping_atoms.xyz"), bad("no_labels.xyz")];
    let run = knockon().arg("data").args(files).arg("--json").arg(&json).arg("--csv").arg(&csv).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    let said = String::from_utf8_lossy(&run.stderr);
    for expected in ["3 configurations have no energy, e.g. bare", "overlap at 0.0010 A", "same geometry"] {
        assert!(said.contains(expected), "{said}");
    }
    let summary: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!(summary["n_configurations"], 3);
    assert_eq!(summary["duplicates"][0]["largest_displacement_angstrom"], 0.0);
    assert_eq!(std::fs::read_to_string(csv).unwrap().lines().count(), 5);
}

#[test]
fn help_is_enough_to_use_a_verb() {
    for (verb, expected) in [
        ("data", ["FILE", "--json", "--csv", "Examples:"]),
        ("label", ["CANDIDATES", "--calculator", "--retry-failed", "Example:"]),
        ("dft-input", ["CANDIDATES", "--hse06", "POTCAR", "Example:"]),
        ("fit", ["[[class]]", "elastic_gpa", "examples/silicon/fit.toml", "Example:"]),
        ("evaluate", ["MODEL", "INPUT", "eV/A^3", "Example:"]),
        ("elastic", ["CRYSTAL", "--guide", "spread", "Examples:"]),
        ("check", ["MODEL", "--crystal", "[checks]", "Examples:"]),
        ("import", [".pot", ".snapcoeff", "--output", "Examples:"]),
    ] {
        let run = knockon().args([verb, "--help"]).output().unwrap();
        let help = String::from_utf8_lossy(&run.stdout);
        for text in expected {
            assert!(help.contains(text), "{verb} --help does not mention {text}:\n{help}");
        }
    }
}

//! `knockon relax`: what stays where it is, what stays in the file, and that one configuration does not spoil the others.

#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use glam::DVec3;
use knockon::io::{Column, Frame, read_extxyz, write_extxyz};
use std::path::{Path, PathBuf};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4").join(name)
}

fn relax(input: &Path, output: &Path, more: &[&str]) -> Command {
    let mut command = Command::cargo_bin("knockon").unwrap();
    command.args(["--quiet", "relax"]).arg(input).arg("--model").arg(data("cawo4.model"));
    command.arg("-o").arg(output).args(["--max-force", "0.02"]).args(more);
    command
}

/// A crystal with two atoms off their sites.
fn shaken() -> Frame {
    let mut frame = read_extxyz(&data("cawo4.xyz")).unwrap().remove(0);
    for atom in [0, 9] {
        frame.atoms.positions[atom] += DVec3::new(0.1, -0.05, 0.08);
    }
    frame
}

fn flags(frame: &Frame, width: usize, is_frozen: impl Fn(usize) -> bool) -> Column {
    let word = |atom: usize| if is_frozen(atom) { "F" } else { "T" }.to_owned();
    let words = (0..frame.atoms.len()).flat_map(|atom| vec![word(atom); width]).collect();
    Column { name: "move_mask".to_owned(), kind: 'L', width, words }
}

#[test]
fn frozen_atoms_and_columns_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.xyz"), folder.path().join("out.xyz"));
    for width in [1, 3] {
        let mut frame = shaken();
        let tags = (0..frame.atoms.len()).map(|atom| atom.to_string()).collect();
        frame.columns.push(Column { name: "tags".to_owned(), kind: 'I', width: 1, words: tags });
        frame.columns.push(flags(&frame, width, |atom| atom < 4));
        write_extxyz(&input, std::slice::from_ref(&frame)).unwrap();
        relax(&input, &output, &[]).assert().success();
        let relaxed = read_extxyz(&output).unwrap().remove(0);
        assert_eq!(relaxed.columns, frame.columns);
        assert_eq!(relaxed.atoms.positions[..4], frame.atoms.positions[..4]);
        assert!(relaxed.atoms.positions[9].distance(frame.atoms.positions[9]) > 0.05);
        let free = relaxed.forces.as_ref().unwrap()[4..].iter().map(|f| f.length()).fold(0.0, f64::max);
        assert!(free <= 0.02 && relaxed.max_force_ev_per_angstrom().unwrap() > 0.1);
        assert!((relaxed.info.number("max_force").unwrap() / free - 1.0).abs() < 1e-3);
    }
    let cell = relax(&input, &output, &["--cell"]).assert().failure();
    assert!(String::from_utf8_lossy(&cell.get_output().stderr).contains("found 4 that must not (move_mask)"));
    let mut frame = shaken();
    let mut mask = flags(&frame, 3, |_| false);
    mask.words[4] = "F".to_owned();
    frame.columns.push(mask);
    write_extxyz(&input, &[frame]).unwrap();
    let partial = relax(&input, &output, &[]).assert().failure();
    assert!(String::from_utf8_lossy(&partial.get_output().stderr).contains("found \"T F T\" for atom 2"));
}

#[test]
fn one_configuration_does_not_spoil_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.xyz"), folder.path().join("out.xyz"));
    let named = |id: &str, mut frame: Frame| {
        frame.info.set("id", id);
        frame
    };
    let mut twice = shaken();
    twice.atoms.positions[1] = twice.atoms.positions[0];
    write_extxyz(&input, &[named("a", shaken()), named("twice", twice), named("b", shaken())]).unwrap();
    let assert = relax(&input, &output, &[]).assert().failure();
    let message = String::from_utf8_lossy(&assert.get_output().stderr);
    assert!(message.contains("in.xyz: 1 of 3 configurations did not relax: configuration 2: "), "{message}");
    let ids: Vec<String> = read_extxyz(&output).unwrap().iter().map(|f| f.info.get("id").unwrap().to_owned()).collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn where_only_the_stress_is_too_large_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.xyz");
    let more = ["--cell", "--max-stress", "1e-18", "--max-evaluations", "40"];
    let assert = relax(&data("cawo4.xyz"), &output, &more).assert().failure();
    let message = String::from_utf8_lossy(&assert.get_output().stderr);
    assert!(message.contains("configuration 1 at a stress of "), "{message}");
}

/// Codes elsewhere hold the same atoms; VASP takes right-handed cells only.
#[test]
fn inputs_of_codes_keep_frozen_atoms() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.xyz");
    let config = data("../../examples/cawo4/label.toml");
    let inputs = |frame: &Frame, code: &str, output: &str| {
        write_extxyz(&input, std::slice::from_ref(frame)).unwrap();
        let mut command = Command::cargo_bin("knockon").unwrap();
        command.current_dir(&folder).arg("dft-input").arg(&input).args(["--code", code, "--relax", "-o", output]);
        command.arg("--config").arg(&config).output().unwrap()
    };
    let mut frame = shaken();
    frame.info.set("id", "held");
    frame.info.set("kpts", "1 1 1");
    frame.columns.push(flags(&frame, 1, |atom| atom < 4));
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(inputs(&frame, "vasp", "vasp").status.success() && inputs(&frame, "cp2k", "cp2k").status.success());
    let poscar = text("vasp/0000-held/pbe/POSCAR");
    let held: Vec<&str> = poscar.lines().skip(9).take_while(|line| line.ends_with("F F F")).collect();
    assert!(poscar.contains("Selective dynamics") && held.len() == 4, "{poscar}");
    assert!(text("cp2k/0000-held/pbe/pbe.inp").contains("&FIXED_ATOMS\n      LIST 1 2 3 4\n"));
    // Where nothing moves, flags of single axes matter to nobody.
    let mut partial = frame.clone();
    partial.columns[0] = flags(&frame, 3, |_| false);
    partial.columns[0].words[4] = "F".to_owned();
    let refused = String::from_utf8_lossy(&inputs(&partial, "cp2k", "partial").stderr).into_owned();
    assert!(refused.contains("found \"T F T\" for atom 2"), "{refused}");
    let mut still = Command::cargo_bin("knockon").unwrap();
    still.current_dir(&folder).arg("dft-input").arg(&input).args(["--code", "cp2k", "-o", "still", "--config"]);
    still.arg(&config).assert().success();
    std::mem::swap(&mut frame.atoms.cell.vectors.x_axis, &mut frame.atoms.cell.vectors.y_axis);
    let refused = inputs(&frame, "vasp", "left");
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && message.contains("Exchange two of them"), "{message}");
    assert!(inputs(&frame, "cp2k", "left").status.success());
}

/// What a command reads is not replaced by what it writes, but for configurations that are meant to be.
#[test]
fn models_and_crystals_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, file) in [("m.model", "cawo4.model"), ("c.xyz", "cawo4.xyz")] {
        std::fs::copy(data(file), at(name)).unwrap();
    }
    let before = ["m.model", "c.xyz"].map(|name| std::fs::read(at(name)).unwrap());
    for arguments in [
        &["evaluate", "m.model", "c.xyz", "-o", "m.model"][..],
        &["relax", "c.xyz", "--model", "m.model", "-o", "./m.model"],
        &["elastic", "c.xyz", "--model", "m.model", "-o", "c.xyz"],
        &["data", "c.xyz", "--csv", "c.xyz"],
    ] {
        let output = Command::cargo_bin("knockon").unwrap().current_dir(&folder).args(arguments).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains("found the input"), "{arguments:?}: {message}");
        assert_eq!(["m.model", "c.xyz"].map(|name| std::fs::read(at(name)).unwrap()), before, "{arguments:?}");
    }
}

/// With small strains as little force is left; where atoms did not relax, or the crystal is not stable, that is said.
#[test]
fn constants_of_crystals_that_did_not_relax_are_doubted() {
    let folder = tempfile::tempdir().unwrap();
    let mut crystal = read_extxyz(&data("cawo4.xyz")).unwrap().remove(0);
    let elastic = |crystal: &Frame, more: &[&str]| {
        let (input, output) = (folder.path().join("c.xyz"), folder.path().join("e.json"));
        write_extxyz(&input, std::slice::from_ref(crystal)).unwrap();
        let mut command = Command::cargo_bin("knockon").unwrap();
        command.arg("elastic").arg(&input).arg("--model").arg(data("cawo4.model")).arg("-o").arg(&output);
        let message = String::from_utf8_lossy(&command.args(more).output().unwrap().stderr).into_owned();
        let found: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(output).unwrap()).unwrap();
        (found["elastic_constants_gpa"][0][0].as_f64().unwrap(), message)
    };
    let (usual, message) = elastic(&crystal, &[]);
    assert!((usual - 120.6).abs() < 0.5 && !message.contains("Compare"), "{usual} {message}");
    let (small, message) = elastic(&crystal, &["--strain", "1e-5"]);
    assert!((small - usual).abs() < 0.5 && !message.contains("Compare"), "{small} {message}");
    let (stiff, message) = elastic(&crystal, &["--max-force", "0.01"]);
    assert!(stiff > usual + 5.0 && message.contains("Compare with a smaller --max-force"), "{stiff} {message}");
    crystal.atoms.cell.vectors *= 1.15;
    crystal.atoms.positions.iter_mut().for_each(|position| *position *= 1.15);
    let message = elastic(&crystal, &[]).1;
    assert!(message.contains("not positive definite"), "{message}");
}

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

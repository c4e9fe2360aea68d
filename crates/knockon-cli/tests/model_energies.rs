//! Energies that a model computed do not pass as labels of a first-principles code.

#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use knockon::dataset::Origin;
use knockon::io::labels::is_of_model;
use knockon::io::{Column, Frame, format_poscar, read_extxyz, write_extxyz};
use std::path::Path;

/// All that labels say of their energies, some of it under names that other programs give.
const KEYS: [(&str, &str); 9] = [
    ("free_energy", "-1.0"),
    ("energy_sigma_0", "-1.0"),
    ("energy_without_entropy", "-1.0"),
    ("energy_kind", "sigma->0"),
    ("pseudopotentials", "some"),
    ("label_settings", "0123456789abcdef"),
    ("other_REF_energy", "-1.0"),
    ("stress_raw", "0 0 0 0 0 0"),
    ("max_grade", "9.0"),
];

#[test]
fn relax_and_evaluate_put_the_model_in_the_place_of_the_code() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut label: Frame = read_extxyz(&data.join("cawo4_pbe.xyz")).unwrap().swap_remove(0);
    KEYS.iter().for_each(|(key, value)| label.info.set(key, value));
    label.columns.push(Column::reals("grade", &vec![9.0; label.atoms.len()]));
    write_extxyz(&at("label.xyz"), std::slice::from_ref(&label)).unwrap();
    let model = data.join("cawo4.model");
    let knockon = |verb: &str| {
        let mut command = Command::cargo_bin("knockon").unwrap();
        command.args(["--quiet", verb]);
        command
    };
    // With such a limit the start is the end.
    let mut relax = knockon("relax");
    relax.arg(at("label.xyz")).arg("--model").arg(&model).args(["--max-force", "1e9", "-o"]).arg(at("relaxed.xyz"));
    relax.assert().success();
    let evaluate = |from: &str, to: &str| {
        let assert = knockon("evaluate").arg(&model).arg(at(from)).arg("-o").arg(at(to)).assert().success();
        String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
    };
    let deviations = evaluate("label.xyz", "evaluated.xyz");
    for name in ["relaxed.xyz", "evaluated.xyz"] {
        let frame = read_extxyz(&at(name)).unwrap().swap_remove(0);
        let info = |key: &str| frame.info.get(key).unwrap_or("-");
        assert_ne!(frame.energy_ev, label.energy_ev);
        assert!(is_of_model(&frame), "{name}: xc {}", info("xc"));
        assert_eq!(info("code"), format!("knockon {}", info("model")), "{name}");
        let left: Vec<&str> = KEYS.iter().map(|(key, _)| *key).filter(|&key| info(key) != "-").collect();
        assert!(left.is_empty() && info("ecut") == "-", "{name}: {left:?}");
        assert!(frame.column("grade").is_none(), "{name}: an earlier model's");
        assert_eq!([info("id"), info("cls"), info("kpts")], ["perfect-000", "perfect", "2 2 1"], "other tags stay");
        // By this a fit tells them apart and refuses both together.
        assert!(!Origin::agree(&label, &frame));
    }
    // Evaluated once more, it is still compared with the label.
    assert_eq!(evaluate("evaluated.xyz", "again.xyz"), deviations);
    assert!(deviations.contains("force component") && deviations.contains("stress component"), "{deviations}");
    let [once, again] = ["evaluated.xyz", "again.xyz"].map(|name| read_extxyz(&at(name)).unwrap().swap_remove(0));
    assert_eq!((again.energy_ev, &again.columns), (once.energy_ev, &once.columns));
    assert_eq!(again.info.get("label_stress"), once.info.get("label_stress"));
    assert_eq!(again.info.number("label_energy"), label.energy_ev);
    // A POSCAR has no labels to compare with, and the same energy.
    std::fs::write(at("POSCAR"), format_poscar(&label).unwrap()).unwrap();
    assert_eq!(evaluate("POSCAR", "from-poscar.xyz"), "");
    let energy = read_extxyz(&at("from-poscar.xyz")).unwrap()[0].energy_ev.unwrap();
    assert!((energy - once.energy_ev.unwrap()).abs() < 1e-9);
    // What moves leaves it behind.
    let mut relax = knockon("relax");
    relax.arg(at("again.xyz")).arg("--model").arg(&model).args(["--max-force", "1e9", "-o"]).arg(at("moved.xyz"));
    relax.assert().success();
    let moved = read_extxyz(&at("moved.xyz")).unwrap().swap_remove(0);
    assert!(moved.info.get("label_energy").is_none() && moved.info.get("label_stress").is_none());
}

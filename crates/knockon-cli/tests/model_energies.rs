//! Energies that a model computed do not pass as labels of a first-principles code.

#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use knockon::fit::origin::Origin;
use knockon::io::labels::is_of_model;
use knockon::io::{Frame, read_extxyz, write_extxyz};
use std::path::Path;

/// All that labels say of their energies, some of it under names that other programs give.
const KEYS: [(&str, &str); 8] = [
    ("free_energy", "-1.0"),
    ("energy_sigma_0", "-1.0"),
    ("energy_without_entropy", "-1.0"),
    ("energy_kind", "sigma->0"),
    ("pseudopotentials", "some"),
    ("label_settings", "0123456789abcdef"),
    ("other_REF_energy", "-1.0"),
    ("stress_raw", "0 0 0 0 0 0"),
];

#[test]
fn relax_and_evaluate_put_the_model_in_the_place_of_the_code() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4");
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut label: Frame = read_extxyz(&data.join("cawo4_pbe.xyz")).unwrap().swap_remove(0);
    KEYS.iter().for_each(|(key, value)| label.info.set(key, value));
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
    knockon("evaluate").arg(&model).arg(at("label.xyz")).arg("-o").arg(at("evaluated.xyz")).assert().success();
    for name in ["relaxed.xyz", "evaluated.xyz"] {
        let frame = read_extxyz(&at(name)).unwrap().swap_remove(0);
        let info = |key: &str| frame.info.get(key).unwrap_or("-");
        assert_ne!(frame.energy_ev, label.energy_ev);
        assert!(is_of_model(&frame), "{name}: xc {}", info("xc"));
        assert_eq!(info("code"), format!("knockon {}", info("model")), "{name}");
        let left: Vec<&str> = KEYS.iter().map(|(key, _)| *key).filter(|&key| info(key) != "-").collect();
        assert!(left.is_empty() && info("ecut") == "-", "{name}: {left:?}");
        assert_eq!([info("id"), info("cls"), info("kpts")], ["perfect-000", "perfect", "2 2 1"], "other tags stay");
        // By this a fit tells them apart and refuses both together.
        let mut origins = Vec::new();
        assert_ne!(Origin::find(&mut origins, &label), Origin::find(&mut origins, &frame));
    }
}

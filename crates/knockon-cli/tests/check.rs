//! `knockon check` on the potential that ships.

#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use knockon::checks::Check;
use std::path::Path;

/// All that takes long is left out, and one expectation is wrong.
const SETTINGS: &str = "name = 'keys of a fit beside the table do not matter'
[checks]
lattice_angstrom = { a = 9.0 }
temperatures_k = []
run_time_fs = 20.0
recoils_per_species = 0
";

#[test]
fn a_check_that_fails_is_named_and_written() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4");
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("fit.toml");
    let check = |text: &str| {
        std::fs::write(&settings, text).unwrap();
        let mut command = Command::cargo_bin("knockon").unwrap();
        command.args(["--quiet", "check"]).arg(data.join("cawo4.model"));
        command.arg("--crystal").arg(data.join("cawo4.xyz")).arg("--labels").arg(data.join("cawo4_pbe.xyz"));
        command.arg("--settings").arg(&settings).arg("-o").arg(folder.path().join("out"));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, errors) = check(SETTINGS);
    assert!(code == Some(2) && errors.contains("checks failed: lattice constant a. "), "{errors}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join("out").join(name)).unwrap();
    let found: Vec<Check> = serde_json::from_str(&read("checks.json")).unwrap();
    let failed: Vec<&str> = found.iter().filter(|c| !c.passed).map(|c| c.name.as_str()).collect();
    assert!(found.len() > 20 && failed == ["lattice constant a"], "{failed:?}");
    assert!(found.iter().any(|c| c.name == "O-W hole in crystal" && c.detail.starts_with("data begin at 1.")));
    let scans = read("pair_scans.csv");
    assert!(scans.starts_with("# model ") && scans.contains("O-W,vacuum,"));

    let (code, errors) = check(&SETTINGS.replace("[checks]", "[check]"));
    assert!(code == Some(2) && errors.contains("missing field `checks`"), "{errors}");
    let (code, errors) = check(&SETTINGS.replace("20.0", "-20.0"));
    assert!(code == Some(2) && errors.contains("run_time_fs") && errors.contains("a positive time"), "{errors}");
}

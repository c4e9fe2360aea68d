//! `knockon bench` runs and its JSON has what other programs read.

#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use serde_json::Value;

#[test]
fn json_has_the_speed_and_the_kernels() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
    command.args([
        "--quiet",
        "--threads",
        "1",
        "bench",
        "--cells",
        "1x1x1",
        "--steps",
        "2",
        "--repeats",
        "1",
        "--grade",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/cawo4/cawo4.grade"),
        "--json",
    ]);
    let output = command.assert().success().get_output().stdout.clone();
    let report: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(report["atoms"], 24);
    assert_eq!(report["threads"], 1);
    for key in ["microseconds_per_atom_step", "grades_relative_to_model"] {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key}");
    }
    let kernels = report["kernels"].as_array().unwrap();
    let adjoints = kernels.iter().find(|k| k["name"] == "adjoints").unwrap();
    let number = |key: &str| adjoints[key].as_f64().unwrap();
    let flops = 2.0 * number("fused_multiply_adds") + number("additions") + number("multiplications");
    assert_eq!(number("flops"), flops + number("divisions"));
    assert!(number("fraction_of_peak") > 0.0 && number("fraction_of_peak") < 1.2);
}

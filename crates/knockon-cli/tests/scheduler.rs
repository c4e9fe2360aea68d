//! A campaign under a real HyperQueue (PyPI). Longer tests, with Slurm and with workers that die, are in `validation/cluster`.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use assert_cmd::Command;
use common::python;
use std::path::Path;

fn knockon(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_knockon")).args(arguments).assert().success();
    String::from_utf8(output.get_output().stderr.clone()).unwrap()
}

/// The table without wall times.
fn table(campaign: &str) -> Vec<Vec<String>> {
    knockon(&["campaign", "collect", campaign]);
    let text = std::fs::read_to_string(Path::new(campaign).join("recoils.csv")).unwrap();
    let mut rows: Vec<Vec<String>> = text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    let wall_time = rows[0].iter().position(|name| name == "wall_time_s").unwrap();
    rows.iter_mut().for_each(|row| drop(row.remove(wall_time)));
    rows
}

#[test]
fn hyperqueue_does_a_campaign() {
    let validation = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../validation");
    let settings = validation.join("crash-safety/campaign.toml");
    let folder = tempfile::tempdir().unwrap();
    let [scheduled, direct] = ["scheduled", "direct"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    for campaign in [&scheduled, &direct] {
        knockon(&["campaign", "plan", settings.to_str().unwrap(), "-o", campaign]);
    }
    knockon(&["campaign", "script", "hyperqueue", &scheduled, "--cpus", "1"]);
    // -I: a script of the name of the package lies beside this one.
    let output = std::process::Command::new(python())
        .arg("-I")
        .arg(validation.join("cluster/hyperqueue_cluster.py"))
        .arg(Path::new(&scheduled).join("hyperqueue"))
        .output()
        .unwrap();
    let [said, message] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    // The starts, and six recoils.
    assert!(output.status.success() && said.contains("7 of 7 tasks finished"), "{said}\n{message}");

    let left = knockon(&["campaign", "run", &scheduled]);
    assert!(left.contains("6 done before, 0 now"), "{left}");
    knockon(&["campaign", "run", &direct]);
    assert_eq!(table(&scheduled), table(&direct));
}

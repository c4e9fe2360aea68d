//! The stages after the fit in a row, at toy size, with the shipped potential: each reads what the one before wrote.

#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use std::path::Path;

const CAMPAIGN: &str = r#"
crystal = "cawo4.xyz"
cells = [1, 1, 1]
relax_cell = false
species = "W"
directions = 2
seed = 3
energies = [{ energy_ev = 40.0, starts = 1 }]
thermalization = { temperature_k = 133.0, time_fs = 20.0, sampling_time_fs = 0.0, time_step_fs = 1.0, friction_per_fs = 0.01 }
recoil = { time_fs = 10.0, quench = { max_force_ev_per_angstrom = 0.01 } }
"#;

/// Runs knockon in `folder` and returns what it said.
fn knockon(folder: &Path, arguments: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_knockon")).current_dir(folder).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{arguments:?}: {said}");
    said
}

/// The table without the column of wall-clock times.
fn recoils(folder: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder.join("out/campaign/recoils.csv")).unwrap();
    let rows: Vec<Vec<String>> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(',').map(str::to_owned).collect())
        .collect();
    let time = rows[0].iter().position(|name| name == "wall_time_s").unwrap();
    rows.into_iter()
        .map(|row| row.into_iter().enumerate().filter(|(i, _)| *i != time).map(|(_, c)| c).collect())
        .collect()
}

#[test]
fn recoils_become_a_response_spectra_and_a_report() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4");
    for file in ["cawo4.model", "cawo4.xyz"] {
        std::fs::copy(data.join(file), folder.join(file)).unwrap();
    }
    std::fs::write(folder.join("campaign.toml"), CAMPAIGN).unwrap();
    let campaign = ["--threads", "1", "campaign", "campaign.toml", "--model", "cawo4.model", "-o", "out/campaign"];
    knockon(folder, &campaign);
    let first = recoils(folder);
    assert_eq!(first.len(), 3);

    // A recoil that failed is missing in the table, and the command says so at its end.
    let [record, failure] =
        ["json", "failed.json"].map(|ending| folder.join("out/campaign/runs/run-00001").with_extension(ending));
    std::fs::remove_file(record).unwrap();
    std::fs::write(&failure, r#"{"reason": "no time"}"#).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_knockon")).current_dir(folder).args(campaign).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("1 recoils failed"), "{said}");
    assert!(said.contains("of the 2 directions of the plan") && said.contains("1 at 40 eV"), "{said}");
    assert_eq!(recoils(folder), first[..2]);

    // A recoil that was lost is run again, to the same bits, on another number of threads; the other is kept.
    std::fs::remove_file(failure).unwrap();
    let mut again = campaign;
    again[1] = "2";
    let said = knockon(folder, &again);
    assert!(said.contains("1 of 2 recoils are already done"), "{said}");
    assert_eq!(recoils(folder), first);

    // 20 fs of thermalisation are no equilibrium.
    let accepted = "accepted_flags = [\"small-box\", \"hot-border\", \"start\"]\n";
    std::fs::write(folder.join("response.toml"), accepted).unwrap();
    knockon(folder, &["response", "response.toml", "--campaign", "out/campaign", "-o", "out/response"]);
    knockon(folder, &["spectra", "--response", "out/response/response.json", "-o", "out/spectra"]);
    knockon(folder, &["report", "out"]);
    let report = std::fs::read_to_string(folder.join("out/report.html")).unwrap();
    assert!(report.contains("40 eV") && report.contains("<svg"));
    assert!(std::fs::metadata(folder.join("out/figures/capture-spectrum.png")).unwrap().len() > 10_000);
}

//! `knockon frenkel` on the shipped model, with a coarse grid.

#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;
use knockon::io::{read_extxyz, write_extxyz};
use std::path::Path;

/// The way from candidates to labels is the same in the help and in the documentation, whose numbers were measured with it.
#[test]
fn help_and_documentation_relax_candidates_alike() {
    let help = Command::cargo_bin("knockon").unwrap().args(["frenkel", "--help"]).assert().success();
    let help = String::from_utf8_lossy(&help.get_output().stdout).into_owned();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/frenkel.md");
    let page = std::fs::read_to_string(page).unwrap();
    let command = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "\\").collect();
        let first = words.windows(2).position(|two| two == ["knockon", "relax"]).unwrap();
        let last = words[first..].iter().position(|word| *word == "relaxed.xyz").unwrap();
        words[first..=first + last].join(" ")
    };
    assert_eq!(command(&help), command(&page));
    assert!(command(&help).contains("--guide data/cawo4/cawo4.model --max-force 0.03"), "{}", command(&help));
}

#[test]
fn a_small_search_writes_its_tables_structures_and_pictures() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    let crystal = root.join("data/cawo4/cawo4.xyz");
    let config = format!(
        "crystal = {crystal:?}\nrelax_cell = true\nspecies = [\"O\"]\nsupercells = [2]\ngrid_spacing_angstrom = 1.2\n\
         reach_angstrom = 4.0\n"
    );
    std::fs::write(folder.path().join("frenkel.toml"), config).unwrap();
    let output = folder.path().join("out");
    // A pair that the grid does not reach, on its way down with first-principles forces, and its perfect box.
    let known = folder.path().join("known.xyz");
    let mut labels = read_extxyz(&root.join("data/cawo4/labels.xyz")).unwrap();
    let ids = ["frenkel-perfect-96-bcfb890d", "relax-O-1-3-96-bcfb890d"];
    labels.retain(|frame| ids.contains(&frame.info.get("id").unwrap()));
    write_extxyz(&known, &labels).unwrap();
    let run = || {
        Command::cargo_bin("knockon")
            .unwrap()
            .args(["frenkel", "--quiet", "--labels"])
            .arg(root.join("data/cawo4/cawo4_pbe.xyz"))
            .arg("--labels")
            .arg(&known)
            .arg("--starts")
            .arg(&known)
            .arg("--model")
            .arg(root.join("data/cawo4/cawo4.model"))
            .arg("-o")
            .arg(&output)
            .arg(folder.path().join("frenkel.toml"))
            .assert()
            .success();
        std::fs::read_to_string(output.join("frenkel.csv")).unwrap()
    };
    let table = run();
    let rows: Vec<&str> = table.lines().skip(1).collect();
    assert!(!rows.is_empty() && rows.iter().all(|row| row.split(',').nth(2) == Some("96")), "{table}");
    for row in &rows {
        let id = row.split(',').next().unwrap();
        assert!(output.join(format!("figures/{id}.png")).exists() && output.join(format!("figures/{id}.svg")).exists());
    }
    let structures = std::fs::read_to_string(output.join("structures-96.xyz")).unwrap();
    assert_eq!(structures.matches("Lattice=").count(), rows.len() + 1);
    assert_eq!(
        structures.matches(" site=").count(),
        rows.len(),
        "where each began, for a fit that keeps relatives together"
    );
    let labelled = std::fs::read_to_string(output.join("labelled.json")).unwrap();
    assert!(labelled.contains("fpCa-00"));
    let header: Vec<&str> = table.lines().next().unwrap().split(',').collect();
    let column = |row: &str, name: &str| {
        let number = header.iter().position(|title| *title == name).unwrap();
        row.split(',').nth(number).unwrap().parse::<f64>().ok()
    };
    let estimated: Vec<(f64, f64)> = rows
        .iter()
        .filter_map(|row| {
            Some((column(row, "first_principles_estimate_ev")?, column(row, "corrected_formation_energy_ev")?))
        })
        .collect();
    assert!(
        matches!(estimated[..], [(code, model)] if (code - model).abs() < 0.05 && (model - 4.285).abs() < 0.01),
        "{table}"
    );
    assert_eq!(run(), table, "a finished search is read back");

    // Energies of the model itself would agree with it and are refused.
    let (model, evaluated) = (root.join("data/cawo4/cawo4.model"), folder.path().join("evaluated.xyz"));
    let mut evaluate = Command::cargo_bin("knockon").unwrap();
    evaluate.args(["--quiet", "evaluate"]).arg(&model).arg(output.join("structures-96.xyz")).arg("-o").arg(&evaluated);
    evaluate.assert().success();
    let mut search = Command::cargo_bin("knockon").unwrap();
    search.args(["frenkel", "--quiet", "--labels"]).arg(&evaluated).arg("--model").arg(&model).arg("-o").arg(&output);
    let refused = search.arg(folder.path().join("frenkel.toml")).assert().code(2);
    let message = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(message.contains("expected energies from first principles, found those of a model"), "{message}");
}

//! `knockon correct` and the response matrix through the command line.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use assert_cmd::Command;
use std::path::Path;

fn run(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_knockon")).current_dir(folder).args(arguments).output().unwrap()
}

fn succeed(folder: &Path, arguments: &[&str]) {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The numbers of a column, and the commented lines.
fn column(folder: &Path, file: &str, name: &str) -> (Vec<f64>, String) {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let comments = text.lines().filter(|l| l.starts_with('#')).collect::<Vec<_>>().join("\n");
    let mut lines = text.lines().filter(|l| !l.starts_with('#'));
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let index = header.iter().position(|h| *h == name).unwrap_or_else(|| panic!("{name} in {header:?}"));
    (lines.map(|l| l.split(',').nth(index).unwrap().parse().unwrap()).collect(), comments)
}

const DETECTOR: [&str; 4] = ["--resolution-ev", "5", "--threshold-ev", "20"];

#[test]
fn a_spectrum_goes_through_curves_matrix_and_simulation() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    succeed(folder, &["spectrum", "cevns", "--target", "CaWO4", "--energies", "1:300:1", "-o", "cevns.csv"]);
    let correct = |response: &str, output: &str, more: &[&str]| {
        let arguments = [&["correct", "cevns.csv", "--response", response, "-o", output], &DETECTOR[..], more].concat();
        succeed(folder, &arguments);
    };
    correct("paper", "folded.csv", &[]);
    let (ratio, comments) = column(folder, "folded.csv", "ratio");
    assert!(comments.contains("W: corrected") && comments.contains("Ca: no response"), "{comments}");
    assert!(comments.contains("conservation_error"));
    assert!(ratio[19..130].iter().all(|r| (0.85..1.15).contains(r)) && ratio[99] < 0.97, "{ratio:?}");
    let (low, _) = column(folder, "folded.csv", "ratio_low");
    let (high, _) = column(folder, "folded.csv", "ratio_high");
    assert!(low[49] < ratio[49] && ratio[49] < high[49]);

    succeed(folder, &["response", "-o", "out", "--matrix", "matrix.csv", "--matrix-energies", "0:320:1"]);
    correct("matrix.csv", "matrix-folded.csv", &[]);
    let (of_matrix, _) = column(folder, "matrix-folded.csv", "ratio");
    assert!(ratio[19..200].iter().zip(&of_matrix[19..200]).all(|(a, b)| (a / b - 1.0).abs() < 3e-3));
    correct("out/response.json", "json-folded.csv", &[]);
    assert_eq!(column(folder, "json-folded.csv", "ratio").0, ratio);

    correct("paper", "events.csv", &["--events", "20000", "--seed", "3"]);
    let (kept, comments) = column(folder, "events.csv", "triggered");
    let per_event = comments.lines().find_map(|l| l.strip_prefix("# counts_per_event: ")).unwrap();
    let seen = kept.iter().sum::<f64>() * per_event.parse::<f64>().unwrap();
    let folded: f64 = column(folder, "folded.csv", "corrected_rate_per_kev_kg_day").0.iter().sum();
    // About 3000 of 20000 events are kept: 2 %.
    assert!((seen / folded - 1.0).abs() < 0.08, "{seen} {folded}");
}

#[test]
fn bad_input_is_refused_with_row_and_remedy() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("good.csv", "energy_ev,counts\n10,5\n20,4\n");
    write("negative.csv", "energy_ev,counts\n10,5\n20,-4\n");
    write("unsorted.csv", "energy_ev,counts\n10,5\n20,4\n15,4\n");
    write("nan.csv", "energy_ev,counts\n10,nan\n20,4\n");
    write("high.csv", "energy_ev,counts\n10,5\n2000,4\n");
    for (arguments, expected) in [
        (vec!["negative.csv", "--response", "paper"], ["line 3", "docs/experimenters.md"]),
        (vec!["unsorted.csv", "--response", "paper"], ["line 4", "ascending"]),
        (vec!["nan.csv", "--response", "paper"], ["line 2", "0 or more"]),
        (vec!["high.csv", "--response", "paper"], ["line 3", "Cut the spectrum"]),
        (vec!["good.csv", "--response", "cawo4-ca"], ["cawo4-ca", "cawo4-w, paper"]),
        (vec!["good.csv", "--response", "good.csv"], ["good.csv", "response-format.md"]),
        (vec!["good.csv", "--response", "paper", "--column", "rate"], ["rate", "counts"]),
        (vec!["good.csv", "--response", "paper", "--resolution-ev", "nan"], ["resolution_ev", "Correct"]),
        (vec!["good.csv", "--response", "paper", "--efficiency", "good.csv"], ["line 2", "efficienc"]),
        (vec!["absent.csv", "--response", "paper"], ["absent.csv", "cannot read"]),
    ] {
        let output = run(folder, &[&["correct", "-o", "out.csv"], &arguments[..]].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(expected.iter().all(|e| message.contains(e)), "{arguments:?}: {message}");
        assert!(!folder.join("out.csv").exists());
    }
}

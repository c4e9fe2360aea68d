//! `knockon spectrum`: check values through the command line, formats, and refusals.

#![allow(clippy::unwrap_used, missing_docs)]

use assert_cmd::Command;

fn run(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_knockon")).arg("spectrum").args(arguments).output().unwrap()
}

/// Column names and rows of a table on standard output.
fn table(arguments: &[&str]) -> (Vec<String>, Vec<Vec<f64>>) {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("# "), "{text}");
    let mut lines = text.lines().filter(|l| !l.starts_with('#'));
    let names = lines.next().unwrap().split(',').map(str::to_owned).collect();
    (names, lines.map(|l| l.split(',').map(|c| c.parse().unwrap()).collect()).collect())
}

const HALO: [&str; 15] = [
    "dark-matter",
    "--mass-gev",
    "2",
    "--cross-section-cm2",
    "1e-36",
    "--v0-km-s",
    "220",
    "--vesc-km-s",
    "544",
    "--v-earth-km-s",
    "232",
    "--rho-gev-cm3",
    "0.3",
    "--format",
    "csv",
];

#[test]
fn dark_matter_has_its_check_values() {
    let (names, rows) = table(&[&HALO[..], &["--target", "CaWO4", "--energies", "10,100"]].concat());
    let element = |s: &str| format!("{s}_rate_per_kev_kg_day");
    let expected = ["energy_ev".into(), "rate_per_kev_kg_day".into(), element("ca"), element("w"), element("o")];
    assert_eq!(names, expected);
    for (row, [energy, total, share]) in rows.iter().zip([[10.0, 5.414e6, 0.985], [100.0, 6.853e5, 0.919]]) {
        assert_eq!(row[0], energy);
        assert!((row[1] / total - 1.0).abs() < 1e-3, "{row:?}");
        assert!((row[3] / row[1] - share).abs() < 1e-3, "{row:?}");
        assert!((row[2..].iter().sum::<f64>() / row[1] - 1.0).abs() < 1e-7);
    }
    let (names, rows) = table(&[&HALO[..], &["--target", "W", "--energies", "300:316:1", "--modulation"]].concat());
    assert_eq!(names.last().unwrap(), "annual_amplitude_per_kev_kg_day");
    // Mean-mass end point 305.8 eV; that of 180W, the lightest isotope, is 312.3 eV.
    assert!(rows[5][1] > 0.0 && rows[13][1] == 0.0, "{rows:?}");
}

#[test]
fn reactor_neutrinos_have_their_check_values() {
    let (names, rows) = table(&["cevns", "--site", "chooz-vns", "--target", "CaWO4", "--energies", "20,100"]);
    assert_eq!(names[1], "rate_per_kev_kg_day");
    // The check values are for 1.7e12 /cm^2/s, the site has 1.66e12.
    for (row, expected) in rows.iter().zip([722.0, 127.5]) {
        assert!((row[1] * 1.7 / 1.66 / expected - 1.0).abs() < 0.015, "{row:?}");
    }
    let half = ["--duty", "0.5", "--power-gw", "4.25,4.25", "--distance-m", "72,102", "--u238-captures", "0.6"];
    let (_, other) = table(&[&["cevns", "--energies", "20,100"], &half[..]].concat());
    // Neutrinos after capture reach no tungsten recoil of 100 eV.
    assert!((other[1][3] / rows[1][3] - 0.5).abs() < 1e-7);
}

#[test]
fn capture_peaks_and_end_point() {
    let (names, rows) = table(&["capture", "--target", "W", "--energies", "100:170:0.02"]);
    assert_eq!(names[1], "rate_per_ev_per_capture");
    let peak = |low: f64, high: f64| {
        let inside = rows.iter().filter(|r| r[0] > low && r[0] < high);
        inside.max_by(|a, b| a[1].total_cmp(&b[1])).unwrap()
    };
    assert!((peak(111.5, 118.0)[0] - 112.44).abs() < 0.05 && (peak(158.0, 165.0)[0] - 160.27).abs() < 0.05);
    assert!(rows.iter().all(|r| r[0] < 160.4 || r[1] == 0.0));
    let (_, other) = table(&["capture", "--energies", "100:170:0.02", "--evaluation", "egaf", "--lines-only"]);
    let height = other.iter().filter(|r| (r[0] - 112.44).abs() < 0.05).map(|r| r[1]).fold(0.0, f64::max);
    assert!((peak(111.5, 118.0)[3] / height - 1.70).abs() < 0.02, "{height}");
}

#[test]
fn json_has_the_same_content_and_files_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spectrum.json");
    let arguments = ["--target", "Ge", "--energies", "10:30:10", "--format", "json", "-o", file.to_str().unwrap()];
    let output = run(&[&["cevns"], &arguments[..]].concat());
    assert!(output.status.success() && output.stdout.is_empty());
    let document: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let (_, rows) = table(&["cevns", "--target", "Ge", "--energies", "10:30:10"]);
    let found = document["columns"]["ge_rate_per_kev_kg_day"][2].as_f64().unwrap();
    assert!((found / rows[2][2] - 1.0).abs() < 1e-7);
    assert_eq!(document["parameters"]["target"], "Ge");
}

#[test]
fn wrong_options_end_with_code_2_and_a_remedy() {
    for (arguments, expected) in [
        (vec!["dark-matter", "--target", "CaXO4"], "CaMoO4"),
        (vec!["dark-matter", "--target", "tungsten"], "such as CaWO4"),
        (vec!["dark-matter", "--mass-gev", "0"], "mass_gev"),
        (vec!["dark-matter", "--energies", "100,10"], "start:stop:step"),
        (vec!["dark-matter", "--resolution-ev", "nan"], "resolution_ev"),
        (vec!["dark-matter", "--modulation", "--v-earth-km-s", "10"], "earth_km_per_s"),
        (vec!["dark-matter", "--day-of-year", "400"], "day_of_year"),
        (vec!["cevns", "--fission-fractions", "0.5,0.1,0.1,0.1"], "add up to 1"),
        (vec!["cevns", "--fission-fractions", "0.5,0.5"], "four shares"),
        (vec!["cevns", "--power-gw", "4,4", "--distance-m", "72"], "as many distances"),
        (vec!["cevns", "--site", "nowhere"], "chooz-vns"),
        (vec!["capture", "--target", "Ge"], "--target W"),
        (vec!["capture", "--energies", "112"], "--resolution-ev"),
    ] {
        let output = run(&arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty());
    }
}

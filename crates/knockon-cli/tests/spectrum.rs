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
    let (other_names, other) = table(&[
        "capture",
        "--energies",
        "100:170:0.02",
        "--evaluation",
        "egaf",
        "--lines-only",
        "--captures",
        "20000",
    ]);
    assert_eq!((names[5].as_str(), other_names.len()), ("w_tabulated_per_ev_per_capture", 6));
    let height = other.iter().filter(|r| (r[0] - 112.44).abs() < 0.05).map(|r| r[5]).fold(0.0, f64::max);
    assert!((peak(111.5, 118.0)[5] / height - 1.70).abs() < 0.02, "{height}");
    // The line is exact; next to it captures are counted.
    assert!(peak(158.0, 165.0)[2] == 0.0 && rows.iter().any(|r| r[2] > 0.0 && r[2] < r[1]), "errors");
}

/// A seed gives the same file; options for the crystal take captures away, slowing down moves them.
#[test]
fn capture_options_do_something() {
    let few = ["capture", "--energies", "0.5:170:1", "--captures", "20000"];
    let with = |more: &[&str]| table(&[&few[..], more].concat()).1;
    let sum = |rows: &[Vec<f64>]| rows.iter().map(|r| r[1]).sum::<f64>();
    let plain = with(&[]);
    assert_eq!(plain, with(&["--seed", "1"]));
    assert_ne!(plain, with(&["--seed", "2"]));
    assert!((sum(&plain) - 1.0).abs() < 1e-6, "{}", sum(&plain));
    let (electrons, cube) = (with(&["--no-conversion-electrons"]), with(&["--crystal-mm", "5,5,5"]));
    assert!(sum(&cube) < sum(&electrons) && sum(&electrons) < 0.6);
    let folder = tempfile::tempdir().unwrap();
    let curve = folder.path().join("curve.csv");
    std::fs::write(&curve, "time_fs,momentum_share\n0,0\n1,0\n").unwrap();
    assert_eq!(with(&["--slowing-down", curve.to_str().unwrap()]), with(&["--slowing-down", "stopped"]));
    assert_ne!(with(&["--slowing-down", "prompt"]), with(&["--slowing-down", "stopped"]));
}

/// A table of one line of neutrinos: the recoils end at 2 E^2 / (M + 2 E).
#[test]
fn a_reactor_table_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reactor.csv");
    std::fs::write(&file, "neutrino_energy_mev,neutrinos_per_mev_per_fission\n2.9,0\n3,10\n3.1,0\n").unwrap();
    let arguments = ["cevns", "--target", "Ge", "--energies", "1,300", "--reactor-table", file.to_str().unwrap()];
    let (_, rows) = table(&arguments);
    assert!(rows[0][1] > 0.0 && rows[1][1] == 0.0, "{rows:?}");
    std::fs::write(&file, "1,2\n0.5,1\n").unwrap();
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("line 2") && message.contains("neutrinos_per_mev_per_fission"), "{message}");
    // A table is not replaced by the spectrum that is made with it.
    let output = run(&[&arguments[..], &["-o", file.to_str().unwrap()]].concat());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && message.contains("an output that is no input"), "{message}");
}

#[test]
fn every_crystal_of_the_table_works() {
    for target in ["CaWO4", "Al2O3", "Ge", "Si", "CaMoO4", "LiF", "NaI", "PbWO4"] {
        for source in ["dark-matter", "cevns"] {
            let (names, rows) = table(&[source, "--target", target, "--energies", "5,50"]);
            assert!(names.len() > 2 && rows.iter().all(|r| r[1..].iter().all(|v| v.is_finite() && *v >= 0.0)));
            assert!(rows[0][1] > rows[1][1] && rows[1][1] > 0.0, "{source} on {target}");
        }
    }
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
        (vec!["dark-matter", "--energies", "-60:320:1"], "found \"-60\""),
        (vec!["dark-matter", "--resolution-ev", "nan"], "resolution_ev"),
        (vec!["dark-matter", "--modulation", "--v-earth-km-s", "10"], "earth_km_per_s"),
        (vec!["dark-matter", "--day-of-year", "400"], "day_of_year"),
        (vec!["cevns", "--fission-fractions", "0.5,0.1,0.1,0.1"], "add up to 1"),
        (vec!["cevns", "--fission-fractions", "0.5,0.5"], "four shares"),
        (vec!["cevns", "--power-gw", "4,4", "--distance-m", "72"], "as many distances"),
        (vec!["cevns", "--site", "nowhere"], "chooz-vns"),
        (vec!["capture", "--target", "Ge"], "--target W"),
        (vec!["capture", "--energies", "112"], "a resolution (resolution_ev)"),
        (vec!["capture", "--slowing-down", "quickly"], "--slowing-down 60"),
        (vec!["capture", "--slowing-down", "0"], "above 0"),
        (vec!["capture", "--crystal-mm", "5,5"], "5,5,5"),
        (vec!["capture", "--captures", "10"], "1000"),
        (vec!["cevns", "--reactor-table", "nowhere.csv"], "nowhere.csv"),
    ] {
        let output = run(&arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty());
    }
}

//! `knockon response`: the shipped response, several campaigns, directions, formats.

#![allow(clippy::unwrap_used, missing_docs)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_knockon"));
    // The Python with uproot goes where tests keep theirs.
    command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    command.arg("--quiet").args(arguments).current_dir(folder).output().unwrap()
}

fn succeed(folder: &Path, arguments: &[&str]) {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Equal text and structure, numbers within 1e-6: other processors may round the last bits otherwise.
fn assert_close(a: &Value, b: &Value, place: &str) {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap());
            assert!((x - y).abs() <= 1e-6 * (1.0 + x.abs()), "{place}: {x} {y}");
        }
        (Value::Array(x), Value::Array(y)) => {
            assert_eq!(x.len(), y.len(), "{place}");
            x.iter().zip(y).enumerate().for_each(|(i, (x, y))| assert_close(x, y, &format!("{place}/{i}")));
        }
        (Value::Object(x), Value::Object(y)) => {
            assert_eq!(x.keys().collect::<Vec<_>>(), y.keys().collect::<Vec<_>>(), "{place}");
            x.iter().for_each(|(key, x)| assert_close(x, &y[key], &format!("{place}/{key}")));
        }
        _ => assert_eq!(a, b, "{place}"),
    }
}

/// data/cawo4/response.toml names the command; the file it makes is the one that is compiled in.
#[test]
fn the_shipped_response_is_what_its_command_makes() {
    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().to_str().unwrap();
    let settings = std::fs::read_to_string(root().join("data/cawo4/response.toml")).unwrap();
    let command = settings.lines().find_map(|l| l.strip_prefix("#   knockon ")).unwrap();
    let arguments: Vec<&str> =
        command.split_whitespace().map(|word| if word == "data/cawo4/cawo4-w" { out } else { word }).collect();
    succeed(&root(), &arguments);
    let json = |path: PathBuf| -> Value { serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap() };
    let (made, shipped) =
        (json(temporary.path().join("response.json")), json(root().join("data/cawo4/cawo4-w/response.json")));
    assert_close(&made, &shipped, "");
    assert!(temporary.path().join("direction-maps.png").exists());
    let models = std::fs::read_to_string(temporary.path().join("models.csv")).unwrap();
    assert_eq!(models.lines().filter(|l| !l.starts_with('#')).count(), 17);
}

#[test]
fn a_tagged_response_is_used_like_any_other() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let at = |path: &str| root().join(path).display().to_string();
    let (settings, crystal) = (at("data/cawo4/response.toml"), at("data/cawo4/cawo4.xyz"));
    // Alone, without the campaign.json that knows the symmetry of the site.
    std::fs::copy(at("data/cawo4/campaign/recoils.csv"), folder.join("recoils.csv")).unwrap();
    let common = ["response", &settings, "--campaign", "recoils.csv", "--direction", "0,0,1", "-o", "along-c"];
    let refused = run(folder, &common);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && message.contains("--crystal"), "{message}");
    succeed(folder, &[&common[..], &["--crystal", &crystal, "--direction-width-deg", "30"]].concat());
    std::fs::write(folder.join("counts.csv"), "energy_ev,counts\n50,5\n100,9\n150,4\n").unwrap();
    let correct = |response: &str| {
        succeed(folder, &["correct", "counts.csv", "--response", response, "--resolution-ev", "5", "-o", "out.csv"]);
        std::fs::read_to_string(folder.join("out.csv")).unwrap()
    };
    let (tagged, shipped) = (correct("along-c/response.json"), correct("CaWO4-W"));
    assert!(tagged.contains("directions: along (0.000, 0.000, 1.000)") && shipped.contains("\"name\":\"cawo4-w\""));
    assert_ne!(tagged.lines().last(), shipped.lines().last());
}

/// CSV, JSON, NPZ and ROOT say the same; ROOT goes through uproot, which is installed once from PyPI.
#[test]
fn matrices_go_through_all_formats() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let grid = ["--matrix-energies", "0:200:5", "--matrix-step-ev", "1", "--matrix-sets", "3"];
    succeed(folder, &[&["response", "-o", "paper", "--matrix", "a.json"], &grid[..]].concat());
    for (from, to) in [("a.json", "b.npz"), ("b.npz", "c.root"), ("c.root", "d.json"), ("d.json", "e.csv")] {
        succeed(folder, &["response", "--from-matrix", from, "--matrix", to]);
    }
    let json = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    assert_close(&json("a.json"), &json("d.json"), "");
    let csv = std::fs::read_to_string(folder.join("e.csv")).unwrap();
    assert!(csv.contains("probability_low,probability_high") && csv.contains("# species: W"));

    let losses: String = (1..40).map(|k| format!("{} {} 0 0 {}\n", 0.08 * f64::from(k), 0.3, 4 + k % 9)).collect();
    std::fs::write(folder.join("losses.dat"), format!("# [3, 3, 3]\nnan nan 20 60 100\n{losses}")).unwrap();
    let refused = run(folder, &["correct", "a.json", "--response", "losses.dat", "-o", "x.csv"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--energy-losses"));
    succeed(folder, &["response", "--energy-losses", "losses.dat", "--species", "W", "--matrix", "l.npz"]);
    let refused = run(folder, &["response", "--from-matrix", "l.npz", "--matrix", "l.xlsx"]);
    assert!(refused.status.code() == Some(2) && String::from_utf8_lossy(&refused.stderr).contains(".root"));
}

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
    assert_eq!(models.lines().filter(|l| !l.starts_with('#')).count(), 21);
}

#[test]
fn a_tagged_response_is_used_like_any_other() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let at = |path: &str| root().join(path).display().to_string();
    let (settings, crystal) = (at("data/cawo4/response.toml"), at("data/cawo4/cawo4.xyz"));
    // Alone, without the campaign.json that knows the symmetry of the crystal.
    std::fs::copy(at("data/cawo4/campaign-120-labels/recoils.csv"), folder.join("recoils.csv")).unwrap();
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
    for table in ["stored_energy.csv", "directions.csv"] {
        let text = std::fs::read_to_string(folder.join("along-c").join(table)).unwrap();
        assert!(text.contains("closeness: along (0.000, 0.000, 1.000)"), "{text}");
    }
    let (tagged, shipped) = (correct("along-c/response.json"), correct("CaWO4-W"));
    assert!(tagged.contains("directions: along (0.000, 0.000, 1.000)") && shipped.contains("\"name\":\"cawo4-w\""));
    assert_ne!(tagged.lines().last(), shipped.lines().last());
}

/// `campaign run` leaves the table as it is: the response would rest on what was done before.
#[test]
fn the_table_of_a_campaign_that_went_on_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let campaign = temporary.path().join("campaign");
    std::fs::create_dir_all(campaign.join("runs")).unwrap();
    std::fs::write(campaign.join("recoils.csv"), shipped_recoils(|line| line.starts_with("0,"))).unwrap();
    for name in ["run-00000.json", "run-00001.json", "run-00002.failed.json", "run-00003.xyz"] {
        std::fs::write(campaign.join("runs").join(name), "").unwrap();
    }
    let settings = root().join("data/cawo4/response.toml").display().to_string();
    let refused = run(temporary.path(), &["response", &settings, "--campaign", "campaign", "-o", "out"]);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(
        message.contains("all 2 recoils that are done, found 1") && message.contains("collect campaign"),
        "{message}"
    );
}

/// The table of the shipped campaign with the lines that `keep` wants.
fn shipped_recoils(keep: impl Fn(&str) -> bool) -> String {
    let text = std::fs::read_to_string(root().join("data/cawo4/campaign-120-labels/recoils.csv")).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    std::iter::once(header).chain(lines.filter(|l| keep(l))).map(|l| format!("{l}\n")).collect()
}

/// Tables beside a response hold the recoils of all campaigns that it rests on.
#[test]
fn several_campaigns_are_tabulated_together() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let energy = |line: &str| line.split(',').nth(2).unwrap().parse::<f64>().unwrap();
    std::fs::write(folder.join("low.csv"), shipped_recoils(|l| energy(l) < 100.0)).unwrap();
    std::fs::write(folder.join("high.csv"), shipped_recoils(|l| energy(l) > 100.0)).unwrap();
    let settings = "accepted_flags = [\"extrapolation\"]\nreplicates = 20\nmodel_form_spread = false\n";
    std::fs::write(folder.join("s.toml"), settings).unwrap();
    succeed(folder, &["response", "s.toml", "--campaign", "low.csv", "--campaign", "high.csv", "-o", "out"]);
    let rows = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(folder.join("out").join(name)).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let stored = rows("stored_energy.csv");
    let of_campaign: Vec<&String> = stored.iter().filter(|l| l.ends_with(",campaign")).collect();
    // The campaign grows.
    let all = shipped_recoils(|_| true);
    let mut energies: Vec<f64> = all.lines().skip(1).map(energy).collect();
    energies.sort_by(f64::total_cmp);
    energies.dedup();
    let n_paper = stored.iter().filter(|l| l.ends_with(",paper")).count();
    assert_eq!((of_campaign.len(), n_paper), (energies.len(), 2), "{stored:?}");
    // Recoils with another flag than the accepted one are left out.
    let count = |keep: &dyn Fn(&str) -> bool| all.lines().skip(1).filter(|l| keep(l)).count();
    let other = |l: &str| ["small-box", "heat"].iter().any(|flag| l.contains(flag));
    let (n, left_out) = (count(&|_| true), count(&other));
    let flagged = count(&|l| l.contains("extrapolation") || other(l));
    let counts =
        format!("# cascades: {} used, {left_out} left out; {flagged} of all have flags (n_flagged)", n - left_out);
    assert!(left_out > 0 && stored.contains(&counts), "{counts} {stored:?}");
    let at_160 = count(&|l| energy(l) == 160.0);
    let left_out = count(&|l| energy(l) == 160.0 && other(l));
    let row = format!("160,{},{at_160},{left_out},", at_160 - left_out);
    assert!(of_campaign.iter().any(|l| l.starts_with(&row)), "{row} {of_campaign:?}");
    assert!(stored.iter().filter(|l| !l.starts_with('#')).all(|l| l.matches(',').count() == 14), "{stored:?}");
    let directions = rows("directions.csv");
    let told = |energy: &f64| directions.iter().any(|l| l.starts_with(&format!("{energy},")));
    assert!(energies.iter().all(told), "{energies:?} {directions:?}");
}

/// The paper's numbers fill no gaps of other species and crystals; a crystal in which sites differ does not say which one recoiled.
#[test]
fn other_recoils_and_crystals_are_told_apart() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let one_energy = shipped_recoils(|l| l.split(',').nth(2) == Some("112"));
    std::fs::write(folder.join("w.csv"), &one_energy).unwrap();
    std::fs::write(folder.join("si.csv"), one_energy.replace(",W,", ",Si,")).unwrap();
    for species in ["W", "O", "Si"] {
        let accepted = "accepted_flags = [\"extrapolation\", \"small-box\"]\nreplicates = 20\n";
        let settings = format!("species = \"{species}\"\n{accepted}");
        std::fs::write(folder.join(format!("{species}.toml")), settings).unwrap();
    }
    let crystal = "4\nLattice=\"3.8 0 0 0 3.8 0 0 0 3.8\" Properties=species:S:1:pos:R:3 pbc=\"T T T\"\n\
                   W 0 0 0\nO 1.9 0 0\nO 0 1.9 0\nO 0 0 1.9\n";
    std::fs::write(folder.join("wo3.xyz"), crystal).unwrap();
    let campaign = shipped_campaign(|all| {
        all["unit_cell"] = serde_json::json!({
            "vectors": [3.8, 0, 0, 0, 3.8, 0, 0, 0, 3.8],
            "species": ["W", "O", "O", "O"],
            "positions": [[0, 0, 0], [1.9, 0, 0], [0, 1.9, 0], [0, 0, 1.9]],
        });
    });
    std::fs::create_dir(folder.join("campaign")).unwrap();
    std::fs::write(folder.join("campaign/campaign.json"), campaign).unwrap();
    std::fs::copy(folder.join("w.csv"), folder.join("campaign/recoils.csv")).unwrap();
    let gaps = "the paper's numbers are for W in CaWO4";
    for (arguments, expected) in [
        (vec!["Si.toml", "--campaign", "si.csv"], ["recoils of Si to fix", " at 112 eV", gaps]),
        (vec!["W.toml", "--campaign", "w.csv", "--crystal", "wo3.xyz"], ["W in another crystal", "w.csv", gaps]),
        (vec!["W.toml", "--campaign", "campaign"], ["W in another crystal", "recoils.csv", gaps]),
        (vec!["O.toml", "--campaign", "w.csv", "--crystal", "wo3.xyz"], ["oriented alike", "wo3.xyz", "campaign.json"]),
    ] {
        let output = run(folder, &[&["response", "-o", "out"], &arguments[..]].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(expected.iter().all(|e| message.contains(e)), "{arguments:?}: {message}");
        assert!(!folder.join("out").exists());
    }
    succeed(folder, &["response", "W.toml", "--campaign", "w.csv", "-o", "out"]);
}

/// The campaign.json of the shipped campaign with a change.
fn shipped_campaign(change: impl Fn(&mut Value)) -> String {
    let text = std::fs::read_to_string(root().join("data/cawo4/campaign/campaign.json")).unwrap();
    let mut campaign = serde_json::from_str(&text).unwrap();
    change(&mut campaign);
    campaign.to_string()
}

/// What was dropped without a word: images of directions, runs with a flag that somebody mistyped, parts of numbers.
#[test]
fn broken_campaigns_and_settings_are_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    std::fs::write(folder.join("recoils.csv"), shipped_recoils(|_| true)).unwrap();
    let settings = std::fs::read_to_string(root().join("data/cawo4/response.toml")).unwrap();
    std::fs::write(folder.join("s.toml"), &settings).unwrap();
    std::fs::write(folder.join("typo.toml"), settings.replace("\"small-box\"", "\"small_box\"")).unwrap();
    let direction = ["--direction", "0,0,1"];
    let refuse = |settings: &str, more: &[&str], expected: &[&str]| {
        let output = run(folder, &[&["response", settings, "--campaign", "recoils.csv", "-o", "out"], more].concat());
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(expected.iter().all(|e| message.contains(e)), "{expected:?}: {message}");
        assert!(!folder.join("out").exists());
    };
    refuse("typo.toml", &[], &["accepted_flags", "small-box, hot-border", "\"small_box\""]);
    let without = shipped_campaign(|all| drop(all.as_object_mut().unwrap().remove("operations")));
    std::fs::write(folder.join("campaign.json"), without).unwrap();
    refuse("s.toml", &direction, &["campaign.json", "missing field `operations`", "knockon campaign collect"]);
    let empty = shipped_campaign(|all| all["operations"] = serde_json::json!([]));
    std::fs::write(folder.join("campaign.json"), empty).unwrap();
    refuse("s.toml", &direction, &["campaign.json", "expected the 4 operations of the site", "found 0"]);
    std::fs::write(folder.join("campaign.json"), shipped_campaign(|_| ())).unwrap();
    let recoils = shipped_recoils(|_| true);
    let first = recoils.lines().nth(1).unwrap();
    let mut cells: Vec<&str> = first.split(',').collect();
    let column = recoils.lines().next().unwrap().split(',').position(|name| name == "direction").unwrap();
    cells[column] = "-1";
    std::fs::write(folder.join("recoils.csv"), recoils.replacen(first, &cells.join(","), 1)).unwrap();
    refuse("s.toml", &[], &["recoils.csv, line 2", "whole number", "\"direction\"", "\"-1\""]);
}

/// `--from-matrix` takes what `--response` takes: a name or a response.json is put on the grid of the options.
#[test]
fn responses_that_are_there_become_matrices() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let grid = ["--matrix-energies", "0:200:5", "--matrix-step-ev", "1", "--matrix-sets", "3"];
    let shipped = root().join("data/cawo4/cawo4-w/response.json").display().to_string();
    let table = |from: &[&str]| {
        succeed(folder, &[&["response", "--matrix", "table.json"], from, &grid[..]].concat());
        std::fs::read_to_string(folder.join("table.json")).unwrap()
    };
    assert_eq!(table(&["--from-matrix", "paper"]), table(&[]));
    let named = table(&["--from-matrix", "CaWO4-W"]);
    assert_eq!(table(&["--from-matrix", &shipped]), named);
    let matrix: Value = serde_json::from_str(&named).unwrap();
    assert_eq!((&matrix["name"], matrix["bootstrap"].as_array().unwrap().len()), (&Value::from("cawo4-w"), 3));
    // A file goes before a name, and a matrix keeps its own grid.
    std::fs::write(folder.join("paper"), &named).unwrap();
    succeed(folder, &["response", "--from-matrix", "paper", "--matrix", "same.json"]);
    let same = std::fs::read_to_string(folder.join("same.json")).unwrap();
    assert_close(&serde_json::from_str(&same).unwrap(), &matrix, "");
    let refused = run(folder, &["response", "--from-matrix", "cawo4-ca", "--matrix", "x.csv"]);
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && message.contains("expected a file or cawo4-w, paper"), "{message}");
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

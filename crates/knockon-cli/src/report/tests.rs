use super::*;

/// Writes files into a fresh folder.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        knockon::io::write_atomically(&folder.path().join(name), content.as_bytes()).expect("writable");
    }
    folder
}

fn report(folder: &tempfile::TempDir) -> String {
    write(folder.path()).expect("the report is written");
    std::fs::read_to_string(folder.path().join("report.html")).expect("it is there")
}

const RECOILS: &str = "run,species,recoil_energy_ev,direction,direction_x,direction_y,direction_z,weight_sr,start,\
    stored_energy_ev,flags,model_hash\n0,W,112,0,0.6,0.8,0,1.5,0,9.5,,aaaa\n1,W,112,1,0,0.6,0.8,1.6,0,0.0,,aaaa\n2,W,112,1,0,0.6,0.8,1.6,1,80.0,energy_drift,aaaa\n";

/// A campaign that ships, made tiny.
pub(super) fn campaign() -> String {
    let shipped = include_str!("../../../../data/cawo4/campaign/campaign.json");
    let mut all: serde_json::Map<String, serde_json::Value> = serde_json::from_str(shipped).expect("JSON");
    let changes: serde_json::Map<String, serde_json::Value> = serde_json::from_str(CHANGES).expect("JSON");
    all.extend(changes);
    serde_json::Value::Object(all).to_string()
}

const CHANGES: &str = r#"{"model_hash": "aaaa", "n_atoms": 768, "energies_ev": [112], "n_runs": 3, "n_flagged": 1, "central_atom_index": 17,
    "operations": [[1,0,0,0,1,0,0,0,1],[-1,0,0,0,-1,0,0,0,1],[0,1,0,-1,0,0,0,0,-1],[0,-1,0,1,0,0,0,0,-1]],
    "directions": [{"x":0.7071,"y":0.7071,"z":0,"weight_sr":1.5}],
    "kinetic_energies": {"n_frames":1,"n_atoms":4,"bin_width_kt":5.0,"counts":[2,1],"beyond":1},
    "unit_cell": {"vectors":[5.3,0,0,0,5.3,0,0,0,11.5],"species":["W"],"positions":[[0,0,0]]}}"#;
const THERMALIZATION: &str = r#"{"bath_temperature_k":133,"temperatures":[{"species":"W","mean_k":132,"standard_error_k":1}],
    "temperature_trend":-0.6,"potential_energy_trend":0.1,"kinetic_energy_distance":0.01,"allowed_distance":0.03,
    "readings":[{"time_fs":1,"potential_energy_ev":-1,"temperatures_k":[130]},{"time_fs":2,"potential_energy_ev":-1,"temperatures_k":[134]}]}"#;
const CHECKS: &str = r#"[{"name":"phonons <real>","value":-1.5,"unit":"THz","expected":"> 0","passed":false,"detail":"at Gamma"},
    {"name":"a","value":5.33,"unit":"A","expected":5.334,"passed":true,"detail":""}]"#;

#[test]
fn an_empty_folder_names_every_missing_stage() {
    let html = report(&folder(&[]));
    for stage in ["knockon fit", "knockon campaign", "knockon response", "knockon spectra"] {
        assert!(html.contains(stage), "{stage}");
    }
    assert!(!html.contains("<svg"));
}

#[test]
fn a_tiny_run_gives_well_formed_figures_and_a_page_that_stands_alone() {
    let spectrum = "# parameters: {\"name\": \"<more>\"}\nenergy_ev,rate_before_per_kev_kg_day,rate_after_per_kev_kg_day,ratio,ratio_low,ratio_high\n10,1,1,1,0.9,1.1\n";
    let folder = folder(&[
        ("campaign/recoils.csv", RECOILS),
        ("campaign/campaign.json", &campaign()),
        ("campaign/starts/thermalization.json", THERMALIZATION),
        ("spectra/cevns.csv", spectrum),
        ("spectra/capture.csv", spectrum),
        ("model/pair_scans.csv", "pair,environment,distance_angstrom,energy_ev,has_data\nW-O,vacuum,0.3,1e4,false\n"),
        ("model/fit.json", r#"{"uncertainty": {"force": {"bins": [{"predicted_rms": 0.2, "error_rms": 0.3}]}}}"#),
        (
            "model/calibration.csv",
            "configuration,class,quantity,predicted,error\n0,a,force_std_ev_per_angstrom,0.2,0.3\n",
        ),
        (
            "model/parity.csv",
            "configuration,class,split,quantity,reference,predicted\n0,a,training,energy_ev_per_atom,-8,-8\n",
        ),
    ]);
    let html = report(&folder);
    for forbidden in ["<script", "src=", "href=\"http", "url(http", "@import", "<link", "<more>"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert!(html.contains("2 cascades") && html.contains("&lt;more&gt;"));
    assert!(
        html.contains("frames: 1")
            && html.contains("found 1, expected 0.0")
            && html.contains("by −0.6 standard errors")
    );
    let names = [
        "recoil-map",
        "thermalization",
        "stored-energy",
        "capture-spectrum",
        "continuous-spectra",
        "parity",
        "calibration",
        "pair-scans",
    ];
    for name in names {
        // write() has drawn each as PNG, which parses the SVG as strict XML
        let file = |extension: &str| folder.path().join(format!("figures/{name}.{extension}"));
        assert!(file("svg").exists() && file("png").exists(), "{name}");
        let svg = std::fs::read_to_string(file("svg")).expect("readable");
        assert!(!svg.contains("NaN") && !svg.contains("inf "), "{name}");
    }
}

#[test]
fn a_failing_potential_stands_at_the_top() {
    let html = report(&folder(&[("model/checks.json", CHECKS), ("campaign/campaign.json", &campaign())]));
    let notice = html.find("fails 1 of 2 checks").expect("it is announced");
    assert!(notice < html.find("A cryogenic detector").expect("introduction"));
    assert!(html.contains("phonons &lt;real&gt;") && !html.contains("phonons <real>"));
}

#[test]
fn different_potentials_are_announced() {
    let html =
        report(&folder(&[("model/fit.json", r#"{"model_hash": "bbbb"}"#), ("campaign/campaign.json", &campaign())]));
    assert!(html.contains("different potentials"));
}

#[test]
fn broken_files_and_folders_are_errors_with_a_place() {
    let broken = folder(&[("model/checks.json", "[{")]);
    let error = format!("{:#}", write(broken.path()).expect_err("it is broken"));
    assert!(error.contains("checks.json") && error.contains("line 1"), "{error}");
    // A campaign whose symmetry is missing has no map without images.
    let without = folder(&[("campaign/campaign.json", &campaign().replace("\"operations\"", "\"operation\""))]);
    let error = format!("{:#}", write(without.path()).expect_err("it lacks something"));
    assert!(error.contains("campaign.json") && error.contains("missing field `operations`"), "{error}");
    let error = write(Path::new("/nowhere/at/all")).expect_err("there is none").to_string();
    assert!(error.contains("expected the output folder"), "{error}");
}

#[test]
fn the_same_run_gives_the_same_page() {
    let folder = folder(&[("campaign/recoils.csv", RECOILS), ("campaign/campaign.json", &campaign())]);
    assert_eq!(report(&folder), report(&folder));
}

//! `knockon history`.

mod record;
mod table;

use crate::config;
use crate::figures::learning::draw;
use crate::figures::raster;
use crate::progress::{Bar, say};
use anyhow::{Context, Result};
use glam::DVec3;
use knockon::cascade::{
    Checkpoint, MAX_RECOIL_ENERGY_EV, PerfectBox, Recoil, RecoilSettings, RecoilTask, Thermalization, check_size,
    run_recoil,
};
use knockon::dynamics::{QuenchSettings, relaxed_unit_cell};
use knockon::fit::learning::learning_curve;
use knockon::fit::report::PaperErrors;
use knockon::fit::{self, ErrorRow, Split, TrainingData};
use knockon::frenkel::labelled_pairs;
use knockon::io::{read_extxyz, read_structure, read_text, write_atomically};
use knockon::potential::{LinearPotential, Model};
use knockon::progress::Silent;
use knockon::settings::check;
use knockon::{Atoms, Error, Species};
use record::{Form, Record, RecordedRecoil, add};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use table::{curve_csv, curves, summary, table};

/// Arguments of `knockon history`.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  knockon fit examples/cawo4/laptop/fit.toml -o OUT/model\n  \
    knockon history examples/cawo4/history.toml --fit OUT/model --file data/cawo4/history.jsonl -o OUT/history\n\n\
    One line of --file is one potential: its form, the hash of the settings of its fit, its labels by class, held-out errors,\n\
    checks (lattice, elastic constants, pair scans), Frenkel pairs against their labels, stored energies of fixed recoils, and\n\
    how errors fall with the number of labels. Lines of earlier versions lack the first two. OUTPUT holds history.csv (one row per potential), learning-curve.csv, and the figure learning-curve.svg/.png.")]
pub(crate) struct Arguments {
    /// TOML file with the settings; see examples/cawo4/history.toml.
    config: PathBuf,
    /// Folder that knockon fit has written.
    #[arg(long, value_name = "DIR")]
    fit: PathBuf,
    /// Settings of that fit, in the place of those that CONFIG names.
    #[arg(long, value_name = "FIT.toml")]
    settings: Option<PathBuf>,
    /// The record; the potential of this fit is added, or replaced if it is there.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Folder for tables and figure.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// What is recorded of every potential. Paths are relative to the settings file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistorySettings {
    /// Settings of the fit.
    fit: PathBuf,
    /// Unit cell of the crystal.
    crystal: PathBuf,
    /// Recoils that every potential repeats.
    recoils: FixedRecoils,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixedRecoils {
    cells: [usize; 3],
    temperature_k: f64,
    time_fs: f64,
    seed: u64,
    kicks: Vec<Kick>,
}

impl HistorySettings {
    /// Checks what types cannot; `place` names the file.
    fn validate(&self, place: &str) -> Result<(), Error> {
        let fixed = &self.recoils;
        let energies = fixed.kicks.iter().all(|k| k.energy_ev > 0.0 && k.energy_ev <= MAX_RECOIL_ENERGY_EV);
        let directions = fixed.kicks.iter().all(|k| k.direction.try_normalize().is_some());
        let temperature = fixed.temperature_k >= 0.0 && fixed.temperature_k.is_finite();
        check(
            place,
            &[
                (fixed.cells.iter().all(|n| *n > 0), "recoils.cells", "three positive numbers"),
                (temperature, "recoils.temperature_k", "zero or more"),
                (fixed.time_fs > 0.0 && fixed.time_fs.is_finite(), "recoils.time_fs", "a positive time"),
                (energies, "recoils.kicks.energy_ev", "positive energies of at most 1e5 eV"),
                (directions, "recoils.kicks.direction", "directions that are not zero"),
            ],
        )
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kick {
    species: Species,
    energy_ev: f64,
    direction: DVec3,
}

/// What is read of fit.json.
#[derive(Deserialize)]
struct FitReport {
    model_hash: String,
    n_configurations: u64,
    n_columns: u64,
    errors: Vec<ErrorRow>,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings: HistorySettings = config::load(&arguments.config)?;
    settings.validate(&arguments.config.display().to_string())?;
    let folder = arguments.config.parent().unwrap_or(Path::new("."));
    let fit_file = arguments.settings.clone().unwrap_or_else(|| folder.join(&settings.fit));
    let fit_settings: fit::Settings = config::load(&fit_file)?;
    let fit_folder = fit_file.parent().unwrap_or(Path::new("."));
    let model = Model::load(&arguments.fit.join(format!("{}.model", fit_settings.name)))?;
    let potential = LinearPotential::new(&model)?;
    let data = TrainingData::load(&fit_settings, fit_folder)?;
    let report: FitReport = json(&arguments.fit.join("fit.json"))?;
    if report.model_hash != model.hash() {
        anyhow::bail!("{} and the model beside it do not belong together: fit again", arguments.fit.display());
    }

    let bar = Bar::new("learning curve");
    let learning_curve = learning_curve(&fit_settings, &data, &model, &bar)?;
    drop(bar);
    let mut labels = Vec::new();
    for file in &fit_settings.data_files {
        labels.extend(read_extxyz(&fit_folder.join(file))?);
    }
    labels.retain(|label| label.info.get("id").is_none_or(|id| !fit_settings.leave_out.iter().any(|out| out == id)));
    say("Frenkel pairs with labels");
    let frenkel_pairs = labelled_pairs(&potential, &labels, &QuenchSettings::default())?;
    let record = Record {
        model_hash: model.hash(),
        data_hash: data.hash.clone(),
        settings_hash: fit_settings.hash(),
        form: Form::new(&model, report.n_columns),
        n_configurations: report.n_configurations,
        held_out: report.errors.into_iter().filter(|row| row.split == Split::HeldOut).collect(),
        checks: list(&json::<Value>(&arguments.fit.join("checks.json"))?).iter().map(short_check).collect(),
        frenkel_pairs,
        recoils: recoils(&settings, folder, &potential)?,
        learning_curve,
    };
    let records = add(&arguments.file, &record)?;
    let figure = draw(&curves(&records, PaperErrors::of(&data))?);
    write_atomically(&arguments.output.join("learning-curve.svg"), figure.as_bytes())?;
    write_atomically(&arguments.output.join("learning-curve.png"), &raster::png(&figure)?)?;
    write_atomically(&arguments.output.join("history.csv"), table(&records).as_bytes())?;
    write_atomically(&arguments.output.join("learning-curve.csv"), curve_csv(&record).as_bytes())?;
    out!("{}", summary(&records, &record));
    say(&format!("{}: {} potentials", arguments.file.display(), records.len()));
    Ok(())
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&read_text(path)?).with_context(|| format!("cannot use {}: fit again", path.display()))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn short_check(check: &Value) -> Value {
    serde_json::json!({
        "name": check["name"], "value": check["value"], "unit": check["unit"], "passed": check["passed"],
    })
}

/// Boxes of the fixed recoils are warm by then.
const THERMALIZATION_FS: f64 = 300.0;
/// Far more than these recoils take; a hole of the potential would take them all.
const MAX_STEPS: u64 = 100_000;

/// The stored energies of the fixed recoils.
fn recoils(settings: &HistorySettings, folder: &Path, potential: &LinearPotential) -> Result<Vec<RecordedRecoil>> {
    let fixed = &settings.recoils;
    let cell = read_structure(&folder.join(&settings.crystal))?.atoms;
    check_size(&cell, fixed.cells)?;
    let crystal = relaxed_unit_cell(potential, &cell, &QuenchSettings::default())?.supercell(fixed.cells);
    let bar = Bar::new("fixed recoils");
    let mut done = Vec::new();
    for kick in &fixed.kicks {
        done.push(recorded(kick, crystal.len(), follow(potential, &crystal, fixed, kick))?);
        knockon::progress::Progress::update(&bar, done.len() as u64, fixed.kicks.len() as u64);
    }
    Ok(done)
}

fn follow(potential: &LinearPotential, crystal: &Atoms, fixed: &FixedRecoils, kick: &Kick) -> Result<Recoil, Error> {
    let settings = RecoilSettings { max_steps: MAX_STEPS, ..RecoilSettings::lasting(fixed.time_fs) };
    let perfect = PerfectBox::new(potential, crystal.clone(), kick.species, settings.quench, settings.skin_angstrom)?;
    let thermal = Thermalization::for_one_start(fixed.temperature_k, THERMALIZATION_FS);
    let start = perfect.one_start(potential, &thermal, fixed.seed)?;
    let task = RecoilTask {
        potential,
        perfect: &perfect,
        start: &start,
        energy_ev: kick.energy_ev,
        direction: kick.direction,
        settings: &settings,
        seed: fixed.seed,
        grades: None,
        frames_fs: &[],
    };
    Ok(run_recoil(&task, &mut Checkpoint::nowhere(&Silent), &mut |_| ())?.recoil)
}

/// A potential that cannot follow a recoil is worth recording too.
fn recorded(kick: &Kick, n_atoms: usize, followed: Result<Recoil, Error>) -> Result<RecordedRecoil, Error> {
    let mut record = RecordedRecoil {
        kick: kick.clone(),
        n_atoms,
        stored_energy_ev: None,
        vacancies: 0,
        flags: Vec::new(),
        failure: None,
    };
    match followed {
        Ok(found) => {
            record.stored_energy_ev = Some(found.stored_energy_ev);
            record.vacancies = found.defects.species.iter().map(|s| s.vacancies).sum();
            record.flags = found.flags;
        }
        Err(error @ Error::Computation { .. }) => record.failure = Some(error.to_string()),
        Err(other) => return Err(other),
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use knockon::frenkel::LabelledPair;

    /// Lines are compared by form and settings; those of earlier versions have neither and stay as they are.
    #[test]
    fn new_lines_say_their_form_and_old_ones_are_kept() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let model = Model::load(&root.join("data/cawo4/cawo4.model"))?;
        let file = tempfile::NamedTempFile::new()?;
        let old = r#"{"data_hash":"d","held_out":[],"model_hash":"old","n_configurations":32}"#;
        std::fs::write(file.path(), format!("{old}\n"))?;
        let pair = LabelledPair {
            id: "fpW-00".into(),
            species: "W".into(),
            n_atoms: 96,
            label_ev: 9.3,
            failure: Some("a hole".into()),
            ..LabelledPair::default()
        };
        let kick =
            Kick { species: Species::from_symbol("W").context("an element")?, energy_ev: 60.0, direction: DVec3::X };
        let recoil = RecordedRecoil {
            kick,
            n_atoms: 768,
            stored_energy_ev: None,
            vacancies: 0,
            flags: Vec::new(),
            failure: Some("a hole".into()),
        };
        let record = Record {
            model_hash: model.hash(),
            data_hash: "d".into(),
            settings_hash: "0123456789abcdef".into(),
            form: Form::new(&model, 1500),
            n_configurations: 69,
            held_out: Vec::new(),
            checks: Vec::new(),
            frenkel_pairs: vec![pair],
            recoils: vec![recoil],
            learning_curve: Vec::new(),
        };
        let records = add(file.path(), &record)?;
        assert_eq!(read_text(file.path())?.lines().next(), Some(old));
        let table = table(&records);
        let rows: Vec<&str> = table.lines().collect();
        assert!(
            rows[0].ends_with(
                ",channels,cutoffs_angstrom,two_j_max,charge_cutoff_angstrom,dipole_charges_e,references,n_parameters,settings_hash"
            ),
            "{table}"
        );
        assert!(rows[1].starts_with("old,d,32,") && rows[1].ends_with(",,,,,,,"), "{table}");
        assert!(
            rows[2].ends_with(",50,4.8 4.2 3.6 3.1 2.6,3,10.0,1.36 -1.16 3.2,400 900 400,1500,0123456789abcdef"),
            "{table}"
        );
        assert!(rows.iter().all(|row| row.split(',').count() == 17), "{table}");
        // Where nothing was found there is no number, neither of errors, nor of pairs, nor of recoils.
        assert!(rows[1].starts_with("old,d,32,,,0,0,,,") && rows[2].contains(",d,69,,,0,1,,,50,"), "{table}");
        assert!(!summary(&records, &record).contains("0.00"));
        Ok(())
    }

    /// A hole of the potential is a result; a file that is wrong is none.
    #[test]
    fn a_recoil_that_fails_is_recorded() -> Result<()> {
        let kick =
            Kick { species: Species::from_symbol("W").context("an element")?, energy_ev: 60.0, direction: DVec3::X };
        let record = recorded(&kick, 768, Err(Error::computation("a hole", "Refit")))?;
        assert_eq!(
            (record.n_atoms, record.stored_energy_ev, record.failure.as_deref()),
            (768, None, Some("a hole. Refit"))
        );
        assert!(recorded(&kick, 768, Err(Error::input("file", "nothing", "Give it"))).is_err());
        Ok(())
    }

    #[test]
    fn settings_that_no_recoil_can_have_are_refused() -> Result<()> {
        let text = read_text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cawo4/history.toml"))?;
        let refused = |old: &str, new: &str| -> Result<String> {
            anyhow::ensure!(text.contains(old), "{old}");
            let settings: HistorySettings = toml::from_str(&text.replacen(old, new, 1))?;
            Ok(settings.validate("file").err().map(|e| e.to_string()).unwrap_or_default())
        };
        assert_eq!(refused("seed = 1", "seed = 2")?, "");
        assert!(refused("cells = [4, 4, 2]", "cells = [4, 0, 2]")?.contains("file: recoils.cells: expected three"));
        assert!(refused("time_fs = 300.0", "time_fs = 0.0")?.contains("file: recoils.time_fs: expected a positive"));
        assert!(refused("energy_ev = 112.0", "energy_ev = -1.0")?.contains("kicks.energy_ev: expected positive"));
        assert!(refused("[0.3, 0.5, 0.8]", "[0.0, 0.0, 0.0]")?.contains("kicks.direction: expected directions"));
        Ok(())
    }
}

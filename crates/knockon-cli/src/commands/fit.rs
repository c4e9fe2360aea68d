//! `knockon fit`.

use crate::{config, progress};
use anyhow::Result;
use knockon::checks::{self, Check};
use knockon::fit::{self, Dataset, Settings};
use knockon::io::write_atomically;
use knockon::potential::LinearPotential;
use std::path::{Path, PathBuf};

/// Arguments of `knockon fit`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Settings of the fit (TOML); data files in it are relative to its folder.
    pub(crate) settings: PathBuf,
    /// Folder for NAME.model, NAME.committee, NAME.grade, fit.json, parity.csv, calibration.csv, pair_scans.csv and
    /// checks.json.
    #[arg(short, long, value_name = "DIR", default_value = "knockon-out/model")]
    pub(crate) out: PathBuf,
}

/// Runs the verb. A potential that fails its checks is written and reported as failing; that is no error.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings: Settings = config::load(&arguments.settings)?;
    settings.validate(&arguments.settings.display().to_string())?;
    let folder = arguments.settings.parent().unwrap_or(Path::new("."));
    let data = Dataset::load(&settings, folder)?;

    let bar = progress::Bar::new("Descriptors of the data");
    let mut fit = fit::run(&settings, &data, &bar)?;
    drop(bar);

    let bar = progress::Bar::new("Checks of the potential");
    let potential = LinearPotential::new(&fit.model)?;
    let crystal = &data.configurations[data.reference].atoms;
    let scans = checks::pair_scans(&potential, crystal, &fit.distances, &settings.checks)?;
    let found = checks::check(&potential, crystal, &scans, &settings.checks, &bar);
    drop(bar);
    fit.record_checks(&found);

    let write = |name: &str, text: &str| write_atomically(&arguments.out.join(name), text.as_bytes());
    let model_path = arguments.out.join(format!("{}.model", settings.name));
    fit.model.save(&model_path)?;
    fit.committee.save(&model_path.with_extension("committee"))?;
    fit.grade.save(&model_path.with_extension("grade"))?;
    write("fit.json", &json(&fit.report)?)?;
    write("parity.csv", &fit.parity_csv())?;
    write("calibration.csv", &fit.calibration_csv())?;
    write("pair_scans.csv", &checks::scans_csv(&scans, &fit.hashes()))?;
    write("checks.json", &json(&found)?)?;
    if !progress::is_quiet() {
        print(&fit.report, &found, &model_path);
    }
    Ok(())
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn print(report: &fit::Report, found: &[Check], model_path: &Path) {
    println!("{}\n{}\n", fit::summary(report), checks::summary(found));
    if report.checks_passed {
        println!("The potential has passed all {} checks: {}", found.len(), model_path.display());
    } else {
        let failed = &report.failed_checks;
        println!("The potential FAILS {} of {} checks: {}.", failed.len(), found.len(), failed.join(", "));
        println!(
            "It was written all the same, but cascades will not run with it unless told to: {}",
            model_path.display()
        );
    }
}

//! `knockon check`.

use crate::config;
use crate::progress::{self, Bar};
use anyhow::Result;
use knockon::checks::{self, CheckSettings, DataDistances};
use knockon::io::{read_structure, read_structures, write_atomically};
use knockon::potential::{LinearPotential, Model};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Arguments of `knockon check`.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  knockon check w.model --crystal w.xyz -o OUT/check\n  \
    knockon check data/cawo4/cawo4.model --crystal data/cawo4/cawo4.xyz --labels data/cawo4/cawo4_pbe.xyz \\\n      \
    --labels data/cawo4/labels.xyz --settings examples/cawo4/laptop/fit.toml -o OUT/check\n\n\
    The checks are those of every knockon fit, whose --help lists the keys of [checks]; without settings their defaults hold, and\n\
    lattice, elastic constants and frequencies are compared with nothing (CaWO4: with scheelite). Repulsion is asked for where\n\
    labels are silent, without --labels up to 2 A.\n\
    The exit status is 2 where a check fails. The model is left as it is: what `knockon campaign` warns of is the verdict of a fit.")]
pub(crate) struct Arguments {
    /// Model file, made by `knockon fit` or `knockon import`.
    model: PathBuf,
    /// The crystal in its conventional cell, near its minimum: extended XYZ, POSCAR or LAMMPS data.
    #[arg(long, value_name = "FILE")]
    crystal: PathBuf,
    /// Labels that the model was fitted to (extended XYZ; several times for several files).
    #[arg(long, value_name = "FILE")]
    labels: Vec<PathBuf>,
    /// TOML file with a table [checks]: a fit's settings, or that table alone.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Folder for checks.json and pair_scans.csv.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// The one table that is read. A fit's settings have others beside it.
#[derive(Deserialize)]
struct CheckFile {
    checks: CheckSettings,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings = arguments.settings.as_deref().map(read_settings).transpose()?.unwrap_or_default();
    let model = Model::load(&arguments.model)?;
    let potential = LinearPotential::new(&model)?;
    let crystal = read_structure(&arguments.crystal)?.atoms;
    let mut boxes = Vec::new();
    for path in &arguments.labels {
        boxes.extend(read_structures(path)?);
    }
    let distances =
        DataDistances::new(&model.species(), boxes.iter().map(|frame| &frame.atoms), model.cutoff_angstrom());

    let bar = Bar::new("Checks of the potential");
    let scans = checks::pair_scans(&potential, &crystal, &distances, &settings)?;
    let found = checks::check(&potential, &crystal, &scans, &settings, &bar);
    drop(bar);

    let write = |name: &str, text: &str| write_atomically(&arguments.output.join(name), text.as_bytes());
    write("pair_scans.csv", &checks::scans_csv(&scans, &format!("model {}", model.hash())))?;
    write("checks.json", &(serde_json::to_string_pretty(&found)? + "\n"))?;
    if !progress::is_quiet() {
        outln!("{}", checks::summary(&found));
    }
    let failed: Vec<&str> = found.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
    anyhow::ensure!(
        failed.is_empty(),
        "{}: {} of {} checks failed: {}. {} says what was found and expected",
        arguments.model.display(),
        failed.len(),
        found.len(),
        failed.join(", "),
        arguments.output.join("checks.json").display()
    );
    Ok(())
}

fn read_settings(path: &Path) -> Result<CheckSettings> {
    let CheckFile { checks } = config::load(path)?;
    config::checked(checks.validate(&path.display().to_string()), Some(path))?;
    Ok(checks)
}

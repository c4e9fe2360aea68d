//! `knockon campaign`.

use crate::config;
use crate::progress::{Bar, say};
use anyhow::Result;
use knockon::cascade::{CampaignSettings, run_campaign};
use knockon::io::read_structure;
use knockon::potential::{LinearPotential, Model};
use std::path::{Path, PathBuf};

/// Arguments of `knockon campaign`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// TOML file with the settings of the campaign; see examples/cawo4/laptop/campaign.toml.
    config: PathBuf,
    /// Model file, made by `knockon fit` or `knockon import`.
    #[arg(long)]
    model: PathBuf,
    /// Folder for runs/run-*.json (one per recoil), recoils.csv and campaign.json. Recoils already there are kept: an
    /// interrupted campaign goes on where it stopped.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    run_files(&arguments.config, &arguments.model, &arguments.output, None)
}

/// Runs the campaign of a settings file; `seed` replaces the one in the file.
pub(crate) fn run_files(config: &Path, model: &Path, output: &Path, seed: Option<u64>) -> Result<()> {
    let mut settings: CampaignSettings = config::load(config)?;
    settings.seed = seed.unwrap_or(settings.seed);
    settings.validate(&config.display().to_string())?;
    let model = Model::load(model)?;
    let potential = LinearPotential::new(&model)?;
    warn_of_failing(&model);
    let folder = config.parent().unwrap_or(Path::new("."));
    let crystal = read_structure(&folder.join(&settings.crystal))?.atoms;
    let bar = Bar::new("recoils (fs)");
    let summary = run_campaign(&potential, &model.hash(), &crystal, &settings, output, &bar)?;
    drop(bar);
    say(&format!(
        "{} recoils ({} from before, {} flagged): {}",
        summary.n_runs,
        summary.n_resumed,
        summary.n_flagged,
        summary.recoils_csv.display()
    ));
    Ok(())
}

/// Cascades are never run silently with a potential that failed its checks.
pub(crate) fn warn_of_failing(model: &Model) {
    if let Some(failed) = knockon::checks::failed(model) {
        say(&format!("WARNING: the potential {} fails: {failed}", model.name));
    }
}

//! `knockon fit`.

use crate::{config, progress};
use anyhow::Result;
use knockon::fit::{self, Dataset, Settings};
use std::path::{Path, PathBuf};

/// Arguments of `knockon fit`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Settings of the fit (TOML); data files in it are relative to its folder.
    settings: PathBuf,
    /// Folder for the model, its errors and its checks.
    #[arg(short, long, value_name = "DIR", default_value = "knockon-out/model")]
    out: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let settings: Settings = config::load(&arguments.settings)?;
    settings.validate(&arguments.settings.display().to_string())?;
    let folder = arguments.settings.parent().unwrap_or(Path::new("."));
    let data = Dataset::load(&settings, folder)?;
    let bar = progress::Bar::new("descriptors of the data");
    let fit = fit::run(&settings, &data, &bar)?;
    drop(bar);
    println!("{}", fit::summary(&fit.report));
    Ok(())
}

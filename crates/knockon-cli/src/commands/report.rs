//! `knockon report`.

use anyhow::Result;
use std::path::PathBuf;

/// Reads what the other stages wrote under a folder and adds figures (figures/*.svg and *.png) and report.html: one
/// self-contained page. A stage that has not run is named in the report as missing; a folder without any is refused.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Output folder of the run, with model/, campaign/, response/ and spectra/.
    #[arg(value_name = "OUT", default_value = "knockon-out")]
    pub(crate) folder: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    crate::report::check_stages(&arguments.folder)?;
    let written = crate::report::write(&arguments.folder)?;
    if let Some((report, figures)) = written.split_last() {
        crate::progress::say(&format!("{} figure files; report: {}", figures.len(), report.display()));
    }
    Ok(())
}

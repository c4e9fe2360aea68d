//! `knockon spectra`.

use anyhow::Result;

/// Arguments of `knockon spectra`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon spectra is not here yet")
}

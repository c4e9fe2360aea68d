//! `knockon report`.

use anyhow::Result;

/// Arguments of `knockon report`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon report is not here yet")
}

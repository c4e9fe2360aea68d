//! `knockon data`.

use anyhow::Result;

/// Arguments of `knockon data`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon data is not here yet")
}

//! `knockon fit`.

use anyhow::Result;

/// Arguments of `knockon fit`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon fit is not here yet")
}

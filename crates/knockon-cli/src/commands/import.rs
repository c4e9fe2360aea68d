//! `knockon import`.

use anyhow::Result;

/// Arguments of `knockon import`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon import is not here yet")
}

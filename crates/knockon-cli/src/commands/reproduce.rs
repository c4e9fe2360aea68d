//! `knockon reproduce`.

use anyhow::Result;

/// Arguments of `knockon reproduce`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon reproduce is not here yet")
}

//! `knockon relax`.

use anyhow::Result;

/// Arguments of `knockon relax`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon relax is not here yet")
}

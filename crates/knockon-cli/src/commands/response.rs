//! `knockon response`.

use anyhow::Result;

/// Arguments of `knockon response`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon response is not here yet")
}

//! `knockon evaluate`.

use anyhow::Result;

/// Arguments of `knockon evaluate`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon evaluate is not here yet")
}

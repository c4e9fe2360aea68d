//! `knockon campaign`.

use anyhow::Result;

/// Arguments of `knockon campaign`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon campaign is not here yet")
}

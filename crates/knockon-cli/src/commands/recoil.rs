//! `knockon recoil`.

use anyhow::Result;

/// Arguments of `knockon recoil`.
#[derive(clap::Args)]
pub(crate) struct Arguments {}

/// Runs the verb.
pub(crate) fn run(_arguments: &Arguments) -> Result<()> {
    anyhow::bail!("knockon recoil is not here yet")
}

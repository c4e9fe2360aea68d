//! TOML settings: read with errors that point at the line.

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads a TOML file into `T`; unknown keys, wrong types and missing keys are errors that show the line.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = knockon::io::read_text(path)?;
    toml::from_str(&text).with_context(|| format!("cannot use the settings in {}", path.display()))
}

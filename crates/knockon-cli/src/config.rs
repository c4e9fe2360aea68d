//! TOML settings: read with errors that point at the line.

use anyhow::Context;
use knockon::Error;
use knockon::settings::located;
use serde::de::DeserializeOwned;
use std::path::Path;

/// Reads a TOML file into `T`; unknown keys, wrong types and missing keys are errors that show the line.
pub(crate) fn load<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = knockon::io::read_text(path)?;
    toml::from_str(&text).with_context(|| format!("cannot use the settings in {}", path.display()))
}

/// Checks settings; what is wrong is said with the line of the file that they come from, if there is one.
pub(crate) fn checked(result: Result<(), Error>, file: Option<&Path>) -> Result<(), Error> {
    result.map_err(|error| match file {
        Some(file) => located(error, file),
        None => error,
    })
}

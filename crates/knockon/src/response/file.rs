//! `response.json`: written, and read in all its versions.

use super::{Parameters, Response};
use crate::Error;
use crate::io::content_hash;

/// Version of `response.json` that this program writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 5;

impl Response {
    /// `response.json`.
    pub fn to_json(&self) -> Result<String, Error> {
        let failed =
            |e: serde_json::Error| Error::computation(format!("cannot write the response: {e}"), "Report this");
        Ok(serde_json::to_string_pretty(self).map_err(failed)? + "\n")
    }

    /// Reads `response.json`; `name` is what errors call it.
    pub fn from_json(text: &str, name: &str) -> Result<Self, Error> {
        let remedy = "Give the response.json that `knockon response` wrote";
        let bad = |e: serde_json::Error| {
            // Version 1 is not read from the text: there is no line then.
            let place = if e.line() == 0 { name.to_owned() } else { format!("{name}, line {}", e.line()) };
            Error::input(place, format!("expected a response, found: {e}"), remedy)
        };
        let value: serde_json::Value = serde_json::from_str(text).map_err(bad)?;
        match value.get("format_version").and_then(serde_json::Value::as_u64) {
            Some(version) if version > u64::from(FORMAT_VERSION) => {
                let problem = format!("expected format version {FORMAT_VERSION} or older, found {version}");
                return Err(Error::input(name, problem, "Use a newer knockon"));
            }
            Some(_) => {}
            None => return Err(Error::input(name, "expected a format_version, found none", remedy)),
        }
        // Parsed again from the text where possible: errors then name a line.
        let mut response: Self = match value.get("format_version").and_then(serde_json::Value::as_u64) {
            Some(1) => serde_json::from_value(upgraded(value)).map_err(bad)?,
            // Version 2 had no plateau, version 3 no power law, version 4 no crystal.
            _ => serde_json::from_str(text).map_err(bad)?,
        };
        response.format_version = FORMAT_VERSION;
        if let Err(Error::Input { place, problem, remedy }) = response.settings.validate() {
            return Err(Error::input(format!("{name}: settings.{place}"), problem, remedy));
        }
        if !std::iter::once(&response.parameters).chain(&response.bootstrap).all(Parameters::is_sound) {
            return Err(Error::input(name, "expected finite parameters and positive widths, found others", remedy));
        }
        Ok(response)
    }

    /// Hash of the content: how spectra name the response they rest on.
    pub fn content_hash(&self) -> Result<String, Error> {
        Ok(content_hash(self.to_json()?.as_bytes()))
    }
}

/// Version 1 had one shape for all parameter sets and polynomials only. What is no set stays as it is, to be refused by whoever reads
/// the result.
fn upgraded(mut value: serde_json::Value) -> serde_json::Value {
    let shape = value["shape"].clone();
    let sets = value.get_mut("bootstrap").and_then(serde_json::Value::as_array_mut).map(std::mem::take);
    let with_shape = |mut set: serde_json::Value| {
        if let Some(set) = set.as_object_mut() {
            set.insert("shape".to_owned(), shape.clone());
        }
        set
    };
    value["bootstrap"] = sets.unwrap_or_default().into_iter().map(with_shape).collect();
    value["parameters"] = with_shape(value["parameters"].take());
    value["format_version"] = FORMAT_VERSION.into();
    let name = value["name"].clone();
    if let Some(settings) = value.get_mut("settings").and_then(serde_json::Value::as_object_mut) {
        let order = settings.remove("order").and_then(|o| o.as_u64());
        settings.insert("evolution".to_owned(), if order == Some(2) { "parabola" } else { "line" }.into());
        settings.insert("model_form_spread".to_owned(), false.into());
        settings.insert("name".to_owned(), name);
    }
    value
}

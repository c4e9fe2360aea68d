//! Tables for other programs: CSV under a commented header, or JSON with the same content.

use anyhow::Result;
use knockon::io::write_atomically;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Comma-separated values.
    Csv,
    /// One object: title, notes, parameters, columns.
    Json,
}

/// A named column.
pub(crate) struct Column {
    /// Name that ends in the unit.
    pub(crate) name: String,
    /// One value a row; NaN where there is none.
    pub(crate) values: Vec<f64>,
}

impl Column {
    /// A column of this name.
    pub(crate) fn new(name: &str, values: Vec<f64>) -> Self {
        Self { name: name.to_owned(), values }
    }
}

/// Columns of equal length with what they rest on.
pub(crate) struct Table {
    /// What this is.
    pub(crate) title: String,
    /// Further sentences.
    pub(crate) notes: Vec<String>,
    /// Every parameter, an object.
    pub(crate) parameters: Value,
    /// The columns.
    pub(crate) columns: Vec<Column>,
}

impl Table {
    /// Writes to a file, or to standard output without one.
    pub(crate) fn write(&self, format: Format, file: Option<&Path>) -> Result<()> {
        let text = self.text(format)?;
        match file {
            Some(path) => write_atomically(path, text.as_bytes())?,
            None => out!("{text}"),
        }
        Ok(())
    }

    fn text(&self, format: Format) -> Result<String> {
        let program = concat!("knockon ", env!("CARGO_PKG_VERSION"));
        if format == Format::Json {
            let cell = |v: &f64| if v.is_finite() { json!(v) } else { Value::Null };
            let columns: Map<String, Value> =
                self.columns.iter().map(|c| (c.name.clone(), c.values.iter().map(cell).collect())).collect();
            let order: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
            let document = json!({ "program": program, "title": self.title, "notes": self.notes,
                "parameters": self.parameters, "column_order": order, "columns": columns });
            return Ok(serde_json::to_string_pretty(&document)? + "\n");
        }
        let mut text = format!("# {}\n# {program}\n", self.title);
        for note in &self.notes {
            text += &format!("# {note}\n");
        }
        for (name, value) in self.parameters.as_object().into_iter().flatten() {
            text += &format!("# {name}: {}\n", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        Ok(text + &csv(&self.columns))
    }
}

/// Names of columns, then their values, one line a row.
pub(crate) fn csv(columns: &[Column]) -> String {
    let mut text = columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(",") + "\n";
    for row in 0..columns.first().map_or(0, |c| c.values.len()) {
        text += &(columns.iter().map(|c| cell(&c.name, c.values[row])).collect::<Vec<_>>().join(",") + "\n");
    }
    text
}

/// Energies as they are, all else with nine digits; `nan` where there is no value.
fn cell(name: &str, value: f64) -> String {
    if value.is_nan() {
        "nan".to_owned()
    } else if name == "triggered" {
        format!("{value}")
    } else if name.ends_with("_ev") && !name.contains("_per_") {
        // Sums of steps such as 0.1 carry rounding in their last digits.
        format!("{}", (value * 1e9).round() / 1e9)
    } else {
        format!("{value:.8e}")
    }
}

//! CSV tables as the stages write them: `#` comments, one header line, then rows.

use anyhow::Result;
use knockon::io::CsvTable;
use std::path::Path;

/// A CSV file in memory, by column.
#[derive(Debug)]
pub(crate) struct Table(CsvTable);

impl Table {
    /// Reads a table; a row with more or fewer fields than the header is an error that names its line.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = knockon::io::read_text(path)?;
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, place: &str) -> Result<Self> {
        Ok(Self(CsvTable::parse(text, place, "Run the stage that wrote this file again")?))
    }

    /// Comment lines without their `#`.
    pub(crate) fn comments(&self) -> &[String] {
        self.0.comments()
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.0.rows().len()
    }

    /// Names of the columns.
    pub(crate) fn columns(&self) -> &[String] {
        self.0.header()
    }

    /// A column as text; empty where there is no such column.
    pub(crate) fn text(&self, name: &str) -> Vec<&str> {
        match self.0.column(name) {
            Some(column) => self.0.rows().map(|row| row.text(column)).collect(),
            None => vec![""; self.len()],
        }
    }

    /// A column of numbers; NaN where a field is empty or no number, or where there is no such column.
    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        self.text(name).iter().map(|field| field.parse().unwrap_or(f64::NAN)).collect()
    }

    /// The first column whose name starts like this, e.g. `rate_before` whatever its unit.
    pub(crate) fn starting_with(&self, prefix: &str) -> Option<&str> {
        self.columns().iter().map(String::as_str).find(|h| h.starts_with(prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_quotes_and_missing_values() {
        let text = "\u{feff}# bin width: 1 eV\nenergy_ev,rate_before_per_ev,note\n1,,\"a, b\"\n2,3.5,\n";
        let table = Table::parse(text, "x.csv").expect("well-formed");
        assert_eq!((table.len(), table.comments()), (2, ["bin width: 1 eV".to_owned()].as_slice()));
        let name = table.starting_with("rate_before").expect("there is one");
        let rates = table.numbers(name);
        assert!(rates[0].is_nan() && rates[1] == 3.5);
        assert_eq!(table.text("note"), ["a, b", ""]);
        assert_eq!(table.text("absent"), ["", ""]);
    }

    #[test]
    fn a_short_row_is_named() {
        let error = Table::parse("a,b\n1,2\n3\n", "x.csv").expect_err("row 3 is short").to_string();
        assert!(error.contains("x.csv, line 3") && error.contains("expected 2 fields"), "{error}");
    }
}

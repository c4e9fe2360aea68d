//! CSV tables as the stages write them: `#` comments, one header line, then rows.

use anyhow::{Result, bail};
use std::path::Path;

/// A CSV file in memory, by column.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Comment lines without their `#`.
    pub(crate) comments: Vec<String>,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Reads a table; a row with more or fewer fields than the header is an error that names its line.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = knockon::io::read_text(path)?;
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, place: &str) -> Result<Self> {
        let mut table = Self::default();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            if let Some(comment) = line.strip_prefix('#') {
                table.comments.push(comment.trim().to_owned());
                continue;
            }
            let fields = split(line);
            if table.header.is_empty() {
                table.header = fields;
                continue;
            }
            let (expected, found) = (table.header.len(), fields.len());
            if found != expected {
                bail!(
                    "{place}, line {}: expected {expected} fields as in the header, found {found}. \
                     Run the stage that wrote this file again",
                    index + 1
                );
            }
            table.rows.push(fields);
        }
        Ok(table)
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Names of the columns.
    pub(crate) fn columns(&self) -> &[String] {
        &self.header
    }

    /// A column as text; empty where there is no such column.
    pub(crate) fn text(&self, name: &str) -> Vec<&str> {
        match self.header.iter().position(|h| h == name) {
            Some(column) => self.rows.iter().map(|row| row[column].as_str()).collect(),
            None => vec![""; self.rows.len()],
        }
    }

    /// A column of numbers; NaN where a field is empty or no number, or where there is no such column.
    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        self.text(name).iter().map(|field| field.parse().unwrap_or(f64::NAN)).collect()
    }

    /// The first column whose name starts like this, e.g. `rate_before` whatever its unit.
    pub(crate) fn starting_with(&self, prefix: &str) -> Option<&str> {
        self.header.iter().map(String::as_str).find(|h| h.starts_with(prefix))
    }
}

/// Fields of a line; a field in double quotes may hold commas.
fn split(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.trim_end_matches('\r').chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("there is always one field").push(c),
        }
    }
    fields.iter().map(|f| f.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_quotes_and_missing_values() {
        let text = "# bin width: 1 eV\nenergy_ev,rate_before_per_ev,note\n1,,\"a, b\"\n2,3.5,\n";
        let table = Table::parse(text, "x.csv").expect("well-formed");
        assert_eq!((table.len(), table.comments.as_slice()), (2, ["bin width: 1 eV".to_owned()].as_slice()));
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

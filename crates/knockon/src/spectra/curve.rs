//! A quantity tabulated against another one, linear in between: what users bring as text or in settings.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Rows of x and y, x ascending, both 0 or more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Curve {
    rows: Vec<[f64; 2]>,
}

impl Curve {
    /// Reads lines `x,y` (or separated by blanks); lines that start with `#` and a header are skipped. `name` is what errors
    /// call the file, `columns` what they call x and y.
    pub fn parse(text: &str, name: &str, columns: [&str; 2]) -> Result<Self, Error> {
        let mut rows = Vec::new();
        let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
        for (index, (number, line)) in lines.enumerate() {
            let cells: Vec<&str> = line.split([',', ';', ' ', '\t']).filter(|cell| !cell.is_empty()).collect();
            let place = || format!("{name}, line {}", number + 1);
            match cells.iter().map(|cell| cell.parse().ok()).collect::<Option<Vec<f64>>>().as_deref() {
                Some(&[x, y]) => {
                    check_row(rows.last(), [x, y], columns).map_err(|problem| bad(place(), problem, columns))?;
                    rows.push([x, y]);
                }
                // The first line may name the columns.
                None if index == 0 && cells.iter().all(|cell| cell.parse::<f64>().is_err()) => {}
                _ => return Err(bad(place(), format!("expected two numbers, found \"{line}\""), columns)),
            }
        }
        let curve = Self { rows };
        curve.validate(name, columns)?;
        Ok(curve)
    }

    /// Checks rows that came another way, e.g. from settings; `place` is what errors call them.
    pub fn validate(&self, place: &str, columns: [&str; 2]) -> Result<(), Error> {
        for (index, row) in self.rows.iter().enumerate() {
            let before = index.checked_sub(1).map(|i| &self.rows[i]);
            check_row(before, *row, columns)
                .map_err(|problem| bad(format!("{place}, row {}", index + 1), problem, columns))?;
        }
        if self.rows.len() < 2 {
            return Err(bad(place, format!("expected two or more rows, found {}", self.rows.len()), columns));
        }
        Ok(())
    }

    /// The rows.
    pub fn rows(&self) -> &[[f64; 2]] {
        &self.rows
    }

    /// y at x, between the first and the last row; none outside.
    pub fn at(&self, x: f64) -> Option<f64> {
        let above = self.rows.partition_point(|row| row[0] <= x);
        let [x0, y0] = self.rows[above.checked_sub(1)?];
        match self.rows.get(above) {
            Some([x1, y1]) => Some(y0 + (y1 - y0) * (x - x0) / (x1 - x0)),
            None => (x == x0).then_some(y0),
        }
    }
}

fn check_row(before: Option<&[f64; 2]>, [x, y]: [f64; 2], [x_name, y_name]: [&str; 2]) -> Result<(), String> {
    if !(x.is_finite() && x >= 0.0 && y.is_finite() && y >= 0.0) {
        return Err(format!("expected {x_name} and {y_name} of 0 or more, found {x} and {y}"));
    }
    match before {
        Some([last, _]) if *last >= x => Err(format!("expected {x_name} to ascend, found {x} after {last}")),
        _ => Ok(()),
    }
}

fn bad(place: impl Into<String>, problem: String, [x, y]: [&str; 2]) -> Error {
    Error::input(place, problem, format!("Give rows {x},{y} in ascending {x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 2] = ["time_fs", "share"];

    #[test]
    fn curves_are_read_and_interpolated() {
        let curve = Curve::parse("# mine\ntime_fs,share\n0,1\n50 0.6\n100;0.2\n", "mine.csv", COLUMNS).unwrap();
        assert_eq!(curve.rows(), [[0.0, 1.0], [50.0, 0.6], [100.0, 0.2]]);
        for (x, expected) in [(0.0, Some(1.0)), (25.0, Some(0.8)), (75.0, Some(0.4)), (100.0, Some(0.2))] {
            assert!((curve.at(x).unwrap() - expected.unwrap_or(0.0)).abs() < 1e-12, "{x}");
        }
        assert_eq!((curve.at(-1.0), curve.at(100.1)), (None, None));
    }

    #[test]
    fn bad_rows_are_named() {
        for (text, place, problem) in [
            ("time_fs,share\n0,1\n0,0.5\n", "line 3", "to ascend"),
            ("0,1\n50,-1\n", "line 2", "0 or more"),
            ("0,1\n50,nan\n", "line 2", "0 or more"),
            ("0,1\n50\n", "line 2", "two numbers"),
            ("0,1\n50,half\n", "line 2", "two numbers"),
            ("0,one\n50,0.5\n", "line 1", "two numbers"),
            ("0,1\n", "mine.csv", "two or more"),
        ] {
            let message = Curve::parse(text, "mine.csv", COLUMNS).unwrap_err().to_string();
            assert!(message.contains(place) && message.contains(problem), "{text:?}: {message}");
        }
    }
}

//! A quantity tabulated against another one, linear in between: what users bring as text or in settings.

use super::table;
use crate::Error;
use serde::{Deserialize, Serialize};

/// Rows of x and y, x ascending. Which values they may have is checked by who reads them ([`Columns`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Curve {
    rows: Vec<[f64; 2]>,
}

/// What the two columns of a curve hold.
pub(super) struct Columns<'a> {
    /// What errors call x and y.
    pub(super) names: [&'a str; 2],
    /// Whether these may be an x and a y,
    pub(super) may_be: fn([f64; 2]) -> bool,
    /// and which may, in words.
    pub(super) expected: &'a str,
}

impl Curve {
    /// A curve of rows that [`Self::validate`] has not seen.
    pub fn new(rows: Vec<[f64; 2]>) -> Self {
        Self { rows }
    }

    /// Reads lines `x,y` (or separated by blanks); lines that start with `#` and a header are skipped. `name` is what errors
    /// call the file, `columns` what they call x and y.
    pub fn parse(text: &str, name: &str, columns: [&str; 2]) -> Result<Self, Error> {
        Self::read(text, name, &Columns::of_zero_or_more(columns))
    }

    /// The same for columns of any kind.
    pub(super) fn read(text: &str, name: &str, columns: &Columns) -> Result<Self, Error> {
        let mut rows: Vec<[f64; 2]> = Vec::new();
        for (index, line) in table::lines(text).enumerate() {
            let bad = |problem| columns.bad(format!("{name}, line {}", line.number), problem);
            let cells = line.cells_of_two();
            match table::numbers(&cells).as_deref() {
                Some(&[x, y]) => {
                    columns.check_row(rows.last(), [x, y]).map_err(bad)?;
                    rows.push([x, y]);
                }
                None if index == 0 && table::is_header(&cells) => columns.check_header(name, &line.column_names())?,
                _ if table::has_decimal_commas(line.text) => {
                    let problem = "expected two numbers with decimal points, found what look like decimal commas";
                    return Err(bad(format!("{problem}: \"{}\"", line.text)));
                }
                _ => return Err(bad(format!("expected two numbers, found \"{}\"", line.text))),
            }
        }
        columns.check_count(name, rows.len(), 2)?;
        Ok(Self { rows })
    }

    /// Checks rows that came another way, e.g. from settings; `place` is what errors call them.
    pub fn validate(&self, place: &str, columns: [&str; 2]) -> Result<(), Error> {
        self.check(place, &Columns::of_zero_or_more(columns), 2)
    }

    /// The same for columns of any kind and at least `fewest` rows.
    pub(super) fn check(&self, place: &str, columns: &Columns, fewest: usize) -> Result<(), Error> {
        for (index, row) in self.rows.iter().enumerate() {
            let before = index.checked_sub(1).map(|i| &self.rows[i]);
            let bad = |problem| columns.bad(format!("{place}, row {}", index + 1), problem);
            columns.check_row(before, *row).map_err(bad)?;
        }
        columns.check_count(place, self.rows.len(), fewest)
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

impl<'a> Columns<'a> {
    fn of_zero_or_more(names: [&'a str; 2]) -> Self {
        let may_be = |row: [f64; 2]| row.iter().all(|value| value.is_finite() && *value >= 0.0);
        Self { names, may_be, expected: "numbers of 0 or more" }
    }

    fn check_row(&self, before: Option<&[f64; 2]>, [x, y]: [f64; 2]) -> Result<(), String> {
        let [x_name, y_name] = self.names;
        if !(self.may_be)([x, y]) {
            return Err(format!("expected {} as {x_name} and {y_name}, found {x} and {y}", self.expected));
        }
        match before {
            Some([last, _]) if *last >= x => Err(format!("expected {x_name} to ascend, found {x} after {last}")),
            _ => Ok(()),
        }
    }

    /// Refuses a header that says energies in another unit than x has: its numbers would be off by a factor of a thousand or more.
    fn check_header(&self, name: &str, header: &[String]) -> Result<(), Error> {
        let [x, _] = self.names;
        let Some(unit) = table::energy_unit(x) else { return Ok(()) };
        let in_another_unit = |column: &&String| table::energy_unit(column).is_some_and(|found| found != unit);
        let Some(other) = header.iter().find(in_another_unit) else { return Ok(()) };
        let unit = if unit == "ev" { "eV" } else { "MeV" };
        let problem = format!("expected energies in {unit}, found the column \"{other}\"");
        Err(Error::input(
            format!("{name}, header"),
            problem,
            format!("Convert them into {unit} and name the column {x}"),
        ))
    }

    fn check_count(&self, place: &str, found: usize, fewest: usize) -> Result<(), Error> {
        if found >= fewest {
            return Ok(());
        }
        Err(self.bad(place.to_owned(), format!("expected {fewest} or more rows, found {found}")))
    }

    fn bad(&self, place: String, problem: String) -> Error {
        let [x, y] = self.names;
        Error::input(place, problem, format!("Give rows {x},{y} in ascending {x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 2] = ["time_fs", "share"];

    #[test]
    fn curves_are_read_and_interpolated() {
        let text = "# mine\ntime_fs,share\n0,1\n50 0.6\n100;0.2\n";
        let curve = Curve::parse(text, "mine.csv", COLUMNS).unwrap();
        assert_eq!(curve.rows(), [[0.0, 1.0], [50.0, 0.6], [100.0, 0.2]]);
        // As spreadsheets write it.
        let quoted = "\u{feff}\"time_fs\",\"share\"\n\"0\",\"1\"\n50,0.6,\n100\t\t0.2\n";
        assert_eq!(Curve::parse(quoted, "mine.csv", COLUMNS).unwrap(), curve);
        for (x, expected) in [(0.0, Some(1.0)), (25.0, Some(0.8)), (75.0, Some(0.4)), (100.0, Some(0.2))] {
            assert!((curve.at(x).unwrap() - expected.unwrap_or(0.0)).abs() < 1e-12, "{x}");
        }
        assert_eq!((curve.at(-1.0), curve.at(100.1)), (None, None));
    }

    /// By its header alone: the numbers could be of either unit.
    #[test]
    fn energies_in_another_unit_are_refused() {
        let read = |header: &str, x| Curve::parse(&format!("{header}\n1,0\n2,1\n"), "mine.csv", [x, "y"]);
        for (header, x, unit) in [
            ("energy_kev,efficiency", "energy_ev", "in eV"),
            ("E (keV),efficiency", "energy_ev", "in eV"),
            ("energy keV efficiency", "energy_ev", "in eV"),
            ("neutrino_energy_kev,y", "neutrino_energy_mev", "in MeV"),
            ("energy_ev,y", "neutrino_energy_mev", "in MeV"),
        ] {
            let message = read(header, x).unwrap_err().to_string();
            assert!(message.contains(unit) && message.contains("header") && message.contains(x), "{header}: {message}");
        }
        for (header, x) in [
            ("energy_ev,efficiency", "energy_ev"),
            ("E (eV),efficiency", "energy_ev"),
            ("energy,efficiency", "energy_ev"),
            ("E_MeV,neutrinos per MeV", "neutrino_energy_mev"),
            ("time_fs,share", "time_fs"),
        ] {
            assert!(read(header, x).is_ok(), "{header}");
        }
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
            ("0,5;1\n50;0,5\n", "line 1", "decimal points"),
            ("0,1\n", "mine.csv", "2 or more rows"),
        ] {
            let message = Curve::parse(text, "mine.csv", COLUMNS).unwrap_err().to_string();
            assert!(message.contains(place) && message.contains(problem), "{text:?}: {message}");
        }
    }
}

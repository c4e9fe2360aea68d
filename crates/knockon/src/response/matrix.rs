//! A response as a table: for each recoil energy the probability of no defects and of every interval of stored energy.
//! `docs/response-format.md` specifies the files.

use super::{Response, StoredEnergy};
use crate::Error;
use crate::Species;
use crate::io::CsvTable;
use crate::math;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What names a matrix in a file.
pub(super) const FORMAT: &str = "knockon-response-matrix";
/// Version of the format; bootstrap sets came without a new one, since they may be left out.
pub(super) const VERSION: u32 = 1;
/// Most intervals of stored energy that a table is made with.
pub(super) const MOST_STEPS: f64 = 20_000.0;
/// Rows of a file sum to 1 within this; they are normalised when read.
const TOLERANCE: f64 = 1e-4;
pub(super) const REMEDY: &str = "See docs/response-format.md";

/// p(E_stored | E_recoil) of one species on a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponseMatrix {
    /// Always `knockon-response-matrix`.
    pub format: String,
    /// Version of the format.
    pub format_version: u32,
    /// Name that outputs quote.
    pub name: String,
    /// Recoiling species.
    pub species: String,
    /// What it rests on, in words.
    pub caption: String,
    /// Recoil energies in eV, ascending; in between, probabilities are interpolated linearly.
    pub recoil_energies_ev: Vec<f64>,
    /// Edges in eV of the intervals of stored energy, ascending from 0; flat inside.
    pub stored_edges_ev: Vec<f64>,
    /// Probability of no defects for each recoil energy.
    pub zero_probability: Vec<f64>,
    /// Probability of each interval, for each recoil energy.
    pub probability: Vec<Vec<f64>>,
    /// Tables that span the uncertainty; they may be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bootstrap: Vec<MatrixSet>,
}

/// The probabilities of one bootstrap set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatrixSet {
    /// Probability of no defects for each recoil energy.
    pub zero_probability: Vec<f64>,
    /// Probability of each interval, for each recoil energy.
    pub probability: Vec<Vec<f64>>,
}

impl ResponseMatrix {
    /// The table of a response at some recoil energies, with intervals of `step_ev` and the first `sets` bootstrap sets.
    pub fn from_response_with_sets(
        response: &Response,
        recoil_energies_ev: &[f64],
        step_ev: f64,
        sets: usize,
    ) -> Result<Self, Error> {
        let stored = StoredEnergy::Curves(response, &response.parameters);
        let highest = recoil_energies_ev.last().copied().unwrap_or(0.0);
        if !(step_ev > 0.0 && highest > 0.0 && highest / step_ev <= MOST_STEPS) {
            let problem = format!("expected a step above 0 and at most 20000 of them, found {step_ev} eV");
            return Err(Error::input("matrix", problem, "Take a step such as 0.5 eV"));
        }
        let limit = stored.usable_range_ev()[1];
        if highest > limit {
            let problem = format!("expected recoil energies up to {limit} eV, found {highest}");
            return Err(Error::input("matrix", problem, "The response says nothing above: end the matrix there"));
        }
        if sets > response.bootstrap.len() {
            let problem = format!("expected up to {} bootstrap sets, found {sets}", response.bootstrap.len());
            return Err(Error::input("matrix", problem, "Ask for fewer, or make the response with more replicates"));
        }
        let steps = (highest / step_ev).ceil() as usize;
        let all: Vec<f64> = (0..=steps).map(|i| i as f64 * step_ev).collect();
        let tables: Vec<StoredEnergy> = std::iter::once(&response.parameters)
            .chain(&response.bootstrap[..sets])
            .map(|parameters| StoredEnergy::Curves(response, parameters))
            .collect();
        // Intervals that no recoil energy reaches are left out.
        let reached = |edge: &f64| {
            let all_below =
                |t: &StoredEnergy| recoil_energies_ev.iter().all(|e| t.nonzero_cdf(*e)(*edge) > 1.0 - 1e-12);
            tables.iter().all(all_below)
        };
        let used = all[1..].partition_point(|edge| !reached(edge)) + 1;
        let edges = &all[..=used.min(steps)];
        let table = |stored: &StoredEnergy| -> MatrixSet {
            let row = |energy: &f64| -> Vec<f64> {
                let (damaged, cdf) = (stored.defect_probability(*energy), stored.nonzero_cdf(*energy));
                let below: Vec<f64> =
                    edges.iter().enumerate().map(|(i, e)| if i + 1 == edges.len() { 1.0 } else { cdf(*e) }).collect();
                below.windows(2).map(|b| damaged * (b[1] - b[0]).max(0.0)).collect()
            };
            MatrixSet {
                zero_probability: recoil_energies_ev.iter().map(|e| 1.0 - stored.defect_probability(*e)).collect(),
                probability: recoil_energies_ev.iter().map(row).collect(),
            }
        };
        let best = table(&stored);
        let matrix = Self {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            name: response.name.clone(),
            species: response.species.clone(),
            caption: response.caption(),
            recoil_energies_ev: recoil_energies_ev.to_vec(),
            stored_edges_ev: edges.to_vec(),
            zero_probability: best.zero_probability,
            probability: best.probability,
            bootstrap: tables[1..].iter().map(table).collect(),
        };
        matrix.checked("matrix")
    }

    /// The same without bootstrap sets, for tests.
    #[cfg(test)]
    pub(crate) fn from_response(response: &Response, recoil_energies_ev: &[f64], step_ev: f64) -> Result<Self, Error> {
        Self::from_response_with_sets(response, recoil_energies_ev, step_ev, 0)
    }

    /// The largest difference between the distribution functions of stored energy of this table and of the response that it was made of,
    /// and the recoil energy in eV where it is: of all rows and halfway between them.
    pub fn largest_difference_from(&self, response: &Response) -> (f64, f64) {
        let (table, curves) = (StoredEnergy::Matrix(self), StoredEnergy::Curves(response, &response.parameters));
        let halfway = |pair: &[f64]| 0.5 * (pair[0] + pair[1]);
        let stored: Vec<f64> =
            self.stored_edges_ev.iter().copied().chain(self.stored_edges_ev.windows(2).map(halfway)).collect();
        let difference = |energy: f64| {
            let of = |s: &StoredEnergy| -> Vec<f64> {
                let (damaged, cdf) = (s.defect_probability(energy), s.nonzero_cdf(energy));
                stored.iter().map(|stored| damaged * (1.0 - cdf(*stored))).collect()
            };
            of(&table).into_iter().zip(of(&curves)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        let rows = self.recoil_energies_ev.iter().copied();
        let energies = rows.chain(self.recoil_energies_ev.windows(2).map(halfway));
        let larger = |a: (f64, f64), b: (f64, f64)| if b.0 > a.0 { b } else { a };
        energies.map(|energy| (difference(energy), energy)).fold((0.0, 0.0), larger)
    }

    /// Lowest and highest recoil energy in eV.
    pub fn energy_range_ev(&self) -> [f64; 2] {
        [self.recoil_energies_ev[0], self.recoil_energies_ev[self.recoil_energies_ev.len() - 1]]
    }

    /// The rows around a recoil energy and the weight of the second; beyond the ends, the last row.
    fn rows_around(&self, energy: f64) -> (usize, usize, f64) {
        let above = self.recoil_energies_ev.partition_point(|e| *e <= energy).min(self.recoil_energies_ev.len() - 1);
        let below = above.saturating_sub(1);
        let [low, high] = [below, above].map(|i| self.recoil_energies_ev[i]);
        (below, above, if high > low { ((energy - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 })
    }

    /// Probability that a recoil of this energy (eV) leaves defects.
    pub fn defect_probability(&self, recoil_energy_ev: f64) -> f64 {
        self.damaged(&self.zero_probability, recoil_energy_ev)
    }

    /// The same of one of the bootstrap sets.
    pub(super) fn defect_probability_of(&self, set: &MatrixSet, recoil_energy_ev: f64) -> f64 {
        self.damaged(&set.zero_probability, recoil_energy_ev)
    }

    fn damaged(&self, zero_probability: &[f64], recoil_energy_ev: f64) -> f64 {
        let (below, above, t) = self.rows_around(recoil_energy_ev);
        1.0 - (1.0 - t) * zero_probability[below] - t * zero_probability[above]
    }

    /// Distribution function of the non-zero stored energies (eV); all of them are at most the recoil energy (eV).
    pub fn nonzero_cdf(&self, stored_energy_ev: f64, recoil_energy_ev: f64) -> f64 {
        self.below(&self.zero_probability, &self.probability, stored_energy_ev, recoil_energy_ev)
    }

    /// The same of one of the bootstrap sets.
    pub(super) fn nonzero_cdf_of(&self, set: &MatrixSet, stored_energy_ev: f64, recoil_energy_ev: f64) -> f64 {
        self.below(&set.zero_probability, &set.probability, stored_energy_ev, recoil_energy_ev)
    }

    fn below(&self, zero_probability: &[f64], probability: &[Vec<f64>], stored: f64, recoil: f64) -> f64 {
        let damaged = self.damaged(zero_probability, recoil);
        if stored <= 0.0 {
            return 0.0;
        }
        if stored >= recoil || damaged <= 0.0 {
            return 1.0;
        }
        let (below, above, t) = self.rows_around(recoil);
        let bin = self.stored_edges_ev.partition_point(|e| *e <= stored) - 1;
        let up_to = |row: usize| {
            let row = &probability[row];
            let whole: f64 = row[..bin.min(row.len())].iter().sum();
            let part = row.get(bin).map_or(0.0, |p| {
                let (low, high) = (self.stored_edges_ev[bin], self.stored_edges_ev[bin + 1]);
                p * (stored - low) / (high - low)
            });
            whole + part
        };
        (((1.0 - t) * up_to(below) + t * up_to(above)) / damaged).clamp(0.0, 1.0)
    }

    /// 16 % and 84 % quantiles over the bootstrap sets of a number of each; none without sets.
    fn band(&self, of: impl Fn(&MatrixSet) -> f64) -> Option<[f64; 2]> {
        let mut values: Vec<f64> = self.bootstrap.iter().map(of).collect();
        (!values.is_empty()).then(|| math::band(&mut values))
    }

    /// Checks shape, order and norm, and normalises every row; `name` is what errors call the file.
    pub(super) fn checked(mut self, name: &str) -> Result<Self, Error> {
        let bad = |problem: String| Err(Error::input(name, problem, REMEDY));
        if self.format != FORMAT || self.format_version != VERSION {
            return bad(format!("expected {FORMAT} {VERSION}, found {} {}", self.format, self.format_version));
        }
        if Species::from_symbol(&self.species).is_none() {
            return bad(format!(
                "expected the symbol of an element as species, such as Ge, found \"{}\"",
                self.species
            ));
        }
        let ascending = |v: &[f64]| v.iter().all(|x| x.is_finite()) && v.windows(2).all(|w| w[1] > w[0]);
        let (energies, edges) = (&self.recoil_energies_ev, &self.stored_edges_ev);
        if energies.len() < 2 || !ascending(energies) || energies[0] < 0.0 {
            return bad("expected two or more ascending recoil energies of 0 or more".to_owned());
        }
        if edges.len() < 2 || !ascending(edges) || edges[0] != 0.0 {
            return bad("expected ascending edges of stored energy that start at 0".to_owned());
        }
        let best = (&mut self.zero_probability, &mut self.probability);
        let sets = self.bootstrap.iter_mut().map(|s| (&mut s.zero_probability, &mut s.probability));
        for (zeros, rows) in std::iter::once(best).chain(sets) {
            normalise(zeros, rows, energies, edges.len(), name)?;
        }
        Ok(self)
    }

    /// The file as JSON.
    pub fn to_json(&self) -> Result<String, Error> {
        let failed = |e: serde_json::Error| Error::computation(format!("cannot write the matrix: {e}"), "Report this");
        Ok(serde_json::to_string(self).map_err(failed)? + "\n")
    }

    /// The file as CSV: one line for each recoil energy and interval; the class of no defects has both edges 0.
    pub fn to_csv(&self) -> String {
        let line = |words: &str| words.split(['\n', '\r']).collect::<Vec<_>>().join(" ");
        let mut text = format!(
            "# {FORMAT} {VERSION}\n# name: {}\n# species: {}\n# caption: {}\n\
             recoil_energy_ev,stored_low_ev,stored_high_ev,probability{}\n",
            line(&self.name),
            self.species,
            line(&self.caption),
            if self.bootstrap.is_empty() { "" } else { ",probability_low,probability_high" }
        );
        let tail = |band: Option<[f64; 2]>| band.map_or(String::new(), |[low, high]| format!(",{low},{high}"));
        for (i, energy) in self.recoil_energies_ev.iter().enumerate() {
            // Writing to a string cannot fail.
            let band = tail(self.band(|s| s.zero_probability[i]));
            let _ = writeln!(text, "{energy},0,0,{}{band}", self.zero_probability[i]);
            for (k, (edges, p)) in self.stored_edges_ev.windows(2).zip(&self.probability[i]).enumerate() {
                let band = tail(self.band(|s| s.probability[i][k]));
                let _ = writeln!(text, "{energy},{},{},{p}{band}", edges[0], edges[1]);
            }
        }
        text
    }

    /// Reads NPZ, JSON or CSV, whichever the bytes are; `name` is what errors call the file.
    pub fn read(bytes: &[u8], name: &str) -> Result<Self, Error> {
        if bytes.starts_with(b"PK") {
            return super::npz::read(bytes, name)?.checked(name);
        }
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Error::input(name, "expected a matrix as NPZ, JSON or CSV, found other bytes", REMEDY))?;
        Self::parse(text, name)
    }

    /// The file as NPZ.
    pub fn to_npz(&self) -> Result<Vec<u8>, Error> {
        super::npz::write(self)
    }

    /// Reads JSON (text that starts with a brace) or CSV; `name` is what errors call the file. Bands of a CSV are for people and
    /// are not read: they are no sets.
    pub fn parse(text: &str, name: &str) -> Result<Self, Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_start().starts_with('{') {
            let matrix: Self = serde_json::from_str(text).map_err(|e| {
                Error::input(format!("{name}, line {}", e.line()), format!("expected a matrix, found: {e}"), REMEDY)
            })?;
            return matrix.checked(name);
        }
        if super::elosssim::is_table(text) {
            let problem = "expected a matrix, found a table of energy losses by direction (elosssim)";
            let remedy = "Convert it: knockon response --energy-losses FILE --species SYMBOL --matrix OUT.npz";
            return Err(Error::input(name, problem, remedy));
        }
        Self::parse_csv(text, name)?.checked(name)
    }

    fn parse_csv(text: &str, name: &str) -> Result<Self, Error> {
        let table = CsvTable::parse(text, name, REMEDY)?;
        let note = |key: &str| {
            let found = table.comments().iter().find_map(|comment| comment.strip_prefix(key)?.strip_prefix(": "));
            found.map(str::to_owned)
        };
        let missing = || Error::input(name, "expected the commented line \"# species: SYMBOL\", found none", REMEDY);
        let mut matrix = Self {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            name: note("name").unwrap_or_else(|| name.to_owned()),
            species: note("species").ok_or_else(missing)?,
            caption: note("caption").unwrap_or_default(),
            recoil_energies_ev: Vec::new(),
            stored_edges_ev: vec![0.0],
            zero_probability: Vec::new(),
            probability: Vec::new(),
            bootstrap: Vec::new(),
        };
        let [energy, low, high, probability] =
            table.columns(["recoil_energy_ev", "stored_low_ev", "stored_high_ev", "probability"])?;
        for row in table.rows() {
            let edges = [row.number(low)?, row.number(high)?];
            let added = matrix.add(row.number(energy)?, edges, row.number(probability)?);
            added.map_err(|problem| row.error(problem))?;
        }
        Ok(matrix)
    }

    /// Adds a line of a CSV: the class of no defects, with which each recoil energy begins, or the next interval.
    fn add(&mut self, energy: f64, [low, high]: [f64; 2], probability: f64) -> Result<(), &'static str> {
        if low == 0.0 && high == 0.0 {
            self.recoil_energies_ev.push(energy);
            self.zero_probability.push(probability);
            self.probability.push(Vec::new());
            return Ok(());
        }
        let is_first = self.probability.len() == 1;
        let row = match (self.recoil_energies_ev.last(), self.probability.last_mut()) {
            (Some(last), Some(row)) if *last == energy => row,
            _ => return Err("expected each recoil energy to begin with a line whose edges are both 0"),
        };
        row.push(probability);
        if is_first {
            self.stored_edges_ev.push(high);
        }
        let edges = &self.stored_edges_ev;
        match edges.get(row.len() - 1) == Some(&low) && edges.get(row.len()) == Some(&high) {
            true => Ok(()),
            false => Err("expected touching intervals, the same at every recoil energy"),
        }
    }
}

/// Checks and normalises the rows of one table.
fn normalise(
    zeros: &mut [f64],
    rows: &mut [Vec<f64>],
    energies: &[f64],
    n_edges: usize,
    name: &str,
) -> Result<(), Error> {
    if zeros.len() != energies.len() || rows.len() != energies.len() {
        let problem = format!("expected one row for each of {} recoil energies", energies.len());
        return Err(Error::input(name, problem, REMEDY));
    }
    for ((row, zero), energy) in rows.iter_mut().zip(zeros).zip(energies) {
        let total = *zero + row.iter().sum::<f64>();
        let fine = row.len() + 1 == n_edges && row.iter().all(|p| *p >= 0.0) && *zero >= 0.0;
        if !(fine && (total - 1.0).abs() < TOLERANCE) {
            let problem = format!(
                "expected {n_edges} probabilities of 0 or more that add up to 1 at {energy} eV, found {} with the sum {total}",
                row.len() + 1
            );
            return Err(Error::input(name, problem, REMEDY));
        }
        *zero /= total;
        row.iter_mut().for_each(|p| *p /= total);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> ResponseMatrix {
        let energies: Vec<f64> = (0..=100).map(|i| 2.0 * f64::from(i)).collect();
        ResponseMatrix::from_response(&Response::from_paper(), &energies, 0.25).unwrap()
    }

    /// In wide intervals the distribution is flat, between distant rows it is a mixture.
    #[test]
    fn coarse_tables_are_far_from_their_response() {
        let paper = Response::from_paper();
        let difference = |rows: u32, step_ev: f64| {
            let energies: Vec<f64> = (0..=rows).map(|i| 200.0 / f64::from(rows) * f64::from(i)).collect();
            ResponseMatrix::from_response(&paper, &energies, step_ev).unwrap().largest_difference_from(&paper)
        };
        assert!(difference(200, 0.5).0 < 2e-3);
        assert!(difference(200, 20.0).0 > 0.1);
        let (far, energy_ev) = difference(10, 0.5);
        assert!(far > 0.02 && (30.0..=70.0).contains(&energy_ev), "{far} {energy_ev}");
    }

    #[test]
    fn files_come_back_as_they_were() {
        let matrix = matrix();
        for text in [matrix.to_json().unwrap(), matrix.to_csv()] {
            let back = ResponseMatrix::parse(&text, "m").unwrap();
            assert_eq!((&back.name, &back.species), (&matrix.name, &matrix.species));
            assert_eq!(back.stored_edges_ev, matrix.stored_edges_ev);
            for (a, b) in back.probability.iter().flatten().zip(matrix.probability.iter().flatten()) {
                assert!((a - b).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn bootstrap_sets_survive_in_json_and_npz_and_show_as_bands_in_csv() {
        let response = Response::from_paper();
        let energies: Vec<f64> = (0..=20).map(|i| 10.0 * f64::from(i)).collect();
        let matrix = ResponseMatrix::from_response_with_sets(&response, &energies, 1.0, 5).unwrap();
        for bytes in [matrix.to_json().unwrap().into_bytes(), matrix.to_npz().unwrap()] {
            let back = ResponseMatrix::read(&bytes, "m").unwrap();
            assert_eq!((&back.name, &back.caption, back.bootstrap.len()), (&matrix.name, &matrix.caption, 5));
            for (a, b) in back.bootstrap.iter().zip(&matrix.bootstrap) {
                let pairs = a.probability.iter().flatten().zip(b.probability.iter().flatten());
                assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-14));
            }
        }
        for (index, parameters) in response.bootstrap[..5].iter().enumerate() {
            let (curves, table) =
                (StoredEnergy::Curves(&response, parameters), StoredEnergy::MatrixSet(&matrix, index));
            assert!((curves.defect_probability(60.0) - table.defect_probability(60.0)).abs() < 1e-12);
            assert!((curves.nonzero_cdf(60.0)(6.0) - table.nonzero_cdf(60.0)(6.0)).abs() < 1e-9);
        }
        let csv = matrix.to_csv();
        assert!(csv.contains("probability,probability_low,probability_high\n"));
        assert!(ResponseMatrix::parse(&csv, "m").unwrap().bootstrap.is_empty());
        assert!(ResponseMatrix::from_response_with_sets(&response, &energies, 1.0, 500).is_err());
    }

    #[test]
    fn a_matrix_says_what_its_response_says() {
        let (matrix, response) = (matrix(), Response::from_paper());
        for energy in [20.0, 81.0, 160.0] {
            assert!((matrix.defect_probability(energy) - (1.0 - response.p_zero(energy))).abs() < 3e-3);
            for stored in [3.0, 8.3, 12.0] {
                let found = 1.0 - matrix.defect_probability(energy) * (1.0 - matrix.nonzero_cdf(stored, energy));
                assert!((found - response.cdf(stored, energy)).abs() < 3e-3, "{energy} {stored}");
            }
            assert_eq!(matrix.nonzero_cdf(energy, energy), 1.0);
        }
    }

    #[test]
    fn a_byte_order_mark_and_quotes_are_understood() {
        let good = matrix().to_csv();
        let header = "recoil_energy_ev,stored_low_ev,stored_high_ev,probability";
        let quoted = format!("\u{feff}{}", good.replace(header, &format!("\"{}\"", header.replace(',', "\",\""))));
        assert!(quoted.contains("\"stored_low_ev\""));
        let expected = ResponseMatrix::parse(&good, "m").unwrap();
        assert_eq!(ResponseMatrix::parse(&quoted, "m").unwrap(), expected);
        let json = format!("\u{feff}{}", expected.to_json().unwrap());
        assert_eq!(ResponseMatrix::parse(&json, "m").unwrap().species, expected.species);
    }

    #[test]
    fn broken_files_are_refused_with_the_line() {
        let good = matrix().to_csv();
        let lines: Vec<&str> = good.lines().collect();
        for (bad, expected) in [
            (good.replace("# species: W\n", ""), "# species"),
            (good.replacen(lines[7], "0,0.25,x,0.1", 1), "line 8"),
            (good.replacen(lines[7], "0,0.3,0.5,0.1", 1), "touching"),
            (lines[..lines.len() - 5].join("\n"), "add up to 1"),
            (String::from("# species: W\n"), "header"),
            (good.replace("stored_low_ev", "low"), "column \"stored_low_ev\""),
            (lines[..5].join("\n"), "recoil energies"),
            (String::from("{}"), "line 1"),
        ] {
            let message = ResponseMatrix::parse(&bad, "file.csv").unwrap_err().to_string();
            assert!(message.contains("file.csv") && message.contains(expected), "{message}");
        }
    }
}

//! A response as a table: for each recoil energy the probability of no defects and of every interval of stored energy.
//! `docs/response-format.md` specifies the files.

use super::{Response, StoredEnergy};
use crate::Error;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What names a matrix in a file.
const FORMAT: &str = "knockon-response-matrix";
/// Version of the format.
const VERSION: u32 = 1;
/// Rows of a file sum to 1 within this; they are normalised when read.
const TOLERANCE: f64 = 1e-4;
const REMEDY: &str = "See docs/response-format.md";

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
}

impl ResponseMatrix {
    /// The table of a response at some recoil energies, with intervals of `step_ev`.
    pub fn from_response(response: &Response, recoil_energies_ev: &[f64], step_ev: f64) -> Result<Self, Error> {
        let stored = StoredEnergy::Curves(response, &response.parameters);
        let highest = recoil_energies_ev.last().copied().unwrap_or(0.0);
        if !(step_ev > 0.0 && highest > 0.0 && highest / step_ev <= 20_000.0) {
            let problem = format!("expected a step above 0 and at most 20000 of them, found {step_ev} eV");
            return Err(Error::input("matrix", problem, "Take a step such as 0.5 eV"));
        }
        let limit = stored.usable_range_ev()[1];
        if highest > limit {
            let problem = format!("expected recoil energies up to {limit} eV, found {highest}");
            return Err(Error::input("matrix", problem, "The response says nothing above: end the matrix there"));
        }
        let steps = (highest / step_ev).ceil() as usize;
        let all: Vec<f64> = (0..=steps).map(|i| i as f64 * step_ev).collect();
        let cdfs: Vec<_> = recoil_energies_ev.iter().map(|e| stored.nonzero_cdf(*e)).collect();
        // Intervals that no recoil energy reaches are left out.
        let used = all.iter().position(|edge| *edge > 0.0 && cdfs.iter().all(|cdf| cdf(*edge) > 1.0 - 1e-12));
        let edges = &all[..=used.unwrap_or(steps)];
        let row = |(energy, cdf): (&f64, &Box<dyn Fn(f64) -> f64 + '_>)| -> Vec<f64> {
            let damaged = stored.defect_probability(*energy);
            let below = |i: usize| if i + 1 == edges.len() { 1.0 } else { cdf(edges[i]) };
            (1..edges.len()).map(|i| damaged * (below(i) - below(i - 1))).collect()
        };
        let matrix = Self {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            name: response.name.clone(),
            species: response.species.clone(),
            caption: response.caption(),
            recoil_energies_ev: recoil_energies_ev.to_vec(),
            stored_edges_ev: edges.to_vec(),
            zero_probability: recoil_energies_ev.iter().map(|e| 1.0 - stored.defect_probability(*e)).collect(),
            probability: recoil_energies_ev.iter().zip(&cdfs).map(row).collect(),
        };
        matrix.checked("matrix")
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
        let (below, above, t) = self.rows_around(recoil_energy_ev);
        1.0 - (1.0 - t) * self.zero_probability[below] - t * self.zero_probability[above]
    }

    /// Distribution function of the non-zero stored energies (eV); all of them are at most the recoil energy (eV).
    pub fn nonzero_cdf(&self, stored_energy_ev: f64, recoil_energy_ev: f64) -> f64 {
        let damaged = self.defect_probability(recoil_energy_ev);
        if stored_energy_ev <= 0.0 {
            return 0.0;
        }
        if stored_energy_ev >= recoil_energy_ev || damaged <= 0.0 {
            return 1.0;
        }
        let (below, above, t) = self.rows_around(recoil_energy_ev);
        let bin = self.stored_edges_ev.partition_point(|e| *e <= stored_energy_ev) - 1;
        let up_to = |row: usize| {
            let row = &self.probability[row];
            let whole: f64 = row[..bin.min(row.len())].iter().sum();
            let part = row.get(bin).map_or(0.0, |p| {
                let (low, high) = (self.stored_edges_ev[bin], self.stored_edges_ev[bin + 1]);
                p * (stored_energy_ev - low) / (high - low)
            });
            whole + part
        };
        (((1.0 - t) * up_to(below) + t * up_to(above)) / damaged).clamp(0.0, 1.0)
    }

    /// Checks shape, order and norm, and normalises every row; `name` is what errors call the file.
    fn checked(mut self, name: &str) -> Result<Self, Error> {
        let bad = |problem: String| Err(Error::input(name, problem, REMEDY));
        if self.format != FORMAT || self.format_version != VERSION {
            return bad(format!("expected {FORMAT} {VERSION}, found {} {}", self.format, self.format_version));
        }
        let ascending = |v: &[f64]| v.iter().all(|x| x.is_finite()) && v.windows(2).all(|w| w[1] > w[0]);
        let (energies, edges) = (&self.recoil_energies_ev, &self.stored_edges_ev);
        if energies.len() < 2 || !ascending(energies) || energies[0] < 0.0 {
            return bad("expected two or more ascending recoil energies of 0 or more".to_owned());
        }
        if edges.len() < 2 || !ascending(edges) || edges[0] != 0.0 {
            return bad("expected ascending edges of stored energy that start at 0".to_owned());
        }
        if self.zero_probability.len() != energies.len() || self.probability.len() != energies.len() {
            return bad(format!("expected one row for each of {} recoil energies", energies.len()));
        }
        for ((row, zero), energy) in self.probability.iter_mut().zip(&mut self.zero_probability).zip(energies) {
            let total = *zero + row.iter().sum::<f64>();
            let fine = row.len() + 1 == edges.len() && row.iter().all(|p| *p >= 0.0) && *zero >= 0.0;
            if !(fine && (total - 1.0).abs() < TOLERANCE) {
                return bad(format!(
                    "expected {} probabilities of 0 or more that add up to 1 at {energy} eV, found {} with the sum {total}",
                    edges.len(),
                    row.len() + 1
                ));
            }
            *zero /= total;
            row.iter_mut().for_each(|p| *p /= total);
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
        let mut text = format!(
            "# {FORMAT} {VERSION}\n# name: {}\n# species: {}\n# caption: {}\n\
             recoil_energy_ev,stored_low_ev,stored_high_ev,probability\n",
            self.name, self.species, self.caption
        );
        for ((energy, zero), row) in self.recoil_energies_ev.iter().zip(&self.zero_probability).zip(&self.probability) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{energy},0,0,{zero}");
            for (edges, p) in self.stored_edges_ev.windows(2).zip(row) {
                let _ = writeln!(text, "{energy},{},{},{p}", edges[0], edges[1]);
            }
        }
        text
    }

    /// Reads JSON (text that starts with a brace) or CSV; `name` is what errors call the file.
    pub fn parse(text: &str, name: &str) -> Result<Self, Error> {
        if text.trim_start().starts_with('{') {
            let matrix: Self = serde_json::from_str(text).map_err(|e| {
                Error::input(format!("{name}, line {}", e.line()), format!("expected a matrix, found: {e}"), REMEDY)
            })?;
            return matrix.checked(name);
        }
        let note = |key: &str| {
            let prefix = format!("# {key}: ");
            text.lines().find_map(|l| l.strip_prefix(&prefix)).map(str::to_owned)
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
        };
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
            if line.starts_with("recoil_energy_ev") {
                continue;
            }
            let bad = |problem: &str| Error::input(format!("{name}, line {}", number + 1), problem, REMEDY);
            let cells: Option<Vec<f64>> = line.split(',').map(|c| c.trim().parse::<f64>().ok()).collect();
            let Some(&[energy, low, high, p]) = cells.as_deref() else {
                return Err(bad("expected four numbers: recoil_energy_ev,stored_low_ev,stored_high_ev,probability"));
            };
            if low == 0.0 && high == 0.0 {
                matrix.recoil_energies_ev.push(energy);
                matrix.zero_probability.push(p);
                matrix.probability.push(Vec::new());
                continue;
            }
            let first = matrix.probability.len() == 1;
            let row = match (matrix.recoil_energies_ev.last(), matrix.probability.last_mut()) {
                (Some(last), Some(row)) if *last == energy => row,
                _ => return Err(bad("expected each recoil energy to begin with a line whose edges are both 0")),
            };
            row.push(p);
            if first {
                matrix.stored_edges_ev.push(high);
            }
            let edges = &matrix.stored_edges_ev;
            if edges.get(row.len() - 1) != Some(&low) || edges.get(row.len()) != Some(&high) {
                return Err(bad("expected touching intervals, the same at every recoil energy"));
            }
        }
        matrix.checked(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> ResponseMatrix {
        let energies: Vec<f64> = (0..=100).map(|i| 2.0 * f64::from(i)).collect();
        ResponseMatrix::from_response(&Response::from_paper(), &energies, 0.25).unwrap()
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
    fn broken_files_are_refused_with_the_line() {
        let good = matrix().to_csv();
        let lines: Vec<&str> = good.lines().collect();
        for (bad, expected) in [
            (good.replace("# species: W\n", ""), "# species"),
            (good.replacen(lines[7], "0,0.25,x,0.1", 1), "line 8"),
            (good.replacen(lines[7], "0,0.3,0.5,0.1", 1), "touching"),
            (lines[..lines.len() - 5].join("\n"), "add up to 1"),
            (String::from("# species: W\n"), "recoil energies"),
            (String::from("{}"), "line 1"),
        ] {
            let message = ResponseMatrix::parse(&bad, "file.csv").unwrap_err().to_string();
            assert!(message.contains("file.csv") && message.contains(expected), "{message}");
        }
    }
}

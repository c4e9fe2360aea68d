//! Spectra that somebody brings: binned (edges or centres, counts or a density, with or without errors) or a list of
//! events. `names` tells what the columns of a table mean, `read` reads it.

mod names;
mod read;
#[cfg(test)]
mod tests;

pub use read::{parse_measured_spectrum, parse_spectrum};

use crate::{Error, Species};

/// What a column of a binned spectrum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Counts in each bin.
    Counts,
    /// A rate per energy, in any unit.
    Density,
}

/// One column of a binned spectrum.
#[derive(Clone, Debug, PartialEq)]
pub struct UserPart {
    /// Recoiling element, where the column's name says it.
    pub species: Option<String>,
    /// Counts per bin (density times width in eV for a density).
    pub counts: Vec<f64>,
    /// Standard deviations of `counts`.
    pub errors: Option<Vec<f64>>,
}

/// A binned spectrum of recoil energies.
#[derive(Clone, Debug, PartialEq)]
pub struct BinnedSpectrum {
    /// Edges in eV, ascending, of 0 or more.
    pub edges_ev: Vec<f64>,
    /// Name of the column.
    pub column: String,
    /// What it holds.
    pub content: Content,
    /// The spectrum, or its parts by element.
    pub parts: Vec<UserPart>,
}

impl BinnedSpectrum {
    /// Counts in the bins between `edges_ev`, checked as those of a file are; errors name the entry.
    pub fn from_counts(edges_ev: Vec<f64>, parts: Vec<UserPart>, usable_ev: [f64; 2]) -> Result<Self, Error> {
        check_recoils("edges_ev", &edges_ev, usable_ev)?;
        let bad = |place: String, problem: String| Error::input(place, problem, "Give other bins");
        if let Some(i) = (1..edges_ev.len()).find(|&i| edges_ev[i] <= edges_ev[i - 1]) {
            let problem = format!("expected ascending edges, found {} after {}", edges_ev[i], edges_ev[i - 1]);
            return Err(bad(format!("edges_ev[{i}]"), problem));
        }
        if edges_ev.len() < 2 {
            let problem = format!("expected two or more edges, found {}", edges_ev.len());
            return Err(bad("edges_ev".to_owned(), problem));
        }
        let n_bins = edges_ev.len() - 1;
        let check = |name: &str, species: Option<&str>, values: &[f64]| {
            let name = species.map_or_else(|| name.to_owned(), |symbol| format!("{name}[\"{symbol}\"]"));
            if values.len() != n_bins {
                let problem = format!("expected {n_bins} values between the edges, found {}", values.len());
                return Err(bad(name, problem));
            }
            let mut all = values.iter().enumerate();
            all.try_for_each(|(i, value)| check_value(*value, || format!("{name}[{i}]"), "").map(|_| ()))
        };
        for part in &parts {
            let species = part.species.as_deref();
            if let Some(symbol) = species.filter(|symbol| Species::from_symbol(symbol).is_none()) {
                let problem = format!("expected the chemical symbols of recoiling elements, found \"{symbol}\"");
                return Err(Error::input("counts", problem, "Write symbols as W, Ca, O"));
            }
            check("counts", species, &part.counts)?;
            part.errors.as_ref().map_or(Ok(()), |errors| check("errors", species, errors))?;
        }
        Ok(Self { edges_ev, column: "counts".to_owned(), content: Content::Counts, parts })
    }
}

/// Refuses recoil energies (eV) outside of `usable_ev`, where the response holds; errors name the entry of `name`.
pub fn check_recoils(name: &str, energies_ev: &[f64], usable_ev: [f64; 2]) -> Result<(), Error> {
    let mut all = energies_ev.iter().enumerate();
    all.try_for_each(|(i, energy)| check_energy(*energy, RECOIL, usable_ev, || format!("{name}[{i}]")).map(|_| ()))
}

/// What errors call the energies of a spectrum.
const RECOIL: &str = "recoil";
const MEASURED: &str = "measured";

fn check_energy(energy: f64, kind: &str, [low, high]: [f64; 2], place: impl FnOnce() -> String) -> Result<f64, Error> {
    if energy.is_finite() && (low..=high).contains(&energy) {
        return Ok(energy);
    }
    let problem = format!("expected a {kind} energy from {low} to {high} eV, where the response holds, found {energy}");
    let remedy = if energy < low {
        "Leave out the bins or events that begin below, or give a response that reaches further"
    } else {
        "Cut the spectrum there, or give a response that reaches further"
    };
    Err(Error::input(place(), problem, remedy))
}

fn check_value(value: f64, place: impl FnOnce() -> String, of: &str) -> Result<f64, Error> {
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(Error::input(place(), format!("expected a number of 0 or more{of}, found {value}"), REMEDY))
}

/// What a file held.
#[derive(Clone, Debug, PartialEq)]
pub enum UserSpectrum {
    /// Bins.
    Binned(BinnedSpectrum),
    /// Recoil energies in eV.
    Events(Vec<f64>),
}

/// Whether all are whole numbers, as counts are that were observed.
pub(super) fn are_whole(counts: &[f64]) -> bool {
    counts.iter().all(|count| count.fract() == 0.0)
}

const REMEDY: &str = "Correct this entry; docs/experimenters.md shows what a spectrum may look like";

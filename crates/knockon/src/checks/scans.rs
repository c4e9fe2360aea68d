//! Energies of two atoms that approach each other, in vacuum and in the crystal.

use super::{Check, CheckSettings};
use crate::{Atoms, Cell, Error, Evaluation, NeighborList, Potential, Species};
use glam::{BVec3, DMat3, DVec3};
use rayon::prelude::*;
use serde::Serialize;
use std::fmt::Write;

/// First distance of a scan.
const START_ANGSTROM: f64 = 0.3;
/// Distance between points of a scan.
const STEP_ANGSTROM: f64 = 0.02;
/// Width of a bin of distances in the data.
const BIN_ANGSTROM: f64 = 0.05;
/// A rise of the energy with growing distance that does not count as attraction: rounding and the quintic bridge.
const TOLERANCE_EV: f64 = 0.02;
/// Below this distance every pair must repel, whatever the data say: kernels start at 1.3 A, the shortest bonds of
/// these crystals are 1.7 A long, and nothing but O-O comes closer to a minimum (1.2 A in the molecule).
const ALWAYS_REPULSIVE_ANGSTROM: f64 = 1.2;

/// One point of a scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScanPoint {
    /// The two elements.
    pub pair: [Species; 2],
    /// `vacuum` or `crystal`.
    pub environment: &'static str,
    /// Distance of the two atoms.
    pub distance_angstrom: f64,
    /// Energy relative to separated atoms (vacuum) or to the undisturbed crystal.
    pub energy_ev: f64,
    /// True if the data hold this pair at about this distance.
    pub has_data: bool,
}

/// Which distances between which species the data hold.
pub struct DataDistances {
    species: Vec<Species>,
    counts: Vec<Vec<u64>>,
}

impl DataDistances {
    /// Counts all pairs closer than `cutoff_angstrom`.
    pub fn new<'a>(species: &[Species], boxes: impl Iterator<Item = &'a Atoms>, cutoff_angstrom: f64) -> Self {
        let n_bins = (cutoff_angstrom / BIN_ANGSTROM).ceil() as usize + 1;
        let mut found =
            Self { species: species.to_vec(), counts: vec![vec![0; n_bins]; species.len() * species.len()] };
        for atoms in boxes {
            let list = NeighborList::build(atoms, cutoff_angstrom);
            let shifts = list.cartesian_translations(&atoms.cell);
            for atom in 0..atoms.len() {
                for slot in list.row(atom) {
                    let other = list.index[slot] as usize;
                    let shift = shifts[usize::from(list.translation[slot])];
                    let distance = (atoms.positions[other] + shift - atoms.positions[atom]).length();
                    if let Some(pair) = found.pair([atoms.species[atom], atoms.species[other]]) {
                        let bin = ((distance / BIN_ANGSTROM) as usize).min(n_bins - 1);
                        found.counts[pair][bin] += 1;
                    }
                }
            }
        }
        found
    }

    fn pair(&self, pair: [Species; 2]) -> Option<usize> {
        let index = |s| self.species.iter().position(|t| *t == s);
        let (a, b) = (index(pair[0])?, index(pair[1])?);
        Some(a.min(b) * self.species.len() + a.max(b))
    }

    /// True if this pair occurs in the data within one bin of this distance.
    pub fn contains(&self, pair: [Species; 2], distance_angstrom: f64) -> bool {
        let Some(counts) = self.pair(pair).map(|p| &self.counts[p]) else { return false };
        let bin = (distance_angstrom / BIN_ANGSTROM) as usize;
        (bin.saturating_sub(1)..=bin + 1).any(|b| counts.get(b).is_some_and(|n| *n > 0))
    }
}

/// Scans of every pair of species from 0.3 angstrom to the cutoff, in vacuum and in the crystal.
pub fn pair_scans(
    potential: &dyn Potential,
    crystal: &Atoms,
    data: &DataDistances,
    settings: &CheckSettings,
) -> Result<Vec<ScanPoint>, Error> {
    let perfect = crystal.supercell(settings.repeat);
    let species = potential.species();
    let mut scans = Vec::new();
    for a in 0..species.len() {
        for b in a..species.len() {
            let pair = [species[a], species[b]];
            scans.extend(scan(potential, data, pair, "vacuum", potential.cutoff_angstrom(), |r| dimer(pair, r))?);
            if let Some((first, second, bond)) = closest_pair(&perfect, pair) {
                let boxed = |r: f64| approach(&perfect, first, second, bond, r);
                scans.extend(scan(potential, data, pair, "crystal", bond.length(), boxed)?);
            }
        }
    }
    Ok(scans)
}

fn scan(
    potential: &dyn Potential,
    data: &DataDistances,
    pair: [Species; 2],
    environment: &'static str,
    end_angstrom: f64,
    at: impl Fn(f64) -> Atoms + Sync,
) -> Result<Vec<ScanPoint>, Error> {
    let steps = ((end_angstrom - START_ANGSTROM) / STEP_ANGSTROM).round() as usize;
    let energy = |r: f64| {
        let atoms = at(r);
        let neighbors = NeighborList::build(&atoms, potential.cutoff_angstrom());
        let mut evaluation = Evaluation::default();
        potential.evaluate(&atoms, &neighbors, &mut evaluation)?;
        Ok(evaluation.energy_ev())
    };
    let end = energy(end_angstrom)?;
    let point = |k: usize| {
        let distance_angstrom = START_ANGSTROM + (end_angstrom - START_ANGSTROM) * k as f64 / steps as f64;
        let energy_ev = energy(distance_angstrom)? - end;
        let has_data = data.contains(pair, distance_angstrom);
        Ok(ScanPoint { pair, environment, distance_angstrom, energy_ev, has_data })
    };
    (0..=steps).into_par_iter().map(point).collect()
}

fn dimer(pair: [Species; 2], distance: f64) -> Atoms {
    let cell = Cell { vectors: DMat3::from_diagonal(DVec3::splat(100.0)), periodic: BVec3::FALSE };
    Atoms { cell, species: pair.to_vec(), positions: vec![DVec3::ZERO, DVec3::Z * distance] }
}

/// The first closest pair of these species with the vector from one to the other.
fn closest_pair(atoms: &Atoms, pair: [Species; 2]) -> Option<(usize, usize, DVec3)> {
    let of = |s: Species| (0..atoms.len()).filter(move |i| atoms.species[*i] == s);
    let first = of(pair[0]).next()?;
    let vector = |other: usize| atoms.cell.minimum_image(atoms.positions[other] - atoms.positions[first]);
    let others = of(pair[1]).filter(|other| *other != first);
    let closest = others.min_by(|a, b| vector(*a).length_squared().total_cmp(&vector(*b).length_squared()))?;
    Some((first, closest, vector(closest)))
}

/// Two atoms moved towards each other along their line, all others fixed.
fn approach(perfect: &Atoms, first: usize, second: usize, bond: DVec3, distance: f64) -> Atoms {
    let mut atoms = perfect.clone();
    let step = bond.normalize() * (0.5 * (bond.length() - distance));
    atoms.positions[first] += step;
    atoms.positions[second] -= step;
    atoms
}

/// Text of pair_scans.csv; `hashes` goes into a comment line.
pub fn scans_csv(scans: &[ScanPoint], hashes: &str) -> String {
    let mut text = format!("# {hashes}\npair,environment,distance_angstrom,energy_ev,has_data\n");
    for p in scans {
        let [a, b] = p.pair;
        let _ =
            writeln!(text, "{a}-{b},{},{:.4},{:.6},{}", p.environment, p.distance_angstrom, p.energy_ev, p.has_data);
    }
    text
}

/// Every pair must repel up to 1.2 angstrom, and from there on to where its data begin: no attractive holes.
pub(super) fn check(scans: &[ScanPoint]) -> Vec<Check> {
    let mut checks = Vec::new();
    let same = |a: &ScanPoint, b: &ScanPoint| a.pair == b.pair && a.environment == b.environment;
    for scan in scans.chunk_by(same) {
        let Some(ScanPoint { pair: [a, b], environment, .. }) = scan.first() else { continue };
        let begin = |p: &&ScanPoint| p.has_data;
        let data_begin = scan.iter().find(begin).map_or(2.0, |p| p.distance_angstrom);
        let end = data_begin.max(ALWAYS_REPULSIVE_ANGSTROM);
        // The deepest hole: how far the energy rises again with growing distance.
        let (mut lowest, mut hole, mut place) = (f64::INFINITY, 0.0, 0.0);
        for p in scan.iter().filter(|p| p.distance_angstrom <= end) {
            if p.energy_ev < lowest {
                lowest = p.energy_ev;
            } else if p.energy_ev - lowest > hole || !p.energy_ev.is_finite() {
                (hole, place) = (p.energy_ev - lowest, p.distance_angstrom);
            }
        }
        let at = if hole > 0.0 { format!(", rises up to {place:.2} A") } else { String::new() };
        let detail = format!("data begin at {data_begin:.2} A, energy there {lowest:.2} eV{at}");
        let name = format!("{a}-{b} hole in {environment}");
        let wanted = format!("below {TOLERANCE_EV} up to {end:.2} A");
        checks.push(Check::new(&name, hole, "eV", wanted, hole < TOLERANCE_EV, detail));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{PairPotential, argon_like, molecule};

    fn no_data() -> DataDistances {
        DataDistances::new(&[], std::iter::empty(), 4.8)
    }

    #[test]
    fn repulsion_passes_and_a_hole_fails() {
        let (_, crystal) = argon_like([1, 1, 1]);
        let settings = CheckSettings::default();
        let scans = pair_scans(&PairPotential::repulsion(4.0), &crystal, &no_data(), &settings).unwrap();
        assert!(check(&scans).iter().all(|c| c.passed), "{:?}", check(&scans));
        let hole = PairPotential::spring(5.0, 1.5);
        let scans = pair_scans(&hole, &crystal, &no_data(), &settings).unwrap();
        assert!(check(&scans).iter().any(|c| !c.passed));
    }

    #[test]
    fn scan_in_vacuum_is_the_pair_function() {
        let (_, crystal) = argon_like([1, 1, 1]);
        let scans =
            pair_scans(&PairPotential::spring(5.0, 1.5), &crystal, &no_data(), &CheckSettings::default()).unwrap();
        let point =
            scans.iter().find(|p| p.environment == "vacuum" && (p.distance_angstrom - 1.5).abs() < 1e-9).unwrap();
        // The spring ends at its cutoff 3.0 A with 5 / 2 * 1.5^2 eV, outside it is zero: the scan ends there.
        assert!(point.energy_ev.abs() < 1e-12, "{point:?}");
    }

    #[test]
    fn data_distances_know_what_they_have_seen() {
        let atoms = molecule("W", "O", 1.83);
        let [w, o] = [atoms.species[0], atoms.species[1]];
        let data = DataDistances::new(&[w, o], std::iter::once(&atoms), 4.8);
        assert!(data.contains([o, w], 1.85) && data.contains([w, o], 1.79));
        assert!(!data.contains([w, o], 1.6) && !data.contains([o, o], 1.83));
    }
}

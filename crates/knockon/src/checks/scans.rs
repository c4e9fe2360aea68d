//! Energies of two atoms that approach each other, in vacuum and in the crystal.

use super::{Check, CheckSettings, DataDistances};
use crate::{Atoms, Error, Evaluation, Potential, Species};
use glam::DVec3;
use rayon::prelude::*;
use serde::Serialize;
use std::fmt::Write;

/// First distance of a scan.
const START_ANGSTROM: f64 = 0.3;
/// Distance between points of a scan.
const STEP_ANGSTROM: f64 = 0.03;
/// A rise of the energy with growing distance that does not count as attraction: well below what a cascade resolves.
const TOLERANCE_EV: f64 = 0.05;
/// Below this distance every pair must repel, whatever the data say: kernels start at 1.3 A, the shortest bonds of
/// these crystals are 1.7 A long, and nothing but O-O comes closer to a minimum (1.2 A in the molecule).
const ALWAYS_REPULSIVE_ANGSTROM: f64 = 1.2;
/// A pair of which there are no data must repel up to here.
const UP_TO_WITHOUT_DATA_ANGSTROM: f64 = 2.0;

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
            scans
                .extend(scan(potential, data, pair, "vacuum", potential.cutoff_angstrom(), |r| Atoms::dimer(pair, r))?);
            if let Some(([first, second], bond)) = perfect.nearest_pair(pair) {
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
        let neighbors = potential.neighbor_list(&atoms, 0.0);
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

/// Every pair must repel where the data are silent: up to 1.2 angstrom, from there to where its data begin, and in the
/// gaps between its data up to its closest distance in the crystal (two atoms pushed together from there repel).
pub(super) fn check(scans: &[ScanPoint]) -> Vec<Check> {
    let mut checks = Vec::new();
    let same = |a: &ScanPoint, b: &ScanPoint| a.pair == b.pair && a.environment == b.environment;
    for scan in scans.chunk_by(same) {
        let Some(ScanPoint { pair: [a, b], environment, .. }) = scan.first() else { continue };
        let begin = |p: &&ScanPoint| p.has_data;
        let data_begin = scan.iter().find(begin).map(|p| p.distance_angstrom);
        let end = data_begin.unwrap_or(UP_TO_WITHOUT_DATA_ANGSTROM).max(ALWAYS_REPULSIVE_ANGSTROM);
        let holes = silent_ranges(scan, end, bond_angstrom(scans, [*a, *b])).map(deepest_hole);
        let (hole, place) = holes.max_by(|x, y| x.0.total_cmp(&y.0)).unwrap_or((0.0, 0.0));
        let at = if hole > 0.0 { format!(", rises up to {place:.2} A") } else { String::new() };
        let begin = data_begin.map_or("no data".to_owned(), |distance| format!("data begin at {distance:.2} A"));
        let detail = format!("{begin}{at}");
        let name = format!("{a}-{b} hole in {environment}");
        let wanted = format!("below {TOLERANCE_EV} up to {end:.2} A and in gaps of the data");
        checks.push(Check::new(&name, hole, "eV", wanted, hole < TOLERANCE_EV, detail));
    }
    checks
}

/// The closest distance of a pair in the crystal: where its scan there ends.
fn bond_angstrom(scans: &[ScanPoint], pair: [Species; 2]) -> f64 {
    let in_crystal = scans.iter().rfind(|p| p.pair == pair && p.environment == "crystal");
    in_crystal.map_or(0.0, |p| p.distance_angstrom)
}

/// The part of a scan up to `end_angstrom`, and each gap between data below `bond_angstrom` with the points beside it.
fn silent_ranges(scan: &[ScanPoint], end_angstrom: f64, bond_angstrom: f64) -> impl Iterator<Item = &[ScanPoint]> {
    let n_first = scan.partition_point(|p| p.distance_angstrom <= end_angstrom);
    let n_bond = scan.partition_point(|p| p.distance_angstrom <= bond_angstrom).max(n_first);
    let mut ranges: Vec<_> = std::iter::once(0..n_first).collect();
    let mut start = n_first;
    for run in scan[n_first..n_bond].chunk_by(|a, b| a.has_data == b.has_data) {
        if !run[0].has_data {
            ranges.push(start.saturating_sub(1)..(start + run.len() + 1).min(scan.len()));
        }
        start += run.len();
    }
    ranges.into_iter().map(|range| &scan[range])
}

/// How far the energy rises again with growing distance in eV, and up to which distance; infinite if an energy is not
/// a number.
fn deepest_hole(points: &[ScanPoint]) -> (f64, f64) {
    let (mut lowest, mut hole) = (f64::INFINITY, (0.0, 0.0));
    for p in points {
        if !p.energy_ev.is_finite() {
            return (f64::INFINITY, p.distance_angstrom);
        }
        lowest = p.energy_ev.min(lowest);
        if p.energy_ev - lowest > hole.0 {
            hole = (p.energy_ev - lowest, p.distance_angstrom);
        }
    }
    hole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{PairPotential, argon_like};

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

    /// A rise of the energy counts where data are missing, also between data, and not where there are data.
    #[test]
    fn a_hole_in_a_gap_between_data_fails() {
        let oxygen = Species::from_symbol("O").unwrap();
        let point = |environment, distance_angstrom: f64, has_data| {
            let bump = if (1.55..1.75).contains(&distance_angstrom) { 0.4 } else { 0.0 };
            let energy_ev = 20.0 - 10.0 * (distance_angstrom - 1.0) + 3.0 * bump;
            ScanPoint { pair: [oxygen; 2], environment, distance_angstrom, energy_ev, has_data }
        };
        let distances = || (0..16).map(|k| 1.0 + 0.1 * f64::from(k));
        let crystal = distances().map(|r| point("crystal", r, true));
        let passes = |gap: std::ops::Range<f64>| {
            let vacuum = distances().map(|r| point("vacuum", r, !gap.contains(&r)));
            check(&vacuum.chain(crystal.clone()).collect::<Vec<_>>()).iter().all(|c| c.passed)
        };
        assert!(passes(1.75..2.05));
        assert!(!passes(1.45..1.75));
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
}

//! Configurations with the same geometry.

use super::{DataSet, formula};
use crate::{Atoms, Species};
use glam::DVec3;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// Two configurations with the same geometry up to the order of equal atoms and lattice translations of atoms.
#[derive(Clone, Debug, Serialize)]
pub struct Duplicate {
    /// Name of the first.
    pub first: String,
    /// Name of the second.
    pub second: String,
    /// Largest displacement of an atom between the two, in angstrom.
    pub largest_displacement_angstrom: f64,
    /// Energy of the second minus energy of the first, in eV.
    pub energy_difference_ev: Option<f64>,
}

/// Structure factors at a few small lattice wave vectors: equal for equal geometries whatever the order of the atoms
/// and the cell in which each of them is written. Cheap to compare.
fn fingerprint(atoms: &Atoms) -> Vec<f64> {
    const WAVES: [DVec3; 4] = [DVec3::X, DVec3::Y, DVec3::Z, DVec3::ONE];
    let mut sums: BTreeMap<Species, [f64; 8]> = BTreeMap::new();
    let inverse = atoms.cell.vectors.inverse();
    for (species, position) in atoms.species.iter().zip(&atoms.positions) {
        let entry = sums.entry(*species).or_default();
        for (k, wave) in WAVES.iter().enumerate() {
            let (sin, cos) = (std::f64::consts::TAU * wave.dot(inverse * *position)).sin_cos();
            entry[2 * k] += cos;
            entry[2 * k + 1] += sin;
        }
    }
    sums.into_values().flatten().collect()
}

/// All pairs of configurations whose atoms agree within `tolerance`, in angstrom.
pub(super) fn duplicates(data: &DataSet, tolerance: f64) -> Vec<Duplicate> {
    let prints: Vec<Vec<f64>> = data.frames.iter().map(|f| fingerprint(&f.atoms)).collect();
    let compare = |first: usize| -> Vec<Duplicate> {
        let a = &data.frames[first];
        let candidates = (first + 1..data.frames.len()).filter_map(|second| {
            let b = &data.frames[second];
            if !same_box(&a.atoms, &b.atoms, tolerance)
                || !similar(&prints[first], &prints[second], &a.atoms, tolerance)
            {
                return None;
            }
            let displacement = largest_displacement(&a.atoms, &b.atoms, tolerance)?;
            Some(Duplicate {
                first: data.names[first].clone(),
                second: data.names[second].clone(),
                largest_displacement_angstrom: displacement,
                energy_difference_ev: a.energy_ev.zip(b.energy_ev).map(|(a, b)| b - a),
            })
        });
        candidates.collect()
    };
    (0..data.frames.len()).into_par_iter().flat_map_iter(compare).collect()
}

fn same_box(a: &Atoms, b: &Atoms, tolerance: f64) -> bool {
    let difference = (a.cell.vectors - b.cell.vectors).to_cols_array();
    a.len() == b.len()
        && a.cell.periodic == b.cell.periodic
        && difference.iter().all(|d| d.abs() <= tolerance)
        && formula(a) == formula(b)
}

/// Displacements up to the tolerance change a structure factor by at most 2 pi |k| tolerance per atom.
fn similar(a: &[f64], b: &[f64], atoms: &Atoms, tolerance: f64) -> bool {
    let inverse = atoms.cell.vectors.inverse().to_cols_array().iter().map(|x| x * x).sum::<f64>().sqrt();
    let bound = std::f64::consts::TAU * 3_f64.sqrt() * inverse * tolerance * atoms.len() as f64;
    a.iter().zip(b).all(|(x, y)| (x - y).abs() <= bound.max(1e-9))
}

/// The largest displacement when each atom is matched with an atom of its species within the tolerance, if that is
/// possible. The atom with the same number is tried first.
fn largest_displacement(a: &Atoms, b: &Atoms, tolerance: f64) -> Option<f64> {
    let mut free = vec![true; b.len()];
    let mut largest = 0.0_f64;
    for i in 0..a.len() {
        let distance = |j: usize| a.cell.minimum_image(b.positions[j] - a.positions[i]).length();
        let fits = |j: usize, free: &[bool]| free[j] && a.species[i] == b.species[j] && distance(j) <= tolerance;
        let j = if fits(i, &free) { i } else { (0..b.len()).find(|j| fits(*j, &free))? };
        free[j] = false;
        largest = largest.max(distance(j));
    }
    Some(largest)
}

#[cfg(test)]
mod tests {
    use super::super::test_boxes::{of, two_atoms};
    use super::*;

    #[test]
    fn duplicates_are_found_in_any_order_and_any_image() {
        let first = two_atoms(DVec3::new(1.0, 2.0, 3.0));
        let mut swapped = two_atoms(DVec3::new(1.0, 2.0005, 3.0) + DVec3::new(1.0, -4.0, 4.0));
        swapped.atoms.species.reverse();
        swapped.atoms.positions.reverse();
        let other = two_atoms(DVec3::new(1.0, 2.01, 3.0));
        let found = duplicates(&of(vec![first, swapped, other]), 1e-3);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((found[0].largest_displacement_angstrom - 5e-4).abs() < 1e-9);
    }
}

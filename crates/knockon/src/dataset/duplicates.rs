//! Configurations with the same geometry, and those that a symmetry of the crystal maps onto each other.

use super::formula;
use super::isometry::is_image;
use crate::fingerprint::Fingerprint;
use crate::io::Frame;
use crate::{Atoms, Species};
use glam::DVec3;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeMap;

/// By how much displacements of all atoms change a [`Fingerprint`], per angstrom, at most: its tests find 6.
const FINGERPRINT_PER_ANGSTROM: f64 = 10.0;

/// Two configurations with the same geometry.
#[derive(Clone, Debug, Serialize)]
pub struct Duplicate {
    /// Name of the first.
    pub first: String,
    /// Name of the second.
    pub second: String,
    /// Largest displacement of an atom between the two in angstrom, up to the order of equal atoms and lattice translations of
    /// atoms. None where one is the other turned, mirrored or moved as a whole.
    pub largest_displacement_angstrom: Option<f64>,
    /// Energy of the second minus energy of the first, in eV.
    pub energy_difference_ev: Option<f64>,
}

impl Duplicate {
    /// What the two have in common, in words.
    pub fn description(&self) -> &'static str {
        match self.largest_displacement_angstrom {
            Some(_) => "the same geometry",
            None => "the same structure, turned, mirrored or moved as a whole",
        }
    }
}

/// What two configurations are compared by, the cheapest first.
struct Traits {
    formula: String,
    structure_factors: Vec<f64>,
    surroundings: Fingerprint,
}

impl Traits {
    fn new(atoms: &Atoms, species: &[Species]) -> Self {
        Self {
            formula: formula(atoms),
            structure_factors: structure_factors(atoms),
            surroundings: Fingerprint::new(atoms, species),
        }
    }
}

/// Structure factors at a few small lattice wave vectors: equal for equal geometries whatever the order of the atoms
/// and the cell in which each of them is written.
fn structure_factors(atoms: &Atoms) -> Vec<f64> {
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

/// All pairs of frames whose atoms agree within `tolerance`, in angstrom; also those where one is the other turned, mirrored or moved
/// as a whole. A label of one says what a label of the other would.
pub fn duplicates(frames: &[Frame], names: &[String], tolerance: f64) -> Vec<Duplicate> {
    let species = Species::distinct(&frames.iter().flat_map(|f| f.atoms.elements()).collect::<Vec<_>>());
    let traits: Vec<Traits> = frames.par_iter().map(|f| Traits::new(&f.atoms, &species)).collect();
    let compare = |first: usize| -> Vec<Duplicate> {
        let candidates = (first + 1..frames.len()).filter_map(|second| {
            let (a, b) = (&frames[first], &frames[second]);
            let (of_a, of_b) = (&traits[first], &traits[second]);
            if of_a.formula != of_b.formula || a.atoms.cell.periodic != b.atoms.cell.periodic {
                return None;
            }
            let displacement = displacement(&a.atoms, &b.atoms, of_a, of_b, tolerance);
            if displacement.is_none() && !same_structure(&a.atoms, &b.atoms, of_a, of_b, tolerance) {
                return None;
            }
            Some(Duplicate {
                first: names[first].clone(),
                second: names[second].clone(),
                largest_displacement_angstrom: displacement,
                energy_difference_ev: a.energy_ev.zip(b.energy_ev).map(|(a, b)| b - a),
            })
        });
        candidates.collect()
    };
    (0..frames.len()).into_par_iter().flat_map_iter(compare).collect()
}

/// The largest displacement of an atom, if the boxes are the same and all atoms agree.
fn displacement(a: &Atoms, b: &Atoms, of_a: &Traits, of_b: &Traits, tolerance: f64) -> Option<f64> {
    let difference = (a.cell.vectors - b.cell.vectors).to_cols_array();
    let same_box = difference.iter().all(|d| d.abs() <= tolerance);
    let similar = similar(&of_a.structure_factors, &of_b.structure_factors, a, tolerance);
    if same_box && similar { largest_displacement(a, b, tolerance) } else { None }
}

/// True if one box is the other turned, mirrored or moved as a whole. The surroundings of the atoms tell most others apart at once.
fn same_structure(a: &Atoms, b: &Atoms, of_a: &Traits, of_b: &Traits, tolerance: f64) -> bool {
    let [length_a, length_b] = [a, b].map(|atoms| atoms.cell.volume_angstrom3().cbrt());
    (length_a - length_b).abs() <= tolerance
        && of_a.surroundings.agrees_with(&of_b.surroundings, FINGERPRINT_PER_ANGSTROM * tolerance)
        && is_image(a, b, tolerance)
}

/// Displacements up to the tolerance change a structure factor by at most 2 pi |k| tolerance per atom.
fn similar(a: &[f64], b: &[f64], atoms: &Atoms, tolerance: f64) -> bool {
    let inverse = atoms.cell.vectors.inverse().to_cols_array().iter().map(|x| x * x).sum::<f64>().sqrt();
    let bound = std::f64::consts::TAU * 3_f64.sqrt() * inverse * tolerance * atoms.len() as f64;
    a.iter().zip(b).all(|(x, y)| (x - y).abs() <= bound.max(1e-9))
}

/// The largest displacement when each atom is matched with an atom of its species within the tolerance, if that is
/// possible. The atom with the same number is tried first.
pub(super) fn largest_displacement(a: &Atoms, b: &Atoms, tolerance: f64) -> Option<f64> {
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
    use super::super::test_boxes::two_atoms;
    use super::*;
    use crate::dynamics::testing::calcium_tungstate;
    use crate::symmetry::crystal_symmetry;

    fn found(frames: &[Frame]) -> Vec<Duplicate> {
        let names: Vec<String> = (0..frames.len()).map(|i| format!("#{i}")).collect();
        duplicates(frames, &names, 1e-3)
    }

    #[test]
    fn duplicates_are_found_in_any_order_and_any_image() {
        let first = two_atoms(DVec3::new(1.0, 2.0, 3.0));
        let mut swapped = two_atoms(DVec3::new(1.0, 2.0005, 3.0) + DVec3::new(1.0, -4.0, 4.0));
        swapped.atoms.species.reverse();
        swapped.atoms.positions.reverse();
        let other = two_atoms(DVec3::new(1.0, 2.01, 3.0));
        let found = found(&[first, swapped, other]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((found[0].largest_displacement_angstrom.unwrap_or_default() - 5e-4).abs() < 1e-9);
    }

    /// An oxygen atom moved off its site, and the same at all sites that the crystal's symmetry makes of it.
    #[test]
    fn images_under_the_symmetry_of_the_crystal_are_found() {
        let crystal = calcium_tungstate();
        let mut moved = crystal.supercell([2, 2, 1]);
        let oxygen = moved.species.iter().position(|s| s.symbol() == "O").expect("oxygen");
        moved.positions[oxygen] += DVec3::new(2.1, 1.2, 0.7);
        let mut frames = vec![Frame::new(moved.clone())];
        for operation in crystal_symmetry(&crystal, 1e-3).expect("a crystal").operations {
            let mut image = moved.clone();
            image.positions.iter_mut().for_each(|p| *p = operation.apply(*p) + DVec3::new(0.3, -1.1, 2.0));
            frames.push(Frame::new(image));
        }
        // Not the same: the atom lies 0.02 angstrom away.
        moved.positions[oxygen] += DVec3::new(0.0, 0.02, 0.0);
        frames.push(Frame::new(moved));
        let n_images = frames.len() - 1;
        let found = found(&frames);
        assert_eq!(found.len(), n_images * (n_images - 1) / 2);
        assert!(found.iter().all(|d| d.largest_displacement_angstrom.is_none()));
        assert!(found.iter().all(|d| d.second != format!("#{n_images}")));
    }
}

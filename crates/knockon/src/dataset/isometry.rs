//! Is one box the other turned, mirrored or moved as a whole?

use super::duplicates::largest_displacement;
use crate::{Atoms, Species};
use glam::{DMat3, DVec3};

/// Lattice vectors up to this many cell vectors in each direction are tried as images of cell vectors.
const REACH: i32 = 2;

/// True if a rotation or reflection that maps the lattice of `a` onto that of `b`, and a translation, bring each atom of `a` within
/// twice `tolerance` (angstrom) of one of `b`. Boxes that are not periodic in all directions are not compared.
pub(super) fn is_image(a: &Atoms, b: &Atoms, tolerance: f64) -> bool {
    let periodic = a.cell.periodic.all() && b.cell.periodic.all();
    periodic && rotations(a, b, tolerance).into_iter().any(|rotation| moves_onto(a, b, rotation, tolerance))
}

/// Rotations and reflections that map the lattice of `a` onto that of `b`.
pub(crate) fn rotations(a: &Atoms, b: &Atoms, tolerance: f64) -> Vec<DMat3> {
    let vectors = lattice_vectors(b);
    let images = |axis: usize| {
        let length = a.cell.vectors.col(axis).length();
        vectors.iter().filter(move |v| (v.length() - length).abs() <= tolerance)
    };
    let longest = (0..3).map(|axis| a.cell.vectors.col(axis).length()).fold(0.0, f64::max);
    let inverse = a.cell.vectors.inverse();
    let mut found = Vec::new();
    for first in images(0) {
        for second in images(1) {
            for third in images(2) {
                let rotation = DMat3::from_cols(*first, *second, *third) * inverse;
                let off = rotation.transpose() * rotation - DMat3::IDENTITY;
                if off.to_cols_array().iter().all(|x| x.abs() * longest <= 4.0 * tolerance) {
                    found.push(rotation);
                }
            }
        }
    }
    found
}

fn lattice_vectors(atoms: &Atoms) -> Vec<DVec3> {
    let range = || (-REACH..=REACH).map(f64::from);
    let mut vectors = Vec::new();
    for i in range() {
        for j in range() {
            vectors.extend(range().map(|k| atoms.cell.vectors * DVec3::new(i, j, k)));
        }
    }
    vectors
}

/// True if `a`, turned and then moved so that one atom of its rarest species falls on some atom of `b`, is `b`.
fn moves_onto(a: &Atoms, b: &Atoms, rotation: DMat3, tolerance: f64) -> bool {
    let count = |species: Species| a.species.iter().filter(|s| **s == species).count();
    let Some(anchor) = (0..a.len()).min_by_key(|i| count(a.species[*i])) else { return false };
    let turned: Vec<DVec3> = a.positions.iter().map(|p| rotation * *p).collect();
    (0..b.len()).filter(|j| b.species[*j] == a.species[anchor]).any(|j| {
        let shift = b.positions[j] - turned[anchor];
        let positions = turned.iter().map(|p| *p + shift).collect();
        let image = Atoms { cell: b.cell, species: a.species.clone(), positions };
        largest_displacement(&image, b, 2.0 * tolerance).is_some()
    })
}

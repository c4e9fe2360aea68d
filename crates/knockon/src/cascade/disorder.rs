//! Is an atom's surroundings still that of the crystal? How many are not, and how large is the region that they form.
//!
//! The surroundings of an atom are described by the fingerprint with which relaxed boxes are told apart
//! ([`Fingerprint`]): numbers of neighbours by element and distance, and angles between near ones. An atom
//! of the crystal finds its like among the atoms of its element in the perfect crystal, whatever the crystal.

use crate::fingerprint::Fingerprint;
use crate::{Atoms, NeighborList};
use serde::{Deserialize, Serialize};

/// Atoms whose surroundings differ by more than this from all those of the crystal are disordered. The unit is about one
/// neighbour more or less. Random displacements of 0.08 angstrom along each axis stay below it, a tungsten atom
/// that lacks one of its four oxygen atoms is above it (see the tests).
const DISORDERED: f64 = 0.75;
/// Surroundings in the perfect crystal closer than this are the same.
const SAME_KIND: f64 = 0.05;
/// Disordered atoms closer than this, in angstrom, belong to the same region.
const LINK_ANGSTROM: f64 = 4.0;

/// Disordered atoms of a box.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disorder {
    /// Atoms whose surroundings are not those of any atom of their element in the crystal.
    pub atoms: usize,
    /// Their number times the volume per atom, in angstrom^3.
    pub volume_angstrom3: f64,
    /// Atoms of the largest connected region of disordered atoms: point defects are small ones, an amorphous track is
    /// large.
    pub largest_region_atoms: usize,
    /// Volume of that region in angstrom^3.
    pub largest_region_angstrom3: f64,
    /// Largest difference of an atom's surroundings from the crystal's, in about one neighbour.
    pub largest_difference: f64,
}

impl Disorder {
    /// Compares a quenched box with the perfect crystal. Boxes may be shifted, turned and renumbered against each other.
    pub fn find(perfect: &Atoms, atoms: &Atoms) -> Self {
        let elements = perfect.elements();
        let crystal = Fingerprint::new(perfect, &elements).distinct(SAME_KIND);
        let differences = Fingerprint::new(atoms, &elements).distances_from(&crystal);
        let disordered: Vec<usize> = (0..atoms.len()).filter(|atom| differences[*atom] > DISORDERED).collect();
        let volume_per_atom = perfect.cell.volume_angstrom3() / perfect.len() as f64;
        let largest = largest_region(atoms, &disordered);
        Self {
            atoms: disordered.len(),
            volume_angstrom3: disordered.len() as f64 * volume_per_atom,
            largest_region_atoms: largest,
            largest_region_angstrom3: largest as f64 * volume_per_atom,
            largest_difference: differences.into_iter().fold(0.0, f64::max),
        }
    }
}

/// Size of the largest set of members that are linked by short distances.
fn largest_region(atoms: &Atoms, members: &[usize]) -> usize {
    if members.is_empty() {
        return 0;
    }
    let list = NeighborList::build(atoms, LINK_ANGSTROM);
    let mut open = vec![false; atoms.len()];
    members.iter().for_each(|atom| open[*atom] = true);
    let mut largest = 0;
    for member in members {
        let mut region = Vec::new();
        let mut next = if std::mem::take(&mut open[*member]) { vec![*member] } else { Vec::new() };
        while let Some(atom) = next.pop() {
            region.push(atom);
            let around = list.row(atom).map(|slot| list.index[slot] as usize);
            next.extend(around.filter(|other| std::mem::take(&mut open[*other])));
        }
        largest = largest.max(region.len());
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{argon_like, calcium_tungstate};
    use glam::DVec3;
    use rand::RngExt;
    use rand_pcg::Pcg64;

    fn crystal() -> Atoms {
        calcium_tungstate().supercell([3, 3, 2])
    }

    /// Moves the atoms that are chosen at random, each axis by up to `reach`.
    fn shaken(mut atoms: Atoms, reach: f64, chosen: impl Fn(DVec3) -> bool) -> Atoms {
        let mut random = Pcg64::new(4, 1);
        let mut off = || reach * (2.0 * random.random::<f64>() - 1.0);
        for p in atoms.positions.iter_mut().filter(|p| chosen(**p)) {
            *p += DVec3::new(off(), off(), off());
        }
        atoms
    }

    #[test]
    fn the_crystal_is_ordered_shifted_strained_or_shaken() {
        let mut strained = crystal();
        strained.cell.vectors.x_axis *= 1.005;
        strained.positions.iter_mut().for_each(|p| p.x = 1.005 * p.x + 3.3);
        let (argon, shaken_argon) = (argon_like([5; 3]).1, shaken(argon_like([5; 3]).1, 0.08, |_| true));
        let shaken = shaken(crystal(), 0.08, |_| true);
        for (perfect, atoms) in [(&crystal(), &strained), (&crystal(), &shaken), (&argon, &shaken_argon)] {
            let found = Disorder::find(perfect, atoms);
            assert!(found.atoms == 0 && found.largest_difference < DISORDERED, "{found:?}");
        }
    }

    #[test]
    fn a_region_that_is_made_amorphous_is_found_with_its_volume() {
        let (center, radius) = (crystal().cell.vectors * DVec3::splat(0.5), 5.5);
        let inside = |p: DVec3| (p - center).length() < radius;
        let n_inside = crystal().positions.iter().filter(|p| inside(**p)).count();
        let found = Disorder::find(&crystal(), &shaken(crystal(), 1.2, inside));
        // Its atoms, and some of those around it that see it.
        assert!((n_inside..3 * n_inside).contains(&found.atoms), "{n_inside} {found:?}");
        assert!(found.largest_region_atoms > 9 * found.atoms / 10, "{found:?}");
        let per_atom = crystal().cell.volume_angstrom3() / crystal().len() as f64;
        assert!((found.volume_angstrom3 / per_atom / found.atoms as f64 - 1.0).abs() < 1e-12);
    }

    /// An oxygen atom that leaves: its tetrahedron and the place where it goes, each with the atoms near it.
    #[test]
    fn a_frenkel_pair_is_two_small_regions() {
        let mut atoms = crystal();
        let oxygen = atoms.species.iter().position(|s| s.symbol() == "O").expect("oxygen");
        atoms.positions[oxygen] += atoms.cell.vectors * DVec3::splat(0.5) + DVec3::new(0.8, 0.4, 0.9);
        let found = Disorder::find(&crystal(), &atoms);
        assert!((3..30).contains(&found.atoms), "{found:?}");
        assert!(found.largest_region_atoms < found.atoms, "{found:?}");
    }
}

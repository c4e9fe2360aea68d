//! Are two boxes the same structure? A description of the surroundings of every atom that does not change under
//! rotations, reflections, translations and renumbering, and a distance between two boxes made of it.

use crate::{Atoms, NeighborList, Species};
use glam::DVec3;
use std::f64::consts::PI;

/// Neighbours within this distance are described.
const RADIAL_CUTOFF_ANGSTROM: f64 = 5.0;
/// Angles are described between neighbours within this distance.
const ANGULAR_CUTOFF_ANGSTROM: f64 = 3.5;
/// Width of the Gaussians that count neighbours by distance ...
const SIGMA_ANGSTROM: f64 = 0.4;
/// ... and how far apart they are; the first is at 1 angstrom.
const SPACING_ANGSTROM: f64 = 0.5;
/// Legendre polynomials P_1 to P_4 of the cosines of angles.
const LEGENDRE: usize = 4;

/// Boxes closer than this are the same structure. The unit is about one neighbour counted more or less in some place
/// of one atom's surroundings. Moving all atoms of a relaxed box at random by 0.01 angstrom along each axis, more than what
/// forces of 2e-3 eV/angstrom leave open, gives 0.06; moving any single atom by 0.4 angstrom gives more than 0.2 (see the
/// tests).
pub const SAME_STRUCTURE: f64 = 0.12;

/// The surroundings of all atoms of a box.
#[derive(Clone, Debug)]
pub struct Fingerprint {
    atoms: Vec<(Species, Vec<f64>)>,
    /// Over all atoms: boxes whose means differ are told apart at once.
    mean: Vec<f64>,
}

/// A neighbour as seen from an atom.
struct Seen {
    kind: usize,
    direction: DVec3,
    distance: f64,
}

impl Fingerprint {
    /// Describes a box. `species` are those that any of the boxes to be compared may hold.
    pub fn new(atoms: &Atoms, species: &[Species]) -> Self {
        let list = NeighborList::build(atoms, RADIAL_CUTOFF_ANGSTROM);
        let shifts = list.cartesian_translations(&atoms.cell);
        let describe = |atom: usize| {
            let seen = |slot: usize| {
                let other = list.index[slot] as usize;
                let shift = shifts[list.translation[slot] as usize];
                let vector = atoms.positions[other] + shift - atoms.positions[atom];
                let distance = vector.length();
                let kind = species.iter().position(|s| *s == atoms.species[other]).unwrap_or(species.len());
                Seen { kind, direction: vector / distance.max(1e-9), distance }
            };
            let around: Vec<Seen> = list.row(atom).map(seen).collect();
            let mut numbers = radial(&around, species.len());
            numbers.extend(angular(&around, species.len()));
            (atoms.species[atom], numbers)
        };
        Self::of((0..atoms.len()).map(describe).collect())
    }

    fn of(atoms: Vec<(Species, Vec<f64>)>) -> Self {
        let mut mean = vec![0.0; atoms.first().map_or(0, |(_, numbers)| numbers.len())];
        for (_, numbers) in &atoms {
            mean.iter_mut().zip(numbers).for_each(|(mean, x)| *mean += x / atoms.len() as f64);
        }
        Self { atoms, mean }
    }

    /// How different two boxes are: the distance of the atom that finds no like in the other box, from its nearest
    /// like there (the Hausdorff distance of the two sets of surroundings).
    pub fn distance(&self, other: &Self) -> f64 {
        self.farthest_from(other).max(other.farthest_from(self))
    }

    fn farthest_from(&self, other: &Self) -> f64 {
        self.distances_from(other).into_iter().fold(0.0, f64::max)
    }

    /// True if all atoms of either box have their like in the other within `tolerance`, and so have the means over all atoms, which
    /// are compared first because that costs little.
    pub fn agrees_with(&self, other: &Self, tolerance: f64) -> bool {
        squared_distance(&self.mean, &other.mean) <= tolerance * tolerance && self.distance(other) <= tolerance
    }

    /// How different the surroundings of each atom are from the most similar ones in another box.
    pub fn distances_from(&self, other: &Self) -> Vec<f64> {
        let nearest = |(species, numbers): &(Species, Vec<f64>)| {
            let same = other.atoms.iter().filter(|(s, _)| s == species);
            same.map(|(_, others)| squared_distance(numbers, others)).fold(f64::INFINITY, f64::min).sqrt()
        };
        self.atoms.iter().map(nearest).collect()
    }

    /// One atom of each kind of surroundings: atoms that differ from one before by less than `tolerance` are left out.
    pub fn distinct(self, tolerance: f64) -> Self {
        let mut kinds: Vec<(Species, Vec<f64>)> = Vec::new();
        for (species, numbers) in self.atoms {
            let like = |(s, others): &(Species, Vec<f64>)| {
                *s == species && squared_distance(&numbers, others) < tolerance * tolerance
            };
            if !kinds.iter().any(like) {
                kinds.push((species, numbers));
            }
        }
        Self::of(kinds)
    }
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn fade(distance: f64, cutoff: f64) -> f64 {
    if distance < cutoff { 0.5 * (1.0 + libm::cos(PI * distance / cutoff)) } else { 0.0 }
}

/// Neighbours of each species by distance.
fn radial(around: &[Seen], n_species: usize) -> Vec<f64> {
    let n_centers = ((RADIAL_CUTOFF_ANGSTROM - 1.0) / SPACING_ANGSTROM) as usize + 1;
    let mut numbers = vec![0.0; (n_species + 1) * n_centers];
    for seen in around {
        let weight = fade(seen.distance, RADIAL_CUTOFF_ANGSTROM);
        for center in 0..n_centers {
            let off = (seen.distance - 1.0 - center as f64 * SPACING_ANGSTROM) / SIGMA_ANGSTROM;
            numbers[seen.kind * n_centers + center] += weight * libm::exp(-0.5 * off * off);
        }
    }
    numbers
}

/// Sums of P_l(cos angle) over pairs of near neighbours, for each pair of species.
fn angular(around: &[Seen], n_species: usize) -> Vec<f64> {
    let near: Vec<(&Seen, f64)> = around
        .iter()
        .filter(|seen| seen.distance < ANGULAR_CUTOFF_ANGSTROM)
        .map(|seen| (seen, fade(seen.distance, ANGULAR_CUTOFF_ANGSTROM)))
        .collect();
    let n_kinds = n_species + 1;
    let mut numbers = vec![0.0; n_kinds * (n_kinds + 1) / 2 * LEGENDRE];
    for (index, (a, weight_a)) in near.iter().enumerate() {
        for (b, weight_b) in &near[index + 1..] {
            let (low, high) = (a.kind.min(b.kind), a.kind.max(b.kind));
            let pair = high * (high + 1) / 2 + low;
            let x = a.direction.dot(b.direction);
            let (mut previous, mut current) = (1.0, x);
            for l in 0..LEGENDRE {
                numbers[pair * LEGENDRE + l] += weight_a * weight_b * current;
                let order = (l + 1) as f64;
                (previous, current) = (current, ((2.0 * order + 1.0) * x * current - order * previous) / (order + 1.0));
            }
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::calcium_tungstate;
    use crate::symmetry::crystal_symmetry;
    use rand::RngExt;
    use rand_pcg::Pcg64;

    /// A box with a crude oxygen pair, all atoms slightly off their sites.
    fn pair_box() -> Atoms {
        let mut atoms = calcium_tungstate().supercell([2, 2, 1]);
        let oxygen = atoms.species.iter().position(|s| s.symbol() == "O").expect("oxygen");
        atoms.positions[oxygen] += DVec3::new(2.1, 1.2, 0.7);
        shaken(&atoms, 0.05, 3)
    }

    fn shaken(atoms: &Atoms, amplitude: f64, seed: u64) -> Atoms {
        let mut random = Pcg64::new(u128::from(seed), 1);
        let mut moved = atoms.clone();
        for p in &mut moved.positions {
            let mut off = || amplitude * (2.0 * random.random::<f64>() - 1.0);
            *p += DVec3::new(off(), off(), off());
        }
        moved
    }

    fn between(a: &Atoms, b: &Atoms) -> f64 {
        let species = ["Ca", "O", "W"].map(|s| Species::from_symbol(s).expect("known"));
        Fingerprint::new(a, &species).distance(&Fingerprint::new(b, &species))
    }

    #[test]
    fn symmetry_translation_and_renumbering_change_nothing() {
        let atoms = pair_box();
        let group = crystal_symmetry(&calcium_tungstate(), 1e-3).expect("a crystal");
        assert_eq!(group.operations.len(), 8);
        for (number, operation) in group.operations.iter().enumerate() {
            let mut image = atoms.clone();
            let shift = DVec3::new(0.31, 1.7, -5.2);
            image.positions.iter_mut().for_each(|p| *p = operation.apply(*p) + shift);
            let turn = 7 * number % atoms.len();
            image.positions.rotate_left(turn);
            image.species.rotate_left(turn);
            image.positions.reverse();
            image.species.reverse();
            let found = between(&atoms, &image);
            assert!(found < 1e-9, "{found} {operation:?}");
        }
    }

    #[test]
    fn the_tolerance_lies_between_unfinished_relaxation_and_another_structure() {
        let atoms = pair_box();
        let unfinished = (0..5).map(|seed| between(&atoms, &shaken(&atoms, 0.01, 10 + seed))).fold(0.0, f64::max);
        let mut closest = f64::INFINITY;
        for atom in (0..atoms.len()).step_by(7) {
            for axis in [DVec3::X, DVec3::Y, DVec3::Z] {
                let mut other = atoms.clone();
                other.positions[atom] += 0.4 * axis;
                closest = closest.min(between(&atoms, &other));
            }
        }
        assert!(unfinished < 0.6 * SAME_STRUCTURE, "{unfinished}");
        assert!(closest > 1.5 * SAME_STRUCTURE, "{closest}");
    }
}

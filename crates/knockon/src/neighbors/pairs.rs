//! Pairs of atoms, each listed once.

use super::bins::Bins;
use super::{ATOMS_PER_TASK, NeighborList};
use crate::Atoms;
use glam::IVec3;
use rayon::prelude::*;
use std::cmp::Ordering;
use std::ops::Range;

/// All pairs (i, j, lattice translation) with |r_j + translation - r_i| < reach, either from i to j or from j to i.
///
/// Each atom has groups of others, one group for each translation that brings others near. A list is a function of positions and
/// reach alone.
#[derive(Clone, Debug, Default)]
pub struct PairList {
    /// Start of each atom's groups; one more entry than atoms.
    offsets: Vec<usize>,
    groups: Vec<Group>,
    others: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Group {
    translation: IVec3,
    others: Range<usize>,
}

/// True for one of the two directions of a pair. Each atom gets about half of its pairs.
fn is_first(atom: usize, other: usize, translation: [i32; 3]) -> bool {
    match atom.cmp(&other) {
        Ordering::Equal => translation > [0; 3],
        order => order.is_lt() == (atom + other).is_multiple_of(2),
    }
}

impl PairList {
    /// Builds the list of all pairs closer than `reach_angstrom`.
    pub fn build(atoms: &Atoms, reach_angstrom: f64) -> Self {
        // Bins of half the reach: fewer atoms are looked at in vain.
        let bins = Bins::new(atoms, 0.5 * reach_angstrom, reach_angstrom);
        Self::from_rows(atoms.len(), |atom, pairs| {
            bins.for_each_candidate(atom, |other, translation| {
                let vector = (other.position - atoms.positions[atom]) + atoms.cell.vectors * translation.as_dvec3();
                if vector.length_squared() < reach_angstrom * reach_angstrom {
                    pairs.push((translation.to_array(), other.index));
                }
            });
        })
    }

    /// The pairs of a full list.
    pub fn of(list: &NeighborList) -> Self {
        Self::from_rows(list.offsets.len().saturating_sub(1), |atom, pairs| {
            let pair = |k: usize| (list.translations[list.translation[k] as usize].to_array(), list.index[k]);
            pairs.extend(list.row(atom).map(pair));
        })
    }

    /// `neighbors` adds all neighbours of an atom, itself too if it likes.
    fn from_rows(n_atoms: usize, neighbors: impl Fn(usize, &mut Vec<([i32; 3], u32)>) + Sync) -> Self {
        let starts: Vec<usize> = (0..n_atoms).step_by(ATOMS_PER_TASK).collect();
        let part = |start: &usize| {
            let (mut part, mut pairs) = (Self::default(), Vec::new());
            for atom in *start..(start + ATOMS_PER_TASK).min(n_atoms) {
                neighbors(atom, &mut pairs);
                pairs.retain(|(translation, other)| is_first(atom, *other as usize, *translation));
                pairs.sort_unstable();
                part.push(&pairs);
                pairs.clear();
            }
            part
        };
        let parts: Vec<Self> = starts.par_iter().map(part).collect();
        let mut list = Self { offsets: vec![0], ..Self::default() };
        parts.iter().for_each(|part| list.append(part));
        list
    }

    /// Adds an atom, whose pairs are sorted.
    fn push(&mut self, pairs: &[([i32; 3], u32)]) {
        for group in pairs.chunk_by(|a, b| a.0 == b.0) {
            let start = self.others.len();
            self.others.extend(group.iter().map(|(_, other)| other));
            self.groups.push(Group { translation: IVec3::from_array(group[0].0), others: start..self.others.len() });
        }
        self.offsets.push(self.groups.len());
    }

    fn append(&mut self, part: &Self) {
        let (n_groups, n_others) = (self.groups.len(), self.others.len());
        self.offsets.extend(part.offsets.iter().map(|offset| n_groups + offset));
        self.others.extend(&part.others);
        self.groups.extend(part.groups.iter().map(|group| Group {
            others: group.others.start + n_others..group.others.end + n_others,
            ..group.clone()
        }));
    }

    /// The pairs of one atom, some of those that it is part of: lattice translations in units of the cell vectors, and which atoms
    /// they bring near.
    pub fn groups(&self, atom: usize) -> impl Iterator<Item = (IVec3, &[u32])> {
        let groups = &self.groups[self.offsets[atom]..self.offsets[atom + 1]];
        groups.iter().map(|group| (group.translation, &self.others[group.others.clone()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neighbors::tests::{boxed, by_force};
    use proptest::prelude::*;

    /// All pairs from both of their ends.
    fn both_ways(list: &PairList) -> Vec<Vec<(u32, [i32; 3])>> {
        let mut rows = vec![Vec::new(); list.offsets.len() - 1];
        for atom in 0..rows.len() {
            for (translation, other) in list.groups(atom).flat_map(|(t, others)| others.iter().map(move |o| (t, *o))) {
                rows[atom].push((other, translation.to_array()));
                rows[other as usize].push((atom as u32, (-translation).to_array()));
            }
        }
        rows.iter_mut().for_each(|row| row.sort_unstable());
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
        #[test]
        fn every_pair_is_listed_once(
            diagonal in prop::array::uniform3(2.0..9.0f64),
            shear in prop::array::uniform6(-2.0..2.0f64),
            periodic in prop::array::uniform3(any::<bool>()),
            fractional in prop::collection::vec(prop::array::uniform3(-1.4..2.4f64), 1..16),
            reach in 1.0..4.0f64,
        ) {
            let [a, b, c] = diagonal;
            let vectors = [a, shear[0], shear[1], shear[2], b, shear[3], shear[4], shear[5], c];
            prop_assume!(glam::DMat3::from_cols_array(&vectors).determinant().abs() > 8.0);
            let atoms = boxed(vectors, periodic, &fractional);
            let expected = by_force(&atoms, reach);
            prop_assert_eq!(both_ways(&PairList::build(&atoms, reach)), expected.clone());
            prop_assert_eq!(both_ways(&PairList::of(&NeighborList::build(&atoms, reach))), expected);
        }
    }
}

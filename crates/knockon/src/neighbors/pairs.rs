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

/// Lattice translation in units of the cell vectors, and the atom that it brings near.
type Pair = ([i32; 3], u32);

/// True for one of the two directions of a pair. Each atom gets about half of its pairs.
fn is_first(atom: usize, (translation, other): Pair) -> bool {
    match atom.cmp(&(other as usize)) {
        Ordering::Equal => translation > [0; 3],
        order => order.is_lt() == (atom + other as usize).is_multiple_of(2),
    }
}

impl PairList {
    /// Builds the list of all pairs closer than `reach_angstrom`.
    pub fn build(atoms: &Atoms, reach_angstrom: f64) -> Self {
        // Bins of half the reach: fewer atoms are looked at in vain.
        let bins = Bins::new(atoms, 0.5 * reach_angstrom, reach_angstrom);
        Self::from_rows(atoms.len(), |atom, pairs| {
            bins.for_each_candidate(atom, |other, translation| {
                let pair = (translation.to_array(), other.index);
                let vector = (other.position - atoms.positions[atom]) + atoms.cell.vectors * translation.as_dvec3();
                if is_first(atom, pair) && vector.length_squared() < reach_angstrom * reach_angstrom {
                    pairs.push(pair);
                }
            });
        })
    }

    /// The pairs of a full list.
    pub fn of(list: &NeighborList) -> Self {
        Self::from_rows(list.offsets.len().saturating_sub(1), |atom, pairs| {
            let pair = |k: usize| (list.translations[list.translation[k] as usize].to_array(), list.index[k]);
            pairs.extend(list.row(atom).map(pair).filter(|pair| is_first(atom, *pair)));
        })
    }

    /// `add` adds the pairs that are listed with an atom, in any order.
    fn from_rows(n_atoms: usize, add: impl Fn(usize, &mut Vec<Pair>) + Sync) -> Self {
        let starts: Vec<usize> = (0..n_atoms).step_by(ATOMS_PER_TASK).collect();
        let part = |start: &usize| {
            let (mut part, mut pairs) = (Self::default(), Vec::new());
            for atom in *start..(start + ATOMS_PER_TASK).min(n_atoms) {
                add(atom, &mut pairs);
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
    fn push(&mut self, pairs: &[Pair]) {
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
    use crate::neighbors::tests::{any_box, by_force};
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
        fn every_pair_is_listed_once(atoms in any_box(), reach in 1.0..4.0f64) {
            let expected = by_force(&atoms, reach);
            prop_assert_eq!(both_ways(&PairList::build(&atoms, reach)), expected.clone());
            prop_assert_eq!(both_ways(&PairList::of(&NeighborList::build(&atoms, reach))), expected);
        }
    }
}

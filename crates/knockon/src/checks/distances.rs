//! Which distances between which species some boxes of atoms hold.

use crate::{Atoms, NeighborList, Species};
use std::ops::Range;

/// Width of a bin of distances in the data.
const BIN_ANGSTROM: f64 = 0.05;

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
            for (atom, other, vector) in list.vectors(atoms) {
                if let Some(pair) = found.pair([atoms.species[atom], atoms.species[other]]) {
                    let bin = ((vector.length() / BIN_ANGSTROM) as usize).min(n_bins - 1);
                    found.counts[pair][bin] += 1;
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

    /// The ranges of distances within `range` where this pair does not occur in the data.
    pub fn gaps(&self, pair: [Species; 2], range: Range<f64>) -> Vec<Range<f64>> {
        let bin = |distance: f64| (distance / BIN_ANGSTROM).ceil() as usize;
        let middle = |bin: usize| (bin as f64 + 0.5) * BIN_ANGSTROM;
        let bins: Vec<usize> =
            (bin(range.start)..bin(range.end)).filter(|b| !self.contains(pair, middle(*b))).collect();
        let edges = |run: &[usize]| run[0] as f64 * BIN_ANGSTROM..(run[run.len() - 1] + 1) as f64 * BIN_ANGSTROM;
        bins.chunk_by(|a, b| a + 1 == *b).map(edges).collect()
    }

    /// The shortest distance of this pair in the data, to the width of a bin.
    pub fn shortest_angstrom(&self, pair: [Species; 2]) -> Option<f64> {
        let counts = &self.counts[self.pair(pair)?];
        counts.iter().position(|n| *n > 0).map(|bin| bin as f64 * BIN_ANGSTROM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::molecule;

    #[test]
    fn data_distances_know_what_they_have_seen() {
        let atoms = molecule("W", "O", 1.83);
        let [w, o] = [atoms.species[0], atoms.species[1]];
        let data = DataDistances::new(&[w, o], std::iter::once(&atoms), 4.8);
        assert!(data.contains([o, w], 1.85) && data.contains([w, o], 1.79));
        assert!(
            (data.shortest_angstrom([o, w]).unwrap() - 1.8).abs() < 1e-12 && data.shortest_angstrom([w, w]).is_none()
        );
        assert!(!data.contains([w, o], 1.6) && !data.contains([o, o], 1.83));
        // Distances within one bin of 1.83 count as seen.
        let gaps = data.gaps([w, o], 1.5..2.2);
        let expected = [1.5, 1.75, 1.9, 2.2];
        let edges: Vec<f64> = gaps.iter().flat_map(|g| [g.start, g.end]).collect();
        assert!(edges.len() == 4 && edges.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{gaps:?}");
    }
}

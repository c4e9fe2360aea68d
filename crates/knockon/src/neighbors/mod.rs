//! Full neighbour lists as compressed rows, with the slot of each pair's reverse.

mod bins;
mod pairs;

pub use pairs::PairList;

use crate::{Atoms, Cell};
use bins::Bins;
use glam::{DVec3, IVec3};
use rayon::prelude::*;
use std::borrow::Cow;

/// Rows that one task builds: large enough to hide the cost of a task, small enough to share a small box.
const ATOMS_PER_TASK: usize = 256;

/// All pairs (i, j, lattice translation) with |r_j + translation - r_i| < cutoff + skin at the positions of the build; those closer
/// than the cutoff at any positions for which the list is not outdated.
///
/// Row i holds slots `offsets[i]..offsets[i + 1]`; slot k points to atom `index[k]` in the image
/// `translations[translation[k]]`. Both directions of a pair are present; `reverse[k]` is the slot of (j, i, -t).
/// Within a row, slots are ordered by (index, translation), so a list is a function of the positions alone.
#[derive(Clone, Debug, Default)]
pub struct NeighborList {
    /// Start of each atom's row; one more entry than atoms.
    pub offsets: Vec<usize>,
    /// Neighbouring atom of each slot.
    pub index: Vec<u32>,
    /// For each slot, which entry of `translations` to add to the neighbour's position.
    pub translation: Vec<u32>,
    /// Slot of the reverse pair.
    pub reverse: Vec<u32>,
    /// Lattice translations in units of the cell vectors.
    pub translations: Vec<IVec3>,
    /// The rows hold all pairs closer than this.
    pub cutoff_angstrom: f64,
    /// How much farther pairs were looked for, in rows and in `pairs`.
    pub skin_angstrom: f64,
    /// Pairs up to a longer cutoff, each once, for what is simple and reaches far.
    pub pairs: Option<PairList>,
    reference: Vec<DVec3>,
}

impl NeighborList {
    /// Cartesian translations in angstrom for the present cell, to be indexed by `translation`.
    pub fn cartesian_translations(&self, cell: &Cell) -> Vec<DVec3> {
        self.translations.iter().map(|t| cell.vectors * t.as_dvec3()).collect()
    }

    /// All pairs, each once: those of the list, or those of its rows.
    pub fn all_pairs(&self) -> Cow<'_, PairList> {
        self.pairs.as_ref().map_or_else(|| Cow::Owned(PairList::of(self)), Cow::Borrowed)
    }

    /// Slots of one atom.
    pub fn row(&self, atom: usize) -> std::ops::Range<usize> {
        self.offsets[atom]..self.offsets[atom + 1]
    }

    /// Both atoms of each slot and the vector in angstrom from the first to the second, at the present positions.
    pub fn vectors(&self, atoms: &Atoms) -> impl Iterator<Item = (usize, usize, DVec3)> {
        let shifts = self.cartesian_translations(&atoms.cell);
        let slots = (0..atoms.len()).flat_map(|atom| self.row(atom).map(move |slot| (atom, slot)));
        slots.map(move |(atom, slot)| {
            let (other, shift) = (self.index[slot] as usize, shifts[self.translation[slot] as usize]);
            (atom, other, atoms.positions[other] - atoms.positions[atom] + shift)
        })
    }

    /// The shortest distance in angstrom between two atoms at their present positions; the cutoff, if all are farther.
    pub fn shortest_distance_angstrom(&self, atoms: &Atoms) -> f64 {
        let cutoff = self.cutoff_angstrom.powi(2);
        self.vectors(atoms).map(|(.., vector)| vector.length_squared()).fold(cutoff, f64::min).sqrt()
    }

    /// Builds the list of all pairs closer than `cutoff_angstrom`, for the present positions alone.
    pub fn build(atoms: &Atoms, cutoff_angstrom: f64) -> Self {
        Self::with_skin(atoms, cutoff_angstrom, 0.0)
    }

    /// Builds the list of all pairs closer than the cutoff and `skin_angstrom`.
    ///
    /// Pairs are searched over all periodic images, so the box may be smaller than the reach. The time grows
    /// linearly with the number of atoms; the result does not depend on the number of threads.
    pub fn with_skin(atoms: &Atoms, cutoff_angstrom: f64, skin_angstrom: f64) -> Self {
        let reach_angstrom = cutoff_angstrom + skin_angstrom;
        let bins = Bins::new(atoms, reach_angstrom, reach_angstrom);
        let starts: Vec<usize> = (0..atoms.len()).step_by(ATOMS_PER_TASK).collect();
        let blocks: Vec<Block> = starts
            .into_par_iter()
            .map(|start| {
                let mut block = Block::default();
                for atom in start..(start + ATOMS_PER_TASK).min(atoms.len()) {
                    block.push_row(atom, &bins, atoms, reach_angstrom);
                }
                block
            })
            .collect();
        Self { cutoff_angstrom, skin_angstrom, ..Self::from_blocks(&blocks, atoms) }
    }

    /// The same list with pairs closer than another cutoff, for the positions of the build.
    pub fn with_pairs(self, atoms: &Atoms, cutoff_angstrom: f64) -> Self {
        let pairs = PairList::build(atoms, cutoff_angstrom + self.skin_angstrom);
        Self { pairs: Some(pairs), ..self }
    }

    fn from_blocks(blocks: &[Block], atoms: &Atoms) -> Self {
        let mut translations: Vec<[i32; 3]> = blocks.iter().flat_map(|b| &b.translations).copied().collect();
        translations.sort_unstable();
        translations.dedup();
        let n_slots = blocks.iter().map(|b| b.pairs.len()).sum();
        let mut list = Self {
            offsets: Vec::with_capacity(atoms.len() + 1),
            index: Vec::with_capacity(n_slots),
            translation: Vec::with_capacity(n_slots),
            reverse: vec![0; n_slots],
            translations: translations.iter().map(|t| IVec3::from_array(*t)).collect(),
            reference: atoms.positions.clone(),
            ..Self::default()
        };
        list.offsets.push(0);
        let mut last = 0; // neighbouring slots mostly share their translation
        for block in blocks {
            for (j, t) in &block.pairs {
                if translations[last] != *t {
                    last = translations.binary_search(t).expect("every translation was collected");
                }
                list.index.push(*j);
                list.translation.push(last as u32);
            }
            let base = list.offsets[list.offsets.len() - 1];
            list.offsets.extend(block.ends.iter().map(|end| base + end));
        }
        list.link_reverse();
        list
    }

    /// Fills `reverse` in one sweep. Going through the rows i in order meets the slots of each row j in order too,
    /// except that the images of one atom pair appear with opposite translations, hence in opposite order.
    fn link_reverse(&mut self) {
        let n_atoms = self.offsets.len() - 1;
        let mut cursor = self.offsets[..n_atoms].to_vec();
        for i in 0..n_atoms {
            let row = self.row(i);
            let mut first = row.start;
            while first < row.end {
                let j = self.index[first];
                let images = self.index[first..row.end].iter().take_while(|other| **other == j).count();
                let partner = &mut cursor[j as usize];
                for image in 0..images {
                    self.reverse[first + image] = (*partner + images - 1 - image) as u32;
                }
                *partner += images;
                first += images;
            }
        }
    }

    /// Positions at the build; a list is a function of them, of cell, cutoffs and skin.
    pub(crate) fn reference_positions(&self) -> &[DVec3] {
        &self.reference
    }

    /// True if some atom has moved more than half the skin since the build, so that a pair closer than the cutoff may be
    /// missing. Positions must not have been wrapped in between.
    pub fn is_outdated(&self, positions: &[DVec3]) -> bool {
        let half_skin = 0.5 * self.skin_angstrom;
        self.reference.iter().zip(positions).any(|(a, b)| a.distance_squared(*b) > half_skin * half_skin)
    }
}

/// Rows of consecutive atoms, before translations have their final numbers.
#[derive(Default)]
struct Block {
    pairs: Vec<(u32, [i32; 3])>,
    /// End of each row in `pairs`.
    ends: Vec<usize>,
    translations: Vec<[i32; 3]>,
}

impl Block {
    fn push_row(&mut self, atom: usize, bins: &Bins, atoms: &Atoms, reach: f64) {
        let start = self.pairs.len();
        let position = atoms.positions[atom];
        bins.for_each_candidate(atom, |other, translation| {
            // This order of operations makes the two directions of a pair exact negatives of each other.
            let difference = (other.position - position) + atoms.cell.vectors * translation.as_dvec3();
            let itself = other.index as usize == atom && translation == IVec3::ZERO;
            if difference.length_squared() < reach * reach && !itself {
                self.pairs.push((other.index, translation.to_array()));
            }
        });
        self.pairs[start..].sort_unstable();
        self.ends.push(self.pairs.len());
        for (_, t) in &self.pairs[start..] {
            if self.translations.last() != Some(t) && !self.translations.contains(t) {
                self.translations.push(*t);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::Species;
    use glam::{BVec3, DMat3};
    use proptest::prelude::*;

    fn boxed(vectors: [f64; 9], periodic: [bool; 3], fractional: &[[f64; 3]]) -> Atoms {
        let cell = Cell { vectors: DMat3::from_cols_array(&vectors), periodic: BVec3::from_array(periodic) };
        let positions: Vec<DVec3> = fractional.iter().map(|f| cell.vectors * DVec3::from_array(*f)).collect();
        let oxygen = Species::from_symbol("O").expect("oxygen exists");
        Atoms::new(cell, vec![oxygen; positions.len()], positions, "test").expect("valid atoms")
    }

    /// Every pair by looping over every image in a generous range.
    pub(super) fn by_force(atoms: &Atoms, reach: f64) -> Vec<Vec<(u32, [i32; 3])>> {
        let thickness = atoms.cell.face_distances_angstrom().to_array();
        let periodic: [bool; 3] = atoms.cell.periodic.into();
        let range = |d: usize| {
            let spread = atoms.positions.iter().map(|p| atoms.cell.fractional(*p)[d].abs()).fold(0.0, f64::max);
            let n = if periodic[d] { (reach / thickness[d] + 2.0 * spread).ceil() as i32 + 1 } else { 0 };
            -n..=n
        };
        let row = |i: usize| {
            let mut row = Vec::new();
            for j in 0..atoms.len() {
                for (x, y, z) in range(0).flat_map(|x| range(1).flat_map(move |y| range(2).map(move |z| (x, y, z)))) {
                    let shift = atoms.cell.vectors * DVec3::new(f64::from(x), f64::from(y), f64::from(z));
                    let distance = (atoms.positions[j] - atoms.positions[i] + shift).length();
                    if distance < reach && (i != j || (x, y, z) != (0, 0, 0)) {
                        row.push((j as u32, [x, y, z]));
                    }
                }
            }
            row
        };
        (0..atoms.len()).map(row).collect()
    }

    fn rows(list: &NeighborList) -> Vec<Vec<(u32, [i32; 3])>> {
        let entry = |k: usize| (list.index[k], list.translations[list.translation[k] as usize].to_array());
        (0..list.offsets.len() - 1).map(|i| list.row(i).map(entry).collect()).collect()
    }

    fn assert_reverse_is_an_involution(list: &NeighborList) {
        for i in 0..list.offsets.len() - 1 {
            for k in list.row(i) {
                let back = list.reverse[k] as usize;
                assert_eq!(list.reverse[back] as usize, k);
                assert_eq!(list.index[back] as usize, i);
                assert!(list.row(list.index[k] as usize).contains(&back));
                let [there, home] = [k, back].map(|slot| list.translations[list.translation[slot] as usize]);
                assert_eq!(there, -home);
            }
        }
    }

    /// Up to fifteen atoms in a sheared box, periodic along some of its edges; not all atoms lie in the box.
    pub(super) fn any_box() -> impl Strategy<Value = Atoms> {
        let edges = (prop::array::uniform3(2.0..9.0f64), prop::array::uniform6(-2.0..2.0f64));
        let vectors = edges.prop_map(|([a, b, c], s)| [a, s[0], s[1], s[2], b, s[3], s[4], s[5], c]);
        let thick = vectors.prop_filter("a thin box", |v| DMat3::from_cols_array(v).determinant().abs() > 8.0);
        let fractional = prop::collection::vec(prop::array::uniform3(-1.4..2.4f64), 1..16);
        let parts = (thick, prop::array::uniform3(any::<bool>()), fractional);
        parts.prop_map(|(vectors, periodic, fractional)| boxed(vectors, periodic, &fractional))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
        #[test]
        fn agrees_with_brute_force(atoms in any_box(), reach in 1.0..4.0f64) {
            let list = NeighborList::build(&atoms, reach);
            prop_assert_eq!(rows(&list), by_force(&atoms, reach));
            assert_reverse_is_an_involution(&list);
        }
    }

    #[test]
    fn boxes_smaller_than_the_reach_see_their_own_images() {
        // Simple cubic, 1 A: 6 neighbours at 1, 12 at sqrt 2, 8 at sqrt 3, 6 at 2, 24 at sqrt 5.
        let atoms = boxed([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], [true; 3], &[[0.3, 0.4, 0.5]]);
        let list = NeighborList::build(&atoms, 2.3);
        assert_eq!(list.index.len(), 6 + 12 + 8 + 6 + 24);
        assert_reverse_is_an_involution(&list);
    }

    #[test]
    fn few_atoms_far_apart_in_an_open_box_are_cheap() {
        let far = [[0.0, 0.0, 0.0], [1e7, 1e7, 1e7], [1e7, 1e7, 1e7 + 0.5]];
        let atoms = boxed([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], [false; 3], &far);
        let list = NeighborList::build(&atoms, 1.0);
        assert_eq!(rows(&list), vec![vec![], vec![(2, [0; 3])], vec![(1, [0; 3])]]);
        // A planar molecule has no thickness.
        let flat = boxed([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0], [false; 3], &[[0.0; 3], [0.9, 0.0, 0.0]]);
        assert_eq!(NeighborList::build(&flat, 1.0).index, [1, 0]);
        assert_eq!(NeighborList::build(&boxed([0.0; 9], [false; 3], &[[0.0; 3]]), 1.0).index.len(), 0);
    }

    #[test]
    fn is_outdated_when_an_atom_has_moved_half_the_skin() {
        let mut atoms = boxed([8.0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0, 0.0, 8.0], [true; 3], &[[0.0; 3], [0.99, 0.5, 0.5]]);
        let list = NeighborList::with_skin(&atoms, 3.5, 0.5);
        atoms.positions[1].x += 0.24; // across the boundary, without wrapping
        assert!(!list.is_outdated(&atoms.positions));
        atoms.positions[1].x += 0.02;
        assert!(list.is_outdated(&atoms.positions));
        // Wrapping looks like a long move: it costs a build but never loses a pair.
        atoms.positions[1].x -= 8.26;
        assert!(list.is_outdated(&atoms.positions));
    }

    #[test]
    fn does_not_depend_on_the_number_of_threads() {
        let fractional: Vec<[f64; 3]> =
            (0..3000).map(|i| [0.618, 0.414, 0.732].map(|step| (f64::from(i) * step).fract())).collect();
        let atoms = boxed([30.0, 0.0, 0.0, 0.0, 31.0, 0.0, 0.0, 0.0, 32.0], [true; 3], &fractional);
        let build = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
            pool.install(|| NeighborList::build(&atoms, 3.0))
        };
        let (one, two) = (build(1), build(2));
        assert_eq!((rows(&one), &one.reverse), (rows(&two), &two.reverse));
    }
}

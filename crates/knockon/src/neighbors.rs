//! Full neighbour lists as compressed rows, with the slot of each pair's reverse.

use crate::{Atoms, Cell};
use glam::{DVec3, IVec3};

/// All pairs (i, j, lattice translation) with |r_j + translation - r_i| < cutoff + skin at the positions of the build.
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
    pub translation: Vec<u16>,
    /// Slot of the reverse pair.
    pub reverse: Vec<u32>,
    /// Lattice translations in units of the cell vectors.
    pub translations: Vec<IVec3>,
    /// The list holds all pairs closer than this, in angstrom (cutoff + skin).
    pub reach_angstrom: f64,
    reference: Vec<DVec3>,
}

impl NeighborList {
    /// Cartesian translations in angstrom for the present cell, to be indexed by `translation`.
    pub fn cartesian_translations(&self, cell: &Cell) -> Vec<DVec3> {
        self.translations.iter().map(|t| cell.vectors * t.as_dvec3()).collect()
    }

    /// Slots of one atom.
    pub fn row(&self, atom: usize) -> std::ops::Range<usize> {
        self.offsets[atom]..self.offsets[atom + 1]
    }

    /// Builds the list of all pairs closer than `reach_angstrom` (cutoff + skin).
    ///
    /// Pairs are searched over all periodic images, so the box may be smaller than the reach.
    pub fn build(atoms: &Atoms, reach_angstrom: f64) -> Self {
        let _ = atoms;
        let _ = reach_angstrom;
        unimplemented!()
    }

    /// True if some atom has moved more than half the skin since the build, so that a pair closer than
    /// `cutoff_angstrom` may be missing. Positions must not have been wrapped in between.
    pub fn is_outdated(&self, positions: &[DVec3], cutoff_angstrom: f64) -> bool {
        let half_skin = 0.5 * (self.reach_angstrom - cutoff_angstrom);
        self.reference.iter().zip(positions).any(|(a, b)| a.distance_squared(*b) > half_skin * half_skin)
    }
}

//! Kinds of cells: boxes whose energies have one zero.

use crate::Cell;
use crate::io::Frame;

/// Cells of one kind share their zero of energy: the same number of atoms, k-points and shape up to strain.
///
/// Sampling the Brillouin zone at few points shifts the energy of a box by an amount that depends on its shape. A fit
/// takes one offset per atom and kind as nuisance parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct CellKind {
    /// For people.
    pub name: String,
    n_atoms: usize,
    sampling: String,
    cell: Cell,
}

/// Kinds of cells, in order of appearance.
#[derive(Clone, Debug, Default)]
pub struct CellKinds(Vec<CellKind>);

impl CellKinds {
    /// Number of the kind of a configuration, which is added if it is new. The info key `kind` names it, if it is there.
    pub fn index_of(&mut self, frame: &Frame) -> usize {
        let given = frame.info.get("kind");
        let sampling = given.unwrap_or_else(|| frame.info.get("kpts").unwrap_or("1 1 1")).to_owned();
        let (n_atoms, cell) = (frame.atoms.len(), frame.atoms.cell);
        let same = |k: &CellKind| {
            k.sampling == sampling && (given.is_some() || k.n_atoms == n_atoms && same_shape(&k.cell, &cell))
        };
        if let Some(index) = self.0.iter().position(same) {
            return index;
        }
        let name = given.map_or_else(|| describe(n_atoms, &sampling, &cell), str::to_owned);
        self.0.push(CellKind { name, n_atoms, sampling, cell });
        self.0.len() - 1
    }

    /// For each configuration the number of its kind.
    pub fn number(frames: &[Frame]) -> Vec<usize> {
        let mut kinds = Self::default();
        frames.iter().map(|frame| kinds.index_of(frame)).collect()
    }

    /// All of them.
    pub fn as_slice(&self) -> &[CellKind] {
        &self.0
    }
}

/// True if one cell is a small strain of the other, open along the same directions: scalar products of lattice vectors
/// agree within 15 per cent of the mean squared length. A supercell of other lattice vectors is much farther off.
fn same_shape(a: &Cell, b: &Cell) -> bool {
    let [ga, gb] = [a, b].map(|c| c.vectors.transpose() * c.vectors);
    let scale = (ga.x_axis.x + ga.y_axis.y + ga.z_axis.z) / 3.0;
    a.periodic == b.periodic && (ga - gb).to_cols_array().iter().all(|d| d.abs() < 0.15 * scale)
}

fn describe(n_atoms: usize, sampling: &str, cell: &Cell) -> String {
    let v = cell.vectors;
    let [a, b, c] = [v.x_axis.length(), v.y_axis.length(), v.z_axis.length()];
    format!("{n_atoms} atoms, {a:.1} x {b:.1} x {c:.1} A, k-points {sampling}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Atoms, Species};
    use glam::DVec3;

    #[test]
    fn strained_cells_are_one_kind_and_supercells_another() {
        let cell = Cell::periodic(DVec3::X * 4.0, DVec3::Y * 4.0, DVec3::new(1.0, 0.0, 4.0));
        let species = ["W", "O"].iter().filter_map(|s| Species::from_symbol(s)).collect();
        let a = Frame::new(Atoms { cell, species, positions: vec![DVec3::ZERO, DVec3::ONE] });
        let mut strained = a.clone();
        strained.atoms.cell.vectors *= 1.03;
        let doubled = Frame::new(a.atoms.supercell([2, 1, 1]));
        let mut sampled = a.clone();
        sampled.info.set("kpts", "2 2 1");
        let mut open = a.clone();
        open.atoms.cell.periodic.z = false;
        let [mut named, mut other_cell] = [a.clone(), doubled.clone()];
        [&mut named, &mut other_cell].into_iter().for_each(|frame| frame.info.set("kind", "mine"));
        let frames = [a, strained, doubled, sampled, open, named, other_cell];
        assert_eq!(CellKinds::number(&frames), [0, 0, 1, 2, 3, 4, 4]);
    }
}

//! The crystal as a lattice: its primitive cell, its space group, and boxes of it.

use crate::symmetry::{CrystalSymmetry, POSITION_TOLERANCE_ANGSTROM, crystal_symmetry};
use crate::{Atoms, Cell, Error};
use glam::DVec3;

/// A crystal, reduced to its primitive cell.
#[derive(Clone, Debug)]
pub struct CrystalLattice {
    /// One primitive cell.
    pub primitive: Atoms,
    /// The space group.
    pub symmetry: CrystalSymmetry,
}

impl CrystalLattice {
    /// From any cell of the crystal.
    pub fn new(crystal: &Atoms) -> Result<Self, Error> {
        let symmetry = crystal_symmetry(crystal, POSITION_TOLERANCE_ANGSTROM)?;
        let cell = Cell { vectors: symmetry.primitive_vectors, periodic: crystal.cell.periodic };
        let (mut species, mut positions) = (Vec::new(), Vec::<DVec3>::new());
        for (kind, position) in crystal.species.iter().zip(&crystal.positions) {
            let known = |p: &DVec3| cell.minimum_image(*p - *position).length() < 0.1;
            if !positions.iter().any(known) {
                species.push(*kind);
                positions.push(cell.wrapped(*position));
            }
        }
        let density = |atoms: f64, cell: &Cell| atoms / cell.volume_angstrom3();
        let (found, expected) = (density(positions.len() as f64, &cell), density(crystal.len() as f64, &crystal.cell));
        if (found / expected - 1.0).abs() > 1e-6 {
            let problem =
                format!("the primitive cell has {} atoms, which is not the density of the crystal", positions.len());
            return Err(Error::computation(problem, "Check the unit cell for overlapping or missing atoms"));
        }
        let primitive = Atoms::new(cell, species, positions, "primitive cell")?;
        Ok(Self { primitive, symmetry })
    }

    /// A box of n x n x n primitive cells.
    pub fn supercell(&self, n: usize) -> Atoms {
        self.primitive.supercell([n, n, n])
    }

    /// The shortest vector that differs from this one by a vector of the primitive lattice.
    pub fn reduce(&self, vector: DVec3) -> DVec3 {
        self.primitive.cell.minimum_image(vector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{calcium_tungstate, cubic_cell};

    #[test]
    fn boxes_of_scheelite_have_the_sizes_of_the_paper() {
        let lattice = CrystalLattice::new(&calcium_tungstate()).expect("a crystal");
        assert_eq!(lattice.primitive.len(), 12);
        assert_eq!([2, 3, 4].map(|n| lattice.supercell(n).len()), [96, 324, 768]);
        // The shape of the boxes in the data: (-a, a, c), (a, -a, c), (a, a, -c) for 2 x 2 x 2.
        let vectors = lattice.supercell(2).cell.vectors;
        for axis in 0..3 {
            let v = vectors.col(axis).abs();
            assert!((v.x - 5.334534).abs() < 1e-6 && (v.z - 11.50991).abs() < 1e-6, "{vectors}");
        }
        assert_eq!(CrystalLattice::new(&cubic_cell(2.8)).expect("a crystal").primitive.len(), 1);
    }
}

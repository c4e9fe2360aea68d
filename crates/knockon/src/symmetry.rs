//! Symmetry of a crystal: its space group, and the rotations and reflections that leave the surroundings of one atom as
//! they are.

use crate::{Atoms, Error};
use glam::{DMat3, DVec3};
use moyo::MoyoDataset;
use moyo::base::{AngleTolerance, Cell as MoyoCell, Lattice, Operation};
use moyo::data::Setting;
use nalgebra::Vector3;

/// Positions of an ideal crystal may be off by this much (angstrom) when its symmetry is looked for.
pub const POSITION_TOLERANCE_ANGSTROM: f64 = 0.01;

/// The point group of one site of a crystal.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteSymmetry {
    /// Number of the crystal's space group, 1 to 230.
    pub space_group_number: i32,
    /// Hermann-Mauguin symbol of the crystal's space group.
    pub space_group: String,
    /// Hermann-Mauguin symbol of the site's point group, e.g. `"-4"`.
    pub point_group: &'static str,
    /// Orthogonal Cartesian matrices that map the surroundings of the site onto themselves, the identity first.
    pub operations: Vec<DMat3>,
}

/// One symmetry operation of a crystal: r -> rotation r + translation, Cartesian, in angstrom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpaceOperation {
    /// Orthogonal matrix.
    pub rotation: DMat3,
    /// Defined up to a primitive lattice vector.
    pub translation: DVec3,
}

impl SpaceOperation {
    /// Where the operation takes a position.
    pub fn apply(&self, position: DVec3) -> DVec3 {
        self.rotation * position + self.translation
    }
}

/// The space group of a crystal in the orientation in which the crystal is given.
#[derive(Clone, Debug, PartialEq)]
pub struct CrystalSymmetry {
    /// Number of the space group, 1 to 230.
    pub space_group_number: i32,
    /// Primitive lattice vectors (columns, angstrom) in the standard choice of the space group's centring, e.g.
    /// (-a, a, c)/2, (a, -a, c)/2, (a, a, -c)/2 of a body-centred tetragonal crystal.
    pub primitive_vectors: DMat3,
    /// Conventional lattice vectors (columns, angstrom).
    pub conventional_vectors: DMat3,
    /// Origin of the conventional cell (angstrom): from there, translations of the operations are simple fractions.
    pub origin: DVec3,
    /// One operation per rotation; all others differ from one of them by a primitive lattice vector.
    pub operations: Vec<SpaceOperation>,
}

/// Space group of a fully periodic, ideal crystal; positions may be off by `tolerance_angstrom`.
pub fn crystal_symmetry(crystal: &Atoms, tolerance_angstrom: f64) -> Result<CrystalSymmetry, Error> {
    let (_, dataset) = space_group(crystal, tolerance_angstrom)?;
    let vectors = crystal.cell.vectors;
    let columns = |m: &nalgebra::Matrix3<f64>| vectors * DMat3::from_cols_slice(m.as_slice());
    let mut operations: Vec<SpaceOperation> = Vec::new();
    for operation in &dataset.operations {
        let rotation = cartesian_rotation(crystal, operation);
        if !operations.iter().any(|o| o.rotation.abs_diff_eq(rotation, 1e-6)) {
            let translation = vectors * DVec3::from_slice(operation.translation.as_slice());
            operations.push(SpaceOperation { rotation, translation });
        }
    }
    Ok(CrystalSymmetry {
        space_group_number: dataset.number,
        primitive_vectors: columns(&dataset.prim_std_linear),
        conventional_vectors: columns(&dataset.std_linear),
        origin: vectors * DVec3::from_slice(dataset.std_origin_shift.as_slice()),
        operations,
    })
}

/// Rotations and reflections of the space group of a fully periodic, ideal crystal, Cartesian: its point group. A direction is as good as
/// its images under them once all atoms that are equivalent have been counted.
pub fn point_operations(crystal: &Atoms, tolerance_angstrom: f64) -> Result<Vec<DMat3>, Error> {
    Ok(crystal_symmetry(crystal, tolerance_angstrom)?.operations.iter().map(|o| o.rotation).collect())
}

/// Symmetry of the site of `atom` in a fully periodic, ideal crystal; positions may be off by `tolerance_angstrom`.
pub fn site_symmetry(crystal: &Atoms, atom: usize, tolerance_angstrom: f64) -> Result<SiteSymmetry, Error> {
    if atom >= crystal.len() {
        let found = format!("expected an atom of the crystal, found atom {atom} of {}", crystal.len());
        return Err(Error::input("site symmetry", found, "Name an atom that is there"));
    }
    let (cell, dataset) = space_group(crystal, tolerance_angstrom)?;

    // An operation fixes the site if it moves it by a lattice vector at most.
    let fixes_site = |operation: &&Operation| {
        let moved = operation.rotation.cast::<f64>() * cell.positions[atom] + operation.translation;
        let off = (moved - cell.positions[atom]).map(|x| x - x.round());
        (crystal.cell.vectors * DVec3::new(off.x, off.y, off.z)).length() < 2.0 * tolerance_angstrom
    };
    let cartesian = |operation: &Operation| cartesian_rotation(crystal, operation);
    let mut operations: Vec<DMat3> = dataset.operations.iter().filter(fixes_site).map(cartesian).collect();
    operations.sort_by(|a, b| {
        let key = |m: &DMat3| (-m.determinant().round(), -(m.x_axis.x + m.y_axis.y + m.z_axis.z));
        key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let point_group = point_group_symbol(&operations).ok_or_else(|| {
        let found = format!("the {} operations that fix the site are none of the 32 point groups", operations.len());
        Error::computation(found, "Give the unit cell with more digits, or another tolerance")
    })?;
    Ok(SiteSymmetry { space_group_number: dataset.number, space_group: dataset.hm_symbol, point_group, operations })
}

/// What `moyo` finds, and the crystal as `moyo` sees it.
fn space_group(crystal: &Atoms, tolerance_angstrom: f64) -> Result<(MoyoCell, MoyoDataset), Error> {
    if !crystal.cell.periodic.all() || crystal.is_empty() {
        let found = format!(
            "expected a fully periodic crystal, found {} with {} atoms",
            crystal.cell.periodic_in_words(),
            crystal.len()
        );
        return Err(Error::input("symmetry", found, "Give the unit cell of the crystal, periodic along x, y and z"));
    }
    let [a, b, c] = [crystal.cell.vectors.x_axis, crystal.cell.vectors.y_axis, crystal.cell.vectors.z_axis];
    let lattice = Lattice::from_basis([a.to_array(), b.to_array(), c.to_array()]);
    let fractional = |p: &DVec3| Vector3::from(crystal.cell.fractional(*p).to_array());
    let numbers = crystal.species.iter().map(|s| i32::from(s.atomic_number())).collect();
    let cell = MoyoCell::new(lattice, crystal.positions.iter().map(fractional).collect(), numbers);
    let dataset = MoyoDataset::new(&cell, tolerance_angstrom, AngleTolerance::Default, Setting::Standard, false)
        .map_err(|error| {
            let found = format!("expected a crystal whose space group can be found, found: {error}");
            Error::input("symmetry", found, "Check the unit cell for overlapping or missing atoms")
        })?;
    Ok((cell, dataset))
}

fn cartesian_rotation(crystal: &Atoms, operation: &Operation) -> DMat3 {
    let columns = operation.rotation.cast::<f64>();
    let fractional = DMat3::from_cols_slice(columns.as_slice());
    nearest_orthogonal(crystal.cell.vectors * fractional * crystal.cell.vectors.inverse())
}

/// Newton's iteration for the orthogonal factor of the polar decomposition; the input is orthogonal up to the tolerance.
fn nearest_orthogonal(mut matrix: DMat3) -> DMat3 {
    for _ in 0..6 {
        matrix = (matrix + matrix.inverse().transpose()) * 0.5;
    }
    matrix
}

/// How many operations of the types 2, 3, 4, 6, -1, m, -3, -4, -6 each of the 32 point groups has (International
/// Tables for Crystallography A, chapter 3.2): all different.
#[rustfmt::skip]
const POINT_GROUPS: [(&str, [usize; 9]); 32] = [
    ("1", [0, 0, 0, 0, 0, 0, 0, 0, 0]), ("-1", [0, 0, 0, 0, 1, 0, 0, 0, 0]),
    ("2", [1, 0, 0, 0, 0, 0, 0, 0, 0]), ("m", [0, 0, 0, 0, 0, 1, 0, 0, 0]), ("2/m", [1, 0, 0, 0, 1, 1, 0, 0, 0]),
    ("222", [3, 0, 0, 0, 0, 0, 0, 0, 0]), ("mm2", [1, 0, 0, 0, 0, 2, 0, 0, 0]), ("mmm", [3, 0, 0, 0, 1, 3, 0, 0, 0]),
    ("4", [1, 0, 2, 0, 0, 0, 0, 0, 0]), ("-4", [1, 0, 0, 0, 0, 0, 0, 2, 0]), ("4/m", [1, 0, 2, 0, 1, 1, 0, 2, 0]),
    ("422", [5, 0, 2, 0, 0, 0, 0, 0, 0]), ("4mm", [1, 0, 2, 0, 0, 4, 0, 0, 0]),
    ("-42m", [3, 0, 0, 0, 0, 2, 0, 2, 0]), ("4/mmm", [5, 0, 2, 0, 1, 5, 0, 2, 0]),
    ("3", [0, 2, 0, 0, 0, 0, 0, 0, 0]), ("-3", [0, 2, 0, 0, 1, 0, 2, 0, 0]), ("32", [3, 2, 0, 0, 0, 0, 0, 0, 0]),
    ("3m", [0, 2, 0, 0, 0, 3, 0, 0, 0]), ("-3m", [3, 2, 0, 0, 1, 3, 2, 0, 0]),
    ("6", [1, 2, 0, 2, 0, 0, 0, 0, 0]), ("-6", [0, 2, 0, 0, 0, 1, 0, 0, 2]), ("6/m", [1, 2, 0, 2, 1, 1, 2, 0, 2]),
    ("622", [7, 2, 0, 2, 0, 0, 0, 0, 0]), ("6mm", [1, 2, 0, 2, 0, 6, 0, 0, 0]),
    ("-6m2", [3, 2, 0, 0, 0, 4, 0, 0, 2]), ("6/mmm", [7, 2, 0, 2, 1, 7, 2, 0, 2]),
    ("23", [3, 8, 0, 0, 0, 0, 0, 0, 0]), ("m-3", [3, 8, 0, 0, 1, 3, 8, 0, 0]), ("432", [9, 8, 6, 0, 0, 0, 0, 0, 0]),
    ("-43m", [3, 8, 0, 0, 0, 6, 0, 6, 0]), ("m-3m", [9, 8, 6, 0, 1, 9, 8, 6, 0]),
];

fn point_group_symbol(operations: &[DMat3]) -> Option<&'static str> {
    let mut counts = [0; 9];
    for m in operations {
        let trace = (m.x_axis.x + m.y_axis.y + m.z_axis.z).round() as i32;
        let proper = m.determinant() > 0.0;
        let rotation = match if proper { trace } else { -trace } {
            3 if proper => continue,
            3 => 4,
            -1 => 0,
            0 => 1,
            1 => 2,
            2 => 3,
            _ => return None,
        };
        // Columns 5 to 8 count the same rotations followed by an inversion.
        let kind = if proper || rotation == 4 { rotation } else { rotation + 5 };
        counts[kind] += 1;
    }
    POINT_GROUPS.iter().find(|(_, known)| *known == counts).map(|(symbol, _)| *symbol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cell, Species};

    fn crystal(vectors: [[f64; 3]; 3], sites: &[(&str, [f64; 3])]) -> Atoms {
        let [a, b, c] = vectors.map(DVec3::from_array);
        let cell = Cell::periodic(a, b, c);
        let species = sites.iter().map(|(s, _)| Species::from_symbol(s).expect("a known element")).collect();
        let positions = sites.iter().map(|(_, f)| cell.vectors * DVec3::from_array(*f)).collect();
        Atoms::new(cell, species, positions, "test").expect("valid atoms")
    }

    fn cubic(a: f64) -> [[f64; 3]; 3] {
        [[a, 0.0, 0.0], [0.0, a, 0.0], [0.0, 0.0, a]]
    }

    /// Independent of the space-group finder: each operation maps the atom's surroundings onto themselves.
    fn assert_surroundings_are_invariant(crystal: &Atoms, atom: usize, operations: &[DMat3]) {
        let list = crate::NeighborList::build(crystal, 5.0);
        let shifts = list.cartesian_translations(&crystal.cell);
        let around: Vec<(Species, DVec3)> = list
            .row(atom)
            .map(|k| {
                let j = list.index[k] as usize;
                let shift = shifts[list.translation[k] as usize];
                (crystal.species[j], crystal.positions[j] + shift - crystal.positions[atom])
            })
            .collect();
        for operation in operations {
            assert!((*operation * operation.transpose()).abs_diff_eq(DMat3::IDENTITY, 1e-12));
            for (species, vector) in &around {
                let image = *operation * *vector;
                assert!(around.iter().any(|(s, v)| s == species && (*v - image).length() < 1e-3));
            }
        }
    }

    fn check(crystal: &Atoms, atom: usize, space_group: i32, point_group: &str, order: usize) {
        let found = site_symmetry(crystal, atom, 1e-3).expect("a crystal");
        assert_eq!((found.space_group_number, found.point_group), (space_group, point_group));
        assert_eq!(found.operations.len(), order);
        assert!(found.operations[0].abs_diff_eq(DMat3::IDENTITY, 1e-12));
        assert_surroundings_are_invariant(crystal, atom, &found.operations);
    }

    #[test]
    fn tungsten_in_scheelite_has_a_fourfold_rotoinversion() {
        let scheelite = crate::dynamics::testing::calcium_tungstate();
        let tungsten = scheelite.species.iter().position(|s| s.symbol() == "W").expect("tungsten");
        check(&scheelite, tungsten, 88, "-4", 4);
        let oxygen = scheelite.species.iter().position(|s| s.symbol() == "O").expect("oxygen");
        check(&scheelite, oxygen, 88, "1", 1);
        // A supercell has the same sites.
        check(&scheelite.supercell([2, 2, 1]), tungsten, 88, "-4", 4);
    }

    #[test]
    fn space_group_of_scheelite_maps_the_crystal_onto_itself() {
        let scheelite = crate::dynamics::testing::calcium_tungstate();
        let found = crystal_symmetry(&scheelite, 1e-3).expect("a crystal");
        assert_eq!((found.space_group_number, found.operations.len()), (88, 8));
        let primitive = Cell { vectors: found.primitive_vectors, ..scheelite.cell };
        assert!((primitive.volume_angstrom3() / scheelite.cell.volume_angstrom3() - 0.5).abs() < 1e-9);
        for operation in &found.operations {
            for (species, position) in scheelite.species.iter().zip(&scheelite.positions) {
                let image = operation.apply(*position);
                let lands =
                    |(s, p): (&Species, &DVec3)| s == species && primitive.minimum_image(image - *p).length() < 1e-3;
                assert!(scheelite.species.iter().zip(&scheelite.positions).any(lands));
            }
        }
    }

    #[test]
    fn cubic_crystals() {
        check(&crystal(cubic(3.165), &[("W", [0.0; 3]), ("W", [0.5; 3])]), 1, 229, "m-3m", 48);
        let fcc = [("Al", [0.0; 3]), ("Al", [0.0, 0.5, 0.5]), ("Al", [0.5, 0.0, 0.5]), ("Al", [0.5, 0.5, 0.0])];
        check(&crystal(cubic(4.05), &fcc), 2, 225, "m-3m", 48);
        let primitive = [[0.0, 2.715, 2.715], [2.715, 0.0, 2.715], [2.715, 2.715, 0.0]];
        check(&crystal(primitive, &[("Si", [0.0; 3]), ("Si", [0.25; 3])]), 1, 227, "-43m", 24);
    }

    #[test]
    fn hexagonal_and_triclinic_crystals() {
        let hexagonal = [[2.95, 0.0, 0.0], [-1.475, 1.475 * 3.0_f64.sqrt(), 0.0], [0.0, 0.0, 4.68]];
        let close_packed = [("Ti", [1.0 / 3.0, 2.0 / 3.0, 0.25]), ("Ti", [2.0 / 3.0, 1.0 / 3.0, 0.75])];
        check(&crystal(hexagonal, &close_packed), 0, 194, "-6m2", 12);
        let skewed = [[4.0, 0.3, 0.1], [0.5, 5.0, 0.7], [-0.4, 0.2, 6.0]];
        let sites = [("O", [0.0; 3]), ("O", [0.2, 0.3, 0.4]), ("Ca", [0.7, 0.1, 0.6])];
        check(&crystal(skewed, &sites), 1, 1, "1", 1);
        check(&crystal(skewed, &sites[..1]), 0, 2, "-1", 2);
    }
}

//! Rows of the fit: what each product of charges, response and product of polarisabilities would add.

use super::{ElectrostaticShape, Felt, Surroundings};
use crate::potential::design::{Columns, RowsByColumn};
use crate::potential::model::pair_index;
use crate::units::COULOMB_EV_ANGSTROM;
use glam::DVec3;

/// Adds what the atoms feel of charges and dipoles. No tables: these rows are made once for each configuration.
pub(in crate::potential) fn add_electrostatic_rows(
    columns: &Columns,
    shape: &ElectrostaticShape,
    around: &Surroundings<'_>,
    rows: &mut RowsByColumn,
) {
    let fields = ExactFields::of_charges(columns.n_species(), shape, around);
    add_products(columns, shape, around, rows);
    for species in 0..columns.n_species() {
        let first = columns.responses(species).start;
        fields.add_energies(around, rows, species, first);
    }
    for_each_direction(shape, around, |pair, felt| {
        let first = columns.responses(pair.species[0]).start;
        fields.for_each_column(pair, first, |column, seed| pair.add(rows, column, felt.field_gradient(seed)));
    });
    if !shape.dipole_charges_e.is_empty() {
        add_dipoles(columns, shape, around, &fields, rows);
    }
}

/// One pair as one of its atoms sees it.
struct Directed {
    atoms: [usize; 2],
    species: [usize; 2],
    /// From the first atom to the second.
    vector: DVec3,
}

impl Directed {
    /// Adds k times the derivative of an energy with respect to the vector.
    fn add(&self, rows: &mut RowsByColumn, column: usize, gradient: DVec3) {
        rows.add_gradient(column, self.atoms, self.vector, gradient * COULOMB_EV_ANGSTROM);
    }
}

/// Calls `visit` with every pair that is felt, as each of its atoms sees it.
fn for_each_direction(shape: &ElectrostaticShape, around: &Surroundings<'_>, mut visit: impl FnMut(&Directed, &Felt)) {
    around.for_each_pair(shape, |[first, second], felt| {
        for (atoms, vector) in [([first, second], felt.vector), ([second, first], -felt.vector)] {
            let species = atoms.map(|atom| usize::from(around.species[atom]));
            visit(&Directed { atoms, species, vector }, &Felt { vector, ..*felt });
        }
    });
}

/// Fields on each atom by species of the others, without tables.
struct ExactFields(Vec<Vec<DVec3>>);

impl ExactFields {
    fn sum(
        n_species: usize,
        shape: &ElectrostaticShape,
        around: &Surroundings<'_>,
        field: impl Fn(&Directed, &Felt) -> DVec3,
    ) -> Self {
        let mut fields = vec![vec![DVec3::ZERO; n_species]; around.species.len()];
        for_each_direction(shape, around, |pair, felt| fields[pair.atoms[0]][pair.species[1]] += field(pair, felt));
        Self(fields)
    }

    fn of_charges(n_species: usize, shape: &ElectrostaticShape, around: &Surroundings<'_>) -> Self {
        Self::sum(n_species, shape, around, |_, felt| felt.vector * felt.field)
    }

    fn of_dipoles(n_species: usize, shape: &ElectrostaticShape, around: &Surroundings<'_>, dipoles: &[DVec3]) -> Self {
        Self::sum(n_species, shape, around, |pair, felt| felt.of_dipole(dipoles[pair.atoms[1]]))
    }

    /// Energies of the responses of all atoms of a species, whose columns begin at `first`.
    fn add_energies(&self, around: &Surroundings<'_>, rows: &mut RowsByColumn, species: usize, first: usize) {
        let of_species = self.0.iter().zip(around.species).filter(|(_, s)| usize::from(**s) == species);
        for (fields, _) in of_species {
            let n = fields.len();
            for (a, b) in (0..n).flat_map(|a| (a..n).map(move |b| (a, b))) {
                rows.add_energy(first + pair_index(a, b, n), COULOMB_EV_ANGSTROM * fields[a].dot(fields[b]));
            }
        }
    }

    /// Calls `add` with the columns, which begin at `first`, of those responses of the first atom to which the second contributes, and
    /// with the derivative of the energy over k with respect to the field that it contributes to.
    fn for_each_column(&self, pair: &Directed, first: usize, mut add: impl FnMut(usize, DVec3)) {
        let fields = &self.0[pair.atoms[0]];
        for (other, field) in fields.iter().enumerate() {
            let twice = if pair.species[1] == other { 2.0 } else { 1.0 };
            add(first + pair_index(pair.species[1], other, fields.len()), *field * twice);
        }
    }
}

/// Products of charges.
fn add_products(columns: &Columns, shape: &ElectrostaticShape, around: &Surroundings<'_>, rows: &mut RowsByColumn) {
    around.for_each_pair(shape, |atoms, felt| {
        let [first, second] = atoms.map(|atom| usize::from(around.species[atom]));
        let column = columns.charges().start + pair_index(first, second, columns.n_species());
        rows.add_energy(column, felt.energy);
        rows.add_gradient(column, atoms, felt.vector, felt.energy_gradient());
    });
}

/// Products of polarisabilities, and responses to the fields of dipoles.
fn add_dipoles(
    columns: &Columns,
    shape: &ElectrostaticShape,
    around: &Surroundings<'_>,
    fields: &ExactFields,
    rows: &mut RowsByColumn,
) {
    let (n, charges) = (columns.n_species(), &shape.dipole_charges_e);
    let dipole = |fields: &Vec<DVec3>| fields.iter().zip(charges).map(|(field, z)| *field * *z).sum();
    let dipoles: Vec<DVec3> = fields.0.iter().map(dipole).collect();
    let of_dipoles = ExactFields::of_dipoles(n, shape, around, &dipoles);
    for species in 0..n {
        of_dipoles.add_energies(around, rows, species, columns.dipole_responses(species).start);
    }
    // Derivatives over k with respect to each dipole: of its products by species of the other dipole, of responses by species that
    // responds and species of the other field.
    let by_product = &of_dipoles.0;
    let mut by_response = vec![vec![DVec3::ZERO; n * n]; dipoles.len()];
    for_each_direction(shape, around, |pair, felt| {
        let ([here, there], [species, other]) = (pair.atoms, pair.species);
        let product = columns.dipole_products().start + pair_index(species, other, n);
        // Either direction has half of the energy of two dipoles.
        rows.add_energy(product, 0.5 * COULOMB_EV_ANGSTROM * dipoles[here].dot(felt.of_dipole(dipoles[there])));
        pair.add(rows, product, felt.dipole_gradient(dipoles[here], dipoles[there]) * 0.5);
        let first = columns.dipole_responses(species).start;
        of_dipoles.for_each_column(pair, first, |column, seed| {
            pair.add(rows, column, felt.dipole_gradient(seed, dipoles[there]));
        });
        for (field, seed) in of_dipoles.0[here].iter().enumerate() {
            let twice = if field == other { 2.0 } else { 1.0 };
            by_response[there][species * n + field] += felt.of_dipole(*seed * twice);
        }
    });
    for_each_direction(shape, around, |pair, felt| {
        let ([here, _], [species, source]) = (pair.atoms, pair.species);
        let z = charges[source];
        for other in 0..n {
            let product = columns.dipole_products().start + pair_index(species, other, n);
            pair.add(rows, product, felt.field_gradient(by_product[here][other]) * z);
            for field in 0..n {
                let column = columns.dipole_responses(other).start + pair_index(species, field, n);
                pair.add(rows, column, felt.field_gradient(by_response[here][other * n + field]) * z);
            }
        }
    });
}

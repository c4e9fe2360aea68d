//! Rows of the linear model: how energy, forces and stress of a configuration depend on each coefficient.
//!
//! The model is linear, so the derivative of the energy with respect to a coefficient is the energy of the model in
//! which only this coefficient is not zero: rows of bonds come from the same kernel that moves the atoms. Those of charges and
//! dipoles are derived by themselves, without tables (`electrostatic/rows`), and a test compares them.

use super::Evaluation;
use super::bispectrum::Bispectrum;
use super::electrostatic::{Surroundings, add_electrostatic_rows};
use super::grouping::{Grouping, LaneSlots, Neighbor, collect_neighbors};
use super::linear::{for_each_lane, outer};
use super::model::{Model, pair_index};
use super::pair_function::{basis_function, fixed_function};
use super::similarity::{SimilarityGradients, SimilarityKernel};
use crate::{Atoms, Error, NeighborList};
use glam::{DMat3, DVec3};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Whether all central species share one set of intercept and bispectrum coefficients (as in the paper) or each has
/// its own. Two-body coefficients always belong to the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// One set for all.
    Shared,
    /// One set each.
    PerSpecies,
}

/// Which coefficient stands in which column: intercepts, bispectrum coefficients (by set, channel, component),
/// two-body coefficients (by pair, kernel), similarities (by central species, reference), products of charges (by pair), responses to
/// fields (by central species, pair), products of polarisabilities (by pair), responses to fields of dipoles (by central species, pair).
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    sharing: Sharing,
    n_sets: usize,
    n_channels: usize,
    n_components: usize,
    n_species: usize,
    n_pairs: usize,
    n_kernels: usize,
    /// By central species.
    n_references: Vec<usize>,
    has_charges: bool,
    has_dipoles: bool,
}

impl Columns {
    /// The columns of a model with this structure.
    pub fn new(model: &Model, sharing: Sharing) -> Self {
        let n_species = model.central.len();
        Self {
            sharing,
            n_sets: if sharing == Sharing::Shared { 1 } else { n_species },
            n_channels: model.n_channels(),
            n_components: super::coupling::component_triples(model.many_body.two_j_max).len(),
            n_species,
            n_pairs: n_species * (n_species + 1) / 2,
            has_charges: model.electrostatic.is_some(),
            has_dipoles: model.electrostatic.as_ref().is_some_and(|e| e.dipoles.is_some()),
            n_kernels: model.pair.as_ref().map_or(0, |p| p.centers_angstrom.len()),
            n_references: model
                .central
                .iter()
                .map(|c| c.similarity.as_ref().map_or(0, |s| s.references.len()))
                .collect(),
        }
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.dipole_responses(self.n_species).start
    }

    /// True if there are no columns.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn set(&self, species: usize) -> usize {
        if self.sharing == Sharing::Shared { 0 } else { species }
    }

    /// Columns of all intercepts.
    pub fn intercepts(&self) -> Range<usize> {
        0..self.n_sets
    }

    /// Column of the intercept of a central species.
    pub fn intercept(&self, species: usize) -> usize {
        self.set(species)
    }

    /// Columns of the components of one channel around a central species.
    pub fn many_body(&self, species: usize, channel: usize) -> Range<usize> {
        let start = self.n_sets + (self.set(species) * self.n_channels + channel) * self.n_components;
        start..start + self.n_components
    }

    /// Columns of the kernels of a pair of species (see [`pair_index`]).
    pub fn pair(&self, pair: usize) -> Range<usize> {
        let start = self.n_sets * (1 + self.n_channels * self.n_components) + pair * self.n_kernels;
        start..start + self.n_kernels
    }

    /// Columns of the similarities of a central species, by reference; none in a model without. They belong to the species even where
    /// central species share the coefficients of their components.
    pub fn similarities(&self, species: usize) -> Range<usize> {
        let start = self.pair(self.n_pairs).start + self.n_references[..species].iter().sum::<usize>();
        start..start + self.n_references.get(species).unwrap_or(&0)
    }

    /// Columns of the products of charges, by pair of species; none in a model without charges.
    pub fn charges(&self) -> Range<usize> {
        let start = self.similarities(self.n_species).start;
        start..start + if self.has_charges { self.n_pairs } else { 0 }
    }

    /// Columns of the responses of a central species, by pair of species; none in a model without charges.
    pub fn responses(&self, species: usize) -> Range<usize> {
        let (charges, n) = (self.charges(), self.charges().len());
        charges.end + species * n..charges.end + (species + 1) * n
    }

    /// Columns of the products of polarisabilities, by pair of species; none in a model whose dipoles do not act on each other.
    pub fn dipole_products(&self) -> Range<usize> {
        let start = self.responses(self.n_species).start;
        start..start + if self.has_dipoles { self.n_pairs } else { 0 }
    }

    /// Columns of the responses of a central species to fields of dipoles, by pair of species; none in such a model.
    pub fn dipole_responses(&self, species: usize) -> Range<usize> {
        let (products, n) = (self.dipole_products(), self.dipole_products().len());
        products.end + species * n..products.end + (species + 1) * n
    }

    /// Number of species.
    pub(super) fn n_species(&self) -> usize {
        self.n_species
    }
}

/// How the energy of one configuration and its derivatives depend on the coefficients.
#[derive(Clone, Debug)]
pub struct DesignRows {
    /// Energy in eV per unit of each coefficient.
    pub energy: Vec<f64>,
    /// Forces, row-major: row 3 * atom + axis.
    pub forces: Vec<f64>,
    /// Derivative of the energy with respect to strain, row-major: xx yy zz yz xz xy. Stress: divide by the volume.
    pub strain: Vec<f64>,
    /// What does not depend on the coefficients: ZBL and its side of the bridge.
    pub fixed: Evaluation,
}

/// Components of a strain.
const STRAINS: usize = 6;

/// The rows as they are made, column by column: what is added to one column lies together.
pub(super) struct RowsByColumn {
    energy: Vec<f64>,
    /// For each column the forces on all atoms, then strain.
    derivatives: Vec<f64>,
    n_atoms: usize,
    fixed: Evaluation,
}

impl RowsByColumn {
    fn zero(n_atoms: usize, n_columns: usize) -> Self {
        let fixed =
            Evaluation { energies_ev: vec![0.0; n_atoms], forces: vec![DVec3::ZERO; n_atoms], ..Evaluation::default() };
        let derivatives = vec![0.0; n_columns * (3 * n_atoms + STRAINS)];
        Self { energy: vec![0.0; n_columns], derivatives, n_atoms, fixed }
    }

    fn into_rows(self) -> DesignRows {
        let (n, length) = (self.energy.len(), 3 * self.n_atoms + STRAINS);
        let mut rows = vec![0.0; self.derivatives.len()];
        // A few columns at a time: their part of a row is a cache line.
        for (first, columns) in self.derivatives.chunks(8 * length).enumerate() {
            for row in 0..length {
                let part = columns.iter().skip(row).step_by(length);
                rows[row * n + 8 * first..].iter_mut().zip(part).for_each(|(slot, x)| *slot = *x);
            }
        }
        let strain = rows.split_off(3 * self.n_atoms * n);
        DesignRows { energy: self.energy, forces: rows, strain, fixed: self.fixed }
    }

    pub(super) fn add_energy(&mut self, column: usize, energy: f64) {
        self.energy[column] += energy;
    }

    /// Adds the derivative of a site energy with respect to the vector from `atom` to `other`.
    pub(super) fn add_gradient(&mut self, column: usize, [atom, other]: [usize; 2], vector: DVec3, gradient: DVec3) {
        let length = 3 * self.n_atoms + STRAINS;
        let column = &mut self.derivatives[column * length..][..length];
        for (axis, g) in gradient.to_array().into_iter().enumerate() {
            column[3 * atom + axis] += g;
            column[3 * other + axis] -= g;
        }
        let (v, g) = (vector, gradient);
        let shear = |a: f64, b: f64| 0.5 * (a + b);
        let strain = [
            v.x * g.x,
            v.y * g.y,
            v.z * g.z,
            shear(v.y * g.z, v.z * g.y),
            shear(v.x * g.z, v.z * g.x),
            shear(v.x * g.y, v.y * g.x),
        ];
        column[3 * self.n_atoms..].iter_mut().zip(strain).for_each(|(sum, value)| *sum += value);
    }

    fn add_fixed(&mut self, [atom, other]: [usize; 2], vector: DVec3, energy: f64, gradient: DVec3) {
        self.fixed.energies_ev[atom] += energy;
        self.fixed.forces[atom] += gradient;
        self.fixed.forces[other] -= gradient;
        let strain = outer(vector, gradient);
        self.fixed.strain_derivative_ev += (strain + strain.transpose()) * 0.5;
    }
}

/// The rows of one configuration. The model's coefficients are not used, only its structure.
pub fn design_rows(
    model: &Model,
    columns: &Columns,
    atoms: &Atoms,
    neighbors: &NeighborList,
) -> Result<DesignRows, Error> {
    let species = model.species();
    let grouping = Grouping::new(atoms, &species)?;
    let kernel = Bispectrum::new(model);
    let units = unit_coefficients(&kernel, columns);
    let translations = neighbors.cartesian_translations(&atoms.cell);
    let mut rows = RowsByColumn::zero(atoms.len(), columns.len());
    rows.fixed.strain_derivative_ev = DMat3::ZERO;
    let (mut work, mut slots) = (kernel.workspace(), LaneSlots::new());
    let similarities = SimilarityKernel::of(model, kernel.level);
    for group in &grouping.groups {
        let members = &grouping.order[group.atoms.clone()];
        for atom in members {
            rows.energy[columns.intercept(usize::from(grouping.species[*atom as usize]))] += 1.0;
        }
        let pair = |n: &Neighbor| add_pair(model, columns, group.central, members, neighbors, n, &mut rows);
        let reach = model.bond_cutoff_angstrom();
        collect_neighbors(
            &kernel,
            &grouping,
            group,
            atoms,
            neighbors,
            &translations,
            reach,
            &mut work,
            &mut slots,
            pair,
        )?;
        kernel.densities(group.central, &mut work);
        let mut similarity = similarities.get(group.central).map(|s| SimilarityGradients::new(s, &kernel, &mut work));
        for (channel, units) in units.iter().enumerate() {
            for (column, unit) in columns.many_body(group.central, channel).zip(units) {
                kernel.energies_and_gradients(unit, &mut work);
                rows.energy[column] += work.energies.0[..members.len()].iter().sum::<f64>();
                for_each_lane(&work, &slots, |lane, slot, vector, gradient| {
                    let pair = [members[lane] as usize, neighbors.index[slot] as usize];
                    rows.add_gradient(column, pair, vector, gradient);
                });
                if let Some(similarity) = &mut similarity {
                    similarity.add_component(&work);
                }
            }
        }
        if let Some(similarity) = &mut similarity {
            for (reference, column) in columns.similarities(group.central).enumerate() {
                rows.energy[column] += similarity.gradients_of(reference, members.len(), &mut work);
                for_each_lane(&work, &slots, |lane, slot, vector, gradient| {
                    let pair = [members[lane] as usize, neighbors.index[slot] as usize];
                    rows.add_gradient(column, pair, vector, gradient);
                });
            }
        }
    }
    if let Some(electrostatic) = &model.electrostatic {
        let around = Surroundings::new(atoms, &grouping.species, neighbors);
        add_electrostatic_rows(columns, &electrostatic.shape, &around, &mut rows);
    }
    Ok(rows.into_rows())
}

/// For each channel and component the coefficients of the model in which only this component counts.
fn unit_coefficients(kernel: &Bispectrum, columns: &Columns) -> Vec<Vec<super::bispectrum::Coefficients>> {
    let unit = |channel: usize, component: usize| {
        let mut list = vec![vec![0.0; columns.n_components]; columns.n_channels];
        list[channel][component] = 1.0;
        kernel.arrange(&list)
    };
    (0..columns.n_channels).map(|c| (0..kernel.n_components()).map(|k| unit(c, k)).collect()).collect()
}

/// Adds half a bond, as seen from one of its atoms.
fn add_pair(
    model: &Model,
    columns: &Columns,
    central: usize,
    members: &[u32],
    neighbors: &NeighborList,
    n: &Neighbor,
    rows: &mut RowsByColumn,
) {
    let Some(term) = model.pair.as_ref().filter(|p| n.distance < p.cutoff_angstrom) else { return };
    let atoms = [members[n.lane] as usize, neighbors.index[n.slot] as usize];
    let direction = n.vector / n.distance;
    let pair = pair_index(central, n.species, model.central.len());
    for (column, center) in columns.pair(pair).zip(&term.centers_angstrom) {
        let [value, slope, _] = basis_function(term, *center, n.distance);
        rows.energy[column] += 0.5 * value;
        rows.add_gradient(column, atoms, n.vector, direction * (0.5 * slope));
    }
    let [a, b] = [central, n.species].map(|s| model.central[s].species);
    let [value, slope, _] = fixed_function(term, a, b, n.distance);
    rows.add_fixed(atoms, n.vector, 0.5 * value, direction * (0.5 * slope));
}

impl Model {
    /// The coefficients in the order of `columns`; of species that share them, those of the last one.
    pub fn coefficients(&self, columns: &Columns) -> Vec<f64> {
        let mut coefficients = vec![0.0; columns.len()];
        for (species, central) in self.central.iter().enumerate() {
            coefficients[columns.intercept(species)] = central.intercept_ev;
            for (channel, list) in central.coefficients_ev.iter().enumerate() {
                coefficients[columns.many_body(species, channel)].copy_from_slice(list);
            }
        }
        for (index, entry) in self.pair.iter().flat_map(|p| &p.pairs).enumerate() {
            coefficients[columns.pair(index)].copy_from_slice(&entry.coefficients_ev);
        }
        for (species, central) in self.central.iter().enumerate() {
            if let Some(similarity) = &central.similarity {
                coefficients[columns.similarities(species)].copy_from_slice(&similarity.coefficients_ev);
            }
        }
        if let Some(electrostatic) = &self.electrostatic {
            for (column, charge) in columns.charges().zip(&electrostatic.charges) {
                coefficients[column] = charge.product;
            }
            for (species, response) in electrostatic.responses.iter().enumerate() {
                coefficients[columns.responses(species)].copy_from_slice(&response.coefficients_angstrom3);
            }
            if let Some(dipoles) = &electrostatic.dipoles {
                for (column, product) in columns.dipole_products().zip(&dipoles.products) {
                    coefficients[column] = product.product_angstrom6;
                }
                for (species, response) in dipoles.responses.iter().enumerate() {
                    coefficients[columns.dipole_responses(species)].copy_from_slice(&response.coefficients_angstrom9);
                }
            }
        }
        coefficients
    }

    /// This model with other coefficients, in the order of `columns`.
    pub fn with_coefficients(&self, columns: &Columns, coefficients: &[f64]) -> Self {
        assert_eq!(coefficients.len(), columns.len(), "one coefficient per column");
        let mut model = self.clone();
        for (species, central) in model.central.iter_mut().enumerate() {
            central.intercept_ev = coefficients[columns.intercept(species)];
            central.coefficients_ev =
                (0..columns.n_channels).map(|c| coefficients[columns.many_body(species, c)].to_vec()).collect();
            if let Some(similarity) = &mut central.similarity {
                similarity.coefficients_ev = coefficients[columns.similarities(species)].to_vec();
            }
        }
        if let Some(pair) = &mut model.pair {
            for (index, entry) in pair.pairs.iter_mut().enumerate() {
                entry.coefficients_ev = coefficients[columns.pair(index)].to_vec();
            }
        }
        if let Some(electrostatic) = &mut model.electrostatic {
            for (column, charge) in columns.charges().zip(&mut electrostatic.charges) {
                charge.product = coefficients[column];
            }
            for (species, response) in electrostatic.responses.iter_mut().enumerate() {
                response.coefficients_angstrom3 = coefficients[columns.responses(species)].to_vec();
            }
            if let Some(dipoles) = &mut electrostatic.dipoles {
                for (column, product) in columns.dipole_products().zip(&mut dipoles.products) {
                    product.product_angstrom6 = coefficients[column];
                }
                for (species, response) in dipoles.responses.iter_mut().enumerate() {
                    response.coefficients_angstrom9 = coefficients[columns.dipole_responses(species)].to_vec();
                }
            }
        }
        model
    }
}

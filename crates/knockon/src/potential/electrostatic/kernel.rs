//! Charges, responses and dipoles made ready for evaluation.
//!
//! Pairs are many, so that as little as possible is done for each: tables hold functions of the squared distance, and one force is
//! found for both atoms in a last sweep through the pairs, when all fields are known.

use super::{Electrostatic, ElectrostaticShape, Felt};
use crate::neighbors::PairList;
use crate::potential::linear::outer;
use crate::potential::model::pair_index;
use crate::potential::square_table::SquareTable;
use crate::units::COULOMB_EV_ANGSTROM;
use crate::{Atoms, NeighborList};
use fearless_simd::{Level, dispatch};
use glam::{DMat3, DVec3};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::{AddAssign, Range};

/// Intervals of each segment of the tables. With the shapes in use values are right to 1e-8; forces are those of the energy with any.
const INTERVALS: usize = 1024;
/// Atoms whose pairs one task sums. Each of these blocks has sums of its own for all atoms, ...
const ATOMS_PER_BLOCK: usize = 512;
/// ... which would fill the memory if there were many blocks.
const MAX_BLOCKS: usize = 16;

/// The functions of the distance as tables, and the model's own coefficients.
pub(in crate::potential) struct ElectrostaticKernel {
    level: Level,
    squares: Range<f64>,
    /// Energy of elementary charges, and field over distance.
    table: SquareTable<2>,
    /// Slope of the latter, as it enters the field of a dipole. A table of its own: the slope of the other's cubic has kinks, with which
    /// forces between dipoles would jump.
    anisotropy: SquareTable<1>,
    /// Charges by species whose fields induce dipoles; empty if these do not act on each other.
    dipole_charges_e: Vec<f64>,
    coefficients: ElectrostaticCoefficients,
}

/// What multiplies the functions of the distance.
pub(in crate::potential) struct ElectrostaticCoefficients {
    /// By the species of the two atoms, in elementary charges squared.
    products: Vec<Vec<f64>>,
    /// By central species and pair of species, in angstrom^3.
    responses: Vec<Vec<f64>>,
    /// By the species of two dipoles, in angstrom^6; empty where dipoles do not act on each other.
    dipole_products: Vec<Vec<f64>>,
    /// By central species and pair of species, in angstrom^9; empty in the same case.
    dipole_responses: Vec<Vec<f64>>,
}

/// What all atoms feel, whatever the coefficients.
pub(in crate::potential) struct Fields {
    /// Of unit charges, by atom and species of the others, in 1/angstrom^2.
    of_charges: Vec<DVec3>,
    /// What the charges for dipoles induce in each atom of unit polarisability, in 1/angstrom^2; empty where dipoles do not act on each other.
    dipoles: Vec<DVec3>,
    /// Of these dipoles, by atom and species of the others, in 1/angstrom^5; empty in the same case.
    of_dipoles: Vec<DVec3>,
}

/// What is summed over the pairs of each atom, to one vector or more for each.
trait PairSums: Sync {
    /// Adds what the two atoms of a pair give each other.
    fn add(&self, kernel: &ElectrostaticKernel, pair: &Pair, sums: &mut [DVec3]);
}

/// Two atoms within reach.
struct Pair {
    atoms: [usize; 2],
    species: [usize; 2],
    /// From the first to the second.
    vector: DVec3,
    square: f64,
}

impl Pair {
    /// For either atom where its sums for the species of the other stand.
    #[inline(always)]
    fn slots(&self, n_species: usize) -> [usize; 2] {
        [self.atoms[0] * n_species + self.species[1], self.atoms[1] * n_species + self.species[0]]
    }
}

/// Fields of unit charges, by atom and species of the others.
struct OfCharges;

impl PairSums for OfCharges {
    #[inline(always)]
    fn add(&self, kernel: &ElectrostaticKernel, pair: &Pair, fields: &mut [DVec3]) {
        let [first, second] = pair.slots(kernel.coefficients.responses.len());
        let field = pair.vector * kernel.table.value(pair.square, 1);
        fields[first] += field;
        fields[second] -= field;
    }
}

/// Fields of dipoles, which are given by atom, by atom and species of the others.
struct OfDipoles<'a>(&'a [DVec3]);

impl PairSums for OfDipoles<'_> {
    #[inline(always)]
    fn add(&self, kernel: &ElectrostaticKernel, pair: &Pair, fields: &mut [DVec3]) {
        let [first, second] = pair.slots(kernel.coefficients.responses.len());
        let felt = kernel.felt_of_dipole(pair);
        fields[first] += felt.of_dipole(self.0[pair.atoms[1]]);
        fields[second] += felt.of_dipole(self.0[pair.atoms[0]]);
    }
}

/// Derivatives of the energy with respect to each dipole, from those with respect to the fields of dipoles, by atom and species of the others.
struct ToDipoles<'a>(&'a [DVec3]);

impl PairSums for ToDipoles<'_> {
    #[inline(always)]
    fn add(&self, kernel: &ElectrostaticKernel, pair: &Pair, derivatives: &mut [DVec3]) {
        let [first, second] = pair.slots(kernel.coefficients.responses.len());
        let felt = kernel.felt_of_dipole(pair);
        derivatives[pair.atoms[1]] += felt.of_dipole(self.0[first]);
        derivatives[pair.atoms[0]] += felt.of_dipole(self.0[second]);
    }
}

/// Derivatives of the energy.
struct Derivatives<'a> {
    /// With respect to the fields of charges, by atom and species of the others.
    of_charges: Vec<DVec3>,
    /// With respect to the fields of dipoles, in the same order; empty where dipoles do not act on each other.
    of_dipoles: Vec<DVec3>,
    /// The dipoles themselves, by atom; empty in the same case.
    dipoles: &'a [DVec3],
}

/// Atoms that feel each other's charges.
pub(in crate::potential) struct Surroundings<'a> {
    pub(in crate::potential) atoms: &'a Atoms,
    /// Species index of each atom.
    pub(in crate::potential) species: &'a [u8],
    pairs: Cow<'a, PairList>,
}

impl<'a> Surroundings<'a> {
    pub(in crate::potential) fn new(atoms: &'a Atoms, species: &'a [u8], neighbors: &'a NeighborList) -> Self {
        Self { atoms, species, pairs: neighbors.all_pairs() }
    }

    /// Pairs of one atom: translations in angstrom and which atoms they bring near.
    #[inline(always)]
    fn groups(&self, atom: usize) -> impl Iterator<Item = (DVec3, &[u32])> {
        self.pairs.groups(atom).map(|(t, others)| (self.atoms.cell.vectors * t.as_dvec3(), others))
    }

    /// Calls `visit` with every pair whose charges are felt; without tables.
    pub(in crate::potential) fn for_each_pair(
        &self,
        shape: &ElectrostaticShape,
        mut visit: impl FnMut([usize; 2], &Felt),
    ) {
        let pairs = (0..self.atoms.len()).flat_map(|atom| {
            let pair = move |translation: DVec3, other: &u32| (atom, *other as usize, translation);
            self.groups(atom).flat_map(move |(translation, others)| others.iter().map(move |o| pair(translation, o)))
        });
        for (atom, other, translation) in pairs {
            let vector = self.atoms.positions[other] + translation - self.atoms.positions[atom];
            if vector.length_squared() < shape.cutoff_angstrom.powi(2) {
                visit([atom, other], &shape.felt(vector));
            }
        }
    }

    /// What `of_block` gives for blocks of atoms. Their number depends on that of the atoms alone, so that sums over blocks
    /// do not depend on the number of threads.
    fn in_blocks<T: Send>(&self, of_block: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
        let n_atoms = self.atoms.len();
        let n_blocks = (n_atoms / ATOMS_PER_BLOCK).clamp(1, MAX_BLOCKS);
        let first = |block: usize| block * n_atoms / n_blocks;
        (0..n_blocks).into_par_iter().map(|block| of_block(first(block)..first(block + 1))).collect()
    }
}

/// A group of pairs of one atom, those within reach: other atom, vector to it, square of the distance.
#[derive(Default)]
struct Found {
    atoms: Vec<u32>,
    vectors: Vec<DVec3>,
    squares: Vec<f64>,
    n: usize,
}

impl Found {
    /// Makes room for so many.
    fn grow(&mut self, n: usize) {
        if self.atoms.len() < n {
            self.atoms.resize(n, 0);
            self.vectors.resize(n, DVec3::ZERO);
            self.squares.resize(n, 0.0);
        }
    }

    #[inline(always)]
    fn iter(&self) -> impl Iterator<Item = (usize, DVec3, f64)> {
        let others = self.atoms[..self.n].iter().zip(&self.vectors).zip(&self.squares);
        others.map(|((atom, vector), square)| (*atom as usize, *vector, *square))
    }
}

/// What charges and responses add to a box.
pub(in crate::potential) struct ElectrostaticSums {
    /// Energy of each atom in eV; pair energies are shared equally.
    pub(in crate::potential) energies_ev: Vec<f64>,
    /// Force on each atom in eV/angstrom.
    pub(in crate::potential) forces: Vec<DVec3>,
    /// Derivative with respect to a homogeneous strain, before it is made symmetric.
    pub(in crate::potential) strain_ev: DMat3,
}

/// The same from the pairs of a block of atoms.
struct BlockSums {
    energies_ev: Vec<f64>,
    forces: Vec<DVec3>,
    /// What lattice translations add to the strain derivative.
    translated_ev: DMat3,
}

impl ElectrostaticKernel {
    pub(in crate::potential) fn new(electrostatic: &Electrostatic) -> Self {
        let (shape, switch) = (&electrostatic.shape, electrostatic.shape.inner_switch);
        let (start, end, cutoff) = (switch.start_angstrom, switch.end_angstrom, shape.cutoff_angstrom);
        // All functions change fastest where they begin: as many intervals there as farther out.
        let knots = [start, end, (end * cutoff).sqrt(), cutoff];
        Self {
            level: Level::new(),
            squares: start * start..cutoff * cutoff,
            table: SquareTable::new(&knots, INTERVALS, |r| shape.radial(r)),
            anisotropy: SquareTable::new(&knots, INTERVALS, |r| [shape.anisotropy(r)]),
            dipole_charges_e: shape.dipole_charges_e.clone(),
            coefficients: ElectrostaticCoefficients::new(electrostatic),
        }
    }

    /// The same with other vector instructions.
    pub(in crate::potential) fn at_level(self, level: Level) -> Self {
        Self { level, ..self }
    }

    /// The pairs of an atom at `position` with others.
    #[inline(always)]
    fn collect(&self, positions: &[DVec3], position: DVec3, others: &[u32], found: &mut Found) {
        found.grow(others.len());
        found.n = 0;
        for other in others {
            let vector = positions[*other as usize] - position;
            let square = vector.length_squared();
            // Written in any case, kept if it is within reach: no branch that has to be guessed.
            (found.atoms[found.n], found.vectors[found.n], found.squares[found.n]) = (*other, vector, square);
            found.n += usize::from(square > self.squares.start && square < self.squares.end);
        }
    }

    /// What two atoms feel of each other's charges; zero for their dipoles.
    #[inline(always)]
    fn felt(&self, vector: DVec3, square: f64) -> Felt {
        let ([energy, field], [energy_slope, field_slope]) = self.table.evaluate(square);
        Felt { vector, energy, energy_slope, field, field_slope, anisotropy: 0.0, anisotropy_slope: 0.0 }
    }

    /// The same with what dipoles feel of each other.
    #[inline(always)]
    pub(super) fn felt_with_dipoles(&self, vector: DVec3, square: f64) -> Felt {
        let ([anisotropy], [anisotropy_slope]) = self.anisotropy.evaluate(square);
        Felt { anisotropy, anisotropy_slope, ..self.felt(vector, square) }
    }

    /// What is needed of a pair for the fields of its dipoles alone.
    #[inline(always)]
    fn felt_of_dipole(&self, pair: &Pair) -> Felt {
        let (field, anisotropy) = (self.table.value(pair.square, 1), self.anisotropy.value(pair.square, 0));
        Felt { vector: pair.vector, field, anisotropy, ..Felt::default() }
    }

    /// Sums over the pairs of all atoms, `n_sums` vectors in all.
    fn sum_pairs(&self, around: &Surroundings<'_>, n_sums: usize, of_pairs: &impl PairSums) -> Vec<DVec3> {
        let blocks = around.in_blocks(|atoms| {
            let (mut found, mut sums) = (Found::default(), vec![DVec3::ZERO; n_sums]);
            for atom in atoms {
                dispatch!(self.level, _simd => self.sum_pairs_of(around, atom, of_pairs, &mut found, &mut sums));
            }
            sums
        });
        sum(blocks)
    }

    #[inline(always)]
    fn sum_pairs_of(
        &self,
        around: &Surroundings<'_>,
        atom: usize,
        of_pairs: &impl PairSums,
        found: &mut Found,
        sums: &mut [DVec3],
    ) {
        let central = usize::from(around.species[atom]);
        let positions = &around.atoms.positions[..];
        for (translation, others) in around.groups(atom) {
            self.collect(positions, positions[atom] - translation, others, found);
            for (other, vector, square) in found.iter() {
                let species = [central, usize::from(around.species[other])];
                of_pairs.add(self, &Pair { atoms: [atom, other], species, vector, square }, sums);
            }
        }
    }

    /// Fields of charges, and of the dipoles that they induce, on all atoms.
    pub(in crate::potential) fn fields(&self, around: &Surroundings<'_>) -> Fields {
        let n_species = self.coefficients.responses.len();
        let n_fields = around.atoms.len() * n_species;
        let of_charges = self.sum_pairs(around, n_fields, &OfCharges);
        if self.dipole_charges_e.is_empty() {
            return Fields { of_charges, dipoles: Vec::new(), of_dipoles: Vec::new() };
        }
        let dipole = |fields: &[DVec3]| fields.iter().zip(&self.dipole_charges_e).map(|(field, z)| *field * *z).sum();
        let dipoles: Vec<DVec3> = of_charges.chunks_exact(n_species).map(dipole).collect();
        let of_dipoles = self.sum_pairs(around, n_fields, &OfDipoles(&dipoles));
        Fields { of_charges, dipoles, of_dipoles }
    }

    /// What the model's own coefficients give.
    pub(in crate::potential) fn sums(&self, around: &Surroundings<'_>, fields: &Fields) -> ElectrostaticSums {
        self.sums_with(&self.coefficients, around, fields)
    }

    /// What these coefficients give in these fields.
    pub(in crate::potential) fn sums_with(
        &self,
        coefficients: &ElectrostaticCoefficients,
        around: &Surroundings<'_>,
        fields: &Fields,
    ) -> ElectrostaticSums {
        let n_atoms = around.atoms.len();
        let (responses, derivatives) = self.respond(coefficients, around, fields);
        let blocks = around.in_blocks(|atoms| {
            let mut found = Found::default();
            let mut sums = BlockSums {
                energies_ev: vec![0.0; n_atoms],
                forces: vec![DVec3::ZERO; n_atoms],
                translated_ev: DMat3::ZERO,
            };
            for atom in atoms {
                dispatch!(self.level, _simd => if derivatives.dipoles.is_empty() {
                    self.add_pairs::<false>(coefficients, around, &derivatives, atom, &mut found, &mut sums)
                } else {
                    self.add_pairs::<true>(coefficients, around, &derivatives, atom, &mut found, &mut sums)
                });
            }
            sums
        });
        let translated: DMat3 = blocks.iter().map(|sums| sums.translated_ev).sum();
        let (mut energies, forces): (Vec<_>, Vec<_>) = blocks.into_iter().map(|s| (s.energies_ev, s.forces)).unzip();
        energies.push(responses);
        let (energies_ev, forces) = (sum(energies), sum(forces));
        // The strain derivative is the sum over pairs of (r_j + translation - r_i) g^T, where g is the force on i and -g that on j:
        // sums over atoms of -r f^T, and over groups of pairs of translation g^T.
        let inside: DMat3 = around.atoms.positions.iter().zip(&forces).map(|(r, f)| outer(*r, *f)).sum();
        ElectrostaticSums { energies_ev, forces, strain_ev: translated - inside }
    }

    /// Energies of all atoms in their fields, and their derivatives with respect to these.
    fn respond<'a>(
        &self,
        coefficients: &ElectrostaticCoefficients,
        around: &Surroundings<'_>,
        fields: &'a Fields,
    ) -> (Vec<f64>, Derivatives<'a>) {
        let n_species = coefficients.responses.len();
        let zero = |like: &[DVec3]| vec![DVec3::ZERO; like.len()];
        let (mut of_charges, mut of_dipoles) = (zero(&fields.of_charges), zero(&fields.of_dipoles));
        let mut to_dipoles = zero(&fields.dipoles);
        let mut energies = Vec::with_capacity(around.atoms.len());
        for (atom, species) in around.species.iter().map(|s| usize::from(*s)).enumerate() {
            let own = atom * n_species..(atom + 1) * n_species;
            let charges = (&fields.of_charges[own.clone()], &mut of_charges[own.clone()]);
            let mut energy = response_energy(&coefficients.responses[species], charges.0, charges.1);
            if let Some(dipole) = fields.dipoles.get(atom) {
                let felt = (&fields.of_dipoles[own.clone()], &mut of_dipoles[own]);
                energy += response_energy(&coefficients.dipole_responses[species], felt.0, felt.1);
                // Half of the energy of two dipoles for each.
                for ((product, field), derivative) in
                    coefficients.dipole_products[species].iter().zip(felt.0).zip(felt.1)
                {
                    let half = 0.5 * COULOMB_EV_ANGSTROM * product;
                    energy += half * dipole.dot(*field);
                    *derivative += *dipole * half;
                    to_dipoles[atom] += *field * half;
                }
            }
            energies.push(energy);
        }
        if !fields.dipoles.is_empty() {
            let from_fields = self.sum_pairs(around, fields.dipoles.len(), &ToDipoles(&of_dipoles));
            let of_atoms = of_charges.chunks_exact_mut(n_species).zip(to_dipoles.iter().zip(&from_fields));
            for (derivatives, (direct, from_fields)) in of_atoms {
                let of_dipole = *direct + *from_fields;
                derivatives.iter_mut().zip(&self.dipole_charges_e).for_each(|(d, z)| *d += of_dipole * *z);
            }
        }
        (energies, Derivatives { of_charges, of_dipoles, dipoles: &fields.dipoles })
    }

    /// Adds the energies and forces of the pairs of one atom. The two atoms feel each other's charge, and each of them,
    /// through its response, how the other changes its fields.
    #[inline(always)]
    fn add_pairs<const DIPOLES: bool>(
        &self,
        coefficients: &ElectrostaticCoefficients,
        around: &Surroundings<'_>,
        derivatives: &Derivatives<'_>,
        atom: usize,
        found: &mut Found,
        sums: &mut BlockSums,
    ) {
        let n_species = coefficients.responses.len();
        let central = usize::from(around.species[atom]);
        let of_charges = &derivatives.of_charges;
        let (products, own) = (&coefficients.products[central], &of_charges[atom * n_species..][..n_species]);
        let (positions, mut energy) = (&around.atoms.positions[..], 0.0);
        for (translation, others) in around.groups(atom) {
            let mut force = DVec3::ZERO;
            self.collect(positions, positions[atom] - translation, others, found);
            for (other, vector, square) in found.iter() {
                let species = usize::from(around.species[other]);
                let felt = if DIPOLES { self.felt_with_dipoles(vector, square) } else { self.felt(vector, square) };
                let difference = own[species] - of_charges[other * n_species + central];
                let mut gradient = felt.energy_gradient() * products[species] + felt.field_gradient(difference);
                if DIPOLES {
                    let (dipoles, of_dipoles) = (derivatives.dipoles, &derivatives.of_dipoles);
                    let (here, there) =
                        (of_dipoles[atom * n_species + species], of_dipoles[other * n_species + central]);
                    gradient += felt.dipole_gradient(here, dipoles[other]) + felt.dipole_gradient(there, dipoles[atom]);
                }
                let half = 0.5 * products[species] * felt.energy;
                energy += half;
                sums.energies_ev[other] += half;
                force += gradient;
                sums.forces[other] -= gradient;
            }
            sums.forces[atom] += force;
            sums.translated_ev += outer(translation, force);
        }
        sums.energies_ev[atom] += energy;
    }
}

/// Adds lists element by element, in their order.
fn sum<T: Copy + AddAssign + Send + Sync>(lists: Vec<Vec<T>>) -> Vec<T> {
    let mut lists = lists.into_iter();
    let (mut sums, rest) = (lists.next().unwrap_or_default(), lists.collect::<Vec<_>>());
    sums.par_iter_mut().enumerate().for_each(|(k, sum)| rest.iter().for_each(|list| *sum += list[k]));
    sums
}

impl ElectrostaticCoefficients {
    pub(in crate::potential) fn new(electrostatic: &Electrostatic) -> Self {
        let n = electrostatic.responses.len();
        let product = |a: usize, b: usize| electrostatic.charges[pair_index(a, b, n)].product;
        Self {
            products: (0..n).map(|a| (0..n).map(|b| product(a, b)).collect()).collect(),
            responses: electrostatic.responses.iter().map(|r| r.coefficients_angstrom3.clone()).collect(),
            dipole_products: match &electrostatic.dipoles {
                Some(dipoles) => {
                    let product = |a: usize, b: usize| dipoles.products[pair_index(a, b, n)].product_angstrom6;
                    (0..n).map(|a| (0..n).map(|b| product(a, b)).collect()).collect()
                }
                None => Vec::new(),
            },
            dipole_responses: electrostatic
                .dipoles
                .iter()
                .flat_map(|d| &d.responses)
                .map(|r| r.coefficients_angstrom9.clone())
                .collect(),
        }
    }
}

/// Energy in eV of an atom with the responses `p` in these fields of the species, and its derivative with respect to each field.
fn response_energy(p: &[f64], fields: &[DVec3], derivatives: &mut [DVec3]) -> f64 {
    let n = fields.len();
    let mut energy = 0.0;
    derivatives.fill(DVec3::ZERO);
    for a in 0..n {
        for b in a..n {
            let p = COULOMB_EV_ANGSTROM * p[pair_index(a, b, n)];
            energy += p * fields[a].dot(fields[b]);
            derivatives[a] += fields[b] * p;
            derivatives[b] += fields[a] * p;
        }
    }
    energy
}

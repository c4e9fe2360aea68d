//! What atoms feel of each other beyond bonds: charges, and polarisation by the fields of charges.
//!
//! E = sum over pairs q_ab v(r) + sum over atoms i and pairs of species a <= b of p_ab(species of i) k E_i^a . E_i^b,
//! E_i^a = sum over neighbours of species a of (unit vector to the neighbour) g(r).
//!
//! v is the Coulomb energy of two elementary charges, damped and shifted to end with its slope at the cutoff (Fennell and Gezelter,
//! J. Chem. Phys. 124, 234104 (2006)), so that no sum over the periodic lattice is needed; with a switch that ends without
//! curvature so does v. g is the field of a charge spread over a Gaussian, taken to zero by the switch. Both are switched off towards short range, where two-body functions
//! and ZBL act. k is the Coulomb constant. Products of charges q_ab and responses p_ab are coefficients of the linear
//! model like all others: induced dipoles have the energy -alpha/2 (sum of q_a E^a)^2, a quadratic form in the fields.

use super::cutoff_switch::CutoffSwitch;
use super::linear::outer;
use super::model::{InnerSwitch, pair_index};
use super::pair_function::{Jet, product};
use super::square_table::SquareTable;
use crate::neighbors::PairList;
use crate::units::COULOMB_EV_ANGSTROM;
use crate::{Atoms, NeighborList, Species};
use fearless_simd::{Level, dispatch};
use glam::{DMat3, DVec3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::ops::{AddAssign, Range};

/// 2 / sqrt(pi).
const TWO_OVER_ROOT_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI;
/// Intervals of each segment of the table. With the shapes in use values are right to 1e-8; forces are those of the energy with any.
const INTERVALS: usize = 1024;
/// Atoms whose pairs one task sums. Each of these blocks has sums of its own for all atoms, ...
const ATOMS_PER_BLOCK: usize = 512;
/// ... which would fill the memory if there were many blocks.
const MAX_BLOCKS: usize = 16;

/// Charges and responses, with what shapes their functions of the distance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Electrostatic {
    /// Shapes of the two functions of the distance.
    pub shape: ElectrostaticShape,
    /// Product of the charges of two species, for each unordered pair in the order of [`pair_index`].
    pub charges: Vec<ChargeProduct>,
    /// How atoms of each species respond to fields, in the order of the model.
    pub responses: Vec<FieldResponse>,
}

/// Shapes of the functions of the distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElectrostaticShape {
    /// Both functions vanish from here on.
    pub cutoff_angstrom: f64,
    /// The Coulomb energy falls as erfc(damping r) / r.
    pub damping_per_angstrom: f64,
    /// The field is that of a Gaussian charge erf(smoothing r).
    pub smoothing_per_angstrom: f64,
    /// Where both are switched off towards short range.
    pub inner_switch: InnerSwitch,
    /// How the field is taken to zero at the cutoff; the energy is shifted to end there as smoothly.
    #[serde(default, skip_serializing_if = "CutoffSwitch::is_cosine")]
    pub cutoff_switch: CutoffSwitch,
}

/// One unordered pair of species.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChargeProduct {
    /// The two elements.
    pub species: [Species; 2],
    /// Product of their charges in units of the elementary charge squared.
    pub product: f64,
}

/// One central species.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldResponse {
    /// The element.
    pub species: Species,
    /// p_ab for each unordered pair of neighbour species in the order of [`pair_index`].
    pub coefficients_angstrom3: Vec<f64>,
}

impl ElectrostaticShape {
    /// Energy of two elementary charges in eV at distance `r`, with its first two derivatives.
    pub fn energy(&self, r: f64) -> Jet {
        if r >= self.cutoff_angstrom || r <= self.inner_switch.start_angstrom {
            return [0.0; 3];
        }
        let end = damped(self.damping_per_angstrom, self.cutoff_angstrom);
        let [value, slope, curvature] = damped(self.damping_per_angstrom, r);
        let (x, end_curvature) = (r - self.cutoff_angstrom, if self.cutoff_switch.is_cosine() { 0.0 } else { end[2] });
        let shifted = [
            value - end[0] - x * (end[1] + 0.5 * x * end_curvature),
            slope - end[1] - x * end_curvature,
            curvature - end_curvature,
        ];
        product(shifted, self.inner_switch.jet(r)).map(|x| x * COULOMB_EV_ANGSTROM)
    }

    /// Field of an elementary charge in 1/angstrom^2 (in units of the elementary charge), with its first two derivatives.
    pub fn field(&self, r: f64) -> Jet {
        if r >= self.cutoff_angstrom || r <= self.inner_switch.start_angstrom {
            return [0.0; 3];
        }
        let taper = self.cutoff_switch.jet(0.0, self.cutoff_angstrom, r);
        product(product(smoothed(self.smoothing_per_angstrom, r), taper), self.inner_switch.jet(r))
    }

    /// The energy, and the field over the distance, each with its slope.
    fn radial(&self, r: f64) -> [[f64; 2]; 2] {
        let ([energy, energy_slope, _], [field, field_slope, _]) = (self.energy(r), self.field(r));
        [[energy, energy_slope], [field / r, (field_slope - field / r) / r]]
    }

    fn felt(&self, vector: DVec3) -> Felt {
        let r = vector.length();
        let [[energy, energy_slope], [field, field_slope]] = self.radial(r);
        let [energy_slope, field_slope] = [energy_slope, field_slope].map(|slope| 0.5 * slope / r);
        Felt { vector, energy, energy_slope, field, field_slope }
    }

    /// What does not fit, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        let (switch, cutoff) = (self.inner_switch, self.cutoff_angstrom);
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let complaint = |expected: &str, found: f64| Err(format!("expected electrostatic.{expected}, found {found}"));
        switch.check()?;
        if !positive(switch.start_angstrom) {
            return complaint("inner_switch.start_angstrom positive", switch.start_angstrom);
        }
        if !positive(cutoff) || cutoff <= switch.end_angstrom {
            return complaint("cutoff_angstrom beyond its inner switch", cutoff);
        }
        if !(self.damping_per_angstrom >= 0.0 && self.damping_per_angstrom.is_finite()) {
            return complaint("damping_per_angstrom zero or positive", self.damping_per_angstrom);
        }
        if !positive(self.smoothing_per_angstrom) {
            return complaint("smoothing_per_angstrom positive", self.smoothing_per_angstrom);
        }
        Ok(())
    }
}

/// erfc(a r) / r.
fn damped(a: f64, r: f64) -> Jet {
    let (c, g) = (libm::erfc(a * r), TWO_OVER_ROOT_PI * a * libm::exp(-(a * r).powi(2)));
    [c / r, -(c / r + g) / r, 2.0 * (c / r + g) / (r * r) + 2.0 * a * a * g]
}

/// erf(a r) / r^2 - 2 a / sqrt(pi) exp(-(a r)^2) / r: minus the slope of erf(a r) / r.
fn smoothed(a: f64, r: f64) -> Jet {
    let (e, g) = (libm::erf(a * r), TWO_OVER_ROOT_PI * a * libm::exp(-(a * r).powi(2)));
    let field = (e / r - g) / r;
    let a2 = a * a;
    [field, 2.0 * (a2 * g - field / r), 6.0 * field / (r * r) - 4.0 * a2 * g / r - 4.0 * a2 * a2 * r * g]
}

impl Electrostatic {
    /// No charges and no responses yet.
    pub fn empty(shape: ElectrostaticShape, species: &[Species]) -> Self {
        let n = species.len();
        let pairs = (0..n).flat_map(|a| (a..n).map(move |b| [a, b]));
        let charge = |pair: [usize; 2]| ChargeProduct { species: pair.map(|s| species[s]), product: 0.0 };
        let charges: Vec<ChargeProduct> = pairs.map(charge).collect();
        let response = |s: &Species| FieldResponse { species: *s, coefficients_angstrom3: vec![0.0; charges.len()] };
        Self { shape, responses: species.iter().map(response).collect(), charges }
    }

    /// What does not fit together, with the species in the order of the model, in words.
    pub(super) fn check(&self, species: &[Species]) -> Result<(), String> {
        self.shape.check()?;
        let expected = Self::empty(self.shape, species);
        let pair = |c: &ChargeProduct| format!("{}-{}", c.species[0], c.species[1]);
        let list = |names: Vec<String>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let pairs = |charges: &[ChargeProduct]| list(charges.iter().map(pair).collect());
        let [wanted, found] = [&expected, self].map(|e| pairs(&e.charges));
        if wanted != found {
            return Err(format!("expected electrostatic.charges of {wanted}, found {found}"));
        }
        let names = |responses: &[FieldResponse]| list(responses.iter().map(|r| r.species.to_string()).collect());
        let [wanted, found] = [&expected, self].map(|e| names(&e.responses));
        if wanted != found {
            return Err(format!("expected electrostatic.responses of {wanted}, found {found}"));
        }
        for response in &self.responses {
            let (n, found) = (self.charges.len(), response.coefficients_angstrom3.len());
            if n != found {
                return Err(format!("expected {n} electrostatic responses of {}, found {found}", response.species));
            }
        }
        let responses = self.responses.iter().flat_map(|r| &r.coefficients_angstrom3);
        match self.charges.iter().map(|c| &c.product).chain(responses).all(|x| x.is_finite()) {
            true => Ok(()),
            false => Err("expected finite electrostatic charges and responses".into()),
        }
    }
}

/// Charges and responses made ready for evaluation.
///
/// Pairs are many, so that as little as possible is done for each: tables hold functions of the squared distance, and one force is
/// found for both atoms in a second sweep through the pairs, when all fields are known.
pub(super) struct ElectrostaticKernel {
    level: Level,
    squares: Range<f64>,
    /// Energy of elementary charges, and field over distance.
    table: SquareTable<2>,
    coefficients: ElectrostaticCoefficients,
}

/// What multiplies the two functions of the distance.
pub(super) struct ElectrostaticCoefficients {
    /// By the species of the two atoms, in elementary charges squared.
    products: Vec<Vec<f64>>,
    /// By central species and pair of species, in angstrom^3.
    responses: Vec<Vec<f64>>,
}

/// Atoms that feel each other's charges.
pub(super) struct Surroundings<'a> {
    pub(super) atoms: &'a Atoms,
    /// Species index of each atom.
    pub(super) species: &'a [u8],
    pairs: Cow<'a, PairList>,
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(atoms: &'a Atoms, species: &'a [u8], neighbors: &'a NeighborList) -> Self {
        Self { atoms, species, pairs: neighbors.all_pairs() }
    }

    /// Pairs of one atom: translations in angstrom and which atoms they bring near.
    #[inline(always)]
    fn groups(&self, atom: usize) -> impl Iterator<Item = (DVec3, &[u32])> {
        self.pairs.groups(atom).map(|(t, others)| (self.atoms.cell.vectors * t.as_dvec3(), others))
    }

    /// Calls `visit` with every pair whose charges are felt; without tables.
    pub(super) fn for_each_pair(&self, shape: &ElectrostaticShape, mut visit: impl FnMut([usize; 2], &Felt)) {
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

/// One pair and the two functions of its distance.
pub(super) struct Felt {
    /// From the first atom to the second, in angstrom.
    pub(super) vector: DVec3,
    /// Energy of elementary charges in eV.
    pub(super) energy: f64,
    /// Its derivative with respect to the square of the distance.
    energy_slope: f64,
    /// Field of an elementary charge over the distance.
    pub(super) field: f64,
    /// Its derivative with respect to the square of the distance.
    field_slope: f64,
}

impl Felt {
    /// Derivative of the energy of elementary charges with respect to the vector.
    #[inline(always)]
    pub(super) fn energy_gradient(&self) -> DVec3 {
        self.vector * (2.0 * self.energy_slope)
    }

    /// Derivative of (field of one atom at the other) . `other` with respect to the vector to the one; the same in both
    /// directions.
    #[inline(always)]
    pub(super) fn field_gradient(&self, other: DVec3) -> DVec3 {
        other * self.field + self.vector * (2.0 * self.field_slope * self.vector.dot(other))
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
pub(super) struct ElectrostaticSums {
    /// Energy of each atom in eV; pair energies are shared equally.
    pub(super) energies_ev: Vec<f64>,
    /// Force on each atom in eV/angstrom.
    pub(super) forces: Vec<DVec3>,
    /// Derivative with respect to a homogeneous strain, before it is made symmetric.
    pub(super) strain_ev: DMat3,
}

/// The same from the pairs of a block of atoms.
struct BlockSums {
    energies_ev: Vec<f64>,
    forces: Vec<DVec3>,
    /// What lattice translations add to the strain derivative.
    translated_ev: DMat3,
}

impl ElectrostaticKernel {
    pub(super) fn new(electrostatic: &Electrostatic) -> Self {
        let (shape, switch) = (electrostatic.shape, electrostatic.shape.inner_switch);
        let (start, end, cutoff) = (switch.start_angstrom, switch.end_angstrom, shape.cutoff_angstrom);
        // Both functions change fastest where they begin: as many intervals there as farther out.
        let knots = [start, end, (end * cutoff).sqrt(), cutoff];
        Self {
            level: Level::new(),
            squares: start * start..cutoff * cutoff,
            table: SquareTable::new(&knots, INTERVALS, |r| shape.radial(r)),
            coefficients: ElectrostaticCoefficients::new(electrostatic),
        }
    }

    /// The same with other vector instructions.
    pub(super) fn at_level(self, level: Level) -> Self {
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

    #[inline(always)]
    fn felt(&self, vector: DVec3, square: f64) -> Felt {
        let ([energy, field], [energy_slope, field_slope]) = self.table.evaluate(square);
        Felt { vector, energy, energy_slope, field, field_slope }
    }

    /// Fields on each atom by species of the others, in 1/angstrom^2.
    pub(super) fn fields(&self, around: &Surroundings<'_>) -> Vec<DVec3> {
        let n_fields = around.atoms.len() * self.coefficients.responses.len();
        let blocks = around.in_blocks(|atoms| {
            let (mut found, mut fields) = (Found::default(), vec![DVec3::ZERO; n_fields]);
            for atom in atoms {
                dispatch!(self.level, _simd => self.add_fields(around, atom, &mut found, &mut fields));
            }
            fields
        });
        sum(blocks)
    }

    #[inline(always)]
    fn add_fields(&self, around: &Surroundings<'_>, atom: usize, found: &mut Found, fields: &mut [DVec3]) {
        let n_species = self.coefficients.responses.len();
        let central = usize::from(around.species[atom]);
        let positions = &around.atoms.positions[..];
        for (translation, others) in around.groups(atom) {
            self.collect(positions, positions[atom] - translation, others, found);
            for (other, vector, square) in found.iter() {
                let field = vector * self.table.value(square, 1);
                fields[atom * n_species + usize::from(around.species[other])] += field;
                fields[other * n_species + central] -= field;
            }
        }
    }

    /// What the model's own coefficients give.
    pub(super) fn sums(&self, around: &Surroundings<'_>, fields: &[DVec3]) -> ElectrostaticSums {
        self.sums_with(&self.coefficients, around, fields)
    }

    /// What these coefficients give in these fields.
    pub(super) fn sums_with(
        &self,
        coefficients: &ElectrostaticCoefficients,
        around: &Surroundings<'_>,
        fields: &[DVec3],
    ) -> ElectrostaticSums {
        let (n_atoms, n_species) = (around.atoms.len(), coefficients.responses.len());
        let mut derivatives = vec![DVec3::ZERO; fields.len()];
        let of_atoms = fields.chunks_exact(n_species).zip(derivatives.chunks_exact_mut(n_species));
        let respond = |(species, (fields, derivatives)): (&u8, (&[DVec3], &mut [DVec3]))| {
            response_energy(&coefficients.responses[usize::from(*species)], fields, derivatives)
        };
        let responses: Vec<f64> = around.species.iter().zip(of_atoms).map(respond).collect();
        let blocks = around.in_blocks(|atoms| {
            let mut found = Found::default();
            let mut sums = BlockSums {
                energies_ev: vec![0.0; n_atoms],
                forces: vec![DVec3::ZERO; n_atoms],
                translated_ev: DMat3::ZERO,
            };
            for atom in atoms {
                dispatch!(self.level, _simd => {
                    self.add_pairs(coefficients, around, &derivatives, atom, &mut found, &mut sums)
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

    /// Adds the energies and forces of the pairs of one atom. The two atoms feel each other's charge, and each of them,
    /// through its response, how the other changes its field.
    #[inline(always)]
    fn add_pairs(
        &self,
        coefficients: &ElectrostaticCoefficients,
        around: &Surroundings<'_>,
        derivatives: &[DVec3],
        atom: usize,
        found: &mut Found,
        sums: &mut BlockSums,
    ) {
        let n_species = coefficients.responses.len();
        let central = usize::from(around.species[atom]);
        let (products, own) = (&coefficients.products[central], &derivatives[atom * n_species..][..n_species]);
        let (positions, mut energy) = (&around.atoms.positions[..], 0.0);
        for (translation, others) in around.groups(atom) {
            let mut force = DVec3::ZERO;
            self.collect(positions, positions[atom] - translation, others, found);
            for (other, vector, square) in found.iter() {
                let (felt, species) = (self.felt(vector, square), usize::from(around.species[other]));
                let difference = own[species] - derivatives[other * n_species + central];
                let gradient = felt.energy_gradient() * products[species] + felt.field_gradient(difference);
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
    pub(super) fn new(electrostatic: &Electrostatic) -> Self {
        let n = electrostatic.responses.len();
        let product = |a: usize, b: usize| electrostatic.charges[pair_index(a, b, n)].product;
        Self {
            products: (0..n).map(|a| (0..n).map(|b| product(a, b)).collect()).collect(),
            responses: electrostatic.responses.iter().map(|r| r.coefficients_angstrom3.clone()).collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> ElectrostaticShape {
        ElectrostaticShape {
            cutoff_angstrom: 10.0,
            damping_per_angstrom: 0.2,
            smoothing_per_angstrom: 0.9,
            inner_switch: InnerSwitch { start_angstrom: 0.7, end_angstrom: 1.2 },
            cutoff_switch: CutoffSwitch::Cosine,
        }
    }

    /// Energy and field, with each switch.
    fn functions() -> [Box<dyn Fn(f64) -> Jet>; 4] {
        let (cosine, smoother) = (shape(), smoother_shape());
        [
            Box::new(move |r| cosine.energy(r)),
            Box::new(move |r| cosine.field(r)),
            Box::new(move |r| smoother.energy(r)),
            Box::new(move |r| smoother.field(r)),
        ]
    }

    fn smoother_shape() -> ElectrostaticShape {
        ElectrostaticShape { cutoff_switch: CutoffSwitch::Quintic, ..shape() }
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let h = 1e-5;
        for f in functions() {
            for r in [0.75, 1.1, 1.3, 2.2, 4.7, 9.5, 9.999] {
                let [low, mid, high] = [f(r - h), f(r), f(r + h)];
                for k in 0..2 {
                    let difference = (high[k] - low[k]) / (2.0 * h);
                    assert!((difference - mid[k + 1]).abs() < 1e-7 * (1.0 + mid[k + 1].abs()), "{k} at {r}");
                }
            }
        }
    }

    /// At distances between the switch and the cutoff: closed forms with the values of erf from tables (Abramowitz and Stegun, 7.1).
    #[test]
    fn functions_have_their_closed_forms() {
        let plain = ElectrostaticShape { damping_per_angstrom: 0.0, ..shape() };
        let expected = COULOMB_EV_ANGSTROM * (0.5 - 0.1 + (2.0 - 10.0) / 100.0);
        assert!((plain.energy(2.0)[0] - expected).abs() < 1e-12);
        // smoothing 0.5, r = 2: erf(1) = 0.8427007929, half a cosine at a fifth of the cutoff.
        let smooth = ElectrostaticShape { smoothing_per_angstrom: 0.5, ..shape() };
        let field = (0.842_700_792_9 / 2.0 - TWO_OVER_ROOT_PI * 0.5 * (-1.0_f64).exp()) / 2.0;
        let taper = 0.5 * (1.0 + (std::f64::consts::PI / 5.0).cos());
        assert!((smooth.field(2.0)[0] - field * taper).abs() < 1e-10);
        for (f, outside) in [(shape().energy(10.0), 10.0), (shape().field(0.7), 0.7), (shape().field(11.0), 11.0)] {
            assert_eq!(f, [0.0; 3], "at {outside}");
        }
    }

    #[test]
    fn forces_are_continuous_at_both_ends() {
        for f in functions() {
            for end in [0.7 + 1e-7, 10.0 - 1e-7] {
                assert!(f(end)[0].abs() < 1e-5 && f(end)[1].abs() < 1e-4, "{:?} at {end}", f(end));
            }
        }
    }

    #[test]
    fn the_smoother_switch_ends_without_curvature() {
        let end = 10.0 - 1e-7;
        for f in [smoother_shape().energy(end), smoother_shape().field(end)] {
            assert!(f.iter().all(|x| x.abs() < 1e-6), "{f:?}");
        }
        assert!(shape().energy(end)[2] > 5e-3 && shape().field(end)[2] > 4e-4);
    }

    #[test]
    fn gradients_are_those_of_energy_and_field() {
        let (vector, other) = (DVec3::new(1.3, -0.4, 2.1), DVec3::new(0.3, 0.9, -0.2));
        let felt = shape().felt(vector);
        for axis in 0..3 {
            let [low, high] = [-1e-5, 1e-5].map(|h| shape().felt(vector + DVec3::AXES[axis] * h));
            let energy = (high.energy - low.energy) / 2e-5;
            assert!((energy - felt.energy_gradient()[axis]).abs() < 1e-8, "energy, axis {axis}");
            let field = (other.dot(high.vector) * high.field - other.dot(low.vector) * low.field) / 2e-5;
            assert!((field - felt.field_gradient(other)[axis]).abs() < 1e-8, "field, axis {axis}");
        }
    }

    #[test]
    fn table_agrees_with_the_functions() {
        let kernel = ElectrostaticKernel::new(&Electrostatic::empty(shape(), &[]));
        for k in 0..10_000 {
            let r = 0.7 + 9.3 * (f64::from(k) + 0.5) / 10_000.0;
            let vector = DVec3::new(0.6, 0.0, -0.8) * r;
            let (found, exact) = (kernel.felt(vector, r * r), shape().felt(vector));
            let gradients = [&found, &exact].map(|felt| [felt.energy_gradient(), felt.field_gradient(DVec3::X)]);
            let values = [(found.energy, exact.energy), (found.field * r, exact.field * r)];
            let slopes = (0..2).flat_map(|k| (0..3).map(move |axis| (gradients[0][k][axis], gradients[1][k][axis])));
            let all = values.into_iter().map(|pair| (pair, 1e-8)).chain(slopes.map(|pair| (pair, 1e-6)));
            for ((found, expected), tolerance) in all {
                assert!((found - expected).abs() < tolerance * (1.0 + expected.abs()), "at {r}: {found} {expected}");
            }
        }
    }
}

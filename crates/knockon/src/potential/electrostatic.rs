//! What atoms feel of each other beyond bonds: charges, and polarisation by the fields of charges.
//!
//! E = sum over pairs q_ab v(r) + sum over atoms i and pairs of species a <= b of p_ab(species of i) k E_i^a . E_i^b,
//! E_i^a = sum over neighbours of species a of (unit vector to the neighbour) g(r).
//!
//! v is the Coulomb energy of two elementary charges, damped and shifted to end with its slope at the cutoff (Fennell and Gezelter,
//! J. Chem. Phys. 124, 234104 (2006)), so that no sum over the periodic lattice is needed. g is the field of a charge
//! spread over a Gaussian, taken to zero by half a cosine. Both are switched off towards short range, where two-body functions
//! and ZBL act. k is the Coulomb constant. Products of charges q_ab and responses p_ab are coefficients of the linear
//! model like all others: induced dipoles have the energy -alpha/2 (sum of q_a E^a)^2, a quadratic form in the fields.

use super::grouping::Neighbor;
use super::lanes::LANES;
use super::model::{InnerSwitch, pair_index};
use super::pair_function::{Jet, PairTable, product};
use crate::Species;
use crate::units::COULOMB_EV_ANGSTROM;
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// 2 / sqrt(pi).
const TWO_OVER_ROOT_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI;
/// Intervals of the tables: errors of 1e-11 of the functions.
const INTERVALS: usize = 2048;

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
        let shifted = [value - end[0] - end[1] * (r - self.cutoff_angstrom), slope - end[1], curvature];
        product(shifted, self.inner_switch.jet(r)).map(|x| x * COULOMB_EV_ANGSTROM)
    }

    /// Field of an elementary charge in 1/angstrom^2 (in units of the elementary charge), with its first two derivatives.
    pub fn field(&self, r: f64) -> Jet {
        if r >= self.cutoff_angstrom || r <= self.inner_switch.start_angstrom {
            return [0.0; 3];
        }
        let k = PI / self.cutoff_angstrom;
        let (sin, cos) = libm::sincos(k * r);
        let taper = [0.5 * (1.0 + cos), -0.5 * k * sin, -0.5 * k * k * cos];
        product(product(smoothed(self.smoothing_per_angstrom, r), taper), self.inner_switch.jet(r))
    }

    /// What does not fit, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        let (switch, cutoff) = (self.inner_switch, self.cutoff_angstrom);
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let complaint = |expected: &str, found: f64| Err(format!("expected electrostatic.{expected}, found {found}"));
        switch.check()?;
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
pub(super) struct ElectrostaticKernel {
    start: f64,
    cutoff: f64,
    /// Energy of elementary charges, and field.
    table: PairTable<2>,
    pub(super) coefficients: ElectrostaticCoefficients,
}

/// What multiplies the two functions of the distance.
pub(super) struct ElectrostaticCoefficients {
    /// By pair of species, in elementary charges squared.
    products: Vec<f64>,
    /// By central species and pair of species, in angstrom^3.
    responses: Vec<Vec<f64>>,
}

/// A neighbour of one central atom whose charge it feels.
pub(super) struct ChargedNeighbor {
    /// Lane of the central atom.
    pub(super) lane: usize,
    /// Where its gradient is written; the caller's numbering.
    pub(super) slot: usize,
    /// Species index.
    pub(super) species: usize,
    /// Unit vector from the central atom.
    direction: DVec3,
    distance: f64,
    /// Energy of elementary charges, and its slope.
    pub(super) energy: [f64; 2],
    /// Field of an elementary charge, and its slope.
    field: [f64; 2],
}

impl ChargedNeighbor {
    /// From the central atom, in angstrom.
    pub(super) fn vector(&self) -> DVec3 {
        self.direction * self.distance
    }

    /// Derivative of the energy of elementary charges with respect to the neighbour vector.
    pub(super) fn energy_gradient(&self) -> DVec3 {
        self.direction * self.energy[1]
    }

    /// Derivative of (field of this neighbour) . `other` with respect to the neighbour vector.
    #[inline(always)]
    pub(super) fn field_gradient(&self, other: DVec3) -> DVec3 {
        let across = self.field[0] / self.distance;
        other * across + self.direction * (self.direction.dot(other) * (self.field[1] - across))
    }
}

/// What the central atoms of one group feel: neighbours, and the fields that they make.
#[derive(Default)]
pub(super) struct ChargedNeighbors {
    pub(super) list: Vec<ChargedNeighbor>,
    n_species: usize,
    /// By lane and species of the neighbours, in 1/angstrom^2.
    fields: Vec<DVec3>,
    derivatives: Vec<DVec3>,
}

impl ChargedNeighbors {
    /// Forgets the last group.
    pub(super) fn clear(&mut self, n_species: usize) {
        self.n_species = n_species;
        self.list.clear();
        self.fields.clear();
        self.fields.resize(LANES * n_species, DVec3::ZERO);
    }

    /// Fields on the central atom of a lane, by species.
    pub(super) fn fields(&self, lane: usize) -> &[DVec3] {
        &self.fields[lane * self.n_species..][..self.n_species]
    }
}

impl ElectrostaticKernel {
    pub(super) fn new(electrostatic: &Electrostatic) -> Self {
        let (shape, switch) = (electrostatic.shape, electrostatic.shape.inner_switch);
        let knots = [switch.start_angstrom, switch.end_angstrom, shape.cutoff_angstrom];
        Self {
            start: switch.start_angstrom,
            cutoff: shape.cutoff_angstrom,
            table: PairTable::with_knots(&knots, INTERVALS, |r| [shape.energy(r), shape.field(r)]),
            coefficients: ElectrostaticCoefficients::new(electrostatic),
        }
    }

    /// Notes a neighbour, if its charge is felt, and its field.
    #[inline(always)]
    pub(super) fn collect(&self, n: &Neighbor, slot: usize, charged: &mut ChargedNeighbors) {
        if n.distance >= self.cutoff || n.distance <= self.start {
            return;
        }
        let ([energy, field], [energy_slope, field_slope]) = self.table.evaluate(n.distance);
        let direction = n.vector / n.distance;
        charged.fields[n.lane * charged.n_species + n.species] += direction * field;
        charged.list.push(ChargedNeighbor {
            lane: n.lane,
            slot,
            species: n.species,
            direction,
            distance: n.distance,
            energy: [energy, energy_slope],
            field: [field, field_slope],
        });
    }
}

impl ElectrostaticCoefficients {
    pub(super) fn new(electrostatic: &Electrostatic) -> Self {
        Self {
            products: electrostatic.charges.iter().map(|c| c.product).collect(),
            responses: electrostatic.responses.iter().map(|r| r.coefficients_angstrom3.clone()).collect(),
        }
    }

    /// Adds the energies of a group of central atoms of one species, and calls `add(neighbour, gradient)` for each neighbour.
    pub(super) fn evaluate(
        &self,
        central: usize,
        charged: &mut ChargedNeighbors,
        energies_ev: &mut [f64],
        mut add: impl FnMut(&ChargedNeighbor, DVec3),
    ) {
        let ChargedNeighbors { list, n_species, fields, derivatives } = charged;
        derivatives.resize(fields.len(), DVec3::ZERO);
        let lanes = fields.chunks_exact(*n_species).zip(derivatives.chunks_exact_mut(*n_species));
        for (energy, (fields, derivatives)) in energies_ev.iter_mut().zip(lanes) {
            *energy += response_energy(&self.responses[central], fields, derivatives);
        }
        for neighbor in list.iter() {
            let half = 0.5 * self.products[pair_index(central, neighbor.species, *n_species)];
            energies_ev[neighbor.lane] += half * neighbor.energy[0];
            let derivative = derivatives[neighbor.lane * *n_species + neighbor.species];
            add(neighbor, neighbor.energy_gradient() * half + neighbor.field_gradient(derivative));
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
        }
    }

    #[test]
    fn derivatives_agree_with_differences() {
        let h = 1e-5;
        for f in [&|r| shape().energy(r), &|r| shape().field(r)] as [&dyn Fn(f64) -> Jet; 2] {
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
        let taper = 0.5 * (1.0 + (PI / 5.0).cos());
        assert!((smooth.field(2.0)[0] - field * taper).abs() < 1e-10);
        for (f, outside) in [(shape().energy(10.0), 10.0), (shape().field(0.7), 0.7), (shape().field(11.0), 11.0)] {
            assert_eq!(f, [0.0; 3], "at {outside}");
        }
    }

    #[test]
    fn forces_are_continuous_at_both_ends() {
        for f in [&|r| shape().energy(r), &|r| shape().field(r)] as [&dyn Fn(f64) -> Jet; 2] {
            for end in [0.7 + 1e-7, 10.0 - 1e-7] {
                assert!(f(end)[0].abs() < 1e-5 && f(end)[1].abs() < 1e-4, "{:?} at {end}", f(end));
            }
        }
    }

    #[test]
    fn table_agrees_with_the_functions() {
        let kernel = ElectrostaticKernel::new(&Electrostatic::empty(shape(), &[]));
        for k in 0..10_000 {
            let r = 0.7 + 9.3 * (f64::from(k) + 0.5) / 10_000.0;
            let (values, slopes) = kernel.table.evaluate(r);
            for (k, expected) in [shape().energy(r), shape().field(r)].into_iter().enumerate() {
                let found = [values[k], slopes[k]];
                let scale = 1.0 + expected[0].abs() + expected[1].abs();
                assert!((found[0] - expected[0]).abs() < 1e-11 * scale, "value at {r}: {found:?} {expected:?}");
                assert!((found[1] - expected[1]).abs() < 1e-9 * scale, "slope at {r}: {found:?} {expected:?}");
            }
        }
    }
}

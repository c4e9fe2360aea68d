//! What atoms feel of each other beyond bonds: charges, polarisation by the fields of charges, and dipoles that act on each other.
//!
//! E = sum over pairs q_ab v(r) + sum over atoms i and pairs of species a <= b of p_ab(species of i) k E_i^a . E_i^b,
//! E_i^a = sum over neighbours of species a of (unit vector to the neighbour) g(r).
//!
//! v is the Coulomb energy of two elementary charges, damped and shifted to end with its slope at the cutoff (Fennell and Gezelter,
//! J. Chem. Phys. 124, 234104 (2006)), so that no sum over the periodic lattice is needed; with a switch that ends without
//! curvature so does v. g is the field of a charge spread over a Gaussian, taken to zero by the switch. Both are switched off towards short range, where two-body functions
//! and ZBL act. k is the Coulomb constant. Products of charges q_ab and responses p_ab are coefficients of the linear
//! model like all others: induced dipoles have the energy -alpha/2 (sum of q_a E^a)^2, a quadratic form in the fields.
//!
//! Induced dipoles mu act on each other, as in any text on polarisable ions (e.g. Madden and Wilson, Chem. Soc. Rev. 25, 339 (1996)). With
//! mu = alpha (E - T mu) the energy -mu E / 2 is a series, -alpha E^2 / 2, then (alpha E) T (alpha E) / 2, then -alpha (T alpha E)^2 / 2, and so
//! on. Its second and third terms are in the model where the shape names charges z (`dipole_charges_e`):
//!
//! E += sum over pairs d_ab k P_i . T_ij P_j + sum over atoms i and a <= b of s_ab(species of i) k D_i^a . D_i^b,
//! P_i = sum over a of z_a E_i^a, D_i^a = sum over neighbours j of species a of T_ij P_j.
//!
//! P_i is a dipole up to the polarisability of its species and its sign (E_i^a points to the neighbours, and energies are quadratic in
//! P), T_ij the derivative of the field g(r) r / |r| with respect to r, and d_ab (product of two polarisabilities) and s_ab are
//! coefficients again. The charges z are not: energies are quadratic in them. Forces have a second derivative of the field here, so
//! that the switch towards short range is a quintic, for all terms, in models with dipoles, and half a cosine in those without.

mod kernel;
mod rows;
mod shape;

pub(super) use kernel::{ElectrostaticCoefficients, ElectrostaticKernel, Fields, Surroundings};
pub(super) use rows::add_electrostatic_rows;
pub use shape::ElectrostaticShape;
use shape::Felt;

use crate::Species;
use serde::{Deserialize, Serialize};

/// Charges and responses, with what shapes their functions of the distance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Electrostatic {
    /// Shapes of the functions of the distance.
    pub shape: ElectrostaticShape,
    /// Product of the charges of two species, for each unordered pair in the order of [`pair_index`](super::pair_index).
    pub charges: Vec<ChargeProduct>,
    /// How atoms of each species respond to fields, in the order of the model.
    pub responses: Vec<FieldResponse>,
    /// How induced dipoles act on each other; none where the shape names no charges for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dipoles: Option<Dipoles>,
}

/// What induced dipoles do to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dipoles {
    /// Products of the polarisabilities of two species, for each unordered pair in the order of [`pair_index`](super::pair_index).
    pub products: Vec<DipoleProduct>,
    /// How atoms of each species respond to the fields of dipoles, in the order of the model.
    pub responses: Vec<DipoleResponse>,
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
    /// p_ab for each unordered pair of neighbour species in the order of [`pair_index`](super::pair_index).
    pub coefficients_angstrom3: Vec<f64>,
}

/// One unordered pair of species.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DipoleProduct {
    /// The two elements.
    pub species: [Species; 2],
    /// Product of their polarisabilities.
    pub product_angstrom6: f64,
}

/// One central species.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DipoleResponse {
    /// The element.
    pub species: Species,
    /// s_ab for each unordered pair of neighbour species in the order of [`pair_index`](super::pair_index).
    pub coefficients_angstrom9: Vec<f64>,
}

impl Electrostatic {
    /// No charges and no responses yet.
    pub fn empty(shape: ElectrostaticShape, species: &[Species]) -> Self {
        let n = species.len();
        let pairs = (0..n).flat_map(|a| (a..n).map(move |b| [a, b]));
        let charge = |pair: [usize; 2]| ChargeProduct { species: pair.map(|s| species[s]), product: 0.0 };
        let charges: Vec<ChargeProduct> = pairs.map(charge).collect();
        let response = |s: &Species| FieldResponse { species: *s, coefficients_angstrom3: vec![0.0; charges.len()] };
        let dipoles = (!shape.dipole_charges_e.is_empty()).then(|| {
            let product = |c: &ChargeProduct| DipoleProduct { species: c.species, product_angstrom6: 0.0 };
            let response =
                |s: &Species| DipoleResponse { species: *s, coefficients_angstrom9: vec![0.0; charges.len()] };
            Dipoles {
                products: charges.iter().map(product).collect(),
                responses: species.iter().map(response).collect(),
            }
        });
        Self { shape, responses: species.iter().map(response).collect(), charges, dipoles }
    }

    /// What does not fit together, with the species in the order of the model, in words.
    pub(super) fn check(&self, species: &[Species]) -> Result<(), String> {
        self.shape.check()?;
        let expected = Self::empty(self.shape.clone(), species);
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
        self.check_dipoles(&expected)?;
        let responses = self.responses.iter().flat_map(|r| &r.coefficients_angstrom3);
        match self.charges.iter().map(|c| &c.product).chain(responses).all(|x| x.is_finite()) {
            true => Ok(()),
            false => Err("expected finite electrostatic charges and responses".into()),
        }
    }

    /// What does not fit of dipoles, with what an empty model of these species has.
    fn check_dipoles(&self, expected: &Self) -> Result<(), String> {
        let (charges, n) = (&self.shape.dipole_charges_e, expected.responses.len());
        let usable = charges.len() == n && charges.iter().all(|z| z.is_finite()) && charges.iter().any(|z| *z != 0.0);
        if !(charges.is_empty() || usable) {
            return Err(format!(
                "expected electrostatic.dipole_charges_e as {n} numbers, one for each species and not all zero, or none, found {charges:?}"
            ));
        }
        let structure = |dipoles: &Dipoles| {
            let pairs: Vec<_> = dipoles.products.iter().map(|p| p.species).collect();
            let responses: Vec<_> =
                dipoles.responses.iter().map(|r| (r.species, r.coefficients_angstrom9.len())).collect();
            (pairs, responses)
        };
        if expected.dipoles.as_ref().map(structure) != self.dipoles.as_ref().map(structure) {
            let wanted = match expected.dipoles {
                Some(_) => "products and responses of the pairs and species of electrostatic.charges",
                None => "none without electrostatic.dipole_charges_e",
            };
            return Err(format!("expected electrostatic.dipoles: {wanted}, found others"));
        }
        let products = |d: &Dipoles| d.products.iter().all(|p| p.product_angstrom6.is_finite());
        let responses = |d: &Dipoles| d.responses.iter().flat_map(|r| &r.coefficients_angstrom9).all(|x| x.is_finite());
        match self.dipoles.as_ref().is_none_or(|d| products(d) && responses(d)) {
            true => Ok(()),
            false => Err("expected finite electrostatic dipoles".into()),
        }
    }
}

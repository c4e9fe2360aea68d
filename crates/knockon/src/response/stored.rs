//! What folding and sampling ask of a response, whether it is a set of curves or an imported matrix.

use super::evolution::HIGHEST_USE_EV;
use super::{Parameters, Response, ResponseMatrix};
use rand::{Rng, RngExt};

/// A response with one set of numbers.
#[derive(Clone, Copy)]
pub enum StoredEnergy<'a> {
    /// Fermi function and shape with these parameters.
    Curves(&'a Response, &'a Parameters),
    /// A table.
    Matrix(&'a ResponseMatrix),
    /// The bootstrap set of this index of a table.
    MatrixSet(&'a ResponseMatrix, usize),
}

impl<'a> StoredEnergy<'a> {
    /// Lowest and highest recoil energy in eV that may be asked for.
    pub fn usable_range_ev(&self) -> [f64; 2] {
        match self {
            Self::Curves(..) => [0.0, HIGHEST_USE_EV],
            Self::Matrix(matrix) | Self::MatrixSet(matrix, _) => matrix.energy_range_ev(),
        }
    }

    /// Probability that a recoil of this energy (eV) leaves defects.
    pub fn defect_probability(&self, recoil_energy_ev: f64) -> f64 {
        match self {
            Self::Curves(_, parameters) => parameters.fermi.probability(recoil_energy_ev),
            Self::Matrix(matrix) => matrix.defect_probability(recoil_energy_ev),
            Self::MatrixSet(matrix, set) => matrix.defect_probability_of(&matrix.bootstrap[*set], recoil_energy_ev),
        }
    }

    /// Distribution function of the non-zero stored energies (eV) at a recoil energy in eV.
    pub fn nonzero_cdf(&self, recoil_energy_ev: f64) -> Box<dyn Fn(f64) -> f64 + 'a> {
        match *self {
            Self::Curves(_, parameters) => {
                let shape = parameters.shape_at(recoil_energy_ev);
                Box::new(move |stored| shape.cdf(stored))
            }
            Self::Matrix(matrix) => Box::new(move |stored| matrix.nonzero_cdf(stored, recoil_energy_ev)),
            Self::MatrixSet(matrix, set) => {
                Box::new(move |stored| matrix.nonzero_cdf_of(&matrix.bootstrap[set], stored, recoil_energy_ev))
            }
        }
    }

    /// Draws a stored energy in eV: the distribution function is inverted by bisection.
    pub fn sample(&self, recoil_energy_ev: f64, random: &mut impl Rng) -> f64 {
        // Both numbers are always drawn, so that the sequence does not depend on the outcome.
        let (class, position): (f64, f64) = (random.random(), random.random());
        if class >= self.defect_probability(recoil_energy_ev) {
            return 0.0;
        }
        let cdf = self.nonzero_cdf(recoil_energy_ev);
        let (mut low, mut high) = (0.0, recoil_energy_ev);
        for _ in 0..50 {
            let middle = 0.5 * (low + high);
            if cdf(middle) < position { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }
}

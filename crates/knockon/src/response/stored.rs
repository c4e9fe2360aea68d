//! What folding and sampling ask of a response, whether it is a set of curves or an imported matrix.

use super::evolution::HIGHEST_USE_EV;
use super::{Parameters, Response, ResponseMatrix};
use crate::math::{gauss_legendre, integrate};
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

    /// Mean stored energy in eV of all recoils of this energy (eV), those without defects included: the integral of the
    /// probability of more, over panels of at most 0.25 eV.
    pub fn mean_ev(&self, recoil_energy_ev: f64) -> f64 {
        let damaged = self.defect_probability(recoil_energy_ev);
        let (cdf, rule) = (self.nonzero_cdf(recoil_energy_ev), gauss_legendre(3));
        let panels = (recoil_energy_ev / 0.25).ceil() as usize;
        let edge = |panel: usize| recoil_energy_ev * panel as f64 / panels as f64;
        let above = |panel: usize| integrate(&rule, edge(panel), edge(panel + 1), |stored| 1.0 - cdf(stored));
        damaged * (0..panels).map(above).sum::<f64>()
    }

    /// Draws a stored energy in eV: the distribution function is inverted by bisection.
    pub fn sample(&self, recoil_energy_ev: f64, random: &mut impl Rng) -> f64 {
        // Both numbers are always drawn, so that the sequence does not depend on the outcome.
        let (class, position): (f64, f64) = (random.random(), random.random());
        if class >= self.defect_probability(recoil_energy_ev) {
            return 0.0;
        }
        inverse(self.nonzero_cdf(recoil_energy_ev), position, recoil_energy_ev)
    }

    /// Stored energy in eV that one recoil in a thousand of this energy (eV) exceeds; 0 where fewer leave defects.
    pub fn rarely_exceeded_ev(&self, recoil_energy_ev: f64) -> f64 {
        let damaged = self.defect_probability(recoil_energy_ev);
        if damaged <= RARE {
            return 0.0;
        }
        inverse(self.nonzero_cdf(recoil_energy_ev), 1.0 - RARE / damaged, recoil_energy_ev)
    }
}

/// One recoil in a thousand.
const RARE: f64 = 1e-3;

/// Where a distribution function of stored energies up to `highest` (eV) reaches `position`, by bisection.
fn inverse(cdf: impl Fn(f64) -> f64, position: f64, highest: f64) -> f64 {
    let (mut low, mut high) = (0.0, highest);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if cdf(middle) < position { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the paper prints, times the probability of defects; what the shape is cut off at 0 shifts the mean a little.
    #[test]
    fn mean_stored_energy_is_the_printed_one() {
        let response = Response::from_paper();
        let stored = StoredEnergy::Curves(&response, &response.parameters);
        for (energy, expected) in [(81.0, 7.5), (160.0, 11.0)] {
            let mean = stored.mean_ev(energy) / stored.defect_probability(energy);
            assert!((mean / expected - 1.0).abs() < 0.01, "{energy} eV: {mean}");
        }
        assert_eq!(stored.mean_ev(0.0), 0.0);
    }

    /// All recoils of 200 eV leave defects: 3.09 standard deviations above the mean.
    #[test]
    fn stored_energies_that_are_rarely_exceeded() {
        let response = Response::from_paper();
        let stored = StoredEnergy::Curves(&response, &response.parameters);
        let mean = response.parameters.mean.at(200.0);
        let found = stored.rarely_exceeded_ev(200.0);
        assert!((found / (mean * (1.0 + 3.09 * 0.35)) - 1.0).abs() < 2e-3, "{found} {mean}");
        assert!(stored.rarely_exceeded_ev(45.0) < stored.rarely_exceeded_ev(55.0));
        let matrix = ResponseMatrix::from_response(&response, &[0.0, 100.0], 0.5).unwrap();
        assert_eq!(StoredEnergy::Matrix(&matrix).rarely_exceeded_ev(0.0), 0.0);
    }

    #[test]
    fn the_mean_is_that_of_many_draws() {
        use rand::SeedableRng;
        let response = Response::from_paper();
        let energies: Vec<f64> = (0..=200).map(f64::from).collect();
        let matrix = ResponseMatrix::from_response(&response, &energies, 0.5).unwrap();
        for stored in [StoredEnergy::Curves(&response, &response.parameters), StoredEnergy::Matrix(&matrix)] {
            let mut random = rand_pcg::Pcg64::seed_from_u64(3);
            let n = 20_000;
            let drawn: f64 = (0..n).map(|_| stored.sample(60.0, &mut random)).sum::<f64>() / f64::from(n);
            // Standard deviation of the mean: 3.7 eV / sqrt(20000) = 0.03 eV.
            assert!((drawn - stored.mean_ev(60.0)).abs() < 0.1, "{drawn} {}", stored.mean_ev(60.0));
        }
    }
}

//! What the paper prints about stored energies, and the assumptions that stand in where it prints nothing.

use super::Parameters;
use super::evolution::{Curve, Polynomial};
use super::fermi::{Fermi, FermiPrior};
use super::shape::ShapeModel;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

/// Mean non-zero stored energies printed in the paper: (recoil energy in eV, mean in eV, cascades).
pub const MEANS: [(f64, f64, usize); 2] = [(81.0, 7.5, 160), (160.0, 11.0, 320)];

/// What recoils in the paper, and the atoms of the formula unit of its crystal.
pub(super) const SPECIES: &str = "W";
pub(super) const FORMULA: &str = "CaWO4";
const CRYSTAL: [(&str, usize); 3] = [("Ca", 1), ("O", 4), ("W", 1)];

/// Whether these are all atoms of a cell of the paper's crystal.
pub(super) fn is_crystal(symbols: &[String]) -> bool {
    let units = symbols.len() / 6;
    let count = |symbol: &str| symbols.iter().filter(|s| *s == symbol).count();
    units > 0 && symbols.len() == 6 * units && CRYSTAL.iter().all(|(symbol, n)| count(symbol) == n * units)
}

/// Standard deviation over mean of the non-zero stored energies. The paper shows it in a figure and prints no number:
/// an assumption.
const RELATIVE_WIDTH: f64 = 0.35;
const RELATIVE_WIDTH_DEVIATION: f64 = 0.07;

/// Defect probability. The paper shows a Fermi function that rises smoothly from 0 to 1 between its 20 and 160 eV
/// recoils and prints no number: an assumption that agrees with that and with its +-10 % on the neutrino spectrum.
pub(super) const DEFECT_PROBABILITY: FermiPrior = FermiPrior {
    centre: Fermi { midpoint_ev: 50.0, width_ev: 10.0, plateau: 1.0 },
    midpoint_deviation_ev: 7.5,
    log_width_deviation: 0.3,
};

/// The published means on a straight line (one of the paper's own choices of evolution). Its value at zero energy,
/// 3.9 eV, is close to the lowest Frenkel-pair energies of the paper's table I, as it should be; a parabola through the
/// origin would turn over at 194 eV.
pub(super) fn mean() -> Curve {
    Curve::Polynomial(Polynomial::line_through((MEANS[0].0, MEANS[0].1), (MEANS[1].0, MEANS[1].1)))
}

/// The response that follows from the printed numbers and the assumptions.
pub(super) fn parameters(shape: ShapeModel) -> Parameters {
    let width = mean().scaled(RELATIVE_WIDTH);
    Parameters { fermi: DEFECT_PROBABILITY.centre, shape, mean: mean(), width, asymmetry: 0.0, profile: None }
}

/// The same, with printed means varied by their sampling error and assumptions by their assumed spread. Deterministic
/// in (`seed`, `replicate`).
pub(super) fn draw(shape: ShapeModel, seed: u64, replicate: u64) -> Parameters {
    let mut random = Pcg64::seed_from_u64(!seed ^ (replicate + 1).wrapping_mul(0xd134_2543_de82_ef95));
    let mut normal = || -> f64 { random.sample(StandardNormal) };
    let relative = (RELATIVE_WIDTH + RELATIVE_WIDTH_DEVIATION * normal()).clamp(0.1, 0.8);
    let [low, high] = MEANS.map(|(energy, mean, n)| (energy, mean * (1.0 + relative * normal() / (n as f64).sqrt())));
    let mean = Curve::Polynomial(Polynomial::line_through(low, high));
    let prior = DEFECT_PROBABILITY;
    let midpoint_ev = (prior.centre.midpoint_ev + prior.midpoint_deviation_ev * normal()).max(5.0);
    let width_ev = prior.centre.width_ev * (prior.log_width_deviation * normal()).exp();
    let fermi = Fermi { midpoint_ev, width_ev, plateau: 1.0 };
    Parameters { fermi, shape, width: mean.scaled(relative), mean, asymmetry: 0.0, profile: None }
}

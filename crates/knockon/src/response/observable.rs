//! What a detector would notice of a response: mean stored energies and where a line comes to lie.

use super::Parameters;
use crate::math::{gauss_legendre, integrate, normal_density};
use serde::{Deserialize, Serialize};

/// Standard deviation in eV of the resolution with which the position of a line is given (the paper's figure 4).
pub const LINE_RESOLUTION_EV: f64 = 5.0;

/// Consequences of a set of parameters at one recoil energy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observables {
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Probability of defects.
    pub defect_probability: f64,
    /// Mean of the non-zero stored energies in eV, cut at the recoil energy.
    pub mean_nonzero_ev: f64,
    /// Maximum of a single line of this energy, seen with [`LINE_RESOLUTION_EV`], minus its energy, in eV.
    pub line_shift_ev: f64,
}

impl Observables {
    /// At a recoil energy in eV.
    pub fn of(parameters: &Parameters, recoil_energy_ev: f64) -> Self {
        let shape = parameters.shape_at(recoil_energy_ev);
        let rule = gauss_legendre(16);
        let panel = recoil_energy_ev / 16.0;
        // Mean of a positive quantity: the integral of 1 - F.
        let mean_nonzero_ev = (0..16)
            .map(|i| integrate(&rule, panel * f64::from(i), panel * f64::from(i + 1), |x| 1.0 - shape.cdf(x)))
            .sum();
        let defect_probability = parameters.fermi.probability(recoil_energy_ev);
        let line_shift_ev = line_shift(recoil_energy_ev, defect_probability, |x| shape.cdf(x));
        Self { recoil_energy_ev, defect_probability, mean_nonzero_ev, line_shift_ev }
    }
}

/// Step in eV of stored and visible energies.
const STEP_EV: f64 = 0.25;

/// The highest point of the blurred distribution of minus the stored energy, refined by a parabola.
fn line_shift(energy: f64, damaged: f64, cdf: impl Fn(f64) -> f64) -> f64 {
    let steps = (energy / STEP_EV).ceil() as usize;
    let edge = |i: usize| cdf((i as f64 * STEP_EV).min(energy));
    let mut sources: Vec<(f64, f64)> =
        (0..steps).map(|i| (-(i as f64 + 0.5) * STEP_EV, damaged * (edge(i + 1) - edge(i)))).collect();
    sources.push((0.0, 1.0 - damaged));
    sources.retain(|(_, weight)| *weight > 1e-6);
    let lowest = sources.iter().map(|(place, _)| *place).fold(0.0, f64::min);
    let seen = |v: f64| -> f64 {
        sources.iter().map(|(place, weight)| weight * normal_density((v - place) / LINE_RESOLUTION_EV)).sum()
    };
    let points = ((5.0 - lowest) / (2.0 * STEP_EV)).ceil() as usize;
    let place = |i: usize| 5.0 - i as f64 * 2.0 * STEP_EV;
    let values: Vec<f64> = (0..=points).map(|i| seen(place(i))).collect();
    let top = (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap_or(0);
    if top == 0 || top == points {
        return place(top);
    }
    let (left, middle, right) = (values[top - 1], values[top], values[top + 1]);
    place(top) - STEP_EV * (left - right) / (left - 2.0 * middle + right)
}

#[cfg(test)]
mod tests {
    use super::super::Response;
    use super::*;
    use crate::math::normal_cdf;

    #[test]
    fn a_line_of_one_class_moves_by_its_stored_energy() {
        assert!(line_shift(100.0, 0.0, |_| 0.0).abs() < 1e-6);
        let narrow = |x: f64| normal_cdf((x - 9.3) / 1.0);
        assert!((line_shift(100.0, 1.0, narrow) + 9.3).abs() < 0.02);
    }

    #[test]
    fn the_paper_has_its_printed_means() {
        let parameters = Response::from_paper().parameters;
        for (energy, mean) in [(81.0, 7.5), (160.0, 11.0)] {
            let found = Observables::of(&parameters, energy);
            // The cut at 0 takes 0.2 % off a Gaussian of 35 % width, which moves its mean by less than 0.03 eV.
            assert!((found.mean_nonzero_ev - mean).abs() < 0.05, "{found:?}");
            assert!((found.line_shift_ev + mean).abs() < 1.0, "{found:?}");
        }
    }
}

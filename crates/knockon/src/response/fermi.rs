//! Probability that a recoil leaves defects: a Fermi function of the recoil energy (the paper's figure 3).

use crate::math::minimise;
use serde::{Deserialize, Serialize};

/// p_d(E) = 1 / (1 + exp(-(E - midpoint) / width)).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fermi {
    /// Recoil energy at which half of the recoils leave defects, in eV.
    pub midpoint_ev: f64,
    /// Width in eV: from 27 % to 73 % over two widths.
    pub width_ev: f64,
}

/// Belief about a Fermi function before data: midpoint normal, width log-normal.
#[derive(Clone, Copy, Debug)]
pub(super) struct FermiPrior {
    /// The most likely function.
    pub centre: Fermi,
    /// Standard deviation of the midpoint in eV.
    pub midpoint_deviation_ev: f64,
    /// Standard deviation of the logarithm of the width.
    pub log_width_deviation: f64,
}

/// Defect statistics of one recoil energy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trials {
    /// Recoil energy in eV.
    pub recoil_energy_ev: f64,
    /// Weighted fraction of recoils that left defects.
    pub fraction: f64,
    /// Effective number of recoils, (sum w)^2 / sum w^2.
    pub effective_number: f64,
}

impl Fermi {
    /// Probability in [0, 1] of defects at a recoil energy in eV. It is small but not 0 at zero energy, as a Fermi
    /// function is.
    pub fn probability(&self, recoil_energy_ev: f64) -> f64 {
        1.0 / (1.0 + (-(recoil_energy_ev - self.midpoint_ev) / self.width_ev).exp())
    }
}

/// Whether the trials alone fix midpoint and width: two energies with both outcomes.
pub(super) fn is_determined_by(trials: &[Trials]) -> bool {
    trials.iter().filter(|t| t.fraction > 0.0 && t.fraction < 1.0).count() >= 2
}

/// Maximum of the weighted binomial likelihood. The prior takes part only when the data alone do not fix the function
/// ([`is_determined_by`]).
pub(super) fn fit(trials: &[Trials], prior: &FermiPrior) -> Fermi {
    if trials.is_empty() {
        return prior.centre;
    }
    let free = is_determined_by(trials);
    let cost = |p: &[f64]| {
        let fermi = Fermi { midpoint_ev: p[0], width_ev: p[1].exp() };
        let mut cost = 0.0;
        for t in trials {
            // ln p and ln (1 - p) without cancellation: -ln(1 + exp(-+z)).
            let z = (t.recoil_energy_ev - fermi.midpoint_ev) / fermi.width_ev;
            cost += t.effective_number * (t.fraction * softplus(-z) + (1.0 - t.fraction) * softplus(z));
        }
        if !free {
            let log_width = (fermi.width_ev / prior.centre.width_ev).ln();
            cost += 0.5 * ((fermi.midpoint_ev - prior.centre.midpoint_ev) / prior.midpoint_deviation_ev).powi(2);
            cost += 0.5 * (log_width / prior.log_width_deviation).powi(2);
        }
        cost
    };
    let best = minimise(&[prior.centre.midpoint_ev, prior.centre.width_ev.ln()], &[5.0, 0.3], 1e-12, cost);
    Fermi { midpoint_ev: best[0], width_ev: best[1].exp() }
}

/// ln(1 + e^z).
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIOR: FermiPrior = FermiPrior {
        centre: Fermi { midpoint_ev: 50.0, width_ev: 10.0 },
        midpoint_deviation_ev: 7.5,
        log_width_deviation: 0.3,
    };

    fn trials(truth: Fermi, energies: &[f64], effective_number: f64) -> Vec<Trials> {
        energies
            .iter()
            .map(|&e| Trials { recoil_energy_ev: e, fraction: truth.probability(e), effective_number })
            .collect()
    }

    #[test]
    fn exact_fractions_give_the_function_back() {
        let truth = Fermi { midpoint_ev: 38.0, width_ev: 6.5 };
        let found = fit(&trials(truth, &[20.0, 40.0, 60.0, 81.0, 112.0, 160.0], 300.0), &PRIOR);
        assert!((found.midpoint_ev - 38.0).abs() < 1e-3 && (found.width_ev - 6.5).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn one_saturated_energy_leaves_the_prior() {
        let found = fit(&[Trials { recoil_energy_ev: 112.0, fraction: 1.0, effective_number: 8.0 }], &PRIOR);
        assert!((found.midpoint_ev - 50.0).abs() < 2.0 && (found.width_ev - 10.0).abs() < 1.0, "{found:?}");
        assert_eq!(fit(&[], &PRIOR).midpoint_ev.round(), 50.0);
    }

    #[test]
    fn one_informative_energy_moves_the_midpoint() {
        let found = fit(&[Trials { recoil_energy_ev: 40.0, fraction: 0.6, effective_number: 300.0 }], &PRIOR);
        assert!((found.probability(40.0) - 0.6).abs() < 0.03, "{found:?}");
    }
}

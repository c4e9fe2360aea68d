//! Probability that a recoil leaves defects: a Fermi function of the recoil energy (the paper's figure 3), up to a plateau where
//! the data ask for one: a recoil of any energy may find all atoms in place again.

use crate::math::minimise;
use serde::{Deserialize, Serialize};

/// p_d(E) = plateau / (1 + exp(-(E - midpoint) / width)).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fermi {
    /// Recoil energy at which half of the plateau is reached, in eV.
    pub midpoint_ev: f64,
    /// Width in eV: from 27 % to 73 % over two widths.
    pub width_ev: f64,
    /// Probability far above the midpoint; 1 in files of earlier versions.
    #[serde(default = "certain")]
    pub plateau: f64,
}

fn certain() -> f64 {
    1.0
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
        self.plateau / (1.0 + (-(recoil_energy_ev - self.midpoint_ev) / self.width_ev).exp())
    }

    /// In words, for captions.
    pub fn in_words(&self) -> String {
        let plateau = if self.plateau < 1.0 { format!(", plateau {:.3}", self.plateau) } else { String::new() };
        format!("midpoint {:.0} eV, width {:.0} eV{plateau}", self.midpoint_ev, self.width_ev)
    }

    /// Minus the weighted binomial log likelihood.
    fn cost(&self, trials: &[Trials]) -> f64 {
        let of = |t: &Trials| {
            // ln p and ln (1 - p) without cancellation: those of a certain plateau are -ln(1 + exp(-+z)).
            let z = (t.recoil_energy_ev - self.midpoint_ev) / self.width_ev;
            let (some, none) = (-softplus(-z), -softplus(z));
            let none = log_sum(none, (1.0 - self.plateau).ln() + some);
            -t.effective_number * (t.fraction * (self.plateau.ln() + some) + (1.0 - t.fraction) * none)
        };
        trials.iter().map(of).sum()
    }

    /// Twice the log likelihood of the fractions themselves less that of the function: as many as energies less parameters are
    /// expected.
    pub(super) fn deviance(&self, trials: &[Trials]) -> f64 {
        let term = |x: f64| if x > 0.0 { x * x.ln() } else { 0.0 };
        let best: f64 = trials.iter().map(|t| t.effective_number * (term(t.fraction) + term(1.0 - t.fraction))).sum();
        2.0 * (self.cost(trials) + best)
    }
}

/// Energies at which some recoils left defects and some did not.
fn energies_with_both(trials: &[Trials]) -> usize {
    trials.iter().filter(|t| t.fraction > 0.0 && t.fraction < 1.0).count()
}

/// Whether the trials alone fix midpoint and width: two energies with both outcomes, and energies on both sides of the rise. On its
/// plateau two energies have both outcomes as well, and any rise below them fits.
pub(super) fn is_determined_by(trials: &[Trials]) -> bool {
    let highest = trials.iter().map(|t| t.fraction).fold(0.0, f64::max);
    let is_below = |t: &Trials| t.fraction < 0.5 * highest;
    energies_with_both(trials) >= 2 && trials.iter().any(is_below)
}

/// Akaike's criterion: a further number must raise twice the log likelihood by more.
const WORTH_A_PARAMETER: f64 = 2.0;
/// Energies with both outcomes that it takes to look for a plateau: two fix midpoint and width,
const ENERGIES_FOR_PLATEAU: usize = 3;
/// where the prior does not.
const ENERGIES_FOR_PLATEAU_WITH_PRIOR: usize = 1;

/// Maximum of the weighted binomial likelihood, with a plateau below 1 where one is looked for and worth a parameter. The prior takes part only
/// when the data alone do not fix the function ([`is_determined_by`]).
pub(super) fn fit(trials: &[Trials], prior: &FermiPrior, plateau: bool) -> Fermi {
    if trials.is_empty() {
        return prior.centre;
    }
    let free = is_determined_by(trials);
    let cost = |fermi: Fermi| fermi.cost(trials) + if free { 0.0 } else { prior.cost(fermi) };
    let plain = |p: &[f64]| Fermi { midpoint_ev: p[0], width_ev: p[1].exp(), plateau: 1.0 };
    let start = [prior.centre.midpoint_ev, prior.centre.width_ev.ln()];
    let best = minimise(&start, &[5.0, 0.3], 1e-12, |p| cost(plain(p)));
    let certain = plain(&best);
    let fewest = if free { ENERGIES_FOR_PLATEAU } else { ENERGIES_FOR_PLATEAU_WITH_PRIOR };
    if !plateau || energies_with_both(trials) < fewest {
        return certain;
    }
    let limited = |p: &[f64]| Fermi { midpoint_ev: p[0], width_ev: p[1].exp(), plateau: 1.0 / (1.0 + (-p[2]).exp()) };
    let best = minimise(&[best[0], best[1], 3.0], &[5.0, 0.3, 1.0], 1e-12, |p| cost(limited(p)));
    let limited = limited(&best);
    if 2.0 * (cost(certain) - cost(limited)) > WORTH_A_PARAMETER { limited } else { certain }
}

impl FermiPrior {
    /// Minus the logarithm of its density, without what is the same for all functions.
    fn cost(&self, fermi: Fermi) -> f64 {
        let log_width = (fermi.width_ev / self.centre.width_ev).ln();
        0.5 * ((fermi.midpoint_ev - self.centre.midpoint_ev) / self.midpoint_deviation_ev).powi(2)
            + 0.5 * (log_width / self.log_width_deviation).powi(2)
    }
}

/// ln(e^a + e^b).
fn log_sum(a: f64, b: f64) -> f64 {
    a.max(b) + (-(a - b).abs()).exp().ln_1p()
}

/// ln(1 + e^z).
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIOR: FermiPrior = FermiPrior {
        centre: Fermi { midpoint_ev: 50.0, width_ev: 10.0, plateau: 1.0 },
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
        let truth = Fermi { midpoint_ev: 38.0, width_ev: 6.5, plateau: 1.0 };
        let found = fit(&trials(truth, &[20.0, 40.0, 60.0, 81.0, 112.0, 160.0], 300.0), &PRIOR, true);
        assert!((found.midpoint_ev - 38.0).abs() < 1e-3 && (found.width_ev - 6.5).abs() < 1e-3, "{found:?}");
        assert_eq!(found.plateau, 1.0);
    }

    /// One intact recoil far above the midpoint must not widen the rise.
    #[test]
    fn a_plateau_is_found_where_there_is_one() {
        let truth = Fermi { midpoint_ev: 56.0, width_ev: 5.0, plateau: 0.95 };
        let data = trials(truth, &[20.0, 40.0, 60.0, 81.0, 112.0, 160.0], 30.0);
        let found = fit(&data, &PRIOR, true);
        let off = [found.midpoint_ev - 56.0, found.width_ev - 5.0, 100.0 * (found.plateau - 0.95)];
        assert!(off.iter().all(|x| x.abs() < 0.01) && found.deviance(&data) < 1e-6, "{found:?}");
        assert_eq!(fit(&data, &PRIOR, false).plateau, 1.0);
        // Too few recoils to tell.
        assert_eq!(fit(&trials(truth, &[20.0, 40.0, 60.0, 81.0, 112.0, 160.0], 2.0), &PRIOR, true).plateau, 1.0);
    }

    #[test]
    fn one_saturated_energy_leaves_the_prior() {
        let found = fit(&[Trials { recoil_energy_ev: 112.0, fraction: 1.0, effective_number: 8.0 }], &PRIOR, true);
        assert!((found.midpoint_ev - 50.0).abs() < 2.0 && (found.width_ev - 10.0).abs() < 1.0, "{found:?}");
        assert_eq!(fit(&[], &PRIOR, true).midpoint_ev.round(), 50.0);
    }

    /// Recoils that all come from the plateau: without belief a rise of thousands of eV fits as well.
    #[test]
    fn energies_on_the_plateau_leave_the_rise_to_the_prior() {
        let of = |fractions: [f64; 3]| {
            let trial = |(recoil_energy_ev, fraction)| Trials { recoil_energy_ev, fraction, effective_number: 200.0 };
            let data: Vec<Trials> = [81.0, 112.0, 160.0].into_iter().zip(fractions).map(trial).collect();
            (is_determined_by(&data), fit(&data, &PRIOR, true))
        };
        let (determined, found) = of([0.94, 0.95, 0.94]);
        assert!(!determined && (found.midpoint_ev - 50.0).abs() < 4.0 && found.width_ev < 13.0, "{found:?}");
        assert!((found.plateau - 0.945).abs() < 0.02, "{found:?}");
        assert!(of([0.3, 0.8, 0.95]).0);
    }

    #[test]
    fn one_informative_energy_moves_the_midpoint() {
        let found = fit(&[Trials { recoil_energy_ev: 40.0, fraction: 0.6, effective_number: 300.0 }], &PRIOR, true);
        assert!((found.probability(40.0) - 0.6).abs() < 0.03, "{found:?}");
    }
}

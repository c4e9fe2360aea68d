//! How many levels a nucleus has at an energy: constant temperature, rho = a exp(E / T) / T (Gilbert & Cameron, Can. J.
//! Phys. 43 (1965) 1446), both parities alike.
//!
//! T and a follow from two counts: the known levels up to an energy where the scheme is complete, and the spacing of the
//! s-wave neutron resonances at the separation energy.

/// Levels per MeV of one nucleus.
#[derive(Clone, Copy, Debug)]
pub(super) struct LevelDensity {
    pub(super) temperature_mev: f64,
    amplitude: f64,
    mass_number: f64,
}

impl LevelDensity {
    /// The density with `known_levels` between 0 and `complete_mev`, and with one level of any of the spins
    /// `resonance_spins`, of one parity, per `spacing_ev` at `separation_mev`.
    pub(super) fn new(
        mass_number: u32,
        (known_levels, complete_mev): (usize, f64),
        (separation_mev, spacing_ev, resonance_spins): (f64, f64, &[f64]),
    ) -> Self {
        let at = |temperature_mev: f64| Self {
            temperature_mev,
            amplitude: known_levels as f64 / (complete_mev / temperature_mev).exp_m1(),
            mass_number: f64::from(mass_number),
        };
        let wanted = 1e6 / spacing_ev;
        // The hotter, the fewer levels at the separation energy: bisection.
        let (mut cold, mut hot) = (0.1, 5.0);
        for _ in 0..60 {
            let middle = 0.5 * (cold + hot);
            let density = at(middle);
            let found: f64 = resonance_spins.iter().map(|spin| density.per_mev(separation_mev, *spin)).sum();
            if found > wanted { cold = middle } else { hot = middle }
        }
        at(0.5 * (cold + hot))
    }

    /// Levels of one spin and one parity per MeV at an excitation energy in MeV.
    pub(super) fn per_mev(&self, energy_mev: f64, spin: f64) -> f64 {
        let all = self.amplitude * (energy_mev / self.temperature_mev).exp() / self.temperature_mev;
        // Spin cut-off: von Egidy & Bucurescu, Phys. Rev. C 80 (2009) 054310.
        let cutoff = 0.391 * self.mass_number.powf(0.675) * energy_mev.powf(0.312);
        let share = (spin + 0.5) / cutoff * (-(spin + 0.5).powi(2) / (2.0 * cutoff)).exp();
        0.5 * all * share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{gauss_legendre, integrate};

    /// Parameters (T, E0) of an independent calculation, E0 = -T ln a.
    #[test]
    fn temperature_and_shift_have_their_check_values() {
        for (mass, known, resonances, temperature, shift) in [
            (183, (43, 1.000), (6.191, 60.0, &[0.5][..]), 0.572, -1.263),
            (184, (34, 1.637), (7.411, 12.0, &[0.0, 1.0][..]), 0.555, -0.350),
            (185, (55, 1.181), (5.754, 75.0, &[0.5][..]), 0.532, -1.013),
            (187, (66, 1.138), (5.467, 99.0, &[0.5][..]), 0.534, -1.164),
        ] {
            let density = LevelDensity::new(mass, known, resonances);
            let found = -density.temperature_mev * density.amplitude.ln();
            assert!((density.temperature_mev - temperature).abs() < 0.002, "{mass}: {}", density.temperature_mev);
            assert!((found - shift).abs() < 0.01, "{mass}: {found}");
            let spacing = 1e6 / resonances.2.iter().map(|s| density.per_mev(resonances.0, *s)).sum::<f64>();
            assert!((spacing / resonances.1 - 1.0).abs() < 1e-9, "{mass}: {spacing}");
        }
    }

    #[test]
    fn spins_and_parities_add_up_to_the_known_levels() {
        let density = LevelDensity::new(184, (34, 1.637), (7.411, 12.0, &[0.0, 1.0]));
        let rule = gauss_legendre(20);
        let all = |energy| 2.0 * (0..60).map(|spin| density.per_mev(energy, f64::from(spin))).sum::<f64>();
        let found: f64 = [0.0, 0.01, 0.1, 0.5, 1.637].windows(2).map(|e| integrate(&rule, e[0], e[1], all)).sum();
        // A sum over spins of the distribution is 1 within the error of a trapezoid; narrow spins at low energy.
        assert!((found / 34.0 - 1.0).abs() < 0.02, "{found}");
    }
}

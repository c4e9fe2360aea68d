//! What a cascade gives the nucleus: momenta added in the order of emission, while the nucleus slows down in the crystal.

use super::super::check_number;
use super::super::curve::Curve;
use super::cascade::Emission;
use crate::Error;
use crate::units::ELECTRON_MASS_EV;
use glam::DVec3;
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Binding energies of the K, L1 and M1 shells of tungsten in eV (Bearden & Burr, Rev. Mod. Phys. 39 (1967) 125): the innermost
/// shell that a transition can reach is taken.
const BINDING_EV: [f64; 3] = [69_525.0, 12_100.0, 2_820.0];

/// How fast a recoiling nucleus stops, against the times between gamma rays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SlowingDown {
    /// One of the two limits.
    Limit(Limit),
    /// Time constant in fs: momentum falls as exp(-t / time).
    TimeFs(f64),
    /// Share of its momentum that a nucleus keeps a time after it got it: rows of time in fs and share; 1 before the first row, 0
    /// after the last one.
    Curve(Curve),
}

/// The limits of [`SlowingDown`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// All gamma rays leave before the nucleus has slowed down: momenta add. Conversion electrons find it at rest all the same:
    /// the levels that convert live for 10 ps and more.
    Prompt,
    /// The nucleus stops before the next gamma ray: energies add.
    Stopped,
}

/// What the columns of a [`SlowingDown::Curve`] are.
pub const CURVE_COLUMNS: [&str; 2] = ["time_fs", "momentum_share"];

impl SlowingDown {
    /// Checks that times and shares mean something.
    pub(super) fn validate(&self) -> Result<(), Error> {
        let place = "capture.slowing_down";
        match self {
            Self::Limit(_) => Ok(()),
            Self::TimeFs(time) => check_number(place, *time, *time > 0.0, "a time in fs above 0"),
            Self::Curve(curve) => {
                curve.validate(place, CURVE_COLUMNS)?;
                let largest = curve.rows().iter().map(|row| row[1]).fold(0.0, f64::max);
                check_number(place, largest, largest <= 1.0, "shares of the momentum of 1 or less")
            }
        }
    }

    /// Share that is left of a momentum this long after the nucleus got it.
    fn share_left(&self, age_fs: f64) -> f64 {
        match self {
            Self::Limit(Limit::Prompt) => 1.0,
            Self::Limit(Limit::Stopped) => 0.0,
            Self::TimeFs(constant) => (-age_fs / constant).exp(),
            Self::Curve(curve) => {
                let before = curve.rows().first().is_some_and(|row| age_fs < row[0]);
                if before { 1.0 } else { curve.at(age_fs).unwrap_or(0.0) }
            }
        }
    }
}

/// Momentum in eV/c of what is emitted.
fn momentum_ev(emission: &Emission) -> f64 {
    if !emission.electron {
        return emission.energy_ev;
    }
    let kinetic = BINDING_EV.iter().map(|b| emission.energy_ev - b).find(|e| *e > 0.0).unwrap_or(emission.energy_ev);
    (kinetic * (kinetic + 2.0 * ELECTRON_MASS_EV)).sqrt()
}

/// A direction at random.
pub(super) fn direction(random: &mut Pcg64) -> DVec3 {
    let z = 2.0 * random.random::<f64>() - 1.0;
    let (sine, cosine) = (std::f64::consts::TAU * random.random::<f64>()).sin_cos();
    let across = (1.0 - z * z).max(0.0).sqrt();
    DVec3::new(across * cosine, across * sine, z)
}

/// Energy in eV that the recoiling nucleus of this mass leaves in the crystal, `directions` being those of the emissions: the work of each
/// of them on the nucleus, which all ends there, on the way or at the end. Each momentum fades for itself.
pub(super) fn recoil_energy_ev(
    emissions: &[Emission],
    directions: &[DVec3],
    mass_ev: f64,
    slowing_down: &SlowingDown,
) -> f64 {
    let energy = |momentum: DVec3| momentum.length_squared() / (2.0 * mass_ev);
    let mut work = 0.0;
    // Momenta in eV/c with the time in fs since the nucleus got them.
    let mut kicks: Vec<(DVec3, f64)> = Vec::with_capacity(emissions.len());
    for (emission, direction) in emissions.iter().zip(directions) {
        if emission.electron && matches!(slowing_down, SlowingDown::Limit(Limit::Prompt)) {
            kicks.clear();
        }
        kicks.iter_mut().for_each(|(_, age_fs)| *age_fs += emission.delay_s * 1e15);
        let left: DVec3 = kicks.iter().map(|(kick, age_fs)| *kick * slowing_down.share_left(*age_fs)).sum();
        let kick = -momentum_ev(emission) * *direction;
        work += energy(left + kick) - energy(left);
        kicks.push((kick, 0.0));
    }
    work
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    const MASS_EV: f64 = 174.14e9;

    fn gamma(energy_ev: f64, delay_s: f64) -> Emission {
        Emission { energy_ev, electron: false, delay_s }
    }

    #[test]
    fn limits_are_those_of_added_momenta_and_added_energies() {
        let pair = [gamma(5.32e6, 0.0), gamma(1.5e5, 1e-13)];
        let along = [DVec3::X, DVec3::X];
        let against = [DVec3::X, -DVec3::X];
        let of = |directions: &[DVec3], how: &SlowingDown| recoil_energy_ev(&pair, directions, MASS_EV, how);
        let (prompt, stopped) = (SlowingDown::Limit(Limit::Prompt), SlowingDown::Limit(Limit::Stopped));
        assert!((of(&along, &prompt) - 5.47e6f64.powi(2) / (2.0 * MASS_EV)).abs() < 1e-9);
        assert!((of(&against, &prompt) - 5.17e6f64.powi(2) / (2.0 * MASS_EV)).abs() < 1e-9);
        let sum = (5.32e6f64.powi(2) + 1.5e5f64.powi(2)) / (2.0 * MASS_EV);
        assert!((of(&along, &stopped) - sum).abs() < 1e-9);
        let (fast, slow) = (SlowingDown::TimeFs(1e-3), SlowingDown::TimeFs(1e9));
        assert!((of(&along, &fast) - sum).abs() < 1e-9 && (of(&along, &slow) - of(&along, &prompt)).abs() < 1e-4);
        let between = of(&along, &SlowingDown::TimeFs(100.0));
        assert!(between > sum && between < of(&along, &prompt));
    }

    /// Directions at random: the mean over them is the same for any slowing down, since the cross term vanishes.
    #[test]
    fn mean_energy_does_not_depend_on_slowing_down() {
        let mut random = Pcg64::seed_from_u64(1);
        let cascade = [gamma(3e6, 0.0), gamma(2e6, 5e-14), gamma(1e6, 1e-13)];
        let expected = 14e12 / (2.0 * MASS_EV);
        let n = 40_000;
        let models = [SlowingDown::Limit(Limit::Prompt), SlowingDown::TimeFs(50.0), SlowingDown::Limit(Limit::Stopped)];
        let mut sums = [0.0; 3];
        for _ in 0..n {
            let directions: Vec<DVec3> = cascade.iter().map(|_| direction(&mut random)).collect();
            for (sum, model) in sums.iter_mut().zip(&models) {
                *sum += recoil_energy_ev(&cascade, &directions, MASS_EV, model);
            }
        }
        for sum in sums {
            assert!((sum / f64::from(n) / expected - 1.0).abs() < 0.01, "{sum}");
        }
    }

    #[test]
    fn curves_are_interpolated() {
        let rows = "20 1\n50 0.6\n100 0.2\n200 0";
        let curve = SlowingDown::Curve(Curve::parse(rows, "test", CURVE_COLUMNS).unwrap());
        for (time_fs, expected) in [(0.0, 1.0), (35.0, 0.8), (50.0, 0.6), (75.0, 0.4), (150.0, 0.1), (300.0, 0.0)] {
            assert!((curve.share_left(time_fs) - expected).abs() < 1e-12, "{time_fs}");
        }
    }

    /// The first momentum is looked up at its own age when the third gamma ray comes, not at that of the second one.
    #[test]
    fn each_momentum_fades_for_itself() {
        let curve = SlowingDown::Curve(Curve::parse("0 1\n30 0.8\n60 0.2", "test", CURVE_COLUMNS).unwrap());
        let cascade = [gamma(5e6, 0.0), gamma(1.0, 3e-14), gamma(5e5, 3e-14)];
        let found = recoil_energy_ev(&cascade, &[DVec3::X; 3], MASS_EV, &curve);
        let cross = 0.2 * 5e6 * 5e5 / MASS_EV;
        let expected = (25e12 + 25e10) / (2.0 * MASS_EV) + cross;
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }

    #[test]
    fn an_electron_carries_more_momentum_than_a_gamma_ray_of_its_energy() {
        let electron = Emission { energy_ev: 145_848.0, electron: true, delay_s: 0.0 };
        let kinetic: f64 = 145_848.0 - 69_525.0;
        let total = kinetic + ELECTRON_MASS_EV;
        assert!((momentum_ev(&electron).powi(2) + ELECTRON_MASS_EV.powi(2) - total * total).abs() < 1.0);
        assert!(momentum_ev(&electron) > 145_848.0);
    }
}

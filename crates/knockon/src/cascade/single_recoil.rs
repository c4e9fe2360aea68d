//! What a recoil needs that no campaign plans: settings of which only a few differ from the defaults, and one start in one go.

use super::recoil::{default_max_steps, default_skin};
use crate::cascade::{CLOSE_PAIR_ANGSTROM, Checkpoint, PerfectBox, RecoilSettings, Start, Thermalization, thermalize};
use crate::dynamics::{QuenchSettings, TimeStep};
use crate::progress::Silent;
use crate::{Error, Potential};

impl Thermalization {
    /// One start, at the end of a run of this length, with the thermostat of the campaigns that ship.
    pub fn for_one_start(temperature_k: f64, time_fs: f64) -> Self {
        Self { temperature_k, time_fs, sampling_time_fs: 0.0, time_step_fs: 1.0, friction_per_fs: 0.01 }
    }
}

impl RecoilSettings {
    /// This time from the kick to the quench; all else as where a settings file says nothing: energy is conserved.
    pub fn lasting(time_fs: f64) -> Self {
        Self {
            time_fs,
            time_step: TimeStep::default(),
            quench: QuenchSettings::default(),
            skin_angstrom: default_skin(),
            border: None,
            electronic_stopping: None,
            min_distance_angstrom: CLOSE_PAIR_ANGSTROM,
            max_steps: default_max_steps(),
        }
    }
}

impl PerfectBox {
    /// The first start of a thermalisation, made without checkpoints.
    pub fn one_start(&self, potential: &dyn Potential, settings: &Thermalization, seed: u64) -> Result<Start, Error> {
        let thermalized = thermalize(potential, self, settings, 1, seed, &mut Checkpoint::nowhere(&Silent))?;
        Ok(thermalized.starts.into_iter().next().expect("as many starts as were asked for"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{argon_like, element};

    /// A default that is changed in one of the two places must not be forgotten in the other.
    #[test]
    fn settings_are_those_of_a_file_that_says_nothing() {
        let of_file: RecoilSettings = toml::from_str("time_fs = 700.0").expect("settings");
        assert_eq!(RecoilSettings::lasting(700.0), of_file);
        RecoilSettings::lasting(700.0).validate("recoil").expect("settings");
        Thermalization::for_one_start(133.0, 300.0).validate("thermalization").expect("settings");
    }

    #[test]
    fn the_start_is_at_the_end_of_the_thermalisation() {
        let (potential, atoms) = argon_like([3, 3, 3]);
        let perfect = PerfectBox::new(&potential, atoms, element("Ar"), QuenchSettings::default(), 0.3).expect("a box");
        let start =
            |seed| perfect.one_start(&potential, &Thermalization::for_one_start(40.0, 20.0), seed).expect("a start");
        assert!((start(1).time_fs - 20.0).abs() < 1e-9);
        assert!(start(1) == start(1) && start(1) != start(2), "the seed decides");
    }
}

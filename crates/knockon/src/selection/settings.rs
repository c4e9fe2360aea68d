//! What `knockon select` is told.

use super::Pool;
use super::pools::{CascadePool, ClosePairPool, FrenkelPool, StrainPool, ThermalPool};
use crate::Error;
use crate::settings::{check, differ, is_not_negative, is_positive};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which configurations to make and how many to choose. Paths are relative to the settings file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectionSettings {
    /// Unit cell of the crystal, with the lattice constants that labels shall have.
    pub crystal: PathBuf,
    /// Boxes of this many unit cells, small enough to label.
    pub cells: [usize; 3],
    /// Settings of the fit that made the model.
    pub fit: PathBuf,
    /// Files with configurations that already wait for a label: what they will tell is taken as known.
    #[serde(default)]
    pub waiting: Vec<PathBuf>,
    /// How many configurations to choose.
    pub number: usize,
    /// Seed of all random numbers. Another one for every round: the same gives relatives of the last round's recoils.
    pub seed: u64,
    /// No two atoms of a candidate are closer than this, in angstrom: pseudopotentials and two-body data end somewhere.
    pub min_distance_angstrom: f64,
    /// No force that the model predicts is larger than this, in eV/angstrom.
    pub max_force_ev_per_angstrom: f64,
    /// The pools, each left out if not given.
    pub pools: PoolSettings,
}

/// The pools.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSettings {
    /// Frames of recoil cascades.
    pub cascade: Option<CascadePool>,
    /// Thermal runs.
    pub thermal: Option<ThermalPool>,
    /// Frenkel pairs and frames of their relaxation.
    pub frenkel: Option<FrenkelPool>,
    /// Two atoms brought close.
    pub close_pair: Option<ClosePairPool>,
    /// Strained unit cells.
    pub strain: Option<StrainPool>,
}

/// Thermal boxes are new long before.
const LONGEST_INTERVAL_FS: f64 = 1e6;

impl SelectionSettings {
    /// Checks what types cannot; `place` names the file.
    pub fn validate(&self, place: &str) -> Result<(), Error> {
        let p = &self.pools;
        let intervals_fine = p.thermal.iter().all(|t| t.interval_fs > 0.0 && t.interval_fs <= LONGEST_INTERVAL_FS);
        let temperatures = p.thermal.iter().flat_map(|t| &t.temperatures_k);
        let energies = p.cascade.iter().flat_map(|c| &c.energies_ev);
        let recoils_fine = p.cascade.iter().all(|c| is_not_negative(c.temperature_k));
        let frames_fine = p.cascade.iter().flat_map(|c| &c.frame_times_fs).copied().all(is_not_negative);
        let strains_fine =
            p.strain.iter().all(|s| is_not_negative(s.strain) && is_not_negative(s.displacement_angstrom));
        let close_forces_fine = p.close_pair.iter().all(|c| is_positive(c.max_force_ev_per_angstrom));
        let distances = p.close_pair.iter().flat_map(|c| &c.distances_angstrom);
        let checks = [
            (self.cells.iter().all(|n| *n > 0), "cells", "three positive numbers"),
            (self.number > 0, "number", "at least 1"),
            (is_positive(self.min_distance_angstrom), "min_distance_angstrom", "a positive length"),
            (is_positive(self.max_force_ev_per_angstrom), "max_force_ev_per_angstrom", "a positive force"),
            (*p != PoolSettings::default(), "pools", "at least one pool"),
            (temperatures.copied().all(is_positive), "pools.thermal.temperatures_k", "positive temperatures"),
            (intervals_fine, "pools.thermal.interval_fs", "a positive time of at most 1e6 fs"),
            (energies.copied().all(is_positive), "pools.cascade.energies_ev", "positive energies"),
            (recoils_fine, "pools.cascade.temperature_k", "zero or more"),
            (frames_fine, "pools.cascade.frame_times_fs", "times of zero or more"),
            (strains_fine, "pools.strain", "deviations of zero or more"),
            (distances.copied().all(is_positive), "pools.close_pair.distances_angstrom", "positive lengths"),
            (close_forces_fine, "pools.close_pair.max_force_ev_per_angstrom", "a positive force"),
        ];
        check(place, &checks)?;
        // Names of candidates are made of these.
        let repeated = "entries that differ";
        if let Some(cascade) = &p.cascade {
            let checks = [
                (differ(&cascade.species), "pools.cascade.species", repeated),
                (differ(&cascade.energies_ev), "pools.cascade.energies_ev", repeated),
                (differ(&cascade.frame_times_fs), "pools.cascade.frame_times_fs", repeated),
            ];
            check(place, &checks)?;
        }
        let of_thermal = p.thermal.as_ref().is_none_or(|t| differ(&t.temperatures_k));
        let of_pairs = p.close_pair.as_ref().is_none_or(|c| differ(&c.distances_angstrom));
        let of_frenkel = p.frenkel.as_ref();
        let checks = [
            (of_thermal, "pools.thermal.temperatures_k", repeated),
            (of_pairs, "pools.close_pair.distances_angstrom", repeated),
            (of_frenkel.is_none_or(|f| differ(&f.species)), "pools.frenkel.species", repeated),
            (
                of_frenkel.is_none_or(|f| differ(&f.frames_after_evaluations)),
                "pools.frenkel.frames_after_evaluations",
                repeated,
            ),
        ];
        check(place, &checks)?;
        p.frenkel.iter().try_for_each(|pool| pool.validate(&format!("{place}: pools.frenkel")))
    }

    /// The pools that are made, each with its class of labels.
    pub fn pools(&self) -> Vec<Pool> {
        let p = &self.pools;
        let with_frames = p.cascade.as_ref().is_some_and(|c| !c.frame_times_fs.is_empty());
        let made = |pool: &Pool| match pool {
            Pool::Cascade => p.cascade.as_ref().is_some_and(|c| c.quenched),
            Pool::HotCascade => with_frames,
            Pool::Thermal => p.thermal.is_some(),
            Pool::Frenkel => p.frenkel.is_some(),
            Pool::ClosePair => p.close_pair.is_some(),
            Pool::Strain => p.strain.is_some(),
        };
        Pool::ALL.into_iter().filter(made).collect()
    }

    /// How many of the choices may come from this pool.
    pub fn at_most(&self, pool: Pool) -> usize {
        let p = &self.pools;
        let limit = match pool {
            Pool::Cascade | Pool::HotCascade => p.cascade.as_ref().and_then(|s| s.at_most),
            Pool::Thermal => p.thermal.as_ref().and_then(|s| s.at_most),
            Pool::Frenkel => p.frenkel.as_ref().and_then(|s| s.at_most),
            Pool::ClosePair => p.close_pair.as_ref().and_then(|s| s.at_most),
            Pool::Strain => p.strain.as_ref().and_then(|s| s.at_most),
        };
        limit.unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn settings_that_lead_to_no_end_are_refused() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cawo4/select.toml");
        let text = crate::io::read_text(&file).expect("an example");
        let refused = |old: &str, new: &str| {
            assert!(text.contains(old), "{old}");
            let settings: SelectionSettings = toml::from_str(&text.replacen(old, new, 1)).expect("settings");
            settings.validate("file").err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(refused("interval_fs = 300.0", "interval_fs = 2.5"), "");
        for interval in ["inf", "nan", "0.0", "1e18"] {
            let problem = refused("interval_fs = 300.0", &format!("interval_fs = {interval}"));
            assert!(problem.contains("pools.thermal.interval_fs: expected a positive time"), "{problem}");
        }
        let problem = refused("supercell = 2", "supercell = 3000000");
        assert!(problem.contains("pools.frenkel: supercells: expected one number or more"), "{problem}");
        let problem = refused("max_force_ev_per_angstrom = 0.05", "max_force_ev_per_angstrom = -0.05");
        assert!(problem.contains("pools.close_pair.max_force_ev_per_angstrom: expected a positive force"), "{problem}");
    }
}

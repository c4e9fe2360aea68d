//! What a cascade needs of a potential, checked: the crystal, its elasticity and vibrations, molecular dynamics that
//! stays crystalline, recoils that find no hole, and repulsion at short range where there are no data.
//!
//! A check never stops a fit. It says what was found, what was expected and whether that is good enough. The model file
//! has the verdict: `knockon campaign` and `knockon recoil` warn of a potential that failed, and `knockon reproduce` stops
//! before its cascades unless told `--accept-failing-potential`.

mod distances;
mod elastic;
mod expected;
mod lattice;
mod phonons;
mod recoils;
mod runs;
mod scans;

pub use distances::DataDistances;
pub use expected::{ElasticComponent, LatticeConstants};
pub use phonons::{gamma_frequencies_per_cm, hessian};
pub use scans::{ScanPoint, pair_scans, scans_csv};

use crate::potential::Model;
use crate::progress::Progress;
use crate::{Atoms, Error, Potential};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Entry of a model's provenance that holds the verdict of its checks.
pub(crate) const CHECKS_ENTRY: &str = "checks";
/// Its value for a model that has passed.
pub(crate) const PASSED: &str = "passed";

/// What is wrong with a model according to its own file, in words: checks that it failed. None if it has passed all,
/// or if it was never checked, as imported models.
pub fn failed(model: &Model) -> Option<&str> {
    model.provenance.get(CHECKS_ENTRY).map(String::as_str).filter(|verdict| *verdict != PASSED)
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// What it is about.
    pub name: String,
    /// The number that was found.
    pub value: f64,
    /// Unit of the number; empty for a pure number.
    pub unit: String,
    /// What would be good.
    pub expected: String,
    /// The verdict.
    pub passed: bool,
    /// More about what was found.
    pub detail: String,
}

impl Check {
    fn new(name: &str, value: f64, unit: &str, expected: String, passed: bool, detail: String) -> Self {
        let passed = passed && value.is_finite();
        Self { name: name.into(), value, unit: unit.into(), expected, passed, detail }
    }

    /// A check that could not be made, because of an error on the way.
    fn failed(name: &str, error: &Error) -> Vec<Self> {
        vec![Self::new(name, f64::NAN, "", "a result".into(), false, error.to_string())]
    }
}

/// What the checks do and expect. Values to compare with may each be left out: then those of scheelite are taken where
/// the crystal is CaWO4, and elsewhere nothing is compared. What needs no such value is checked in any crystal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckSettings {
    /// Lattice constants, best those of the functional of the labels.
    pub lattice_angstrom: LatticeConstants,
    /// Allowed relative deviation of the lattice constants.
    pub lattice_tolerance: f64,
    /// Vector from W to O in units of a, a, c, its horizontal components sorted by size and all of them positive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oxygen_fractional: Option<[f64; 3]>,
    /// Allowed deviation of these.
    pub oxygen_tolerance: f64,
    /// Elastic constants in GPa, those that are to be compared, in the axes of the reference crystal. Where the sign
    /// depends on the choice of axes, as that of C16, only the size counts.
    pub elastic_gpa: BTreeMap<ElasticComponent, f64>,
    /// Allowed relative deviation of the elastic constants: PBE is softer than experiment by some 10 %, and what a
    /// cascade needs of them is stability and the right order ...
    pub elastic_tolerance: f64,
    /// ... plus this, in GPa.
    pub elastic_tolerance_gpa: f64,
    /// Largest strain of the finite differences.
    pub elastic_strain: f64,
    /// Highest frequency at Gamma in 1/cm ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest_frequency_per_cm: Option<f64>,
    /// ... and its allowed relative deviation.
    pub frequency_tolerance: f64,
    /// Where elastic constants and frequency come from, in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Temperatures of the molecular dynamics.
    pub temperatures_k: Vec<f64>,
    /// Temperature at which the box is shaken out of its crystal for the check of disorder: the order of what the track
    /// of a cascade sees once it has come to thermal motion.
    pub disorder_temperature_k: f64,
    /// Time of each run in fs: this long with a Langevin bath and then this long without.
    pub run_time_fs: f64,
    /// Time step of the runs in fs.
    pub time_step_fs: f64,
    /// Conventional cells of the box of the runs and of the scans in the crystal.
    pub repeat: [usize; 3],
    /// No atom may be farther from its site than this, in angstrom.
    pub max_displacement_angstrom: f64,
    /// Conventional cells of the box in which atoms recoil.
    pub recoil_repeat: [usize; 3],
    /// Energy of these recoils in eV, given to an atom of the crystal at rest.
    pub recoil_energy_ev: f64,
    /// Recoils of each species, in directions drawn once and for all; 0 leaves the check out.
    pub recoils_per_species: usize,
    /// Largest change of the total energy in a run without bath, in eV per atom and ps.
    pub max_drift_ev_per_atom_ps: f64,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            lattice_angstrom: LatticeConstants::default(),
            lattice_tolerance: 0.01,
            oxygen_fractional: None,
            oxygen_tolerance: 0.01,
            elastic_gpa: BTreeMap::new(),
            elastic_tolerance: 0.3,
            elastic_tolerance_gpa: 8.0,
            elastic_strain: 0.004,
            highest_frequency_per_cm: None,
            frequency_tolerance: 0.1,
            source: None,
            temperatures_k: vec![133.0, 300.0, 1000.0],
            disorder_temperature_k: 6000.0,
            run_time_fs: 300.0,
            time_step_fs: 1.0,
            repeat: [2, 2, 1],
            max_displacement_angstrom: 1.0,
            recoil_repeat: [3, 3, 2],
            recoil_energy_ev: 160.0,
            recoils_per_species: 4,
            max_drift_ev_per_atom_ps: 0.002,
        }
    }
}

/// All checks of a potential, in the order of the report. `crystal` is the conventional cell, near its minimum, and says
/// what else it is compared with ([`CheckSettings`]); `scans` come from [`pair_scans`].
pub fn check(
    potential: &dyn Potential,
    crystal: &Atoms,
    scans: &[ScanPoint],
    settings: &CheckSettings,
    progress: &dyn Progress,
) -> Vec<Check> {
    let settings = &settings.for_crystal(crystal);
    let total = 5 + settings.temperatures_k.len() as u64;
    progress.update(0, total);
    let (relaxed, mut checks) = lattice::check(potential, crystal, settings);
    progress.update(1, total);
    checks.extend(elastic::check(potential, &relaxed, &crystal.cell, settings));
    progress.update(2, total);
    checks.extend(phonons::check(potential, &relaxed, settings));
    checks.extend(scans::check(scans));
    progress.update(3, total);
    for (index, temperature_k) in settings.temperatures_k.iter().enumerate() {
        checks.extend(runs::check(potential, &relaxed, *temperature_k, settings));
        progress.update(4 + index as u64, total);
    }
    checks.extend(runs::check_disorder(potential, &relaxed, settings));
    progress.update(total - 1, total);
    checks.extend(recoils::check(potential, &relaxed, settings));
    progress.update(total, total);
    checks
}

/// The checks as a table for a terminal.
pub fn summary(checks: &[Check]) -> String {
    let line = |c: &Check| {
        let verdict = if c.passed { "ok    " } else { "FAILED" };
        format!("{verdict} {:34} {:>10.4} {:12} expected {}; {}", c.name, c.value, c.unit, c.expected, c.detail)
    };
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::argon_like;
    use crate::progress::Silent;

    /// No crystal is judged by the values of another, and all that needs no value is checked.
    #[test]
    fn a_crystal_without_values_of_its_own_is_checked_all_the_same() {
        let (potential, argon) = argon_like([1, 1, 1]);
        let mut settings = CheckSettings {
            repeat: [2, 2, 2],
            temperatures_k: vec![100.0],
            disorder_temperature_k: 3000.0,
            run_time_fs: 400.0,
            time_step_fs: 2.0,
            recoil_repeat: [3, 3, 3],
            recoils_per_species: 1,
            recoil_energy_ev: 40.0,
            ..CheckSettings::default()
        };
        let found = check(&potential, &argon, &[], &settings, &Silent);
        assert!(found.iter().all(|c| c.passed), "{}", summary(&found));
        assert!(summary(&found).contains("no reference given"), "{}", summary(&found));
        let internal = [
            "lattice constant a",
            "lattice constant c",
            "elastic stability margin",
            "change of stiffness with lattice",
            "acoustic modes at Gamma",
            "NVT at 100 K",
            "NVE at 100 K",
            "energy of disorder at 3000 K",
            "stored energy of Ar recoils",
        ];
        assert_eq!(found.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), internal);
        settings.elastic_gpa = toml::from_str("c44 = 1.0").unwrap();
        settings.lattice_angstrom.a = Some(5.0);
        let failed = check(&potential, &argon, &[], &settings, &Silent).into_iter().filter(|c| !c.passed);
        assert_eq!(failed.map(|c| c.name).collect::<Vec<_>>(), ["lattice constant a", "C44"]);
    }
}

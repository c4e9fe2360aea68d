//! What a cascade needs of a potential, checked: the crystal, its elasticity and vibrations, molecular dynamics that
//! stays crystalline, recoils that find no hole, and repulsion at short range where there are no data.
//!
//! A check never stops a fit. It says what was found, what was expected and whether that is good enough; the campaign
//! reads the verdict and does not run with a potential that failed unless told to.

mod distances;
mod elastic;
mod lattice;
mod phonons;
mod recoils;
mod runs;
mod scans;

pub use distances::DataDistances;
pub use elastic::elastic_constants_gpa;
pub use phonons::{gamma_frequencies_per_cm, hessian};
pub use scans::{ScanPoint, pair_scans, scans_csv};

use crate::potential::Model;
use crate::progress::Progress;
use crate::{Atoms, Error, Potential};
use serde::{Deserialize, Serialize};

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

/// What the checks do and expect. The defaults are those of scheelite CaWO4.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckSettings {
    /// Lattice constants in angstrom: PBE, Soum-Sidikov et al. (2024).
    pub lattice_angstrom: LatticeConstants,
    /// Allowed relative deviation of the lattice constants.
    pub lattice_tolerance: f64,
    /// Vector from W to O in units of a, a, c, its horizontal components sorted by size and all of them positive: PBE
    /// coordinates O (0.7568, 0.1537, 0.0864) relative to W at (1, 0, 0).
    pub oxygen_fractional: [f64; 3],
    /// Allowed deviation of these.
    pub oxygen_tolerance: f64,
    /// Experimental elastic constants in GPa; the sign of C16 depends on the choice of axes, only its size counts.
    pub elastic_gpa: ElasticConstants,
    /// Allowed relative deviation of the elastic constants: PBE is softer than experiment by some 10 %, and what a
    /// cascade needs of them is stability and the right order ...
    pub elastic_tolerance: f64,
    /// ... plus this, in GPa.
    pub elastic_tolerance_gpa: f64,
    /// Largest strain of the finite differences.
    pub elastic_strain: f64,
    /// Highest frequency at Gamma in 1/cm (Raman, nu_1) ...
    pub highest_frequency_per_cm: f64,
    /// ... and its allowed relative deviation.
    pub frequency_tolerance: f64,
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

/// Lattice constants of a tetragonal crystal.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatticeConstants {
    /// In the plane.
    pub a: f64,
    /// Along the fourfold axis.
    pub c: f64,
}

/// The elastic constants of a tetragonal crystal of Laue class 4/m, in GPa.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct ElasticConstants {
    pub c11: f64,
    pub c12: f64,
    pub c13: f64,
    pub c16: f64,
    pub c33: f64,
    pub c44: f64,
    pub c66: f64,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            lattice_angstrom: LatticeConstants { a: 5.334, c: 11.51 },
            lattice_tolerance: 0.01,
            oxygen_fractional: [0.2432, 0.1537, 0.0864],
            oxygen_tolerance: 0.01,
            // Mean of three measurements (Weber's handbook; Farley, Saunders et al.; Gluyas et al. 1973), which differ
            // from each other by up to 8 GPa.
            elastic_gpa: ElasticConstants {
                c11: 143.6,
                c12: 59.9,
                c13: 42.3,
                c16: 17.8,
                c33: 127.5,
                c44: 33.6,
                c66: 41.5,
            },
            elastic_tolerance: 0.3,
            elastic_tolerance_gpa: 8.0,
            elastic_strain: 0.004,
            highest_frequency_per_cm: 911.0,
            frequency_tolerance: 0.1,
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

/// All checks of a potential, in the order of the report. `crystal` is the conventional cell, near its minimum;
/// `scans` come from [`pair_scans`].
pub fn check(
    potential: &dyn Potential,
    crystal: &Atoms,
    scans: &[ScanPoint],
    settings: &CheckSettings,
    progress: &dyn Progress,
) -> Vec<Check> {
    let total = 5 + settings.temperatures_k.len() as u64;
    progress.update(0, total);
    let (relaxed, mut checks) = lattice::check(potential, crystal, settings);
    progress.update(1, total);
    checks.extend(elastic::check(potential, &relaxed, settings));
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

//! What a search for Frenkel pairs is told.

use crate::settings::{check, differ, is_not_negative, is_positive};
use crate::{Error, Species};
use nalgebra::Matrix6;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A search for the Frenkel pairs of a crystal. The defaults of the numbers are those of Soum-Sidikov et al. (2024), where
/// they print them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrenkelSettings {
    /// File with a cell of the crystal; relative paths count from the settings file.
    pub crystal: PathBuf,
    /// Whether the model first relaxes the cell, lattice constants included. Without it boxes keep the lattice of the
    /// file, e.g. that of the labels.
    pub relax_cell: bool,
    /// Elements whose atoms are moved to interstitial positions.
    pub species: Vec<Species>,
    /// Boxes of n x n x n primitive cells, by n. The search is done in the first; what it finds is carried over to the
    /// others and relaxed there again.
    pub supercells: Vec<usize>,
    /// Interstitial positions lie on a regular grid with at most this spacing along the conventional axes.
    #[serde(default = "grid_spacing")]
    pub grid_spacing_angstrom: f64,
    /// No interstitial position is closer than this to an atom of the perfect crystal.
    #[serde(default = "min_distance")]
    pub min_distance_angstrom: f64,
    /// The vacancy is at most this far from the interstitial position (not printed in the paper).
    pub reach_angstrom: f64,
    /// Relaxations end at this largest force on an atom.
    #[serde(default = "max_force")]
    pub max_force_ev_per_angstrom: f64,
    /// Relaxations give up after this many evaluations.
    #[serde(default = "max_evaluations")]
    pub max_evaluations: usize,
    /// How many structures of each kind are carried over to the larger boxes, lowest energy first.
    #[serde(default = "keep")]
    pub keep: usize,
    /// How many structures of each kind are written as candidates for labelling, lowest energy first.
    #[serde(default = "candidates")]
    pub candidates: usize,
    /// Elastic constants in GPa for the correction of box sizes, 6 x 6, Voigt order xx yy zz yz xz xy, in the axes of the
    /// crystal file. Without them those of the model are computed.
    #[serde(default)]
    pub elastic_constants_gpa: Option<[[f64; 6]; 6]>,
}

fn grid_spacing() -> f64 {
    0.7
}

fn min_distance() -> f64 {
    1.8
}

fn max_force() -> f64 {
    2e-3
}

fn max_evaluations() -> usize {
    2000
}

fn keep() -> usize {
    12
}

fn candidates() -> usize {
    4
}

/// Boxes are at most this many primitive cells long: images no longer matter then, and far beyond there is no memory for them.
const LONGEST: usize = 50;

/// Symmetric and positive definite (Born).
fn is_stable(c: &[[f64; 6]; 6]) -> bool {
    let c = Matrix6::from_fn(|i, j| c[i][j]);
    (c - c.transpose()).amax() <= 1e-6 * c.amax() && c.cholesky().is_some()
}

impl FrenkelSettings {
    /// Checks what types cannot.
    pub fn validate(&self, place: &str) -> Result<(), Error> {
        let increasing = self.supercells.windows(2).all(|w| w[0] < w[1]);
        let fit = self.supercells.iter().all(|n| (1..=LONGEST).contains(n));
        let checks = [
            (!self.species.is_empty(), "species", "at least one element"),
            (differ(&self.species), "species", "elements that differ"),
            (
                !self.supercells.is_empty() && increasing && fit,
                "supercells",
                "one number or more from 1 to 50, increasing",
            ),
            (is_positive(self.grid_spacing_angstrom), "grid_spacing_angstrom", "a positive length"),
            (is_not_negative(self.min_distance_angstrom), "min_distance_angstrom", "zero or a positive length"),
            (is_positive(self.reach_angstrom), "reach_angstrom", "a positive length"),
            (is_positive(self.max_force_ev_per_angstrom), "max_force_ev_per_angstrom", "a positive force"),
            (self.max_evaluations > 0, "max_evaluations", "at least 1"),
            (
                self.elastic_constants_gpa.is_none_or(|c| is_stable(&c)),
                "elastic_constants_gpa",
                "a symmetric positive definite 6 x 6 matrix, as every stable crystal has",
            ),
        ];
        check(place, &checks)
    }
}

#[cfg(test)]
mod tests {
    use super::{FrenkelSettings, is_stable};

    #[test]
    fn boxes_that_fit_into_no_memory_are_refused() {
        let refused = |supercells: &str| {
            let text = format!(
                "crystal = \"c.xyz\"\nrelax_cell = true\nspecies = [\"O\"]\nreach_angstrom = 5.0\nsupercells = {supercells}"
            );
            let settings: FrenkelSettings = toml::from_str(&text).expect("settings");
            settings.validate("file").err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert_eq!(refused("[2, 50]"), "");
        for supercells in ["[]", "[0]", "[3, 2]", "[2, 3000000]"] {
            assert!(refused(supercells).contains("file: supercells: expected one number or more"), "{supercells}");
        }
    }

    #[test]
    fn elastic_constants_of_no_crystal_are_refused() {
        let diagonal = |x: f64| std::array::from_fn(|i| std::array::from_fn(|j| if i == j { x } else { 0.0 }));
        assert!(is_stable(&diagonal(100.0)));
        assert!(!is_stable(&diagonal(0.0)) && !is_stable(&diagonal(-1.0)) && !is_stable(&diagonal(f64::NAN)));
        let mut c = diagonal(100.0);
        c[0][1] = 30.0;
        assert!(!is_stable(&c), "not symmetric");
        c[1][0] = 30.0;
        assert!(is_stable(&c));
        (c[0][1], c[1][0]) = (130.0, 130.0);
        assert!(!is_stable(&c), "not positive definite");
    }
}

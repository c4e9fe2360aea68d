//! Two neighbours brought close, all other atoms relaxed around them.

use super::{Candidate, Pool, Workshop};
use crate::dynamics::{QuenchSettings, Simulation, quench_others};
use crate::progress::Progress;
use crate::{Atoms, Error};
use glam::DVec3;
use serde::{Deserialize, Serialize};

/// Every pair of elements at each distance below that of the nearest such pair in the crystal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosePairPool {
    /// Distances in angstrom.
    pub distances_angstrom: Vec<f64>,
    /// Force in eV/angstrom at which the relaxation of the others ends.
    pub max_force_ev_per_angstrom: f64,
    /// At most this many of the choices.
    #[serde(default)]
    pub at_most: Option<usize>,
}

pub(super) fn make(
    workshop: &Workshop<'_>,
    pool: &ClosePairPool,
    progress: &dyn Progress,
) -> Result<Vec<Candidate>, Error> {
    let closer = |(atoms, vector): ([usize; 2], DVec3)| {
        let distances = pool.distances_angstrom.iter().filter(move |d| **d < vector.length() - 0.1);
        distances.map(move |distance| (atoms, vector, *distance))
    };
    let jobs: Vec<([usize; 2], DVec3, f64)> = nearest_pairs(workshop.crystal).into_iter().flat_map(closer).collect();
    workshop.in_parallel(&jobs, progress, |_, (atoms, vector, distance)| {
        let pair = pair_name(workshop.crystal, *atoms);
        let mut close = workshop.crystal.clone();
        let change = *vector * (0.5 * (1.0 - distance / vector.length()));
        close.positions[atoms[0]] += change;
        close.positions[atoms[1]] -= change;
        let mut simulation = Simulation::new(workshop.potential, close, 0.3)?;
        let settings = QuenchSettings {
            max_force_ev_per_angstrom: pool.max_force_ev_per_angstrom,
            max_evaluations: 500,
            ..QuenchSettings::default()
        };
        quench_others(&mut simulation, &settings, atoms)?;
        let details = [
            ("sampler", "knockon select: others relaxed".to_owned()),
            ("pair", pair.clone()),
            ("distance", distance.to_string()),
        ];
        let name = format!("{}-{distance}", pair.replace('-', ""));
        Ok(vec![workshop.candidate(Pool::ClosePair, &name, simulation.atoms().clone(), &details)])
    })
}

/// What a pair from [`nearest_pairs`] is called, as the labels that ship call it: a fit keeps all of one pair together.
fn pair_name(crystal: &Atoms, [light, heavy]: [usize; 2]) -> String {
    format!("{}-{}", crystal.species[heavy], crystal.species[light])
}

/// For each pair of elements the nearest two atoms, the lighter first, with the vector from the first to the second.
fn nearest_pairs(crystal: &Atoms) -> Vec<([usize; 2], DVec3)> {
    let elements = crystal.elements();
    let mut pairs = Vec::new();
    for (k, first) in elements.iter().enumerate() {
        pairs.extend(elements[k..].iter().filter_map(|second| crystal.nearest_pair([*first, *second])));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::calcium_tungstate;
    use crate::io::read_extxyz;
    use std::path::Path;

    #[test]
    fn pairs_are_called_as_in_the_shipped_labels() {
        let crystal = calcium_tungstate();
        let names: Vec<String> =
            nearest_pairs(&crystal).into_iter().map(|(pair, _)| pair_name(&crystal, pair)).collect();
        let mut known = 0;
        for file in ["cawo4_pbe.xyz", "labels.xyz"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/cawo4").join(file);
            for label in read_extxyz(&path).expect("labels") {
                let Some(pair) = label.info.get("pair") else { continue };
                assert!(names.iter().any(|name| name == pair), "{pair} is none of {names:?}");
                known += 1;
            }
        }
        assert!(known > 3, "{known}");
    }
}

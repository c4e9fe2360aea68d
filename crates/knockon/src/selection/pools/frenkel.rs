//! Frenkel pairs and frames of their relaxation.

use super::{Candidate, Pool, Workshop};
use crate::dynamics::{QuenchSettings, Simulation, quench};
use crate::frenkel::{CrystalLattice, FrenkelSettings, Start, inequivalent_starts};
use crate::progress::Progress;
use crate::{Atoms, Error, Species};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Atoms moved to places of a grid and relaxed part of the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrenkelPool {
    /// Elements whose atoms are moved.
    pub species: Vec<Species>,
    /// Starts for each element, at equal intervals of the list of all inequivalent ones.
    pub starts: usize,
    /// Box of n x n x n primitive cells.
    pub supercell: usize,
    /// Interstitial positions lie on a grid with at most this spacing, in angstrom.
    pub grid_spacing_angstrom: f64,
    /// No interstitial position is closer than this to another atom of the perfect crystal, in angstrom.
    pub min_distance_angstrom: f64,
    /// The vacancy is at most this far from the interstitial position, in angstrom.
    pub reach_angstrom: f64,
    /// Frames are taken after so many evaluations of the relaxation; its end is always taken.
    pub frames_after_evaluations: Vec<usize>,
    /// At most this many of the choices.
    #[serde(default)]
    pub at_most: Option<usize>,
}

pub(super) fn make(
    workshop: &Workshop<'_>,
    pool: &FrenkelPool,
    progress: &dyn Progress,
) -> Result<Vec<Candidate>, Error> {
    let lattice = CrystalLattice::new(workshop.unit_cell)?;
    let perfect = lattice.supercell(pool.supercell);
    let mut starts = Vec::new();
    for species in &pool.species {
        let all = inequivalent_starts(&lattice, &search(pool, *species))?;
        let count = pool.starts.min(all.len());
        starts.extend((0..count).map(|k| (k, all[(2 * k + 1) * all.len() / (2 * count)])));
    }
    workshop.in_parallel(&starts, progress, |_, (k, start)| {
        let candidate = |(frame, atoms): (String, Atoms)| {
            let details = [
                ("sampler", "knockon select: relaxation of a Frenkel pair".to_owned()),
                ("species", start.species.to_string()),
                ("site", start.site()),
                ("frame", frame.clone()),
            ];
            workshop.candidate(Pool::Frenkel, &format!("{}-{k}-{frame}", start.species), atoms, &details)
        };
        Ok(relaxation(workshop, pool, &perfect, start)?.into_iter().map(candidate).collect())
    })
}

impl FrenkelPool {
    /// Checks what types cannot; `place` names the settings in errors.
    pub(in crate::selection) fn validate(&self, place: &str) -> Result<(), Error> {
        self.species.iter().try_for_each(|species| search(self, *species).validate(place))
    }
}

fn search(pool: &FrenkelPool, species: Species) -> FrenkelSettings {
    FrenkelSettings {
        crystal: PathBuf::new(),
        relax_cell: false,
        species: vec![species],
        supercells: vec![pool.supercell],
        grid_spacing_angstrom: pool.grid_spacing_angstrom,
        min_distance_angstrom: pool.min_distance_angstrom,
        reach_angstrom: pool.reach_angstrom,
        max_force_ev_per_angstrom: QuenchSettings::default().max_force_ev_per_angstrom,
        max_evaluations: QuenchSettings::default().max_evaluations,
        keep: 0,
        candidates: 0,
        elastic_constants_gpa: None,
    }
}

fn relaxation(
    workshop: &Workshop<'_>,
    pool: &FrenkelPool,
    perfect: &Atoms,
    start: &Start,
) -> Result<Vec<(String, Atoms)>, Error> {
    let mut simulation = Simulation::new(workshop.potential, start.place(perfect)?, 0.3)?;
    let mut stops = pool.frames_after_evaluations.clone();
    stops.sort_unstable();
    let (mut taken, mut done) = (Vec::new(), 0);
    for stop in stops {
        let settings =
            QuenchSettings { max_evaluations: stop.saturating_sub(done).max(1), ..QuenchSettings::default() };
        let found = quench(&mut simulation, &settings)?;
        if found.converged {
            break;
        }
        done = stop;
        taken.push((format!("{stop}steps"), simulation.atoms().clone()));
    }
    let end = if quench(&mut simulation, &QuenchSettings::default())?.converged { "relaxed" } else { "unrelaxed" };
    taken.push((end.to_owned(), simulation.atoms().clone()));
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::{PairPotential, cubic_cell, element};
    use crate::progress::Silent;

    /// Frames of one relaxation: each lower than the one before, the last at a minimum, all from the same place.
    #[test]
    fn frames_go_downhill_from_each_start() {
        let potential = PairPotential::lennard_jones(0.6, 2.8, 4.6);
        let unit_cell = cubic_cell(2.8);
        let workshop = Workshop::of(&potential, &unit_cell);
        let pool = FrenkelPool {
            species: vec![element("Ar")],
            starts: 2,
            supercell: 4,
            grid_spacing_angstrom: 1.98,
            min_distance_angstrom: 1.8,
            reach_angstrom: 5.3,
            frames_after_evaluations: vec![12, 4],
            at_most: None,
        };
        let candidates = make(&workshop, &pool, &Silent).expect("candidates");
        let names: Vec<&str> = candidates.iter().map(|c| c.id.trim_end_matches("-aaaaaaaa-1")).collect();
        let expected = ["0-4steps", "0-12steps", "0-relaxed", "1-4steps", "1-12steps", "1-relaxed"];
        assert_eq!(names, expected.map(|name| format!("frenkel-Ar-{name}")));
        let sites: Vec<_> = candidates.chunks(3).map(|frames| frames[0].details.get("site")).collect();
        assert!(sites[0].is_some());
        for (frames, site) in candidates.chunks(3).zip(&sites) {
            let simulation = |c: &Candidate| Simulation::new(&potential, c.atoms.clone(), 0.3).expect("energies");
            let energies_ev: Vec<f64> = frames.iter().map(|c| simulation(c).potential_energy_ev()).collect();
            assert!(energies_ev.is_sorted_by(|a, b| a > b), "{energies_ev:?}");
            assert!(simulation(&frames[2]).evaluation().max_force_ev_per_angstrom() <= 1e-3 + 1e-6);
            assert!(frames.iter().all(|c| c.details.get("site") == *site && c.atoms.len() == 64));
        }
    }
}

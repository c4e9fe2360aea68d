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
    quench(&mut simulation, &QuenchSettings::default())?;
    taken.push(("relaxed".to_owned(), simulation.atoms().clone()));
    Ok(taken)
}

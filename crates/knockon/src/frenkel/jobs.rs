//! Relaxations, side by side, each kept in a file of its own.

use super::settings::FrenkelSettings;
use crate::dynamics::{QuenchSettings, Simulation, quench};
use crate::io::{content_hash, read_text, write_atomically};
use crate::progress::Progress;
use crate::side_by_side::side_by_side;
use crate::{Atoms, Error, Potential};
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much farther than the cutoff neighbour lists reach.
const SKIN_ANGSTROM: f64 = 0.5;

/// A box to relax.
pub(super) struct Job {
    /// Name of its file.
    pub(super) name: String,
    pub(super) atoms: Atoms,
}

/// The file of a finished relaxation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Relaxation {
    /// Names everything that the result depends on but the number of evaluations that was allowed.
    key: String,
    pub(super) energy_ev: f64,
    pub(super) max_force_ev_per_angstrom: f64,
    pub(super) evaluations: u64,
    /// After so many it would have been given up; earlier versions have it in the key.
    #[serde(default)]
    max_evaluations: Option<usize>,
    pub(super) converged: bool,
    /// Voigt order xx yy zz yz xz xy, positive in tension.
    pub(super) stress_ev_per_angstrom3: [f64; 6],
    /// Earlier versions wrote files of what failed, too, with numbers that mean nothing.
    #[serde(default, skip_serializing)]
    failure: Option<String>,
    /// Not wrapped.
    pub(super) positions: Vec<DVec3>,
}

/// What all relaxations of a search share.
pub(super) struct Relaxer<'a> {
    pub(super) potential: &'a dyn Potential,
    pub(super) model_hash: &'a str,
    pub(super) settings: &'a FrenkelSettings,
    pub(super) folder: &'a Path,
}

impl Relaxer<'_> {
    /// All jobs that are not yet done, as many at a time as rayon has threads, one thread each. A call that is stopped
    /// loses only the relaxations under way; results do not depend on the number of threads. None: the job failed.
    pub(super) fn relax_all(&self, jobs: &[Job], progress: &dyn Progress) -> Result<Vec<Option<Relaxation>>, Error> {
        let mut results: Vec<Option<Relaxation>> =
            jobs.iter().map(|job| self.finished(job)).collect::<Result<_, _>>()?;
        let missing: Vec<usize> = (0..jobs.len()).filter(|job| results[*job].is_none()).collect();
        if missing.len() < jobs.len() {
            progress.message(&format!("{} of {} relaxations are already done", jobs.len() - missing.len(), jobs.len()));
        }
        let done = AtomicU64::new(0);
        let relax = |job: &usize| {
            let result = self.relax(&jobs[*job], progress);
            progress.update(done.fetch_add(1, Ordering::Relaxed) + 1, missing.len() as u64);
            result
        };
        let n_workers = rayon::current_num_threads().min(missing.len());
        let found = side_by_side(&missing, &vec![1; n_workers], relax)?;
        for (job, result) in missing.into_iter().zip(found) {
            results[job] = result;
        }
        Ok(results)
    }

    fn path(&self, job: &Job) -> std::path::PathBuf {
        self.folder.join("relaxations").join(format!("{}.json", job.name))
    }

    fn key(&self, job: &Job) -> String {
        key(job, (self.model_hash, self.settings.max_force_ev_per_angstrom))
    }

    /// As earlier versions made it.
    fn earlier_key(&self, job: &Job) -> String {
        let s = self.settings;
        key(job, (self.model_hash, s.max_force_ev_per_angstrom, s.max_evaluations))
    }

    /// The result of a job that is done. Its file is the mark: files appear complete or not at all. One that was given up after
    /// fewer evaluations than are allowed now is none: it is relaxed again.
    fn finished(&self, job: &Job) -> Result<Option<Relaxation>, Error> {
        let path = self.path(job);
        if !path.exists() {
            return Ok(None);
        }
        let place = path.display().to_string();
        let relaxation: Relaxation = serde_json::from_str(&read_text(&path)?).map_err(|e| {
            Error::input(&place, format!("expected the record of a relaxation, found: {e}"), "Remove this file")
        })?;
        let allowed = self.settings.max_evaluations;
        let is_enough = if relaxation.key == self.key(job) {
            relaxation.converged || relaxation.max_evaluations.is_some_and(|given| given >= allowed)
        } else if relaxation.key == self.earlier_key(job) {
            true
        } else {
            let found = "expected a relaxation of this search, found one that began with other numbers: with another model, \
                         crystal or other settings, or on another processor or with another version of this program, where \
                         last digits differ";
            let remedy = "Go on where the search began, write this one to another folder, or remove the old one";
            return Err(Error::input(place, found, remedy));
        };
        Ok((is_enough && relaxation.failure.is_none()).then_some(relaxation))
    }

    fn relax(&self, job: &Job, progress: &dyn Progress) -> Result<Option<Relaxation>, Error> {
        let relaxation = match self.relaxed(&job.atoms) {
            Ok(relaxation) => Relaxation { key: self.key(job), ..relaxation },
            // A start may fall into a hole of the potential: that says something about this start, not about the search. It is
            // not kept: what is asked for again is tried again.
            Err(error @ Error::Computation { .. }) => {
                progress.message(&format!("{} has no result: {error}", job.name));
                return Ok(None);
            }
            Err(other) => return Err(other),
        };
        let text = serde_json::to_string(&relaxation).expect("plain numbers and text");
        write_atomically(&self.path(job), text.as_bytes())?;
        Ok(Some(relaxation))
    }

    /// Relaxes a box at fixed cell, without a file.
    pub(super) fn relaxed(&self, atoms: &Atoms) -> Result<Relaxation, Error> {
        let settings = QuenchSettings {
            max_force_ev_per_angstrom: self.settings.max_force_ev_per_angstrom,
            max_evaluations: self.settings.max_evaluations,
            ..QuenchSettings::default()
        };
        let mut simulation = Simulation::new(self.potential, atoms.clone(), SKIN_ANGSTROM)?;
        let found = quench(&mut simulation, &settings)?;
        let volume = atoms.cell.volume_angstrom3();
        Ok(Relaxation {
            key: String::new(),
            energy_ev: found.energy_ev,
            max_force_ev_per_angstrom: found.max_force_ev_per_angstrom,
            evaluations: found.evaluations,
            max_evaluations: Some(settings.max_evaluations),
            converged: found.converged,
            stress_ev_per_angstrom3: simulation.evaluation().stress(volume),
            failure: None,
            positions: simulation.atoms().positions.clone(),
        })
    }
}

/// Names a box and what its relaxation shares with others.
fn key(job: &Job, shared: impl Serialize) -> String {
    let positions: Vec<_> = job.atoms.positions.iter().map(|p| p.to_array()).collect();
    let cell = job.atoms.cell.vectors.to_cols_array();
    let text = serde_json::to_string(&(shared, &job.atoms.species, cell, positions)).expect("plain numbers");
    content_hash(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dynamics::testing::argon_like;
    use crate::progress::Silent;

    fn settings(max_evaluations: usize) -> FrenkelSettings {
        let text = "crystal = \"c\"\nrelax_cell = false\nspecies = [\"Ar\"]\nsupercells = [2]\nreach_angstrom = 5.0\n";
        toml::from_str(&format!("{text}max_evaluations = {max_evaluations}")).expect("settings")
    }

    #[test]
    fn a_record_stands_for_as_many_evaluations_as_it_was_allowed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (potential, mut atoms) = argon_like([2, 2, 2]);
        atoms.positions[0] += DVec3::X * 0.3;
        let jobs = [Job { name: "start".to_owned(), atoms }];
        let relax = |max_evaluations: usize| {
            let (potential, settings, folder) = (&potential, &settings(max_evaluations), folder.path());
            let relaxer = Relaxer { potential, model_hash: "model", settings, folder };
            relaxer.relax_all(&jobs, &Silent).map(|mut results| results.remove(0).expect("a result"))
        };
        let few = relax(2).expect("a start");
        assert!(!few.converged && few.evaluations <= 3, "{few:?}");
        assert_eq!(relax(1).expect("the record"), few);
        let all = relax(500).expect("a minimum");
        assert!(all.converged && all.evaluations > few.evaluations, "{all:?}");
        assert_eq!(relax(2).expect("the record"), all, "a minimum needs no more");

        // Earlier versions had the number in the key.
        let record = folder.path().join("relaxations/start.json");
        let (settings, folder) = (&settings(500), folder.path());
        let relaxer = Relaxer { potential: &potential, model_hash: "model", settings, folder };
        let earlier = Relaxation { key: relaxer.earlier_key(&jobs[0]), max_evaluations: None, ..all };
        std::fs::write(&record, serde_json::to_string(&earlier).expect("JSON")).expect("written");
        assert_eq!(relax(500).expect("the record"), earlier);
        let refused = relax(400).expect_err("another number").to_string();
        assert!(refused.contains("on another processor"), "{refused}");
    }
}

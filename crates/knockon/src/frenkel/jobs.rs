//! Relaxations, side by side, each kept in a file of its own.

use super::settings::FrenkelSettings;
use crate::dynamics::{QuenchSettings, Simulation, quench};
use crate::io::{content_hash, read_text, write_atomically};
use crate::progress::Progress;
use crate::{Atoms, Error, Potential};
use glam::DVec3;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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
    /// Names everything that the result depends on.
    key: String,
    pub(super) energy_ev: f64,
    pub(super) max_force_ev_per_angstrom: f64,
    pub(super) evaluations: u64,
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
        let (next, done, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let found = Mutex::new(Vec::new());
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let Some(job) = missing.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let result = self.relax(&jobs[*job], progress);
                stop.fetch_or(result.is_err(), Ordering::Relaxed);
                found.lock().expect("no relaxation panics").push((*job, result));
                progress.update(done.fetch_add(1, Ordering::Relaxed) as u64 + 1, missing.len() as u64);
            }
        };
        let n_workers = rayon::current_num_threads().min(missing.len());
        let pools: Vec<_> = (0..n_workers)
            .map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build())
            .collect::<Result<_, _>>()
            .map_err(|e| Error::computation(format!("cannot start a thread: {e}"), "Use fewer threads"))?;
        std::thread::scope(|scope| {
            for pool in &pools {
                scope.spawn(|| pool.install(work));
            }
        });
        let mut found = found.into_inner().expect("no relaxation panics");
        found.sort_by_key(|(job, _)| *job);
        for (job, result) in found {
            results[job] = result?;
        }
        Ok(results)
    }

    fn path(&self, job: &Job) -> std::path::PathBuf {
        self.folder.join("relaxations").join(format!("{}.json", job.name))
    }

    fn key(&self, job: &Job) -> String {
        let s = self.settings;
        let positions: Vec<_> = job.atoms.positions.iter().map(|p| p.to_array()).collect();
        let cell = job.atoms.cell.vectors.to_cols_array();
        let shared = (self.model_hash, s.max_force_ev_per_angstrom, s.max_evaluations);
        let text = serde_json::to_string(&(shared, &job.atoms.species, cell, positions)).expect("plain numbers");
        content_hash(text.as_bytes())
    }

    /// The result of a job that is done. Its file is the mark: files appear complete or not at all.
    fn finished(&self, job: &Job) -> Result<Option<Relaxation>, Error> {
        let path = self.path(job);
        if !path.exists() {
            return Ok(None);
        }
        let place = path.display().to_string();
        let relaxation: Relaxation = serde_json::from_str(&read_text(&path)?).map_err(|e| {
            Error::input(&place, format!("expected the record of a relaxation, found: {e}"), "Remove this file")
        })?;
        if relaxation.key != self.key(job) {
            let found = "expected a relaxation of this search, found one made with another model or other settings";
            return Err(Error::input(place, found, "Write this search to another folder, or remove the old one"));
        }
        Ok(relaxation.failure.is_none().then_some(relaxation))
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
            converged: found.converged,
            stress_ev_per_angstrom3: simulation.evaluation().stress(volume),
            failure: None,
            positions: simulation.atoms().positions.clone(),
        })
    }
}

//! The files of a campaign: a record of each finished run, the reason of each failure, the thermalised starts.

use super::super::checkpoint::remove_checkpoint;
use super::super::claims::Claim;
use super::super::output::RunRecord;
use crate::Error;
use crate::cascade::{Equilibrium, Plan, PlannedRun, Start};
use crate::io::{read_text, read_text_if_there, remove_unfinished, write_atomically};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A thermalised start on disk.
#[derive(Serialize, Deserialize)]
pub(super) struct StartFile {
    pub(super) key: String,
    pub(super) start: Start,
}

/// Why a run failed.
#[derive(Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) reason: String,
}

/// What the files of a run say.
pub(super) enum State {
    Done(Box<RunRecord>),
    Failed(Failure),
    Open,
}

/// The files of a campaign. They appear complete or not at all, so that a record's being there is the mark of a finished
/// run.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) plan: &'a Plan,
    pub(super) folder: &'a Path,
}

impl Files<'_> {
    pub(super) fn stem(&self, run: &PlannedRun) -> PathBuf {
        self.folder.join("runs").join(format!("run-{:05}", run.run))
    }

    pub(super) fn record_path(&self, run: &PlannedRun) -> PathBuf {
        self.stem(run).with_extension("json")
    }

    pub(super) fn failure_path(&self, run: &PlannedRun) -> PathBuf {
        self.stem(run).with_extension("failed.json")
    }

    /// Boxes of a run, the quenched one last.
    pub(super) fn frames_path(&self, run: &PlannedRun) -> PathBuf {
        self.stem(run).with_extension("xyz")
    }

    pub(super) fn checkpoint_path(&self, run: &PlannedRun) -> PathBuf {
        self.stem(run).with_extension("checkpoint")
    }

    /// Removes what a process left that was killed after it had finished a run.
    pub(super) fn tidy(&self, run: &PlannedRun) -> Result<(), Error> {
        let path = self.checkpoint_path(run);
        if path.exists() {
            remove_unfinished(&path);
        }
        remove_checkpoint(&path)?;
        if !Claim::is_held(&self.stem(run)) {
            Claim::clear(&self.stem(run));
        }
        Ok(())
    }

    /// Files of the thermalisation begin with it.
    pub(super) fn starts_stem(&self) -> PathBuf {
        self.folder.join("starts").join("all")
    }

    pub(super) fn start_path(&self, start: usize) -> PathBuf {
        self.folder.join("starts").join(format!("start-{start:04}.json"))
    }

    pub(super) fn state(&self, run: &PlannedRun) -> Result<State, Error> {
        // Others may forget a failure at this moment.
        let read = |path: PathBuf| read_text_if_there(&path).map(|text| text.map(|text| (text, path)));
        if let Some((text, path)) = read(self.record_path(run))? {
            return Ok(State::Done(Box::new(self.check_record(run, &text, &path.display().to_string())?)));
        }
        let Some((text, path)) = read(self.failure_path(run))? else { return Ok(State::Open) };
        let failure = serde_json::from_str(&text).map_err(|e| {
            let found = format!("expected the reason of a failure, found: {e}");
            Error::input(path.display().to_string(), found, "Remove this file")
        })?;
        Ok(State::Failed(failure))
    }

    fn check_record(&self, run: &PlannedRun, text: &str, place: &str) -> Result<RunRecord, Error> {
        let mut record: RunRecord = serde_json::from_str(text).map_err(|e| {
            Error::input(place, format!("expected the record of a recoil, found: {e}"), "Remove this file")
        })?;
        let asked = (&self.plan.key, run.energy_ev, run.start, self.plan.directions[run.direction].vector.normalize());
        if (&record.key, record.recoil.recoil_energy_ev, record.start, record.recoil.direction) != asked {
            let found = "expected a recoil of this campaign, found one made with another model or other settings";
            return Err(Error::input(place, found, "Write this campaign to another folder, or remove the old one"));
        }
        // The plan may number more directions than when the run was done.
        record.direction = run.direction;
        Ok(record)
    }

    /// What is known of a trajectory from which starts were drawn: of the first, and of others (2, 3, ...) from which starts were
    /// added where the first could not be repeated, as on another kind of processor.
    pub(super) fn equilibrium_path(&self, trajectory: usize) -> PathBuf {
        let name = match trajectory {
            1 => "thermalization.json".to_owned(),
            _ => format!("thermalization-{trajectory}.json"),
        };
        self.folder.join("starts").join(name)
    }

    /// None where there is no such trajectory, or where its starts came without it.
    pub(super) fn equilibrium(&self, trajectory: usize) -> Result<Option<Equilibrium>, Error> {
        let path = self.equilibrium_path(trajectory);
        let Some(text) = read_text_if_there(&path)? else { return Ok(None) };
        let read = |e| {
            let found = format!("expected readings of a thermalisation, found: {e}");
            let remedy = "Restore this file, or remove it: without it nobody looks whether starts were in equilibrium";
            Error::input(path.display().to_string(), found, remedy)
        };
        serde_json::from_str(&text).map(Some).map_err(read)
    }

    /// Of all trajectories.
    pub(super) fn equilibria(&self) -> Result<Vec<Equilibrium>, Error> {
        (1..).map_while(|trajectory| self.equilibrium(trajectory).transpose()).collect()
    }

    /// Writes the evidence of a trajectory. Where it is there, since its starts became more, the worst of all of them counts.
    pub(super) fn keep_equilibrium(&self, found: &Equilibrium) -> Result<(), Error> {
        let known = self.equilibria()?;
        let place = known.iter().position(|other| other.readings == found.readings);
        let kept = place.map_or_else(|| found.clone(), |place| known[place].with_starts_of(found));
        if place.is_some_and(|place| known[place] == kept) {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&kept).expect("plain numbers");
        write_atomically(&self.equilibrium_path(1 + place.unwrap_or(known.len())), text.as_bytes())
    }

    /// Starts that are there.
    pub(super) fn start(&self, start: usize) -> Result<Option<Start>, Error> {
        let path = self.start_path(start);
        if !path.exists() {
            return Ok(None);
        }
        let file = serde_json::from_str::<StartFile>(&read_text(&path)?);
        match file {
            Ok(file) if file.key == self.plan.key => Ok(Some(file.start)),
            _ => {
                let found = "expected a thermalised start of this campaign, found another file";
                Err(Error::input(path.display().to_string(), found, "Remove this file"))
            }
        }
    }
}

//! Doing the recoils of a plan, side by side and in any number of processes; each finished one is a file.

mod collect;
mod files;
mod memory;
mod status;
mod tally;

use super::claims::Claim;
use super::output::RunRecord;
use super::{
    Checkpoint, Followed, GradeWatch, PerfectBox, Plan, PlannedRun, Protocol, RecoilTask, Start, Thermalized,
    run_recoil, snapshots, thermalize,
};
use crate::io::{Frame, remove_if_there, remove_unfinished, write_atomically, write_extxyz};
use crate::potential::Extrapolation;
use crate::progress::Progress;
use crate::side_by_side::{side_by_side, threads_shared_by};
use crate::{Error, Potential};
use files::{Failure, Files, StartFile, State};
use memory::{available_bytes, bytes_of_recoil};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tally::Tally;

pub(super) use collect::finished_boxes;
pub use collect::{CampaignSummary, collect_campaign};
pub use memory::memory_bytes;
pub use status::{CampaignStatus, campaign_status};

/// What does the recoils of a campaign.
#[derive(Clone, Copy)]
pub struct Worker<'a> {
    /// The potential of the plan.
    pub potential: &'a dyn Potential,
    /// What grades atoms, where the plan asks for it.
    pub extrapolation: Option<&'a Extrapolation>,
    /// Name and version of the program.
    pub program: &'a str,
    /// Commit that it was built from; empty where that is not known.
    pub commit: &'a str,
    /// Whether to wait for recoils that other processes are at, and to take them over if those die.
    pub waits: bool,
    /// Who hears how far it is, and says when to stop.
    pub progress: &'a dyn Progress,
}

/// What a call of [`run_campaign`] did with the runs that it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunOutcome {
    /// Runs that were done before.
    pub resumed: usize,
    /// Runs done now.
    pub done: usize,
    /// Runs that failed, now or before; their files say why.
    pub failed: usize,
    /// Runs left to other processes that are at them.
    pub elsewhere: usize,
}

/// Does those of the runs `numbers` of a plan that are not done and that no other process is at, as many at a time as
/// rayon has threads. Each ends as a file in `folder/runs`: its record, or the reason why it failed, which stops no other
/// run. With `extrapolation`, grades are watched as the plan's settings say.
///
/// Recoils under way are kept in checkpoints; a call that is killed loses what came after the last one, a call that is
/// told to stop nothing. Stored energies do not depend on any of this, nor on the number of threads.
/// Fails if a number is not in the plan, a file cannot be read or written, or when told to stop.
pub fn run_campaign(worker: &Worker<'_>, plan: &Plan, numbers: &[usize], folder: &Path) -> Result<RunOutcome, Error> {
    let files = Files { plan, folder };
    let mut outcome = RunOutcome::default();
    let mut missing = Vec::new();
    for number in numbers {
        let Some(run) = plan.runs.get(*number) else {
            let found = format!("expected runs from 0 to {}, found {number}", plan.runs.len().saturating_sub(1));
            return Err(Error::input("runs", found, "Name runs that plan.csv lists"));
        };
        match files.state(run)? {
            State::Done(_) => {
                outcome.resumed += 1;
                files.tidy(run)?;
            }
            State::Failed(_) => outcome.failed += 1,
            State::Open => missing.push(*run),
        }
    }
    if outcome.resumed + outcome.failed > 0 {
        worker.progress.message(&format!("{} of {} recoils are already done", outcome.resumed, numbers.len()));
    }
    if missing.is_empty() {
        return Ok(outcome);
    }
    let mut campaign = Campaign::prepare(*worker, files)?;
    campaign.load_starts(missing.iter().map(|run| run.start))?;
    let (mut open, mut failed) = (missing.clone(), 0);
    let mut pause = LOOK_AGAIN;
    loop {
        campaign.run_all(&open)?;
        let mut left = Vec::new();
        for run in &open {
            match files.state(run)? {
                State::Done(_) => {}
                State::Failed(_) => failed += 1,
                State::Open => left.push(*run),
            }
        }
        pause = if left.len() < open.len() { LOOK_AGAIN } else { (2 * pause).min(LOOK_AGAIN_AT_LATEST) };
        open = left;
        if open.is_empty() || !worker.waits {
            break;
        }
        sleep(pause, worker.progress)?;
    }
    outcome.failed += failed;
    outcome.elsewhere = open.len();
    outcome.done = missing.len() - failed - open.len();
    Ok(outcome)
}

/// How often a process looks whether another one still lives,
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// and at least that often, when one look after the other finds all of them at work: each opens a file per recoil.
const LOOK_AGAIN_AT_LATEST: Duration = Duration::from_secs(30);

/// Sleeps, but wakes with an error when told to stop.
fn sleep(pause: Duration, progress: &dyn Progress) -> Result<(), Error> {
    let until = Instant::now() + pause;
    while !progress.is_stopped() {
        match until.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => std::thread::sleep(left.min(LOOK_AGAIN)),
            _ => return Ok(()),
        }
    }
    Err(Error::Stopped)
}

/// Makes the thermalised starts that the runs of a plan need, if they are not there.
pub fn make_starts(worker: &Worker<'_>, plan: &Plan, folder: &Path) -> Result<(), Error> {
    let files = Files { plan, folder };
    let numbers = 0..plan.settings.max_starts();
    if numbers.clone().all(|number| files.start_path(number).exists()) {
        return Ok(());
    }
    Campaign::prepare(*worker, files)?.load_starts(numbers)
}

/// Lets runs of a plan that failed be tried again; returns how many.
pub fn forget_failures(plan: &Plan, numbers: &[usize], folder: &Path) -> Result<usize, Error> {
    let files = Files { plan, folder };
    let mut forgotten = 0;
    for run in numbers.iter().filter_map(|number| plan.runs.get(*number)) {
        forgotten += usize::from(remove_if_there(&files.failure_path(run))?);
    }
    Ok(forgotten)
}

/// Everything that the runs of a campaign share.
struct Campaign<'a> {
    worker: Worker<'a>,
    files: Files<'a>,
    perfect: PerfectBox,
    starts: BTreeMap<usize, Start>,
    /// Whether there is evidence against the equilibrium of the starts.
    starts_are_doubtful: bool,
}

impl<'a> Campaign<'a> {
    fn prepare(worker: Worker<'a>, files: Files<'a>) -> Result<Self, Error> {
        let settings = &files.plan.settings;
        let (quench, skin_angstrom) = (settings.recoil.quench, settings.recoil.skin_angstrom);
        let ideal = files.plan.ideal_box()?;
        let mut perfect = PerfectBox::new(worker.potential, ideal, settings.species, quench, skin_angstrom)?;
        perfect.central_atom = files.plan.central_atom()?;
        let runs = files.folder.join("runs");
        std::fs::create_dir_all(&runs).map_err(|e| Error::io("create", &runs, e))?;
        Ok(Self { worker, files, perfect, starts: BTreeMap::new(), starts_are_doubtful: false })
    }

    /// A checkpoint bound to this campaign.
    fn checkpoint(&self, path: &Path) -> Checkpoint<'a> {
        let Plan { key, settings, .. } = self.files.plan;
        Checkpoint::new(path, key, settings.running, self.worker.progress)
    }

    /// Reads some starts. One process makes all that the plan needs, the others wait for it.
    fn load_starts(&mut self, numbers: impl Iterator<Item = usize>) -> Result<(), Error> {
        let folder = self.files.folder.join("starts");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        let (stem, progress) = (self.files.starts_stem(), self.worker.progress);
        let mut is_told = false;
        for number in numbers {
            while let std::collections::btree_map::Entry::Vacant(free) = self.starts.entry(number) {
                if let Some(start) = self.files.start(number)? {
                    free.insert(start);
                } else if let Some(claim) = Claim::take(&stem)? {
                    // Somebody may have made them between the look and the claim.
                    if self.files.start(number)?.is_none() {
                        self.make_starts(&stem.with_extension("checkpoint"), &claim)?;
                    }
                    Claim::clear(&stem);
                } else {
                    if !std::mem::replace(&mut is_told, true) {
                        progress.message("waiting for the starts that another process is making");
                    }
                    sleep(LOOK_AGAIN, progress)?;
                }
            }
        }
        let equilibria = self.files.equilibria()?;
        self.starts_are_doubtful = equilibria.iter().any(|found| found.warning(&self.perfect.atoms).is_some());
        Ok(())
    }

    fn make_starts(&self, kept: &Path, claim: &Claim) -> Result<(), Error> {
        let Plan { settings, key, .. } = self.files.plan;
        let thermalization = &settings.thermalization;
        self.worker.progress.message(&format!(
            "thermalising {} atoms at {} K",
            self.perfect.atoms.len(),
            thermalization.temperature_k
        ));
        remove_unfinished(kept);
        let mut checkpoint = self.checkpoint(kept).under(claim);
        let (potential, count, seed) = (self.worker.potential, settings.max_starts(), settings.seed);
        let Thermalized { starts, equilibrium } =
            thermalize(potential, &self.perfect, thermalization, count, seed, &mut checkpoint)?;
        if let Some(warning) = equilibrium.warning(&self.perfect.atoms) {
            self.worker.progress.message(&warning);
        }
        self.files.keep_equilibrium(&equilibrium)?;
        for (number, start) in starts.into_iter().enumerate() {
            let path = self.files.start_path(number);
            remove_unfinished(&path);
            // Runs that are done began from the starts that are there.
            if !path.exists() {
                let file = StartFile { key: key.clone(), start };
                write_atomically(&path, serde_json::to_string(&file).expect("plain numbers").as_bytes())?;
            }
        }
        checkpoint.remove()
    }

    /// How many recoils fit into the memory that is free, at least one.
    fn recoils_in_memory(&self) -> usize {
        let each = bytes_of_recoil(self.perfect.atoms.len());
        available_bytes().map_or(usize::MAX, |bytes| usize::try_from(bytes / each.max(1)).unwrap_or(usize::MAX)).max(1)
    }

    /// As many runs side by side as there are threads and as memory has room for; with fewer runs, several threads each. The
    /// bits do not depend on it.
    fn run_all(&self, runs: &[PlannedRun]) -> Result<(), Error> {
        let progress = self.worker.progress;
        let each_fs = self.files.plan.settings.recoil.time_fs as u64;
        let tally = Tally::new(progress, each_fs * runs.len() as u64);
        let work = |run: &PlannedRun| {
            let mut reported = 0;
            let result = self.attempt(run, &mut |time_fs| {
                let whole_fs = (time_fs as u64).min(each_fs);
                if whole_fs > reported {
                    tally.add_done(whole_fs - reported);
                    reported = whole_fs;
                }
            });
            // What others did, or what is left of a recoil that failed.
            tally.leave_out(each_fs - reported);
            if let Err(error) = &result
                && !matches!(error, Error::Stopped)
            {
                progress.message(&format!("recoil {} cannot be kept: {error}. No others are begun", run.run));
            }
            result
        };
        let n_workers = rayon::current_num_threads().min(runs.len()).min(self.recoils_in_memory());
        side_by_side(runs, &threads_shared_by(n_workers), work)?;
        Ok(())
    }

    /// Does a run unless another process is at it or has done it. A recoil that fails is a result; a file that cannot be
    /// written is an error.
    fn attempt(&self, run: &PlannedRun, watch: &mut dyn FnMut(f64)) -> Result<(), Error> {
        if self.worker.progress.is_stopped() {
            return Err(Error::Stopped);
        }
        let stem = self.files.stem(run);
        let Some(claim) = Claim::take(&stem)? else { return Ok(()) };
        if let State::Open = self.files.state(run)? {
            self.follow(run, &claim, watch)?;
        }
        Claim::clear(&stem);
        Ok(())
    }

    /// Does a run to its record, or to the reason why it failed. Fails if another process has taken it over meanwhile.
    fn follow(&self, run: &PlannedRun, claim: &Claim, watch: &mut dyn FnMut(f64)) -> Result<(), Error> {
        let (record_path, failure_path) = (self.files.record_path(run), self.files.failure_path(run));
        let checkpoint_path = self.files.checkpoint_path(run);
        let frames_path = self.files.frames_path(run);
        [&record_path, &failure_path, &checkpoint_path, &frames_path]
            .into_iter()
            .for_each(|path| remove_unfinished(path));
        let mut checkpoint = self.checkpoint(&checkpoint_path).under(claim);
        let result = self.recoil(run, &mut checkpoint, watch);
        checkpoint.check_claim()?;
        match result {
            Ok((record, boxes)) => {
                // Before the record, which marks a run as done.
                if self.files.plan.settings.frames.is_some() {
                    write_extxyz(&frames_path, &boxes)?;
                }
                record.write(&record_path)?;
                checkpoint.remove()?;
                self.worker.progress.message(&record.summary());
                Ok(())
            }
            Err(error @ (Error::Io { .. } | Error::Stopped)) => Err(error),
            Err(error) => {
                let failure = Failure { reason: error.to_string() };
                self.worker.progress.message(&format!("recoil {} failed: {}", run.run, failure.reason));
                let text = serde_json::to_string(&failure).expect("plain text");
                write_atomically(&failure_path, text.as_bytes())
            }
        }
    }

    fn recoil(
        &self,
        run: &PlannedRun,
        checkpoint: &mut Checkpoint<'_>,
        watch: &mut dyn FnMut(f64),
    ) -> Result<(RunRecord, Vec<Frame>), Error> {
        let Plan { settings, key, directions, model_hash, .. } = self.files.plan;
        let direction = directions[run.direction];
        let every_steps = settings.extrapolation.as_ref().map_or(1, |e| e.every_steps);
        let task = RecoilTask {
            potential: self.worker.potential,
            perfect: &self.perfect,
            start: self.starts.get(&run.start).expect("starts of all runs are loaded"),
            energy_ev: run.energy_ev,
            direction: direction.vector,
            settings: &settings.recoil,
            // Border baths of different runs draw different noise.
            seed: settings.seed.wrapping_add(1 + run.run as u64),
            grades: self.worker.extrapolation.map(|extrapolation| GradeWatch { extrapolation, every_steps }),
            frames_fs: settings.frames.as_ref().map_or(&[], |frames| &frames.times_fs),
        };
        let Followed { mut recoil, quenched, frames } =
            run_recoil(&task, checkpoint, &mut |simulation| watch(simulation.time_fs()))?;
        if self.starts_are_doubtful {
            recoil.flag_start();
        }
        let mut boxes = snapshots(&self.perfect.atoms, &frames);
        let mut last = Frame::new(quenched);
        last.info.set("stored_energy_ev", recoil.stored_energy_ev);
        boxes.push(last);
        let record = RunRecord {
            run: run.run,
            key: key.clone(),
            species: settings.species,
            direction: run.direction,
            weight_sr: direction.weight_sr,
            start: run.start,
            recoil,
            perfect_energy_ev: Some(self.perfect.energy_ev),
            wall_time_s: checkpoint.wall_time_s(),
            model_hash: model_hash.clone(),
            program: self.worker.program.to_owned(),
            commit: self.worker.commit.to_owned(),
            protocol: Some(Protocol {
                cells: settings.cells,
                thermalization: settings.thermalization,
                recoil: settings.recoil.clone(),
                site: settings.site,
                seed: settings.seed,
                graded_every_steps: task.grades.map(|grades| grades.every_steps),
            }),
        };
        Ok((record, boxes))
    }
}

#[cfg(test)]
mod tests;

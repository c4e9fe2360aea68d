//! Doing the recoils of a plan, side by side and in any number of processes; each finished one is a file.

use super::checkpoint::underway;
use super::claims::Claim;
use super::output::{CampaignFile, RunRecord, recoils_csv};
use super::{
    Checkpoint, Followed, GradeWatch, KineticEnergies, PerfectBox, Plan, PlannedRun, RecoilTask, Start, Thermalized,
    Underway, run_recoil, snapshots, thermalize,
};
use crate::io::{Frame, read_text, remove_unfinished, write_atomically, write_extxyz};
use crate::potential::Extrapolation;
use crate::progress::Progress;
use crate::{Error, Potential};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

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

/// Where a campaign stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CampaignStatus {
    /// Recoils in the plan.
    pub n_runs: usize,
    /// Recoils that are done.
    pub done: usize,
    /// Recoils done, with flags: to be kept out of statistics.
    pub flagged: usize,
    /// Recoils that some process is at.
    pub running: usize,
    /// Recoils that nobody is at, but that go on from a checkpoint.
    pub interrupted: usize,
    /// Recoils that failed: run number and reason.
    pub failed: Vec<(usize, String)>,
    /// Recoils that are not done but have a checkpoint: run number and how far they were then.
    pub underway: Vec<(usize, Underway)>,
    /// Wall-clock time left in seconds, if those running now go on in the same number; none before the first is done or has
    /// a checkpoint.
    pub time_left_s: Option<f64>,
}

/// What a campaign has given.
#[derive(Clone, Debug)]
pub struct CampaignSummary {
    /// Recoils in the plan.
    pub n_runs: usize,
    /// Recoils in the table.
    pub n_done: usize,
    /// Recoils with flags, to be kept out of statistics.
    pub n_flagged: usize,
    /// Recoils that failed, which are not in the table.
    pub n_failed: usize,
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
    loop {
        campaign.run_all(&open)?;
        let mut left = Vec::new();
        for run in open {
            match files.state(&run)? {
                State::Done(_) => {}
                State::Failed(_) => failed += 1,
                State::Open => left.push(run),
            }
        }
        open = left;
        if open.is_empty() || !worker.waits {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    outcome.failed += failed;
    outcome.elsewhere = open.len();
    outcome.done = missing.len() - failed - open.len();
    Ok(outcome)
}

/// How often a process looks whether another one still lives.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Makes the thermalised starts that the runs of a plan need, if they are not there.
pub fn make_starts(worker: &Worker<'_>, plan: &Plan, folder: &Path) -> Result<(), Error> {
    let files = Files { plan, folder };
    let numbers = 0..plan.settings.max_starts();
    if numbers.clone().all(|number| files.start_path(number).exists()) {
        return Ok(());
    }
    Campaign::prepare(*worker, files)?.load_starts(numbers)
}

/// Looks at the files of a campaign.
pub fn campaign_status(plan: &Plan, folder: &Path) -> Result<CampaignStatus, Error> {
    let files = Files { plan, folder };
    let mut status = CampaignStatus { n_runs: plan.runs.len(), ..CampaignStatus::default() };
    let mut wall_times_s = Vec::new();
    for run in &plan.runs {
        match files.state(run)? {
            State::Done(record) => {
                status.done += 1;
                status.flagged += usize::from(!record.recoil.flags.is_empty());
                wall_times_s.push(record.wall_time_s);
            }
            State::Failed(failure) => status.failed.push((run.run, failure.reason)),
            State::Open => {
                let (is_held, path) = (Claim::is_held(&files.stem(run)), files.checkpoint_path(run));
                status.running += usize::from(is_held);
                status.interrupted += usize::from(!is_held && path.exists());
                status.underway.extend(underway(&path).map(|underway| (run.run, underway)));
            }
        }
    }
    if wall_times_s.is_empty() {
        wall_times_s = status.underway.iter().filter_map(|(_, underway)| underway.expected_s()).collect();
    }
    let done_s: f64 = status.underway.iter().map(|(_, underway)| underway.wall_time_s).sum();
    let left = (status.n_runs - status.done - status.failed.len()) as f64;
    status.time_left_s = (!wall_times_s.is_empty()).then(|| {
        let each_s = wall_times_s.iter().sum::<f64>() / wall_times_s.len() as f64;
        (each_s * left - done_s).max(0.0) / status.running.max(1) as f64
    });
    Ok(status)
}

/// Writes one line for each finished recoil into `table` and the campaign as a whole into `folder/campaign.json`, with the
/// kinetic energies of the atoms in all starts that are there.
pub fn collect_campaign(plan: &Plan, folder: &Path, table: &Path) -> Result<CampaignSummary, Error> {
    let files = Files { plan, folder };
    let (mut records, mut n_failed) = (Vec::new(), 0);
    for run in &plan.runs {
        match files.state(run)? {
            State::Done(record) => records.push(*record),
            State::Failed(_) => n_failed += 1,
            State::Open => {}
        }
    }
    write_atomically(table, recoils_csv(plan, &records).as_bytes())?;
    let n_flagged = records.iter().filter(|r| !r.recoil.flags.is_empty()).count();
    let ideal_box = plan.ideal_box()?;
    let starts = (0..plan.settings.max_starts()).filter_map(|number| files.start(number).transpose());
    let starts = starts.collect::<Result<Vec<Start>, Error>>()?;
    let file = CampaignFile {
        plan,
        site: plan.site()?,
        kinetic_energies: KineticEnergies::of(&ideal_box, &starts, plan.settings.thermalization.temperature_k),
        ideal_box,
        perfect_energy_ev: records.first().map(|r| r.perfect_energy_ev),
        n_runs: records.len(),
        n_flagged,
    };
    file.write(&folder.join("campaign.json"))?;
    Ok(CampaignSummary { n_runs: plan.runs.len(), n_done: records.len(), n_flagged, n_failed })
}

/// Finished runs, with the files of their boxes if these were kept.
pub(super) fn finished_boxes(plan: &Plan, folder: &Path) -> Result<Vec<(RunRecord, Option<PathBuf>)>, Error> {
    let files = Files { plan, folder };
    let mut found = Vec::new();
    for run in &plan.runs {
        if let State::Done(record) = files.state(run)? {
            found.push((*record, Some(files.frames_path(run)).filter(|path| path.exists())));
        }
    }
    Ok(found)
}

/// Lets runs of a plan that failed be tried again; returns how many.
pub fn forget_failures(plan: &Plan, numbers: &[usize], folder: &Path) -> Result<usize, Error> {
    let files = Files { plan, folder };
    let mut forgotten = 0;
    for run in numbers.iter().filter_map(|number| plan.runs.get(*number)) {
        let path = files.failure_path(run);
        if path.exists() {
            std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

/// A thermalised start on disk.
#[derive(Serialize, Deserialize)]
struct StartFile {
    key: String,
    start: Start,
}

/// Why a run failed.
#[derive(Serialize, Deserialize)]
struct Failure {
    reason: String,
}

/// What the files of a run say.
enum State {
    Done(Box<RunRecord>),
    Failed(Failure),
    Open,
}

/// The files of a campaign. They appear complete or not at all, so that a record's being there is the mark of a finished
/// run.
#[derive(Clone, Copy)]
struct Files<'a> {
    plan: &'a Plan,
    folder: &'a Path,
}

impl Files<'_> {
    fn stem(&self, run: &PlannedRun) -> PathBuf {
        self.folder.join("runs").join(format!("run-{:05}", run.run))
    }

    fn record_path(&self, run: &PlannedRun) -> PathBuf {
        self.stem(run).with_extension("json")
    }

    fn failure_path(&self, run: &PlannedRun) -> PathBuf {
        self.stem(run).with_extension("failed.json")
    }

    /// Boxes of a run, the quenched one last.
    fn frames_path(&self, run: &PlannedRun) -> PathBuf {
        self.stem(run).with_extension("xyz")
    }

    fn checkpoint_path(&self, run: &PlannedRun) -> PathBuf {
        self.stem(run).with_extension("checkpoint")
    }

    /// Removes what a process left that was killed after it had finished a run.
    fn tidy(&self, run: &PlannedRun) -> Result<(), Error> {
        let path = self.checkpoint_path(run);
        if path.exists() {
            remove_unfinished(&path);
            std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        if !Claim::is_held(&self.stem(run)) {
            Claim::clear(&self.stem(run));
        }
        Ok(())
    }

    fn start_path(&self, start: usize) -> PathBuf {
        self.folder.join("starts").join(format!("start-{start:04}.json"))
    }

    fn state(&self, run: &PlannedRun) -> Result<State, Error> {
        let read = |path: PathBuf| path.exists().then(|| read_text(&path).map(|text| (text, path))).transpose();
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

    /// Starts that are there.
    fn start(&self, start: usize) -> Result<Option<Start>, Error> {
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

/// Everything that the runs of a campaign share.
struct Campaign<'a> {
    worker: Worker<'a>,
    files: Files<'a>,
    perfect: PerfectBox,
    starts: BTreeMap<usize, Start>,
}

impl<'a> Campaign<'a> {
    fn prepare(worker: Worker<'a>, files: Files<'a>) -> Result<Self, Error> {
        let settings = &files.plan.settings;
        let (quench, skin_angstrom) = (settings.recoil.quench, settings.recoil.skin_angstrom);
        let ideal = files.plan.ideal_box()?;
        let perfect = PerfectBox::new(worker.potential, ideal, settings.species, quench, skin_angstrom)?;
        let runs = files.folder.join("runs");
        std::fs::create_dir_all(&runs).map_err(|e| Error::io("create", &runs, e))?;
        Ok(Self { worker, files, perfect, starts: BTreeMap::new() })
    }

    /// A checkpoint bound to this campaign and program.
    fn checkpoint(&self, path: &Path) -> Checkpoint<'a> {
        let Worker { program, commit, progress, .. } = self.worker;
        let key = format!("{} {program} {commit}", self.files.plan.key);
        Checkpoint::new(path, &key, self.files.plan.settings.running, progress)
    }

    /// Reads some starts. One process makes all that the plan needs, the others wait for it.
    fn load_starts(&mut self, numbers: impl Iterator<Item = usize>) -> Result<(), Error> {
        let folder = self.files.folder.join("starts");
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        let stem = folder.join("all");
        for number in numbers {
            while let std::collections::btree_map::Entry::Vacant(free) = self.starts.entry(number) {
                if let Some(start) = self.files.start(number)? {
                    free.insert(start);
                } else if let Some(_claim) = Claim::take(&stem)? {
                    // Somebody may have made them between the look and the claim.
                    if self.files.start(number)?.is_none() {
                        self.make_starts(&stem.with_extension("checkpoint"))?;
                    }
                    Claim::clear(&stem);
                } else if self.worker.progress.is_stopped() {
                    return Err(Error::Stopped);
                } else {
                    std::thread::sleep(LOOK_AGAIN);
                }
            }
        }
        Ok(())
    }

    fn make_starts(&self, kept: &Path) -> Result<(), Error> {
        let Plan { settings, key, .. } = self.files.plan;
        let thermalization = &settings.thermalization;
        self.worker.progress.message(&format!(
            "thermalising {} atoms at {} K",
            self.perfect.atoms.len(),
            thermalization.temperature_k
        ));
        remove_unfinished(kept);
        let mut checkpoint = self.checkpoint(kept);
        let (potential, count, seed) = (self.worker.potential, settings.max_starts(), settings.seed);
        let Thermalized { starts, equilibrium } =
            thermalize(potential, &self.perfect, thermalization, count, seed, &mut checkpoint)?;
        let path = self.files.folder.join("starts").join("thermalization.json");
        write_atomically(&path, serde_json::to_string_pretty(&equilibrium).expect("plain numbers").as_bytes())?;
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
        let each = self.perfect.atoms.len() as u64 * BYTES_PER_ATOM;
        available_bytes().map_or(usize::MAX, |bytes| usize::try_from(bytes / each.max(1)).unwrap_or(usize::MAX)).max(1)
    }

    /// As many runs side by side as there are threads and as memory has room for; with fewer runs, several threads each. The
    /// bits do not depend on it.
    fn run_all(&self, runs: &[PlannedRun]) -> Result<(), Error> {
        let progress = self.worker.progress;
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let done_fs = AtomicU64::new(0);
        let total_fs = (runs.len() as f64 * self.files.plan.settings.recoil.time_fs) as u64;
        let results = Mutex::new(Vec::new());
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let Some(run) = runs.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let mut reported = 0;
                let result = self.attempt(run, &mut |time_fs| {
                    let whole_fs = time_fs as u64;
                    if whole_fs > reported {
                        let done = done_fs.fetch_add(whole_fs - reported, Ordering::Relaxed) + whole_fs - reported;
                        reported = whole_fs;
                        progress.update(done.min(total_fs), total_fs);
                    }
                });
                stop.fetch_or(result.is_err(), Ordering::Relaxed);
                results.lock().expect("no run panics").push(result);
            }
        };
        let n_threads = rayon::current_num_threads();
        let n_workers = n_threads.min(runs.len()).min(self.recoils_in_memory());
        // The first get what is left over.
        let threads = |worker: usize| n_threads / n_workers + usize::from(worker < n_threads % n_workers);
        let pool = |worker| rayon::ThreadPoolBuilder::new().num_threads(threads(worker)).build();
        let pools: Result<Vec<_>, _> = (0..n_workers).map(pool).collect();
        let pools =
            pools.map_err(|e| Error::computation(format!("cannot start a thread: {e}"), "Use fewer threads"))?;
        std::thread::scope(|scope| {
            for pool in &pools {
                scope.spawn(|| pool.install(work));
            }
        });
        results.into_inner().expect("no run panics").into_iter().collect()
    }

    /// Does a run unless another process is at it or has done it. A recoil that fails is a result; a file that cannot be
    /// written is an error.
    fn attempt(&self, run: &PlannedRun, watch: &mut dyn FnMut(f64)) -> Result<(), Error> {
        if self.worker.progress.is_stopped() {
            return Err(Error::Stopped);
        }
        let stem = self.files.stem(run);
        let Some(_claim) = Claim::take(&stem)? else { return Ok(()) };
        if let State::Open = self.files.state(run)? {
            self.follow(run, watch)?;
        }
        Claim::clear(&stem);
        Ok(())
    }

    /// Does a run to its record, or to the reason why it failed.
    fn follow(&self, run: &PlannedRun, watch: &mut dyn FnMut(f64)) -> Result<(), Error> {
        let (record_path, failure_path) = (self.files.record_path(run), self.files.failure_path(run));
        let checkpoint_path = self.files.checkpoint_path(run);
        let frames_path = self.files.frames_path(run);
        [&record_path, &failure_path, &checkpoint_path, &frames_path]
            .into_iter()
            .for_each(|path| remove_unfinished(path));
        let mut checkpoint = self.checkpoint(&checkpoint_path);
        match self.recoil(run, &mut checkpoint, watch) {
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
        let Followed { recoil, quenched, frames } =
            run_recoil(&task, checkpoint, &mut |simulation| watch(simulation.time_fs()))?;
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
            perfect_energy_ev: self.perfect.energy_ev,
            wall_time_s: checkpoint.wall_time_s(),
            model_hash: model_hash.clone(),
            program: self.worker.program.to_owned(),
            commit: self.worker.commit.to_owned(),
        };
        Ok((record, boxes))
    }
}

/// What a recoil takes, per atom: 184 MiB were measured for 49152 atoms (docs/performance.md), and its checkpoint is made in
/// memory.
const BYTES_PER_ATOM: u64 = 6000;

/// Memory that is free now; None where the system does not say (proc_meminfo(5)).
fn available_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| 1024 * kib)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cascade::{
        Attribution, Border, CLOSE_PAIR_ANGSTROM, CampaignSettings, Directions, Exported, FLAGS, FrameSettings,
        RecoilEnergy, RecoilSettings, RunningSettings, Thermalization, export_campaign,
    };
    use crate::dynamics::testing::{argon_like, cubic_cell, element};
    use crate::dynamics::{QuenchSettings, TimeStep};
    use crate::progress::Silent;
    use glam::DVec3;

    fn settings() -> CampaignSettings {
        CampaignSettings {
            crystal: PathBuf::from("argon.xyz"),
            cells: [4, 4, 4],
            relax_cell: true,
            species: element("Ar"),
            directions: Directions::Count(2),
            seed: 5,
            energies: vec![RecoilEnergy { energy_ev: 2.0, starts: 2 }, RecoilEnergy { energy_ev: 40.0, starts: 1 }],
            thermalization: Thermalization {
                temperature_k: 60.0,
                time_fs: 200.0,
                sampling_time_fs: 100.0,
                time_step_fs: 4.0,
                friction_per_fs: 0.01,
            },
            recoil: RecoilSettings {
                time_fs: 60.0,
                time_step: TimeStep { max_displacement_angstrom: 0.05, max_fs: 4.0, max_energy_change_ev: None },
                quench: QuenchSettings::default(),
                skin_angstrom: 0.5,
                border: None,
                electronic_stopping: None,
                max_steps: 10_000,
                min_distance_angstrom: CLOSE_PAIR_ANGSTROM,
            },
            model: None,
            extrapolation: None,
            frames: None,
            running: RunningSettings::default(),
        }
    }

    fn plan(folder: &Path, settings: &CampaignSettings) -> Result<Plan, Error> {
        let (potential, _) = argon_like([1, 1, 1]);
        Plan::new(&potential, "model", &cubic_cell(2.8), settings)?.write(folder)
    }

    fn worker(potential: &dyn Potential) -> Worker<'_> {
        Worker { potential, extrapolation: None, program: "knockon", commit: "", waits: false, progress: &Silent }
    }

    fn run_some(folder: &Path, threads: usize, numbers: &[usize]) -> RunOutcome {
        let (potential, _) = argon_like([1, 1, 1]);
        let plan = Plan::load(folder).expect("a plan");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        let outcome = pool.install(|| run_campaign(&worker(&potential), &plan, numbers, folder));
        collect_campaign(&plan, folder, &folder.join("recoils.csv")).expect("a table");
        outcome.expect("runs")
    }

    fn outcome(resumed: usize, done: usize, failed: usize, elsewhere: usize) -> RunOutcome {
        RunOutcome { resumed, done, failed, elsewhere }
    }

    /// The table without wall times.
    fn table(folder: &Path) -> Vec<String> {
        let text = read_text(&folder.join("recoils.csv")).expect("a table");
        let drop_wall_time = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            let n = cells.len();
            [&cells[..n - 4], &cells[n - 3..]].concat().join(",")
        };
        text.lines().map(drop_wall_time).collect()
    }

    const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];

    #[test]
    fn campaigns_resume_and_do_not_depend_on_threads() {
        let [one, two] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        for folder in [&one, &two] {
            plan(folder.path(), &settings()).expect("a plan");
        }
        assert_eq!(run_some(one.path(), 1, &ALL), outcome(0, 6, 0, 0));
        assert_eq!(run_some(two.path(), 2, &ALL[3..]), outcome(0, 3, 0, 0));
        assert_eq!(run_some(two.path(), 4, &ALL), outcome(3, 3, 0, 0));
        assert_eq!(table(one.path()), table(two.path()));

        // Losing one record costs one run and nothing else.
        let lost = two.path().join("runs/run-00003.json");
        let before = read_text(&lost).expect("a record");
        std::fs::remove_file(&lost).expect("removed");
        assert_eq!(run_some(two.path(), 2, &ALL), outcome(5, 1, 0, 0));
        let stored = |text: &str| serde_json::from_str::<RunRecord>(text).expect("a record").recoil;
        assert_eq!(stored(&before), stored(&read_text(&lost).expect("a record")));
        assert_eq!(table(one.path()), table(two.path()));

        // Another seed is another campaign.
        let error = plan(two.path(), &CampaignSettings { seed: 6, ..settings() }).err().expect("an error");
        assert!(error.to_string().contains("another model or other settings"), "{error}");

        let file: serde_json::Value =
            serde_json::from_str(&read_text(&one.path().join("campaign.json")).expect("a file")).expect("JSON");
        assert_eq!(file["site_symmetry"], "m-3m");
        assert_eq!(file["operations"].as_array().map(Vec::len), Some(48));
        assert_eq!(file["n_atoms"], 256);
        let kinetic: KineticEnergies = serde_json::from_value(file["kinetic_energies"].clone()).expect("counts");
        assert_eq!((kinetic.n_frames, kinetic.n_atoms), (2, 256));
        assert_eq!(kinetic.counts.iter().sum::<u64>() + kinetic.beyond, 2 * 256);
    }

    #[test]
    fn two_workers_share_a_campaign() {
        let folder = tempfile::tempdir().expect("a folder");
        plan(folder.path(), &settings()).expect("a plan");
        let outcomes: Vec<RunOutcome> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..2).map(|_| scope.spawn(|| run_some(folder.path(), 1, &ALL))).collect();
            workers.into_iter().map(|w| w.join().expect("no panic")).collect()
        });
        // A worker counts what it finds done after its first look as done, too.
        assert!(outcomes.iter().all(|o| o.failed == 0 && o.resumed + o.done + o.elsewhere == 6), "{outcomes:?}");
        let found = campaign_status(&Plan::load(folder.path()).expect("a plan"), folder.path()).expect("files");
        assert_eq!((found.n_runs, found.done, found.running, found.failed.len()), (6, 6, 0, 0));
        assert_eq!(found.time_left_s, Some(0.0));
        let left: Vec<_> = std::fs::read_dir(folder.path().join("runs")).expect("a folder").collect();
        assert_eq!(left.len(), 6, "{left:?}");
    }

    #[test]
    fn a_longer_plan_keeps_what_is_done() {
        let [grown, fresh] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        plan(grown.path(), &settings()).expect("a plan");
        run_some(grown.path(), 2, &ALL);
        let mut longer = settings();
        longer.energies[0].starts = 3;
        longer.energies.insert(0, RecoilEnergy { energy_ev: 5.0, starts: 1 });
        let all: Vec<usize> = (0..10).collect();
        assert_eq!(plan(grown.path(), &longer).expect("a plan").runs.len(), 10);
        assert_eq!(run_some(grown.path(), 2, &all), outcome(6, 4, 0, 0));
        // The same recoils come out of a campaign that was planned so at once, under other numbers.
        plan(fresh.path(), &longer).expect("a plan");
        run_some(fresh.path(), 2, &all);
        let sorted = |folder: &Path| {
            let line = |line: &String| line.split_once(',').map(|(_, rest)| rest.to_owned());
            let mut lines: Vec<String> = table(folder).iter().filter_map(line).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(sorted(grown.path()), sorted(fresh.path()));

        let error = plan(grown.path(), &settings()).err().expect("an error").to_string();
        assert!(error.contains("no longer asked for"), "{error}");
    }

    /// Twice the directions: the runs stay, and the table has the weights of all directions.
    #[test]
    fn more_directions_keep_what_is_done() {
        let folder = tempfile::tempdir().expect("a folder");
        let frames = Some(FrameSettings { times_fs: vec![0.0, 20.0] });
        let few = plan(folder.path(), &CampaignSettings { frames, ..settings() }).expect("a plan");
        run_some(folder.path(), 2, &ALL);
        let more =
            plan(folder.path(), &CampaignSettings { directions: Directions::Count(4), ..settings() }).expect("a plan");
        assert_eq!((more.runs.len(), &more.runs[..6]), (12, &few.runs[..]));
        let all: Vec<usize> = (0..12).collect();
        assert_eq!(run_some(folder.path(), 2, &all), outcome(6, 6, 0, 0));
        let weights = table(folder.path()).iter().skip(1).map(|l| l.split(',').nth(7).map(str::to_owned)).collect();
        let weights: Vec<Option<String>> = weights;
        let planned = more.runs.iter().map(|r| Some(more.directions[r.direction].weight_sr.to_string()));
        assert_eq!(weights, planned.collect::<Vec<_>>());
        assert!(more.directions[0].weight_sr < few.directions[0].weight_sr);
        // Frames were asked for at first: two and the quenched box.
        let boxes = crate::io::read_extxyz(&folder.path().join("runs/run-00000.xyz")).expect("frames");
        assert_eq!(boxes.len(), 3);
        check_export(&more, folder.path());
        assert!(!folder.path().join("runs/run-00007.xyz").exists());
        let error = plan(folder.path(), &settings()).err().expect("an error").to_string();
        assert!(error.contains("directions"), "{error}");
    }

    /// Archives hold what their records say, and flagged recoils only if asked for.
    fn check_export(plan: &Plan, folder: &Path) {
        write_atomically(&folder.join("potential.model"), b"a potential").expect("written");
        let attribution =
            Attribution { author: "A & B".to_owned(), affiliation: "C".to_owned(), doi: "10.1/2".to_owned() };
        let export = |name: &str, flags: &[String]| {
            export_campaign(plan, folder, &folder.join(name), &attribution, flags).expect("an export")
        };
        let all = export("all", &FLAGS.map(str::to_owned));
        let few = export("few", &[]);
        assert_eq!(all.iter().map(|e| e.n_runs).sum::<usize>(), 6);
        assert!(all.iter().any(|e| e.n_flagged > 0) && all.iter().all(|e| e.n_left_out == 0), "{all:?}");
        for one in &few {
            let same = all.iter().find(|e| e.record.file_name() == one.record.file_name()).expect("the same energy");
            assert_eq!((one.n_flagged, one.n_runs + one.n_left_out), (0, same.n_runs));
            assert_eq!(one.n_left_out, same.n_flagged);
        }
        all.iter().chain(&few).for_each(check_archive);

        // A run whose box is gone is counted with the six that kept none.
        let (kept, away) = (folder.join("runs/run-00000.xyz"), folder.join("away.xyz"));
        std::fs::rename(&kept, &away).expect("renamed");
        let incomplete = export("incomplete", &FLAGS.map(str::to_owned));
        assert_eq!(
            incomplete.iter().map(|e| (e.n_runs, e.n_without_boxes)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
            (5, 7)
        );
        std::fs::rename(&away, &kept).expect("renamed");

        let text = read_text(&all[0].record).expect("a record");
        let document = roxmltree::Document::parse(&text).expect("well-formed XML");
        let of = |name: &str| document.descendants().find(|n| n.has_tag_name(("https://amdis.iaea.org/cdbml", name)));
        let content = |name: &str| of(name).and_then(|n| n.text()).map(str::to_owned).expect("an element");
        let found =
            ["formula", "structure", "energy", "electronic_stopping", "affiliation", "X_orientation"].map(content);
        assert_eq!(found, ["Ar", "fcc", "0.002", "false", "C", "[100]"]);
        assert!(text.contains("A &amp; B") && content("archive_name") == "Ar-2eV.tar");
    }

    /// The boxes are those of the table, and the record names every flag that the table has.
    fn check_archive(exported: &Exported) {
        let mut archive = tar::Archive::new(std::fs::File::open(&exported.archive).expect("an archive"));
        let mut files = BTreeMap::new();
        for entry in archive.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let name = entry.path().expect("a name").display().to_string();
            let mut content = String::new();
            std::io::Read::read_to_string(&mut entry, &mut content).expect("text");
            files.insert(name, content);
        }
        assert_eq!(files.len(), exported.n_runs + 3, "{:?}", files.keys());
        assert_eq!(files["potential.model"], "a potential");
        let boxes = |name: &str| crate::io::parse_extxyz(&files[name], name, &Default::default()).expect("boxes");
        let perfect = &boxes("initial.xyz")[0];
        let record = read_text(&exported.record).expect("a record");
        let lines: Vec<Vec<&str>> = files["recoils.csv"].lines().map(|line| line.split(',').collect()).collect();
        let flags = lines[0].iter().position(|title| *title == "flags").expect("a column");
        assert_eq!(lines[1..].iter().filter(|line| !line[flags].is_empty()).count(), exported.n_flagged);
        for line in &lines[1..] {
            let name = format!("run-{:05}.xyz", line[0].parse::<usize>().expect("a number"));
            let frames = boxes(&name);
            assert!(frames.len() == 3 && frames.iter().all(|f| f.atoms.species == perfect.atoms.species));
            let named = format!("{name} ({})", line[flags].replace(';', ", "));
            assert_eq!(record.contains(&named), !line[flags].is_empty(), "{record}");
        }
    }

    #[test]
    fn failures_are_recorded_and_stop_no_other_run() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut plan = plan(folder.path(), &settings()).expect("a plan");
        // No recoil has less than no energy.
        plan.runs[1].energy_ev = -1.0;
        let (potential, _) = argon_like([1, 1, 1]);
        let run = || run_campaign(&worker(&potential), &plan, &ALL, folder.path()).expect("runs");
        assert_eq!(run(), outcome(0, 5, 1, 0));
        assert_eq!(run(), outcome(5, 0, 1, 0));
        let found = campaign_status(&plan, folder.path()).expect("files");
        assert_eq!((found.done, found.failed.len(), found.failed[0].0), (5, 1, 1));
        assert!(!found.failed[0].1.is_empty());
        assert_eq!(forget_failures(&plan, &ALL, folder.path()).expect("files"), 1);
        assert_eq!(run(), outcome(5, 0, 1, 0));
    }

    #[test]
    fn impossible_settings_are_refused() {
        type Spoil = fn(&mut CampaignSettings);
        let border = Border { thickness_angstrom: 2.0, friction_per_fs: 0.01, temperature_k: 10.0 };
        let spoils: [(&str, Spoil); 10] = [
            ("energy_ev", |s| s.energies[0].energy_ev = -1.0),
            ("energies that differ", |s| s.energies.push(s.energies[0])),
            ("directions", |s| s.directions = Directions::Vectors(Vec::new())),
            ("expected a direction", |s| s.directions = Directions::Vectors(vec![DVec3::ZERO])),
            ("max_hours", |s| s.running.max_hours = f64::INFINITY),
            ("time_fs", |s| s.thermalization.time_fs = f64::INFINITY),
            ("max_displacement_angstrom", |s| s.recoil.time_step.max_displacement_angstrom = f64::NAN),
            ("border.friction_per_fs", |s| {
                s.recoil.border = s.recoil.border.map(|b| Border { friction_per_fs: -0.01, ..b })
            }),
            ("border.temperature_k", |s| {
                s.recoil.border = s.recoil.border.map(|b| Border { temperature_k: -1.0, ..b })
            }),
            ("at most 50000000 atoms", |s| s.cells = [4_000_000; 3]),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        for (expected, spoil) in spoils {
            let mut bad = settings();
            bad.recoil.border = Some(border);
            spoil(&mut bad);
            let error = plan(folder.path(), &bad).err().expect("an error").to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    /// As where the processor has other vector instructions.
    #[test]
    fn a_cell_relaxed_to_other_last_bits_is_the_same_crystal() {
        let folder = tempfile::tempdir().expect("a folder");
        let (potential, _) = argon_like([1, 1, 1]);
        let kept = CampaignSettings { relax_cell: false, ..settings() };
        let planned = |edge: f64| Plan::new(&potential, "model", &cubic_cell(edge), &kept)?.write(folder.path());
        let first = planned(2.8).expect("a plan");
        let second = planned(2.8 + 1e-9).expect("the same plan");
        assert_eq!((&second.key, &second.unit_cell), (&first.key, &first.unit_cell));
        let error = planned(2.81).err().expect("an error").to_string();
        assert!(error.contains("another model or other settings"), "{error}");
    }

    #[test]
    fn directions_can_be_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let axes = vec![DVec3::new(2.0, 0.0, 0.0), DVec3::new(1.0, 1.0, 0.0), DVec3::ONE];
        let named = plan(folder.path(), &CampaignSettings { directions: Directions::Vectors(axes), ..settings() });
        let named = named.expect("a plan");
        assert_eq!(named.directions[0].vector, DVec3::X);
        assert!(
            (named.directions.iter().map(|d| d.weight_sr).sum::<f64>() - std::f64::consts::PI / 12.0).abs() < 1e-12
        );
        assert_eq!(Plan::load(folder.path()).expect("a plan").settings.directions, named.settings.directions);
    }
}

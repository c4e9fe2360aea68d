//! Where a campaign stands, by its files.

use super::files::{Files, State};
use crate::Error;
use crate::cascade::checkpoint::underway;
use crate::cascade::claims::Claim;
use crate::cascade::{Plan, Underway};
use std::path::Path;

/// Where a campaign stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CampaignStatus {
    /// Recoils in the plan.
    pub n_runs: usize,
    /// Thermalised starts that they need.
    pub n_starts: usize,
    /// Starts that are there.
    pub starts_done: usize,
    /// Whether some process is making starts.
    pub is_thermalizing: bool,
    /// How far the thermalisation was at its last checkpoint, if it is not done and has one.
    pub thermalization: Option<Underway>,
    /// Recoils that are done.
    pub done: usize,
    /// Recoils done, with flags: to be kept out of statistics.
    pub flagged: usize,
    /// Recoils done without a look at extrapolation grades: no flag says whether they left the training data.
    pub ungraded: usize,
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

/// Looks at the files of a campaign.
pub fn campaign_status(plan: &Plan, folder: &Path) -> Result<CampaignStatus, Error> {
    let files = Files { plan, folder };
    let (n_starts, starts_stem) = (plan.settings.max_starts(), files.starts_stem());
    let mut status = CampaignStatus {
        n_runs: plan.runs.len(),
        n_starts,
        starts_done: (0..n_starts).filter(|start| files.start_path(*start).exists()).count(),
        is_thermalizing: Claim::is_held(&starts_stem),
        thermalization: underway(&starts_stem.with_extension("checkpoint")),
        ..CampaignStatus::default()
    };
    let mut wall_times_s = Vec::new();
    for run in &plan.runs {
        match files.state(run)? {
            State::Done(record) => {
                status.done += 1;
                status.flagged += usize::from(!record.recoil.flags.is_empty());
                status.ungraded += usize::from(record.recoil.max_extrapolation_grade.is_none());
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

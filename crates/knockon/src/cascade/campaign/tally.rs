//! How far the recoils of one process are.

use crate::progress::Progress;
use std::sync::atomic::{AtomicU64, Ordering};

/// The simulated time of the recoils that one process does.
pub(super) struct Tally<'a> {
    progress: &'a dyn Progress,
    done_fs: AtomicU64,
    total_fs: AtomicU64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(progress: &'a dyn Progress, total_fs: u64) -> Self {
        Self { progress, done_fs: AtomicU64::new(0), total_fs: AtomicU64::new(total_fs) }
    }

    pub(super) fn add_done(&self, time_fs: u64) {
        self.done_fs.fetch_add(time_fs, Ordering::Relaxed);
        self.report();
    }

    /// Some of it will not be done here.
    pub(super) fn leave_out(&self, time_fs: u64) {
        if time_fs > 0 {
            self.total_fs.fetch_sub(time_fs, Ordering::Relaxed);
            self.report();
        }
    }

    fn report(&self) {
        let (done_fs, total_fs) = (self.done_fs.load(Ordering::Relaxed), self.total_fs.load(Ordering::Relaxed));
        self.progress.update(done_fs.min(total_fs), total_fs);
    }
}

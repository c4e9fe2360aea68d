//! Progress bars on standard error, with an estimate of the time left.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use knockon::progress::Progress;
use std::sync::atomic::{AtomicBool, Ordering};

static QUIET: AtomicBool = AtomicBool::new(false);

/// `--quiet`: no bars, no messages.
pub(crate) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Whether `--quiet` was given.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Prints one line of information on standard error unless `--quiet`.
pub(crate) fn say(text: &str) {
    if !is_quiet() {
        eprintln!("{text}");
    }
}

/// The progress bar of one stage.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar with a title; it appears with the first update.
    pub(crate) fn new(title: &str) -> Self {
        let bar = ProgressBar::new(0);
        if is_quiet() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{msg:28} [{bar:30}] {pos}/{len}  {elapsed}  time left {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(title.to_owned());
        Self(bar)
    }
}

impl Progress for Bar {
    fn update(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    fn is_stopped(&self) -> bool {
        crate::signals::is_stopped()
    }

    fn message(&self, text: &str) {
        if !is_quiet() {
            self.0.suspend(|| eprintln!("{text}"));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

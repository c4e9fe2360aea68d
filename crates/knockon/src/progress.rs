//! How long computations tell their caller how far they are; the command line draws a bar, tests stay silent.

/// Receives progress of one stage.
pub trait Progress: Sync {
    /// `done` of `total` units of work are finished; called from any thread.
    fn update(&self, done: u64, total: u64);
    /// One line worth showing, e.g. what has just been found.
    fn message(&self, text: &str);
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _done: u64, _total: u64) {}
    fn message(&self, _text: &str) {}
}

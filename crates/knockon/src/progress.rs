//! How long computations talk with their caller: how far they are, and whether to stop. The command line draws a bar and
//! listens to signals, tests stay silent.

/// Receives progress of one stage.
pub trait Progress: Sync {
    /// `done` of `total` units of work are finished; called from any thread.
    fn update(&self, done: u64, total: u64);
    /// One line worth showing, e.g. what has just been found.
    fn message(&self, text: &str);
    /// Whether somebody wants the computation to stop soon. Those that can go on later then keep where they are and fail
    /// with [`crate::Error::Stopped`].
    fn is_stopped(&self) -> bool {
        false
    }
}

/// Shows nothing.
pub struct Silent;

impl Progress for Silent {
    fn update(&self, _done: u64, _total: u64) {}
    fn message(&self, _text: &str) {}
}

/// For tests: stops what it watches again and again, each time after so many questions.
#[cfg(test)]
pub(crate) struct StopEvery {
    every: u64,
    asked: std::sync::atomic::AtomicU64,
}

#[cfg(test)]
impl StopEvery {
    pub(crate) fn new(every: u64) -> Self {
        Self { every, asked: 0.into() }
    }
}

#[cfg(test)]
impl Progress for StopEvery {
    fn update(&self, _done: u64, _total: u64) {}
    fn message(&self, text: &str) {
        assert!(text.starts_with("going on"), "{text}");
    }
    fn is_stopped(&self) -> bool {
        let asked = 1 + self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        asked.is_multiple_of(self.every)
    }
}

/// For tests: calls a computation until it is not stopped any more; returns its result and how often it was stopped.
#[cfg(test)]
pub(crate) fn until_done<T>(mut compute: impl FnMut() -> Result<T, crate::Error>) -> (T, usize) {
    let mut stops = 0;
    loop {
        match compute() {
            Ok(result) => return (result, stops),
            Err(crate::Error::Stopped) => stops += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

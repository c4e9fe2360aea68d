//! Signals that ask the program to stop: SIGTERM, which schedulers send before they take a machine away, and SIGINT, which
//! is Ctrl-C. A computation that keeps where it is listens to the first one; all others end the program at once, as usual.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Exit status of a program that stopped as asked and goes on when it is started again: EX_TEMPFAIL of sysexits(3).
pub(crate) const STOPPED: u8 = 75;

#[derive(Default)]
struct Flags {
    /// Somebody wants the program to stop.
    stop: Arc<AtomicBool>,
    /// Signals end the program at once.
    at_once: Arc<AtomicBool>,
}

static FLAGS: OnceLock<Flags> = OnceLock::new();

/// Somebody listens as long as this lives.
pub(crate) struct Listening;

/// Takes the next signal as a wish.
pub(crate) fn listen() -> Result<Listening> {
    if FLAGS.get().is_none() {
        let flags = Flags::default();
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, flags.at_once.clone())
                .and_then(|_| flag::register(signal, flags.stop.clone()))
                .and_then(|_| flag::register(signal, flags.at_once.clone()))
                .context("cannot listen to signals")?;
        }
        // If another thread was faster, its flags are as good.
        let _ = FLAGS.set(flags);
    }
    FLAGS.get().into_iter().for_each(|flags| flags.at_once.store(is_stopped(), Ordering::Relaxed));
    Ok(Listening)
}

impl Drop for Listening {
    fn drop(&mut self) {
        FLAGS.get().into_iter().for_each(|flags| flags.at_once.store(true, Ordering::Relaxed));
    }
}

/// Whether a signal came.
pub(crate) fn is_stopped() -> bool {
    FLAGS.get().is_some_and(|flags| flags.stop.load(Ordering::Relaxed))
}

//! Signals that ask the program to stop: SIGTERM, which schedulers send before they take a machine away, and SIGINT, which
//! is Ctrl-C. A computation that keeps where it is takes them as a wish, but a second Ctrl-C ends the program at once, as
//! every signal does while no such computation runs. Schedulers may send SIGTERM several times.

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
    /// Nobody listens.
    at_once: Arc<AtomicBool>,
}

static FLAGS: OnceLock<Flags> = OnceLock::new();

/// Somebody listens as long as this lives.
pub(crate) struct Listening;

const FAILED: &str = "cannot listen to signals";

/// Takes signals as wishes from now on.
pub(crate) fn listen() -> Result<Listening> {
    if FLAGS.get().is_none() {
        let flags = Flags::default();
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_default(signal, flags.at_once.clone()).context(FAILED)?;
        }
        flag::register_conditional_default(SIGINT, flags.stop.clone()).context(FAILED)?;
        for signal in [SIGINT, SIGTERM] {
            flag::register(signal, flags.stop.clone()).context(FAILED)?;
        }
        // If another thread was faster, its flags are as good.
        let _ = FLAGS.set(flags);
    }
    FLAGS.get().into_iter().for_each(|flags| flags.at_once.store(false, Ordering::Relaxed));
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

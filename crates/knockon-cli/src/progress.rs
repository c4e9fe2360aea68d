//! Progress on standard error, with an estimate of the time left: a bar on a terminal, a line now and then in a log.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use knockon::progress::Progress;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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

/// The progress of one stage.
pub(crate) struct Bar {
    bar: ProgressBar,
    title: String,
    /// What a log has seen, where there is no terminal to draw on.
    log: Option<Mutex<Log>>,
}

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
        let log = (!is_quiet() && !std::io::stderr().is_terminal()).then(|| Mutex::new(Log::new(Instant::now())));
        Self { bar, title: title.to_owned(), log }
    }
}

impl Progress for Bar {
    fn update(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        let line = self.log.as_ref().and_then(|log| log.lock().ok()?.line(Instant::now(), done, total));
        if let Some(line) = line {
            eprintln!("{}: {line}", self.title);
        }
    }

    fn is_stopped(&self) -> bool {
        crate::signals::is_stopped()
    }

    fn message(&self, text: &str) {
        if !is_quiet() {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Decides when a log gets a line: after a minute, then whenever the time has grown by a tenth; some hundred lines in ten days.
struct Log {
    began: Instant,
    next_line: Duration,
    /// When the work began and how much had been done then, perhaps by an earlier process.
    first: Option<(Instant, u64)>,
}

impl Log {
    fn new(began: Instant) -> Self {
        Self { began, next_line: Duration::from_secs(60), first: None }
    }

    fn line(&mut self, now: Instant, done: u64, total: u64) -> Option<String> {
        // A stage of several parts begins anew with each.
        let (first, done_before) =
            *self.first.insert(self.first.filter(|(_, before)| *before <= done).unwrap_or((now, done)));
        let elapsed = now.duration_since(self.began);
        if elapsed < self.next_line || total == 0 {
            return None;
        }
        self.next_line = elapsed.mul_f64(1.1);
        let done_now = done.saturating_sub(done_before);
        let left = match done_now {
            0 => "unknown".to_owned(),
            _ => minutes(now.duration_since(first).mul_f64(total.saturating_sub(done) as f64 / done_now as f64)),
        };
        Some(format!("{done}/{total} after {}, time left {left}", minutes(elapsed)))
    }
}

fn minutes(time: Duration) -> String {
    let minutes = time.as_secs_f64() / 60.0;
    if minutes < 99.5 { format!("{minutes:.0} min") } else { format!("{:.1} h", minutes / 60.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_get_few_lines_that_say_how_long_it_will_take() {
        let began = Instant::now();
        let mut log = Log::new(began);
        let mut line = |s: u64, done| log.line(began + Duration::from_secs(s), done, 1000);
        // An earlier process did 100; the first second went by before the work began.
        assert_eq!((line(1, 100), line(59, 120)), (None, None));
        assert_eq!(line(61, 150), Some("150/1000 after 1 min, time left 17 min".to_owned()));
        assert_eq!(line(66, 160), None);
        assert_eq!(line(9001, 200), Some("200/1000 after 2.5 h, time left 20.0 h".to_owned()));
        assert_eq!(line(9500, 300), None);
        let ten_days = (1..864_000).filter(|s| log.line(began + Duration::from_secs(*s), 0, 1).is_some()).count();
        assert!(ten_days < 150, "{ten_days}");
    }

    #[test]
    fn work_that_has_not_moved_has_no_estimate() {
        let began = Instant::now();
        let mut log = Log::new(began);
        assert_eq!(log.line(began, 5, 9), None);
        let line = log.line(began + Duration::from_secs(120), 5, 9);
        assert_eq!(line, Some("5/9 after 2 min, time left unknown".to_owned()));
    }
}

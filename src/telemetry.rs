//! What the program says about itself: the log and the progress of long work, both on standard error.
//!
//! Text for people, JSON on request. On a terminal progress is a bar and log lines appear above it; elsewhere it is log
//! lines. Standard output belongs to the commands. This file knows nothing of what is logged.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::LogFormat;

/// Sends the program's log to standard error. Call it once, before anything is logged; a second call changes nothing.
///
/// # Errors
/// Levels that cannot be understood, with the reason.
pub fn init(format: LogFormat, level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(directives(level)).map_err(|e| format!("--log-level: {e}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(AboveBars);
    // An error here means that a log is set up already, which tests do.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_ansi(false).try_init(),
    };
    Ok(())
}

/// A bare level is about pgmesh; libraries say more than anybody wants to know, so of them only warnings are kept.
fn directives(level: &str) -> String {
    match level.parse::<tracing::Level>() {
        Ok(tracing::Level::ERROR) => "error".to_owned(),
        Ok(level) => format!("warn,pgmesh={level}"),
        Err(_) => level.to_owned(),
    }
}

/// How far a long piece of work has come: a bar on a terminal, a log line now and then elsewhere.
///
/// Shared by the tasks that do the work; dropping it takes the bar away.
pub struct Progress {
    what: String,
    total: u64,
    done: AtomicU64,
    started: Instant,
    /// Milliseconds after `started` at which the last line was logged.
    logged_at: AtomicU64,
    bar: Option<ProgressBar>,
}

/// How often progress is logged where there is no terminal.
const LOG_INTERVAL: Duration = Duration::from_secs(2);

impl Progress {
    /// Begins work on `total` things; `what` names them, for example `opening tables`.
    #[must_use]
    pub fn start(total: usize, what: &str) -> Self {
        let total = total as u64;
        let bar = io::stderr().is_terminal().then(|| bars().add(ProgressBar::new(total).with_message(what.to_owned())));
        if let Some(bar) = &bar {
            // The template is a constant; were it wrong, the plain bar would do.
            if let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {prefix}") {
                bar.set_style(style.progress_chars("=> "));
            }
        }
        Self {
            what: what.to_owned(),
            total,
            done: AtomicU64::new(0),
            started: Instant::now(),
            logged_at: AtomicU64::new(0),
            bar,
        }
    }

    /// One more is done; `name` says which.
    pub fn advance(&self, name: &str) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(name.to_owned());
                bar.set_position(done);
            }
            None => self.log_sometimes(done, name),
        }
    }

    /// The work is over: the bar goes, and one line says how much was done in which time.
    pub fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let done = self.done.load(Ordering::Relaxed);
        let ms = self.started.elapsed().as_millis() as u64;
        tracing::info!(done, total = self.total, elapsed_ms = ms, "{}: done", self.what);
    }

    fn log_sometimes(&self, done: u64, name: &str) {
        let now = self.started.elapsed().as_millis() as u64;
        let last = self.logged_at.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= LOG_INTERVAL.as_millis() as u64;
        // Of several tasks that find the line due, one logs it.
        if due && self.logged_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            tracing::info!(done, total = self.total, last = name, "{}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bars() -> &'static MultiProgress {
    static BARS: OnceLock<MultiProgress> = OnceLock::new();
    BARS.get_or_init(MultiProgress::new)
}

/// Writes log lines to standard error, with bars out of the way while it does.
struct AboveBars;

impl<'w> MakeWriter<'w> for AboveBars {
    type Writer = Self;

    fn make_writer(&'w self) -> Self::Writer {
        Self
    }
}

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bars().suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_judged_before_anything_is_logged() {
        assert!(init(LogFormat::Text, "pgmesh=loud").is_err_and(|message| message.starts_with("--log-level:")));
    }

    #[test]
    fn progress_counts_what_every_task_did() {
        let progress = Progress::start(40, "counting");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|n| progress.advance(&n.to_string())));
            }
        });
        assert_eq!(progress.done.load(Ordering::Relaxed), 40);
        progress.finish();
    }

    #[test]
    fn lines_are_rare_where_there_is_no_terminal() {
        let progress = Progress::start(1000, "counting");
        progress.log_sometimes(1, "a");
        assert_eq!(progress.logged_at.load(Ordering::Relaxed), 0, "nothing is logged at once");
    }
}

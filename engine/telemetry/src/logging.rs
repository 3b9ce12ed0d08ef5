//! The log: lines for people on a terminal, JSON elsewhere, always on standard error, by a thread of its own.
//!
//! Whatever a line holds, both forms escape it, so no request can forge a line. What a customer's row holds is in none,
//! unless the configuration asks for it.

#[cfg(any(test, feature = "test-util"))]
mod captured;
mod escape;
mod fields;
mod gathered;
mod json;
mod pretty;

use std::io::{self, IsTerminal, stderr};
use std::panic::{PanicHookInfo, set_hook};

use serde::Deserialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, registry};

#[cfg(any(test, feature = "test-util"))]
pub use self::captured::{Log as CapturedLog, captured_log, keep_events_on};
pub use self::fields::{ALWAYS, FIELDS, FieldName, Kind, LABELS};
use self::gathered::Gathered;
pub use self::gathered::lost_lines;
use self::json::JsonLines;
use self::pretty::PrettyFields;
use crate::audit::AUDIT;

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// How important a line of the log is at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed and somebody should look.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What happens, one line a request included.
    Info,
    /// Details for looking into a problem.
    Debug,
    /// Everything.
    Trace,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// Its form; without one, pretty on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
    /// The least important lines written.
    pub level: LogLevel,
}

/// The target of the lines of requests, by which they are told from all others.
pub const ACCESS: &str = "onnward::access";
/// What the targets of the engine's own lines begin with.
const OWN: &str = "onnward";

/// The log of this process. Dropped, it writes what it has gathered.
pub struct Log(Option<Gathered>);

/// Starts the log of this process, panics included; one that is there already stays.
///
/// # Errors
/// The operating system's, if it gives no thread.
pub fn init(config: LogConfig) -> io::Result<Log> {
    let terminal = stderr().is_terminal();
    let format = config.format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    let gathered = Gathered::start(stderr())?;
    let lines = lines(format, terminal, gathered.clone()).with_filter(filter(config.level));
    if registry().with(lines).try_init().is_err() {
        return Ok(Log(None));
    }
    set_hook(Box::new(log_panic));
    Ok(Log(Some(gathered)))
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(gathered) = &self.0 {
            gathered.flush();
        }
    }
}

/// Writes events as lines of this form.
pub(crate) fn lines<W>(format: LogFormat, ansi: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // An error of writing must not be reported by writing again: that would panic when standard error is closed.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    match format {
        LogFormat::Pretty => lines.with_ansi(ansi).with_target(false).fmt_fields(PrettyFields).boxed(),
        LogFormat::Json => lines.event_format(JsonLines).boxed(),
    }
}

/// Returns the engine's own lines from the level on; the libraries' at most as warnings.
pub(crate) fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let others = own.min(LevelFilter::WARN);
    // Whatever the level, who had the engine do what is on record.
    Targets::new().with_target(OWN, own).with_target(AUDIT, LevelFilter::INFO).with_default(others)
}

/// Returns whether a line is the engine's own, by its target.
fn is_own(target: &str) -> bool {
    target.starts_with(OWN)
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(reason = panic.payload_as_str().unwrap_or("unknown"), place, "a thread panicked");
}

#[cfg(test)]
mod tests;

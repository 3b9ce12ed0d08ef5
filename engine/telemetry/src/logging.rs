//! The log: human-readable lines on a terminal, JSON elsewhere, on standard error, written by a separate
//! thread.
//!
//! Both forms escape their values, so no request can forge a line. Rows' values are never logged unless
//! configured.

mod buffered_writer;
#[cfg(any(test, feature = "test-util"))]
mod captured;
mod escape;
mod fields;
mod json;
mod pretty;

use std::io::{self, IsTerminal, stderr};
use std::panic::{PanicHookInfo, set_hook};

use serde::Deserialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, registry, reload};

use self::buffered_writer::BufferedWriter;
pub use self::buffered_writer::lost_lines;
#[cfg(any(test, feature = "test-util"))]
pub use self::captured::{Log as CapturedLog, captured_log, keep_events_on};
pub use self::fields::{COMMON_KEYS, FIELDS, FieldName, Kind, LABELS};
use self::json::JsonLines;
use self::pretty::PrettyFields;
use crate::audit::AUDIT;

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human-readable lines.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed that needs attention.
    Error,
    /// Something is wrong, but the engine works.
    Warn,
    /// Events, including one line for each request.
    Info,
    /// Details for looking into a problem.
    Debug,
    /// Everything.
    Trace,
}

/// The settings of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// The format. `None` means pretty on a terminal and JSON elsewhere.
    pub format: Option<LogFormat>,
    /// The least severe level that is written.
    pub level: LogLevel,
}

/// The target of access log lines.
pub const ACCESS: &str = "onnward::access";
/// The prefix of the engine's own targets.
const ENGINE_TARGET: &str = "onnward";

/// The log of this process. Dropping it writes the buffered lines.
pub struct Log {
    /// `None` if the process had a log before.
    buffered: Option<BufferedWriter>,
    filter: Option<LogFilter>,
}

/// The filter of a running log.
#[derive(Debug, Clone)]
pub struct LogFilter(reload::Handle<Targets, Registry>);

impl LogFilter {
    /// Sets the least severe level that is written from now on.
    pub fn set_level(&self, level: LogLevel) {
        // It fails only if the log has ended.
        let _ = self.0.reload(filter(level));
    }
}

/// Installs the process's log, including panics. An installed one stays.
///
/// # Errors
/// The operating system's, if no thread can be started.
pub fn init(config: LogConfig) -> io::Result<Log> {
    let terminal = stderr().is_terminal();
    let format = config.format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    let buffered = BufferedWriter::start(stderr())?;
    let (filter, handle) = reload::Layer::new(filter(config.level));
    let lines = lines(format, terminal, buffered.clone()).with_filter(filter);
    if registry().with(lines).try_init().is_err() {
        return Ok(Log { buffered: None, filter: None });
    }
    set_hook(Box::new(log_panic));
    Ok(Log { buffered: Some(buffered), filter: Some(LogFilter(handle)) })
}

impl Log {
    /// Returns the log's filter, unless the process had a log before.
    pub fn filter(&self) -> Option<LogFilter> {
        self.filter.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(buffered) = &self.buffered {
            buffered.flush();
        }
    }
}

/// Creates the layer that formats events as lines.
pub(crate) fn lines<W>(format: LogFormat, ansi: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // A failed write must not be reported by another write, which would panic if standard error is closed.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    match format {
        LogFormat::Pretty => lines.with_ansi(ansi).with_target(false).fmt_fields(PrettyFields).boxed(),
        LogFormat::Json => lines.event_format(JsonLines).boxed(),
    }
}

/// Creates the filter: the engine's lines from this level on, the libraries' from warnings on.
pub(crate) fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let others = own.min(LevelFilter::WARN);
    // Audit lines are written at any level.
    Targets::new()
        .with_target(ENGINE_TARGET, own)
        .with_target(AUDIT, LevelFilter::INFO)
        // It warns of each connection that exceeds a limit, which a client repeats at will.
        .with_target("h2", others.min(LevelFilter::ERROR))
        .with_default(others)
}

/// Returns whether a target is the engine's own.
fn is_engine_target(target: &str) -> bool {
    target.starts_with(ENGINE_TARGET)
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(reason = panic.payload_as_str().unwrap_or("unknown"), place, "a thread panicked");
}

#[cfg(test)]
mod tests;

//! The log: lines for people on a terminal, JSON elsewhere, always on standard error, by a thread of its own.
//!
//! What comes from a client is only ever written as a field's value, which both forms escape, so no request can forge
//! a line.

mod gathered;
mod json;

use std::io::{self, IsTerminal, stderr};
use std::panic::{PanicHookInfo, set_hook};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, registry};

use self::gathered::Gathered;
use self::json::JsonLines;
use crate::config::{LogConfig, LogFormat, LogLevel};

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
        LogFormat::Pretty => lines.with_ansi(ansi).with_target(false).boxed(),
        LogFormat::Json => lines.event_format(JsonLines).boxed(),
    }
}

/// The engine's own lines from the level on; the libraries' at most as warnings.
fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_target("onnward", own).with_default(own.min(LevelFilter::WARN))
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(reason = panic.payload_as_str().unwrap_or("unknown"), place, "a thread panicked");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::captured_log;

    #[test]
    fn no_value_of_a_client_can_forge_a_line() {
        for format in [LogFormat::Pretty, LogFormat::Json] {
            let (log, guard) = captured_log(format);
            tracing::info!(request_id = "a\n2026-01-01 ERROR forged \u{1b}[31m", "request");
            drop(guard);
            let text = log.text();
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(!text.contains('\u{1b}') && text.contains("forged"), "{text}");
        }
    }

    #[test]
    fn a_line_of_json_holds_every_field_as_it_is() {
        let (log, guard) = captured_log(LogFormat::Json);
        let (text, absent) = ("a \"quoted\" \\ \t\u{7f}é", None::<u64>);
        tracing::warn!(text, number = -3, share = 0.25, big = u64::MAX, yes = true, absent, debug = ?Some("x"), "said {}", 1);
        drop(guard);
        let line: serde_json::Value = serde_json::from_str(log.text().trim_end()).unwrap();
        let expected = serde_json::json!({
            "level": "WARN", "message": "said 1", "target": "onnward_engine::logging::tests", "text": text, "number": -3,
            "share": 0.25, "big": u64::MAX, "yes": true, "debug": "Some(\"x\")",
        });
        let mut fields = line.as_object().unwrap().clone();
        let timestamp = fields.remove("timestamp").unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(timestamp.as_str().unwrap()).is_ok(), "{timestamp}");
        assert_eq!(serde_json::Value::Object(fields), expected);
    }
}

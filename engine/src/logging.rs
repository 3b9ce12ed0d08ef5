//! The log: lines for people on a terminal, JSON elsewhere, always on standard error.
//!
//! What comes from a client is only ever written as a field's value, which both forms escape, so no request can forge
//! a line.

use std::io::{IsTerminal, stderr};
use std::panic::{PanicHookInfo, set_hook};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, registry};

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Starts the log of this process, panics included.
///
/// # Errors
/// When the process has a log already.
pub fn init(config: LogConfig) -> Result<(), TryInitError> {
    let terminal = stderr().is_terminal();
    let format = config.format.unwrap_or(if terminal { LogFormat::Pretty } else { LogFormat::Json });
    let lines = lines(format, terminal, stderr).with_filter(filter(config.level));
    registry().with(lines).try_init()?;
    set_hook(Box::new(log_panic));
    Ok(())
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
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
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
}

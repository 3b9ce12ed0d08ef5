//! `[log]`: what is written down of what happens.

use std::time::Duration;

use serde::Deserialize;

use super::error::Invalid;
use super::raw::{TEN_MINUTES_MS, duration};
use super::share::Share;

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

/// Which requests leave a line, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccessLogConfig {
    /// The share of requests that leave one.
    pub sample: Share,
    /// From which duration on a request leaves one in any case.
    pub slow: Duration,
    /// Whether what requests hold is written too, at level debug. For development alone.
    pub values: bool,
}

impl Default for AccessLogConfig {
    fn default() -> Self {
        Self { sample: Share::ALL, slow: Duration::from_secs(1), values: false }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawLog {
    format: Option<LogFormat>,
    level: LogLevel,
    access_sample: f64,
    access_slow_ms: u64,
    values: bool,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { format: None, level: LogLevel::Info, access_sample: 1.0, access_slow_ms: 1_000, values: false }
    }
}

impl RawLog {
    /// What the keys mean, for the log as a whole and for the lines of requests.
    pub fn check(self) -> Result<(LogConfig, AccessLogConfig), Invalid> {
        let access = AccessLogConfig {
            sample: Share::check("log.access_sample", self.access_sample)?,
            slow: duration("log.access_slow_ms", self.access_slow_ms, 0..=TEN_MINUTES_MS)?,
            values: self.values,
        };
        Ok((LogConfig { format: self.format, level: self.level }, access))
    }
}

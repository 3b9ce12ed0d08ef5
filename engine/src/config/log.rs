//! `[log]`: what is written down of what happens.

use onnward_http::settings::AccessLogConfig;
use onnward_telemetry::logging::{LogConfig, LogFormat, LogLevel};
use serde::Deserialize;

use super::error::Invalid;
use super::value::share;
use super::value::{TEN_MINUTES_MS, duration};

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
            sample: share("log.access_sample", self.access_sample)?,
            slow: duration("log.access_slow_ms", self.access_slow_ms, 0..=TEN_MINUTES_MS)?,
            values: self.values,
        };
        Ok((LogConfig { format: self.format, level: self.level }, access))
    }
}

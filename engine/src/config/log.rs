//! `[log]`: the format, the level and the access log.

use onnward_http::settings::AccessLogConfig;
use onnward_telemetry::logging::{LogConfig, LogFormat, LogLevel};
use serde::Deserialize;

use super::error::Invalid;
use super::value::{duration, share, within};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLog {
    format: Option<LogFormat>,
    level: LogLevel,
    access_sample: f64,
    access_slow_ms: u64,
    access_lines_per_second: u64,
    values: bool,
}

impl RawLog {
    /// Validates the keys of the log and of the access log.
    pub fn validate(self) -> Result<(LogConfig, AccessLogConfig), Invalid> {
        let access = AccessLogConfig {
            sample: share("log.access_sample", self.access_sample)?,
            slow: duration("log.access_slow_ms", self.access_slow_ms)?,
            max_per_second: within("log.access_lines_per_second", self.access_lines_per_second)?,
            values: self.values,
        };
        Ok((LogConfig { format: self.format, level: self.level }, access))
    }
}

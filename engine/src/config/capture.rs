//! `[capture]`: the share of predictions written for retraining, their destination, and the values left out.

use std::time::Duration;

use onnward_records::capture::{CaptureConfig, CaptureRules};
use onnward_repository::{RepositoryConfig, S3Config};
use serde::Deserialize;

use super::error::Invalid;
use super::value::share;
use super::value::{count, duration};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCapture {
    place: Option<String>,
    sample: f64,
    redact: Vec<String>,
    identifier: bool,
    max_file_bytes: u64,
    max_file_age_ms: u64,
    max_waiting_bytes: u64,
}

impl RawCapture {
    /// Validates the keys. `s3` and `timeout` are those of the model repository. `None` without a
    /// destination.
    pub fn validate(self, s3: &S3Config, timeout: Duration) -> Result<Option<CaptureConfig>, Invalid> {
        let max_waiting_bytes = count("capture.max_waiting_bytes", self.max_waiting_bytes)?;
        let max_file_bytes = count("capture.max_file_bytes", self.max_file_bytes)?;
        if self.max_waiting_bytes < self.max_file_bytes {
            let problem = format!(
                "is {max_waiting_bytes}, but must be at least `capture.max_file_bytes`, {}",
                self.max_file_bytes
            );
            return Err(Invalid { key: "capture.max_waiting_bytes", problem });
        }
        let config = CaptureConfig {
            place: RepositoryConfig {
                location: self.place.clone().unwrap_or_default(),
                s3: s3.clone(),
                timeout,
            },
            rules: CaptureRules {
                sample: share("capture.sample", self.sample)?,
                redact: self.redact.into_iter().collect(),
                identifier: self.identifier,
            },
            max_file_bytes,
            max_file_age: duration("capture.max_file_age_ms", self.max_file_age_ms)?,
            max_waiting_bytes,
        };
        Ok(self.place.filter(|place| !place.trim().is_empty()).map(|_| config))
    }
}

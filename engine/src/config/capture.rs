//! `[capture]`: which predictions are written down for a retraining job, where, and without which values.

use std::time::Duration;

use onnward_records::capture::{CaptureConfig, CaptureRules};
use onnward_repository::{RepositoryConfig, S3Config};
use serde::Deserialize;

use super::error::Invalid;
use super::value::share;
use super::value::{DAY_MS, count, duration};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawCapture {
    place: Option<String>,
    sample: f64,
    redact: Vec<String>,
    identifier: bool,
    max_file_bytes: u64,
    max_file_age_ms: u64,
    max_waiting_bytes: u64,
}

impl Default for RawCapture {
    fn default() -> Self {
        Self {
            place: None,
            sample: 0.01,
            redact: Vec::new(),
            identifier: false,
            max_file_bytes: 16 * 1024 * 1024,
            max_file_age_ms: 300_000,
            max_waiting_bytes: 64 * 1024 * 1024,
        }
    }
}

impl RawCapture {
    /// What the keys mean, given how stores are reached; `None` without a place.
    pub fn check(self, s3: &S3Config, timeout: Duration) -> Result<Option<CaptureConfig>, Invalid> {
        const GIGABYTE: u64 = 1 << 30;
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
            max_file_bytes: count("capture.max_file_bytes", self.max_file_bytes, 1024..=GIGABYTE)?,
            max_file_age: duration("capture.max_file_age_ms", self.max_file_age_ms, 100..=DAY_MS)?,
            max_waiting_bytes: count(
                "capture.max_waiting_bytes",
                self.max_waiting_bytes,
                self.max_file_bytes..=4 * GIGABYTE,
            )?,
        };
        Ok(self.place.filter(|place| !place.trim().is_empty()).map(|_| config))
    }
}

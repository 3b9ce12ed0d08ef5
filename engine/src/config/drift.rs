use std::time::Duration;

use onnward_quality::drift::DriftConfig;
use serde::Deserialize;

use super::error::Invalid;
use super::value::{count, number, within};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawDrift {
    enabled: bool,
    window_rows: u64,
    window_seconds: u64,
    min_rows: u64,
    sample: f64,
    max_rows_per_second: u64,
    alpha: f64,
    psi_threshold: f64,
}

impl RawDrift {
    /// Validates the keys. `None` if drift detection is disabled.
    pub fn validate(self) -> Result<Option<DriftConfig>, Invalid> {
        let window_rows = count("drift.window_rows", self.window_rows)?;
        let min_rows = count("drift.min_rows", self.min_rows)?;
        if self.min_rows > self.window_rows {
            let problem =
                format!("is {}, but must be at most `drift.window_rows`, {window_rows}", self.min_rows);
            return Err(Invalid { key: "drift.min_rows", problem });
        }
        let window_seconds = within("drift.window_seconds", self.window_seconds)?;
        let config = DriftConfig {
            window_rows,
            window: Duration::from_secs(window_seconds),
            min_rows,
            sample: number("drift.sample", self.sample)?,
            max_rows_per_second: count("drift.max_rows_per_second", self.max_rows_per_second)?,
            alpha: number("drift.alpha", self.alpha)?,
            psi_threshold: number("drift.psi_threshold", self.psi_threshold)?,
        };
        Ok(self.enabled.then_some(config))
    }
}

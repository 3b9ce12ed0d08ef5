use std::time::Duration;

use onnward_quality::drift::DriftConfig;
use serde::Deserialize;

use super::error::Invalid;
use super::value::{count, number, within};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

impl Default for RawDrift {
    fn default() -> Self {
        Self {
            enabled: true,
            window_rows: 10_000,
            window_seconds: 86_400,
            min_rows: 500,
            sample: 1.0,
            max_rows_per_second: 10_000,
            alpha: 0.01,
            psi_threshold: 0.1,
        }
    }
}

const YEAR_SECONDS: u64 = 366 * 86_400;

impl RawDrift {
    /// What the keys mean; `None` where drift is not watched.
    pub fn check(self) -> Result<Option<DriftConfig>, Invalid> {
        let window_rows = count("drift.window_rows", self.window_rows, 10..=100_000_000)?;
        if self.min_rows > self.window_rows {
            let problem =
                format!("is {}, but must be at most `drift.window_rows`, {window_rows}", self.min_rows);
            return Err(Invalid { key: "drift.min_rows", problem });
        }
        let window_seconds = within("drift.window_seconds", self.window_seconds, 1..=YEAR_SECONDS)?;
        let config = DriftConfig {
            window_rows,
            window: Duration::from_secs(window_seconds),
            min_rows: count("drift.min_rows", self.min_rows, 10..=self.window_rows)?,
            sample: number("drift.sample", self.sample, 1e-6, 1.0)?,
            max_rows_per_second: count(
                "drift.max_rows_per_second",
                self.max_rows_per_second,
                1..=100_000_000,
            )?,
            alpha: number("drift.alpha", self.alpha, 1e-9, 0.5)?,
            psi_threshold: number("drift.psi_threshold", self.psi_threshold, 0.0, 100.0)?,
        };
        Ok(self.enabled.then_some(config))
    }
}

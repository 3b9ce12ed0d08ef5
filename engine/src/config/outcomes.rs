//! `[outcomes]`: what is kept of predictions, and over what their figures are made.

use std::path::PathBuf;
use std::time::Duration;

use onnward_records::ground_truth::OutcomesConfig;
use serde::Deserialize;

use super::error::Invalid;
use super::value::{count, within};

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawOutcomes {
    folder: Option<PathBuf>,
    retention_days: u64,
    max_predictions: u64,
    window_days: u64,
    window_outcomes: u64,
    estimate_rows: u64,
}

impl Default for RawOutcomes {
    fn default() -> Self {
        Self {
            folder: None,
            retention_days: 90,
            max_predictions: 10_000_000,
            window_days: 30,
            window_outcomes: 10_000,
            estimate_rows: 10_000,
        }
    }
}

impl RawOutcomes {
    pub(super) fn check(self) -> Result<OutcomesConfig, Invalid> {
        let days = |key, days| within(key, days, 1..=3650).map(|days| Duration::from_secs(days * 86_400));
        if self.folder.as_ref().is_some_and(|folder| folder.as_os_str().is_empty()) {
            let problem = "is empty; name a folder, or leave it out to keep no predictions".to_owned();
            return Err(Invalid { key: "outcomes.folder", problem });
        }
        Ok(OutcomesConfig {
            folder: self.folder,
            retention: days("outcomes.retention_days", self.retention_days)?,
            max_predictions: within(
                "outcomes.max_predictions",
                self.max_predictions,
                1_000..=10_000_000_000,
            )?,
            window: days("outcomes.window_days", self.window_days)?,
            window_outcomes: count("outcomes.window_outcomes", self.window_outcomes, 10..=1_000_000)?,
            estimate_rows: count("outcomes.estimate_rows", self.estimate_rows, 100..=100_000_000)?,
        })
    }
}

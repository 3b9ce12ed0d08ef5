//! `[outcomes]`: the store of predictions, and the windows over which performance is measured.

use std::path::PathBuf;
use std::time::Duration;

use onnward_records::ground_truth::OutcomesConfig;
use serde::Deserialize;

use super::error::Invalid;
use super::value::{count, within};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOutcomes {
    folder: Option<PathBuf>,
    retention_days: u64,
    max_predictions: u64,
    window_days: u64,
    window_outcomes: u64,
    estimate_rows: u64,
}

impl RawOutcomes {
    pub(super) fn validate(self) -> Result<OutcomesConfig, Invalid> {
        let days = |key, days| within(key, days).map(|days| Duration::from_secs(days * 86_400));
        if self.folder.as_ref().is_some_and(|folder| folder.as_os_str().is_empty()) {
            let problem = "is empty; set it to a folder, or leave it out to store no predictions".to_owned();
            return Err(Invalid { key: "outcomes.folder", problem });
        }
        Ok(OutcomesConfig {
            folder: self.folder,
            retention: days("outcomes.retention_days", self.retention_days)?,
            max_predictions: within("outcomes.max_predictions", self.max_predictions)?,
            window: days("outcomes.window_days", self.window_days)?,
            window_outcomes: count("outcomes.window_outcomes", self.window_outcomes)?,
            estimate_rows: count("outcomes.estimate_rows", self.estimate_rows)?,
        })
    }
}

//! Drift over several engines: their counts are added, and compared with training as those of one engine are.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::report::{DriftReport, WindowSums};
use super::variables::{Bin, Variable, VariableKind};
use crate::drift::DriftConfig;

/// The counts in the report of one engine, as its JSON has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftCounts {
    /// The model.
    pub model: String,
    /// The version.
    pub version: u64,
    /// The time at which the engine began to count. A restart begins anew.
    pub since: DateTime<Utc>,
    /// The number of rows in the features' training profile.
    pub training_rows: u64,
    /// The minimum number of rows for a result.
    pub min_rows: usize,
    /// The rate of false alarms of a window.
    pub alpha: f64,
    /// The threshold of the population stability index.
    pub psi_threshold: f64,
    /// The maximum number of rows in a window.
    pub window_rows: usize,
    /// The maximum length of a window.
    pub window_seconds: u64,
    /// The last whole window.
    pub tumbling: WindowCounts,
    /// The window that ends now.
    pub sliding: WindowCounts,
}

/// The counts of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowCounts {
    /// The number of sampled rows.
    pub rows: u64,
    /// The number of rows seen.
    pub rows_seen: u64,
    /// Its start.
    pub from: Option<DateTime<Utc>>,
    /// Its end.
    pub to: Option<DateTime<Utc>>,
    /// The score; absent without a window.
    pub score: Option<VariableCounts>,
    /// The features, in the schema's order.
    pub features: Vec<VariableCounts>,
}

/// The counts of one variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VariableCounts {
    /// A feature, or the score.
    pub kind: VariableKind,
    /// Its name.
    pub name: String,
    /// Every bin.
    pub bins: Vec<BinCounts>,
}

/// The counts of one bin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BinCounts {
    /// The bin.
    #[serde(flatten)]
    pub bin: Bin,
    /// The number of training rows in it.
    pub training_rows: u64,
    /// The number of live rows in it.
    pub live_rows: u64,
}

/// The reason why the reports of engines cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CombineError {
    /// There is none.
    #[error("there is no report to add")]
    None,
    /// The engines have loaded different versions.
    #[error("the engines serve different versions ({0}): name one with --model-version")]
    Versions(String),
    /// The same version was trained on different rows.
    #[error(
        "the engines have different files of version {version}: their training profiles differ, so their counts \
         cannot be added"
    )]
    Profiles {
        /// The version.
        version: u64,
    },
    /// The engines compare by different settings.
    #[error(
        "the engines have different settings under [drift]: give all of them the same, so that they can be added"
    )]
    Settings,
    /// An engine has no counts of a version that others have.
    #[error("an engine reports figures of version {version} without the counts they are made from")]
    Counts {
        /// The version.
        version: u64,
    },
}

/// The counts of several engines, added.
///
/// ```
/// use onnward_quality::drift::{CombineError, CombinedDrift};
///
/// assert_eq!(CombinedDrift::of(&[]).err(), Some(CombineError::None));
/// ```
#[derive(Debug)]
pub struct CombinedDrift {
    config: DriftConfig,
    training_rows: u64,
    since: DateTime<Utc>,
    variables: Vec<Variable>,
    tumbling: Option<WindowSums>,
    sliding: Option<WindowSums>,
}

impl DriftCounts {
    /// Returns whether these counts are of the same count as others: of one engine that has not begun anew between.
    pub fn continues(&self, other: &Self) -> bool {
        (self.version, self.since) == (other.version, other.since)
    }

    /// Returns whether the window that ends now would still have rows of this count, at a time.
    pub fn is_recent(&self, now: DateTime<Utc>) -> bool {
        let length = i64::try_from(self.window_seconds).unwrap_or(i64::MAX);
        let length = TimeDelta::try_seconds(length).unwrap_or(TimeDelta::MAX);
        self.sliding.to.is_some_and(|to| now.signed_duration_since(to) < length)
    }

    /// Removes the last whole window. A later count of the same engine has a later one.
    #[must_use]
    pub fn without_tumbling(self) -> Self {
        let none =
            WindowCounts { rows: 0, rows_seen: 0, from: None, to: None, score: None, features: Vec::new() };
        Self { tumbling: none, ..self }
    }

    fn config(&self) -> DriftConfig {
        DriftConfig {
            window_rows: self.window_rows,
            window: Duration::from_secs(self.window_seconds),
            min_rows: self.min_rows,
            sample: 1.0,
            max_rows_per_second: usize::MAX,
            alpha: self.alpha,
            psi_threshold: self.psi_threshold,
        }
    }
}

impl CombinedDrift {
    /// Adds the counts of engines.
    ///
    /// # Errors
    /// [`CombineError`], if they are not of the same version, training rows and settings.
    pub fn of(reports: &[DriftCounts]) -> Result<Self, CombineError> {
        let first = reports.first().ok_or(CombineError::None)?;
        if reports.iter().any(|report| report.version != first.version) {
            let mut versions: Vec<u64> = reports.iter().map(|report| report.version).collect();
            versions.sort_unstable();
            versions.dedup();
            let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
            return Err(CombineError::Versions(versions.join(", ")));
        }
        if reports.iter().any(|report| report.config() != first.config()) {
            return Err(CombineError::Settings);
        }
        let variables = first.sliding.variables();
        let differs = |report: &DriftCounts| report.training_rows != first.training_rows;
        let profiles = CombineError::Profiles { version: first.version };
        if reports.iter().any(differs) {
            return Err(profiles);
        }
        let sum = |window: fn(&DriftCounts) -> &WindowCounts| sum(reports.iter().map(window), &variables);
        let sliding = sum(|report| &report.sliding).ok_or_else(|| profiles.clone())?;
        let tumbling = sum(|report| &report.tumbling).ok_or(profiles)?;
        Ok(Self {
            config: first.config(),
            training_rows: first.training_rows,
            since: reports.iter().map(|report| report.since).min().unwrap_or(first.since),
            variables,
            tumbling: Some(tumbling).filter(|window| window.to.is_some()),
            sliding: Some(sliding),
        })
    }

    /// Compares all counts with training.
    pub fn report(&self) -> DriftReport<'_> {
        let windows = [self.tumbling.clone(), self.sliding.clone()];
        DriftReport::of(&self.config, self.training_rows, self.since, &self.variables, windows)
    }
}

impl WindowCounts {
    fn counts(&self) -> impl Iterator<Item = &VariableCounts> {
        self.features.iter().chain(&self.score)
    }

    fn variables(&self) -> Vec<Variable> {
        let mut start = 0;
        let variable = |counts: &VariableCounts| {
            let range = start..start + counts.bins.len();
            start = range.end;
            Variable {
                kind: counts.kind,
                name: counts.name.clone(),
                description: None,
                range,
                bins: counts.bins.iter().map(|bin| bin.bin.clone()).collect(),
                training: counts.bins.iter().map(|bin| bin.training_rows).collect(),
            }
        };
        self.counts().map(variable).collect()
    }
}

/// Adds windows; `None` if one has other variables, bins or training rows.
fn sum<'a>(windows: impl Iterator<Item = &'a WindowCounts>, variables: &[Variable]) -> Option<WindowSums> {
    let bins: usize = variables.iter().map(|variable| variable.bins.len()).sum();
    let mut sums = WindowSums { from: None, to: None, rows: 0, rows_seen: 0, counts: vec![0; bins] };
    // An engine that has no such window yet has nothing to add.
    for window in windows.filter(|window| window.to.is_some()) {
        let is_same = window.counts().count() == variables.len()
            && window.counts().zip(variables).all(|(counts, variable)| counts.is_of(variable));
        if !is_same {
            return None;
        }
        sums.from = sums.from.into_iter().chain(window.from).min();
        sums.to = sums.to.into_iter().chain(window.to).max();
        sums.rows = sums.rows.saturating_add(window.rows);
        sums.rows_seen = sums.rows_seen.saturating_add(window.rows_seen);
        let live = window.counts().flat_map(|counts| &counts.bins).map(|bin| bin.live_rows);
        sums.counts.iter_mut().zip(live).for_each(|(sum, rows)| *sum = sum.saturating_add(rows));
    }
    Some(sums)
}

impl VariableCounts {
    fn is_of(&self, variable: &Variable) -> bool {
        let bins = variable.bins.iter().zip(&variable.training);
        let is_same = |(counts, (bin, training)): (&BinCounts, (&Bin, &u64))| {
            counts.bin == *bin && counts.training_rows == *training
        };
        (self.kind, &self.name) == (variable.kind, &variable.name)
            && self.bins.len() == variable.bins.len()
            && self.bins.iter().zip(bins).all(is_same)
    }
}

#[cfg(test)]
mod tests;

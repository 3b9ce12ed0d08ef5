//! Drift detection: compares the rows of the last windows with the training profile.
//!
//! Rows are counted where they are scored ([`Drift::observe`]), into the bins of the profile. Everything else
//! is computed when a report is requested ([`Drift::report`]). A variable is a feature or the score: the
//! probability of a binary model, the predicted class, or the predicted number. It has drifted if the window has
//! enough rows, a test rejects chance, and the effect is large enough (PSI ≥ 0.1). This avoids false alarms in
//! small windows and irrelevant ones in large windows.

mod bins;
mod combined;
mod page;
mod report;
mod sampler;
mod scores;
mod statistics;
mod variables;
mod windows;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use onnward_schemas::{Predictions, Profile, Schema};
use tokio::time::Instant;

use self::bins::Bins;
pub use self::combined::{BinCounts, CombineError, CombinedDrift, DriftCounts, VariableCounts, WindowCounts};
pub use self::page::{PageContext, PageError};
use self::report::WindowSums;
pub use self::report::{
    BinReport, DriftReport, Shares, Statistics, VariableReport, WindowKind, WindowReport,
};
use self::sampler::{Run, Sampler};
use self::scores::scores_of;
use self::variables::Variable;
pub use self::variables::{Bin, BinContent, SCORE_NAME, ScoreTitle, VariableKind};
use self::windows::Windows;

/// The settings of the comparison of live rows with the training rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftConfig {
    /// The maximum number of rows in a window.
    pub window_rows: usize,
    /// The maximum length of a window.
    pub window: Duration,
    /// The minimum number of rows for a result; at most `window_rows`.
    pub min_rows: usize,
    /// The share of the rows that is sampled, above 0 and up to 1.
    pub sample: f64,
    /// The maximum number of rows that are sampled per second and version.
    pub max_rows_per_second: usize,
    /// The rate of false alarms: at most this share of windows with rows like the training rows shows drift.
    pub alpha: f64,
    /// Below this population stability index a difference is too small to matter.
    pub psi_threshold: f64,
}

/// Compares the rows that one version of a model has scored lately with its training profile.
#[derive(Debug)]
pub struct Drift {
    config: DriftConfig,
    bins: Bins,
    variables: Vec<Variable>,
    training_rows: u64,
    /// The time of creation.
    since: DateTime<Utc>,
    live: Mutex<LiveCounts>,
}

#[derive(Debug)]
struct LiveCounts {
    windows: Windows,
    sampler: Sampler,
}

/// The number of rows counted under one lock, small enough that a large batch does not delay the others.
const ROWS_AT_ONCE: usize = 256;

impl Drift {
    /// Creates a detector for a version with this schema and training profile, and starts its first window.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use onnward_quality::drift::{Drift, DriftConfig};
    /// use onnward_schemas::{FeatureProfile, Profile, SchemaFile, ScoreProfile};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let schema = SchemaFile::parse(r#"
    ///     name = "shop"
    ///     version = 1
    ///     label = { column = "Left", positive = "1", negative = "0" }
    ///     features = [{ name = "plan", type = "categorical", values = ["basic", "full"] }]
    /// "#)?.schema;
    /// // Nine of ten training rows had the basic plan.
    /// let plan = FeatureProfile::Categorical { counts: vec![900, 100], missing: 0, unknown: 0 };
    /// let score = ScoreProfile::Probability(vec![50; 20]);
    /// let profile = Profile { rows: 1000, features: vec![plan], score, errors: None };
    /// let config = DriftConfig {
    ///     window_rows: 1000,
    ///     window: Duration::from_secs(3600),
    ///     min_rows: 500,
    ///     sample: 1.0,
    ///     max_rows_per_second: 100_000,
    ///     alpha: 0.01,
    ///     psi_threshold: 0.1,
    /// };
    /// let drift = Drift::new(&schema, &profile, config);
    ///
    /// // Live, every customer has the full plan. The scores are spread as in training.
    /// let scores: Vec<f32> = (0..600).map(|row| row as f32 / 600.0).collect();
    /// drift.observe(&[1.0; 600], &scores);
    /// assert_eq!(drift.report().sliding.drifted, ["plan"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(schema: &Schema, profile: &Profile, config: DriftConfig) -> Self {
        let (bins, now) = (Bins::new(profile), Instant::now());
        let live = LiveCounts {
            windows: Windows::new(config.window_rows, config.window, bins.len(), now),
            sampler: Sampler::new(config.sample, config.max_rows_per_second, now),
        };
        Self {
            config,
            variables: Variable::all(schema, profile),
            training_rows: profile.rows,
            since: Utc::now(),
            bins,
            live: Mutex::new(live),
        }
    }

    /// Counts rows that have been scored: `features` is flat `[rows, features]` in the schema's order, as
    /// [`Feature::encode`](onnward_schemas::Feature::encode) returns them, `scores` `[rows]`: the
    /// probability, the index of the predicted class, or the predicted number. NaN counts as none. Any number
    /// of threads may call it; it allocates nothing.
    pub fn observe(&self, features: &[f32], scores: &[f32]) {
        let now = Instant::now();
        let width = self.bins.features().max(1);
        let pieces = features.chunks(ROWS_AT_ONCE * width).zip(scores.chunks(ROWS_AT_ONCE));
        for (features, scores) in pieces {
            let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.add(&self.bins, features, scores, now);
        }
    }

    /// Counts rows with the predictions that a runtime has returned for them, as [`Drift::observe`] does. Ignores
    /// the outputs of an external graph, which no profile describes.
    pub fn observe_predictions(&self, features: &[f32], predictions: &Predictions) {
        if let Some(scores) = scores_of(predictions) {
            self.observe(features, &scores);
        }
    }

    /// Compares the last windows with training.
    pub fn report(&self) -> DriftReport<'_> {
        let now = Instant::now();
        let windows = {
            let LiveCounts { windows, .. } = &mut *self.live.lock().unwrap_or_else(PoisonError::into_inner);
            windows.close_expired(now);
            [windows.tumbling(now), Some(windows.sliding(now))]
        };
        let windows = windows.map(|window| window.map(WindowSums::from));
        DriftReport::of(&self.config, self.training_rows, self.since, &self.variables, windows)
    }
}

impl LiveCounts {
    /// Counts the sampled rows.
    fn add(&mut self, bins: &Bins, features: &[f32], scores: &[f32], now: Instant) {
        self.windows.close_expired(now);
        self.sampler.tick(now);
        let (width, rows) = (bins.features(), scores.len());
        let mut at = 0;
        while at < rows {
            let Run { skipped, mut taken } = self.sampler.next(rows - at);
            self.windows.skip(skipped);
            at += skipped;
            while taken > 0 {
                let counted = self.windows.add_rows(taken, now, |counts, rows| {
                    let features = features.get(at * width..(at + rows) * width).unwrap_or_default();
                    bins.count(counts, features, scores.get(at..at + rows).unwrap_or_default());
                });
                at += counted;
                taken -= counted;
            }
        }
    }
}

#[cfg(test)]
mod tests;

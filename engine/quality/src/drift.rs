//! Whether a model still sees what it was trained on: the rows of its last windows against its training profile.
//!
//! Rows are counted where they are scored ([`Drift::observe`]), into the bins of the profile; nothing is computed before
//! somebody asks ([`Drift::report`]). A subject, a feature or the score, has drifted when three things come together: the
//! window has enough rows, a test says that chance does not explain the difference, and the difference is not trivial.

mod bins;
mod page;
mod report;
mod sampler;
mod statistics;
mod subjects;
mod windows;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use onnward_schemas::{Profile, Schema};
use tokio::time::Instant;

use self::bins::Bins;
pub use self::page::{PageError, Shown};
pub use self::report::{BinReport, DriftReport, Shares, Statistics, SubjectReport, WindowKind, WindowReport};
use self::sampler::{Run, Sampler};
use self::subjects::Subject;
pub use self::subjects::{Bin, BinContent, SCORE_NAME, SubjectKind};
use self::windows::Windows;

/// How live rows are compared with the training rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriftConfig {
    /// How many rows a window holds at most.
    pub window_rows: usize,
    /// How long a window lasts at most.
    pub window: Duration,
    /// With fewer rows than these a window says nothing; at most `window_rows`.
    pub min_rows: usize,
    /// The share of the rows that is looked at, above 0 and up to 1.
    pub sample: f64,
    /// How many rows a second are looked at at most, of each version.
    pub max_rows_per_second: usize,
    /// The rate of false alarms: of windows of rows like the training rows, at most this share shows drift anywhere.
    pub alpha: f64,
    /// Below this population stability index a difference is too small to matter.
    pub psi_threshold: f64,
}

/// What one version of a model has seen lately, and what it was trained on.
#[derive(Debug)]
pub struct Drift {
    config: DriftConfig,
    bins: Bins,
    subjects: Vec<Subject>,
    training_rows: u64,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    windows: Windows,
    sampler: Sampler,
}

/// How many rows are counted under the lock at once: a large batch must not keep the others waiting.
const ROWS_AT_ONCE: usize = 256;

impl Drift {
    /// Begins the first window of a version with this schema and this training profile.
    pub fn new(schema: &Schema, profile: &Profile, config: DriftConfig) -> Self {
        let (bins, now) = (Bins::new(profile), Instant::now());
        let seen = Seen {
            windows: Windows::new(config.window_rows, config.window, bins.len(), now),
            sampler: Sampler::new(config.sample, config.max_rows_per_second, now),
        };
        Self {
            config,
            subjects: Subject::all(schema, profile),
            training_rows: profile.rows,
            bins,
            seen: Mutex::new(seen),
        }
    }

    /// Counts rows that have been scored: `features` is flat `[rows, features]` in the schema's order, as
    /// [`Feature::encode`](onnward_schemas::Feature::encode) gives them, `probabilities` `[rows]`. For any number of
    /// threads; it allocates nothing.
    pub fn observe(&self, features: &[f32], probabilities: &[f32]) {
        let now = Instant::now();
        let width = self.bins.features().max(1);
        let pieces = features.chunks(ROWS_AT_ONCE * width).zip(probabilities.chunks(ROWS_AT_ONCE));
        for (features, probabilities) in pieces {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.add(&self.bins, features, probabilities, now);
        }
    }

    /// How the last windows compare with training.
    pub fn report(&self) -> DriftReport<'_> {
        let now = Instant::now();
        let windows = {
            let Seen { windows, .. } = &mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            windows.advance(now);
            [windows.tumbling(now), Some(windows.sliding(now))]
        };
        DriftReport::new(&self.config, self.training_rows, &self.subjects, windows)
    }
}

impl Seen {
    /// Counts those of the rows that are looked at.
    fn add(&mut self, bins: &Bins, features: &[f32], probabilities: &[f32], now: Instant) {
        self.windows.advance(now);
        self.sampler.tick(now);
        let (width, rows) = (bins.features(), probabilities.len());
        let mut at = 0;
        while at < rows {
            let Run { skipped, mut taken } = self.sampler.next(rows - at);
            self.windows.skip(skipped);
            at += skipped;
            while taken > 0 {
                let counted = self.windows.fill(taken, now, |counts, rows| {
                    let features = features.get(at * width..(at + rows) * width).unwrap_or_default();
                    bins.count(counts, features, probabilities.get(at..at + rows).unwrap_or_default());
                });
                at += counted;
                taken -= counted;
            }
        }
    }
}

#[cfg(test)]
mod tests;

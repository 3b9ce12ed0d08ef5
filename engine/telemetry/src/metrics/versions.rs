use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Gauge, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use serde::Serialize;

use super::{Metrics, counters, float_gauge, gauge, gauges, histograms, to_i64};

/// The metrics of model versions, from the repository to serving.
#[derive(Debug)]
pub struct VersionMetrics {
    load_seconds: HistogramVec,
    models_serving: IntGauge,
    swaps: IntCounterVec,
    model_version: IntGaugeVec,
    golden_replays: IntCounterVec,
    loaded: Mutex<HashMap<String, Vec<LoadedVersion>>>,
    repository_age: Gauge,
    repository_seen: Mutex<Instant>,
}

const LOAD_SECONDS: [f64; 9] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

impl VersionMetrics {
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        let model = &["model"];
        Ok(Self {
            load_seconds: histograms(
                r,
                "onnward_model_load_seconds",
                "Time to read, check and warm up a model's version.",
                model,
                &LOAD_SECONDS,
            )?,
            models_serving: gauge(r, "onnward_models_serving", "Models that serve predictions.")?,
            swaps: counters(
                r,
                "onnward_swaps_total",
                "Swap attempts: outcome swapped (reason: the rule) or failed (reason: the step).",
                &["model", "outcome", "reason"],
            )?,
            model_version: gauges(
                r,
                "onnward_model_version",
                "Loaded versions by role: serving, previous, loaded; the value is always 1.",
                &["model", "version", "role"],
            )?,
            golden_replays: counters(
                r,
                "onnward_golden_replays_total",
                "Replays of a model's golden rows on a session that is to serve it, by outcome: passed, failed.",
                &["model", "outcome"],
            )?,
            loaded: Mutex::default(),
            repository_age: float_gauge(
                r,
                "onnward_repository_last_success_age_seconds",
                "Time since the last successful read of the model repository, or since the start.",
            )?,
            repository_seen: Mutex::new(Instant::now()),
        })
    }

    /// Updates the age of the last successful poll.
    pub fn set_repository_age(&self) {
        let seen = *self.repository_seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.repository_age.set(seen.elapsed().as_secs_f64());
    }
}

/// A loaded version, as the metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadedVersion {
    /// The version.
    pub version: u64,
    /// Its role.
    pub role: Role,
    /// The backend that runs it.
    pub backend: &'static str,
}

/// The role of a loaded version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It answers the model's requests.
    Serving,
    /// It was served before and stays warm.
    Previous,
    /// It is reached by its number or by an alias.
    Loaded,
}

impl Role {
    /// Returns the name, as used in a metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Previous => "previous",
            Self::Loaded => "loaded",
        }
    }
}

/// The outcome of a swap attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwapOutcome {
    /// The version is served.
    Swapped,
    /// The version is not served; the previous one still is.
    Failed,
}

impl Metrics {
    /// Records the duration of a load.
    pub fn model_loaded(&self, model: &str, took: Duration) {
        self.versions.load_seconds.with_label_values(&[model]).observe(took.as_secs_f64());
    }

    /// Counts a replay of golden rows.
    pub fn golden_replayed(&self, model: &str, passed: bool) {
        // Both are there from the first on: a counter that begins above 0 shows no increase.
        let [of_passed, of_failed] = ["passed", "failed"]
            .map(|outcome| self.versions.golden_replays.with_label_values(&[model, outcome]));
        if passed { of_passed } else { of_failed }.inc();
    }

    /// Counts a swap attempt. `reason` is from a closed set.
    pub fn swapped(&self, model: &str, outcome: SwapOutcome, reason: &'static str) {
        let outcome = match outcome {
            SwapOutcome::Swapped => "swapped",
            SwapOutcome::Failed => "failed",
        };
        self.versions.swaps.with_label_values(&[model, outcome, reason]).inc();
    }

    /// Sets a model's loaded versions and removes the series of unloaded ones, so that their number does not
    /// grow.
    pub fn versions(&self, model: &str, now: &[LoadedVersion]) {
        let mut loaded = self.versions.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let before = loaded.insert(model.to_owned(), now.to_vec()).unwrap_or_default();
        for gone in before.iter().filter(|version| !now.contains(version)) {
            let version = gone.version.to_string();
            // An error means that there was no such series.
            let _ = self.versions.model_version.remove_label_values(&[model, &version, gone.role.name()]);
            if now.iter().all(|kept| kept.version != gone.version) {
                self.inference.end(model, &version);
                self.business.end(model, &version);
            }
        }
        for LoadedVersion { version, role, .. } in now {
            self.versions.model_version.with_label_values(&[model, &version.to_string(), role.name()]).set(1);
        }
    }

    /// Records a successful poll of the repository.
    pub fn repository_seen(&self) {
        *self.versions.repository_seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Sets the number of served models.
    pub fn models_serving(&self, models: usize) {
        self.versions.models_serving.set(to_i64(models));
    }
}

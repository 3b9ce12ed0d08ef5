use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{Metrics, counter, counters, float_gauges, gauge, gauges, remove_series, to_i64};

/// The metrics of the ground truth store.
#[derive(Debug)]
pub struct OutcomeMetrics {
    outcomes: IntCounterVec,
    unknown: IntCounter,
    stored: IntGauge,
    bytes: IntGauge,
    not_stored: IntCounterVec,
    performance: GaugeVec,
    in_window: IntGaugeVec,
    coverage: GaugeVec,
    /// The versions that have series.
    known: Mutex<BTreeSet<(String, u64)>>,
}

impl OutcomeMetrics {
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        let version = &["model", "version"];
        let not_stored = counters(
            r,
            "onnward_predictions_not_stored_total",
            "Predictions that could not be stored, by reason.",
            &["reason"],
        )?;
        // Created at 0 before the first event: a counter that starts above 0 shows no increase.
        for reason in Unstored::ALL {
            not_stored.with_label_values(&[reason.label()]);
        }
        Ok(Self {
            outcomes: counters(
                r,
                "onnward_outcomes_total",
                "Outcomes received, by result; late ones have no model.",
                &["model", "version", "result"],
            )?,
            unknown: counter(r, "onnward_outcomes_unknown_total", "Outcomes without a stored prediction.")?,
            stored: gauge(
                r,
                "onnward_stored_predictions",
                "Stored predictions, with and without an outcome.",
            )?,
            bytes: gauge(r, "onnward_prediction_store_bytes", "Size of the prediction store's file.")?,
            not_stored,
            performance: float_gauges(
                r,
                "onnward_online_performance",
                "Measured performance over the outcomes in the window.",
                &["model", "version", "figure"],
            )?,
            in_window: gauges(r, "onnward_online_outcomes", "Outcomes in the window.", version)?,
            coverage: float_gauges(
                r,
                "onnward_outcome_coverage_ratio",
                "Share of the stored predictions that have their outcome.",
                version,
            )?,
            known: Mutex::default(),
        })
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<(String, u64)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason why a prediction was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unstored {
    /// The queue is full.
    QueueFull,
    /// The store cannot be used.
    StoreFailed,
}

impl Unstored {
    const ALL: [Self; 2] = [Self::QueueFull, Self::StoreFailed];

    fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::StoreFailed => "store_failed",
        }
    }
}

/// The figures of [`Metrics::online_performance`].
type Figures<'a> = &'a [(&'static str, Option<f64>)];

impl Metrics {
    /// Counts a received outcome. `result` is from a closed set; `of` is the model and version, if known.
    pub fn outcome(&self, of: Option<(&str, u64)>, result: &'static str) {
        let (model, version) = of.map(|(model, version)| (model, version.to_string())).unwrap_or_default();
        self.outcomes.outcomes.with_label_values(&[model, &version, result]).inc();
        if let Some((model, version)) = of {
            self.outcomes.known().insert((model.to_owned(), version));
        }
    }

    /// Counts an outcome without a stored prediction.
    pub fn outcome_unknown(&self) {
        self.outcomes.unknown.inc();
    }

    /// Sets the number of stored predictions and the size of their file.
    pub fn stored_predictions(&self, predictions: u64, bytes: u64) {
        self.outcomes.stored.set(to_i64(predictions));
        self.outcomes.bytes.set(to_i64(bytes));
    }

    /// Counts predictions that could not be stored.
    pub fn predictions_not_stored(&self, reason: Unstored, predictions: u64) {
        self.outcomes.not_stored.with_label_values(&[reason.label()]).inc_by(predictions);
    }

    /// Sets a version's measured performance over the window and its outcome coverage. Unknown figures have
    /// no series.
    pub fn online_performance(
        &self,
        model: &str,
        version: u64,
        figures: Figures<'_>,
        outcomes: u64,
        coverage: Option<f64>,
    ) {
        let OutcomeMetrics { performance, in_window, coverage: ratio, .. } = &self.outcomes;
        let text = version.to_string();
        for (figure, value) in figures {
            let labels = [model, &text, figure];
            match value {
                Some(value) => performance.with_label_values(&labels).set(*value),
                // An error means that there was no such series.
                None => drop(performance.remove_label_values(&labels)),
            }
        }
        let labels = [model, text.as_str()];
        in_window.with_label_values(&labels).set(to_i64(outcomes));
        if let Some(coverage) = coverage {
            ratio.with_label_values(&labels).set(coverage);
        }
        self.outcomes.known().insert((model.to_owned(), version));
    }

    /// Removes the series of all versions but these.
    pub fn keep_outcomes_of(&self, versions: &[(String, u64)]) {
        let OutcomeMetrics { outcomes, performance, in_window, coverage, .. } = &self.outcomes;
        self.outcomes.known().retain(|of| {
            if versions.contains(of) {
                return true;
            }
            let (model, version) = (of.0.as_str(), of.1.to_string());
            remove_series(outcomes, model, &version);
            remove_series(in_window, model, &version);
            for vec in [performance, coverage] {
                remove_series(vec, model, &version);
            }
            false
        });
    }
}

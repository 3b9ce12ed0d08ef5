use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{Metrics, counter, counters, end_series, float_gauges, gauge, gauges, whole};

/// What becomes of predictions.
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
            "Predictions that should have been kept and were not, by reason.",
            &["reason"],
        )?;
        // They are there before the first loss: a counter that begins above 0 shows no increase.
        for reason in Unstored::ALL {
            not_stored.with_label_values(&[reason.label()]);
        }
        Ok(Self {
            outcomes: counters(
                r,
                "onnward_outcomes_total",
                "Outcomes received, by result; those that came late have no model.",
                &["model", "version", "result"],
            )?,
            unknown: counter(
                r,
                "onnward_outcomes_unknown_total",
                "Outcomes received for predictions that are not kept here.",
            )?,
            stored: gauge(
                r,
                "onnward_stored_predictions",
                "Predictions that wait for their outcome or have it.",
            )?,
            bytes: gauge(r, "onnward_prediction_store_bytes", "Size of the file of predictions.")?,
            not_stored,
            performance: float_gauges(
                r,
                "onnward_online_performance",
                "How good predictions were, by the outcomes in the window.",
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

/// Why a prediction is not kept that should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unstored {
    /// Too many wait to be written.
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
    /// An outcome has been received; `result` is of a closed set. It is for a prediction of this model and version, where that is
    /// known.
    pub fn outcome(&self, of: Option<(&str, u64)>, result: &'static str) {
        let (model, version) = of.map(|(model, version)| (model, version.to_string())).unwrap_or_default();
        self.outcomes.outcomes.with_label_values(&[model, &version, result]).inc();
        if let Some((model, version)) = of {
            self.outcomes.known().insert((model.to_owned(), version));
        }
    }

    /// An outcome has been received for a prediction that is not kept here.
    pub fn outcome_unknown(&self) {
        self.outcomes.unknown.inc();
    }

    /// So many predictions are kept, in a file of so many bytes.
    pub fn stored_predictions(&self, predictions: u64, bytes: u64) {
        self.outcomes.stored.set(whole(predictions));
        self.outcomes.bytes.set(whole(bytes));
    }

    /// So many predictions should have been kept and were not.
    pub fn predictions_not_stored(&self, reason: Unstored, predictions: u64) {
        self.outcomes.not_stored.with_label_values(&[reason.label()]).inc_by(predictions);
    }

    /// How good a version's predictions were by the `outcomes` in the window, and the share of them that have their outcome. What
    /// is not known has no series.
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
        in_window.with_label_values(&labels).set(whole(outcomes));
        if let Some(coverage) = coverage {
            ratio.with_label_values(&labels).set(coverage);
        }
        self.outcomes.known().insert((model.to_owned(), version));
    }

    /// Ends the series of every version but these, of which predictions are kept.
    pub fn keep_outcomes_of(&self, versions: &[(String, u64)]) {
        let OutcomeMetrics { outcomes, performance, in_window, coverage, .. } = &self.outcomes;
        self.outcomes.known().retain(|of| {
            if versions.contains(of) {
                return true;
            }
            let (model, version) = (of.0.as_str(), of.1.to_string());
            end_series(outcomes, model, &version);
            end_series(in_window, model, &version);
            for vec in [performance, coverage] {
                end_series(vec, model, &version);
            }
            false
        });
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{Metrics, counters, gauge, gauges, registered};

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
    estimated: GaugeVec,
    coverage: GaugeVec,
    known: Mutex<BTreeMap<(String, u64), Series>>,
}

/// What a version of a model has series of.
#[derive(Debug, Default)]
struct Series {
    results: BTreeSet<&'static str>,
    figures: BTreeSet<&'static str>,
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
            unknown: registered(
                r,
                IntCounter::new(
                    "onnward_outcomes_unknown_total",
                    "Outcomes received for predictions that are not kept here.",
                )?,
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
            estimated: float_gauges(
                r,
                "onnward_estimated_performance",
                "How good the last predictions probably are, by what they say of themselves: an estimate.",
                &["model", "version", "figure"],
            )?,
            known: Mutex::default(),
        })
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<(String, u64), Series>> {
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
            self.outcomes.known().entry((model.to_owned(), version)).or_default().results.insert(result);
        }
    }

    /// An outcome has been received for a prediction that is not kept here.
    pub fn outcome_unknown(&self) {
        self.outcomes.unknown.inc();
    }

    /// So many predictions are kept, in a file of so many bytes.
    pub fn stored_predictions(&self, predictions: u64, bytes: u64) {
        self.outcomes.stored.set(i64::try_from(predictions).unwrap_or(i64::MAX));
        self.outcomes.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
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
        in_window.with_label_values(&labels).set(i64::try_from(outcomes).unwrap_or(i64::MAX));
        if let Some(coverage) = coverage {
            ratio.with_label_values(&labels).set(coverage);
        }
        let mut known = self.outcomes.known();
        let series = known.entry((model.to_owned(), version)).or_default();
        series.figures.extend(figures.iter().map(|(figure, _)| figure));
    }

    /// How good the last predictions of the loaded versions probably are: models, versions and figures. Whatever else there
    /// was ends.
    pub fn estimated_performance<'a>(
        &self,
        estimates: impl IntoIterator<Item = (&'a str, u64, &'static str, Option<f64>)>,
    ) {
        let estimated = &self.outcomes.estimated;
        estimated.reset();
        for (model, version, figure, value) in estimates {
            if let Some(value) = value {
                estimated.with_label_values(&[model, &version.to_string(), figure]).set(value);
            }
        }
    }

    /// Ends the series of every version but these, of which predictions are kept.
    pub fn keep_outcomes_of(&self, versions: &[(String, u64)]) {
        let OutcomeMetrics { outcomes, performance, in_window, coverage, .. } = &self.outcomes;
        self.outcomes.known().retain(|(model, version), series| {
            if versions.iter().any(|(kept, number)| kept == model && number == version) {
                return true;
            }
            let version = version.to_string();
            let labels = [model.as_str(), version.as_str()];
            // An error means that there was no such series.
            let _ = in_window.remove_label_values(&labels);
            let _ = coverage.remove_label_values(&labels);
            for figure in &series.figures {
                let _ = performance.remove_label_values(&[model.as_str(), &version, figure]);
            }
            for result in &series.results {
                let _ = outcomes.remove_label_values(&[model.as_str(), &version, result]);
            }
            false
        });
    }
}

fn float_gauges(r: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
    registered(r, GaugeVec::new(Opts::new(name, help), labels)?)
}

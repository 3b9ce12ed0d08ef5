use std::time::Duration;

use onnward_quality::estimate::TaskEstimate;
use onnward_schemas::Figures;
use prometheus::{GaugeVec, IntGaugeVec, Registry};

use super::{float_gauges, gauges, to_i64};

/// The state of a model at a scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelState {
    /// The model's name.
    pub name: String,
    /// Version that should be served.
    pub desired: Option<u64>,
    /// Version that is served.
    pub serving: Option<u64>,
    /// Whether the desired version is not served because of a failure.
    pub is_failing: bool,
    /// Whether a start of the engine would not serve what is served now.
    pub is_restart_at_risk: bool,
    /// The queue of its loaded versions; `None` if none is loaded.
    pub queue: Option<QueueState>,
    /// The figures on held-out rows of each loaded version that has them.
    pub evaluations: Vec<(u64, Figures)>,
    /// The estimated performance of each loaded version that has one.
    pub estimates: Vec<(u64, TaskEstimate)>,
}

/// The rows that wait to be scored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueState {
    /// The number of rows.
    pub rows: usize,
    /// Of how many requests.
    pub requests: usize,
    /// The wait time of the oldest; zero if the queue is empty.
    pub oldest_age: Duration,
    /// The capacity in rows.
    pub capacity_rows: usize,
}

impl QueueState {
    /// Combines two queue states. The capacity is the larger one, not the sum, because each version's queue
    /// fills separately.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            requests: self.requests + other.requests,
            oldest_age: self.oldest_age.max(other.oldest_age),
            capacity_rows: self.capacity_rows.max(other.capacity_rows),
        }
    }
}

/// The gauges that are read from the models at a scrape. Nothing is counted in between, and unloaded models
/// have no series.
#[derive(Debug)]
pub struct ModelGauges {
    queue_rows: IntGaugeVec,
    queue_requests: IntGaugeVec,
    queue_oldest_age: GaugeVec,
    queue_capacity: IntGaugeVec,
    desired: IntGaugeVec,
    serving: IntGaugeVec,
    failing: IntGaugeVec,
    restart_at_risk: IntGaugeVec,
    evaluation: GaugeVec,
    estimated: GaugeVec,
}

impl ModelGauges {
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        let (model, figure) = (&["model"], &["model", "version", "figure"]);
        let of_model = |name: &str, help: &str| gauges(r, name, help, model);
        Ok(Self {
            queue_rows: of_model("onnward_queue_rows", "Queued rows.")?,
            queue_requests: of_model("onnward_queue_requests", "Queued requests.")?,
            queue_oldest_age: float_gauges(
                r,
                "onnward_queue_oldest_age_seconds",
                "Wait time of the oldest queued request; 0 if the queue is empty.",
                model,
            )?,
            queue_capacity: of_model(
                "onnward_queue_capacity_rows",
                "Queue capacity of a version in rows; requests beyond it are rejected.",
            )?,
            desired: of_model("onnward_model_desired_version", "Version that should be served.")?,
            serving: of_model("onnward_model_serving_version", "Version that is served.")?,
            failing: of_model(
                "onnward_model_failing",
                "Whether the version that should be served is not, because of a failure: 0 or 1.",
            )?,
            restart_at_risk: of_model(
                "onnward_model_restart_at_risk",
                "Whether a start of the engine may not serve what is served now: 0 or 1.",
            )?,
            evaluation: float_gauges(
                r,
                "onnward_model_evaluation",
                "Metrics of a loaded version on its test set.",
                figure,
            )?,
            estimated: float_gauges(
                r,
                "onnward_estimated_performance",
                "Estimated performance of the recent predictions.",
                figure,
            )?,
        })
    }

    /// Sets the gauges of these models and removes all others.
    pub fn set(&self, models: &[ModelState]) {
        let Self {
            queue_rows,
            queue_requests,
            queue_capacity,
            desired,
            serving,
            failing,
            restart_at_risk,
            ..
        } = self;
        for gauges in [queue_rows, queue_requests, queue_capacity, desired, serving, failing, restart_at_risk]
        {
            gauges.reset();
        }
        for gauges in [&self.queue_oldest_age, &self.evaluation, &self.estimated] {
            gauges.reset();
        }
        for model in models {
            self.set_model(model);
        }
    }

    fn set_model(&self, model: &ModelState) {
        let of_model = [model.name.as_str()];
        let set = |gauges: &IntGaugeVec, value: u64| {
            gauges.with_label_values(&of_model).set(to_i64(value));
        };
        if let Some(queue) = model.queue {
            set(&self.queue_rows, queue.rows as u64);
            set(&self.queue_requests, queue.requests as u64);
            set(&self.queue_capacity, queue.capacity_rows as u64);
            self.queue_oldest_age.with_label_values(&of_model).set(queue.oldest_age.as_secs_f64());
        }
        set(&self.failing, model.is_failing.into());
        set(&self.restart_at_risk, model.is_restart_at_risk.into());
        for (gauges, version) in [(&self.desired, model.desired), (&self.serving, model.serving)] {
            if let Some(version) = version {
                set(gauges, version);
            }
        }
        for (version, figures) in &model.evaluations {
            let version = version.to_string();
            for (figure, value) in figures.by_name() {
                self.evaluation.with_label_values(&[&model.name, &version, figure]).set(value);
            }
        }
        for (version, estimate) in &model.estimates {
            let version = version.to_string();
            for (figure, value) in estimate.figures() {
                if let Some(value) = value {
                    self.estimated.with_label_values(&[&model.name, &version, figure]).set(value);
                }
            }
        }
    }
}

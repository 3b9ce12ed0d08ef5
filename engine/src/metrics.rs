//! Every metric by name, in one place; Prometheus is known here only.
//!
//! Labels are closed sets or model names, so the number of series is bounded whatever clients send.

mod versions;

use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TEXT_FORMAT, TextEncoder, core::Collector,
};
use thiserror::Error;

use self::versions::VersionMetrics;
pub use self::versions::{LoadedVersion, Role, SwapOutcome};

/// Two metrics of one name, or a name that Prometheus does not take: a mistake of this module.
#[derive(Debug, Error)]
#[error("the metrics cannot be registered: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// The metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http_requests: IntCounterVec,
    http_duration: HistogramVec,
    http_in_flight: IntGauge,
    rows: IntCounterVec,
    batches: IntCounterVec,
    batch_rows: HistogramVec,
    queue_rows: IntGaugeVec,
    rejected: IntCounterVec,
    abandoned: IntCounterVec,
    versions: VersionMetrics,
}

/// Why a request's rows were not scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// The queue has no room for them now.
    QueueFull,
    /// They are more than the queue ever holds.
    TooManyRows,
    /// The request's time was over first.
    TimedOut,
    /// The process is stopping.
    ShuttingDown,
}

impl RejectReason {
    const ALL: [Self; 4] = [Self::QueueFull, Self::TooManyRows, Self::TimedOut, Self::ShuttingDown];

    fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooManyRows => "too_many_rows",
            Self::TimedOut => "timed_out",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

/// Seconds; a prediction of one row takes well under a millisecond.
const REQUEST_SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];
const BATCH_ROWS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

impl Metrics {
    /// Registers every metric.
    ///
    /// # Errors
    /// [`MetricsError`] if two metrics have one name.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let r = &registry;
        let build = gauges(r, "onnward_build_info", "What is running; the value is always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let model = &["model"];
        let version = &["model", "version", "backend"];
        Ok(Self {
            http_requests: counters(
                r,
                "onnward_http_requests_total",
                "Requests answered, by route and status; 499 where the client left first.",
                &["route", "method", "status"],
            )?,
            http_duration: histograms(
                r,
                "onnward_http_request_duration_seconds",
                "Time from a request's head to its answer.",
                &["route"],
                &REQUEST_SECONDS,
            )?,
            http_in_flight: gauge(r, "onnward_http_requests_in_flight", "Requests not yet answered.")?,
            rows: counters(r, "onnward_rows_total", "Rows scored.", version)?,
            batches: counters(r, "onnward_batches_total", "Batches scored.", version)?,
            batch_rows: histograms(r, "onnward_batch_rows", "Rows in a batch.", model, &BATCH_ROWS)?,
            queue_rows: gauges(r, "onnward_queue_rows", "Rows that wait to be scored.", model)?,
            rejected: counters(
                r,
                "onnward_rejected_total",
                "Requests whose rows were not scored, by reason.",
                &["model", "reason"],
            )?,
            abandoned: counters(
                r,
                "onnward_abandoned_requests_total",
                "Requests dropped from the queue because their client had gone.",
                model,
            )?,
            versions: VersionMetrics::new(r)?,
            registry,
        })
    }

    /// A request's head has come.
    pub fn request_started(&self) {
        self.http_in_flight.inc();
    }

    /// A request is answered, or its client has gone (status 499). `route` is the matched route's pattern and `method`
    /// one of HTTP's own, never what a client makes up.
    pub fn request_ended(&self, route: &str, method: &str, status: u16, took: Duration) {
        self.http_in_flight.dec();
        self.http_requests.with_label_values(&[route, method, itoa::Buffer::new().format(status)]).inc();
        self.http_duration.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// The metrics of one version of a model, their labels resolved once.
    pub fn model(&self, model: &str, version: u64, backend: &str) -> ModelMetrics {
        let of_version = [model, &version.to_string(), backend];
        ModelMetrics {
            rows: self.rows.with_label_values(&of_version),
            batches: self.batches.with_label_values(&of_version),
            batch_rows: self.batch_rows.with_label_values(&[model]),
            queue_rows: self.queue_rows.with_label_values(&[model]),
            rejected: RejectReason::ALL
                .map(|reason| (reason, self.rejected.with_label_values(&[model, reason.label()]))),
            abandoned: self.abandoned.with_label_values(&[model]),
        }
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// [`MetricsError`] if a metric cannot be written down.
    pub fn render(&self) -> Result<Vec<u8>, MetricsError> {
        self.versions.set_repository_age();
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// The media type of [`Metrics::render`].
    pub fn content_type() -> &'static str {
        TEXT_FORMAT
    }
}

/// The metrics of one version of a model.
#[derive(Debug, Clone)]
pub struct ModelMetrics {
    rows: IntCounter,
    batches: IntCounter,
    batch_rows: Histogram,
    queue_rows: IntGauge,
    rejected: [(RejectReason, IntCounter); RejectReason::ALL.len()],
    abandoned: IntCounter,
}

impl ModelMetrics {
    /// A batch of so many rows has been scored.
    pub fn batch_ran(&self, rows: usize) {
        self.rows.inc_by(rows as u64);
        self.batches.inc();
        self.batch_rows.observe(rows as f64);
    }

    /// So many rows have come to the queue, or, below 0, have left it.
    pub fn queue_rows(&self, delta: i64) {
        self.queue_rows.add(delta);
    }

    /// A request was turned away.
    pub fn rejected(&self, reason: RejectReason) {
        for (_, counter) in self.rejected.iter().filter(|(known, _)| *known == reason) {
            counter.inc();
        }
    }

    /// A request's client had gone before its rows were scored.
    pub fn abandoned(&self) {
        self.abandoned.inc();
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(r: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    registered(r, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauge(r: &Registry, name: &str, help: &str) -> prometheus::Result<IntGauge> {
    registered(r, IntGauge::new(name, help)?)
}

fn gauges(r: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    registered(r, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histograms(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> prometheus::Result<HistogramVec> {
    registered(r, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_to_a_model_is_counted_under_its_labels() {
        let metrics = Metrics::new().unwrap();
        let model = metrics.model("churn", 3, "tract");
        model.queue_rows(5);
        model.batch_ran(5);
        model.queue_rows(-5);
        model.rejected(RejectReason::QueueFull);
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        for line in [
            r#"onnward_rows_total{backend="tract",model="churn",version="3"} 5"#,
            r#"onnward_batches_total{backend="tract",model="churn",version="3"} 1"#,
            r#"onnward_batch_rows_bucket{model="churn",le="4"} 0"#,
            r#"onnward_batch_rows_bucket{model="churn",le="8"} 1"#,
            r#"onnward_queue_rows{model="churn"} 0"#,
            r#"onnward_rejected_total{model="churn",reason="queue_full"} 1"#,
            r#"onnward_rejected_total{model="churn",reason="timed_out"} 0"#,
        ] {
            assert!(text.lines().any(|printed| printed == line), "{line} is not in\n{text}");
        }
    }
}

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use super::{LazySeries, Metrics, counters, histograms, remove_series};

/// The metrics of the steps between a request's rows and their probabilities.
#[derive(Debug, Clone)]
pub struct InferenceVecs {
    requests: IntCounterVec,
    rows: IntCounterVec,
    executions: IntCounterVec,
    stage_seconds: HistogramVec,
    batch_rows: HistogramVec,
    rejected: IntCounterVec,
    abandoned: IntCounterVec,
}

/// A part of the way from a request's body to its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// JSON becomes features; once a request.
    Encode,
    /// A request's rows wait to be taken into a batch; once a request.
    Queue,
    /// The rows of a batch's requests are put together; once a batch.
    Assemble,
    /// The model runs; once an execution.
    Run,
    /// Probabilities become the answer's JSON; once a request.
    Respond,
}

impl Stage {
    fn label(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Queue => "queue",
            Self::Assemble => "assemble",
            Self::Run => "run",
            Self::Respond => "respond",
        }
    }
}

/// The reason why a request's rows were not scored.
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

/// Seconds. The stages of a single row take some microseconds, those of a request that waits up to seconds.
const STAGE_SECONDS: [f64; 19] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const BATCH_ROWS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

impl InferenceVecs {
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        let model = &["model"];
        let version = &["model", "version", "backend"];
        Ok(Self {
            requests: counters(
                r,
                "onnward_inference_requests_total",
                "Requests whose rows were scored.",
                version,
            )?,
            rows: counters(r, "onnward_inference_rows_total", "Rows scored.", version)?,
            executions: counters(
                r,
                "onnward_inference_executions_total",
                "Model executions, each of one batch.",
                version,
            )?,
            stage_seconds: histograms(
                r,
                "onnward_inference_stage_duration_seconds",
                "Time of each stage of a prediction: encode, queue and respond of a request, assemble of a batch, run of \
                 an execution.",
                &["model", "version", "backend", "stage"],
                &STAGE_SECONDS,
            )?,
            batch_rows: histograms(
                r,
                "onnward_inference_batch_rows",
                "Rows in an execution's batch.",
                version,
                &BATCH_ROWS,
            )?,
            rejected: counters(
                r,
                "onnward_rejected_requests_total",
                "Requests whose rows were not scored, by reason.",
                &["model", "reason"],
            )?,
            abandoned: counters(
                r,
                "onnward_abandoned_requests_total",
                "Requests dropped from the queue because the client disconnected.",
                model,
            )?,
        })
    }

    fn series(&self, labels: [&str; 3]) -> InferenceSeries {
        let [model, version, backend] = labels;
        let stage =
            |stage: Stage| self.stage_seconds.with_label_values(&[model, version, backend, stage.label()]);
        InferenceSeries {
            requests: self.requests.with_label_values(&labels),
            rows: self.rows.with_label_values(&labels),
            executions: self.executions.with_label_values(&labels),
            encode: stage(Stage::Encode),
            queue: stage(Stage::Queue),
            assemble: stage(Stage::Assemble),
            run: stage(Stage::Run),
            respond: stage(Stage::Respond),
            batch_rows: self.batch_rows.with_label_values(&labels),
            rejected: RejectReason::ALL
                .map(|reason| (reason, self.rejected.with_label_values(&[model, reason.label()]))),
            abandoned: self.abandoned.with_label_values(&[model]),
        }
    }

    /// Removes the series of an unloaded version.
    pub fn end(&self, model: &str, version: &str) {
        for vec in [&self.requests, &self.rows, &self.executions] {
            remove_series(vec, model, version);
        }
        for vec in [&self.stage_seconds, &self.batch_rows] {
            remove_series(vec, model, version);
        }
    }
}

impl Metrics {
    /// Returns the inference metrics of one version of a model. The model's first request creates the series.
    pub fn inference(&self, model: &str, version: u64, backend: &str) -> InferenceMetrics {
        if !self.counts_requests {
            return InferenceMetrics(None);
        }
        let vecs = self.inference.clone();
        let labels = [model.to_owned(), version.to_string(), backend.to_owned()];
        let create = move || vecs.series(labels.each_ref().map(String::as_str));
        InferenceMetrics(Some(self.lazy_series(model, create)))
    }
}

/// The inference metrics of one version of a model; nothing where requests are not counted.
#[derive(Debug)]
pub struct InferenceMetrics(Option<LazySeries<InferenceSeries>>);

#[derive(Debug)]
struct InferenceSeries {
    requests: IntCounter,
    rows: IntCounter,
    executions: IntCounter,
    encode: Histogram,
    queue: Histogram,
    assemble: Histogram,
    run: Histogram,
    respond: Histogram,
    batch_rows: Histogram,
    rejected: [(RejectReason, IntCounter); RejectReason::ALL.len()],
    abandoned: IntCounter,
}

impl InferenceMetrics {
    /// Counts requests whose rows were scored.
    pub fn requests_scored(&self, requests: usize) {
        if let Some(series) = &self.0 {
            series.requests.inc_by(requests as u64);
        }
    }

    /// Records a run on a batch.
    pub fn ran(&self, rows: usize, took: Duration) {
        if let Some(series) = &self.0 {
            series.rows.inc_by(rows as u64);
            series.executions.inc();
            series.batch_rows.observe(rows as f64);
            series.run.observe(took.as_secs_f64());
        }
    }

    /// Records a stage's duration.
    pub fn stage(&self, stage: Stage, took: Duration) {
        let Some(series) = &self.0 else { return };
        let histogram = match stage {
            Stage::Encode => &series.encode,
            Stage::Queue => &series.queue,
            Stage::Assemble => &series.assemble,
            Stage::Run => &series.run,
            Stage::Respond => &series.respond,
        };
        histogram.observe(took.as_secs_f64());
    }

    /// Records the queue times of a batch's requests. They are summed first, because all scoring threads
    /// share the series.
    pub fn queued(&self, waits: impl ExactSizeIterator<Item = Duration>) {
        const MANY: usize = 4;
        let Some(series) = &self.0 else { return };
        if waits.len() < MANY {
            return waits.for_each(|wait| series.queue.observe(wait.as_secs_f64()));
        }
        let summed = series.queue.local();
        waits.for_each(|wait| summed.observe(wait.as_secs_f64()));
        summed.flush();
    }

    /// Counts a rejected request.
    pub fn rejected(&self, reason: RejectReason) {
        let Some(series) = &self.0 else { return };
        for (_, counter) in series.rejected.iter().filter(|(known, _)| *known == reason) {
            counter.inc();
        }
    }

    /// Counts a request whose client disconnected before its rows were scored.
    pub fn abandoned(&self) {
        if let Some(series) = &self.0 {
            series.abandoned.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricsConfig;
    use crate::metrics::{LoadedVersion, Role};

    fn lines(metrics: &Metrics) -> Vec<String> {
        let text = String::from_utf8(metrics.render(&[]).unwrap()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_happens_to_a_model_is_counted_under_its_labels() {
        let metrics = Metrics::new().unwrap();
        let model = metrics.inference("churn", 3, "tract");
        model.requests_scored(2);
        model.ran(5, Duration::from_micros(60));
        model.queued([1, 2].map(Duration::from_millis).into_iter());
        model.queued([1, 1, 1, 1, 1].map(Duration::from_millis).into_iter());
        model.rejected(RejectReason::QueueFull);
        let printed = lines(&metrics);
        for line in [
            r#"onnward_inference_requests_total{backend="tract",model="churn",version="3"} 2"#,
            r#"onnward_inference_rows_total{backend="tract",model="churn",version="3"} 5"#,
            r#"onnward_inference_executions_total{backend="tract",model="churn",version="3"} 1"#,
            r#"onnward_inference_batch_rows_bucket{backend="tract",model="churn",version="3",le="4"} 0"#,
            r#"onnward_inference_batch_rows_bucket{backend="tract",model="churn",version="3",le="8"} 1"#,
            r#"onnward_inference_stage_duration_seconds_bucket{backend="tract",model="churn",stage="run",version="3",le="0.00005"} 0"#,
            r#"onnward_inference_stage_duration_seconds_bucket{backend="tract",model="churn",stage="run",version="3",le="0.0001"} 1"#,
            r#"onnward_inference_stage_duration_seconds_sum{backend="tract",model="churn",stage="queue",version="3"} 0.008"#,
            r#"onnward_inference_stage_duration_seconds_count{backend="tract",model="churn",stage="queue",version="3"} 7"#,
            r#"onnward_rejected_requests_total{model="churn",reason="queue_full"} 1"#,
            r#"onnward_rejected_requests_total{model="churn",reason="timed_out"} 0"#,
        ] {
            assert!(printed.iter().any(|printed| printed == line), "{line} is not in\n{printed:#?}");
        }
    }

    #[test]
    fn a_model_has_series_from_its_first_request_on() {
        let metrics = Metrics::new().unwrap();
        let schema = onnward_schemas::fixtures::schema(onnward_schemas::fixtures::PHONE);
        let model = metrics.inference("churn", 3, "tract");
        let business = metrics.business("churn", 3, &schema).unwrap();
        assert!(lines(&metrics).iter().all(|line| !line.contains("churn")));
        model.rejected(RejectReason::QueueFull);
        business.observe(&[], &Vec::new().into());
        for reason in ["queue_full", "timed_out"] {
            let line = format!(r#"onnward_rejected_requests_total{{model="churn",reason="{reason}"}}"#);
            assert!(lines(&metrics).iter().any(|printed| printed.starts_with(&line)), "{line}");
        }
        assert!(lines(&metrics).iter().any(|line| line.starts_with("onnward_expected_positives_total{")));
        let _next = metrics.inference("churn", 4, "tract");
        let of_next = |line: &String| line.contains(r#"version="4""#);
        assert!(lines(&metrics).iter().any(of_next), "no request waits for the series of the next version");
    }

    #[test]
    fn the_series_of_a_version_end_when_it_is_no_longer_loaded() {
        let metrics = Metrics::new().unwrap();
        let loaded = |version| LoadedVersion { version, role: Role::Serving, backend: "tract" };
        for version in [1, 2] {
            metrics.inference("churn", version, "tract").ran(1, Duration::from_micros(60));
        }
        metrics.versions("churn", &[loaded(1), loaded(2)]);
        metrics.versions("churn", &[loaded(2)]);
        let printed = lines(&metrics);
        assert!(printed.iter().all(|line| !line.contains(r#"version="1""#)), "{printed:#?}");
        assert!(printed.iter().any(|line| line.contains(r#"version="2""#)));
    }

    #[test]
    fn nothing_is_counted_for_a_request_where_that_is_switched_off() {
        let metrics =
            Metrics::configured(&MetricsConfig { enabled: false, ..MetricsConfig::default() }).unwrap();
        let model = metrics.inference("churn", 1, "tract");
        model.ran(1, Duration::from_micros(60));
        model.stage(Stage::Queue, Duration::from_micros(60));
        model.rejected(RejectReason::TimedOut);
        metrics.route("/predict").started();
        assert!(
            metrics
                .business("churn", 1, &onnward_schemas::fixtures::schema(onnward_schemas::fixtures::PHONE))
                .is_none()
        );
        let printed = lines(&metrics);
        assert!(
            printed.iter().all(|line| !line.contains("churn") && !line.contains("/predict")),
            "{printed:#?}"
        );
        assert!(printed.iter().any(|line| line.starts_with("onnward_build_info")));
    }
}

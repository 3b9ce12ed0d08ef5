//! Metrics of a real engine after real requests, and whether Prometheus accepts them.

use serde_json::Value;
use tempfile::TempDir;

use crate::operations::monitoring::servers::Tools;
use crate::support::programs::{Engine, succeed};

const EXPORTER: &str = "onnward-exporter";
const ROWS: usize = 40;

struct Rig {
    engine: Engine,
    rows: Vec<Value>,
    // The repository is in it.
    _folder: TempDir,
}

/// Starts an engine that serves a model of the Telco schema as `churn`, with rows for it.
fn rig(variables: &[(&str, &str)]) -> Rig {
    let folder = TempDir::new().unwrap();
    let file = |part: &str| folder.path().join(part).display().to_string();
    let (table, repository) = (file("customers.csv"), file("repository"));
    let schema = ["--schema", "schemas/telco.toml"];
    let run = |arguments: &[&str], more: &[&str]| succeed(EXPORTER, &[arguments, &schema, more].concat());
    run(&["sample"], &["--rows", "2000", "--out", &table]);
    let candidates = ["--candidates", "logistic", "--folds", "2"];
    let place = ["--data", &table, "--repository", &repository, "--model", "churn"];
    run(&["train"], &[&place[..], &candidates].concat());
    let lines = run(&["sample"], &["--rows", &ROWS.to_string(), "--format", "jsonl"]);
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let engine = Engine::serve_in(&variables, &repository, &[]);
    let rows = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Rig { engine, rows, _folder: folder }
}

impl Rig {
    /// Posts all rows at once and one alone. Returns the probabilities in this order.
    fn ask(&self) -> Vec<f64> {
        let (status, many) = self.engine.post("/predict", &serde_json::to_string(&self.rows).unwrap());
        assert_eq!(status, 200);
        let (status, one) = self.engine.post("/models/churn/predict", &self.rows[0].to_string());
        assert_eq!(status, 200);
        let many = many["predictions"].as_array().unwrap().iter();
        many.chain([&one]).map(|prediction| prediction["probability"].as_f64().unwrap()).collect()
    }

    fn scrape(&self) -> String {
        let (status, text) = self.engine.get("/metrics");
        assert_eq!(status, 200);
        text
    }
}

/// Returns the sum of a metric's series that have all of these labels; `None` if there are none.
fn sum(text: &str, metric: &str, labels: &[&str]) -> Option<f64> {
    let series = text.lines().filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        let (name, found) = name.split_once('{').unwrap_or((name, ""));
        let matches = name == metric && labels.iter().all(|label| found.contains(label));
        matches.then(|| value.parse::<f64>().unwrap())
    });
    series.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[test]
fn a_scrape_says_what_was_asked_and_answered_and_prometheus_takes_it() {
    let rig = rig(&[]);
    let probabilities = rig.ask();
    let text = rig.scrape();
    let rows = (ROWS + 1) as f64;
    let expected: f64 = probabilities.iter().sum();
    let positives = probabilities.iter().filter(|probability| **probability >= 0.5).count() as f64;
    let low = probabilities.iter().filter(|probability| **probability < 0.3).count() as f64;
    let charges = |row: &Value| row["MonthlyCharges"].as_f64().unwrap();
    let revenue: f64 = rig.rows.iter().chain(&rig.rows[..1]).map(charges).sum();
    let churn = [r#"model="churn""#, r#"version="1""#];
    for (metric, more, value) in [
        ("onnward_inference_requests_total", "", 2.0),
        ("onnward_inference_rows_total", "", rows),
        ("onnward_inference_stage_duration_seconds_count", r#"stage="encode""#, 2.0),
        ("onnward_inference_stage_duration_seconds_count", r#"stage="queue""#, 2.0),
        ("onnward_inference_stage_duration_seconds_count", r#"stage="respond""#, 2.0),
        ("onnward_predictions_total", "", rows),
        ("onnward_predictions_total", r#"decision="positive""#, positives),
        ("onnward_predictions_by_band_total", r#"band="low""#, low),
        ("onnward_predictions_by_segment_total", r#"segment="Contract""#, rows),
        ("onnward_expected_positives_total", "", expected),
        ("onnward_expected_positives_by_segment_total", r#"segment="PaymentMethod""#, expected),
        ("onnward_revenue_scored_total", "", revenue),
    ] {
        let found = sum(&text, metric, &[&churn[..], &[more]].concat()).unwrap();
        assert!((found - value).abs() < 1e-2, "{metric} {more}: {found} and not {value}");
    }
    for (metric, labels) in [
        ("onnward_http_request_body_bytes_count", r#"route="/predict""#),
        ("onnward_http_response_body_bytes_count", r#"route="/models/{name}/predict""#),
        ("onnward_model_serving_version", r#"model="churn""#),
        ("onnward_model_desired_version", r#"model="churn""#),
        ("onnward_golden_replays_total", r#"outcome="passed""#),
        ("onnward_model_evaluation", r#"figure="roc_auc""#),
        ("onnward_queue_capacity_rows", r#"model="churn""#),
        ("process_resident_memory_bytes", ""),
        ("process_cpu_seconds_total", ""),
        ("process_open_fds", ""),
        ("process_start_time_seconds", ""),
        ("onnward_process_read_bytes_total", ""),
        ("onnward_allocator_committed_bytes", ""),
        ("onnward_allocator_reserved_bytes", ""),
    ] {
        assert!(sum(&text, metric, &[labels]).is_some(), "{metric} {labels} is not in\n{text}");
    }
    assert!(sum(&text, "onnward_allocator_committed_bytes", &[]).unwrap() > 1e6);
    if let Some(tools) = Tools::find() {
        assert_eq!(tools.problems_of_metrics(&text), "");
    }
}

#[test]
fn where_metrics_are_off_nothing_of_requests_is_told() {
    let rig = rig(&[("ONNWARD_METRICS__ENABLED", "false")]);
    rig.ask();
    let text = rig.scrape();
    for metric in ["onnward_inference", "onnward_http", "onnward_predictions_total"] {
        let series = text.lines().find(|line| line.starts_with(metric) && line.contains('{'));
        assert_eq!(series, None);
    }
    assert_eq!(sum(&text, "onnward_model_serving_version", &[r#"model="churn""#]), Some(1.0));
    assert!(sum(&text, "process_threads", &[]).unwrap() > 1.0);
}

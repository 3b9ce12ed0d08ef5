use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use chrono::DateTime;
use onnward_records::capture::{Capture, CaptureConfig, CaptureRules};
use onnward_repository::RepositoryConfig;
use onnward_telemetry::logging::LogFormat;
use onnward_telemetry::metrics::Metrics;
use onnward_telemetry::share::Share;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixtures::{BANK_ROW, Engine, PHONE_ROW, captured_log};

/// An engine that captures into a folder of its own.
struct Capturing {
    engine: Engine,
    metrics: Arc<Metrics>,
    folder: TempDir,
}

impl Capturing {
    fn start(change: impl FnOnce(&mut CaptureConfig)) -> Self {
        let folder = TempDir::new().unwrap();
        let location = folder.path().join("captures").display().to_string();
        let mut config = CaptureConfig {
            place: RepositoryConfig { location, ..RepositoryConfig::default() },
            rules: CaptureRules { sample: Share::ALL, redact: BTreeSet::new(), identifier: false },
            max_file_bytes: 1 << 20,
            max_file_age: Duration::from_secs(3600),
            max_waiting_bytes: 1 << 20,
        };
        change(&mut config);
        let metrics = Arc::new(Metrics::new().unwrap());
        let mut engine = Engine::ready();
        let capture = Capture::start(config, Arc::clone(&engine.registry), Arc::clone(&metrics)).unwrap();
        engine.capture = Some(Arc::new(capture));
        Self { engine, metrics, folder }
    }

    /// Ends the capture and returns its files, in the order of their paths.
    fn finish(&self) -> Vec<(String, Vec<Value>)> {
        self.engine.capture.as_ref().unwrap().finish(Duration::from_secs(10));
        let mut files = Vec::new();
        read(&self.folder.path().join("captures"), "", &mut files);
        files.sort_by(|one, other| one.0.cmp(&other.0));
        files
    }

    #[track_caller]
    fn counts(&self, line: &str) {
        let text = String::from_utf8(self.metrics.render(&[]).unwrap()).unwrap();
        assert!(text.lines().any(|printed| printed == line), "{line} is not in\n{text}");
    }
}

fn read(folder: &Path, prefix: &str, files: &mut Vec<(String, Vec<Value>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}/{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            read(&entry.path(), &path, files);
        } else {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            files.push((path, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()));
        }
    }
}

#[tokio::test]
async fn a_line_holds_a_row_as_it_was_sent_and_what_was_answered() {
    let capturing = Capturing::start(|_| ());
    let engine = &capturing.engine;
    let sparse = r#"{"id": "hidden", "months": 60, "plan": "basic", "senior": "0", "region": "east"}"#;
    let single = engine.post("/models/phone/predict", PHONE_ROW).await;
    let many = engine.post("/models/phone/predict", format!("[{PHONE_ROW}, {sparse}]")).await;
    engine.post("/models/phone/predict", format!(r#"{{"instances": [{sparse}]}}"#)).await;
    engine.post("/predict", BANK_ROW).await;
    assert_eq!(engine.post("/models/phone/predict", r#"{"months": 1}"#).await.status, 422);

    let files = capturing.finish();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(files[0].0.starts_with("/bank/20") && files[1].0.ends_with(".jsonl"), "{files:?}");
    let lines = &files[1].1;
    assert_eq!(lines.len(), 4);
    let mut first = lines[0].clone();
    let time = first.as_object_mut().unwrap().remove("time").unwrap();
    assert!(DateTime::parse_from_rfc3339(time.as_str().unwrap()).is_ok());
    let expected = json!({
        "request_id": single.header("x-request-id").unwrap(), "id": single.json()["id"], "model": "phone", "version": 3,
        "features": {"months": 12, "charges": 70.5, "plan": "full", "senior": 1, "region": "north"},
        "probability": single.json()["probability"], "decision": single.json()["churn"],
    });
    assert_eq!(first, expected);
    assert_eq!(lines[2]["id"], many.json()["predictions"][1]["id"]);
    let sent = json!({"months": 60, "plan": "basic", "senior": "0", "region": "east"});
    assert_eq!(lines[2]["features"], sent);
    assert_eq!(lines[2]["request_id"], many.header("x-request-id").unwrap());
    assert_eq!(lines[2]["decision"], true);
    assert!(!lines.iter().any(|line| line.to_string().contains("hidden")), "{lines:?}");
    capturing.counts(r#"onnward_captured_requests_total{model="phone"} 3"#);
    capturing.counts(r#"onnward_captured_requests_total{model="bank"} 1"#);
}

/// Captured rows can be sent again, and return the same response.
#[tokio::test]
async fn a_captured_row_is_a_request() {
    let capturing = Capturing::start(|_| ());
    capturing.engine.post("/models/phone/predict", PHONE_ROW).await;
    let line = &capturing.finish()[0].1[0];
    let again = Engine::ready().post("/models/phone/predict", line["features"].to_string()).await;
    assert_eq!(again.json()["probability"], line["probability"]);
}

#[tokio::test]
async fn values_that_are_to_be_left_out_are_not_there_and_the_identifier_only_on_request() {
    let row = r#"{"id": 17, "months": 12, "plan": "full", "senior": 1, "region": "north"}"#;
    for (redact, identifier, id) in
        [(vec!["months"], false, None), (vec!["months"], true, Some(17)), (vec!["months", "id"], true, None)]
    {
        let capturing = Capturing::start(|config| {
            config.rules.redact = redact.into_iter().map(str::to_owned).collect();
            config.rules.identifier = identifier;
        });
        capturing.engine.post("/models/phone/predict", row).await;
        let line = &capturing.finish()[0].1[0];
        assert!(line["features"].get("months").is_none() && line["features"]["plan"] == "full", "{line}");
        assert_eq!(line.get("identifier").and_then(Value::as_i64), id);
    }
}

#[tokio::test]
async fn a_share_of_the_requests_is_captured() {
    let capturing = Capturing::start(|config| config.rules.sample = Share::of(0.25));
    for _ in 0..400 {
        assert_eq!(capturing.engine.post("/models/phone/predict", PHONE_ROW).await.status, 200);
    }
    let captured = capturing.finish()[0].1.len();
    // Five standard deviations.
    assert!((57..=143).contains(&captured), "{captured}");
}

#[tokio::test]
async fn a_client_cannot_choose_by_its_request_ids_what_is_captured() {
    let (log, _guard) = captured_log(LogFormat::Json);
    let capturing = Capturing::start(|config| config.rules.sample = Share::of(0.25));
    for _ in 0..400 {
        let request = Request::post("/models/phone/predict").header("x-request-id", "always-the-same");
        let request = request.header("content-type", "application/json");
        let answer = capturing.engine.send(request.body(Body::from(PHONE_ROW)).unwrap()).await;
        assert_eq!(answer.status, 200);
    }
    let captured = capturing.finish().remove(0).1;
    // Five standard deviations.
    assert!((57..=143).contains(&captured.len()), "{}", captured.len());
    // A captured request and its line in the access log still have one id.
    let text = log.text();
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(captured.iter().all(|line| line["request_id"] == "always-the-same"));
    assert!(lines.any(|line| line["http.request.id"] == captured[0]["request_id"]));
}

/// Neither a schema with many features nor a large identifier multiplies the size of a body.
#[tokio::test]
async fn lines_grow_with_what_was_sent_and_not_with_the_schema() {
    let capturing = Capturing::start(|config| {
        config.rules.identifier = true;
        config.max_waiting_bytes = 16 << 20;
    });
    let engine = &capturing.engine;
    let row = r#"{"months": 1, "plan": "full", "senior": 0, "region": null, "id": {"a":
        [1e5, "\n"]}}"#;
    let body = format!("[{}]", vec![row; 100].join(", "));
    let answer = engine.post("/models/phone/predict", body.clone()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let file = capturing.finish().remove(0).1;
    assert_eq!(file.len(), 100);
    let features = json!({"months": 1, "plan": "full", "senior": 0, "region": null});
    assert!(file.iter().all(|line| line["features"] == features && line["identifier"]["a"][1] == "\n"));
    let bytes = text_bytes(&capturing.folder.path().join("captures"));
    assert!(bytes < body.len() + 100 * 300, "{bytes} bytes of {}", body.len());
}

fn text_bytes(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { text_bytes(&path) } else { std::fs::read(path).unwrap().len() })
        .sum()
}

#[tokio::test]
async fn lines_that_have_no_room_are_lost_and_counted_though_their_body_had_some() {
    let body = format!("[{}]", [PHONE_ROW; 10].join(","));
    let capturing = Capturing::start(|config| config.max_waiting_bytes = body.len() + 100);
    assert_eq!(capturing.engine.post("/models/phone/predict", body).await.status, 200);
    assert_eq!(capturing.finish().len(), 0);
    capturing.counts(r#"onnward_capture_lost_total{model="phone",reason="no_room"} 1"#);
    assert_eq!(capturing.engine.capture.as_ref().unwrap().waiting_bytes(), 0);
}

#[tokio::test]
async fn what_has_no_room_is_lost_and_counted_and_answered_all_the_same() {
    let capturing = Capturing::start(|config| config.max_waiting_bytes = 10);
    assert_eq!(capturing.engine.post("/models/phone/predict", PHONE_ROW).await.status, 200);
    assert_eq!(capturing.finish().len(), 0);
    capturing.counts(r#"onnward_capture_lost_total{model="phone",reason="no_room"} 1"#);
}

#[tokio::test]
async fn what_cannot_be_written_before_the_end_is_lost_and_counted_and_room_is_given_back() {
    let capturing = Capturing::start(|config| config.max_file_bytes = 1);
    let place = capturing.folder.path().join("captures");
    std::fs::remove_dir(&place).unwrap();
    std::fs::write(&place, "in the way").unwrap();
    for _ in 0..3 {
        assert_eq!(capturing.engine.post("/models/phone/predict", PHONE_ROW).await.status, 200);
    }
    let capture = capturing.engine.capture.as_ref().unwrap();
    capture.finish(Duration::from_millis(50));
    capturing.counts(r#"onnward_capture_lost_total{model="phone",reason="stopped"} 3"#);
    assert_eq!(capture.waiting_bytes(), 0);
    // Predictions after the end are not captured.
    assert_eq!(capturing.engine.post("/models/phone/predict", PHONE_ROW).await.status, 200);
    capturing.counts(r#"onnward_capture_lost_total{model="phone",reason="no_room"} 1"#);
}

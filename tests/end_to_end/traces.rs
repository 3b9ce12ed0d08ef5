//! Traces, as a receiver of OTLP sees them.

use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use onnward_exporter::export::export;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::bank;
use crate::support::programs::{Engine, fail, succeed};
use crate::support::wait::eventually;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const ROW: &str = r#"{"CreditScore": 600}"#;

/// A receiver of traces, which lives as long as the tests.
#[derive(Clone, Default)]
struct Receiver {
    requests: Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>,
}

impl Receiver {
    /// Starts a receiver and returns its URL.
    fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Self::default();
        let requests = Arc::clone(&receiver.requests);
        let take = move |headers: HeaderMap, body: Bytes| async move {
            requests.lock().unwrap().push((headers, ExportTraceServiceRequest::decode(body).unwrap()));
            // An `ExportTraceServiceResponse` that says nothing is empty.
            ([("content-type", "application/x-protobuf")], Vec::new())
        };
        let router = Router::new().route("/v1/traces", post(take));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        (receiver, url)
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock().unwrap();
        let resources = requests.iter().flat_map(|(_, request)| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }
}

/// Starts an engine on a repository, which sends its traces to this URL.
fn engine(folder: &Path, endpoint: &str, more: &[(&str, &str)]) -> Engine {
    let settings = [("ONNWARD_TRACING__ENDPOINT", endpoint), ("ONNWARD_SHUTDOWN__GRACE_MS", "0")];
    let settings = settings.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Engine::serve_in(&settings.collect::<Vec<_>>(), folder, &["--backend", "tract"])
}

/// Creates a repository with one model, and returns a row for it.
fn repository(folder: &Path) -> String {
    let file = folder.join("model.onnx");
    std::fs::write(&file, export(&bank().models[0]).unwrap().encode()).unwrap();
    let repository = folder.join("repository").display().to_string();
    let file = file.display().to_string();
    succeed("onnward-exporter", &["publish", &file, "--repository", &repository, "--model", "bank"]);
    let sample = ["sample", "--schema", "schemas/bank.toml", "--rows", "1", "--format", "jsonl"];
    succeed("onnward-exporter", &sample)
}

fn follow_each_other_within(stages: &[Span], request: &Span) {
    let mut before = request.start_time_unix_nano;
    for stage in stages {
        assert_eq!((&stage.trace_id, &stage.parent_span_id), (&request.trace_id, &request.span_id));
        assert!(before <= stage.start_time_unix_nano, "{stage:?}");
        assert!(stage.start_time_unix_nano <= stage.end_time_unix_nano, "{stage:?}");
        before = stage.end_time_unix_nano;
    }
    assert!(before <= request.end_time_unix_nano, "{request:?}");
}

#[test]
fn a_prediction_is_a_span_under_its_callers_with_one_for_each_stage() {
    let folder = TempDir::new().unwrap();
    let row = repository(folder.path());
    let (receiver, url) = Receiver::start();
    let headers = folder.path().join("headers");
    std::fs::write(&headers, "x-tenant: mine\n").unwrap();
    let headers = headers.display().to_string();
    let settings = [
        ("ONNWARD_TRACING__HEADERS_FILE", headers.as_str()),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ];
    let engine = engine(&folder.path().join("repository"), &url, &settings);
    let sampled = format!("00-{TRACE}-{CALLER}-01");
    let asked = [("traceparent", sampled.as_str()), ("x-request-id", "traced")];
    let answer = engine.post_with("/models/bank/predict", row.trim(), &asked);
    assert_eq!(answer.status().as_u16(), 200);
    let traceparent = answer.headers()["traceparent"].to_str().unwrap().to_owned();
    // What its caller does not sample, and what only asks whether the engine lives, leaves nothing.
    let unsampled = format!("00-{TRACE}-{CALLER}-00");
    engine.post_with("/predict", row.trim(), &[("traceparent", unsampled.as_str())]);
    engine.get("/health/live");
    let (status, log) = engine.stop();
    assert!(status.success(), "{}", log.join("\n"));

    let spans = receiver.spans();
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let server = "POST /models/{name}/predict";
    assert_eq!(names, ["encode", "queue", "assemble", "run", "respond", server]);
    let (request, stages) = spans.split_last().unwrap();
    assert_eq!(
        (hex::encode(&request.trace_id), hex::encode(&request.parent_span_id)),
        (TRACE.to_owned(), CALLER.to_owned())
    );
    assert_eq!(traceparent, format!("00-{TRACE}-{}-01", hex::encode(&request.span_id)));
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(request.status.as_ref().map_or(StatusCode::Unset, |status| status.code()), StatusCode::Unset);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", "/models/{name}/predict"),
        ("url.path", "/models/bank/predict"),
        ("http.response.status_code", "200"),
        ("onnward.model", "bank"),
        ("onnward.version", "1"),
        ("onnward.backend", "tract"),
        ("onnward.rows", "1"),
        ("onnward.request_id", "traced"),
    ] {
        assert_eq!(attribute(&request.attributes, name).as_deref(), Some(value), "{name}");
    }
    follow_each_other_within(stages, request);
    assert_eq!(attribute(&stages[3].attributes, "onnward.batch_rows").as_deref(), Some("1"));

    let requests = receiver.requests.lock().unwrap();
    let (headers, request) = &requests[0];
    assert_eq!(headers["x-tenant"], "mine");
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    for (name, value) in [("service.name", "onnward"), ("deployment.environment.name", "test")] {
        assert_eq!(attribute(&resource.attributes, name).as_deref(), Some(value), "{name}");
    }
    let lines = log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let line = lines.into_iter().find(|line| line["http.request.id"] == "traced").unwrap();
    assert_eq!((line["trace.id"].as_str(), line["onnward.model"].as_str()), (Some(TRACE), Some("bank")));
}

#[test]
fn a_failure_is_an_error_in_its_trace() {
    let folder = TempDir::new().unwrap();
    let (receiver, url) = Receiver::start();
    let settings = [("ONNWARD_TRACING__ENDPOINT", url.as_str())];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let engine = Engine::start_in(&settings, folder.path(), &[]);
    eventually("no model is served", || match engine.post("/predict", ROW) {
        (503, _) => Ok(()),
        (status, _) => Err(status.to_string()),
    });
    let span = eventually("the span arrives", || receiver.spans().pop().ok_or_else(String::new));
    assert_eq!(span.status.as_ref().unwrap().code(), StatusCode::Error);
    assert_eq!(attribute(&span.attributes, "error.type").as_deref(), Some("503"));
    assert!(span.parent_span_id.is_empty(), "{span:?}");
}

#[test]
fn a_dead_collector_costs_no_answer_and_is_told_of_once() {
    let folder = TempDir::new().unwrap();
    let row = repository(folder.path());
    // It closes each connection without an answer, and counts them.
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", dead.local_addr().unwrap());
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&attempts);
    std::thread::spawn(move || {
        for _ in dead.incoming() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let engine = engine(&folder.path().join("repository"), &url, &[]);
    for _ in 0..3 {
        let before = attempts.load(Ordering::Relaxed);
        for _ in 0..20 {
            assert_eq!(engine.post("/predict", row.trim()).0, 200);
        }
        eventually("another batch is sent", || match attempts.load(Ordering::Relaxed) {
            count if count > before => Ok(()),
            count => Err(format!("{count} attempts")),
        });
    }
    let (status, log) = engine.stop();
    assert!(status.success(), "{}", log.join("\n"));
    let told = log.iter().filter(|line| line.contains("the collector rejects traces")).count();
    assert_eq!(told, 1, "{}", log.join("\n"));
}

#[test]
fn a_collector_that_cannot_be_one_ends_the_start_with_its_key() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("engine.toml");
    let fails = |tracing: &str| {
        std::fs::write(&file, format!("repository = 'models'\n[tracing]\n{tracing}")).unwrap();
        fail("onnward-engine", &["serve", "--config", &file.display().to_string()])
    };
    let message = fails("endpoint = 'collector:4317'");
    assert!(message.contains("`tracing.endpoint`") && message.contains("http://127.0.0.1:4318"), "{message}");
    let message = fails("endpoint = 'http://127.0.0.1:4318'\nsample = 2");
    assert!(message.contains("`tracing.sample`"), "{message}");
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        AnyValue::StringValue(text) => Some(text.clone()),
        AnyValue::IntValue(number) => Some(number.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}

//! What the tests share: two small schemas, models that score them, and an engine to send requests to.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::{Router, body};
use onnward_schemas::{
    Confusion, CrossValidation, Evaluation, FeatureProfile, Figures, Golden, GoldenRow, GoldenValue,
    Metadata, Profile, Provenance, SCORE_BINS, Schema, SchemaFile,
};
use serde_json::Value;
use tower::ServiceExt;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::batcher::{Batcher, SubmitError};
use crate::config::{HttpConfig, LogFormat};
use crate::http::{HttpState, router};
use crate::logging::lines;
use crate::metrics::Metrics;
use crate::registry::{Registry, ServingModel};
use crate::shutdown::Lifecycle;

/// Customers of a telephone company: an identifier, a category of digits, an optional number, an open category.
pub const PHONE: &str = r#"
    name = "phone"
    version = 1
    identifier = "id"
    segments = ["plan"]
    [label]
    column = "Churn"
    positive = "Yes"
    negative = "No"
    [[features]]
    name = "months"
    description = "Months since the contract began."
    type = "numeric"
    min = 0
    max = 100
    integer = true
    [[features]]
    name = "charges"
    type = "numeric"
    min = 0
    required = false
    [[features]]
    name = "plan"
    type = "categorical"
    values = ["basic", "full"]
    [[features]]
    name = "senior"
    type = "categorical"
    values = ["0", "1"]
    [[features]]
    name = "region"
    type = "categorical"
    values = ["north", "south"]
    unknown = "ignore"
    required = false
"#;

/// Customers of a bank: no identifier, other columns, another label and threshold.
pub const BANK: &str = r#"
    name = "bank"
    version = 2
    threshold = 0.3
    [label]
    column = "Exited"
    name = "has_left"
    positive = "1"
    negative = "0"
    [[features]]
    name = "balance"
    type = "numeric"
    [[features]]
    name = "Country/Region"
    type = "categorical"
    values = ["FR", "DE"]
"#;

/// The checked schema.
pub fn schema(toml: &str) -> Schema {
    SchemaFile::parse(toml).unwrap().schema
}

/// A row of [`PHONE`] that is accepted.
pub const PHONE_ROW: &str =
    r#"{"months": 12, "charges": 70.5, "plan": "full", "senior": 1, "region": "north"}"#;
/// A row of [`BANK`] that is accepted.
pub const BANK_ROW: &str = r#"{"balance": 100, "Country/Region": "DE"}"#;

/// The score of the fixtures' models: the first feature, in hundredths.
pub fn first_feature_in_hundredths(values: &[f32], rows: usize) -> Result<Vec<f32>, SubmitError> {
    Ok(values.chunks(values.len() / rows).map(|row| row[0] / 100.0).collect())
}

/// What [`PHONE`]'s and [`BANK`]'s models say about themselves. The first golden row holds an unknown category.
pub fn metadata(toml: &str) -> Metadata {
    let schema = schema(toml);
    let number = |value: f64| GoldenValue::Number(value);
    let text = |value: &str| GoldenValue::Text(value.to_owned());
    let rows: Vec<Vec<GoldenValue>> = if schema.name == "phone" {
        vec![
            vec![number(1.0), number(20.0), text("?"), text("0"), text("north")],
            vec![number(80.0), GoldenValue::Missing, text("full"), text("1"), text("west")],
        ]
    } else {
        vec![vec![number(45.7), text("FR")]]
    };
    let probability =
        |row: &[GoldenValue]| if let GoldenValue::Number(first) = row[0] { first / 100.0 } else { 0.0 };
    let rows =
        rows.into_iter().map(|values| GoldenRow { probability: probability(&values), values }).collect();
    let features = schema.features.iter().map(|feature| match feature.categories() {
        Some(values) => FeatureProfile::Categorical { counts: vec![1; values.len()], missing: 0, unknown: 0 },
        None => FeatureProfile::Numeric {
            edges: vec![1.0],
            counts: vec![1, 1],
            missing: 0,
            min: 0.0,
            median: 1.0,
            mean: 1.0,
            max: 2.0,
        },
    });
    Metadata {
        profile: Profile { rows: 2, features: features.collect(), score: vec![0; SCORE_BINS] },
        schema,
        family: "logistic".to_owned(),
        parameters: BTreeMap::from([("alpha".to_owned(), 1.0)]),
        evaluation: evaluation(),
        golden: Golden { tolerance: 1e-6, rows },
        provenance: Provenance { data_sha256: "ab".repeat(32), seed: 42, versions: BTreeMap::new() },
    }
}

fn evaluation() -> Evaluation {
    let confusion =
        Confusion { true_positives: 1, false_positives: 2, true_negatives: 3, false_negatives: 4 };
    let test = Figures {
        accuracy: 0.8,
        precision: 0.7,
        recall: 0.6,
        f1: 0.65,
        roc_auc: 0.85,
        average_precision: 0.6,
        log_loss: 0.4,
        brier: 0.1,
        confusion,
    };
    let cross_validation =
        CrossValidation { fold_roc_auc: vec![0.84, 0.86], roc_auc_mean: 0.85, roc_auc_std: 0.01 };
    Evaluation { train_rows: 8, test_rows: 2, cross_validation, test }
}

/// An engine without a listener.
pub struct Engine {
    pub registry: Arc<Registry>,
    pub lifecycle: Arc<Lifecycle>,
    pub config: HttpConfig,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Engine {
    /// One that is still loading.
    pub fn loading() -> Self {
        Self {
            registry: Arc::new(Registry::new(None)),
            lifecycle: Arc::new(Lifecycle::default()),
            config: HttpConfig {
                max_body_bytes: 8 * 1024 * 1024,
                max_request_rows: 100,
                request_timeout: Duration::from_secs(30),
                cors_origins: Vec::new(),
            },
        }
    }

    /// One that serves [`BANK`] as `bank` and [`PHONE`] as `phone`, version 3 each; `bank` is the default.
    pub fn ready() -> Self {
        let engine = Self::loading();
        engine.serve("phone", PHONE, Duration::ZERO, first_feature_in_hundredths);
        engine.serve("bank", BANK, Duration::ZERO, first_feature_in_hundredths);
        engine.registry.finish();
        engine
    }

    /// One that serves [`PHONE`] as `phone` with this score.
    pub fn scoring(
        takes: Duration,
        score: impl Fn(&[f32], usize) -> Result<Vec<f32>, SubmitError> + Send + Sync + 'static,
    ) -> Self {
        let engine = Self::loading();
        engine.serve("phone", PHONE, takes, score);
        engine.registry.finish();
        engine
    }

    fn serve(
        &self,
        name: &str,
        toml: &str,
        takes: Duration,
        score: impl Fn(&[f32], usize) -> Result<Vec<f32>, SubmitError> + Send + Sync + 'static,
    ) {
        self.registry.insert(ServingModel {
            name: name.to_owned(),
            version: 3,
            sha256: "cd".repeat(32),
            size_bytes: 1234,
            backend: "tract",
            cut: true,
            metadata: metadata(toml),
            batcher: Batcher::new(takes, score),
        });
    }

    pub fn router(&self) -> Router {
        let metrics = Arc::new(Metrics::new().unwrap());
        router(HttpState::new(
            self.config.clone(),
            Arc::clone(&self.registry),
            metrics,
            Arc::clone(&self.lifecycle),
        ))
    }

    pub async fn send(&self, request: Request<Body>) -> Answered {
        answered(self.router(), request).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Posts a JSON body.
    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Answered {
        self.send(Request::post(path).header("content-type", "application/json").body(body.into()).unwrap())
            .await
    }
}

/// Sends one request to a router that keeps its metrics between requests.
pub async fn answered(router: Router, request: Request<Body>) -> Answered {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body::to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Answered { status: parts.status, headers: parts.headers, text }
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The problem's fields, after making sure that it is a whole one.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for field in ["type", "title", "detail", "instance", "request_id"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
        }
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        problem
    }
}

/// What was written to the log of this thread.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Catches the log of this thread until the guard is dropped.
pub fn captured_log(format: LogFormat) -> (Log, DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    (log, registry().with(lines(format, false, move || writer.clone())).set_default())
}

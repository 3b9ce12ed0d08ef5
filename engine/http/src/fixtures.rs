//! Test fixtures: an engine that receives requests, and the models that it serves.

pub mod issuer;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::middleware::map_request;
use axum::{Router, body};
use ndarray::ArrayView2;
use onnward_quality::drift::{Drift, DriftConfig};
use onnward_quality::estimate::TaskEstimator;
use onnward_records::capture::Capture;
use onnward_records::ground_truth::{GroundTruthStore, OutcomesConfig};
use onnward_records::traces::Traces;
use onnward_repository::{DEFAULT_ALIAS, DecidedBy, Target};
use onnward_rows::RowParser;
use onnward_runtime::backend::{BackendError, BackendKind, Batch, Session};
use onnward_runtime::description::Description;
pub use onnward_runtime::fixtures::{first_feature_in_hundredths, quick, slow};
use onnward_runtime::memory::MemoryReservation;
use onnward_runtime::threads::RuntimeThreads;
pub use onnward_schemas::fixtures::{BANK, BANK_ROW, PHONE, PHONE_ROW, metadata, schema};
use onnward_schemas::{Metadata, PredictedValues, Predictions, Rows, sha256_hex};
use onnward_serving::batcher::{Batcher, BatchingConfig, RowWidth, Workers};
use onnward_serving::monitor::Monitor;
use onnward_serving::registry::{Registry, ServingModel};
use onnward_serving::reload::{self, Reloader};
use onnward_serving::version::ModelVersion;
use onnward_telemetry::audit::Audit;
use onnward_telemetry::logging::keep_events_on;
pub use onnward_telemetry::logging::{CapturedLog as Log, captured_log};
use onnward_telemetry::metrics::Metrics;
use serde_json::Value;
use tower::ServiceExt;

use crate::auth::{Authenticator, Protected, generate};
use crate::lifecycle::Lifecycle;
use crate::settings::{AccessLogConfig, AllowedHosts, ErrorDetail, HttpConfig, LimitsConfig};
use crate::{HttpParts, HttpState, admin_router, router};

/// The queue capacity of a gated model in rows.
pub const GATED_QUEUE_ROWS: usize = 20;

/// A session that predicts with a function.
struct Predictor<F>(F);

impl<F: Fn(ArrayView2<'_, f32>) -> PredictedValues + Send> Session for Predictor<F> {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        let Batch::Features(matrix) = batch else { panic!("a batcher passes encoded rows") };
        Ok((self.0)(matrix).into())
    }
}

/// A session that scores with a function. If it has a gate, each batch waits for a message.
struct Scorer<F> {
    score: F,
    gate: Option<mpsc::Receiver<()>>,
}

impl<F: Fn(ArrayView2<'_, f32>) -> Vec<f32> + Send> Session for Scorer<F> {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        let Batch::Features(matrix) = batch else { panic!("a batcher passes encoded rows") };
        if let Some(gate) = &self.gate {
            // The sender is dropped when its test ends.
            gate.recv().map_err(|_| BackendError::Run {
                backend: BackendKind::Tract,
                reason: "the test is over".to_owned(),
            })?;
        }
        Ok((self.score)(matrix).into())
    }
}

/// The drift settings of [`PHONE`]. [`BANK`] has no drift detection.
const DRIFT: DriftConfig = DriftConfig {
    window_rows: 100,
    window: Duration::from_secs(60),
    min_rows: 10,
    sample: 1.0,
    max_rows_per_second: 1_000_000,
    alpha: 0.01,
    psi_threshold: 0.1,
};

/// Returns a new key as a client sends it, and its entry for a file of keys. `scopes` and `rest` are TOML.
pub fn api_key(name: &str, scopes: &str, rest: &str) -> (String, String) {
    let key = generate(name).unwrap();
    let sha256 = sha256_hex(key.as_bytes());
    let entry = format!("[[keys]]\nname = '{name}'\nsha256 = '{sha256}'\nscopes = [{scopes}]\n{rest}\n");
    (key, entry)
}

/// An engine without a listener.
pub struct Engine {
    pub registry: Arc<Registry>,
    pub lifecycle: Arc<Lifecycle>,
    pub config: HttpConfig,
    pub limits: LimitsConfig,
    pub uses_tls: bool,
    /// The authenticator; by default there is none.
    pub auth: Option<Arc<Authenticator>>,
    pub protect: Vec<Protected>,
    pub audit_file: Option<PathBuf>,
    pub reloader: Reloader,
    pub capture: Option<Arc<Capture>>,
    pub metrics: Arc<Metrics>,
    /// The prediction store; by default there is none.
    pub outcomes: Option<Arc<GroundTruthStore>>,
    pub traces: Option<Arc<Traces>>,
}

/// A complete response.
#[derive(Debug)]
pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

/// Adds the host that a client names.
fn with_host(router: Router) -> Router {
    router.layer(map_request(async |mut request: Request<Body>| {
        request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("localhost"));
        request
    }))
}

impl Engine {
    /// Returns an engine that is still loading.
    pub fn loading() -> Self {
        keep_events_on();
        Self {
            // The receiver is dropped.
            reloader: reload::channel().0,
            metrics: Arc::new(Metrics::new().unwrap()),
            registry: Arc::new(Registry::new(None, Vec::new())),
            lifecycle: Arc::new(Lifecycle::default()),
            outcomes: None,
            config: HttpConfig {
                max_body_bytes: 8 * 1024 * 1024,
                max_request_rows: 100,
                request_timeout: Duration::from_secs(30),
                cors_origins: Vec::new(),
                allowed_hosts: AllowedHosts::Any,
                admin_allowed_hosts: AllowedHosts::Any,
                errors: ErrorDetail::Full,
                access_log: AccessLogConfig::default(),
            },
            limits: LimitsConfig::default(),
            uses_tls: false,
            auth: None,
            protect: Vec::new(),
            audit_file: None,
            capture: None,
            traces: None,
        }
    }

    /// Returns an engine that serves version 3 of [`BANK`] as `bank`, the default, and of [`PHONE`] as
    /// `phone`.
    pub fn ready() -> Self {
        let engine = Self::loading();
        engine.serve("phone", PHONE, Scorer { score: first_feature_in_hundredths, gate: None });
        engine.serve("bank", BANK, Scorer { score: first_feature_in_hundredths, gate: None });
        engine.registry.set_loaded();
        engine
    }

    /// Returns the same engine as [`Engine::ready`], with a prediction store in a folder.
    pub fn keeping(folder: &Path) -> Self {
        let mut engine = Self::ready();
        let config = OutcomesConfig {
            folder: Some(folder.to_owned()),
            retention: Duration::from_secs(90 * 86_400),
            max_predictions: 100_000,
            window: Duration::from_secs(30 * 86_400),
            window_outcomes: 1_000,
            estimate_rows: 1_000,
        };
        engine.outcomes =
            GroundTruthStore::start(&config, Arc::clone(&engine.metrics)).unwrap().map(Arc::new);
        engine
    }

    /// Returns an engine that serves [`PHONE`] as `phone` with this scoring function.
    pub fn scoring(score: impl Fn(ArrayView2<'_, f32>) -> Vec<f32> + Send + 'static) -> Self {
        let engine = Self::loading();
        engine.serve("phone", PHONE, Scorer { score, gate: None });
        engine.registry.set_loaded();
        engine
    }

    /// Returns an engine that serves [`PHONE`] as `phone`, and scores one batch per message to the sender.
    pub fn gated() -> (Self, mpsc::Sender<()>) {
        let (leave, gate) = mpsc::channel();
        let engine = Self::loading();
        engine.serve("phone", PHONE, Scorer { score: first_feature_in_hundredths, gate: Some(gate) });
        engine.registry.set_loaded();
        (engine, leave)
    }

    /// Serves one more model with this schema.
    pub fn serve_schema(&self, name: &str, toml: &str) {
        self.serve(name, toml, Scorer { score: first_feature_in_hundredths, gate: None });
    }

    /// Serves one more model, of any task, with a function that predicts.
    pub fn serve_task<F>(&self, name: &str, metadata: Metadata, predict: F)
    where
        F: Fn(ArrayView2<'_, f32>) -> PredictedValues + Send + 'static,
    {
        self.serve_session(name, metadata, Box::new(Predictor(predict)), false);
    }

    fn serve<F>(&self, name: &str, toml: &str, scorer: Scorer<F>)
    where
        F: Fn(ArrayView2<'_, f32>) -> Vec<f32> + Send + 'static,
    {
        let is_gated = scorer.gate.is_some();
        self.serve_session(name, metadata(toml), Box::new(scorer), is_gated);
    }

    fn serve_session(&self, name: &str, metadata: Metadata, session: Box<dyn Session>, is_gated: bool) {
        let batching = BatchingConfig {
            workers: 1,
            max_batch_rows: Some(100),
            max_queue_rows: if is_gated { GATED_QUEUE_ROWS } else { 100_000 },
            max_queue_delay: Duration::ZERO,
        };
        let backend = BackendKind::Tract;
        let inference = self.metrics.inference(name, 3, backend.name());
        let business = self.metrics.business(name, 3, &metadata.schema);
        let drift = (name != "bank").then(|| Drift::new(&metadata.schema, &metadata.profile, DRIFT));
        let estimator = TaskEstimator::of(&metadata.schema.label.task, Some(&metadata.profile), 1000);
        let monitor = Monitor::new(inference).with_business(business).with_drift(drift);
        let monitor = Arc::new(monitor.with_estimator(estimator));
        let width = RowWidth::of(&metadata.schema);
        let costs = if is_gated { slow() } else { quick() };
        let sessions: Vec<Box<dyn Session>> = vec![session];
        let batcher = Batcher::start(
            sessions,
            &costs,
            width,
            &batching,
            Arc::clone(&monitor),
            &Workers::new(NonZeroUsize::MIN),
            &RuntimeThreads::default(),
            Rows::default(),
        )
        .unwrap();
        self.registry.insert(ServingModel {
            name: name.to_owned(),
            version: 3,
            sha256: "cd".repeat(32),
            size_bytes: 1234,
            backend,
            comparison: None,
            identity: Arc::new(ModelVersion::new(name, 3, &"cd".repeat(32), &metadata.schema)),
            parser: RowParser::new(metadata.schema.clone()),
            description: Description::Artifact(Box::new(metadata)),
            memory: MemoryReservation::default(),
            monitor,
            batcher,
        });
        self.registry.change(name, |slot| slot.aliases.insert(DEFAULT_ALIAS.to_owned(), 3));
        let decided_by = DecidedBy::Alias { alias: DEFAULT_ALIAS.to_owned() };
        let target = Target { version: 3, decided_by };
        self.registry.change(name, |slot| slot.desired = Some(target.clone()));
        assert!(self.registry.activate(name, &target));
    }

    /// Returns the public routes.
    pub fn router(&self) -> Router {
        with_host(router(self.state()))
    }

    /// Returns the admin routes.
    pub fn admin_router(&self) -> Router {
        with_host(admin_router(self.state()))
    }

    pub fn state(&self) -> HttpState {
        HttpState::new(HttpParts {
            config: self.config.clone(),
            limits: self.limits.clone(),
            uses_tls: self.uses_tls,
            auth: self.auth.clone(),
            protect: self.protect.clone(),
            audit: Audit::open(self.audit_file.as_deref()).unwrap(),
            registry: Arc::clone(&self.registry),
            metrics: Arc::clone(&self.metrics),
            lifecycle: Arc::clone(&self.lifecycle),
            reloader: self.reloader.clone(),
            capture: self.capture.clone(),
            outcomes: self.outcomes.clone(),
            traces: self.traces.clone(),
        })
    }

    /// Sends a request to the router of its path: `/admin/…` has a separate one.
    pub async fn send(&self, request: Request<Body>) -> Answered {
        let is_admin = request.uri().path().starts_with("/admin");
        answered(if is_admin { self.admin_router() } else { self.router() }, request).await
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

/// Sends one request to a router and reads the whole response.
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

    /// Returns the problem document, after checking that it is complete.
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

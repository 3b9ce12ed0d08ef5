//! The state of the routers, in parts: a handler extracts only the parts that it needs.

use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::FromRef;
use axum::http::{Request, Version};
use axum::response::Response;
use ipnet::IpNet;
use onnward_records::capture::Capture;
use onnward_records::ground_truth::GroundTruthStore;
use onnward_records::traces::Traces;
use onnward_rows::RowsLimits;
use onnward_serving::registry::{ModelEntry, Registry, ServingModel};
use onnward_serving::reload::Reloader;
use onnward_telemetry::audit::Audit;
use onnward_telemetry::metrics::Metrics;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access_lines::AccessLines;
use crate::admission::body::SMALL_BODY_BYTES;
use crate::admission::large_bodies::LargeBodyLimiter;
use crate::admission::rate::{RateLimits, client_address};
use crate::auth::Authenticator;
use crate::auth::Protected;
use crate::compression::responses::Compressor;
use crate::lifecycle::{Lifecycle, Phase};
use crate::problem::ApiError;
use crate::server::{HeadLimits, PeerAddress, ResponseMemory};
use crate::settings::{AccessLogConfig, HttpConfig, LimitsConfig};

/// The state of the routers. A clone is a handle of the same state.
#[derive(Debug, Clone)]
pub struct HttpState(Arc<SubStates>);

/// The parts that handlers extract, as `State<Arc<Models>>`.
#[derive(Debug)]
struct SubStates {
    models: Arc<Models>,
    admission: Arc<Admission>,
    records: Arc<Records>,
    access_control: Arc<AccessControl>,
    observation: Arc<Observation>,
    operations: Arc<Operations>,
}

/// The components that the HTTP server is built from.
#[derive(Debug)]
pub struct HttpParts {
    /// The limits of requests, and the settings of errors and the access log.
    pub config: HttpConfig,
    /// The limits of connections, requests and clients.
    pub limits: LimitsConfig,
    /// Whether clients connect with TLS.
    pub uses_tls: bool,
    /// The authenticator; without one, every caller has every scope.
    pub auth: Option<Arc<Authenticator>>,
    /// The audit log of admin requests.
    pub audit: Audit,
    /// The route groups that require a credential in addition to those of models and predictions.
    pub protect: Vec<Protected>,
    /// The loaded models.
    pub registry: Arc<Registry>,
    /// The metrics of requests.
    pub metrics: Arc<Metrics>,
    /// The phase of the process.
    pub lifecycle: Arc<Lifecycle>,
    /// The handle that requests a poll of the model repository.
    pub reloader: Reloader,
    /// The capture of sampled predictions, if configured.
    pub capture: Option<Arc<Capture>>,
    /// The store of predictions and their outcomes, if configured.
    pub outcomes: Option<Arc<GroundTruthStore>>,
    /// The exporter of traces, if configured.
    pub traces: Option<Arc<Traces>>,
}

/// The loaded models. Lookups return the API error for each reason why a model is unavailable.
#[derive(Debug)]
pub struct Models {
    pub registry: Arc<Registry>,
}

/// The limits of requests and their bodies.
#[derive(Debug)]
pub struct Admission {
    pub max_body_bytes: usize,
    pub rows_limits: RowsLimits,
    pub request_timeout: Duration,
    pub large_body_limiter: LargeBodyLimiter,
    pub rate_limits: Arc<RateLimits>,
    body_budget: MemoryBudget,
    small_body_budget: MemoryBudget,
    max_requests: usize,
    /// The number of requests in flight, not counting probes and scrapes.
    in_flight: AtomicUsize,
}

/// The memory for bodies, in [`BUDGET_UNIT_BYTES`].
#[derive(Debug)]
struct MemoryBudget {
    free: Arc<Semaphore>,
    /// The size of the budget.
    units: usize,
}

/// The records of predictions: capture, ground truth and debug log.
#[derive(Debug)]
pub struct Records {
    pub capture: Option<Arc<Capture>>,
    pub outcomes: Option<Arc<GroundTruthStore>>,
    /// Whether bodies are logged, for the development of clients.
    pub logs_bodies: bool,
}

/// The authenticator, and the route groups that require it.
#[derive(Debug)]
pub struct AccessControl {
    pub auth: Option<Arc<Authenticator>>,
    pub protect: Vec<Protected>,
}

/// The parts that observe requests: log, metrics and traces.
#[derive(Debug)]
pub struct Observation {
    pub config: HttpConfig,
    pub uses_tls: bool,
    pub metrics: Arc<Metrics>,
    pub lifecycle: Arc<Lifecycle>,
    pub traces: Option<Arc<Traces>>,
    /// Decides which requests leave a line in the access log.
    pub access_lines: AccessLines,
    pub registry: Arc<Registry>,
    /// The networks whose header names the client.
    pub trusted_proxies: Vec<IpNet>,
    pub admission: Arc<Admission>,
    /// Whether handlers receive the ids of their requests.
    pub exposes_request_id: bool,
    /// The limits of HTTP/2 heads. A connection keeps HTTP/1.1 heads to them.
    pub head_limits: HeadLimits,
    /// What compresses responses.
    pub compressor: Compressor,
}

/// The parts for operators: reloads, the audit log and scrapes.
#[derive(Debug)]
pub struct Operations {
    pub reloader: Reloader,
    pub audit: Audit,
    pub lifecycle: Arc<Lifecycle>,
    pub trusted_proxies: Vec<IpNet>,
    /// The permit of a scrape: metrics are rendered for one scrape at a time.
    pub scrapes: Arc<Semaphore>,
}

impl Observation {
    /// Returns the address of a request's client, which a trusted proxy may name.
    pub fn client_address<T>(&self, request: &Request<T>) -> Option<IpAddr> {
        let PeerAddress(peer) = *request.extensions().get()?;
        Some(client_address(peer, request.headers(), &self.trusted_proxies))
    }
}

/// Lets handlers extract a part of the state.
macro_rules! sub_state {
    ($field:ident: $part:ty) => {
        impl FromRef<HttpState> for Arc<$part> {
            #[inline]
            fn from_ref(state: &HttpState) -> Self {
                Arc::clone(&state.0.$field)
            }
        }
    };
}

sub_state!(models: Models);
sub_state!(admission: Admission);
sub_state!(records: Records);
sub_state!(access_control: AccessControl);
sub_state!(observation: Observation);
sub_state!(operations: Operations);

/// The unit in which the memory of bodies is reserved.
const BUDGET_UNIT_BYTES: usize = 1024;
/// The number of bodies of the largest size that fit the budget, and one of the most rows always fits.
const MAX_LARGEST_BODIES: usize = 16;
/// The memory budget of small bodies in bytes.
const SMALL_BODIES_BYTES: usize = 64 * 1024 * 1024;

impl HttpState {
    /// Follows other settings of the access log from now on. Whether values are logged stays.
    pub fn apply_access_log(&self, config: AccessLogConfig) {
        self.0.observation.access_lines.apply(config);
    }

    /// Creates the state.
    pub fn new(parts: HttpParts) -> Self {
        let HttpParts { config, limits, uses_tls, auth, audit, protect, registry, metrics, .. } = parts;
        let HttpParts { lifecycle, reloader, capture, outcomes, traces, .. } = parts;
        let admission = Arc::new(Admission::new(&config, &limits));
        let exposes_request_id = config.access_log.values || capture.is_some();
        let records = Records { capture, outcomes, logs_bodies: config.access_log.values };
        let observation = Observation {
            access_lines: AccessLines::new(config.access_log),
            registry: Arc::clone(&registry),
            trusted_proxies: limits.trusted_proxies.clone(),
            config,
            uses_tls,
            metrics,
            lifecycle: Arc::clone(&lifecycle),
            traces,
            admission: Arc::clone(&admission),
            exposes_request_id,
            head_limits: HeadLimits { max_headers: limits.max_headers, max_bytes: limits.max_header_bytes },
            compressor: Compressor::new(available_parallelism().map_or(1, NonZero::get)),
        };
        let operations = Operations {
            reloader,
            audit,
            lifecycle,
            trusted_proxies: limits.trusted_proxies,
            scrapes: Arc::new(Semaphore::new(1)),
        };
        Self(Arc::new(SubStates {
            models: Arc::new(Models { registry }),
            admission,
            records: Arc::new(records),
            access_control: Arc::new(AccessControl { auth, protect }),
            observation: Arc::new(observation),
            operations: Arc::new(operations),
        }))
    }

    /// Returns the limits of requests.
    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// Returns the authentication.
    pub(crate) fn access_control(&self) -> &AccessControl {
        &self.0.access_control
    }

    /// Returns the parts that observe requests.
    pub(crate) fn observation(&self) -> &Arc<Observation> {
        &self.0.observation
    }

    /// Returns the parts for operators.
    pub(crate) fn operations(&self) -> &Arc<Operations> {
        &self.0.operations
    }

    /// Returns the rate limits, for the task that sweeps them.
    pub fn rate_limits(&self) -> Arc<RateLimits> {
        Arc::clone(&self.admission().rate_limits)
    }
}

impl Admission {
    fn new(config: &HttpConfig, limits: &LimitsConfig) -> Self {
        let rows_limits = RowsLimits::of_bodies(config.max_request_rows, config.max_body_bytes);
        let rows = rows_limits.max_cells.saturating_mul(size_of::<f32>());
        let largest = units(config.max_body_bytes);
        let budget = largest.saturating_mul(MAX_LARGEST_BODIES).max(largest.saturating_add(units(rows)));
        Self {
            max_body_bytes: config.max_body_bytes,
            rows_limits,
            request_timeout: config.request_timeout,
            large_body_limiter: LargeBodyLimiter::default(),
            rate_limits: Arc::new(RateLimits::new(limits)),
            body_budget: MemoryBudget::new(budget),
            small_body_budget: MemoryBudget::new(units(SMALL_BODIES_BYTES)),
            max_requests: limits.max_requests,
            in_flight: AtomicUsize::new(0),
        }
    }

    /// Counts a request as in flight. Returns `false` at the limit.
    #[inline]
    pub fn try_begin_request(&self) -> bool {
        let is_admitted = self.in_flight.fetch_add(1, Ordering::Relaxed) < self.max_requests;
        if !is_admitted {
            self.end_request();
        }
        is_admitted
    }

    /// Ends a counted request.
    #[inline]
    pub fn end_request(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the free memory for large bodies in bytes.
    #[cfg(test)]
    pub fn free_memory(&self) -> usize {
        self.body_budget.free.available_permits() * BUDGET_UNIT_BYTES
    }

    /// Reserves memory for the body of a response until its client has taken it, from the budgets of requests.
    /// `version` is the protocol's. It changes nothing if the response has its memory.
    ///
    /// # Errors
    /// [`ApiError::BodiesFull`] if there is none.
    pub fn reserve_response(&self, response: &mut Response, version: Version) -> Result<(), ApiError> {
        // Few are that large, and HTTP/1.1 has one at a time.
        const MIN_HTTP1_BYTES: u64 = 16 * 1024;
        let bytes = response.body().size_hint().lower();
        let is_small = bytes < if version == Version::HTTP_2 { 1 } else { MIN_HTTP1_BYTES };
        if is_small || response.extensions().get::<ResponseMemory>().is_some() {
            return Ok(());
        }
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let budget = self.budget(bytes <= SMALL_BODY_BYTES);
        let memory = ResponseMemory::new(take_memory(&budget.free, bytes)?, budget.units);
        response.extensions_mut().insert(memory);
        Ok(())
    }

    /// Reserves memory for a body until the permit is dropped. Requests beyond the budget are rejected, not
    /// queued. Small bodies have a separate budget, which large ones cannot exhaust.
    pub fn reserve_memory(&self, bytes: usize, is_small: bool) -> Result<OwnedSemaphorePermit, ApiError> {
        take_memory(&self.budget(is_small).free, bytes)
    }

    fn budget(&self, is_small: bool) -> &MemoryBudget {
        if is_small { &self.small_body_budget } else { &self.body_budget }
    }
}

impl MemoryBudget {
    fn new(units: usize) -> Self {
        let units = units.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(units)), units }
    }
}

impl Models {
    /// Returns the default model.
    pub fn default_model(&self) -> Result<Arc<ServingModel>, ApiError> {
        if let Some(model) = self.registry.default_model() {
            return Ok(model);
        }
        let serving = self.serving_names();
        Err(match (self.registry.is_loaded(), serving.is_empty()) {
            (false, _) => ApiError::LOADING,
            (true, true) => self.unavailable_reason(),
            (true, false) => ApiError::NoDefaultModel { serving },
        })
    }

    /// Returns the served version of a model.
    pub fn model(&self, name: &str) -> Result<Arc<ServingModel>, ApiError> {
        if let Some(model) = self.registry.get(name) {
            return Ok(model);
        }
        let entry = self.model_entry(name)?;
        match entry.last_error.as_ref() {
            Some(problem) => {
                Err(ApiError::ModelFailed { name: name.to_owned(), reason: problem.reason.clone() })
            }
            None => Err(ApiError::LOADING),
        }
    }

    /// Returns the model's entry.
    pub fn model_entry(&self, name: &str) -> Result<Arc<ModelEntry>, ApiError> {
        match self.registry.entry(name) {
            Some(entry) => Ok(entry),
            None if self.registry.is_loaded() => {
                Err(ApiError::UnknownModel { serving: self.serving_names() })
            }
            None => Err(ApiError::LOADING),
        }
    }

    /// Returns a loaded version of a model.
    pub fn version(&self, name: &str, version: u64) -> Result<Arc<ServingModel>, ApiError> {
        let entry = self.model_entry(name)?;
        let not_loaded =
            || ApiError::VersionNotLoaded { name: name.to_owned(), version, loaded: entry.loaded_versions() };
        entry.version(version).cloned().ok_or_else(not_loaded)
    }

    /// Returns the version of a model that an alias points at.
    pub fn alias(&self, name: &str, alias: &str) -> Result<Arc<ServingModel>, ApiError> {
        let entry = self.model_entry(name)?;
        match entry.aliases.get(alias) {
            Some(version) => self.version(name, *version),
            None => Err(ApiError::UnknownAlias { aliases: entry.aliases.keys().cloned().collect() }),
        }
    }

    /// Checks whether the engine is ready for predictions in this phase of the process.
    pub fn readiness(&self, phase: Phase) -> Result<(), ApiError> {
        if phase != Phase::Running {
            Err(ApiError::Stopping)
        } else if !self.registry.is_loaded() {
            Err(ApiError::Loading { models: self.registry.passing_failures() })
        } else if self.registry.serving().is_empty() {
            Err(self.unavailable_reason())
        } else {
            let missing = self.registry.missing_models();
            if missing.is_empty() { Ok(()) } else { Err(ApiError::RequiredModels { missing }) }
        }
    }

    /// Returns the error for an engine without served models.
    fn unavailable_reason(&self) -> ApiError {
        let repository = self.registry.repository_state();
        match &repository.error {
            Some(reason) if repository.reachable == Some(false) => {
                ApiError::RepositoryUnreachable { reason: reason.clone() }
            }
            _ => ApiError::NoModels,
        }
    }

    fn serving_names(&self) -> Vec<String> {
        self.registry.serving().iter().map(|model| model.name.clone()).collect()
    }
}

/// Extends a reservation of memory by these bytes.
///
/// # Errors
/// [`ApiError::BodiesFull`] if the budget that it was taken from has none left.
pub fn extend_reservation(memory: &mut OwnedSemaphorePermit, bytes: usize) -> Result<(), ApiError> {
    let more = take_memory(memory.semaphore(), bytes)?;
    memory.merge(more);
    Ok(())
}

fn take_memory(free: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    let units = u32::try_from(units(bytes)).unwrap_or(u32::MAX);
    Arc::clone(free).try_acquire_many_owned(units).map_err(|_| ApiError::BodiesFull)
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(BUDGET_UNIT_BYTES).max(1)
}

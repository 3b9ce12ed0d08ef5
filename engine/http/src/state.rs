use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use onnward_records::capture::Capture;
use onnward_records::ground_truth::GroundTruthStore;
use onnward_records::traces::Traces;
use onnward_serving::registry::{ModelEntry, Registry, ServingModel};
use onnward_serving::reload::Reloader;
use onnward_telemetry::audit::Audit;
use onnward_telemetry::metrics::Metrics;
use onnward_telemetry::share::Sampler;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::admission::drain::UnreadBodies;
use crate::admission::large_bodies::LargeBodies;
use crate::admission::rate::RateLimits;
use crate::auth::Authenticator;
use crate::auth::Protected;
use crate::lifecycle::{Lifecycle, Phase};
use crate::problem::ApiError;
use crate::settings::{HttpConfig, LimitsConfig};

/// What the handlers share; a clone is a handle of the same.
#[derive(Debug, Clone)]
pub struct HttpState(Arc<Shared>);

/// What the HTTP side is made of.
#[derive(Debug)]
pub struct HttpParts {
    /// What bounds a request.
    pub config: HttpConfig,
    /// What one client may take from the others.
    pub limits: LimitsConfig,
    /// Whether clients come over TLS.
    pub over_tls: bool,
    /// The keys that are asked for; without them everybody may do everything.
    pub auth: Option<Arc<Authenticator>>,
    /// Where administrators' requests are put on record.
    pub audit: Audit,
    /// What a key is asked for beside models and predictions.
    pub protect: Vec<Protected>,
    /// Where models are looked up.
    pub registry: Arc<Registry>,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// Whether the process is running or stopping.
    pub lifecycle: Arc<Lifecycle>,
    /// Who is told to look at the repository.
    pub reloader: Reloader,
    /// Takes a share of the predictions, where that is configured.
    pub capture: Option<Arc<Capture>>,
    /// The store of predictions, where one is configured.
    pub outcomes: Option<Arc<GroundTruthStore>>,
    /// Sends traces, where that is configured.
    pub traces: Option<Arc<Traces>>,
}

#[derive(Debug)]
pub struct Shared {
    parts: HttpParts,
    /// What may be held of bodies at once, in [`BUDGET_UNIT_BYTES`].
    body_budget: Arc<Semaphore>,
    small_body_budget: Arc<Semaphore>,
    pub(super) large_bodies: LargeBodies,
    pub(super) unread_bodies: UnreadBodies,
    pub(super) rate_limits: Arc<RateLimits>,
    /// Draws which requests leave a line in the access log.
    pub(super) access_sampler: Sampler,
    /// How many requests are being answered, beside those of probes.
    answering: AtomicUsize,
}

impl Deref for Shared {
    type Target = HttpParts;

    fn deref(&self) -> &HttpParts {
        &self.parts
    }
}

/// The unit in which bodies are charged.
const BUDGET_UNIT_BYTES: usize = 1024;
/// How many bodies of the largest size may be held at once.
const LARGEST_BODIES: usize = 16;
/// How many bytes small bodies may have together.
const SMALL_BODIES_BYTES: usize = 64 * 1024 * 1024;

impl HttpState {
    /// Joins the parts.
    pub fn new(parts: HttpParts) -> Self {
        let budget =
            units(parts.config.max_body_bytes).saturating_mul(LARGEST_BODIES).min(Semaphore::MAX_PERMITS);
        let body_budget = Arc::new(Semaphore::new(budget));
        let small_body_budget = Arc::new(Semaphore::new(units(SMALL_BODIES_BYTES)));
        let rate_limits = Arc::new(RateLimits::new(&parts.limits));
        let access_sampler = Sampler::new(parts.config.access_log.sample);
        Self(Arc::new(Shared {
            parts,
            body_budget,
            small_body_budget,
            large_bodies: LargeBodies::default(),
            unread_bodies: UnreadBodies::default(),
            rate_limits,
            access_sampler,
            answering: AtomicUsize::new(0),
        }))
    }

    /// The buckets in which requests are counted, for whoever sweeps them.
    pub fn rate_limits(&self) -> Arc<RateLimits> {
        Arc::clone(&self.rate_limits)
    }

    /// Counts a request in, which [`HttpState::answered`] counts out; not if there are as many as may be.
    pub(super) fn begins(&self) -> bool {
        let has_room = self.answering.fetch_add(1, Ordering::Relaxed) < self.limits.max_requests;
        if !has_room {
            self.answered();
        }
        has_room
    }

    /// Counts a request out.
    pub(super) fn answered(&self) {
        self.answering.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes what so many bytes of a body cost, until the permit is dropped; clients that send more than fits in memory
    /// are refused rather than kept waiting with what they have sent. Small bodies have a budget of their own, which large
    /// ones cannot use up.
    pub(super) fn charge_body(&self, bytes: usize, is_small: bool) -> Result<OwnedSemaphorePermit, ApiError> {
        let units = u32::try_from(units(bytes)).unwrap_or(u32::MAX);
        let budget = if is_small { &self.small_body_budget } else { &self.body_budget };
        Arc::clone(budget).try_acquire_many_owned(units).map_err(|_| ApiError::BodiesFull)
    }

    /// Whether handlers are told the ids of their requests.
    pub(super) fn tells_ids(&self) -> bool {
        self.config.access_log.values || self.capture.is_some()
    }

    /// The model that answers where none is named.
    pub(super) fn default_model(&self) -> Result<Arc<ServingModel>, ApiError> {
        if let Some(model) = self.registry.default_model() {
            return Ok(model);
        }
        let serving = self.serving_names();
        Err(match (self.registry.is_loaded(), serving.is_empty()) {
            (false, _) => ApiError::Loading,
            (true, true) => self.no_models(),
            (true, false) => ApiError::NoDefaultModel { serving },
        })
    }

    /// The served version of this model.
    pub(super) fn model(&self, name: &str) -> Result<Arc<ServingModel>, ApiError> {
        if let Some(model) = self.registry.get(name) {
            return Ok(model);
        }
        let entry = self.model_entry(name)?;
        match entry.last_error.as_ref() {
            Some(problem) => {
                Err(ApiError::ModelFailed { name: name.to_owned(), reason: problem.reason.clone() })
            }
            None => Err(ApiError::Loading),
        }
    }

    /// What is known of this model.
    pub(super) fn model_entry(&self, name: &str) -> Result<Arc<ModelEntry>, ApiError> {
        match self.registry.entry(name) {
            Some(entry) => Ok(entry),
            None if self.registry.is_loaded() => {
                Err(ApiError::UnknownModel { serving: self.serving_names() })
            }
            None => Err(ApiError::Loading),
        }
    }

    /// A loaded version of this model.
    pub(super) fn version(&self, name: &str, version: u64) -> Result<Arc<ServingModel>, ApiError> {
        let entry = self.model_entry(name)?;
        let not_loaded =
            || ApiError::VersionNotLoaded { name: name.to_owned(), version, loaded: entry.loaded_versions() };
        entry.version(version).cloned().ok_or_else(not_loaded)
    }

    /// The version of this model that an alias names.
    pub(super) fn alias(&self, name: &str, alias: &str) -> Result<Arc<ServingModel>, ApiError> {
        let entry = self.model_entry(name)?;
        match entry.aliases.get(alias) {
            Some(version) => self.version(name, *version),
            None => Err(ApiError::UnknownAlias { aliases: entry.aliases.keys().cloned().collect() }),
        }
    }

    /// Whether predictions are answered.
    pub(super) fn readiness(&self) -> Result<(), ApiError> {
        if self.lifecycle.phase() != Phase::Running {
            Err(ApiError::Stopping)
        } else if !self.registry.is_loaded() {
            Err(ApiError::Loading)
        } else if self.registry.serving().is_empty() {
            Err(self.no_models())
        } else {
            let missing = self.registry.missing_models();
            if missing.is_empty() { Ok(()) } else { Err(ApiError::RequiredModels { missing }) }
        }
    }

    /// Why no model is served.
    fn no_models(&self) -> ApiError {
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

impl Deref for HttpState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(BUDGET_UNIT_BYTES).max(1)
}

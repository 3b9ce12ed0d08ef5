use std::sync::Arc;

use crate::config::HttpConfig;
use crate::http::problem::ApiError;
use crate::metrics::Metrics;
use crate::registry::{Registry, ServingModel};
use crate::shutdown::{Lifecycle, Phase};

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct HttpState {
    pub(super) config: Arc<HttpConfig>,
    pub(super) registry: Arc<Registry>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) lifecycle: Arc<Lifecycle>,
}

impl HttpState {
    /// Joins the parts.
    pub fn new(
        config: HttpConfig,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        lifecycle: Arc<Lifecycle>,
    ) -> Self {
        Self { config: Arc::new(config), registry, metrics, lifecycle }
    }

    /// The model that answers where none is named.
    pub(super) fn default_model(&self) -> Result<Arc<ServingModel>, ApiError> {
        if let Some(model) = self.registry.default_model() {
            return Ok(model);
        }
        let serving = self.serving_names();
        Err(match (self.registry.is_loaded(), serving.is_empty()) {
            (false, _) => ApiError::Loading,
            (true, true) => ApiError::NoModels,
            (true, false) => ApiError::NoDefaultModel { serving },
        })
    }

    /// The model of this name.
    pub(super) fn model(&self, name: &str) -> Result<Arc<ServingModel>, ApiError> {
        if let Some(model) = self.registry.get(name) {
            return Ok(model);
        }
        if !self.registry.is_loaded() {
            return Err(ApiError::Loading);
        }
        match self.registry.failed().into_iter().find(|failed| failed.name == name) {
            Some(failed) => Err(ApiError::ModelFailed { name: failed.name, reason: failed.reason }),
            None => Err(ApiError::UnknownModel { serving: self.serving_names() }),
        }
    }

    /// Whether predictions are answered.
    pub(super) fn readiness(&self) -> Result<(), ApiError> {
        if self.lifecycle.phase() != Phase::Running {
            Err(ApiError::Stopping)
        } else if !self.registry.is_loaded() {
            Err(ApiError::Loading)
        } else if self.registry.serving().is_empty() {
            Err(ApiError::NoModels)
        } else {
            Ok(())
        }
    }

    fn serving_names(&self) -> Vec<String> {
        self.registry.serving().iter().map(|model| model.name.clone()).collect()
    }
}

//! What is being served: the one place that requests look a model up in.
//!
//! Readers never wait: a change puts a new table in the place of the old one, and whoever holds a model keeps it until
//! its request has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
pub use onnward_repository::DecidedBy;
use onnward_schemas::Metadata;
use serde::Serialize;

use crate::backend::BackendKind;
use crate::batcher::Batcher;

/// A model that has passed every check and answers requests.
#[derive(Debug)]
pub struct ServingModel {
    /// The model's name.
    pub name: String,
    /// The version that is served.
    pub version: u64,
    /// Why this version; `None` for a file that comes from no repository.
    pub decided_by: Option<DecidedBy>,
    /// The SHA-256 of the artifact's file, in hexadecimal.
    pub sha256: String,
    /// The size of the artifact's file.
    pub size_bytes: u64,
    /// What runs it.
    pub backend: BackendKind,
    /// What the artifact says of itself.
    pub metadata: Metadata,
    /// Where rows are scored.
    pub batcher: Batcher,
}

/// A model that is not served, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedModel {
    /// The model's name.
    pub name: String,
    /// The version that failed, where it came as far as having one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The reason, as one sentence.
    pub reason: String,
}

/// The models of one engine.
#[derive(Debug)]
pub struct Registry {
    default_model: Option<String>,
    models: ArcSwap<Models>,
    is_loaded: AtomicBool,
}

#[derive(Debug, Default, Clone)]
struct Models {
    serving: BTreeMap<String, Arc<ServingModel>>,
    failed: BTreeMap<String, FailedModel>,
}

impl Registry {
    /// A registry without models. `default_model` names the one that `/predict` asks.
    pub fn new(default_model: Option<String>) -> Self {
        Self { default_model, models: ArcSwap::default(), is_loaded: AtomicBool::new(false) }
    }

    /// The model of this name, if it is served.
    pub fn get(&self, name: &str) -> Option<Arc<ServingModel>> {
        self.models.load().serving.get(name).cloned()
    }

    /// The model that `/predict` asks: the configured one, else the first by name.
    pub fn default_model(&self) -> Option<Arc<ServingModel>> {
        match &self.default_model {
            Some(name) => self.get(name),
            None => self.models.load().serving.values().next().cloned(),
        }
    }

    /// The models that are served, by name.
    pub fn serving(&self) -> Vec<Arc<ServingModel>> {
        self.models.load().serving.values().cloned().collect()
    }

    /// The models that are not, by name.
    pub fn failed(&self) -> Vec<FailedModel> {
        self.models.load().failed.values().cloned().collect()
    }

    /// Whether the first look at the model repository has ended.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Says that the first look at the model repository has ended.
    pub fn finish_loading(&self) {
        self.is_loaded.store(true, Ordering::Release);
    }

    /// Puts a model into service, in the place of any other version of it.
    pub fn insert(&self, model: ServingModel) {
        let model = Arc::new(model);
        self.models.rcu(|models| {
            let mut models = Models::clone(models);
            models.failed.remove(&model.name);
            models.serving.insert(model.name.clone(), model.clone());
            models
        });
    }

    /// Notes why a model is not served; a version that already serves stays.
    pub fn fail(&self, failed: &FailedModel) {
        self.models.rcu(|models| {
            let mut models = Models::clone(models);
            models.failed.insert(failed.name.clone(), failed.clone());
            models
        });
    }
}

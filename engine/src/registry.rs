//! STAND-IN until the registry proper is merged.
#![expect(missing_docs)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use onnward_schemas::Metadata;

use crate::batcher::Batcher;

#[derive(Debug)]
pub struct ServingModel {
    pub name: String,
    pub version: u64,
    pub sha256: String,
    pub size_bytes: u64,
    pub backend: &'static str,
    pub cut: bool,
    pub metadata: Metadata,
    pub batcher: Batcher,
}

#[derive(Debug, Clone)]
pub struct FailedModel {
    pub name: String,
    pub version: Option<u64>,
    pub reason: String,
}

#[derive(Debug, Default)]
pub struct Registry {
    default_model: Option<String>,
    serving: Mutex<BTreeMap<String, Arc<ServingModel>>>,
    failed: Mutex<Vec<FailedModel>>,
    loaded: AtomicBool,
}

impl Registry {
    pub fn new(default_model: Option<String>) -> Self {
        Self { default_model, ..Self::default() }
    }

    pub fn get(&self, name: &str) -> Option<Arc<ServingModel>> {
        self.models().get(name).cloned()
    }

    pub fn default_model(&self) -> Option<Arc<ServingModel>> {
        match &self.default_model {
            Some(name) => self.get(name),
            None => self.models().values().next().cloned(),
        }
    }

    pub fn serving(&self) -> Vec<Arc<ServingModel>> {
        self.models().values().cloned().collect()
    }

    pub fn failed(&self) -> Vec<FailedModel> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    pub fn insert(&self, model: ServingModel) {
        self.models().insert(model.name.clone(), Arc::new(model));
    }

    pub fn fail(&self, failed: FailedModel) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(failed);
    }

    pub fn finish(&self) {
        self.loaded.store(true, Ordering::Release);
    }

    fn models(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<ServingModel>>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

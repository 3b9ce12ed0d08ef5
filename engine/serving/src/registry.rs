//! What is being served: the one place that requests look a model up in.
//!
//! Readers never wait: a change puts a new table in the place of the old one, and whoever holds a model keeps it until
//! its request has ended. Only the watcher changes it.

mod slot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
pub use onnward_repository::{DEFAULT_ALIAS, DecidedBy, Target};
use onnward_rows::RowParser;
use onnward_runtime::backend::BackendKind;
use onnward_runtime::costs::BatchCosts;
use onnward_runtime::cross_check::Comparison;
use onnward_runtime::description::Description;
use onnward_telemetry::metrics::ModelState;

pub use self::slot::{FailedModel, Loading, Problem, RepositoryState, Serving, Slot, now};
use crate::batcher::Batcher;
use crate::monitor::Monitor;
use crate::version::ModelVersion;

/// A version of a model that has passed every check and can answer requests.
#[derive(Debug)]
pub struct ServingModel {
    /// The model's name.
    pub name: String,
    /// The version.
    pub version: u64,
    /// The SHA-256 of the artifact's file, in hexadecimal.
    pub sha256: String,
    /// The size of the artifact's file.
    pub size_bytes: u64,
    /// What runs it.
    pub backend: BackendKind,
    /// How it compares with another backend; `None` where no other is present or can run the model.
    pub comparison: Option<Comparison>,
    /// What is known of it.
    pub description: Description,
    /// Reads its rows in requests.
    pub parser: RowParser,
    /// What batches cost on one of its sessions.
    pub costs: BatchCosts,
    /// What is seen of it while it scores.
    pub monitor: Arc<Monitor>,
    /// What its predictions are kept by.
    pub identity: Arc<ModelVersion>,
    /// Where rows are scored.
    pub batcher: Batcher,
}

/// The models of one engine.
#[derive(Debug)]
pub struct Registry {
    default_model: Option<String>,
    required_models: Vec<String>,
    slots: ArcSwap<Slots>,
    /// One change at a time; readers do not see this.
    changing: Mutex<()>,
    repository: ArcSwap<RepositoryState>,
    is_loaded: AtomicBool,
}

type Slots = BTreeMap<String, Arc<Slot>>;

impl Registry {
    /// A registry without models. `default_model` names the one that `/predict` asks; the engine is not ready without
    /// any of `required_models`.
    pub fn new(default_model: Option<String>, required_models: Vec<String>) -> Self {
        Self {
            default_model,
            required_models,
            slots: ArcSwap::default(),
            changing: Mutex::new(()),
            repository: ArcSwap::default(),
            is_loaded: AtomicBool::new(false),
        }
    }

    /// The served version of this model.
    pub fn get(&self, name: &str) -> Option<Arc<ServingModel>> {
        Some(Arc::clone(&self.slots.load().get(name)?.serving.as_ref()?.model))
    }

    /// The model that `/predict` asks: the configured one, else the first by name.
    pub fn default_model(&self) -> Option<Arc<ServingModel>> {
        match &self.default_model {
            Some(name) => self.get(name),
            None => {
                let slots = self.slots.load();
                slots.values().find_map(|slot| Some(Arc::clone(&slot.serving.as_ref()?.model)))
            }
        }
    }

    /// What is known of this model.
    pub fn slot(&self, name: &str) -> Option<Arc<Slot>> {
        self.slots.load().get(name).cloned()
    }

    /// What is known of every model, by name.
    pub fn slots(&self) -> Arc<BTreeMap<String, Arc<Slot>>> {
        self.slots.load_full()
    }

    /// Every loaded version of every model, by name and number.
    pub fn loaded(&self) -> Vec<Arc<ServingModel>> {
        let slots = self.slots.load();
        let of_slot = |slot: &Arc<Slot>| -> Vec<Arc<ServingModel>> {
            slot.loaded().into_iter().filter_map(|version| slot.version(version).cloned()).collect()
        };
        slots.values().flat_map(of_slot).collect()
    }

    /// How every model stands, for the metrics.
    pub fn states(&self) -> Vec<ModelState> {
        self.slots.load().iter().map(|(name, slot)| slot.state(name)).collect()
    }

    /// The models that are served, by name.
    pub fn serving(&self) -> Vec<Arc<ServingModel>> {
        let slots = self.slots.load();
        slots.values().filter_map(|slot| Some(Arc::clone(&slot.serving.as_ref()?.model))).collect()
    }

    /// What is to be served and is not, by name.
    pub fn failed(&self) -> Vec<FailedModel> {
        let slots = self.slots.load();
        slots.iter().filter_map(|(name, slot)| slot.failure(name)).collect()
    }

    /// The models without which the engine is not ready, and that are not served.
    pub fn missing_models(&self) -> Vec<String> {
        let is_missing = |name: &&String| self.get(name).is_none();
        self.required_models.iter().filter(is_missing).cloned().collect()
    }

    /// Whether the first look at the model repository has been acted upon.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Says that the first look at the model repository has been acted upon.
    pub fn finish_loading(&self) {
        self.is_loaded.store(true, Ordering::Release);
    }

    /// How the last look at the model repository went.
    pub fn repository(&self) -> Arc<RepositoryState> {
        self.repository.load_full()
    }

    /// Notes how a look at the model repository went.
    pub fn set_repository(&self, state: RepositoryState) {
        self.repository.store(Arc::new(state));
    }

    /// Notes a loaded version, which is reached by its number from now on.
    pub fn insert(&self, model: ServingModel) {
        let (name, model) = (model.name.clone(), Arc::new(model));
        self.change(&name, |slot| slot.others.insert(model.version, model));
    }

    /// Puts a loaded version into service, in the place of any other; requests that are on their way end on the version
    /// that they began on. `false` if it is not loaded.
    pub fn serve(&self, name: &str, target: &Target) -> bool {
        self.change(name, |slot| slot.serve(target))
    }

    /// Lets go of every loaded version of a model that is neither served nor among `kept`.
    pub fn retain(&self, name: &str, kept: &BTreeSet<u64>) {
        self.change(name, |slot| {
            slot.others.retain(|version, _| kept.contains(version));
            slot.previous = slot.previous.filter(|version| slot.others.contains_key(version));
        });
    }

    /// Forgets a model.
    pub fn remove(&self, name: &str) {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = Slots::clone(&self.slots.load());
        slots.remove(name);
        self.slots.store(Arc::new(slots));
    }

    /// Notes what went wrong with a model; a version that serves stays.
    pub fn fail(&self, name: &str, problem: Problem) {
        self.change(name, |slot| slot.fail(problem));
    }

    /// Changes what is known of a model.
    pub fn change<T>(&self, name: &str, change: impl FnOnce(&mut Slot) -> T) -> T {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = Slots::clone(&self.slots.load());
        let mut slot = slots.get(name).map(|slot| Slot::clone(slot)).unwrap_or_default();
        let result = change(&mut slot);
        slots.insert(name.to_owned(), Arc::new(slot));
        self.slots.store(Arc::new(slots));
        result
    }
}

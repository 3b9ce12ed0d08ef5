//! The registry of served models, in which requests look a model up.
//!
//! Readers never wait: a change replaces the whole table, and a reader keeps its model until its request has
//! ended. Only the reconcilers change it.

mod model_entry;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
pub use onnward_repository::{DEFAULT_ALIAS, DecidedBy, Target};
use onnward_rows::RowParser;
use onnward_runtime::backend::BackendKind;
use onnward_runtime::cross_check::Comparison;
use onnward_runtime::description::Description;
use onnward_runtime::memory::MemoryReservation;
use onnward_telemetry::metrics::ModelState;

pub use self::model_entry::{FailedModel, LoadFailure, Loading, ModelEntry, RepositoryState, Serving, now};
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
    /// The backend.
    pub backend: BackendKind,
    /// The cross-check with another backend. `None` if no other is present or can run the model.
    pub comparison: Option<Comparison>,
    /// The description from its file.
    pub description: Description,
    /// The parser of its rows in requests.
    pub parser: RowParser,
    /// The memory that it takes.
    pub memory: MemoryReservation,
    /// The monitor of its predictions.
    pub monitor: Arc<Monitor>,
    /// The key of its stored predictions.
    pub identity: Arc<ModelVersion>,
    /// The batcher.
    pub batcher: Batcher,
}

/// The models of one engine.
///
/// ```
/// use onnward_serving::registry::{LoadFailure, Registry};
///
/// let registry = Registry::new(Some("churn".to_owned()), vec!["churn".to_owned()]);
/// assert_eq!(registry.missing_models(), ["churn"]);
/// registry.fail("churn", LoadFailure::now(Some(3), "golden", "row 2 scores 0.4, not 0.7".to_owned()));
/// let failed = &registry.failed()[0];
/// assert_eq!((failed.name.as_str(), failed.failure.version, failed.serving), ("churn", Some(3), None));
/// ```
#[derive(Debug)]
pub struct Registry {
    selection: ArcSwap<Selection>,
    entries: ArcSwap<ModelTable>,
    /// Held during a change. Readers do not take it.
    write_lock: Mutex<()>,
    repository: ArcSwap<RepositoryState>,
    is_loaded: AtomicBool,
}

/// The models that the configuration names.
#[derive(Debug, Default)]
struct Selection {
    default_model: Option<String>,
    required_models: Vec<String>,
    /// Since when they are these, in RFC 3339 and UTC.
    since: String,
}

impl Selection {
    fn new(default_model: Option<String>, required_models: Vec<String>) -> Self {
        Self { default_model, required_models, since: now() }
    }

    /// Returns each model with the key of the configuration that names it.
    fn named(&self) -> impl Iterator<Item = (&String, &'static str)> {
        let required = self.required_models.iter().map(|name| (name, "required_models"));
        let is_required = |name: &&String| self.required_models.contains(name);
        let default = self.default_model.iter().filter(move |name| !is_required(name));
        required.chain(default.map(|name| (name, "default_model")))
    }
}

type ModelTable = BTreeMap<String, Arc<ModelEntry>>;

impl Registry {
    /// Creates an empty registry. `default_model` names the one that `/predict` uses. The engine is not ready
    /// without all `required_models`.
    pub fn new(default_model: Option<String>, required_models: Vec<String>) -> Self {
        Self {
            selection: ArcSwap::from_pointee(Selection::new(default_model, required_models)),
            entries: ArcSwap::default(),
            write_lock: Mutex::new(()),
            repository: ArcSwap::default(),
            is_loaded: AtomicBool::new(false),
        }
    }

    /// Changes the default model and the required ones.
    pub fn select(&self, default_model: Option<String>, required_models: Vec<String>) {
        self.selection.store(Arc::new(Selection::new(default_model, required_models)));
    }

    /// Returns the serving version of a model.
    pub fn get(&self, name: &str) -> Option<Arc<ServingModel>> {
        Some(Arc::clone(&self.entries.load().get(name)?.serving.as_ref()?.model))
    }

    /// Returns the model that `/predict` uses: the configured one, else the first by name.
    pub fn default_model(&self) -> Option<Arc<ServingModel>> {
        match &self.selection.load().default_model {
            Some(name) => self.get(name),
            None => {
                let entries = self.entries.load();
                entries.values().find_map(|entry| Some(Arc::clone(&entry.serving.as_ref()?.model)))
            }
        }
    }

    /// Returns whether a default model is configured that is not served.
    pub fn is_default_missing(&self) -> bool {
        self.selection.load().default_model.as_ref().is_some_and(|name| self.get(name).is_none())
    }

    /// Returns the entry of a model.
    pub fn entry(&self, name: &str) -> Option<Arc<ModelEntry>> {
        self.entries.load().get(name).cloned()
    }

    /// Returns the entries of all models, by name.
    pub fn entries(&self) -> Arc<BTreeMap<String, Arc<ModelEntry>>> {
        self.entries.load_full()
    }

    /// Returns every loaded version of every model, by name and number.
    pub fn loaded_versions(&self) -> Vec<Arc<ServingModel>> {
        let entries = self.entries.load();
        let of_entry = |entry: &Arc<ModelEntry>| -> Vec<Arc<ServingModel>> {
            entry
                .loaded_versions()
                .into_iter()
                .filter_map(|version| entry.version(version).cloned())
                .collect()
        };
        entries.values().flat_map(of_entry).collect()
    }

    /// Returns the state of every model for the metrics.
    pub fn states(&self) -> Vec<ModelState> {
        self.entries.load().iter().map(|(name, entry)| entry.state(name)).collect()
    }

    /// Returns the serving versions, by name.
    pub fn serving(&self) -> Vec<Arc<ServingModel>> {
        let entries = self.entries.load();
        entries.values().filter_map(|entry| Some(Arc::clone(&entry.serving.as_ref()?.model))).collect()
    }

    /// Returns the models whose desired version is not served, by name. Once the registry is loaded, those that the
    /// configuration names and the repository does not have are among them.
    pub fn failed(&self) -> Vec<FailedModel> {
        let entries = self.entries.load();
        let mut failed: Vec<FailedModel> =
            entries.iter().filter_map(|(name, entry)| entry.failure(name)).collect();
        failed.extend(self.absent());
        failed.sort_by(|one, other| one.name.cmp(&other.name));
        failed
    }

    /// Returns the models that the configuration names and the repository does not have, once the registry is
    /// loaded.
    pub fn absent(&self) -> Vec<FailedModel> {
        let (entries, selection) = (self.entries.load(), self.selection.load());
        let absent = selection.named().filter(|(name, _)| self.is_loaded() && !entries.contains_key(*name));
        let describe = |(name, key): (&String, &str)| {
            let reason =
                format!("{key} names it, and the repository does not have it, or models.names leaves it out");
            let time = selection.since.clone();
            let failure = LoadFailure { time, ..LoadFailure::now(None, "repository", reason) };
            FailedModel { name: name.clone(), failure, serving: None }
        };
        absent.map(describe).collect()
    }

    /// Returns the models that are not served because of a failure that passes by itself.
    pub fn passing_failures(&self) -> Vec<String> {
        let entries = self.entries.load();
        let is_passing = |entry: &ModelEntry| {
            let failure = entry.last_error.as_ref().filter(|_| entry.serving.is_none() && entry.is_failing);
            failure.is_some_and(|failure| failure.is_passing)
        };
        entries.iter().filter(|(_, entry)| is_passing(entry)).map(|(name, _)| name.clone()).collect()
    }

    /// Returns the required models that are not served.
    pub fn missing_models(&self) -> Vec<String> {
        let is_missing = |name: &&String| self.get(name).is_none();
        self.selection.load().required_models.iter().filter(is_missing).cloned().collect()
    }

    /// Returns whether the first poll of the model repository has been reconciled.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Marks the first poll of the model repository as reconciled.
    pub fn set_loaded(&self) {
        self.is_loaded.store(true, Ordering::Release);
    }

    /// Returns the result of the last poll of the model repository.
    pub fn repository_state(&self) -> Arc<RepositoryState> {
        self.repository.load_full()
    }

    /// Stores the result of a poll of the model repository.
    pub fn set_repository_state(&self, state: RepositoryState) {
        self.repository.store(Arc::new(state));
    }

    /// Adds a loaded version, which requests can address by number from now on.
    pub fn insert(&self, model: ServingModel) {
        let (name, model) = (model.name.clone(), Arc::new(model));
        self.change(&name, |entry| entry.loaded.insert(model.version, model));
    }

    /// Makes a loaded version the serving one. Requests in flight finish on the version they started on.
    /// Returns `false` if it is not loaded.
    pub fn activate(&self, name: &str, target: &Target) -> bool {
        self.change(name, |entry| entry.activate(target))
    }

    /// Drops every loaded version of a model that is neither served nor in `kept`.
    pub fn retain(&self, name: &str, kept: &BTreeSet<u64>) {
        self.change(name, |entry| {
            entry.loaded.retain(|version, _| kept.contains(version));
            entry.previous = entry.previous.filter(|version| entry.loaded.contains_key(version));
        });
    }

    /// Removes a model.
    pub fn remove(&self, name: &str) {
        let _guard = self.write_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = ModelTable::clone(&self.entries.load());
        entries.remove(name);
        self.entries.store(Arc::new(entries));
    }

    /// Records a load failure. The serving version stays.
    pub fn fail(&self, name: &str, failure: LoadFailure) {
        self.change(name, |entry| entry.fail(failure));
    }

    /// Applies a change to a model's entry, creating it if needed.
    pub fn change<T>(&self, name: &str, change: impl FnOnce(&mut ModelEntry) -> T) -> T {
        let _guard = self.write_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = ModelTable::clone(&self.entries.load());
        let mut entry = entries.get(name).map(|entry| ModelEntry::clone(entry)).unwrap_or_default();
        let result = change(&mut entry);
        entries.insert(name.to_owned(), Arc::new(entry));
        self.entries.store(Arc::new(entries));
        result
    }
}

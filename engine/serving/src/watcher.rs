//! Reconciles the registry with the model repository: poll, decide, fetch, verify, swap.
//!
//! One task polls the repository by listings alone and sends each model's own task what it observed there.
//! That task brings the registry to the latest observation; a failure leaves the serving version unchanged.
//! So one slow download holds up no other model. A start without the store takes the same path: the
//! last-known-good versions are an observation too, whose files come from the cache. Deliberately absent:
//! trust in the times that a store or a file claims.

mod background;
mod failures;
mod load;
mod names;
mod poll_interval;
mod reconciler;
mod retention;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use onnward_repository::{
    CacheRecord, CacheUsage, DecidedBy, Fetcher, LastKnownGood, ModelSnapshot, Repository, RepositoryError,
    Snapshot, Target, TrustedKeys, Watch,
};
use onnward_telemetry::metrics::{CacheState, Metrics};
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::time::Instant;

pub use self::names::NamePatterns;
use self::poll_interval::PollInterval;
use self::reconciler::{DesiredState, Generations};
use crate::backoff::Backoff;
use crate::loader::Loader;
use crate::registry::{FailedModel, Registry, RepositoryState, now};
use crate::reload::ReloadRequest;

/// The time that a start waits for the store before it uses the cache.
const START_TIMEOUT: Duration = Duration::from_secs(3);

/// The interval at which a wait for models looks at their states.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The settings of the polling of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchConfig {
    /// The time between two polls, with a jitter of ±20 %.
    pub interval: Duration,
    /// The longest pause after polls that failed.
    pub max_backoff: Duration,
}

impl WatchConfig {
    /// Returns the pauses between tries of a poll or a load that keeps failing.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff { first: self.interval, longest: self.max_backoff.max(self.interval) }
    }
}

/// What is served, how many versions stay loaded, and how often the repository is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSettings {
    /// Whether a model is served only if a pin or the alias names a version.
    pub required_alias: bool,
    /// The models that are served.
    pub names: NamePatterns,
    /// The maximum number of loaded versions of each model.
    pub loaded_versions: usize,
    /// The settings of the polling.
    pub polling: WatchConfig,
}

/// The shared parts of the watcher.
pub struct WatcherContext {
    /// The repository.
    pub repository: Repository,
    /// The repository's location, as it is shown to people.
    pub location: String,
    /// The source of versions, through the cache if there is one.
    pub fetcher: Fetcher,
    /// The trusted keys. If not empty, one of them must have signed a version.
    pub keys: TrustedKeys,
    /// The last-known-good versions, for a start without the store.
    pub last_known_good: Mutex<LastKnownGood>,
    /// The alias that is followed.
    pub alias: String,
    /// The settings that may change while the engine runs. A poll and a model's reconciliation read them anew.
    pub settings: ArcSwap<WatchSettings>,
    /// The loader.
    pub loader: Loader,
    /// The registry.
    pub registry: Arc<Registry>,
    /// The metrics of polls and swaps.
    pub metrics: Arc<Metrics>,
    /// The time in which a version must be opened and tested.
    pub load_timeout: Duration,
    /// Permits for versions on their way from the repository to the registry.
    pub fetch_permits: Arc<Semaphore>,
    /// Permits for concurrent verifications.
    pub load_permits: Arc<Semaphore>,
    /// Permits for concurrent tests of models in processes of their own.
    pub isolation_permits: Arc<Semaphore>,
}

impl WatcherContext {
    /// Returns the version of a model that should be served.
    fn target(&self, snapshot: &ModelSnapshot) -> Option<Target> {
        let is_promoted = |target: &Target| target.decided_by != DecidedBy::HighestVersion;
        let required_alias = self.settings.load().required_alias;
        snapshot.target(&self.alias).filter(|target| !required_alias || is_promoted(target))
    }

    /// Marks no version as being opened, for an engine that ends on purpose.
    pub async fn forget_openings(&self) {
        let mut known = self.last_known_good.lock().await;
        if !known.opening.is_empty() {
            known.opening.clear();
            self.fetcher.save_last_known_good(&self.alias, &known).await;
        }
    }
}

/// Polls the repository until the process ends: periodically, and immediately on a reload request.
pub async fn watch(context: Arc<WatcherContext>, mut requests: mpsc::Receiver<ReloadRequest>) {
    let mut poller = Poller::new(Arc::clone(&context));
    let mut interval = PollInterval::default();
    let mut waiting: Vec<ReloadRequest> = Vec::new();
    loop {
        let result = poller.poll(!waiting.is_empty()).await;
        let pause = match &result {
            Ok(()) => interval.after_success(context.settings.load().polling),
            Err(_) => interval.after_failure(context.settings.load().polling),
        };
        answer(result, std::mem::take(&mut waiting), poller.reconciled(|generations| generations.all));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            request = requests.recv() => match request {
                Some(request) => waiting.push(request),
                None => return,
            }
        }
        while let Ok(request) = requests.try_recv() {
            waiting.push(request);
        }
    }
}

/// Answers reload requests once the poll has been reconciled.
fn answer(
    result: Result<(), String>,
    waiting: Vec<ReloadRequest>,
    reconciled: impl Future<Output = ()> + Send + 'static,
) {
    if waiting.is_empty() {
        return;
    }
    tokio::spawn(async move {
        if result.is_ok() {
            reconciled.await;
        }
        for request in waiting {
            // The caller may have disconnected.
            let _ = request.send(result.clone());
        }
    });
}

/// The task that polls.
struct Poller {
    context: Arc<WatcherContext>,
    watch: Watch,
    models: BTreeMap<String, ModelTask>,
    /// The number of observations that have been distributed.
    generation: u64,
    is_started: bool,
    /// Whether the repository had no model at the last poll, not even one that is not to be served.
    is_empty: bool,
    /// Whether a poll has succeeded.
    has_polled: bool,
}

/// A model's task. It outlives the model, so that a model never has two.
struct ModelTask {
    desired: watch::Sender<DesiredState>,
    sent_generation: u64,
    generations: watch::Receiver<Generations>,
}

impl Poller {
    fn new(context: Arc<WatcherContext>) -> Self {
        let watch = Watch::new(context.repository.clone());
        Self {
            context,
            watch,
            models: BTreeMap::new(),
            generation: 0,
            is_started: false,
            is_empty: false,
            has_polled: false,
        }
    }

    /// Polls once and sends each model's task what was observed. `retry` makes them retry permanent failures
    /// too.
    async fn poll(&mut self, retry: bool) -> Result<(), String> {
        let begun = Instant::now();
        let result = if self.is_started { self.watch.snapshot().await } else { self.first_poll().await };
        match result {
            Ok(mut snapshot) => {
                self.context.metrics.repository_polled(begun.elapsed());
                let settings = self.context.settings.load_full();
                self.is_empty = snapshot.models.is_empty();
                snapshot.models.retain(|name, _| settings.names.cover(name));
                if snapshot.models.is_empty() && !self.is_empty && !self.has_polled {
                    tracing::warn!("models.names covers none of the repository's models");
                }
                self.succeeded(snapshot, retry).await;
                Ok(())
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Polls for the first time. If the store does not answer in time, the last-known-good versions are
    /// served from the cache meanwhile.
    async fn first_poll(&mut self) -> Result<Snapshot, RepositoryError> {
        self.is_started = true;
        let context = Arc::clone(&self.context);
        let saved = context.fetcher.load_last_known_good(&context.alias).await;
        *context.last_known_good.lock().await = saved.unwrap_or_default();
        // Taken out, because the models' tasks are started while it is in use.
        let mut watch = std::mem::replace(&mut self.watch, Watch::new(context.repository.clone()));
        let result = {
            let mut snapshot = std::pin::pin!(watch.snapshot());
            match tokio::time::timeout(START_TIMEOUT, &mut snapshot).await {
                Ok(result) => result,
                Err(_) => {
                    self.start_from_cache("the store has not answered yet").await;
                    snapshot.await
                }
            }
        };
        self.watch = watch;
        if let Err(error) = &result {
            self.start_from_cache(&error.to_string()).await;
            self.finish_loading(|_| {});
        }
        result
    }

    /// Serves the last-known-good versions from the cache. Does nothing if there are none, or if this has
    /// been done.
    async fn start_from_cache(&mut self, why: &str) {
        let context = Arc::clone(&self.context);
        let mut records = context.last_known_good.lock().await.models.clone();
        let settings = context.settings.load_full();
        records.retain(|name, record| {
            let is_promoted = record.decided_by != DecidedBy::HighestVersion;
            settings.names.cover(name) && (is_promoted || !settings.required_alias)
        });
        if records.is_empty() || self.generation > 0 || !context.fetcher.keeps_artifacts() {
            return;
        }
        tracing::warn!(
            repository = context.location,
            why,
            "the store is unreachable: serving the last-known-good versions from the cache"
        );
        context.registry.set_repository_state(RepositoryState {
            location: context.location.clone(),
            reachable: Some(false),
            error: Some(why.to_owned()),
            from_cache: true,
            ..RepositoryState::default()
        });
        let cached = |(name, record)| (name, Observation::LastKnownGood(record));
        self.distribute(records.into_iter().map(cached).collect(), false);
        self.finish_loading(|_| {});
    }

    async fn succeeded(&mut self, snapshot: Snapshot, retry: bool) {
        let context = Arc::clone(&self.context);
        let WatcherContext { registry, metrics, location, .. } = context.as_ref();
        let before = registry.repository_state();
        if before.reachable == Some(false) {
            tracing::info!(repository = location, "the model repository is reachable again");
        }
        metrics.repository_seen();
        let mut state = RepositoryState {
            location: location.clone(),
            reachable: Some(true),
            last_success: Some(now()),
            error: None,
            from_cache: false,
        };
        let (has_models, has_entries) = (!self.is_empty, !registry.entries().is_empty());
        if !has_models && has_entries {
            // An unmounted folder looks like an emptied bucket, and unloading everything helps nobody.
            let warning = "the model repository is empty; the served models stay loaded";
            if before.error.as_deref() != Some(warning) {
                tracing::warn!(repository = location, "{warning}");
            }
            state.error = Some(warning.to_owned());
        } else {
            self.distribute(self.observations(snapshot).await, retry);
        }
        registry.set_repository_state(state);
        if let Some(CacheUsage { artifacts, bytes, max_bytes }) = context.fetcher.cache_usage().await {
            metrics.cache(CacheState { artifacts, bytes, max_bytes });
        }
        if !self.has_polled {
            self.has_polled = true;
            self.finish_loading(if has_models || has_entries {
                log_default_model
            } else {
                log_empty_repository
            });
        }
    }

    /// Returns what a snapshot shows of each model that it has, that is loaded, or that was served last.
    async fn observations(&self, snapshot: Snapshot) -> BTreeMap<String, Observation> {
        if self.is_empty {
            // What was served last may still be needed if the folder is not mounted yet.
            return BTreeMap::new();
        }
        let mut observations: BTreeMap<String, Observation> =
            snapshot.models.into_iter().map(|(name, model)| (name, self.observation(model))).collect();
        let loaded = self.context.registry.entries();
        let served = self.context.last_known_good.lock().await;
        for name in loaded.keys().chain(served.models.keys()) {
            observations.entry(name.clone()).or_insert(Observation::Gone);
        }
        observations
    }

    fn observation(&self, model: Result<ModelSnapshot, RepositoryError>) -> Observation {
        match model {
            Ok(snapshot) => match snapshot.problem(&self.context.alias) {
                Some(problem) => Observation::Unreadable(problem.to_owned()),
                None => Observation::Present(snapshot),
            },
            Err(error) => Observation::Unreadable(error.to_string()),
        }
    }

    /// Sends each model's task what was observed of the model.
    fn distribute(&mut self, observations: BTreeMap<String, Observation>, retry: bool) {
        self.generation += 1;
        for (name, observation) in observations {
            let desired = DesiredState { generation: self.generation, retry, observation };
            match self.models.get_mut(&name) {
                Some(task) => task.send(desired),
                None => {
                    let task = ModelTask::start(&self.context, &name, desired);
                    self.models.insert(name, task);
                }
            }
        }
    }

    fn failed(&self, error: &RepositoryError) -> String {
        let WatcherContext { registry, location, .. } = self.context.as_ref();
        let error = error.to_string();
        let before = registry.repository_state();
        if before.reachable != Some(false) || before.error.as_deref() != Some(&error) {
            tracing::error!(repository = location, error, "the model repository cannot be read");
        }
        registry.set_repository_state(RepositoryState {
            location: location.clone(),
            reachable: Some(false),
            error: Some(error.clone()),
            ..RepositoryState::clone(&before)
        });
        error
    }

    /// Completes once every model's task has reconciled what it was sent last, as far as `generation` tells. A model
    /// that is being tested in a process of its own is not waited for, since that takes as long as its file
    /// wants.
    fn reconciled(&self, generation: fn(&Generations) -> u64) -> impl Future<Output = ()> + Send + use<> {
        let registry = Arc::clone(&self.context.registry);
        let tasks = self.models.iter();
        let tasks: Vec<_> = tasks
            .map(|(name, task)| (name.clone(), task.generations.clone(), task.sent_generation))
            .collect();
        async move {
            for (name, mut generations, sent) in tasks {
                let is_isolated = || registry.entry(&name).is_some_and(|entry| entry.is_isolated());
                loop {
                    tokio::select! {
                        // A task that has ended has nothing left to do.
                        _ = generations.wait_for(|reached| generation(reached) >= sent) => break,
                        () = tokio::time::sleep(CHECK_INTERVAL) => if is_isolated() { break },
                    }
                }
            }
        }
    }

    /// Marks the registry as loaded once the target of every model is served or has failed for good, and then calls
    /// `then`. A failure that passes by itself is waited for, unless another version is served meanwhile.
    fn finish_loading(&self, then: fn(&Registry)) {
        let reconciled = self.reconciled(|generations| generations.target);
        let registry = Arc::clone(&self.context.registry);
        tokio::spawn(async move {
            reconciled.await;
            while !registry.passing_failures().is_empty() {
                tokio::time::sleep(CHECK_INTERVAL).await;
            }
            registry.set_loaded();
            then(&registry);
        });
    }
}

fn log_empty_repository(_: &Registry) {
    tracing::warn!("the repository contains no models: publish one with onnward-exporter publish or train");
}

fn log_default_model(registry: &Registry) {
    for FailedModel { name, failure, .. } in registry.absent() {
        tracing::error!(model = name, reason = failure.reason, "a model of the configuration is not served");
    }
    match registry.default_model() {
        Some(model) => tracing::info!(model = model.name, "default model for POST /predict"),
        None => tracing::warn!("POST /predict is unavailable: the default model is not served"),
    }
}

impl ModelTask {
    fn start(context: &Arc<WatcherContext>, name: &str, desired: DesiredState) -> Self {
        let sent_generation = desired.generation;
        let (desired, receiver) = watch::channel(desired);
        let (sender, generations) = watch::channel(Generations::default());
        tokio::spawn(reconciler::run(Arc::clone(context), name.to_owned(), receiver, sender));
        Self { desired, sent_generation, generations }
    }

    fn send(&mut self, desired: DesiredState) {
        self.sent_generation = desired.generation;
        self.desired.send_replace(desired);
    }
}

/// The observed state of a model.
#[derive(Debug, Clone)]
enum Observation {
    /// The repository has it.
    Present(ModelSnapshot),
    /// The store is not reached, and this version was served last.
    LastKnownGood(CacheRecord),
    /// The repository has it, but it cannot be read, for this reason.
    Unreadable(String),
    /// The repository does not have it.
    Gone,
}

#[cfg(test)]
mod tests;

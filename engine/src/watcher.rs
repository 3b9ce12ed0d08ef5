//! From the model repository to the registry: look, decide, fetch, prove, swap.
//!
//! One task looks at the repository, by listings alone, and tells each model's own task what it saw there. A model's task
//! brings the registry to what was seen last; whatever fails leaves what is served as it is. So a slow download of one
//! model holds up no other. What is deliberately absent: trust in the times that a store or a file claims.

mod background;
mod failures;
mod model;
mod pace;
mod plan;
mod start;

use std::collections::BTreeMap;
use std::sync::Arc;

use onnward_repository::{
    Fetcher, LastKnownGood, ModelSnapshot, Repository, RepositoryError, Snapshot, TrustedKeys, Watch,
};
use tokio::sync::{Mutex, Semaphore, mpsc, watch};

use self::model::Wish;
use self::pace::Pace;
use crate::config::WatchConfig;
use crate::loader::Loader;
use crate::metrics::Metrics;
use crate::registry::{Registry, RepositoryState, now};
use crate::reload::Nudge;

/// What the watcher works with.
pub struct Parts {
    /// The repository.
    pub repository: Repository,
    /// Where it is, for people.
    pub location: String,
    /// What fetches versions, through the cache where there is one.
    pub fetcher: Fetcher,
    /// The keys of which one must have signed a version, where there are any.
    pub keys: TrustedKeys,
    /// What is served, as it is remembered for a start without the store.
    pub remembered: Mutex<LastKnownGood>,
    /// The alias that is followed.
    pub alias: String,
    /// How many versions of a model stay loaded.
    pub loaded_versions: usize,
    /// How often to look.
    pub config: WatchConfig,
    /// What opens and proves models.
    pub loader: Loader,
    /// Where models are put into service.
    pub registry: Arc<Registry>,
    /// Where looks and swaps are counted.
    pub metrics: Arc<Metrics>,
    /// How many models are opened at once.
    pub openings: Semaphore,
}

/// Looks at the repository until the process ends: at its pace, and at once when nudged.
pub async fn watch(parts: Arc<Parts>, mut nudges: mpsc::Receiver<Nudge>) {
    let mut looker = Looker::new(Arc::clone(&parts));
    let mut pace = Pace::new(parts.config);
    let mut waiting: Vec<Nudge> = Vec::new();
    loop {
        let looked = looker.look(!waiting.is_empty()).await;
        let pause = match &looked {
            Ok(()) => pace.after_success(),
            Err(_) => pace.after_failure(),
        };
        answer(looked, std::mem::take(&mut waiting), looker.acted_upon());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            nudge = nudges.recv() => match nudge {
                Some(nudge) => waiting.push(nudge),
                None => return,
            }
        }
        while let Ok(nudge) = nudges.try_recv() {
            waiting.push(nudge);
        }
    }
}

/// Answers those who asked for a look, once it has been acted upon.
fn answer(
    looked: Result<(), String>,
    waiting: Vec<Nudge>,
    acted_upon: impl Future<Output = ()> + Send + 'static,
) {
    if waiting.is_empty() {
        return;
    }
    tokio::spawn(async move {
        if looked.is_ok() {
            acted_upon.await;
        }
        for nudge in waiting {
            // Whoever asked may have gone.
            let _ = nudge.send(looked.clone());
        }
    });
}

/// The task that looks.
struct Looker {
    parts: Arc<Parts>,
    watch: Watch,
    models: BTreeMap<String, ModelTask>,
    /// The number of looks that succeeded.
    looks: u64,
    is_started: bool,
}

/// A model's own task. It stays when the model is gone, so that there are never two of one model.
struct ModelTask {
    wishes: watch::Sender<Wish>,
    /// The number of the last look that it was told of.
    told: u64,
    /// The number of the last look that it has acted upon.
    done: watch::Receiver<u64>,
}

impl Looker {
    fn new(parts: Arc<Parts>) -> Self {
        let watch = Watch::new(parts.repository.clone());
        Self { parts, watch, models: BTreeMap::new(), looks: 0, is_started: false }
    }

    /// Looks once, and tells the models' tasks what there is. `retry` has them try again what failed for good.
    async fn look(&mut self, retry: bool) -> Result<(), String> {
        let looked = if self.is_started { self.watch.snapshot().await } else { self.first_look().await };
        match looked {
            Ok(look) => {
                self.succeeded(look, retry);
                Ok(())
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// The first look. A store that does not answer in time does not hold up the start: what was served last is taken
    /// from the cache meanwhile.
    async fn first_look(&mut self) -> Result<Snapshot, RepositoryError> {
        self.is_started = true;
        let parts = Arc::clone(&self.parts);
        *parts.remembered.lock().await =
            parts.fetcher.load_last_known_good(&parts.alias).await.unwrap_or_default();
        let mut look = std::pin::pin!(self.watch.snapshot());
        let looked = match tokio::time::timeout(start::PATIENCE, &mut look).await {
            Ok(looked) => looked,
            Err(_) => {
                start::from_memory(&parts, "the store has not answered yet").await;
                look.await
            }
        };
        match &looked {
            // What fails to load now is still what was served last, but not what is gone.
            Ok(look) => parts.remembered.lock().await.models.retain(|name, _| look.models.contains_key(name)),
            Err(error) => {
                start::from_memory(&parts, &error.to_string()).await;
                parts.registry.finish_loading();
            }
        }
        looked
    }

    fn succeeded(&mut self, look: Snapshot, retry: bool) {
        let parts = Arc::clone(&self.parts);
        let Parts { registry, metrics, location, .. } = parts.as_ref();
        let before = registry.repository();
        if before.reachable == Some(false) {
            tracing::info!(repository = location, "the model repository is reached again");
        }
        metrics.repository_seen();
        let mut state = RepositoryState {
            location: location.clone(),
            reachable: Some(true),
            last_success: Some(now()),
            error: None,
            from_cache: false,
        };
        self.looks += 1;
        if look.models.is_empty() && !registry.slots().is_empty() {
            // A folder that is not mounted and a bucket that was emptied look alike; unloading everything helps nobody.
            let warning = "the model repository is empty; what is served stays served";
            if before.error.as_deref() != Some(warning) {
                tracing::warn!(repository = location, "{warning}");
            }
            state.error = Some(warning.to_owned());
        } else {
            self.tell(look, retry);
        }
        registry.set_repository(state);
        if self.looks == 1 {
            self.finish_start();
        }
    }

    fn tell(&mut self, look: Snapshot, retry: bool) {
        let number = self.looks;
        let mut seen: BTreeMap<String, Seen> = look.models.into_iter().map(|(n, m)| (n, seen(m))).collect();
        for name in self.parts.registry.slots().keys() {
            seen.entry(name.clone()).or_insert(Seen::Gone);
        }
        for (name, seen) in seen {
            let wish = Wish { number, retry, seen };
            match self.models.get_mut(&name) {
                Some(task) => task.tell(wish),
                None => {
                    let task = ModelTask::start(&self.parts, &name, wish);
                    self.models.insert(name, task);
                }
            }
        }
    }

    fn failed(&self, error: &RepositoryError) -> String {
        let Parts { registry, location, .. } = self.parts.as_ref();
        let error = error.to_string();
        let before = registry.repository();
        if before.reachable != Some(false) || before.error.as_deref() != Some(&error) {
            tracing::error!(repository = location, error, "the model repository cannot be read");
        }
        registry.set_repository(RepositoryState {
            location: location.clone(),
            reachable: Some(false),
            error: Some(error.clone()),
            ..RepositoryState::clone(&before)
        });
        error
    }

    /// Completes once every model's task has acted upon what it was told last.
    fn acted_upon(&self) -> impl Future<Output = ()> + Send + use<> {
        let tasks: Vec<_> = self.models.values().map(|task| (task.done.clone(), task.told)).collect();
        async move {
            for (mut done, told) in tasks {
                // A task that has ended has nothing left to do.
                let _ = done.wait_for(|done| *done >= told).await;
            }
        }
    }

    fn finish_start(&self) {
        let (acted_upon, registry) = (self.acted_upon(), Arc::clone(&self.parts.registry));
        tokio::spawn(async move {
            acted_upon.await;
            registry.finish_loading();
            match registry.default_model() {
                Some(model) => tracing::info!(model = model.name, "POST /predict is answered by this model"),
                None => {
                    tracing::warn!("POST /predict is answered by no model: the default model is not served")
                }
            }
        });
    }
}

impl ModelTask {
    fn start(parts: &Arc<Parts>, name: &str, wish: Wish) -> Self {
        let told = wish.number;
        let (wishes, receiver) = watch::channel(wish);
        let (sender, done) = watch::channel(0);
        tokio::spawn(model::follow(Arc::clone(parts), name.to_owned(), receiver, sender));
        Self { wishes, told, done }
    }

    fn tell(&mut self, wish: Wish) {
        self.told = wish.number;
        self.wishes.send_replace(wish);
    }
}

/// What was seen of a model.
#[derive(Debug, Clone)]
enum Seen {
    /// What there is of it.
    There(ModelSnapshot),
    /// Why that cannot be read.
    Unreadable(String),
    /// There is nothing of it any more.
    Gone,
}

fn seen(look: Result<ModelSnapshot, RepositoryError>) -> Seen {
    match look {
        Ok(look) => Seen::There(look),
        Err(error) => Seen::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
mod tests;

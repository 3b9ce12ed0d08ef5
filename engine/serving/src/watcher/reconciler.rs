use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onnward_repository::{
    CacheRecord, DecidedBy, ModelSnapshot, OpeningRecord, Pointer, RepositoryError, Stamp, Target,
};
use onnward_telemetry::metrics::{LoadedVersion, SwapOutcome};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::failures::Failures;
use super::load::{LONG_LOAD, VersionError, in_turn, verify};
use super::retention::{retained_versions, versions_to_load};
use super::{Observation, WatcherContext};
use crate::loader::Recovery;
use crate::registry::{LoadFailure, Loading, ModelEntry, Serving, ServingModel};

/// The most versions below the highest, or named by the alias before, that are tried after a start.
const MAX_LOWER_VERSIONS: usize = 3;
/// How often a version may end the process while it is opened.
const MAX_OPENINGS: u32 = 2;

/// The desired state of a model.
#[derive(Debug, Clone)]
pub struct DesiredState {
    /// The number of the observation.
    pub generation: u64,
    /// Whether permanent failures are to be retried.
    pub retry: bool,
    /// The observed state.
    pub observation: Observation,
}

/// The observations that a model's task has acted on: the numbers of the latest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generations {
    /// The observation whose target is served or has failed, or has been loading for long while another version is
    /// served.
    pub target: u64,
    /// The observation whose other versions are loaded too, or have failed.
    pub all: u64,
}

impl Generations {
    fn reach(&mut self, target: u64, all: u64) {
        *self = Self { target: self.target.max(target), all: self.all.max(all) };
    }
}

/// Reconciles one model with each desired state in turn and publishes the generations.
pub async fn run(
    context: Arc<WatcherContext>,
    name: String,
    mut desired: Desired,
    generations: watch::Sender<Generations>,
) {
    let mut reconciler = ModelReconciler {
        context,
        name,
        failures: Failures::default(),
        stamps: BTreeMap::new(),
        cache_records: BTreeMap::new(),
        changed: BTreeMap::new(),
        unreadable: BTreeMap::new(),
        promoted_before: None,
        lacks_alias: AtomicBool::new(false),
        generations,
    };
    loop {
        let state = desired.borrow_and_update().clone();
        let generation = state.generation;
        reconciler.reconcile(state, &desired).await;
        reconciler.generations.send_modify(|generations| generations.reach(generation, generation));
        if desired.changed().await.is_err() {
            return;
        }
    }
}

/// Brings the registry to the desired state of one model.
struct ModelReconciler {
    context: Arc<WatcherContext>,
    name: String,
    failures: Failures,
    /// The stamps of the loaded versions' files when they were last known to be what is loaded.
    stamps: BTreeMap<u64, Stamp>,
    /// The cache records of the loaded versions. One is saved while its version serves.
    cache_records: BTreeMap<u64, CacheRecord>,
    /// The loaded versions whose files are not what is loaded, each with the reason.
    changed: BTreeMap<u64, String>,
    /// The pointers that were reported to be unreadable, each with the reason.
    unreadable: BTreeMap<Pointer, String>,
    /// A target, and the versions that its alias named before.
    promoted_before: Option<(Target, Vec<u64>)>,
    /// Whether it was reported that the model lacks the alias that is followed.
    lacks_alias: AtomicBool,
    generations: watch::Sender<Generations>,
}

/// A load that is under way.
struct Load {
    version: u64,
    begun: Instant,
}

/// The source of a version's files.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// The repository, as it was observed.
    Repository(&'a ModelSnapshot),
    /// The cache alone, as the record describes the version.
    Cache(&'a CacheRecord),
}

type Desired = watch::Receiver<DesiredState>;

impl ModelReconciler {
    async fn reconcile(&mut self, state: DesiredState, desired: &Desired) {
        if state.retry {
            self.failures.clear();
            self.end_opening().await;
        }
        match state.observation {
            Observation::Present(snapshot) => {
                self.reconcile_versions(&snapshot, state.generation, desired).await;
            }
            Observation::LastKnownGood(record) => self.reconcile_cached(&record, desired).await,
            Observation::Unreadable(reason) => {
                if let Some(version) = self.last_known_good().await.map(|record| record.version) {
                    self.serve_last(None, Wanted { desired, version }).await;
                }
                // The desired version is unknown, so the serving one cannot be it.
                self.context.registry.change(&self.name, |entry| entry.desired = None);
                self.fail_if_new(None, "repository", reason);
            }
            Observation::Gone => self.remove(),
        }
        self.save_last_known_good().await;
        self.update_metrics();
    }

    async fn reconcile_versions(&mut self, snapshot: &ModelSnapshot, generation: u64, desired: &Desired) {
        let context = Arc::clone(&self.context);
        let source = Source::Repository(snapshot);
        self.report_unreadable(snapshot);
        match self.observe(snapshot) {
            Some(target) => {
                if self.was_opening(target.version).await {
                    // It may have ended the process, so what was served before comes first.
                    self.serve_another(&target, snapshot, desired).await;
                }
                if !self.is_loaded(&target, snapshot) {
                    // What was served before is there sooner.
                    self.serve_last(Some(snapshot), Wanted { desired, version: target.version }).await;
                }
                self.ensure_serving(&target, source, desired).await;
                self.serve_another(&target, snapshot, desired).await;
            }
            None => self.report_no_version(snapshot),
        }
        self.generations.send_modify(|generations| generations.reach(generation, 0));
        self.check_changed_files(snapshot, desired).await;
        for version in versions_to_load(&self.entry(), &self.retained(snapshot)) {
            // The next observation may have another target.
            if desired.has_changed().unwrap_or(false) {
                return;
            }
            if self.failures.may_retry(version, source.stamp(version)) {
                self.load(version, source, Wanted { desired, version }).await;
            }
        }
        if desired.has_changed().unwrap_or(false) {
            return;
        }
        context.registry.retain(&self.name, &self.retained(snapshot).into_iter().collect());
        let entry = self.entry();
        self.stamps.retain(|version, _| entry.version(*version).is_some());
        self.cache_records.retain(|version, _| entry.version(*version).is_some());
        self.changed.retain(|version, _| entry.version(*version).is_some());
        self.report_restart(snapshot);
    }

    /// Reports pointers that decide on nothing here and cannot be read, once each.
    fn report_unreadable(&mut self, snapshot: &ModelSnapshot) {
        for (pointer, reason) in &snapshot.unreadable {
            if self.unreadable.get(pointer) != Some(reason) {
                tracing::warn!(model = self.name, %pointer, reason, "a pointer cannot be read");
            }
        }
        self.unreadable.clone_from(&snapshot.unreadable);
    }

    /// Reports once if other aliases are set, but not the one that is followed: its name may be misspelt. Reports
    /// once, too, if it was deleted.
    fn report_alias(&self, snapshot: &ModelSnapshot, target: Option<&Target>) {
        let is_deleted = self.entry().desired.as_ref().is_some_and(|before| {
            let followed = matches!(before.decided_by, DecidedBy::Alias { .. });
            followed && target.is_some_and(|target| target.decided_by == DecidedBy::HighestVersion)
        });
        if is_deleted {
            tracing::warn!(
                model = self.name,
                alias = self.context.alias,
                desired = target.map(|target| target.version),
                "the alias that this engine follows was deleted: the highest version is desired now"
            );
        }
        let lacks_alias = !snapshot.aliases.is_empty()
            && !snapshot.aliases.contains_key(&self.context.alias)
            && target.is_none_or(|target| target.decided_by == DecidedBy::HighestVersion);
        if lacks_alias && !self.lacks_alias.swap(true, Ordering::Relaxed) {
            let aliases = snapshot.aliases.keys().cloned().collect::<Vec<_>>().join(", ");
            tracing::warn!(
                model = self.name,
                alias = self.context.alias,
                aliases,
                "the model has aliases, but not the one that this engine follows"
            );
        } else if !lacks_alias {
            self.lacks_alias.store(false, Ordering::Relaxed);
        }
    }

    /// Shows, and logs once, why a start may not serve what is served now: it would need the cache.
    fn report_restart(&self, snapshot: &ModelSnapshot) {
        let entry = self.entry();
        let problem = entry.serving.as_ref().and_then(|serving| {
            let version = serving.model.version;
            if self.context.target(snapshot).is_none() {
                return Some(format!("version {version} is served, and nothing is promoted"));
            }
            if !snapshot.versions.contains_key(&version) {
                return Some(format!("version {version} is served, and is no longer in the repository"));
            }
            let changed = self.changed.get(&version);
            changed.map(|reason| format!("the files of version {version} are not what is served: {reason}"))
        });
        if entry.restart_problem == problem {
            return;
        }
        if let Some(problem) = &problem {
            tracing::error!(
                model = self.name,
                problem,
                "a start of the engine may not serve what is served now"
            );
        }
        self.context.registry.change(&self.name, |entry| entry.restart_problem = problem);
    }

    fn retained(&self, snapshot: &ModelSnapshot) -> Vec<u64> {
        retained_versions(&self.entry(), snapshot, self.context.settings.load().loaded_versions)
    }

    /// Shows what was observed, and serves the target if it is loaded. Returns the target.
    fn observe(&self, snapshot: &ModelSnapshot) -> Option<Target> {
        let target = self.context.target(snapshot);
        self.report_alias(snapshot, target.as_ref());
        self.context.registry.change(&self.name, |entry| {
            entry.aliases.clone_from(&snapshot.aliases);
            entry.desired.clone_from(&target);
        });
        if let Some(target) = target.as_ref().filter(|target| self.is_loaded(target, snapshot)) {
            self.activate(target, Duration::ZERO);
        }
        target
    }

    /// Returns whether the files of a version, as they were observed, are loaded. The serving version stays, whatever
    /// becomes of its files.
    fn is_loaded(&self, target: &Target, snapshot: &ModelSnapshot) -> bool {
        let (entry, version) = (self.entry(), target.version);
        let is_serving = entry.serving.as_ref().is_some_and(|serving| serving.model.version == version);
        let is_current = || {
            let (known, stamp) = (self.stamps.get(&version), snapshot.versions.get(&version));
            !self.changed.contains_key(&version) && (known.is_none() || stamp.is_none() || known == stamp)
        };
        is_serving || (entry.version(version).is_some() && is_current())
    }

    /// Serves the version that was served last. Nothing is known of any other version while the store is
    /// down.
    async fn reconcile_cached(&mut self, record: &CacheRecord, desired: &Desired) {
        let target = Target { version: record.version, decided_by: record.decided_by.clone() };
        self.context.registry.change(&self.name, |entry| entry.desired = Some(target.clone()));
        self.ensure_serving(&target, Source::Cache(record), desired).await;
    }

    fn remove(&mut self) {
        if self.entry().serving.is_some() {
            tracing::info!(
                model = self.name,
                "the model was removed from the repository, or models.names leaves it out: it is no longer served"
            );
        }
        self.context.registry.remove(&self.name);
        self.stamps.clear();
        self.cache_records.clear();
        self.changed.clear();
        self.failures.clear();
    }

    /// Makes the target the serving version. A failure leaves the serving version unchanged.
    async fn ensure_serving(&mut self, target: &Target, source: Source<'_>, desired: &Desired) {
        let version = target.version;
        let start = Instant::now();
        let is_loaded = match source {
            Source::Repository(snapshot) => self.is_loaded(target, snapshot),
            Source::Cache(_) => self.entry().version(version).is_some(),
        };
        if !is_loaded {
            if !self.failures.may_retry(version, source.stamp(version)) {
                return self.repeat_failure(version);
            }
            if !self.load(version, source, Wanted { desired, version }).await {
                return;
            }
        }
        // Another may have become the target meanwhile.
        if let Some(target) = self.entry().desired.as_ref().filter(|target| target.version == version) {
            self.activate(target, start.elapsed());
        }
    }

    /// Serves another version while the target cannot be and nothing is served, as after a start: the version
    /// that was served last, if need be from the cache, one that the alias named before, or, where the highest
    /// version is the target, one of those below.
    async fn serve_another(&mut self, target: &Target, snapshot: &ModelSnapshot, desired: &Desired) {
        let wanted = Wanted { desired, version: target.version };
        let last = self.last_known_good().await;
        let last = last.map(|record| Target { version: record.version, decided_by: record.decided_by });
        let before = self.promoted_before(target).await;
        let before = before.into_iter().map(|version| Target { version, ..target.clone() });
        let below = snapshot.versions.range(..target.version).rev().take(MAX_LOWER_VERSIONS);
        let below = below.map(|(version, _)| Target { version: *version, ..target.clone() });
        let is_highest = target.decided_by == DecidedBy::HighestVersion;
        for other in last.into_iter().chain(before).chain(below.filter(|_| is_highest)) {
            let stamp = snapshot.versions.get(&other.version);
            if other.version == target.version
                || stamp.is_none()
                || !self.failures.may_retry(other.version, stamp)
            {
                continue;
            }
            self.serve_instead(&other, Source::Repository(snapshot), wanted).await;
        }
        self.serve_last(Some(snapshot), wanted).await;
    }

    /// Returns the versions that the alias named before the target, the latest first, while nothing is served. An
    /// engine that is new here has served none of them, and others still do.
    async fn promoted_before(&mut self, target: &Target) -> Vec<u64> {
        let DecidedBy::Alias { alias } = &target.decided_by else { return Vec::new() };
        if self.entry().serving.is_some() {
            return Vec::new();
        }
        if let Some((of, versions)) = &self.promoted_before
            && of == target
        {
            return versions.clone();
        }
        let Ok(history) = self.context.repository.history(&self.name, alias).await else {
            return Vec::new();
        };
        let mut versions: Vec<u64> = Vec::new();
        for version in history.iter().rev().filter_map(|entry| entry.version) {
            if version != target.version && !versions.contains(&version) {
                versions.push(version);
            }
        }
        versions.truncate(MAX_LOWER_VERSIONS);
        self.promoted_before = Some((target.clone(), versions.clone()));
        versions
    }

    /// Serves the version that was served last, while nothing is: from the cache, or from a local repository, which
    /// has it as soon.
    async fn serve_last(&mut self, snapshot: Option<&ModelSnapshot>, wanted: Wanted<'_>) {
        let Some(record) = self.last_known_good().await else { return };
        let last = Target { version: record.version, decided_by: record.decided_by.clone() };
        let local = snapshot.filter(|snapshot| {
            let stamp = snapshot.versions.get(&last.version);
            !self.context.repository.is_object_store()
                && last.version != wanted.version
                && stamp.is_some()
                && self.failures.may_retry(last.version, stamp)
        });
        if let Some(snapshot) = local {
            self.serve_instead(&last, Source::Repository(snapshot), wanted).await;
        } else if self.failures.may_try_cached()
            && self.context.fetcher.fetch_cached(&self.name, &record).await.is_ok()
        {
            self.serve_instead(&last, Source::Cache(&record), wanted).await;
        }
    }

    /// Loads and serves a version, unless one is served already.
    async fn serve_instead(&mut self, other: &Target, source: Source<'_>, wanted: Wanted<'_>) {
        if self.entry().serving.is_some() {
            return;
        }
        let (version, start) = (other.version, Instant::now());
        let failure = self.failures.last(wanted.version).cloned();
        if !self.load(version, source, wanted).await || self.entry().serving.is_some() {
            return;
        }
        let from_cache = matches!(source, Source::Cache(_));
        if version == wanted.version && failure.is_none() {
            tracing::info!(model = self.name, version, from_cache, "serving what was served before");
        } else {
            tracing::warn!(
                model = self.name,
                version,
                desired = wanted.version,
                from_cache,
                "the desired version is not served yet: serving what was served before"
            );
        }
        self.activate(other, start.elapsed());
        match failure {
            Some(failure) if version == wanted.version => {
                self.changed.insert(version, failure.reason);
            }
            _ => self.repeat_failure(wanted.version),
        }
    }

    async fn last_known_good(&self) -> Option<CacheRecord> {
        if self.entry().serving.is_some() {
            return None;
        }
        self.context.last_known_good.lock().await.models.get(&self.name).cloned()
    }

    /// Returns whether the process ended while it was opening this version.
    async fn was_opening(&self, version: u64) -> bool {
        let known = self.context.last_known_good.lock().await;
        known.opening.get(&self.name).is_some_and(|record| record.version == version)
    }

    /// Marks a version as being opened, in case the process ends by it.
    ///
    /// # Errors
    /// [`VersionError::Rejected`] if the process has ended by it too often.
    async fn begin_opening(&self, version: u64) -> Result<(), VersionError> {
        let mut known = self.context.last_known_good.lock().await;
        let before = known.opening.get(&self.name).filter(|record| record.version == version);
        let attempts = before.map_or(0, |record| record.attempts) + 1;
        if attempts > MAX_OPENINGS {
            let reason = format!(
                "the engine ended {MAX_OPENINGS} times while it opened this version: publish another one, or \
                 reload the engine to try it again"
            );
            return Err(VersionError::Rejected { step: "open", reason, recovery: Recovery::Never });
        }
        known.opening.insert(self.name.clone(), OpeningRecord { version, attempts });
        self.context.fetcher.save_last_known_good(&self.context.alias, &known).await;
        Ok(())
    }

    /// Marks nothing as being opened.
    async fn end_opening(&self) {
        let mut known = self.context.last_known_good.lock().await;
        if known.opening.remove(&self.name).is_some() {
            self.context.fetcher.save_last_known_good(&self.context.alias, &known).await;
        }
    }

    fn activate(&self, target: &Target, took: Duration) {
        let WatcherContext { registry, metrics, .. } = self.context.as_ref();
        let before = registry.get(&self.name);
        let is_serving = before.as_ref().is_some_and(|before| before.version == target.version);
        if !registry.activate(&self.name, target) || is_serving {
            return;
        }
        let Some(now) = registry.get(&self.name) else { return };
        let replaced = before.filter(|before| before.version != now.version);
        if let Some(before) = &replaced
            && before.description.schema().fingerprint() != now.description.schema().fingerprint()
        {
            tracing::warn!(
                model = self.name,
                from = before.version,
                to = now.version,
                "the new version has a different schema"
            );
        }
        let from = replaced.map(|before| before.version);
        tracing::info!(
            model = self.name,
            version = now.version,
            from,
            decided_by = api_rule(&target.decided_by),
            backend = now.backend.name(),
            ms = took.as_micros() as f64 / 1000.0,
            "serving"
        );
        metrics.swapped(&self.name, SwapOutcome::Swapped, rule(&target.decided_by));
    }

    /// Fetches, verifies and warms up a version, and adds it to the registry. Returns `false` on failure. Meanwhile,
    /// what is observed is shown, and a target that is loaded is served.
    async fn load(&mut self, version: u64, source: Source<'_>, wanted: Wanted<'_>) -> bool {
        let context = Arc::clone(&self.context);
        let stamp = source.stamp(version);
        let set_loading = |loading| context.registry.change(&self.name, |entry| entry.loading = loading);
        set_loading(Some(Loading::now(version)));
        let start = Instant::now();
        let load = Load { version, begun: start };
        let loaded = tokio::select! {
            loaded = in_turn(&context.fetch_permits, self.fetch_and_verify(version, source)) => loaded,
            () = self.superseded(&load, wanted) => Err(VersionError::Superseded),
        };
        set_loading(None);
        match loaded {
            Ok((model, record)) => {
                context.metrics.model_loaded(&self.name, start.elapsed());
                self.failures.forget(version);
                if let Some(stamp) = stamp {
                    self.stamps.insert(version, stamp.clone());
                }
                self.cache_records.insert(version, record);
                self.changed.remove(&version);
                context.registry.insert(model);
                true
            }
            Err(VersionError::Superseded) => {
                self.end_opening().await;
                tracing::info!(
                    model = self.name,
                    version,
                    "loading was cancelled: another version is desired"
                );
                false
            }
            Err(VersionError::Rejected { step, reason, recovery }) => {
                let is_passing = recovery == Recovery::Expected;
                let failure = LoadFailure { is_passing, ..LoadFailure::now(Some(version), step, reason) };
                let is_transient = recovery != Recovery::Never;
                let backoff = is_transient.then(|| context.settings.load().polling.backoff());
                match source {
                    Source::Repository(_) => self.failures.record(version, failure.clone(), stamp, backoff),
                    Source::Cache(_) if is_transient => {}
                    Source::Cache(_) => self.failures.record_cached(),
                }
                self.fail(failure);
                false
            }
        }
    }

    async fn fetch_and_verify(
        &self,
        version: u64,
        source: Source<'_>,
    ) -> Result<(ServingModel, CacheRecord), VersionError> {
        let context = &self.context;
        let fetched = match source {
            Source::Repository(_) => context.fetcher.fetch(&self.name, version).await?,
            Source::Cache(record) => context.fetcher.fetch_cached(&self.name, record).await?,
        };
        let record = CacheRecord::new(Target { version, decided_by: DecidedBy::HighestVersion }, &fetched);
        self.begin_opening(version).await?;
        let verified = verify(context, &self.name, version, fetched).await;
        self.end_opening().await;
        Ok((verified?, record))
    }

    /// Completes once the desired state no longer needs a load, or needs another version first. Until then,
    /// acts on what is observed as far as no load is needed.
    async fn superseded(&self, loading: &Load, Wanted { desired, version }: Wanted<'_>) {
        // A clone of the receiver, so that the task still sees the changes.
        let mut desired = desired.clone();
        loop {
            let state = desired.borrow_and_update().clone();
            let is_obsolete = match &state.observation {
                Observation::Present(snapshot) => {
                    let target = self.observe(snapshot);
                    self.save_last_known_good().await;
                    self.update_metrics();
                    self.publish_generations(snapshot, &state, loading);
                    let is_first = |target: &Target| {
                        let stamp = snapshot.versions.get(&target.version);
                        !self.is_loaded(target, snapshot) && self.failures.may_retry(target.version, stamp)
                    };
                    match target {
                        Some(target) if target.version == version => false,
                        Some(target) if is_first(&target) => true,
                        _ => !snapshot.aliases.values().any(|named| *named == version),
                    }
                }
                Observation::LastKnownGood(record) => record.version != version,
                Observation::Unreadable(_) => false,
                Observation::Gone => true,
            };
            if is_obsolete {
                return;
            }
            let is_long = loading.begun.elapsed() >= LONG_LOAD;
            tokio::select! {
                () = changed(&mut desired) => {}
                () = sleep_until(loading.begun + LONG_LOAD), if !is_long => {}
            }
        }
    }

    /// Publishes the generation of a state that needs nothing but the version that has been loading for long: whoever
    /// waits for it does not wait for that version.
    fn publish_generations(&self, snapshot: &ModelSnapshot, state: &DesiredState, loading: &Load) {
        let entry = self.entry();
        let Some(serving) = entry.serving.as_ref().map(|serving| serving.model.version) else { return };
        let is_long = loading.begun.elapsed() >= LONG_LOAD;
        if self.context.target(snapshot).is_none_or(|target| target.version != serving) {
            if is_long {
                self.generations.send_modify(|generations| generations.reach(state.generation, 0));
            }
            return;
        }
        let has_failed =
            |version| !state.retry && !self.failures.may_retry(version, snapshot.versions.get(&version));
        let others = versions_to_load(&self.entry(), &self.retained(snapshot));
        let needs_no_other =
            others.into_iter().all(|version| version == loading.version || has_failed(version));
        let all = if needs_no_other && is_long { state.generation } else { 0 };
        self.generations.send_modify(|generations| generations.reach(state.generation, all));
    }

    /// Completes once another version should be served than now.
    async fn target_moved(&self, desired: &Desired) {
        let before = self.entry().desired.as_ref().map(|target| target.version);
        let is_moved = |state: &DesiredState| match &state.observation {
            Observation::Present(snapshot) => {
                self.context.target(snapshot).map(|target| target.version) != before
            }
            Observation::LastKnownGood(_) | Observation::Unreadable(_) => false,
            Observation::Gone => true,
        };
        // A clone of the receiver, so that the task still sees the changes.
        let mut desired = desired.clone();
        loop {
            changed(&mut desired).await;
            if is_moved(&desired.borrow_and_update()) {
                return;
            }
        }
    }

    /// Checks loaded versions whose files have changed. Versions are immutable, so a changed one is reported
    /// and the loaded one stays.
    async fn check_changed_files(&mut self, snapshot: &ModelSnapshot, desired: &Desired) {
        let entry = self.entry();
        for version in entry.loaded_versions() {
            let Some(stamp) = snapshot.versions.get(&version) else { continue };
            let Some(known) = self.stamps.get(&version) else {
                self.stamps.insert(version, stamp.clone());
                continue;
            };
            let Some(model) = entry.version(version).filter(|_| known != stamp) else { continue };
            let fetch = async {
                // A changed file may be as large as the one that a load reads.
                let _permit = self.context.load_permits.acquire().await;
                self.context.fetcher.fetch_from_store(&self.name, version).await
            };
            let fetched = tokio::select! {
                fetched = fetch => fetched,
                () = self.target_moved(desired) => return,
            };
            let reason = match fetched {
                Ok(fetched) if fetched.manifest.sha256 == model.sha256 => None,
                Ok(_) => Some("it holds a different model".to_owned()),
                Err(error) if error.is_transient() => continue,
                Err(error) => Some(error.to_string()),
            };
            self.stamps.insert(version, stamp.clone());
            self.changed.remove(&version);
            if let Some(reason) = reason {
                self.changed.insert(version, reason.clone());
                let reason = format!(
                    "the files of version {version} changed after it was loaded ({reason}). Versions are \
                     written once: the loaded one stays until a restart, so publish a new version"
                );
                self.fail(LoadFailure::now(Some(version), "changed", reason));
            }
        }
    }

    fn entry(&self) -> Arc<ModelEntry> {
        self.context.registry.entry(&self.name).unwrap_or_default()
    }

    /// Marks the model as having no version. This is not a failure while none is served.
    fn report_no_version(&self, snapshot: &ModelSnapshot) {
        let reason = if snapshot.versions.is_empty() {
            RepositoryError::NoVersion.to_string()
        } else {
            let WatcherContext { alias, .. } = self.context.as_ref();
            format!(
                "the alias {alias} is not set, and required_alias is: promote a version with `onnward-exporter promote \
                 {} VERSION --alias {alias}`",
                self.name
            )
        };
        let entry = self.entry();
        if entry.serving.is_some() {
            return self.fail_if_new(None, "repository", reason);
        }
        if !entry.is_failing {
            tracing::info!(model = self.name, reason, "the model has no version to serve yet");
            self.context.registry.fail(&self.name, LoadFailure::now(None, "repository", reason));
        }
    }

    /// Records a failure like [`ModelReconciler::fail`], once for a state that every poll finds again.
    fn fail_if_new(&self, version: Option<u64>, step: &'static str, reason: String) {
        let is_known = |failure: &LoadFailure| failure.version == version && failure.reason == reason;
        let entry = self.entry();
        if !(entry.is_failing && entry.last_error.as_ref().is_some_and(is_known)) {
            self.fail(LoadFailure::now(version, step, reason));
        }
    }

    /// Restores the target's recorded failure, because the target may have changed back to a version that
    /// failed earlier.
    fn repeat_failure(&self, version: u64) {
        let Some(failure) = self.failures.last(version) else { return };
        self.context.registry.change(&self.name, |entry| {
            if !entry.is_failing {
                entry.is_failing = true;
                entry.last_error = Some(failure.clone());
            }
        });
    }

    /// Records, counts and logs a failure.
    fn fail(&self, failure: LoadFailure) {
        let WatcherContext { registry, metrics, .. } = self.context.as_ref();
        let serving = registry.get(&self.name).map(|model| model.version);
        let LoadFailure { version, step, reason, .. } = &failure;
        tracing::error!(model = self.name, version, serving, step, reason, "a model version failed to load");
        metrics.swapped(&self.name, SwapOutcome::Failed, step);
        registry.fail(&self.name, failure);
    }

    /// Saves the serving version as last known good, for a start without the store. Every reconciliation ends
    /// here, so the saved version is the serving one, whatever led to it. A model that serves nothing keeps
    /// the version that it served last; one that is gone has none.
    async fn save_last_known_good(&self) {
        let Some(entry) = self.context.registry.entry(&self.name) else {
            return self.change_last_known_good(None).await;
        };
        if let Some(Serving { model, decided_by, .. }) = &entry.serving
            && let Some(record) = self.cache_records.get(&model.version)
        {
            let record = CacheRecord { decided_by: decided_by.clone(), ..record.clone() };
            self.change_last_known_good(Some(record)).await;
        }
    }

    async fn change_last_known_good(&self, record: Option<CacheRecord>) {
        let mut served = self.context.last_known_good.lock().await;
        if served.models.get(&self.name) == record.as_ref() {
            return;
        }
        match record {
            Some(record) => served.models.insert(self.name.clone(), record),
            None => served.models.remove(&self.name),
        };
        self.context.fetcher.save_last_known_good(&self.context.alias, &served).await;
    }

    /// Updates the metrics of the loaded versions.
    fn update_metrics(&self) {
        let WatcherContext { registry, metrics, .. } = self.context.as_ref();
        let entry = self.entry();
        let loaded = |version| {
            let backend = entry.version(version)?.backend.name();
            Some(LoadedVersion { version, role: entry.role(version), backend })
        };
        let versions: Vec<LoadedVersion> = entry.loaded_versions().into_iter().filter_map(loaded).collect();
        metrics.versions(&self.name, &versions);
        metrics.models_serving(registry.serving().len());
    }
}

impl<'a> Source<'a> {
    /// Returns the stamp of a version's files. Those in the cache have none.
    fn stamp(self, version: u64) -> Option<&'a Stamp> {
        match self {
            Self::Repository(snapshot) => snapshot.versions.get(&version),
            Self::Cache(_) => None,
        }
    }
}

/// Waits until the desired state changes.
async fn changed(desired: &mut Desired) {
    if desired.changed().await.is_err() {
        // The watcher has ended, so it cannot change.
        std::future::pending().await
    }
}

/// The version for whose sake a load goes on, as long as it is desired.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    desired: &'a Desired,
    version: u64,
}

/// Returns the name of a decision in the API, which the log uses too.
fn api_rule(decided_by: &DecidedBy) -> &'static str {
    match decided_by {
        DecidedBy::HighestVersion => "highest-version",
        DecidedBy::Pin | DecidedBy::Alias { .. } => rule(decided_by),
    }
}

/// Returns the metric label of a decision.
fn rule(decided_by: &DecidedBy) -> &'static str {
    match decided_by {
        DecidedBy::Pin => "pin",
        DecidedBy::Alias { .. } => "alias",
        DecidedBy::HighestVersion => "highest_version",
    }
}

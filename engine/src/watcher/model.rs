use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use onnward_repository::{
    CacheRecord, DecidedBy, FetchedModel, ModelSnapshot, RepositoryError, Stamp, Subject, Target,
};
use tokio::sync::watch;
use tokio::time::Instant;

use super::background::in_background;
use super::failures::Failures;
use super::{Parts, Seen, plan};
use crate::loader::LoadError;
use crate::metrics::{LoadedVersion, SwapOutcome};
use crate::registry::{Loading, Problem, ServingModel, Slot};

/// What a model is to become.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The number of the look.
    pub number: u64,
    /// Whether what failed for good is to be tried again.
    pub retry: bool,
    /// What was seen.
    pub seen: Seen,
}

/// Brings one model to each wish in turn, and says after each that it has.
pub async fn follow(
    parts: Arc<Parts>,
    name: String,
    mut wishes: watch::Receiver<Wish>,
    done: watch::Sender<u64>,
) {
    let mut follower = Follower {
        parts,
        name,
        failures: Failures::default(),
        stamps: BTreeMap::new(),
        papers: BTreeMap::new(),
    };
    loop {
        let wish = wishes.borrow_and_update().clone();
        let number = wish.number;
        follower.act_upon(wish, &wishes).await;
        done.send_replace(number);
        if wishes.changed().await.is_err() {
            return;
        }
    }
}

struct Follower {
    parts: Arc<Parts>,
    name: String,
    failures: Failures,
    /// The stamps of the loaded versions' files when they were last known to be what is loaded.
    stamps: BTreeMap<u64, Stamp>,
    /// What is to be remembered of the loaded versions, should they serve.
    papers: BTreeMap<u64, CacheRecord>,
}

/// Why a version was not loaded.
pub enum Failure {
    /// The repository or a check refuses it.
    Refused { step: &'static str, reason: String, may_pass: bool },
    /// Something else is wished meanwhile.
    Superseded,
}

type Wishes = watch::Receiver<Wish>;

impl Follower {
    async fn act_upon(&mut self, wish: Wish, wishes: &Wishes) {
        if wish.retry {
            self.failures.forget_all();
        }
        match wish.seen {
            Seen::There(look) => self.bring_to(&look, wishes).await,
            Seen::Unreadable(reason) => {
                // What is to be served is not known, so what is served cannot be it.
                self.parts.registry.change(&self.name, |slot| slot.desired = None);
                self.fail_once(None, "repository", reason);
            }
            Seen::Gone => {
                if self.slot().serving.is_some() {
                    tracing::info!(
                        model = self.name,
                        "the model is gone from the repository and not served any more"
                    );
                }
                self.parts.registry.remove(&self.name);
                self.stamps.clear();
                self.papers.clear();
                self.failures.forget_all();
                self.forget().await;
            }
        }
        self.report();
    }

    async fn bring_to(&mut self, look: &ModelSnapshot, wishes: &Wishes) {
        let parts = Arc::clone(&self.parts);
        let target = look.target(&parts.alias);
        parts.registry.change(&self.name, |slot| {
            slot.aliases.clone_from(&look.aliases);
            slot.desired.clone_from(&target);
        });
        match target {
            Some(target) => self.serve(&target, look, wishes).await,
            None => self.wait_for_a_version(),
        }
        self.check_files(look).await;
        let kept = plan::kept(&self.slot(), look, parts.loaded_versions);
        for version in plan::missing(&self.slot(), &kept) {
            if self.failures.allow(version, look.versions.get(&version)) {
                self.load(version, look, wishes).await;
            }
        }
        let kept = plan::kept(&self.slot(), look, parts.loaded_versions);
        parts.registry.retain(&self.name, &kept.into_iter().collect());
        let slot = self.slot();
        self.stamps.retain(|version, _| slot.version(*version).is_some());
        self.papers.retain(|version, _| slot.version(*version).is_some());
    }

    /// Puts the target into service; whatever fails leaves what is served as it is.
    async fn serve(&mut self, target: &Target, look: &ModelSnapshot, wishes: &Wishes) {
        let version = target.version;
        let start = Instant::now();
        if self.slot().version(version).is_none() {
            if !self.failures.allow(version, look.versions.get(&version)) {
                return self.still_fails(version);
            }
            if !self.load(version, look, wishes).await {
                return;
            }
        }
        self.swap_to(target, start.elapsed()).await;
    }

    async fn swap_to(&self, target: &Target, took: Duration) {
        let Parts { registry, metrics, .. } = self.parts.as_ref();
        let before = registry.get(&self.name);
        let is_served = before.as_ref().is_some_and(|before| before.version == target.version);
        if !registry.serve(&self.name, target) || is_served {
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
                "the new version takes other rows"
            );
        }
        let from = replaced.map(|before| before.version);
        let rule = rule(&target.decided_by);
        tracing::info!(
            model = self.name,
            version = now.version,
            from,
            decided_by = rule,
            backend = now.backend.name(),
            ms = took.as_micros() as f64 / 1000.0,
            "serving"
        );
        metrics.swapped(&self.name, SwapOutcome::Swapped, rule);
        self.remember(self.papers.get(&now.version).cloned(), target).await;
    }

    /// Fetches, proves and warms a version, and has it reached by its number. `false` if it is not loaded.
    async fn load(&mut self, version: u64, look: &ModelSnapshot, wishes: &Wishes) -> bool {
        let parts = Arc::clone(&self.parts);
        let stamp = look.versions.get(&version);
        let set_loading = |loading| parts.registry.change(&self.name, |slot| slot.loading = loading);
        set_loading(Some(Loading::now(version)));
        let start = Instant::now();
        let loaded = self.fetch_and_prove(version, wishes).await;
        set_loading(None);
        match loaded {
            Ok((model, papers)) => {
                parts.metrics.model_loaded(&self.name, start.elapsed());
                self.failures.forget(version);
                if let Some(stamp) = stamp {
                    self.stamps.insert(version, stamp.clone());
                }
                self.papers.insert(version, papers);
                parts.registry.insert(model);
                true
            }
            Err(Failure::Superseded) => {
                tracing::info!(model = self.name, version, "loading was given up: another version is wished");
                false
            }
            Err(Failure::Refused { step, reason, may_pass }) => {
                let problem = Problem::now(Some(version), step, reason.clone());
                self.failures.add(version, problem, stamp, may_pass, parts.config);
                self.fail(Some(version), step, reason);
                false
            }
        }
    }

    async fn fetch_and_prove(
        &self,
        version: u64,
        wishes: &Wishes,
    ) -> Result<(ServingModel, CacheRecord), Failure> {
        let parts = &self.parts;
        let fetched = tokio::select! {
            fetched = parts.fetcher.fetch(&self.name, version) => fetched.map_err(|error| Failure::of_repository(&error))?,
            () = superseded(wishes, version, &parts.alias) => return Err(Failure::Superseded),
        };
        let papers = CacheRecord::new(Target { version, decided_by: DecidedBy::HighestVersion }, &fetched);
        Ok((prove(parts, &self.name, version, fetched).await?, papers))
    }

    /// Versions are written once. One whose files changed while it was loaded is looked at again, and told of if it is
    /// not what is loaded any more.
    async fn check_files(&mut self, look: &ModelSnapshot) {
        let slot = self.slot();
        for version in slot.loaded() {
            let Some(stamp) = look.versions.get(&version) else { continue };
            let Some(known) = self.stamps.get(&version) else {
                self.stamps.insert(version, stamp.clone());
                continue;
            };
            let Some(model) = slot.version(version).filter(|_| known != stamp) else { continue };
            // A changed file may be as large as the one that a load reads.
            let Ok(_permit) = self.parts.openings.acquire().await else { return };
            let reason = match self.parts.fetcher.fetch_from_store(&self.name, version).await {
                Ok(fetched) if fetched.manifest.sha256 == model.sha256 => None,
                Ok(_) => Some("it is another model now".to_owned()),
                Err(error) if error.is_transient() => continue,
                Err(error) => Some(error.to_string()),
            };
            self.stamps.insert(version, stamp.clone());
            if let Some(reason) = reason {
                let reason = format!(
                    "the files of version {version} changed after it was loaded ({reason}): versions are written once, so \
                     what was loaded stays, and a restart would find the change; publish a new version"
                );
                self.fail(Some(version), "changed", reason);
            }
        }
    }

    fn slot(&self) -> Arc<Slot> {
        self.parts.registry.slot(&self.name).unwrap_or_default()
    }

    /// Nothing of the model is published yet, or nothing is left: no failure while nothing serves.
    fn wait_for_a_version(&self) {
        let reason = RepositoryError::NoVersion.to_string();
        let slot = self.slot();
        if slot.serving.is_some() {
            return self.fail_once(None, "repository", reason);
        }
        if !slot.is_failing {
            tracing::info!(model = self.name, reason, "the model has nothing to serve yet");
            self.parts.registry.fail(&self.name, Problem::now(None, "repository", reason));
        }
    }

    /// As [`Follower::fail`], but for a state that every look finds again.
    fn fail_once(&self, version: Option<u64>, step: &'static str, reason: String) {
        let is_known = |problem: &Problem| problem.version == version && problem.reason == reason;
        let slot = self.slot();
        if !(slot.is_failing && slot.last_error.as_ref().is_some_and(is_known)) {
            self.fail(version, step, reason);
        }
    }

    /// Says again what is wrong with the target, which may have been given up and come back since it failed.
    fn still_fails(&self, version: u64) {
        let Some(problem) = self.failures.problem(version) else { return };
        self.parts.registry.change(&self.name, |slot| {
            if !slot.is_failing {
                slot.is_failing = true;
                slot.last_error = Some(problem.clone());
            }
        });
    }

    /// Notes, counts and logs a failure.
    fn fail(&self, version: Option<u64>, step: &'static str, reason: String) {
        let Parts { registry, metrics, .. } = self.parts.as_ref();
        let serving = registry.get(&self.name).map(|model| model.version);
        tracing::error!(model = self.name, version, serving, step, reason, "a model's version is not served");
        metrics.swapped(&self.name, SwapOutcome::Failed, step);
        registry.fail(&self.name, Problem::now(version, step, reason));
    }

    /// Remembers what serves, for a start without the store.
    async fn remember(&self, papers: Option<CacheRecord>, target: &Target) {
        let Some(papers) = papers else { return };
        let decided_by = target.decided_by.clone();
        let mut remembered = self.parts.remembered.lock().await;
        remembered.models.insert(self.name.clone(), CacheRecord { decided_by, ..papers });
        self.parts.fetcher.save_last_known_good(&self.parts.alias, &remembered).await;
    }

    async fn forget(&self) {
        let mut remembered = self.parts.remembered.lock().await;
        if remembered.models.remove(&self.name).is_some() {
            self.parts.fetcher.save_last_known_good(&self.parts.alias, &remembered).await;
        }
    }

    /// Tells the metrics which versions are loaded.
    fn report(&self) {
        let Parts { registry, metrics, .. } = self.parts.as_ref();
        let slot = self.slot();
        let loaded = |version| {
            let backend = slot.version(version)?.backend.name();
            Some(LoadedVersion { version, role: slot.role(version), backend })
        };
        let versions: Vec<LoadedVersion> = slot.loaded().into_iter().filter_map(loaded).collect();
        metrics.versions(&self.name, &versions);
        metrics.models_serving(registry.serving().len());
    }
}

/// Opens and proves what was fetched.
pub async fn prove(
    parts: &Arc<Parts>,
    name: &str,
    version: u64,
    fetched: FetchedModel,
) -> Result<ServingModel, Failure> {
    let Ok(_permit) = parts.openings.acquire().await else { return Err(Failure::Superseded) };
    if !parts.keys.is_empty() {
        let FetchedModel { manifest_text, config, signatures, .. } = &fetched;
        let subject = Subject { model: name, version, manifest_text, config: config.as_deref() };
        let verified = parts.keys.verify(&subject, signatures);
        verified.map_err(|error| Failure::Refused {
            step: "signature",
            reason: error.to_string(),
            may_pass: false,
        })?;
    }
    let manifest = fetched.manifest.clone();
    let (loader, model) = (parts.loader.clone(), name.to_owned());
    let proven = in_background(move || loader.prove_file(&model, &fetched)).await;
    match proven.map_err(LoadError::from) {
        Ok(Some(Ok(proven))) => parts.loader.start(name, version, &manifest, proven),
        Ok(Some(Err(error))) | Err(error) => Err(error),
        Ok(None) => Err(LoadError::Panicked),
    }
    .map_err(|error| Failure::of_load(&error))
}

/// Completes once what is wished has no use for this version.
async fn superseded(wishes: &Wishes, version: u64, alias: &str) {
    let is_of_no_use = |wish: &Wish| match &wish.seen {
        Seen::There(look) => {
            let is_target = look.target(alias).is_some_and(|target| target.version == version);
            !is_target && !look.aliases.values().any(|named| *named == version)
        }
        Seen::Unreadable(_) => false,
        Seen::Gone => true,
    };
    // A receiver of its own: what it has seen, the task has not.
    if wishes.clone().wait_for(is_of_no_use).await.is_err() {
        // The watcher has ended, and nothing else will be wished.
        std::future::pending::<()>().await;
    }
}

impl Failure {
    pub fn of_repository(error: &RepositoryError) -> Self {
        let step = if matches!(error, RepositoryError::Mismatch { .. }) { "digest" } else { "fetch" };
        Self::Refused { step, reason: error.to_string(), may_pass: error.is_transient() }
    }

    fn of_load(error: &LoadError) -> Self {
        Self::Refused { step: error.step().name(), reason: error.to_string(), may_pass: error.may_pass() }
    }
}

/// What decided, as the label of a metric.
fn rule(decided_by: &DecidedBy) -> &'static str {
    match decided_by {
        DecidedBy::Pin => "pin",
        DecidedBy::Alias { .. } => "alias",
        DecidedBy::HighestVersion => "highest_version",
    }
}

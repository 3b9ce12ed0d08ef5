use std::collections::BTreeMap;
use std::sync::Arc;

use onnward_quality::time::{millis_now, rfc3339};
use onnward_repository::{DecidedBy, Target};
use onnward_telemetry::metrics::{ModelState, QueueState, Role};
use serde::Serialize;

use super::ServingModel;

/// The state of one model: its desired, loading, serving and other loaded versions.
#[derive(Debug, Clone, Default)]
pub struct ModelEntry {
    /// The desired version, and why it is desired.
    pub desired: Option<Target>,
    /// The version that is being fetched, verified or warmed up.
    pub loading: Option<Loading>,
    /// The serving version.
    pub serving: Option<Serving>,
    /// The version that was served before and stays loaded.
    pub previous: Option<u64>,
    /// Every loaded version but the serving one.
    pub loaded: BTreeMap<u64, Arc<ServingModel>>,
    /// The version that each alias names.
    pub aliases: BTreeMap<String, u64>,
    /// The last failure.
    pub last_error: Option<LoadFailure>,
    /// Whether the desired version is not served because of the last failure.
    pub is_failing: bool,
    /// The reason why a start of the engine would not serve what is served now.
    pub restart_problem: Option<String>,
}

/// A version that is being loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loading {
    /// The version.
    pub version: u64,
    /// The time at which this began, in RFC 3339 and UTC.
    pub since: String,
    /// Whether it is being tested in a process of its own.
    #[serde(skip)]
    pub is_isolated: bool,
}

/// The serving version of a model.
#[derive(Debug, Clone)]
pub struct Serving {
    /// The version itself.
    pub model: Arc<ServingModel>,
    /// The rule that chose it.
    pub decided_by: DecidedBy,
    /// The time at which this began, in RFC 3339 and UTC.
    pub since: String,
}

/// A failed load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoadFailure {
    /// The version, if the failure concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The step that failed, as the metric's label.
    pub step: &'static str,
    /// The reason, as one sentence.
    pub reason: String,
    /// The time of the failure, in RFC 3339 and UTC.
    pub time: String,
    /// Whether it passes by itself, so that a start waits for it.
    #[serde(skip)]
    pub is_passing: bool,
}

/// A model whose desired version is not served, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedModel {
    /// The model's name.
    pub name: String,
    /// The failure.
    #[serde(flatten)]
    pub failure: LoadFailure,
    /// The version that is served instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<u64>,
}

/// The result of the last poll of the model repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepositoryState {
    /// The repository's location.
    pub location: String,
    /// Whether the last poll succeeded. Absent before the first has ended.
    pub reachable: Option<bool>,
    /// The time of the last successful poll, in RFC 3339 and UTC.
    pub last_success: Option<String>,
    /// The reason why the last poll failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether the served versions came from the local cache, because the store has not been reached since
    /// the start.
    pub from_cache: bool,
}

impl ModelEntry {
    /// Returns the loaded version with this number.
    pub fn version(&self, version: u64) -> Option<&Arc<ServingModel>> {
        let serving = self.serving.as_ref().map(|serving| &serving.model);
        serving.filter(|model| model.version == version).or_else(|| self.loaded.get(&version))
    }

    /// Returns the numbers of the loaded versions, ascending.
    pub fn loaded_versions(&self) -> Vec<u64> {
        let serving = self.serving.as_ref().map(|serving| serving.model.version);
        let mut versions: Vec<u64> = self.loaded.keys().copied().chain(serving).collect();
        versions.sort_unstable();
        versions
    }

    /// Returns whether a version is being tested in a process of its own.
    pub fn is_isolated(&self) -> bool {
        self.loading.as_ref().is_some_and(|loading| loading.is_isolated)
    }

    /// Returns the role of a loaded version.
    pub fn role(&self, version: u64) -> Role {
        if self.serving.as_ref().is_some_and(|serving| serving.model.version == version) {
            Role::Serving
        } else if self.previous == Some(version) {
            Role::Previous
        } else {
            Role::Loaded
        }
    }

    /// Returns the model's state for the metrics.
    pub(super) fn state(&self, name: &str) -> ModelState {
        let serving = self.serving.as_ref().map(|serving| &serving.model);
        let loaded = || serving.into_iter().chain(self.loaded.values());
        let evaluation = |model: &Arc<ServingModel>| {
            Some((model.version, model.description.metadata()?.evaluation.test.clone()))
        };
        ModelState {
            name: name.to_owned(),
            desired: self.desired.as_ref().map(|target| target.version),
            is_failing: self.is_failing,
            is_restart_at_risk: self.restart_problem.is_some(),
            serving: serving.map(|model| model.version),
            queue: loaded().map(|model| model.batcher.queue_state()).reduce(QueueState::join),
            evaluations: loaded().filter_map(evaluation).collect(),
            estimates: loaded()
                .filter_map(|model| Some((model.version, model.monitor.estimate()?)))
                .collect(),
        }
    }

    pub(super) fn activate(&mut self, target: &Target) -> bool {
        self.is_failing = false;
        let decided_by = target.decided_by.clone();
        if let Some(serving) = self.serving.as_mut().filter(|serving| serving.model.version == target.version)
        {
            serving.decided_by = decided_by;
            return true;
        }
        let Some(model) = self.loaded.remove(&target.version) else { return false };
        let previous = self.serving.replace(Serving { model, decided_by, since: now() });
        if let Some(previous) = previous {
            self.previous = Some(previous.model.version);
            self.loaded.insert(previous.model.version, previous.model);
        }
        true
    }

    pub(super) fn fail(&mut self, failure: LoadFailure) {
        let serving = self.serving.as_ref().map(|serving| serving.model.version);
        let desired = self.desired.as_ref().map(|target| target.version);
        let concerns_desired = failure.version.is_none() || desired.is_none() || failure.version == desired;
        self.is_failing |= concerns_desired && (desired.is_none() || desired != serving);
        self.last_error = Some(failure);
    }

    pub(super) fn failure(&self, name: &str) -> Option<FailedModel> {
        let failure = self.last_error.clone().filter(|_| self.is_failing)?;
        let serving = self.serving.as_ref().map(|serving| serving.model.version);
        Some(FailedModel { name: name.to_owned(), failure, serving })
    }
}

impl Loading {
    /// Creates the state of a version that starts loading now.
    pub fn now(version: u64) -> Self {
        Self { version, since: now(), is_isolated: false }
    }
}

impl LoadFailure {
    /// Creates a failure with the current time. It lasts.
    pub fn now(version: Option<u64>, step: &'static str, reason: String) -> Self {
        Self { version, step, reason, time: now(), is_passing: false }
    }
}

/// Returns the current time in RFC 3339 and UTC.
pub fn now() -> String {
    rfc3339(millis_now())
}

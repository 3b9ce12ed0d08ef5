use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{SecondsFormat, Utc};
use onnward_repository::{DecidedBy, Target};
use onnward_telemetry::metrics::{ModelState, QueueState, Role};
use serde::Serialize;

use super::ServingModel;

/// What is known of one model.
#[derive(Debug, Clone, Default)]
pub struct Slot {
    /// The version that is to be served, and why.
    pub desired: Option<Target>,
    /// The version that is being fetched, checked or warmed.
    pub loading: Option<Loading>,
    /// The version that is served.
    pub serving: Option<Serving>,
    /// The version that was served before and stays warm.
    pub previous: Option<u64>,
    /// Every loaded version but the one that is served.
    pub others: BTreeMap<u64, Arc<ServingModel>>,
    /// The version that each alias names.
    pub aliases: BTreeMap<String, u64>,
    /// What went wrong last.
    pub last_error: Option<Problem>,
    /// Whether the last error still keeps what is desired from being served.
    pub is_failing: bool,
}

/// A version on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loading {
    /// The version.
    pub version: u64,
    /// Since when, in RFC 3339 and UTC.
    pub since: String,
}

/// A version that is served.
#[derive(Debug, Clone)]
pub struct Serving {
    /// The version itself.
    pub model: Arc<ServingModel>,
    /// What decided that it is this one.
    pub decided_by: DecidedBy,
    /// Since when, in RFC 3339 and UTC.
    pub since: String,
}

/// What went wrong with a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The version that was tried, where it came as far as having one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The step that failed: the label of the metric.
    pub step: &'static str,
    /// What happened, as one sentence.
    pub reason: String,
    /// When, in RFC 3339 and UTC.
    pub time: String,
}

/// A model of which the desired version is not served, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedModel {
    /// The model's name.
    pub name: String,
    /// What went wrong.
    #[serde(flatten)]
    pub problem: Problem,
    /// The version that answers instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<u64>,
}

/// How the last look at the model repository went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RepositoryState {
    /// Where it is.
    pub location: String,
    /// Whether the last look succeeded; absent before the first has ended.
    pub reachable: Option<bool>,
    /// When a look succeeded last, in RFC 3339 and UTC.
    pub last_success: Option<String>,
    /// Why the last look failed, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether what is served was chosen from the local cache, because the store has not been reached since the start.
    pub from_cache: bool,
}

impl Slot {
    /// The loaded version of this number.
    pub fn version(&self, version: u64) -> Option<&Arc<ServingModel>> {
        let serving = self.serving.as_ref().map(|serving| &serving.model);
        serving.filter(|model| model.version == version).or_else(|| self.others.get(&version))
    }

    /// The numbers of the loaded versions, ascending.
    pub fn loaded(&self) -> Vec<u64> {
        let serving = self.serving.as_ref().map(|serving| serving.model.version);
        let mut versions: Vec<u64> = self.others.keys().copied().chain(serving).collect();
        versions.sort_unstable();
        versions
    }

    /// What a loaded version is there for.
    pub fn role(&self, version: u64) -> Role {
        if self.serving.as_ref().is_some_and(|serving| serving.model.version == version) {
            Role::Serving
        } else if self.previous == Some(version) {
            Role::Previous
        } else {
            Role::Loaded
        }
    }

    /// How the model stands, for the metrics.
    pub(super) fn state(&self, name: &str) -> ModelState {
        let serving = self.serving.as_ref().map(|serving| &serving.model);
        let loaded = || serving.into_iter().chain(self.others.values());
        let evaluation =
            |model: &Arc<ServingModel>| Some((model.version, model.description.metadata()?.evaluation.test));
        ModelState {
            name: name.to_owned(),
            desired: self.desired.as_ref().map(|target| target.version),
            serving: serving.map(|model| model.version),
            queue: loaded().map(|model| model.batcher.queue_state()).reduce(QueueState::join),
            evaluations: loaded().filter_map(evaluation).collect(),
            estimates: loaded()
                .filter_map(|model| Some((model.version, model.monitor.estimate()?)))
                .collect(),
        }
    }

    pub(super) fn serve(&mut self, target: &Target) -> bool {
        self.is_failing = false;
        let decided_by = target.decided_by.clone();
        if let Some(serving) = self.serving.as_mut().filter(|serving| serving.model.version == target.version)
        {
            serving.decided_by = decided_by;
            return true;
        }
        let Some(model) = self.others.remove(&target.version) else { return false };
        let before = self.serving.replace(Serving { model, decided_by, since: now() });
        if let Some(before) = before {
            self.previous = Some(before.model.version);
            self.others.insert(before.model.version, before.model);
        }
        true
    }

    pub(super) fn fail(&mut self, problem: Problem) {
        let serving = self.serving.as_ref().map(|serving| serving.model.version);
        let desired = self.desired.as_ref().map(|target| target.version);
        let concerns_desired = problem.version.is_none() || desired.is_none() || problem.version == desired;
        self.is_failing |= concerns_desired && (desired.is_none() || desired != serving);
        self.last_error = Some(problem);
    }

    pub(super) fn failure(&self, name: &str) -> Option<FailedModel> {
        let problem = self.last_error.clone().filter(|_| self.is_failing)?;
        let serving = self.serving.as_ref().map(|serving| serving.model.version);
        Some(FailedModel { name: name.to_owned(), problem, serving })
    }
}

impl Loading {
    /// A version that begins to load now.
    pub fn now(version: u64) -> Self {
        Self { version, since: now() }
    }
}

impl Problem {
    /// A problem that shows now.
    pub fn now(version: Option<u64>, step: &'static str, reason: String) -> Self {
        Self { version, step, reason, time: now() }
    }
}

/// The time in RFC 3339 and UTC.
pub fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

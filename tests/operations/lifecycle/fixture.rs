//! A model repository on a real S3 server, and engines that reach it through a proxy that can fail.

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use onnward_repository::{Move, Pointer, Repository, RepositoryError};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::artifacts::{self, probability, request};
use crate::support::fault_proxy::FaultProxy;
use crate::support::programs::Engine;
use crate::support::seaweedfs::SeaweedFs;
use crate::support::wait::eventually;

/// A repository, its proxy and the cache of its engines.
pub struct Fixture {
    /// The proxy between engines and the repository.
    pub proxy: FaultProxy,
    /// The folder of the engines' cache.
    pub cache: TempDir,
    repository: Repository,
    location: String,
    environment: Vec<(String, String)>,
    runtime: Runtime,
}

impl Fixture {
    /// Creates an empty repository under a prefix of the server's bucket.
    pub fn new(server: &SeaweedFs, prefix: &str) -> Self {
        let proxy = FaultProxy::start(server.address());
        let cache = TempDir::new().unwrap();
        let mut environment = SeaweedFs::environment_through(&proxy.url());
        let settings = [
            ("ONNWARD_WATCH__INTERVAL_MS", "100"),
            ("ONNWARD_WATCH__MAX_BACKOFF_MS", "300"),
            ("ONNWARD_STORE__TIMEOUT_MS", "2000"),
            ("ONNWARD_CACHE__FOLDER", cache.path().to_str().unwrap()),
        ];
        environment.extend(settings.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Self {
            proxy,
            cache,
            repository: Repository::open(&server.config(prefix)).unwrap(),
            location: SeaweedFs::location(prefix),
            environment,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
        }
    }

    /// Starts an engine and waits until it listens.
    pub fn engine(&self, arguments: &[&str]) -> Engine {
        self.engine_with(&[], arguments)
    }

    /// Starts an engine like [`Fixture::engine`], with more environment variables.
    pub fn engine_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Engine {
        let more = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Vec<_> = self.environment.iter().cloned().chain(more).collect();
        Engine::start_in(&environment, &self.location, arguments)
    }

    /// Publishes a correct next version of a model, with the probabilities of its number.
    pub fn publish(&self, model: &str) -> u64 {
        let planned = self.runtime.block_on(self.repository.plan_publish(model, &[], None)).unwrap();
        self.publish_bytes(model, artifacts::version(model, planned.version))
    }

    /// Publishes these bytes as the next version of a model.
    pub fn publish_bytes(&self, model: &str, bytes: Vec<u8>) -> u64 {
        self.runtime.block_on(self.repository.publish(model, bytes, None)).unwrap().version
    }

    /// Moves the alias that engines follow.
    pub fn promote(&self, model: &str, version: u64) -> Result<(), RepositoryError> {
        let champion = Pointer::Alias("champion".to_owned());
        self.runtime.block_on(async {
            let change = self.repository.plan_move(model, &champion, Move::To(version)).await?;
            self.repository.apply_move(&change).await
        })
    }

    /// Returns the version of an alias.
    pub fn named(&self, model: &str, alias: &str) -> Option<u64> {
        let status = self.runtime.block_on(self.repository.status(model)).unwrap();
        status.aliases.into_iter().find(|found| found.alias == alias).map(|found| found.version)
    }

    /// Returns the highest version of a model.
    pub fn newest(&self, model: &str) -> u64 {
        self.runtime.block_on(self.repository.status(model)).unwrap().versions[0].version
    }

    /// Writes or overwrites a file.
    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let bytes: Vec<u8> = bytes.into();
        self.runtime.block_on(self.store().put(&Path::from(path), bytes.into())).unwrap();
    }

    /// Deletes a file.
    pub fn delete(&self, path: &str) {
        self.runtime.block_on(self.store().delete(&Path::from(path))).unwrap();
    }

    fn store(&self) -> &dyn ObjectStore {
        self.repository.store().as_ref()
    }
}

/// Has an engine poll the repository, and waits until it has acted on the result.
#[track_caller]
pub fn looks(engine: &Engine) {
    eventually("the engine looks at the repository", || match engine.post("/admin/reload", "") {
        (200, _) => Ok(()),
        (_, answer) => Err(answer.to_string()),
    });
}

/// Returns the status of a model, without the model's own description.
pub fn status(engine: &Engine, model: &str) -> Value {
    let (_, body) = engine.get(&format!("/models/{model}"));
    let mut status: Value = serde_json::from_str(&body).unwrap();
    for about in ["evaluation", "schema", "parameters", "provenance"] {
        status.as_object_mut().unwrap().remove(about);
    }
    status
}

/// Waits until a model's status meets a condition.
#[track_caller]
pub fn status_where(engine: &Engine, model: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("{model} {what}"), || {
        let status = status(engine, model);
        if holds(&status) { Ok(status) } else { Err(status.to_string()) }
    })
}

/// Waits until the result of the engine's last poll meets a condition.
#[track_caller]
pub fn repository_where(engine: &Engine, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("the repository {what}"), || {
        let repository = engine.get_json("/models")["repository"].clone();
        if holds(&repository) { Ok(repository) } else { Err(repository.to_string()) }
    })
}

/// Waits until a model's desired version is this one and is served, and checks that its answers are that
/// version's.
#[track_caller]
pub fn serves(engine: &Engine, model: &str, version: u64) {
    status_where(engine, model, &format!("is served in version {version}"), |status| {
        let versions = [&status["serving"]["version"], &status["desired"]["version"]];
        versions.iter().all(|found| **found == version) && status["failing"] == false
    });
    answers(engine, model, version);
}

/// Checks that a model answers now, with the probability of this version.
#[track_caller]
pub fn answers(engine: &Engine, model: &str, version: u64) {
    let (status, answer) = engine.post(&format!("/models/{model}/predict"), &request());
    assert_eq!((status, &answer["version"]), (200, &version.into()), "{answer}");
    let got = answer["probability"].as_f64().unwrap();
    assert!(
        (got - probability(version)).abs() < 1e-6,
        "{got} is not version {version}'s {}",
        probability(version)
    );
}

/// Waits until the status reports that a desired version failed at this step, with these words. The version
/// that is served instead still answers.
#[track_caller]
pub fn refuses(engine: &Engine, model: &str, version: u64, [step, words]: [&str; 2], serving: u64) {
    let status =
        status_where(engine, model, &format!("refuses version {version}: {step}, {words}"), |status| {
            let error = &status["last_error"];
            let is_named = error["version"] == version && error["step"] == step;
            is_named && status["failing"] == true && status["desired"]["version"] == version
        });
    let error = &status["last_error"];
    assert!(error["reason"].as_str().unwrap().contains(words), "{status}");
    assert!(error["time"].as_str().unwrap().ends_with('Z'), "{status}");
    answers(engine, model, serving);
    let failed = engine.get_json("/models")["failed"].clone();
    let is_listed = |failed: &Value| failed["name"] == model && failed["serving"] == serving;
    assert!(failed.as_array().unwrap().iter().any(is_listed), "{failed}");
}

/// Waits until a model is unknown.
#[track_caller]
pub fn is_gone(engine: &Engine, model: &str) {
    eventually("the model is gone", || match engine.get(&format!("/models/{model}")) {
        (404, _) => Ok(()),
        (_, body) => Err(body),
    });
}

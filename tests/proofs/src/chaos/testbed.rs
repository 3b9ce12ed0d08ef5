//! Shared parts of the scenarios: models, repositories, engines and load.

use std::path::{Path, PathBuf};
use std::time::Duration;

use onnward_models::Family;
use onnward_repository::RepositoryConfig;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::ChaosSettings;
use onnward_harness::HarnessError;
use onnward_harness::client::Client;
use onnward_harness::engine::{EngineCommand, EngineProcess};
use onnward_harness::generator::{CheckedLoad, CheckedPlan};
use onnward_harness::publisher::Publisher;
use onnward_harness::seaweedfs::SeaweedFs;
use onnward_harness::versions::TwoVersions;

pub const MODEL: &str = "disturbed";

/// Settings, models and random delays of all scenarios.
pub struct Testbed {
    pub settings: ChaosSettings,
    pub models: TwoVersions,
    random: ChaCha8Rng,
}

/// A model repository with two versions, of which the first is promoted, and a folder for everything else.
pub struct Fixture {
    folder: TempDir,
    location: String,
    pub publisher: Publisher,
    pub versions: [u64; 2],
    /// Environment variables with which programs reach the repository.
    pub environment: Vec<(String, String)>,
}

/// Returns an environment variable.
pub fn variable(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

impl Testbed {
    pub fn new(settings: ChaosSettings) -> Result<Self, HarnessError> {
        let models = TwoVersions::train(&settings.schema, Family::Logistic)?;
        let random = ChaCha8Rng::seed_from_u64(settings.seed);
        Ok(Self { settings, models, random })
    }

    /// Returns a random delay between two bounds.
    pub fn random_delay(&mut self, least: Duration, most: Duration) -> Duration {
        least + (most - least).mul_f64(self.random.random())
    }

    /// Creates a repository in a temporary folder.
    pub fn folder(&self) -> Result<Fixture, HarnessError> {
        let folder = temporary()?;
        let location = folder.path().join("repository").display().to_string();
        let config = RepositoryConfig { location: location.clone(), ..RepositoryConfig::default() };
        self.fixture(folder, location, &config, Vec::new())
    }

    /// Creates a repository in a store. Engines have their cache in a folder.
    pub fn store(&self, store: &SeaweedFs, prefix: &str) -> Result<Fixture, HarnessError> {
        let folder = temporary()?;
        let mut environment = store.environment();
        environment
            .push(variable("ONNWARD_CACHE__FOLDER", folder.path().join("cache").display().to_string()));
        self.fixture(folder, SeaweedFs::location(prefix), &store.config(prefix), environment)
    }

    fn fixture(
        &self,
        folder: TempDir,
        location: String,
        config: &RepositoryConfig,
        environment: Vec<(String, String)>,
    ) -> Result<Fixture, HarnessError> {
        let publisher = Publisher::open(config, MODEL)?;
        let versions = publisher.publish_both(&self.models)?;
        Ok(Fixture { folder, location, publisher, versions, environment })
    }

    /// Returns the command that starts an engine on a repository, with more environment variables.
    pub fn command(&self, fixture: &Fixture, more: &[(String, String)]) -> EngineCommand {
        // The scenarios wait for promotions: these intervals are shorter than the defaults.
        let watch = [("INTERVAL_MS", "500"), ("MAX_BACKOFF_MS", "2000")];
        let watch = watch.map(|(name, value)| variable(&format!("ONNWARD_WATCH__{name}"), value));
        EngineCommand::new(&self.settings.engine, &fixture.location)
            .with_environment([&fixture.environment[..], &watch, more].concat())
    }

    /// Starts to request predictions at the configured rate.
    pub fn load(
        &self,
        engine: &EngineProcess,
        fixture: &Fixture,
        key: Option<String>,
    ) -> Result<CheckedLoad, HarnessError> {
        CheckedLoad::start(CheckedPlan {
            address: engine.address()?,
            path: format!("/models/{MODEL}/predict"),
            rate: self.settings.rate,
            requests: self.models.requests.clone(),
            versions: fixture.versions,
            key,
        })
    }

    /// Returns the body of a request with this many rows.
    pub fn batch(&self, rows: usize) -> Vec<u8> {
        let rows: Vec<&[u8]> =
            self.models.requests.iter().map(|one| &one.body[..]).cycle().take(rows).collect();
        [b"[", rows.join(&b","[..]).as_slice(), b"]"].concat()
    }
}

impl Fixture {
    /// Returns the repository's URL.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Returns a path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts an engine and waits until it serves the first version.
    pub fn start(&self, command: &EngineCommand) -> Result<EngineProcess, HarnessError> {
        let mut engine = command.start()?;
        engine.wait_until_serving(MODEL, self.versions[0])?;
        Ok(engine)
    }
}

pub fn temporary() -> Result<TempDir, HarnessError> {
    TempDir::new().map_err(HarnessError::system("make a temporary folder"))
}

/// Starts SeaweedFS; returns `None` if its program is missing.
pub fn seaweedfs(program: &Path) -> Result<Option<SeaweedFs>, HarnessError> {
    if program.is_file() { SeaweedFs::start(program).map(Some) } else { Ok(None) }
}

/// The reason for which scenarios that need a store are left out.
pub const WITHOUT_STORE: &str = "SeaweedFS is missing: tests/fetch-seaweedfs.sh downloads it";

/// Returns a client of an engine.
pub fn client(engine: &EngineProcess) -> Client {
    Client::new(engine.url())
}

//! What the scenarios share: models, places, engines, and those who go on asking.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper::Uri;
use onnward_models::Family;
use onnward_repository::RepositoryConfig;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use super::ChaosSettings;
use onnward_harness::client::Client;
use onnward_harness::engine::{EngineCommand, EngineProcess};
use onnward_harness::HarnessError;
use onnward_harness::load::{Load, LoadPlan};
use onnward_harness::publisher::Publisher;
use onnward_harness::seaweedfs::SeaweedFs;
use onnward_harness::versions::TwoVersions;

pub const MODEL: &str = "beset";
/// How long something may take to come about that nobody waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// What the scenarios share.
pub struct Testbed {
    pub settings: ChaosSettings,
    pub models: TwoVersions,
    random: ChaCha8Rng,
}

/// A model repository with two versions, of which the first is promoted, and a folder beside it.
pub struct Place {
    folder: TempDir,
    location: String,
    pub publisher: Publisher,
    pub versions: [u64; 2],
    /// Variables with which programs reach it.
    pub environment: Vec<(String, String)>,
}

/// A variable of a program.
pub fn variable(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

impl Testbed {
    pub fn new(settings: ChaosSettings) -> Result<Self, HarnessError> {
        let models = TwoVersions::train(&settings.schema, Family::Logistic)?;
        let random = ChaCha8Rng::seed_from_u64(settings.seed);
        Ok(Self { settings, models, random })
    }

    /// A moment between the two.
    pub fn random_delay(&mut self, least: Duration, most: Duration) -> Duration {
        least + (most - least).mul_f64(self.random.random())
    }

    /// A repository in a temporary folder.
    pub fn folder(&self) -> Result<Place, HarnessError> {
        let folder = temporary()?;
        let location = folder.path().join("repository").display().to_string();
        let config = RepositoryConfig { location: location.clone(), ..RepositoryConfig::default() };
        self.place(folder, location, &config, Vec::new())
    }

    /// A repository in a store; engines have their cache in a folder.
    pub fn store(&self, store: &SeaweedFs, prefix: &str) -> Result<Place, HarnessError> {
        let folder = temporary()?;
        let mut environment = store.environment();
        environment
            .push(variable("ONNWARD_CACHE__FOLDER", folder.path().join("cache").display().to_string()));
        self.place(folder, SeaweedFs::location(prefix), &store.config(prefix), environment)
    }

    fn place(
        &self,
        folder: TempDir,
        location: String,
        config: &RepositoryConfig,
        environment: Vec<(String, String)>,
    ) -> Result<Place, HarnessError> {
        let publisher = Publisher::open(config, MODEL)?;
        let versions = publisher.publish_both(&self.models)?;
        Ok(Place { folder, location, publisher, versions, environment })
    }

    /// How an engine is started there, with more variables.
    pub fn command(&self, place: &Place, more: &[(String, String)]) -> EngineCommand {
        // Somebody who waits for a promotion to be followed shall not wait for long.
        let watch = [("INTERVAL_MS", "500"), ("MAX_BACKOFF_MS", "2000")];
        let watch = watch.map(|(name, value)| variable(&format!("ONNWARD_WATCH__{name}"), value));
        EngineCommand {
            program: self.settings.engine.clone(),
            repository: place.location.clone(),
            environment: [&place.environment[..], &watch, more].concat(),
        }
    }

    /// Somebody who asks for predictions again and again.
    pub fn load(
        &self,
        engine: &EngineProcess,
        place: &Place,
        key: Option<String>,
    ) -> Result<Load, HarnessError> {
        let url = format!("{}/models/{MODEL}/predict", engine.url());
        let url = url.parse::<Uri>().map_err(|error| HarnessError::Settings(error.to_string()))?;
        let (rate, requests) = (self.settings.rate, self.models.requests.clone());
        Load::start(LoadPlan { url, rate, requests, versions: place.versions, key })
    }

    /// The body of a request of so many rows.
    pub fn batch(&self, rows: usize) -> Vec<u8> {
        let rows: Vec<&[u8]> =
            self.models.requests.iter().map(|one| &one.body[..]).cycle().take(rows).collect();
        [b"[", rows.join(&b","[..]).as_slice(), b"]"].concat()
    }
}

impl Place {
    /// The repository's URL.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// A path in the folder beside it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts an engine there, and waits until it serves the first version.
    pub fn start(&self, command: &EngineCommand) -> Result<EngineProcess, HarnessError> {
        let mut engine = command.start()?;
        engine.wait_until_serving(MODEL, self.versions[0])?;
        Ok(engine)
    }
}

pub fn temporary() -> Result<TempDir, HarnessError> {
    TempDir::new().map_err(HarnessError::system("make a temporary folder"))
}

/// SeaweedFS, unless its program is not there.
pub fn seaweedfs(program: &Path) -> Result<Option<SeaweedFs>, HarnessError> {
    if program.is_file() { SeaweedFs::start(program).map(Some) } else { Ok(None) }
}

/// Why scenarios that need a store are left out.
pub const WITHOUT_STORE: &str = "SeaweedFS is not there: tests/fetch-seaweedfs.sh fetches it";

/// Waits until something is so: how long that took, if it came to be so.
pub fn until(mut is_so: impl FnMut() -> bool) -> Option<Duration> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if is_so() {
            return Some(start.elapsed());
        }
        std::thread::sleep(PAUSE);
    }
    None
}

/// A client of an engine.
pub fn client(engine: &EngineProcess) -> Client {
    Client::new(engine.url())
}

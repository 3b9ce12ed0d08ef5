//! `kill -9` of the engine at random points of a download.
//!
//! Each round promotes a version that is not in the engine's cache, starts the engine with a slow connection
//! to the store, kills it after a random share of the file was forwarded, and starts it again. It must serve
//! that version, and the digest of every object in the cache must be its name.

pub(crate) mod cache;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use onnward_models::Family;
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use self::cache::CacheFolder;
use self::report::KillFigures;
pub use self::report::KillReport;
use onnward_harness::HarnessError;
use onnward_harness::engine::{EngineCommand, EngineProcess};
use onnward_harness::proxy::Proxy;
use onnward_harness::publisher::Publisher;
use onnward_harness::seaweedfs::SeaweedFs;
use onnward_harness::versions::{TOLERANCE, TwoVersions};
use onnward_harness::wait::poll;

/// The model's name in the repository, and the repository's prefix.
const MODEL: &str = "killed";
/// The least size of each version's file.
const FILE_BYTES: u64 = 4 * 1024 * 1024;
/// The number of versions. Not all fit in the cache, so that there is always one to download.
const VERSIONS: usize = 6;
/// The limit of the cache: two versions.
const CACHE_BYTES: u64 = 2 * FILE_BYTES + FILE_BYTES / 2;
/// The speed of a download, in bytes per second: half a second for each file.
const BYTES_PER_SECOND: u64 = 2 * FILE_BYTES;
/// One in so many kills comes after the whole file was forwarded, while it is checked, cached and opened.
const LATE_KILLS: u32 = 4;
/// The longest time from the file's last byte to such a kill.
const MAX_LATE: Duration = Duration::from_millis(100);
/// The maximum time for a download to reach the point of the kill.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// The number of predictions that are compared after each start.
const COMPARED: usize = 5;

/// The settings of the proof.
#[derive(Debug, Clone)]
pub struct KillSettings {
    /// The engine's program.
    pub engine: PathBuf,
    /// The schema on whose sample customers the versions are trained.
    pub schema: PathBuf,
    /// The number of engines to kill.
    pub kills: u64,
    /// The seed of all random choices.
    pub seed: u64,
}

/// The engines of a round, their cache, and which of them are killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// An engine with an empty cache.
    Fresh,
    /// An engine with the cache of earlier rounds.
    Kept,
    /// Two engines that share that cache. One is killed.
    OneOfTwo,
    /// Two engines that share that cache. Both are killed.
    BothOfTwo,
}

/// A version in the repository, and what identifies it when it is served.
struct PublishedVersion {
    number: u64,
    sha256: String,
    /// Requests, and the probabilities that the trainer's own code computes.
    answers: Vec<(Bytes, f64)>,
}

/// Runs the proof on a store that nothing else uses. Calls `on_kills` after each round with the number of
/// killed engines.
///
/// # Errors
/// [`HarnessError`] if the proof cannot be completed, as when an engine does not start again. Missed
/// requirements are in the report.
pub fn run(
    settings: &KillSettings,
    store: &SeaweedFs,
    mut on_kills: impl FnMut(u64),
) -> Result<KillReport, HarnessError> {
    let publisher = Publisher::open(&store.config(MODEL), MODEL)?;
    let versions = publish(&publisher, &TwoVersions::train(&settings.schema, Family::Logistic)?)?;
    let temporary = || TempDir::new().map_err(HarnessError::system("make a temporary folder"));
    let kept = temporary()?;
    let mut proof = Proof {
        engine: settings.engine.clone(),
        proxy: Proxy::start(store.address())?,
        publisher,
        versions,
        random: ChaCha8Rng::seed_from_u64(settings.seed),
        figures: KillFigures::default(),
    };
    for round in Round::ALL.into_iter().cycle() {
        if proof.figures.kills >= settings.kills {
            break;
        }
        let fresh = temporary()?;
        let folder = if round == Round::Fresh { fresh.path() } else { kept.path() };
        proof.run(round, &CacheFolder::new(folder))?;
        on_kills(round.kills() as u64);
    }
    Ok(KillReport::new(settings.seed, proof.figures))
}

/// Publishes versions with different files, padded so that a download takes a while.
fn publish(publisher: &Publisher, models: &TwoVersions) -> Result<Vec<PublishedVersion>, HarnessError> {
    let [first, second] = &models.artifacts;
    let both = [(first, 0), (second, 1)];
    let publish = |(index, (artifact, column)): (usize, (&onnward_onnx::Artifact, usize))| {
        let mut model = artifact.model().clone();
        model.doc_string = Some(index.to_string().repeat(FILE_BYTES as usize));
        let (number, sha256) = publisher.publish(model.encode_to_vec(), models.fingerprint())?;
        let requests = models.requests.iter().take(COMPARED);
        let answers = requests.filter_map(|request| {
            let probability = request.probabilities.get(column)?;
            Some((request.body.clone(), *probability))
        });
        Ok(PublishedVersion { number, sha256, answers: answers.collect() })
    };
    (0..VERSIONS).zip(both.into_iter().cycle()).map(publish).collect()
}

/// The state that all rounds share.
struct Proof {
    engine: PathBuf,
    publisher: Publisher,
    proxy: Proxy,
    versions: Vec<PublishedVersion>,
    random: ChaCha8Rng,
    figures: KillFigures,
}

impl Proof {
    fn run(&mut self, round: Round, cache: &CacheFolder) -> Result<(), HarnessError> {
        let target = self.promote_another(cache)?;
        let command = EngineCommand::new(&self.engine, SeaweedFs::location(MODEL))
            .with_environment(environment(&self.proxy, cache.path()));
        self.proxy.limit(BYTES_PER_SECOND);
        let before = self.proxy.forwarded_bytes();
        let mut killed = spawn(&command, round.kills())?;
        let mut engines = spawn(&command, round.engines() - round.kills())?;
        self.wait_for_random_share(before, &killed)?;
        killed.iter_mut().for_each(EngineProcess::kill);
        self.figures.kills += killed.len() as u64;
        self.figures.add(cache.audit()?);

        self.proxy.unlimit();
        engines.iter_mut().try_for_each(EngineProcess::wait_until_listening)?;
        let start = Instant::now();
        for _ in killed {
            engines.push(command.start()?);
        }
        let Some(version) = self.versions.get(target) else { return Ok(()) };
        for engine in &mut engines {
            engine.wait_until_serving(MODEL, version.number)?;
            self.figures.wrong_engines += u64::from(!version.is_served_by(engine)?);
        }
        self.figures.restart_ms.push(1e3 * start.elapsed().as_secs_f64());
        self.figures.add(cache.audit()?);
        self.figures.rounds += 1;
        Ok(())
    }

    /// Promotes a random version that the cache does not hold, and returns its index.
    fn promote_another(&mut self, cache: &CacheFolder) -> Result<usize, HarnessError> {
        let absent: Vec<(usize, &PublishedVersion)> =
            self.versions.iter().enumerate().filter(|(_, version)| !cache.holds(&version.sha256)).collect();
        let chosen = self.random.random_range(0..absent.len().max(1));
        let Some((index, version)) = absent.get(chosen) else {
            let problem = format!("the cache holds all {VERSIONS} versions, which is more than its limit");
            return Err(HarnessError::Settings(problem));
        };
        self.publisher.promote(version.number)?;
        Ok(*index)
    }

    /// Waits until a random share of a file was forwarded, or all of it and a little longer.
    fn wait_for_random_share(&mut self, before: u64, engines: &[EngineProcess]) -> Result<(), HarnessError> {
        let is_late = self.random.random_range(0..LATE_KILLS) == 0;
        let bytes = if is_late { FILE_BYTES } else { self.random.random_range(0..FILE_BYTES) };
        let is_forwarded = || (self.proxy.forwarded_bytes() - before >= bytes).then_some(());
        if poll(DOWNLOAD_TIMEOUT, Duration::from_millis(1), is_forwarded).is_none() {
            let log: Vec<String> = engines.iter().map(EngineProcess::log).collect();
            let (seconds, what) = (DOWNLOAD_TIMEOUT.as_secs(), "it does not download".to_owned());
            return Err(HarnessError::TooLate { seconds, what, log: log.join("\n") });
        }
        if is_late {
            std::thread::sleep(MAX_LATE.mul_f64(self.random.random()));
            self.figures.late_kills += engines.len() as u64;
        }
        Ok(())
    }
}

impl Round {
    const ALL: [Self; 5] = [Self::Fresh, Self::Kept, Self::Fresh, Self::OneOfTwo, Self::BothOfTwo];

    fn engines(self) -> usize {
        match self {
            Self::Fresh | Self::Kept => 1,
            Self::OneOfTwo | Self::BothOfTwo => 2,
        }
    }

    fn kills(self) -> usize {
        match self {
            Self::Fresh | Self::Kept | Self::OneOfTwo => 1,
            Self::BothOfTwo => 2,
        }
    }
}

impl PublishedVersion {
    /// Returns whether an engine that reports this version has its file and computes its probabilities.
    fn is_served_by(&self, engine: &EngineProcess) -> Result<bool, HarnessError> {
        if engine.model(MODEL)?["sha256"] != *self.sha256 {
            return Ok(false);
        }
        for (body, expected) in &self.answers {
            let answer = engine.predict(MODEL, body)?;
            let probability = answer["probability"].as_f64().unwrap_or(f64::NAN);
            let is_right = (probability - expected).abs() <= TOLERANCE;
            if !is_right || answer["version"] != self.number {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn spawn(command: &EngineCommand, count: usize) -> Result<Vec<EngineProcess>, HarnessError> {
    (0..count).map(|_| command.spawn()).collect()
}

fn environment(proxy: &Proxy, cache: &Path) -> Vec<(String, String)> {
    let mut environment = SeaweedFs::environment_through(&format!("http://{}", proxy.address()));
    let settings = [("FOLDER", cache.display().to_string()), ("MAX_BYTES", CACHE_BYTES.to_string())];
    environment.extend(settings.map(|(key, value)| (format!("ONNWARD_CACHE__{key}"), value)));
    environment
}

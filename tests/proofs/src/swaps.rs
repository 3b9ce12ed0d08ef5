//! Many swaps between two versions of a model under constant load.
//!
//! Windows with swaps and windows without take turns, each pair of one length, so that what else goes on on the machine
//! falls on both alike.

mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hyper::Uri;
use onnward_models::Family;
use onnward_repository::RepositoryConfig;
use serde::Serialize;
use tempfile::TempDir;

pub use self::report::{LatencyReport, MemoryReport, SwapReport, SwapTimes};
use onnward_harness::engine::{EngineCommand, EngineProcess};
use onnward_harness::HarnessError;
use onnward_harness::load::{Load, LoadPlan, Phase};
use onnward_harness::publisher::Publisher;
use onnward_harness::versions::TwoVersions;

/// The model's name in the repository.
const MODEL: &str = "swapped";
/// How many swaps follow each other in a window.
const WINDOW: u64 = 25;
/// How long the load runs before anything is measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long after a window with swaps the next one without begins: the last version that was taken out of service is gone by
/// then.
const SETTLING: Duration = Duration::from_millis(300);
/// How long a window without swaps is where none with swaps came before it.
const FIRST_QUIET: Duration = Duration::from_secs(2);

/// What is run.
#[derive(Debug, Clone)]
pub struct SwapSettings {
    /// The engine's program.
    pub engine: PathBuf,
    /// The schema on whose sample customers the two versions are trained.
    pub schema: PathBuf,
    /// The versions' family.
    pub family: Family,
    /// Where their repository is to be; a temporary folder where absent.
    pub repository: Option<String>,
    /// What a swap has to do.
    pub mode: SwapMode,
    /// How many swaps are done.
    pub swaps: u64,
    /// How many requests begin each second.
    pub rate: f64,
    /// How long it is waited between two swaps.
    pub pause: Duration,
}

/// What a swap has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum SwapMode {
    /// The engine keeps one version: each swap fetches, opens, proves and warms the other one
    Reload,
    /// The engine keeps both versions: a swap moves a pointer
    Pointer,
}

/// Runs the proof; `on_swap` is called after each swap.
///
/// # Errors
/// [`HarnessError`] if it cannot be run to its end; requirements that are missed are in the report.
pub fn run(settings: &SwapSettings, mut on_swap: impl FnMut()) -> Result<SwapReport, HarnessError> {
    let models = TwoVersions::train(&settings.schema, settings.family)?;
    let folder = TempDir::new().map_err(HarnessError::system("make a temporary folder"))?;
    let location = match &settings.repository {
        Some(location) => location.clone(),
        None => folder.path().join("repository").display().to_string(),
    };
    let config = RepositoryConfig { location: location.clone(), ..RepositoryConfig::default() };
    let publisher = Publisher::open(&config, MODEL)?;
    let versions = publisher.publish_both(&models)?;
    let command = EngineCommand {
        program: settings.engine.clone(),
        repository: location,
        environment: settings.mode.environment(),
    };
    let mut engine = command.start()?;
    engine.wait_until_serving(MODEL, versions[0])?;
    let backend = engine.model(MODEL)?["backend"].as_str().unwrap_or("unknown").to_owned();

    let url = format!("{}/models/{MODEL}/predict", engine.url());
    let url = url.parse::<Uri>().map_err(|error| HarnessError::Settings(error.to_string()))?;
    let plan = LoadPlan { url, rate: settings.rate, requests: models.requests, versions, key: None };
    let load = Load::start(plan)?;
    let swapped = swap_all(settings, &publisher, &mut engine, &load, versions, &mut on_swap);
    let figures = load.stop()?;
    let Swapped { seconds, resident_kib } = swapped?;
    Ok(SwapReport::new(settings, backend, figures, seconds, &resident_kib))
}

/// What was seen of each swap.
#[derive(Default)]
struct Swapped {
    /// How long it took until the engine served the other version.
    seconds: Vec<f64>,
    /// How much memory the engine had in use afterwards.
    resident_kib: Vec<u64>,
}

fn swap_all(
    settings: &SwapSettings,
    publisher: &Publisher,
    engine: &mut EngineProcess,
    load: &Load,
    versions: [u64; 2],
    on_swap: &mut impl FnMut(),
) -> Result<Swapped, HarnessError> {
    std::thread::sleep(WARM_UP);
    let mut swapped = Swapped::default();
    let mut window = FIRST_QUIET;
    let mut targets = versions.into_iter().rev().cycle();
    let mut left = settings.swaps;
    while left > 0 {
        load.enter(Phase::Quiet);
        std::thread::sleep(window);
        load.enter(Phase::Disturbed);
        let start = Instant::now();
        for target in targets.by_ref().take(left.min(WINDOW) as usize) {
            let begun = Instant::now();
            publisher.promote(target)?;
            engine.reload()?;
            engine.wait_until_serving(MODEL, target)?;
            swapped.seconds.push(begun.elapsed().as_secs_f64());
            swapped.resident_kib.push(engine.resident_kib()?);
            on_swap();
            std::thread::sleep(settings.pause);
        }
        window = start.elapsed();
        left -= left.min(WINDOW);
        load.enter(Phase::Unmeasured);
        std::thread::sleep(SETTLING);
    }
    Ok(swapped)
}

impl SwapMode {
    fn environment(self) -> Vec<(String, String)> {
        let loaded_versions = match self {
            Self::Reload => 1,
            Self::Pointer => 2,
        };
        vec![("ONNWARD_LOADED_VERSIONS".to_owned(), loaded_versions.to_string())]
    }
}

//! Many swaps between two versions of a model under constant load.
//!
//! Windows with swaps and windows without take turns, each pair of equal length, so that other activity on
//! the machine affects both alike.

mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use onnward_models::Family;
use onnward_repository::RepositoryConfig;
use serde::Serialize;
use tempfile::TempDir;

pub use self::report::{LatencyReport, MemoryReport, SwapReport, SwapTimes};
use onnward_harness::HarnessError;
use onnward_harness::engine::{EngineCommand, EngineProcess};
use onnward_harness::generator::{CheckedLoad, CheckedPlan, Phase};
use onnward_harness::publisher::Publisher;
use onnward_harness::versions::TwoVersions;

/// The model's name in the repository.
const MODEL: &str = "swapped";
/// The number of swaps in a window.
const WINDOW: u64 = 25;
/// The time for which the load runs before the measurement.
const WARM_UP: Duration = Duration::from_secs(3);
/// The time between a window with swaps and the next one without. The last version that was taken out of
/// service is dropped by then.
const SETTLING: Duration = Duration::from_millis(300);
/// The length of the first window without swaps.
const FIRST_QUIET: Duration = Duration::from_secs(2);

/// The settings of the proof.
#[derive(Debug, Clone)]
pub struct SwapSettings {
    /// The engine's program.
    pub engine: PathBuf,
    /// The schema on whose sample customers the two versions are trained.
    pub schema: PathBuf,
    /// The versions' family.
    pub family: Family,
    /// The model repository; a temporary folder if absent.
    pub repository: Option<String>,
    /// The kind of each swap.
    pub mode: SwapMode,
    /// The number of swaps.
    pub swaps: u64,
    /// Requests per second.
    pub rate: f64,
    /// The pause between two swaps.
    pub pause: Duration,
}

/// The kind of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum SwapMode {
    /// The engine keeps one version: each swap fetches, opens, verifies and warms up the other one
    Reload,
    /// The engine keeps both versions: a swap moves a pointer
    Pointer,
}

/// Runs the proof. Calls `on_swap` after each swap.
///
/// # Errors
/// [`HarnessError`] if the proof cannot be completed. Missed requirements are in the report.
///
/// ```no_run
/// use std::time::Duration;
///
/// use onnward_models::Family;
/// use onnward_proofs::swaps::{SwapMode, SwapSettings, run};
///
/// let settings = SwapSettings {
///     engine: "target/release/onnward-engine".into(),
///     schema: "schemas/telco.toml".into(),
///     family: Family::Logistic,
///     repository: None,
///     mode: SwapMode::Pointer,
///     swaps: 50,
///     rate: 200.0,
///     pause: Duration::from_millis(20),
/// };
/// let report = run(&settings, || print!("."))?;
/// println!("{report}");
/// # Ok::<(), onnward_harness::HarnessError>(())
/// ```
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
    let command =
        EngineCommand::new(&settings.engine, location).with_environment(settings.mode.environment());
    let mut engine = command.start()?;
    engine.wait_until_serving(MODEL, versions[0])?;
    let backend = engine.model(MODEL)?["backend"].as_str().unwrap_or("unknown").to_owned();

    let load = CheckedLoad::start(CheckedPlan {
        address: engine.address()?,
        path: format!("/models/{MODEL}/predict"),
        rate: settings.rate,
        requests: models.requests,
        versions,
        key: None,
    })?;
    let swapped = swap_all(settings, &publisher, &mut engine, &load, versions, &mut on_swap);
    let figures = load.stop()?;
    let Swapped { seconds, resident_kib } = swapped?;
    Ok(SwapReport::new(settings, backend, figures, seconds, &resident_kib))
}

/// Measurements of each swap.
#[derive(Default)]
struct Swapped {
    /// The times until the engine served the other version.
    seconds: Vec<f64>,
    /// The engine's resident memory afterwards.
    resident_kib: Vec<u64>,
}

fn swap_all(
    settings: &SwapSettings,
    publisher: &Publisher,
    engine: &mut EngineProcess,
    load: &CheckedLoad,
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

//! A soak: an engine at a share of its capacity for many minutes, while its model is swapped, ground truth
//! arrives, drift is computed and metrics are scraped. It shows what grows with time.
//!
//! With two processors, the engine has one of its own and the load the other.

mod background_load;
mod report;
mod samples;

use std::path::PathBuf;
use std::time::Duration;

use onnward_models::Family;
use onnward_repository::RepositoryConfig;
use onnward_schemas::SchemaFile;
use tempfile::TempDir;

pub use self::background_load::BackgroundFigures;
use self::background_load::{BackgroundLoad, Customers};
pub use self::report::{Interval, SoakReport};
use self::samples::Sampler;
use onnward_harness::HarnessError;
use onnward_harness::engine::{EngineCommand, EngineProcess};
use onnward_harness::generator::{
    AGREEING, Arrivals, RunPlan, Schedule, WindowFigures, post, run as put_load,
};
use onnward_harness::process::{ProcessTree, Usage, pin, processors};
use onnward_harness::publisher::Publisher;
use onnward_harness::versions::TwoVersions;

const MODEL: &str = "soaked";
const CAPACITY_WARM_UP: Duration = Duration::from_secs(5);
/// A third of the time for which the capacity is measured: of the engine alone, and then with the background
/// load, so that swaps are included.
const ALONE_WINDOW: Duration = Duration::from_secs(2);
const CAPACITY_WINDOW: Duration = Duration::from_secs(20);
/// The number of connections. All are busy while the capacity is measured.
const CONNECTIONS: usize = 256;
/// The most predictions that the engine keeps: few enough that the oldest are deleted long before the end.
const KEPT_PREDICTIONS: u64 = 500_000;

/// The settings of the proof.
#[derive(Debug, Clone)]
pub struct SoakSettings {
    /// The engine's program.
    pub engine: PathBuf,
    /// The schema on whose sample customers the two versions are trained.
    pub schema: PathBuf,
    /// The versions' family.
    pub family: Family,
    /// The number of intervals.
    pub intervals: usize,
    /// The length of each.
    pub interval: Duration,
    /// The share of the engine's capacity to request.
    pub share: f64,
    /// Requests per second; if absent, the share of the capacity, which is measured first with the background
    /// load.
    pub rate: Option<f64>,
    /// The time between two swaps.
    pub swap_every: Duration,
    /// The time between two scrapes.
    pub scrape_every: Duration,
    /// The share of the predictions whose ground truth is reported.
    pub outcome_share: f64,
}

/// Runs the proof. Calls `on_interval` after each interval.
///
/// # Errors
/// [`HarnessError`] if the proof cannot be completed. Missed requirements are in the report.
pub fn run(
    settings: &SoakSettings,
    mut on_interval: impl FnMut(&Interval),
) -> Result<SoakReport, HarnessError> {
    let models = TwoVersions::train(&settings.schema, settings.family)?;
    let customers = Customers::of(&schema(settings)?, &models)?;
    let folder = TempDir::new().map_err(HarnessError::system("make a temporary folder"))?;
    let repository = folder.path().join("repository").display().to_string();
    let config = RepositoryConfig { location: repository.clone(), ..RepositoryConfig::default() };
    let publisher = Publisher::open(&config, MODEL)?;
    let versions = publisher.publish_both(&models)?;

    let [of_engine, of_load] = shares(&processors());
    let environment = environment(&folder.path().join("outcomes").display().to_string());
    let command = EngineCommand::new(&settings.engine, repository).with_environment(environment);
    let mut engine = command.spawn_on(&of_engine)?;
    let _ = of_load.is_empty() || pin(&of_load);
    engine.wait_until_listening()?;
    engine.wait_until_serving(MODEL, versions[0])?;
    let backend = engine.model(MODEL)?["backend"].as_str().unwrap_or("unknown").to_owned();

    let load = Load { engine: &engine, requests: requests(&engine, &customers)? };
    let about = match settings.rate {
        None => load.capacity(ALONE_WINDOW)? * settings.share,
        Some(rate) => rate,
    };
    let background = BackgroundLoad::start(settings, &engine, publisher, versions, customers, about)?;
    let capacity = settings.rate.is_none().then(|| load.capacity(CAPACITY_WINDOW)).transpose()?;
    let rate = capacity.map_or(about, |capacity| capacity * settings.share);
    let sampler = Sampler::start(engine.id())?;
    let mut intervals = Vec::with_capacity(settings.intervals);
    for _ in 0..settings.intervals {
        let before = Usage::of(std::process::id())?.cpu;
        let figures = load.put(rate, settings.interval)?;
        let by_load = Usage::of(std::process::id())?.cpu - before;
        let interval = Interval::new(figures, sampler.take(), by_load, settings.interval);
        on_interval(&interval);
        intervals.push(interval);
    }
    let background = background.stop(&engine)?;
    let is_apart = !of_engine.is_empty();
    Ok(SoakReport::new(settings, backend, is_apart, capacity, rate, intervals, background))
}

fn schema(settings: &SoakSettings) -> Result<SchemaFile, HarnessError> {
    let path = &settings.schema;
    let text = std::fs::read_to_string(path).map_err(HarnessError::reading(path))?;
    SchemaFile::parse(&text).map_err(|source| HarnessError::Schema { path: path.clone(), source })
}

/// Splits processors between the engine and the load; both get none if there are not two.
fn shares(processors: &[usize]) -> [Vec<usize>; 2] {
    match processors {
        [first, others @ ..] if !others.is_empty() => [vec![*first], others.to_vec()],
        _ => [Vec::new(), Vec::new()],
    }
}

/// Returns variables with which each swap loads a version, and the store of predictions reaches its limit.
fn environment(outcomes: &str) -> Vec<(String, String)> {
    let variables = [
        ("ONNWARD_LOADED_VERSIONS", "1"),
        ("ONNWARD_OUTCOMES__FOLDER", outcomes),
        ("ONNWARD_OUTCOMES__MAX_PREDICTIONS", &KEPT_PREDICTIONS.to_string()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

fn requests(engine: &EngineProcess, customers: &Customers) -> Result<Vec<Vec<u8>>, HarnessError> {
    let host = engine.address()?.to_string();
    let path = format!("/models/{MODEL}/predict");
    Ok(customers.rows.iter().map(|row| post(&host, &path, row)).collect())
}

/// The load on the engine.
struct Load<'a> {
    engine: &'a EngineProcess,
    requests: Vec<Vec<u8>>,
}

impl Load<'_> {
    /// Measures how many requests per second the engine answers at most.
    fn capacity(&self, window: Duration) -> Result<f64, HarnessError> {
        let schedule = Schedule::Closed { connections: CONNECTIONS };
        Ok(self.run(schedule, CAPACITY_WARM_UP, window)?.requests_per_second)
    }

    /// Sends requests at a rate, as independent clients do.
    fn put(&self, rate: f64, length: Duration) -> Result<WindowFigures, HarnessError> {
        let schedule = Schedule::Open { rate, arrivals: Arrivals::Poisson, connections: CONNECTIONS };
        self.run(schedule, Duration::ZERO, length / AGREEING as u32)
    }

    fn run(
        &self,
        schedule: Schedule,
        warm_up: Duration,
        window: Duration,
    ) -> Result<WindowFigures, HarnessError> {
        let (address, requests) = (self.engine.address()?, self.requests.clone());
        let plan = RunPlan { address, requests, schedule, warm_up, window, max_windows: AGREEING };
        put_load(&plan, || ProcessTree::of(self.engine.id()).cpu())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_and_load_share_no_processor_where_there_are_two() {
        assert_eq!(shares(&[3, 5, 7]), [vec![3], vec![5, 7]]);
        assert_eq!(shares(&[0]), [Vec::<usize>::new(), Vec::new()]);
    }
}

//! Faults: what an engine does when it is told to end, killed, out of disk, out of time, out of its store, or beset by
//! clients that hold on to it; seen by others who go on asking it.

mod clock;
mod full_disk;
mod idle_clients;
mod idle_connections;
mod kills;
mod new_connections;
mod report;
mod slow_clients;
mod testbed;
mod store_outage;
mod termination;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

pub use self::report::{ChaosReport, Figure, ScenarioReport};
use self::testbed::Testbed;
use onnward_harness::HarnessError;

/// What happens to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub enum Scenario {
    /// SIGTERM under load, again and again: no request that it has taken is lost
    Termination,
    /// SIGKILL of the engine and of who publishes, again and again: nothing is lost that was answered
    Kills,
    /// The disk of the cache, the outcomes and the captures is full, and has room again
    FullDisk,
    /// The clock jumps by an hour and a day, forwards and back
    Clock,
    /// The store stands still, then is away
    StoreOutage,
    /// Clients that send a byte a second, or never read what they are answered
    SlowClients,
    /// Connections on which nothing happens
    IdleConnections,
}

/// What is run, and how hard.
#[derive(Debug, Clone)]
pub struct ChaosSettings {
    /// The engine's program.
    pub engine: PathBuf,
    /// The exporter's program, which publishes.
    pub exporter: PathBuf,
    /// SeaweedFS's program, the store.
    pub seaweedfs: PathBuf,
    /// libfaketime, through which the engine sees a clock that jumps.
    pub faketime: PathBuf,
    /// The schema on whose sample customers the versions are trained.
    pub schema: PathBuf,
    /// What happens to the engine.
    pub scenarios: Vec<Scenario>,
    /// How often an engine is told to end, or killed.
    pub repetitions: u64,
    /// The seed of the moments at which it is.
    pub seed: u64,
    /// How long other faults last.
    pub fault: Duration,
    /// How many predictions are asked for each second meanwhile.
    pub rate: f64,
    /// How many clients are slow.
    pub slow_clients: usize,
    /// How many connections are idle.
    pub idle_connections: usize,
}

impl Scenario {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 7] = [
        Self::Termination,
        Self::Kills,
        Self::FullDisk,
        Self::Clock,
        Self::StoreOutage,
        Self::SlowClients,
        Self::IdleConnections,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Termination => "termination",
            Self::Kills => "kills",
            Self::FullDisk => "full-disk",
            Self::Clock => "clock",
            Self::StoreOutage => "store-outage",
            Self::SlowClients => "slow-clients",
            Self::IdleConnections => "idle-connections",
        }
    }

    fn run(self, testbed: &mut Testbed) -> Result<ScenarioReport, HarnessError> {
        match self {
            Self::Termination => termination::run(testbed),
            Self::Kills => kills::run(testbed),
            Self::FullDisk => full_disk::run(testbed),
            Self::Clock => clock::run(testbed),
            Self::StoreOutage => store_outage::run(testbed),
            Self::SlowClients => slow_clients::run(testbed),
            Self::IdleConnections => idle_connections::run(testbed),
        }
    }
}

/// Runs the scenarios one after the other; `on_scenario` is told of each before it begins.
///
/// # Errors
/// [`HarnessError`] if one cannot be run to its end; requirements that are missed are in the report.
pub fn run(
    settings: &ChaosSettings,
    mut on_scenario: impl FnMut(Scenario),
) -> Result<ChaosReport, HarnessError> {
    let mut testbed = Testbed::new(settings.clone())?;
    let mut scenarios = Vec::new();
    for &scenario in &settings.scenarios {
        on_scenario(scenario);
        let start = Instant::now();
        let report = scenario.run(&mut testbed)?;
        scenarios.push(report.of(scenario, start.elapsed()));
    }
    Ok(ChaosReport::new(settings.seed, scenarios))
}

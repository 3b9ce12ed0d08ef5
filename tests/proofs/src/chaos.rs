//! Faults: an engine is terminated, killed, runs out of disk, sees its clock jump, loses its store, or holds
//! thousands of slow and idle clients. Other clients go on requesting predictions meanwhile, and must not
//! notice.

mod clock;
mod full_disk;
mod idle_clients;
mod idle_connections;
mod kills;
mod new_connections;
mod report;
mod slow_clients;
mod store_outage;
mod termination;
mod testbed;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

pub use self::report::{ChaosReport, Figure, ScenarioReport};
use self::testbed::Testbed;
use onnward_harness::HarnessError;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[value(rename_all = "kebab-case")]
pub enum Scenario {
    /// SIGTERM under load, repeatedly: no accepted request is lost
    Termination,
    /// SIGKILL of the engine and of a publisher, repeatedly: nothing acknowledged is lost
    Kills,
    /// The disk of the cache, the ground truth and the captures is full, and then has room again
    FullDisk,
    /// The clock jumps by an hour and a day, forwards and back
    Clock,
    /// The store hangs, then is down
    StoreOutage,
    /// Clients that send a byte per second, or never read their answers
    SlowClients,
    /// Thousands of idle connections
    IdleConnections,
}

/// The settings of the scenarios.
#[derive(Debug, Clone)]
pub struct ChaosSettings {
    /// The engine's program.
    pub engine: PathBuf,
    /// The exporter's program, which publishes.
    pub exporter: PathBuf,
    /// SeaweedFS's program.
    pub seaweedfs: PathBuf,
    /// libfaketime's library, which makes the engine's clock jump.
    pub faketime: PathBuf,
    /// The schema on whose sample customers the versions are trained.
    pub schema: PathBuf,
    /// The scenarios to run.
    pub scenarios: Vec<Scenario>,
    /// The number of terminations or kills of an engine.
    pub repetitions: u64,
    /// The seed of the random times of signals.
    pub seed: u64,
    /// The duration of other faults.
    pub fault: Duration,
    /// Predictions requested per second meanwhile.
    pub rate: f64,
    /// The number of slow clients.
    pub slow_clients: usize,
    /// The number of idle connections.
    pub idle_connections: usize,
}

impl Scenario {
    /// All scenarios, in the order in which they run.
    pub const ALL: [Self; 7] = [
        Self::Termination,
        Self::Kills,
        Self::FullDisk,
        Self::Clock,
        Self::StoreOutage,
        Self::SlowClients,
        Self::IdleConnections,
    ];

    /// Returns the name on the command line.
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

/// Runs the scenarios one after the other. Calls `on_scenario` before each.
///
/// # Errors
/// [`HarnessError`] if one cannot be completed. Missed requirements are in the report.
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

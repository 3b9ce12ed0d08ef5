//! The cost of observability: two engines of one model, one with metrics, drift and logs and one without,
//! take turns under the same load.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use onnward_exporter::export::export;
use onnward_harness::HarnessError;
use onnward_harness::engine::{EngineCommand, EngineProcess};
use onnward_harness::figures::median;
use onnward_harness::generator::{AGREEING, RunPlan, Schedule, WindowFigures, post, run as put_load};
use onnward_harness::process::{ProcessTree, pin, processors};
use onnward_harness::requirement::Requirement;
use onnward_models::Family;
use serde::Serialize;
use tempfile::TempDir;

use crate::comparison::models::{fit, publish};
use crate::comparison::workload::{Protocol, Workload};
use crate::machine::Machine;

/// The settings of the measurement.
#[derive(Debug, Clone)]
pub struct ObservationSettings {
    /// The engine's program.
    pub engine: PathBuf,
    /// The program of the other engine, if it differs.
    pub unseeing_engine: Option<PathBuf>,
    /// The schema whose sampled rows are used for training and requests.
    pub schema: PathBuf,
    /// The model's family.
    pub family: Family,
    /// Environment variables of the observing engine.
    pub on: Vec<(String, String)>,
    /// Environment variables of the other engine.
    pub off: Vec<(String, String)>,
    /// The number of rounds.
    pub rounds: usize,
    /// The length of each of a measurement's three windows.
    pub window: Duration,
}

/// The loads: rows per request and connections of a closed loop.
const LOADS: [Load; 2] = [Load { rows: 1, connections: 64 }, Load { rows: 1024, connections: 4 }];
/// The largest loss of throughput, in percent.
const MOST_COST_PERCENT: f64 = 5.0;
const WARM_UP: Duration = Duration::from_millis(500);
const MODEL: &str = "churn";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Load {
    rows: usize,
    connections: usize,
}

/// The results.
#[derive(Debug, Serialize)]
pub struct ObservationReport {
    machine: Machine,
    family: &'static str,
    rounds: usize,
    costs: Vec<Cost>,
    /// The requirements.
    pub requirements: Vec<Requirement>,
}

/// The cost under one load, as medians over the rounds.
#[derive(Debug, Serialize)]
struct Cost {
    #[serde(flatten)]
    load: Load,
    seeing: Side,
    unseeing: Side,
    /// The median of the rounds' ratios of requests per second, with observation to without.
    throughput_ratio: f64,
    /// The smallest and the largest of these ratios.
    throughput_ratio_range: [f64; 2],
    /// The median of the rounds' ratios of processor time per request.
    cpu_ratio: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Side {
    requests_per_second: f64,
    cpu_us_per_request: f64,
}

/// A measured engine.
struct Measured {
    process: EngineProcess,
    address: SocketAddr,
    tree: ProcessTree,
}

/// Returns the number of measurements.
pub fn measurements(settings: &ObservationSettings) -> u64 {
    (settings.rounds * LOADS.len() * ENGINES) as u64
}

/// Measures the cost. Calls `progress` after each measurement.
///
/// # Errors
/// [`HarnessError`] if an engine does not start or answer.
pub fn run(settings: &ObservationSettings, progress: impl Fn()) -> Result<ObservationReport, HarnessError> {
    let folder = TempDir::new().map_err(HarnessError::system("make a temporary folder"))?;
    let workload = Workload::new(&settings.schema, None, folder.path())?;
    let artifact = export(&fit(&workload, settings.family)?)?;
    let fingerprint = artifact.metadata.schema.fingerprint();
    let repository = folder.path().join("repository");
    publish(&repository, MODEL, artifact.encode(), &fingerprint)?;

    let all = processors();
    let (server, generator) = match all.as_slice() {
        [first, .., last] => ([*first], [*last]),
        [only] => ([*only], [*only]),
        [] => return Err(HarnessError::Settings("the system does not tell its processors".to_owned())),
    };
    let repository = repository.display().to_string();
    let unseeing = settings.unseeing_engine.as_ref().unwrap_or(&settings.engine);
    // A process runs where the thread may that starts it.
    pin(&server);
    let seeing = Measured::start(&settings.engine, &repository, &settings.on);
    let unseeing = Measured::start(unseeing, &repository, &settings.off);
    pin(&generator);
    let costs = seeing.and_then(|seeing| measure(settings, &workload, &[seeing, unseeing?], progress));
    pin(&all);
    let costs = costs?;
    let requirements = costs.iter().map(Cost::requirement).collect();
    let (machine, family) = (Machine::of_this(), settings.family.name());
    Ok(ObservationReport { machine, family, rounds: settings.rounds, costs, requirements })
}

/// The number of engines: with observation and without.
const ENGINES: usize = 2;

fn measure(
    settings: &ObservationSettings,
    workload: &Workload,
    engines: &[Measured; ENGINES],
    progress: impl Fn(),
) -> Result<Vec<Cost>, HarnessError> {
    LOADS
        .into_iter()
        .map(|load| {
            let bodies = workload.bodies(Protocol::Named, load.rows)?;
            let mut rounds = Vec::new();
            for round in 0..settings.rounds {
                // The engines take turns to begin, so that a trend of the machine affects both alike.
                let first = round % ENGINES;
                let mut sides = [None; ENGINES];
                for turn in [first, 1 - first] {
                    sides[turn] = Some(engines[turn].measure(load, &bodies, settings.window)?);
                    progress();
                }
                if let [Some(seeing), Some(unseeing)] = sides {
                    rounds.push([seeing, unseeing]);
                }
            }
            Ok(Cost::of(load, &rounds))
        })
        .collect()
}

impl Measured {
    fn start(
        program: &std::path::Path,
        repository: &str,
        variables: &[(String, String)],
    ) -> Result<Self, HarnessError> {
        let no_request_lines = ("ONNWARD_LOG__ACCESS_SAMPLE".to_owned(), "0.0".to_owned());
        let environment = [&[no_request_lines][..], variables].concat();
        let command = EngineCommand::new(program, repository).with_environment(environment);
        let mut process = command.start()?;
        process.wait_until_serving(MODEL, 1)?;
        let address = process.address()?;
        let tree = ProcessTree::of(process.id());
        Ok(Self { process, address, tree })
    }

    fn measure(&self, load: Load, bodies: &[Vec<u8>], window: Duration) -> Result<Side, HarnessError> {
        let host = self.address.to_string();
        let plan = RunPlan {
            address: self.address,
            requests: bodies.iter().map(|body| post(&host, "/predict", body)).collect(),
            schedule: Schedule::Closed { connections: load.connections },
            warm_up: WARM_UP,
            window,
            max_windows: AGREEING,
        };
        let WindowFigures { requests_per_second, seconds, statuses, server_cpu_seconds, .. } =
            put_load(&plan, || self.tree.cpu())?;
        if statuses.rejected + statuses.other + statuses.failed > 0 {
            return Err(HarnessError::Answer {
                request: "/predict".to_owned(),
                answer: format!("{statuses:?}; the end of the engine's log:\n{}", self.process.log()),
            });
        }
        let answered = requests_per_second * seconds;
        Ok(Side { requests_per_second, cpu_us_per_request: server_cpu_seconds / answered * 1e6 })
    }
}

impl Cost {
    fn of(load: Load, rounds: &[[Side; ENGINES]]) -> Self {
        let ratios = |figure: fn(&Side) -> f64| -> Vec<f64> {
            rounds.iter().map(|[seeing, unseeing]| figure(seeing) / figure(unseeing)).collect()
        };
        let side = |which: fn(&[Side; ENGINES]) -> Side| Side {
            requests_per_second: median(
                rounds.iter().map(|round| which(round).requests_per_second).collect(),
            ),
            cpu_us_per_request: median(rounds.iter().map(|round| which(round).cpu_us_per_request).collect()),
        };
        let throughput = ratios(|side| side.requests_per_second);
        let smallest = throughput.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = throughput.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self {
            load,
            seeing: side(|[seeing, _]| *seeing),
            unseeing: side(|[_, unseeing]| *unseeing),
            throughput_ratio: median(throughput),
            throughput_ratio_range: [smallest, largest],
            cpu_ratio: median(ratios(|side| side.cpu_us_per_request)),
        }
    }

    fn requirement(&self) -> Requirement {
        let what = format!("cost in throughput, {}", self.load);
        Requirement::at_most(&what, (1.0 - self.throughput_ratio) * 100.0, MOST_COST_PERCENT, " %")
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = if self.rows == 1 { "row" } else { "rows" };
        write!(f, "{} {rows} a request on {} connections", self.rows, self.connections)
    }
}

impl fmt::Display for ObservationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "The cost of observability, {} rounds in turns, a {} model", self.rounds, self.family)?;
        for Cost { load, seeing, unseeing, throughput_ratio, throughput_ratio_range, cpu_ratio } in
            &self.costs
        {
            let [smallest, largest] = throughput_ratio_range;
            writeln!(f, "\n{load}")?;
            for (name, side) in [("with", seeing), ("without", unseeing)] {
                let Side { requests_per_second, cpu_us_per_request } = side;
                writeln!(
                    f,
                    "  {name:<11} {requests_per_second:.0} requests/s, {cpu_us_per_request:.2} µs of CPU each"
                )?;
            }
            writeln!(
                f,
                "  ratio       {throughput_ratio:.3} in throughput ({smallest:.3} to {largest:.3}), {cpu_ratio:.3} in CPU"
            )?;
        }
        writeln!(f)?;
        self.requirements.iter().try_for_each(|requirement| writeln!(f, "{requirement}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_is_the_median_of_ratios_within_a_round() {
        let side = |rate: f64| Side { requests_per_second: rate, cpu_us_per_request: 1e6 / rate };
        // The machine is half as fast in the second round; the cost is not.
        let rounds = [[side(960.0), side(1000.0)], [side(480.0), side(500.0)], [side(900.0), side(1000.0)]];
        let cost = Cost::of(LOADS[0], &rounds);
        assert!((cost.throughput_ratio - 0.96).abs() < 1e-9 && (cost.cpu_ratio - 1.0 / 0.96).abs() < 1e-9);
        assert_eq!(cost.throughput_ratio_range, [0.9, 0.96]);
        assert!(cost.requirement().met);
        let dear = Cost::of(LOADS[0], &[[side(940.0), side(1000.0)]]);
        assert!(!dear.requirement().met);
    }
}

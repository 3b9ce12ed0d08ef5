//! `onnward-bench load` and `onnward-bench bare`: load on one server, and a server for comparison.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use onnward_harness::HarnessError;
use onnward_harness::cli::{Output, positive, print};
use onnward_harness::generator::{
    AGREEING, Arrivals, Latencies, RunPlan, Schedule, WindowFigures, post, run,
};
use onnward_harness::process::{ProcessTree, pin};
use serde::Serialize;
use url::Url;

use crate::bare;

#[derive(Debug, Args)]
#[command(after_help = "\
A run ends when three windows in a row agree within 10 % in answers per second, or after twice the duration.

Examples:
  onnward-bench load --url http://127.0.0.1:8000/predict --body row.json \\
      --concurrency 64 --seconds 6
  onnward-bench load --url http://127.0.0.1:8000/predict --body a.json b.json \\
      --rate 20000 --poisson --pid 4711")]
pub struct LoadArguments {
    /// URL to which requests are posted
    #[arg(long)]
    url: Url,
    /// Files that are posted in turn; a .jsonl file has a body on each line
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    body: Vec<PathBuf>,
    /// Closed loop: number of requests in flight
    #[arg(long, default_value_t = 64, conflicts_with = "rate", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Open loop: requests per second, whether or not earlier ones are answered
    #[arg(long, value_parser = positive)]
    rate: Option<f64>,
    /// Begin the requests of an open loop as independent clients do, not at constant intervals
    #[arg(long, requires = "rate")]
    poisson: bool,
    /// Most requests in flight in an open loop
    #[arg(long, default_value_t = 512, requires = "rate", value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Duration of the measurement, in seconds
    #[arg(long, default_value_t = 6.0, value_parser = positive)]
    seconds: f64,
    /// Duration of the warm-up before the measurement, in seconds
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    warm_up: f64,
    /// Process id of the server, to report its processor time and memory with its descendants'
    #[arg(long)]
    pid: Option<u32>,
    /// Processor on which the generator runs
    #[arg(long)]
    processor: Option<usize>,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
pub struct BareArguments {
    /// Address to listen on; with port 0 the system chooses one
    #[arg(long, default_value = "127.0.0.1:8001")]
    listen: SocketAddr,
}

impl BareArguments {
    pub fn run(self) -> Result<bool, HarnessError> {
        bare::serve(self.listen)?;
        Ok(true)
    }
}

impl LoadArguments {
    /// Runs the load and returns whether every request was answered.
    pub fn run(self) -> Result<bool, HarnessError> {
        if let Some(processor) = self.processor
            && !pin(&[processor])
        {
            return Err(HarnessError::Settings(format!("processor {processor} is not available")));
        }
        let plan = self.plan()?;
        let tree = self.pid.map(ProcessTree::of);
        let figures = run(&plan, || tree.as_ref().map_or(Duration::ZERO, ProcessTree::cpu))?;
        let resident_bytes = tree.as_ref().and_then(ProcessTree::resident);
        let generator_cpu_seconds = ProcessTree::of(std::process::id()).cpu().as_secs_f64();
        let report = LoadReport { figures, resident_bytes, generator_cpu_seconds };
        print(self.output, &report)?;
        Ok(report.figures.statuses.failed == 0)
    }

    fn plan(&self) -> Result<RunPlan, HarnessError> {
        let unusable =
            || HarnessError::Settings(format!("{} is not of the form http://HOST:PORT/PATH", self.url));
        let host = self.url.host_str().filter(|_| self.url.scheme() == "http").ok_or_else(unusable)?;
        let port = self.url.port_or_known_default().ok_or_else(unusable)?;
        let mut addresses =
            (host, port).to_socket_addrs().map_err(HarnessError::system(format!("find {host}")))?;
        let address = addresses.next().ok_or_else(unusable)?;
        let authority = format!("{host}:{port}");
        let bodies = self.bodies()?;
        let schedule = match self.rate {
            None => Schedule::Closed { connections: self.concurrency.into() },
            Some(rate) => {
                let arrivals = if self.poisson { Arrivals::Poisson } else { Arrivals::Constant };
                Schedule::Open { rate, arrivals, connections: self.connections.into() }
            }
        };
        Ok(RunPlan {
            address,
            requests: bodies.iter().map(|body| post(&authority, self.url.path(), body)).collect(),
            schedule,
            warm_up: Duration::from_secs_f64(self.warm_up),
            window: Duration::from_secs_f64(self.seconds / AGREEING as f64),
            max_windows: AGREEING * 2,
        })
    }

    fn bodies(&self) -> Result<Vec<Vec<u8>>, HarnessError> {
        let mut bodies = Vec::new();
        for path in &self.body {
            let content = std::fs::read(path).map_err(HarnessError::reading(path))?;
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                let lines = content.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
                bodies.extend(lines.map(<[u8]>::to_vec));
            } else {
                bodies.push(content);
            }
        }
        Ok(bodies)
    }
}

/// The report of one run.
#[derive(Debug, Serialize)]
struct LoadReport {
    #[serde(flatten)]
    figures: WindowFigures,
    /// The server's memory at the end.
    resident_bytes: Option<u64>,
    /// The processor time of the generator over its whole life.
    generator_cpu_seconds: f64,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WindowFigures { stable, windows, requests_per_second, seconds, statuses, .. } = &self.figures;
        let windows: Vec<String> = windows.iter().map(|rate| format!("{rate:.0}")).collect();
        let verdict = if *stable { "stable" } else { "NOT STABLE" };
        writeln!(f, "requests/s     {requests_per_second:.0} over {seconds:.1} s")?;
        writeln!(f, "windows        {} ({verdict})", windows.join(", "))?;
        writeln!(
            f,
            "answers        {} with 200, {} with 429, {} others, {} failed",
            statuses.ok, statuses.rejected, statuses.other, statuses.failed
        )?;
        latencies(f, "latency µs", self.figures.latency_us)?;
        latencies(f, "from sending", self.figures.latency_from_sent_us)?;
        latencies(f, "429 after µs", self.figures.rejected_latency_us)?;
        if self.figures.server_cpu_seconds > 0.0 {
            let cpu = self.figures.server_cpu_seconds;
            let answered = (statuses.ok + statuses.rejected + statuses.other) as f64;
            writeln!(f, "server's CPU   {:.2} µs a request, {cpu:.2} s", cpu / answered * 1e6)?;
        }
        if let Some(bytes) = self.resident_bytes {
            writeln!(f, "server's RAM   {:.1} MB", bytes as f64 / 1e6)?;
        }
        writeln!(f, "generator      {:.2} s of CPU, its warm-up included", self.generator_cpu_seconds)
    }
}

fn latencies(f: &mut fmt::Formatter<'_>, name: &str, latencies: Option<Latencies>) -> fmt::Result {
    let Some(Latencies { p50, p90, p99, p999, max }) = latencies else { return Ok(()) };
    writeln!(f, "{name:<14} p50 {p50:.1}, p90 {p90:.1}, p99 {p99:.1}, p99.9 {p999:.1}, max {max:.1}")
}

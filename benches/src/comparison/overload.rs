//! Onnward at three times its capacity: it answers as much as it can, and rejects the rest at once.

use std::fmt;

use onnward_harness::HarnessError;
use onnward_harness::generator::{Arrivals, Schedule, WindowFigures};
use onnward_harness::ports::free_ports;
use onnward_models::Family;
use serde::Serialize;

use crate::comparison::subject::Subject;
use crate::comparison::{Bench, Progress};

/// The factor of the capacity.
const FACTOR: f64 = 3.0;
/// The rows per request and the requests in flight while the capacity is measured: few enough that all are
/// answered.
const AT_CAPACITY: [(usize, usize); 3] = [(1, 64), (32, 64), (1024, 4)];
/// The most requests in flight under overload: more than the queue holds.
const CONNECTIONS: usize = 1024;
/// The requests that the engine's queue holds, in both measurements.
const QUEUED: usize = 128;

/// The results at three times the capacity.
#[derive(Debug, Clone, Serialize)]
pub struct Overload {
    /// The subject.
    pub subject: Subject,
    /// The model's family.
    pub family: Family,
    /// The rows of a request.
    pub rows: usize,
    /// The rows that the queue holds.
    pub max_queue_rows: usize,
    /// Answers with 200 per second in a closed loop.
    pub capacity: f64,
    /// Requests per second.
    pub rate: f64,
    /// The results.
    #[serde(flatten)]
    pub figures: WindowFigures,
}

/// Measures Onnward under overload.
pub(super) fn measure(bench: &Bench<'_>, turns: &[(Subject, Family)]) -> Result<Vec<Overload>, HarnessError> {
    let mut found = Vec::new();
    // As it comes, where that is compared: a runtime alone adds nothing.
    let as_it_comes = turns.iter().any(|(subject, _)| *subject == Subject::Onnward);
    let measured = |subject: Subject| {
        if as_it_comes { subject == Subject::Onnward } else { subject.backend().is_some() }
    };
    for &(subject, family) in turns.iter().filter(|(subject, _)| measured(*subject)) {
        for (rows, connections) in AT_CAPACITY {
            let title = subject.title();
            (bench.tell)(Progress::Doing(format!("{title}, {family}: overload with {rows} rows a request")));
            let max_queue_rows = rows * QUEUED;
            let [port] = free_ports()?;
            let files = &bench.settings.files;
            let mut command = files.engine_command(subject, &files.repository(family), port);
            command.env("ONNWARD_BATCHING__MAX_QUEUE_ROWS", max_queue_rows.to_string());
            let (server, _) = bench.launch(command, port, subject, &format!("{family}-overload"))?;
            let closed = bench.load(&server, subject, rows, Schedule::Closed { connections })?;
            let capacity = closed.requests_per_second;
            let rate = capacity * FACTOR;
            let schedule = Schedule::Open { rate, arrivals: Arrivals::Poisson, connections: CONNECTIONS };
            let figures = bench.load(&server, subject, rows, schedule)?;
            found.push(Overload { subject, family, rows, max_queue_rows, capacity, rate, figures });
        }
    }
    Ok(found)
}

impl Overload {
    /// Returns the share of the capacity that is still answered with 200.
    pub fn goodput(&self) -> f64 {
        self.figures.requests_per_second / self.capacity
    }

    /// Returns how long a full queue takes at the capacity, in microseconds.
    pub fn queue_us(&self) -> f64 {
        self.max_queue_rows as f64 / (self.capacity * self.rows as f64) * 1e6
    }
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, family, rows, capacity, rate, figures, .. } = self;
        write!(
            f,
            "  {}, {family}, {rows} rows: {:.0} of {rate:.0} requests/s answered ({:.0} % of the capacity of {capacity:.0})",
            subject.title(),
            figures.requests_per_second,
            self.goodput() * 100.0,
        )?;
        if let Some(admitted) = figures.latency_us {
            let queue_ms = self.queue_us() / 1e3;
            write!(f, ", p99 {:.1} ms", admitted.p99 / 1e3)?;
            if let Some(sent) = figures.latency_from_sent_us {
                write!(f, ", {:.1} ms from sending,", sent.p99 / 1e3)?;
            }
            write!(f, " where the full queue takes {queue_ms:.1} ms")?;
        }
        if let Some(rejected) = figures.rejected_latency_us {
            let [p50, p99] = [rejected.p50 / 1e3, rejected.p99 / 1e3];
            write!(f, "; 429 after {p50:.2} ms, p99 {p99:.2} ms")?;
        }
        let (other, failed) = (figures.statuses.other, figures.statuses.failed);
        if other + failed > 0 {
            write!(f, "; {other} other answers, {failed} without one")?;
        }
        Ok(())
    }
}

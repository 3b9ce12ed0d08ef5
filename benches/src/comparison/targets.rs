//! Targets for Onnward, as ratios within one run, and whether it reaches them.

use std::fmt;

use onnward_harness::requirement::Requirement;
use onnward_models::Family;
use serde::Serialize;

use crate::comparison::report::{Report, Summary};
use crate::comparison::scenario::Scenario;
use crate::comparison::subject::Subject;

/// A target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Target {
    /// Both sides were measured.
    Judged(Requirement),
    /// Something that it needs was not measured.
    NotMeasured {
        /// The requirements.
        required: String,
        /// The missing part.
        missing: String,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judged(requirement) => requirement.fmt(f),
            Self::NotMeasured { required, missing } => {
                write!(f, "  not measured  {required}: {missing} is missing")
            }
        }
    }
}

/// A ratio to reach.
struct Ratio {
    what: String,
    /// The subject of the other side.
    to: Subject,
    value: fn(&Summary) -> f64,
    scenario: Scenario,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Limit {
    fn judge(self, what: &str, found: f64, unit: &str) -> Target {
        Target::Judged(match self {
            Self::AtLeast(limit) => Requirement::at_least(what, found, limit, unit),
            Self::AtMost(limit) => Requirement::at_most(what, found, limit, unit),
        })
    }

    fn of(self, what: &str) -> String {
        match self {
            Self::AtLeast(limit) => format!("{what} at least {limit}"),
            Self::AtMost(limit) => format!("{what} at most {limit}"),
        }
    }
}

/// Compares the report's figures with the targets: those of Onnward with its defaults or, if not measured, on
/// one runtime.
pub fn judge(report: &Report) -> Vec<Target> {
    let measured = |subject: &Subject| report.runs.iter().any(|run| run.subject == *subject);
    let Some(onnward) =
        [Subject::Onnward, Subject::OnnwardOnnxruntime, Subject::OnnwardTract].into_iter().find(measured)
    else {
        return Vec::new();
    };
    let mut targets = Vec::new();
    for family in report.families() {
        targets.extend(ratios(family).iter().map(|ratio| ratio.judge(report, onnward, family)));
        targets.extend(whole_batch(report, onnward, family));
        targets.extend(starts(report, onnward, family));
    }
    targets.extend(overload(report, onnward));
    targets.extend(report.both_resident_bytes.get(&onnward).map(|bytes| {
        Limit::AtMost(80.0).judge("memory with a model of each family", *bytes as f64 / 1e6, " MB")
    }));
    targets
}

fn ratios(family: Family) -> Vec<Ratio> {
    let [share, cpu] = match family {
        Family::Logistic | Family::Ridge => [0.7, 1.5],
        Family::Forest => [0.5, 2.0],
    };
    let ratio = |what: &str, to: Subject, value, scenario, limit| Ratio {
        what: format!("{family}: {what}, to {}", to.title()),
        to,
        value,
        scenario,
        limit,
    };
    let requests: fn(&Summary) -> f64 = |summary| summary.requests_per_second;
    let rows: fn(&Summary) -> f64 = |summary| summary.rows_per_second;
    let cpu_time: fn(&Summary) -> f64 = |summary| summary.cpu_us_per_request;
    let p50: fn(&Summary) -> f64 = |summary| summary.latency_us.map_or(f64::NAN, |latencies| latencies.p50);
    let p99: fn(&Summary) -> f64 = |summary| summary.latency_us.map_or(f64::NAN, |latencies| latencies.p99);
    let (at_1, at_64, batch) = (Scenario::SingleAt1, Scenario::SingleAt64, Scenario::Batch1024);
    vec![
        ratio("requests/s, 64 at a time", Subject::Bare, requests, at_64, Limit::AtLeast(share)),
        ratio("CPU time a request, 64 at a time", Subject::Bare, cpu_time, at_64, Limit::AtMost(cpu)),
        ratio("p50, 1 at a time", Subject::Bare, p50, at_1, Limit::AtMost(2.0)),
        ratio("p99, 1 at a time", Subject::Bare, p99, at_1, Limit::AtMost(3.0)),
        ratio("requests/s, 64 at a time", Subject::FastapiSklearn, requests, at_64, Limit::AtLeast(250.0)),
        ratio("requests/s, 64 at a time", Subject::FastapiOnnxruntime, requests, at_64, Limit::AtLeast(10.0)),
        ratio("requests/s, 64 at a time", Subject::Mlserver, requests, at_64, Limit::AtLeast(20.0)),
        ratio("rows/s in batches of 1,024", Subject::FastapiOnnxruntime, rows, batch, Limit::AtLeast(10.0)),
    ]
}

impl Ratio {
    fn judge(&self, report: &Report, onnward: Subject, family: Family) -> Target {
        let find = |subject| report.summary(subject, family, self.scenario).map(self.value);
        match (find(onnward), find(self.to)) {
            (Some(own), Some(other)) => self.limit.judge(&self.what, own / other, ""),
            (_, other) => {
                let missing = if other.is_none() { self.to } else { onnward };
                let required = self.limit.of(&self.what);
                Target::NotMeasured { required, missing: missing.title().to_owned() }
            }
        }
    }
}

/// Compares the server's processor time for parsing, encoding, running and answering with a run of ONNX
/// Runtime alone. The latter is the cost for a program that has the rows as a matrix and calls the runtime
/// itself.
fn whole_batch(report: &Report, onnward: Subject, family: Family) -> Option<Target> {
    // It is required of the forest; a logistic session takes less time than reading its rows.
    let mut sessions = report.sessions.iter().filter(|_| family == Family::Forest);
    let alone = sessions.find(|session| {
        session.backend == "onnxruntime" && session.family == family.name() && session.rows == 1024
    })?;
    let whole = report.summary(onnward, family, Scenario::Batch1024)?.cpu_us_per_request;
    let what = format!("{family}: CPU time of a request of 1,024 rows, to ONNX Runtime's run alone");
    Some(Limit::AtMost(3.0).judge(&what, whole / alone.us, ""))
}

fn starts(report: &Report, onnward: Subject, family: Family) -> Vec<Target> {
    let limit = Limit::AtMost(match family {
        Family::Logistic | Family::Ridge => 100.0,
        Family::Forest => 300.0,
    });
    let own = report.starts.iter().find(|start| start.subject == onnward && start.family == family);
    let places =
        own.into_iter().flat_map(|start| [("memory", start.seconds), ("the disk", start.from_disk_seconds)]);
    let judge = |(place, seconds): (&str, f64)| {
        let what = format!("{family}: ready after, its files read from {place}");
        limit.judge(&what, seconds * 1e3, " ms")
    };
    places.filter(|(_, seconds)| seconds.is_finite()).map(judge).collect()
}

/// The factor of a full queue's time that an admitted request may take: it is also in a running batch, and
/// its answer is sent.
const ABOVE_THE_QUEUE: f64 = 1.5;

fn overload(report: &Report, onnward: Subject) -> Vec<Target> {
    let own = report.overload.iter().filter(|overload| overload.subject == onnward);
    own.flat_map(|overload| {
        let name = |what: &str| format!("{}, {} rows a request: {what}", overload.family, overload.rows);
        let admitted = overload.figures.latency_from_sent_us.map_or(f64::NAN, |latencies| latencies.p99);
        let goodput =
            Limit::AtLeast(0.9).judge(&name("goodput at three times the capacity"), overload.goodput(), "");
        let bounded = name("p99 of what is admitted then, from sending, to the time that a full queue takes");
        [goodput, Limit::AtMost(ABOVE_THE_QUEUE).judge(&bounded, admitted / overload.queue_us(), "")]
    })
    .collect()
}

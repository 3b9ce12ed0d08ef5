//! Load at a constant rate whose every answer is checked: each must come from one of two versions of a model,
//! with the probability that the version's trainer computes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::driver::{Answer, Driver};
use super::post_with;
use super::schedule::{Arrivals, Schedule};
use crate::error::HarnessError;
use crate::versions::{Request, TOLERANCE};

/// The number of connections on which requests take turns.
pub const CONNECTIONS: usize = 32;
/// A request that takes longer has failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The time between two checks whether the load is to stop, and whether requests have timed out.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// The most different failures that are reported.
const MAX_REASONS: usize = 10;

/// The requests, their destination and rate.
#[derive(Debug)]
pub struct CheckedPlan {
    /// The engine.
    pub address: SocketAddr,
    /// The path to which requests are posted.
    pub path: String,
    /// Requests per second.
    pub rate: f64,
    /// The rows, sent in turn.
    pub requests: Vec<Request>,
    /// The versions' numbers in the repository, in the order of a request's probabilities.
    pub versions: [u64; 2],
    /// The API key, if the engine requires one.
    pub key: Option<String>,
}

/// The phase in which a request begins. Latencies are reported by phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Latencies are not reported; answers are checked all the same.
    Unmeasured,
    /// Load alone.
    Quiet,
    /// The subject of the proof, under load: swaps, or a fault.
    Disturbed,
}

/// The results of all requests.
#[derive(Debug, Default)]
pub struct CheckedFigures {
    /// The number of requests sent.
    pub sent: u64,
    /// The number of requests without a response, or with another status than 200.
    pub failed: u64,
    /// The number of responses whose probability is not that of the version they name.
    pub wrong: u64,
    /// The number of correct answers by version.
    pub answered_by: [u64; 2],
    /// The number of failed or wrong answers by reason; not every reason if there are many.
    pub reasons: BTreeMap<String, u64>,
    /// Latencies of the requests that began in the quiet phase.
    pub quiet: Vec<Duration>,
    /// Latencies of the requests that began in the disturbed phase.
    pub disturbed: Vec<Duration>,
}

/// Load that is being put on an engine.
#[derive(Debug)]
pub struct CheckedLoad {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<CheckedFigures, HarnessError>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Since when each phase has lasted, in the order of time.
    phases: Mutex<Vec<(Instant, Phase)>>,
    stops: AtomicBool,
}

impl CheckedLoad {
    /// Starts to send requests, on a thread of its own.
    ///
    /// # Errors
    /// [`HarnessError::System`] if no thread can be started.
    pub fn start(plan: CheckedPlan) -> Result<Self, HarnessError> {
        let shared = Arc::new(Shared::default());
        let run = {
            let shared = Arc::clone(&shared);
            move || run(&plan, &shared)
        };
        let thread = std::thread::Builder::new().name("load".to_owned()).spawn(run);
        Ok(Self { shared, thread: thread.map_err(HarnessError::system("start the load generator"))? })
    }

    /// Begins a phase.
    pub fn enter(&self, phase: Phase) {
        let mut phases = self.shared.phases.lock().unwrap_or_else(PoisonError::into_inner);
        phases.push((Instant::now(), phase));
    }

    /// Stops sending, waits for the answers that are due, and returns the figures.
    ///
    /// # Errors
    /// [`HarnessError::System`] if the engine refused connections; [`HarnessError::Settings`] if the
    /// generator itself failed.
    pub fn stop(self) -> Result<CheckedFigures, HarnessError> {
        self.shared.stops.store(true, Ordering::Relaxed);
        let failed = |_| HarnessError::Settings("the load generator has failed".to_owned());
        self.thread.join().map_err(failed)?
    }
}

impl Shared {
    /// Returns the phase at a time.
    fn phase_at(&self, time: Instant) -> Phase {
        let phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        phases.iter().rev().find(|(since, _)| *since <= time).map_or(Phase::Unmeasured, |(_, phase)| *phase)
    }
}

fn run(plan: &CheckedPlan, shared: &Shared) -> Result<CheckedFigures, HarnessError> {
    let host = plan.address.to_string();
    let key: Vec<(&str, &str)> = plan.key.iter().map(|key| ("x-api-key", key.as_str())).collect();
    let bytes = |request: &Request| post_with(&host, &plan.path, &key, &request.body);
    let requests: Vec<Vec<u8>> = plan.requests.iter().map(bytes).collect();
    let schedule = Schedule::Open { rate: plan.rate, arrivals: Arrivals::Constant, connections: CONNECTIONS };
    let mut driver = Driver::open(plan.address, &requests, schedule)?.keeping_bodies();
    let mut figures = CheckedFigures::default();
    let mut on_answer = |answer: Answer| figures.count(plan, shared.phase_at(answer.due), answer);
    while !shared.stops.load(Ordering::Relaxed) {
        driver.send_until(Instant::now() + CHECK_INTERVAL, &mut on_answer)?;
        driver.fail_older_than(REQUEST_TIMEOUT, &mut on_answer)?;
    }
    driver.drain(&mut on_answer)?;
    Ok(figures)
}

/// One of the two versions.
#[derive(Clone, Copy)]
enum Version {
    First,
    Second,
}

enum Unserved {
    /// There was no answer with status 200.
    Failed(String),
    /// The answer is not what the version that it names computes.
    Wrong(String),
}

#[derive(Deserialize)]
struct Prediction {
    version: u64,
    probability: f64,
}

/// Returns which of the two versions answered: the one that the answer names, if the answer has that
/// version's probability.
fn version_of(plan: &CheckedPlan, answer: &Answer) -> Result<Version, Unserved> {
    let (status, body) = match &answer.result {
        Ok((status, body)) => (*status, body),
        Err(error) => return Err(Unserved::Failed(error.to_string())),
    };
    if status != 200 {
        return Err(Unserved::Failed(format!("{status}: {}", String::from_utf8_lossy(body))));
    }
    let Some(request) = plan.requests.get(answer.request) else {
        return Err(Unserved::Failed("there is no such request".to_owned()));
    };
    check(&plan.versions, request, body).map_err(Unserved::Wrong)
}

fn check(versions: &[u64; 2], request: &Request, body: &[u8]) -> Result<Version, String> {
    let answer: Prediction = serde_json::from_slice(body).map_err(|error| format!("the answer: {error}"))?;
    let [first, second] = *versions;
    let [of_first, of_second] = request.probabilities;
    let (version, expected) = match answer.version {
        version if version == first => (Version::First, of_first),
        version if version == second => (Version::Second, of_second),
        other => return Err(format!("an answer names version {other}, which is neither of the two")),
    };
    if (answer.probability - expected).abs() <= TOLERANCE {
        return Ok(version);
    }
    Err(format!("an answer names version {} and has another probability than its trainer's", answer.version))
}

impl CheckedFigures {
    fn count(&mut self, plan: &CheckedPlan, phase: Phase, answer: Answer) {
        self.sent += 1;
        let reason = match version_of(plan, &answer) {
            Ok(version) => {
                let [first, second] = &mut self.answered_by;
                match version {
                    Version::First => *first += 1,
                    Version::Second => *second += 1,
                }
                match phase {
                    Phase::Unmeasured => {}
                    Phase::Quiet => self.quiet.push(answer.latency.from_due),
                    Phase::Disturbed => self.disturbed.push(answer.latency.from_due),
                }
                return;
            }
            Err(Unserved::Failed(reason)) => {
                self.failed += 1;
                reason
            }
            Err(Unserved::Wrong(reason)) => {
                self.wrong += 1;
                reason
            }
        };
        if self.reasons.len() < MAX_REASONS || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::atomic::AtomicU64;

    use bytes::Bytes;

    use super::super::tests as server;
    use super::*;
    use crate::wait::until;

    fn request() -> Request {
        Request { body: Bytes::from_static(server::REQUEST), probabilities: [0.25, 0.5] }
    }

    fn checked(body: &str) -> Result<Version, String> {
        check(&[1, 2], &request(), body.as_bytes())
    }

    #[test]
    fn an_answer_counts_for_the_version_that_it_names_and_computes() {
        assert!(matches!(checked(r#"{"version": 1, "probability": 0.25}"#), Ok(Version::First)));
        assert!(matches!(checked(r#"{"version": 2, "probability": 0.500001}"#), Ok(Version::Second)));
    }

    #[test]
    fn an_answer_between_the_versions_counts_for_none() {
        for body in [
            r#"{"version": 1, "probability": 0.5}"#,
            r#"{"version": 3, "probability": 0.25}"#,
            r#"{"version": 1}"#,
            "",
        ] {
            assert!(checked(body).is_err(), "{body}");
        }
    }

    #[test]
    fn every_request_is_counted_once_and_failures_keep_their_reasons() {
        let answers = [
            (200, r#"{"version": 1, "probability": 0.25}"#),
            (200, r#"{"version": 2, "probability": 0.5}"#),
            (200, r#"{"version": 2, "probability": 0.25}"#),
            (503, "no model"),
        ];
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        let address = server::server(move |count| {
            counter.fetch_add(1, Ordering::Relaxed);
            // Every fifth request gets no answer: the connection is closed.
            answers.get(count).map_or_else(String::new, |(status, body)| {
                format!("HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n\r\n{body}", body.len())
            })
        });
        let wait_for = |count: u64| assert!(until(|| answered.load(Ordering::Relaxed) >= count).is_some());
        let (path, requests) = ("/predict".to_owned(), vec![request()]);
        let plan = CheckedPlan { address, path, rate: 1000.0, requests, versions: [1, 2], key: None };
        let load = CheckedLoad::start(plan).unwrap();
        wait_for(200);
        load.enter(Phase::Quiet);
        wait_for(400);
        load.enter(Phase::Disturbed);
        wait_for(600);
        let CheckedFigures { sent, failed, wrong, answered_by, reasons, quiet, disturbed } =
            load.stop().unwrap();
        let correct = answered_by.iter().sum::<u64>();
        assert!(sent >= 600 && failed + wrong + correct == sent, "{sent}: {failed}, {wrong}, {correct}");
        assert!(answered_by.iter().all(|count| *count > 0) && wrong > 0, "{reasons:?}");
        assert!(
            reasons["503: no model"] > 0 && reasons.values().sum::<u64>() == failed + wrong,
            "{reasons:?}"
        );
        // Latencies of the first phase are not reported.
        let reported = quiet.len() + disturbed.len();
        assert!(!quiet.is_empty() && !disturbed.is_empty() && reported < correct as usize, "{reported}");
    }

    #[test]
    fn a_server_that_never_answers_fails_every_request() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap();
        let plan = [post_with("test", "/", &[], b"{}")];
        let schedule = Schedule::Open { rate: 1000.0, arrivals: Arrivals::Constant, connections: 2 };
        let mut driver = Driver::open(address.local_addr().unwrap(), &plan, schedule).unwrap();
        let mut failed = 0;
        let mut on_answer = |answer: Answer| {
            assert_eq!(answer.result.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
            failed += 1;
        };
        for _ in 0..3 {
            driver.send_until(Instant::now() + CHECK_INTERVAL, &mut on_answer).unwrap();
            driver.fail_older_than(Duration::ZERO, &mut on_answer).unwrap();
        }
        assert!(failed >= 6, "{failed}");
    }
}

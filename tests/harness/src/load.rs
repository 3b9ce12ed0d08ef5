//! Constant open-loop load: requests begin at fixed times, whatever becomes of those before.
//!
//! A latency counts from the time at which its request should have begun, so that an engine that stands still cannot hide
//! it by holding up the requests that would have noticed (coordinated omission; Gil Tene, How NOT to Measure Latency, 2015).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio::task::{JoinError, JoinSet};

use crate::error::HarnessError;
use crate::versions::{Request, TOLERANCE};

/// Requests take turns on this many clients, each with connections of its own.
pub const CLIENTS: usize = 32;
/// A request that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection is kept that nothing is sent on: less than the engine keeps it, as a load balancer is configured, so
/// that no request meets a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many different failures are told.
const MAX_REASONS: usize = 10;

/// What is sent, where, and how often.
#[derive(Debug)]
pub struct LoadPlan {
    /// Where predictions are asked for.
    pub url: Uri,
    /// Requests a second.
    pub rate: f64,
    /// The rows, which are sent in turn.
    pub requests: Vec<Request>,
    /// The versions' numbers in the repository, in the order of a request's probabilities.
    pub versions: [u64; 2],
    /// The API key that they send, where the engine asks for one.
    pub key: Option<String>,
}

/// What is going on while a request begins: its latency counts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing whose latencies are wanted; answers are checked all the same.
    Unmeasured,
    /// Load alone.
    Quiet,
    /// What the proof is about, under load: swaps, or a fault.
    Disturbed,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub struct LoadFigures {
    /// How many were sent.
    pub sent: u64,
    /// How many were answered by something else than 200, or not at all.
    pub failed: u64,
    /// How many were answered with a probability that is not that of the version they name.
    pub wrong: u64,
    /// How many each of the two versions answered.
    pub answered_by: [u64; 2],
    /// What was wrong or failed, and how often; not all if there is very much.
    pub reasons: BTreeMap<String, u64>,
    /// How long the answers took that were asked for under load alone.
    pub quiet: Vec<Duration>,
    /// How long those took that were asked for while it was disturbed.
    pub disturbed: Vec<Duration>,
}

/// Load that is being put on an engine.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    pacer: JoinHandle<LoadFigures>,
}

#[derive(Debug, Default)]
struct Shared {
    phase: AtomicU8,
    stops: AtomicBool,
}

impl Load {
    /// Begins to send.
    ///
    /// # Errors
    /// The system's, if it gives no threads.
    pub fn start(plan: LoadPlan) -> Result<Self, HarnessError> {
        // One thread sends and one keeps the time: what is left of the machine is the engine's.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(HarnessError::system("start the load generator"))?;
        let shared = Arc::new(Shared::default());
        let pacer = {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name("pacer".to_owned());
            thread.spawn(move || pace(&runtime, plan, &shared))
        };
        let pacer = pacer.map_err(HarnessError::system("start the load generator"))?;
        Ok(Self { shared, pacer })
    }

    /// Says what goes on from now.
    pub fn enter(&self, phase: Phase) {
        self.shared.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Sends no more, waits for the answers that are due, and gives the figures.
    ///
    /// # Errors
    /// [`HarnessError::Settings`] if the load generator itself has failed.
    pub fn stop(self) -> Result<LoadFigures, HarnessError> {
        self.shared.stops.store(true, Ordering::Relaxed);
        self.pacer.join().map_err(|_| HarnessError::Settings("the load generator has failed".to_owned()))
    }
}

impl Shared {
    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            phase if phase == Phase::Quiet as u8 => Phase::Quiet,
            phase if phase == Phase::Disturbed as u8 => Phase::Disturbed,
            _ => Phase::Unmeasured,
        }
    }
}

/// How one request ended.
struct Outcome {
    phase: Phase,
    latency: Duration,
    /// Which version answered, or why the answer does not count.
    result: Result<Version, Unserved>,
}

/// One of the two versions.
#[derive(Clone, Copy)]
enum Version {
    First,
    Second,
}

enum Unserved {
    /// There was no answer of status 200.
    Failed(String),
    /// The answer is not what the version that it names computes.
    Wrong(String),
}

fn pace(runtime: &Runtime, plan: LoadPlan, shared: &Shared) -> LoadFigures {
    let clients: Vec<HttpClient> = runtime.block_on(async { (0..CLIENTS).map(|_| client()).collect() });
    let interval = Duration::from_secs_f64(1.0 / plan.rate);
    let plan = Arc::new(plan);
    let mut figures = LoadFigures::default();
    let mut flying = JoinSet::new();
    let mut due = Instant::now() + interval;
    for (number, client) in (0..).zip(clients.iter().cycle()) {
        if shared.stops.load(Ordering::Relaxed) {
            break;
        }
        // The runtime's timer has a resolution of a millisecond, which is a latency by itself.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let request = request(client.clone(), Arc::clone(&plan), number, due, shared.phase());
        flying.spawn_on(request, runtime.handle());
        figures.sent += 1;
        while let Some(ended) = flying.try_join_next() {
            figures.count(ended);
        }
        due += interval;
    }
    runtime.block_on(async {
        while let Some(ended) = flying.join_next().await {
            figures.count(ended);
        }
    });
    figures
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        // A request that the engine did not take is a request that it dropped.
        .retry_canceled_requests(false)
        .build(connector)
}

async fn request(
    client: HttpClient,
    plan: Arc<LoadPlan>,
    number: usize,
    due: Instant,
    phase: Phase,
) -> Outcome {
    let Some(request) = plan.requests.get(number % plan.requests.len().max(1)) else {
        let result = Err(Unserved::Failed("there is nothing to send".to_owned()));
        return Outcome { phase, latency: due.elapsed(), result };
    };
    let answer = tokio::time::timeout(TIMEOUT, send(&client, &plan, request.body.clone())).await;
    let latency = due.elapsed();
    let result = match answer {
        Ok(Ok(body)) => version_of(&plan.versions, request, &body).map_err(Unserved::Wrong),
        Ok(Err(reason)) => Err(Unserved::Failed(reason)),
        Err(_) => Err(Unserved::Failed(format!("no answer within {} s", TIMEOUT.as_secs()))),
    };
    Outcome { phase, latency, result }
}

async fn send(client: &HttpClient, plan: &LoadPlan, body: Bytes) -> Result<Bytes, String> {
    let request = hyper::Request::builder().method(Method::POST).uri(&plan.url);
    let request = plan.key.iter().fold(request, |request, key| request.header("x-api-key", key));
    let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(body));
    let response = client.request(request.map_err(|error| error.to_string())?).await;
    let (head, body) = response.map_err(|error| reason(&error))?.into_parts();
    let body = body.collect().await.map_err(|error| reason(&error))?.to_bytes();
    if head.status == StatusCode::OK {
        Ok(body)
    } else {
        Err(format!("{}: {}", head.status, String::from_utf8_lossy(&body)))
    }
}

/// An error with what caused it.
pub(crate) fn reason(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[derive(Deserialize)]
struct Answer {
    version: u64,
    probability: f64,
}

/// Which of the two versions an answer is from: the one that it names, if it has that one's probability.
fn version_of(versions: &[u64; 2], request: &Request, body: &[u8]) -> Result<Version, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| format!("the answer: {error}"))?;
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

impl LoadFigures {
    fn count(&mut self, ended: Result<Outcome, JoinError>) {
        let lost = |error: JoinError| Outcome {
            phase: Phase::Unmeasured,
            latency: Duration::ZERO,
            result: Err(Unserved::Failed(format!("the load generator: {error}"))),
        };
        let Outcome { phase, latency, result } = ended.unwrap_or_else(lost);
        let reason = match result {
            Ok(version) => {
                let [first, second] = &mut self.answered_by;
                match version {
                    Version::First => *first += 1,
                    Version::Second => *second += 1,
                }
                match phase {
                    Phase::Unmeasured => {}
                    Phase::Quiet => self.quiet.push(latency),
                    Phase::Disturbed => self.disturbed.push(latency),
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
    use super::*;

    fn judged(body: &str) -> Result<Version, String> {
        let request = Request { body: Bytes::new(), probabilities: [0.25, 0.5] };
        version_of(&[1, 2], &request, body.as_bytes())
    }

    #[test]
    fn an_answer_counts_for_the_version_that_it_names_and_computes() {
        assert!(matches!(judged(r#"{"version": 1, "probability": 0.25}"#), Ok(Version::First)));
        assert!(matches!(judged(r#"{"version": 2, "probability": 0.500001}"#), Ok(Version::Second)));
    }

    #[test]
    fn an_answer_between_the_versions_counts_for_none() {
        for body in [
            r#"{"version": 1, "probability": 0.5}"#,
            r#"{"version": 3, "probability": 0.25}"#,
            r#"{"version": 1}"#,
            "",
        ] {
            assert!(judged(body).is_err(), "{body}");
        }
    }
}

//! Clients of every kind: on kept and on new connections, over HTTP/2, with large and with slow bodies.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::chaos::new_connections;
use crate::chaos::testbed::{MODEL, Testbed};
use onnward_harness::HarnessError;

const KEPT: usize = 16;
const LARGE: usize = 2;
const NEW: usize = 4;
const SLOW: usize = 4;
/// Streams on the HTTP/2 connection.
const STREAMS: usize = 8;
/// The rows in a large body.
const LARGE_ROWS: usize = 500;
/// The pause between an answer and the next request.
const PAUSE: Duration = Duration::from_millis(10);
/// The pause of a slow client in the middle of its body.
const BODY_PAUSE: Duration = Duration::from_millis(250);
const TIMEOUT: Duration = Duration::from_secs(20);
const MAX_REASONS: usize = 10;

/// The number of requests by what happened to them.
#[derive(Debug, Default)]
pub struct Tally {
    pub answered: u64,
    pub after_signal: u64,
    pub unsent: u64,
    pub lost: u64,
    pub reasons: BTreeMap<String, u64>,
}

/// Clients that go on until their connections are refused.
pub struct Clients {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    is_signalled: AtomicBool,
    answered: AtomicU64,
    after_signal: AtomicU64,
    unsent: AtomicU64,
    lost: Mutex<Vec<String>>,
}

/// The outcome of one request.
enum Outcome {
    Answered,
    /// It was not sent, or the engine said that it did not accept it.
    Unsent,
    Lost(String),
}

impl Clients {
    pub fn start(address: SocketAddr, testbed: &Testbed) -> Result<Self, HarnessError> {
        let one = testbed.models.requests.first().map(|request| request.body.clone()).unwrap_or_default();
        let many = Bytes::from(testbed.batch(LARGE_ROWS));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(HarnessError::system("start clients"))?;
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let run = move || runtime.block_on(all(address, one, many, seen));
        let thread = std::thread::Builder::new().name("clients".to_owned()).spawn(run);
        Ok(Self { shared, thread: thread.map_err(HarnessError::system("start clients"))? })
    }

    /// Marks the time of the signal.
    pub fn mark_signal(&self) {
        self.shared.is_signalled.store(true, Ordering::Relaxed);
    }

    /// Waits until all clients have ended, and returns the counts.
    pub fn join(self) -> Result<Tally, HarnessError> {
        self.thread.join().map_err(|_| HarnessError::Settings("the clients have failed".to_owned()))?;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let lost = self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tally = Tally {
            answered: count(&self.shared.answered),
            after_signal: count(&self.shared.after_signal),
            unsent: count(&self.shared.unsent),
            lost: lost.len() as u64,
            reasons: BTreeMap::new(),
        };
        for reason in lost.iter().take(MAX_REASONS) {
            *tally.reasons.entry(reason.clone()).or_default() += 1;
        }
        Ok(tally)
    }
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.after_signal += other.after_signal;
        self.unsent += other.unsent;
        self.lost += other.lost;
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }
}

impl Shared {
    /// Counts an outcome, and returns whether the connection can be used again.
    fn count(&self, kind: &str, outcome: Outcome) -> bool {
        let counter = match outcome {
            Outcome::Answered => {
                if self.is_signalled.load(Ordering::Relaxed) {
                    self.after_signal.fetch_add(1, Ordering::Relaxed);
                }
                &self.answered
            }
            Outcome::Unsent => &self.unsent,
            Outcome::Lost(reason) => {
                self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{kind}: {reason}"));
                return false;
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        matches!(outcome, Outcome::Answered)
    }
}

/// Returns an error's message with those of its causes.
fn reason(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn all(address: SocketAddr, one: Bytes, many: Bytes, shared: Arc<Shared>) {
    let mut clients = JoinSet::new();
    for _ in 0..KEPT {
        clients.spawn(kept("a kept connection", address, one.clone(), Arc::clone(&shared)));
    }
    for _ in 0..LARGE {
        clients.spawn(kept("a large body", address, many.clone(), Arc::clone(&shared)));
    }
    for _ in 0..NEW {
        clients.spawn(new(address, one.clone(), Arc::clone(&shared)));
    }
    for _ in 0..SLOW {
        clients.spawn(slow(address, one.clone(), Arc::clone(&shared)));
    }
    clients.spawn(multiplexed(address, one, shared));
    while clients.join_next().await.is_some() {}
}

/// Connects; returns `None` once the engine accepts no more connections.
async fn connect(address: SocketAddr, shared: &Shared) -> Option<TcpStream> {
    match timeout(TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => Some(stream),
        _ => {
            shared.unsent.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

async fn kept(kind: &'static str, address: SocketAddr, body: Bytes, shared: Arc<Shared>) {
    while let Some(stream) = connect(address, &shared).await {
        let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else { continue };
        tokio::spawn(connection);
        while sender.ready().await.is_ok() {
            let answer = timeout(TIMEOUT, sender.send_request(request(address, &body)));
            if !shared.count(kind, outcome(answer.await).await) {
                break;
            }
            sleep(PAUSE).await;
        }
    }
}

async fn new(address: SocketAddr, body: Bytes, shared: Arc<Shared>) {
    while let Some(stream) = connect(address, &shared).await {
        let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else { continue };
        tokio::spawn(connection);
        let answer = timeout(TIMEOUT, sender.send_request(request(address, &body)));
        shared.count("a new connection", outcome(answer.await).await);
        sleep(PAUSE).await;
    }
}

async fn multiplexed(address: SocketAddr, body: Bytes, shared: Arc<Shared>) {
    while let Some(stream) = connect(address, &shared).await {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let Ok((sender, connection)) = handshake else { continue };
        tokio::spawn(connection);
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            let (mut sender, body, shared) = (sender.clone(), body.clone(), Arc::clone(&shared));
            streams.spawn(async move {
                while sender.ready().await.is_ok() {
                    let answer = timeout(TIMEOUT, sender.send_request(request(address, &body)));
                    if !shared.count("HTTP/2", outcome(answer.await).await) {
                        break;
                    }
                    sleep(PAUSE).await;
                }
            });
        }
        while streams.join_next().await.is_some() {}
    }
}

/// Sends half of a body, and the rest after a pause.
async fn slow(address: SocketAddr, body: Bytes, shared: Arc<Shared>) {
    let request = new_connections::request(&body);
    let (first, second) = request.split_at(request.len() - body.len() / 2);
    while let Some(mut stream) = connect(address, &shared).await {
        let exchange = async {
            stream.write_all(first).await?;
            sleep(BODY_PAUSE).await;
            stream.write_all(second).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let outcome = match timeout(TIMEOUT, exchange).await {
            Ok(Ok(answer)) if answer.starts_with(b"HTTP/1.1 200") => Outcome::Answered,
            Ok(Ok(answer)) => Outcome::Lost(String::from_utf8_lossy(&answer).chars().take(80).collect()),
            Ok(Err(error)) => Outcome::Lost(error.to_string()),
            Err(_) => Outcome::Lost("no answer in time".to_owned()),
        };
        shared.count("a slow body", outcome);
    }
}

fn request(address: SocketAddr, body: &Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = hyper::Method::POST;
    // HTTP/2 takes scheme and host from the target, HTTP/1 the host from its header.
    if let Ok(uri) = format!("http://{address}/models/{MODEL}/predict").parse() {
        *request.uri_mut() = uri;
    }
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    if let Ok(host) = address.to_string().parse() {
        headers.insert(HOST, host);
    }
    request
}

async fn outcome(
    answer: Result<Result<Response<Incoming>, hyper::Error>, tokio::time::error::Elapsed>,
) -> Outcome {
    match answer {
        Ok(Ok(response)) => {
            let status = response.status();
            match response.into_body().collect().await {
                Ok(_) if status == StatusCode::OK => Outcome::Answered,
                Ok(body) => {
                    let text =
                        String::from_utf8_lossy(&body.to_bytes()).chars().take(200).collect::<String>();
                    Outcome::Lost(format!("{status}: {text}"))
                }
                Err(error) => Outcome::Lost(reason(&error)),
            }
        }
        Ok(Err(error)) if is_unsent(&error) => Outcome::Unsent,
        Ok(Err(error)) => Outcome::Lost(reason(&error)),
        Err(_) => Outcome::Lost("no answer in time".to_owned()),
    }
}

/// Returns whether the request was never written, or refused by an HTTP/2 GOAWAY.
fn is_unsent(error: &hyper::Error) -> bool {
    let refused = |error: &h2::Error| {
        error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    };
    error.is_canceled() || error.source().and_then(|source| source.downcast_ref()).is_some_and(refused)
}

//! Connections: accepted until the last phase, each bounded in what it may hold back.

mod connection;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use onnward_telemetry::metrics::{ConnectionEnd, ConnectionMetrics};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

pub use self::connection::PeerAddress;
use crate::admission::connections::Connections;
use crate::lifecycle::{Lifecycle, Phase};
use crate::tls::ServerTls;

/// How long a connection may be idle, or take for another head: hyper has one clock for both. Load balancers keep idle
/// connections for up to 60 s, and one that is closed under them costs a request.
const NEXT_HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How often an HTTP/2 connection is asked whether its client is still there, and how long it has for its answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long requests may still arrive on connections that are open when the listener closes.
const REQUEST_DRAIN: Duration = Duration::from_millis(100);
/// How long to wait when the system has no more file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a listener's connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How many there may be.
    pub max_connections: usize,
    /// How many fields the head of a request may have.
    pub max_headers: usize,
    /// How many bytes the head of a request may have.
    pub max_header_bytes: usize,
    /// How many requests may be under way on one HTTP/2 connection.
    pub max_streams: u32,
    /// For how long a connection with a request is surely not idle.
    pub max_request_age: Duration,
}

/// What is served at one address.
pub struct Server {
    /// Where connections come from.
    pub listener: TcpListener,
    /// What answers their requests.
    pub router: Router,
    /// How they are encrypted; `None`: they are not.
    pub tls: Option<Arc<ServerTls>>,
    /// What they may take.
    pub limits: ConnectionLimits,
    /// Where they are counted.
    pub metrics: ConnectionMetrics,
}

/// What the connections of a listener share.
struct Shared {
    router: Router,
    tls: Option<Arc<ServerTls>>,
    builder: Builder<TokioExecutor>,
    metrics: ConnectionMetrics,
}

/// Serves connections until the phase [`Phase::Draining`], then closes the listener and returns when the last request in
/// flight is answered.
pub async fn serve(server: Server, lifecycle: Arc<Lifecycle>) {
    let Server { listener, router, tls, limits, metrics } = server;
    let connections = Arc::new(Connections::new(limits.max_connections, limits.max_request_age));
    let shared = Arc::new(Shared { router, tls, builder: connection_builder(limits), metrics });
    let mut draining = pin!(lifecycle.reached(Phase::Draining));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut draining => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => serve_connection(&connections, &shared, accepted).await,
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drain_accept_queue(listener, &connections, &shared).await;
    // The first requests of new connections have started by then; idle connections are closed.
    sleep(REQUEST_DRAIN).await;
    connections.close_all();
    connections.all_closed().await;
}

/// Drains the accept queue and closes the listener, because closing resets connections that are not accepted yet.
async fn drain_accept_queue(listener: TcpListener, connections: &Arc<Connections>, shared: &Arc<Shared>) {
    let Ok(listener) = listener.into_std() else { return };
    // The queue is read to its end before anything is served: a client has only the moment between the last `accept` and
    // the close to lose its connection in, and tries again.
    let mut accepted = Vec::new();
    loop {
        match listener.accept() {
            Ok(connection) => accepted.push(connection),
            Err(error) if is_connection_error(&error) || error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    drop(listener);
    for (stream, peer) in accepted {
        let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        if let Ok(stream) = stream {
            serve_connection(connections, shared, (stream, peer)).await;
        }
    }
}

/// Serves a new connection. Without room it first evicts the longest-idle ones.
async fn serve_connection(
    connections: &Arc<Connections>,
    shared: &Arc<Shared>,
    (stream, peer): (TcpStream, SocketAddr),
) {
    match connections.acquire().await {
        Some(slot) => {
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                shared.metrics.opened();
                connection::serve(stream, peer, &shared, &slot).await;
                shared.metrics.closed();
            });
        }
        None => shared.metrics.ended_early(ConnectionEnd::NoRoom),
    }
}

fn connection_builder(limits: ConnectionLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_HEAD_TIMEOUT)
        .max_headers(limits.max_headers)
        .max_buf_size(limits.max_header_bytes)
        // Answers are small: head and body in one piece cost the system less than two.
        .writev(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

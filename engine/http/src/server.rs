//! The listener: accepts connections until the engine drains, and limits their number and duration.

mod connection;
mod drain;
mod http_stream;
mod malformed_head;
mod request_body;
mod response_body;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use onnward_telemetry::metrics::{ConnectionEnd, ConnectionMetrics};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

pub use self::connection::PeerAddress;
use self::drain::BodyDrain;
pub use self::malformed_head::HeadLimits;
pub use self::request_body::UploadEvicted;
pub use self::response_body::ResponseMemory;
use crate::admission::connections::Connections;
use crate::lifecycle::{Lifecycle, Phase};
use crate::tls::ServerTls;

/// The maximum time that a connection may be idle or take for the next head: hyper has one timer for both.
/// Load balancers keep idle connections for up to 60 s, and lose a request if the engine closes one first.
const NEXT_HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// The interval of HTTP/2 keep-alive pings.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// The maximum time for the response to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// The factor by which an HTTP/2 head may exceed its limit and still gets a complete response. A larger one is
/// rejected by the protocol's implementation, without a body.
const HTTP2_HEAD_FACTOR: usize = 4;
/// The time during which requests may still arrive on open connections after the listener closes.
const REQUEST_DRAIN: Duration = Duration::from_millis(100);
/// The pause after a failed accept, for example when the system has no more file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits of a listener's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// The maximum number of connections.
    pub max_connections: usize,
    /// The maximum number of header fields in a request.
    pub max_headers: usize,
    /// The maximum size of a request's head in bytes.
    pub max_header_bytes: usize,
    /// The maximum number of requests in flight on one HTTP/2 connection.
    pub max_streams: u32,
    /// The age up to which a request in flight protects its connection from eviction.
    pub max_request_age: Duration,
    /// The maximum number of bytes that are read of a body after its response.
    pub max_drained_bytes: usize,
    /// The maximum time in which they are read.
    pub max_drain_time: Duration,
}

/// A server on one address.
pub struct Server {
    /// The listener of connections.
    pub listener: TcpListener,
    /// The routes.
    pub router: Router,
    /// The TLS configuration. `None` serves plain HTTP.
    pub tls: Option<Arc<ServerTls>>,
    /// The limits of connections.
    pub limits: ConnectionLimits,
    /// The metrics of connections.
    pub metrics: ConnectionMetrics,
}

/// The data that all connections of a listener share.
struct Shared {
    router: Router,
    tls: Option<Arc<ServerTls>>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    head_limits: HeadLimits,
    drain: BodyDrain,
    metrics: ConnectionMetrics,
}

/// Serves connections until [`Phase::Draining`]. Then closes the listener, and returns when the last request
/// in flight has its response.
pub async fn serve(server: Server, lifecycle: Arc<Lifecycle>) {
    let Server { listener, router, tls, limits, metrics } = server;
    let connections = Arc::new(Connections::new(limits.max_connections, limits.max_request_age));
    let drain = BodyDrain::new(limits.max_drained_bytes, limits.max_drain_time);
    let head_limits = HeadLimits { max_headers: limits.max_headers, max_bytes: limits.max_header_bytes };
    let (http1, http2) = (http1_builder(head_limits), http2_builder(limits));
    let shared = Arc::new(Shared { router, tls, http1, http2, head_limits, drain, metrics });
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
                tracing::error!(%error, "accepting a connection failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drain_accept_queue(listener, &connections, &shared).await;
    // By then, the first requests of new connections have started. Idle connections are closed.
    sleep(REQUEST_DRAIN).await;
    connections.close_all();
    connections.all_closed().await;
}

/// Drains the accept queue and closes the listener, because closing resets connections that are not yet
/// accepted.
async fn drain_accept_queue(listener: TcpListener, connections: &Arc<Connections>, shared: &Arc<Shared>) {
    let Ok(listener) = listener.into_std() else { return };
    // The queue is emptied before anything is served. So a client can lose its connection only between the
    // last `accept` and the close, and retries.
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

fn http1_builder(limits: HeadLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_HEAD_TIMEOUT)
        .max_headers(limits.max_headers)
        .max_buf_size(limits.max_bytes)
        // Responses are small: writing head and body in one buffer is cheaper than two.
        .writev(false);
    builder
}

fn http2_builder(limits: ConnectionLimits) -> http2::Builder<TokioExecutor> {
    let max_head_bytes = limits.max_header_bytes.saturating_mul(HTTP2_HEAD_FACTOR);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(u32::try_from(max_head_bytes).unwrap_or(u32::MAX))
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

//! Connections: accepted until the last phase, each bounded in what it may hold back.

mod closing;
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
use tokio::time::{Instant, sleep, sleep_until};

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
/// How long connections may still be accepted that clients began before the end.
const LAST_CONNECTIONS: Duration = Duration::from_millis(100);
/// How long requests may still come on connections that are open when the listener closes.
const LAST_REQUESTS: Duration = Duration::from_millis(100);
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
    pub busy: Duration,
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
    let connections = Arc::new(Connections::new(limits.max_connections, limits.busy));
    let shared = Arc::new(Shared { router, tls, builder: connection_builder(limits), metrics });
    let mut draining = pin!(lifecycle.reached(Phase::Draining));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut draining => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => admit(&connections, &shared, accepted).await,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    accept_last(listener, &connections, &shared).await;
    // A request that is on its way on a new connection has begun by then; idle connections are closed.
    sleep(LAST_REQUESTS).await;
    connections.end_all();
    connections.ended().await;
}

/// Accepts what clients have begun, and closes the listener: that resets those connections that the system has taken and nobody has
/// accepted.
async fn accept_last(listener: TcpListener, connections: &Arc<Connections>, shared: &Arc<Shared>) {
    // Where the system takes no more, what it has taken comes within this time; elsewhere the listener closes at once.
    let wait = if closing::begin_no_more(&listener) { LAST_CONNECTIONS } else { Duration::ZERO };
    let mut end = pin!(sleep_until(Instant::now() + wait));
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut end => return,
        };
        if let Ok(accepted) = accepted {
            admit(connections, shared, accepted).await;
        }
    }
}

/// Serves a new connection. Where there is no room, those that have been idle for longest make some.
async fn admit(
    connections: &Arc<Connections>,
    shared: &Arc<Shared>,
    (stream, peer): (TcpStream, SocketAddr),
) {
    match connections.enter().await {
        Some(place) => {
            let shared = Arc::clone(shared);
            tokio::spawn(async move {
                shared.metrics.opened();
                connection::serve(stream, peer, &shared, &place).await;
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

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

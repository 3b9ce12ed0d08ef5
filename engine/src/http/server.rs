//! Connections: accepted until the last phase, each bounded in what it may hold back.

use std::future::ready;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tower::ServiceExt;

use crate::shutdown::{Lifecycle, Phase};

/// How long a new connection may take for the head of its first request.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may then be idle, or take for another head: hyper has one clock for both. Load balancers keep
/// idle connections for up to 60 s, and one that is closed under them costs a request.
const NEXT_HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How often an HTTP/2 connection is asked whether its client is still there.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long requests may still come on connections that are open when the listener closes.
const LAST_REQUESTS: Duration = Duration::from_millis(100);
/// How long to wait when the system has no more file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until the phase [`Phase::Draining`], then closes the listener and returns when the last request in
/// flight is answered.
pub async fn serve(listener: TcpListener, router: Router, lifecycle: Arc<Lifecycle>) {
    let builder = connection_builder();
    let graceful = GracefulShutdown::new();
    let mut draining = pin!(lifecycle.reached(Phase::Draining));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut draining => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, builder.clone(), router.clone(), graceful.watcher()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Connections that the system has accepted for us are served; closing the listener would reset them.
    loop {
        let waiting = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = ready(()) => break,
        };
        if let Ok((stream, _)) = waiting {
            tokio::spawn(connection(stream, builder.clone(), router.clone(), graceful.watcher()));
        }
    }
    drop(listener);
    // A request that is on its way on a new connection has begun by then; idle connections are closed.
    sleep(LAST_REQUESTS).await;
    graceful.shutdown().await;
}

fn connection_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // Answers are small: head and body in one piece cost the system less than two.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(NEXT_HEAD_TIMEOUT).writev(false);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_INTERVAL);
    builder
}

/// Serves one connection. Its first request must come within [`FIRST_HEAD_TIMEOUT`]: hyper itself sets no bound while it finds
/// out whether a client speaks HTTP/1 or HTTP/2.
async fn connection(stream: TcpStream, builder: Builder<TokioExecutor>, router: Router, watcher: Watcher) {
    // Without it a small answer may wait for the client's acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let begun = Arc::new(AtomicBool::new(false));
    let mark_begun = {
        let begun = Arc::clone(&begun);
        move |request: Request<Incoming>| {
            begun.store(true, Ordering::Relaxed);
            request
        }
    };
    let service = TowerToHyperService::new(router.map_request(mark_begun));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(watcher.watch(connection));
    tokio::select! {
        result = &mut connection => return log_end(result),
        () = sleep(FIRST_HEAD_TIMEOUT) => {}
    }
    if begun.load(Ordering::Relaxed) {
        log_end(connection.await);
    }
}

/// Broken connections are the clients' affair; they show when somebody looks into a problem.
fn log_end(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

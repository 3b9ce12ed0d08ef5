//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use onnward_telemetry::metrics::ConnectionEnd;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_io_timeout::TimeoutStream;
use tower::Service;

use super::Shared;
use crate::admission::connections::{Ending, FIRST_REQUEST, Place};

/// How long a new connection may take for its handshake and the head of its first request: hyper itself sets no bound while it
/// finds out whether a client speaks HTTP/1 or HTTP/2.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is sent to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection that is to make room for another has for what is still under way on it.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// The address at the other end of the connection on which a request came: an extension of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// Serves a connection until one of the two sides has had enough of it.
pub async fn serve(stream: TcpStream, peer: SocketAddr, shared: &Shared, place: &Place) {
    // Without it a small answer may wait for the client's acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let stream = Box::pin(stream);
    let deadline = Instant::now() + FIRST_HEAD_TIMEOUT;
    let Some(tls) = &shared.tls else {
        return converse(stream, peer.ip(), shared, place, deadline).await;
    };
    let handshake = tokio::select! {
        handshake = timeout_at(deadline, tls.acceptor().accept(stream)) => handshake,
        ending = place.state.told_to_end() => return note(ending, shared),
    };
    match handshake {
        Ok(Ok(stream)) => converse(stream, peer.ip(), shared, place, deadline).await,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection broke");
            shared.metrics.ended_early(ConnectionEnd::Handshake);
        }
        Err(_) => shared.metrics.ended_early(ConnectionEnd::Slow),
    }
}

/// Answers the requests of a connection. The head of the first must come before `deadline`.
async fn converse<S>(stream: S, peer: IpAddr, shared: &Shared, place: &Place, deadline: Instant)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(|mut request: Request<Incoming>| {
        let answering = place.state.request_begins();
        request.extensions_mut().insert(PeerAddress(peer));
        let answer = shared.router.clone().call(request.map(Body::new));
        async move {
            let answer: Result<Response, Infallible> = answer.await;
            drop(answering);
            answer
        }
    });
    let mut connection = pin!(shared.builder.serve_connection(TokioIo::new(stream), service));
    // From its first request on a connection has one clock less to look at.
    let told = tokio::select! {
        biased;
        result = &mut connection => return log_end(result),
        () = place.state.begun() => None,
        ending = place.state.told_to_end() => Some(ending),
        () = sleep_until(deadline) => return shared.metrics.ended_early(ConnectionEnd::Slow),
    };
    let ending = match told {
        Some(ending) => ending,
        None => tokio::select! {
            biased;
            result = &mut connection => return log_end(result),
            ending = place.state.told_to_end() => ending,
        },
    };
    note(ending, shared);
    if ending == Ending::WhenDone && !place.state.has_begun() {
        // The first request of a new connection may be on its way.
        let first_request = sleep_until(place.state.last_begun() + FIRST_REQUEST);
        tokio::select! {
            result = &mut connection => return log_end(result),
            () = first_request => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    match ending {
        Ending::WhenDone => log_end(connection.await),
        Ending::AtOnce => {
            if let Ok(result) = timeout_at(Instant::now() + LAST_MOMENT, connection).await {
                log_end(result);
            }
        }
    }
}

fn note(ending: Ending, shared: &Shared) {
    if ending == Ending::AtOnce {
        shared.metrics.ended_early(ConnectionEnd::MadeRoom);
    }
}

/// Broken connections are the clients' affair; they show when somebody looks into a problem.
fn log_end(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}

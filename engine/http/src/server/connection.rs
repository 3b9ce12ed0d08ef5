//! Serves one connection.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::TokioIo;
use onnward_telemetry::metrics::ConnectionEnd;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_io_timeout::TimeoutStream;
use tower::Service;

use super::response_body::PendingResponses;
use super::{Shared, request_body};
use crate::admission::connections::{CloseReason, ConnectionSlot, FIRST_REQUEST_GRACE};

/// The maximum time for the handshake and the head of the first request. hyper sets no limit while it detects
/// whether a client uses HTTP/1 or HTTP/2.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum time without write progress.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum time for the requests in flight of an evicted connection.
const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// The remote address of a request's connection: an extension of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// Serves a connection until either side closes it.
pub async fn serve(stream: TcpStream, peer: SocketAddr, shared: &Shared, slot: &ConnectionSlot) {
    // Otherwise a small response may wait until the client acknowledges the previous one.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let stream = Box::pin(stream);
    let deadline = Instant::now() + FIRST_HEAD_TIMEOUT;
    let Some(tls) = &shared.tls else {
        return serve_requests(stream, peer.ip(), shared, slot, deadline).await;
    };
    let handshake = tokio::select! {
        handshake = timeout_at(deadline, tls.acceptor().accept(stream)) => handshake,
        reason = slot.state.closing() => return record_close(reason, shared),
    };
    match handshake {
        Ok(Ok(stream)) => serve_requests(stream, peer.ip(), shared, slot, deadline).await,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection failed");
            shared.metrics.ended_early(ConnectionEnd::Handshake);
        }
        Err(_) => shared.metrics.ended_early(ConnectionEnd::Slow),
    }
}

/// Serves the requests of a connection. The head of the first must arrive before `deadline`.
async fn serve_requests<S>(stream: S, peer: IpAddr, shared: &Shared, slot: &ConnectionSlot, deadline: Instant)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let responses = Arc::new(PendingResponses::default());
    let service = service_fn(|mut request: Request<Incoming>| {
        let answering = slot.state.request_started();
        request.extensions_mut().insert(PeerAddress(peer));
        let (request, body) = request_body::track(request, &shared.drain);
        // Only HTTP/2 lets a client take one response and not another.
        let responses = (request.version() == Version::HTTP_2).then(|| Arc::clone(&responses));
        let answer = shared.router.clone().call(request);
        async move {
            let mut answer: Result<Response, Infallible> = answer.await;
            if let (Some(body), Ok(response)) = (body, &mut answer) {
                body.finish(response).await;
            }
            drop(answering);
            match responses {
                Some(responses) => answer.map(|response| response.map(|body| responses.follow(body))),
                None => answer,
            }
        }
    });
    let mut connection = pin!(shared.builder.serve_connection(TokioIo::new(stream), service));
    // After the first request, the deadline no longer applies.
    let close = tokio::select! {
        biased;
        result = &mut connection => return log_error(result),
        () = slot.state.first_request_started() => None,
        reason = slot.state.closing() => Some(reason),
        () = sleep_until(deadline) => return shared.metrics.ended_early(ConnectionEnd::Slow),
    };
    let reason = match close {
        Some(reason) => reason,
        None => tokio::select! {
            biased;
            result = &mut connection => return log_error(result),
            reason = slot.state.closing() => reason,
            () = responses.stalled(WRITE_TIMEOUT) => return shared.metrics.ended_early(ConnectionEnd::Slow),
        },
    };
    record_close(reason, shared);
    if reason == CloseReason::Drained && !slot.state.has_started() {
        // The first request of a new connection may be in transit.
        let first_request = sleep_until(slot.state.last_request_start() + FIRST_REQUEST_GRACE);
        tokio::select! {
            result = &mut connection => return log_error(result),
            () = first_request => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    match reason {
        CloseReason::Drained => log_error(connection.await),
        CloseReason::Evicted => {
            if let Ok(result) = timeout_at(Instant::now() + EVICTION_GRACE, connection).await {
                log_error(result);
            }
        }
    }
}

fn record_close(reason: CloseReason, shared: &Shared) {
    if reason == CloseReason::Evicted {
        shared.metrics.ended_early(ConnectionEnd::MadeRoom);
    }
}

/// Logs a connection error at debug level, because clients usually cause them.
fn log_error(result: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection failed");
    }
}

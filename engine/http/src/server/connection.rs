//! Serves one connection.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use onnward_telemetry::metrics::ConnectionEnd;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;
use tower::Service;

use super::http_stream::{HttpStream, Protocol, read_protocol};
use super::malformed_head::{MalformedHead, reject};
use super::response_body::{PendingResponses, ResponseMemory};
use super::{Shared, request_body};
use crate::admission::connections::{CloseReason, ConnectionSlot, ConnectionState, FIRST_REQUEST_GRACE};
use crate::problem::HeadError;
use crate::root_cause::root_cause;
use crate::tls::ServerTls;

/// The maximum time for the handshake and the head of the first request. hyper's own limit begins later.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum time without write progress.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum time for the requests in flight of an evicted connection.
const EVICTION_GRACE: Duration = Duration::from_secs(1);

/// The remote address of a request's connection: an extension of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// A TCP connection with a limit on the time without write progress.
type TcpConnection = Pin<Box<TimeoutStream<TcpStream>>>;

/// The end of a connection's service.
enum Served<E> {
    /// The connection itself ended.
    Ended(Result<(), E>),
    /// The head of its first request did not arrive in time.
    Late,
    /// The engine gave it up.
    GivenUp,
}

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
        handshake = timeout_at(deadline, accept_tls(tls, stream)) => handshake,
        reason = slot.state.closing() => return record_close(reason, shared),
    };
    match handshake {
        Ok(Ok(Opened::Tls(stream))) => serve_requests(stream, peer.ip(), shared, slot, deadline).await,
        Ok(Ok(Opened::Plain(stream))) => {
            shared.metrics.ended_early(ConnectionEnd::Handshake);
            reject(stream, peer.ip(), shared, slot, MalformedHead::unread(HeadError::NotTls)).await;
        }
        Ok(Err(error)) => {
            log_error(&error);
            shared.metrics.ended_early(ConnectionEnd::Handshake);
        }
        Err(_) => shared.metrics.ended_early(ConnectionEnd::Slow),
    }
}

/// A connection to a port that requires TLS.
enum Opened {
    Tls(Box<TlsStream<TcpConnection>>),
    /// Its client speaks HTTP without TLS.
    Plain(TcpConnection),
}

/// Accepts a TLS connection, unless the client speaks HTTP without it.
async fn accept_tls(tls: &ServerTls, stream: TcpConnection) -> io::Result<Opened> {
    let mut first = [0];
    stream.get_ref().peek(&mut first).await?;
    // A method begins with a letter, and a TLS record with a number below 24.
    if first[0].is_ascii_uppercase() {
        return Ok(Opened::Plain(stream));
    }
    tls.acceptor().accept(stream).await.map(|stream| Opened::Tls(Box::new(stream)))
}

/// Serves the requests of a connection. The head of the first must arrive before `deadline`.
async fn serve_requests<S>(
    mut stream: S,
    peer: IpAddr,
    shared: &Shared,
    slot: &ConnectionSlot,
    deadline: Instant,
) where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let protocol = tokio::select! {
        biased;
        protocol = read_protocol(&mut stream) => protocol,
        reason = first_bytes_due(slot) => return record_close(reason, shared),
        () = sleep_until(deadline) => return shared.metrics.ended_early(ConnectionEnd::Slow),
    };
    let protocol = match protocol {
        Ok(Some(protocol)) => protocol,
        Ok(None) => return,
        Err(error) => return log_error(&error),
    };
    let responses = Arc::new(PendingResponses::default());
    let service = service_fn(|request| answer(request, peer, shared, slot, &responses));
    match protocol {
        Protocol::Http1(first_bytes) => {
            let io = TokioIo::new(HttpStream::new(stream, first_bytes));
            let mut connection = shared.http1.serve_connection(io, service);
            let served = drive(Pin::new(&mut connection), &responses, shared, slot, deadline).await;
            let parts = connection.into_parts();
            let head = match served {
                Served::Ended(Err(error)) => {
                    log_error(&error);
                    MalformedHead::of(&error, &parts.read_buf, shared.head_limits)
                }
                Served::Late if !parts.read_buf.is_empty() => {
                    Some(MalformedHead::late(&parts.read_buf, FIRST_HEAD_TIMEOUT))
                }
                _ => None,
            };
            if let Some(head) = head {
                reject(parts.io.into_inner().into_inner(), peer, shared, slot, head).await;
            }
        }
        Protocol::Http2(first_bytes) => {
            let io = TokioIo::new(HttpStream::new(stream, first_bytes));
            let connection = pin!(shared.http2.serve_connection(io, service));
            let served = drive(connection, &responses, shared, slot, deadline).await;
            let Served::Ended(Err(error)) = served else { return };
            if breaks_http2(&error) {
                shared.metrics.ended_early(ConnectionEnd::Protocol);
                let reason = root_cause(&error);
                tracing::info!(client = %peer, reason, "a client broke the rules of HTTP/2");
            } else {
                log_error(&error);
            }
        }
    }
}

/// Answers a request.
fn answer(
    mut request: Request<Incoming>,
    peer: IpAddr,
    shared: &Shared,
    slot: &ConnectionSlot,
    responses: &Arc<PendingResponses>,
) -> impl Future<Output = Result<Response, Infallible>> + Send + use<> {
    let answering = slot.state.request_started();
    request.extensions_mut().insert(PeerAddress(peer));
    let (request, body) = request_body::track(request, &shared.drain, &slot.state);
    let is_http2 = request.version() == Version::HTTP_2;
    let responses = Arc::clone(responses);
    let upload = body.as_ref().filter(|_| is_http2).map(|_| Arc::clone(&slot.state));
    let answer = shared.router.clone().call(request);
    async move {
        let mut answer: Result<Response, Infallible> = match upload {
            None => answer.await,
            Some(connection) => woken_by_eviction(answer, &connection).await,
        };
        if let (Some(body), Ok(response)) = (body, &mut answer) {
            body.finish(response).await;
        }
        drop(answering);
        answer.map(|mut response| match response.extensions_mut().remove::<ResponseMemory>() {
            None if !is_http2 => response,
            memory => response.map(|body| responses.follow(body, memory)),
        })
    }
}

/// Polls an answer also when its connection makes room. HTTP/2 requests have tasks of their own, which would not
/// look at their bodies then.
async fn woken_by_eviction<F: Future>(answer: F, connection: &ConnectionState) -> F::Output {
    let (mut answer, mut evicted) = (pin!(answer), pin!(connection.evicted()));
    let mut is_evicted = false;
    poll_fn(|context| {
        is_evicted = is_evicted || evicted.as_mut().poll(context).is_ready();
        answer.as_mut().poll(context)
    })
    .await
}

/// Waits until a connection that has sent nothing must close.
async fn first_bytes_due(slot: &ConnectionSlot) -> CloseReason {
    let reason = slot.state.closing().await;
    if reason == CloseReason::Drained {
        first_request_grace(slot).await;
    }
    reason
}

/// Waits as long as the first request of a new connection may be in transit.
fn first_request_grace(slot: &ConnectionSlot) -> Sleep {
    sleep_until(slot.state.last_request_start() + FIRST_REQUEST_GRACE)
}

/// Drives a connection until it ends, or until the engine gives it up.
async fn drive<C>(
    mut connection: Pin<&mut C>,
    responses: &PendingResponses,
    shared: &Shared,
    slot: &ConnectionSlot,
    deadline: Instant,
) -> Served<C::Error>
where
    C: GracefulConnection,
{
    // After the first request, the deadline no longer applies.
    let close = tokio::select! {
        biased;
        result = &mut connection => return Served::Ended(result),
        () = slot.state.first_request_started() => None,
        reason = slot.state.closing() => Some(reason),
        () = sleep_until(deadline) => {
            shared.metrics.ended_early(ConnectionEnd::Slow);
            return Served::Late;
        }
    };
    let reason = match close {
        Some(reason) => reason,
        None => tokio::select! {
            biased;
            result = &mut connection => return Served::Ended(result),
            reason = slot.state.closing() => reason,
            () = responses.stalled(WRITE_TIMEOUT) => {
                shared.metrics.ended_early(ConnectionEnd::Slow);
                return Served::GivenUp;
            }
        },
    };
    record_close(reason, shared);
    if reason == CloseReason::Drained && !slot.state.has_started() {
        tokio::select! {
            result = &mut connection => return Served::Ended(result),
            () = first_request_grace(slot) => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    match reason {
        CloseReason::Drained => Served::Ended(connection.await),
        CloseReason::Evicted => {
            // Without a request there is nothing to wait for.
            let grace =
                Instant::now() + if slot.state.has_started() { EVICTION_GRACE } else { Duration::ZERO };
            timeout_at(grace, connection).await.map_or(Served::GivenUp, Served::Ended)
        }
    }
}

fn record_close(reason: CloseReason, shared: &Shared) {
    if reason == CloseReason::Evicted {
        shared.metrics.ended_early(ConnectionEnd::MadeRoom);
    }
}

/// Returns whether the engine ended an HTTP/2 connection because its client broke the protocol's rules.
fn breaks_http2(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(h2::Error::is_library)
}

/// Logs a connection error at debug level, because clients usually cause them.
fn log_error(error: &dyn Error) {
    tracing::debug!(error = root_cause(error), "a connection failed");
}

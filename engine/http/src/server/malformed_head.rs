//! The response to a head that is not valid HTTP.
//!
//! hyper rejects such a head before there is a request. Its own response is withheld, and a request without a
//! body that holds the reason takes its way through the routes. So the client gets a problem document, and the
//! rejection has an id, a log line and a metric.

use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Uri};
use httparse::EMPTY_HEADER;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;
use tower::Service;

use super::connection::PeerAddress;
use super::http_stream::HttpStream;
use super::{NEXT_HEAD_TIMEOUT, Shared};
use crate::admission::connections::{CloseReason, ConnectionSlot, InFlight};
use crate::problem::HeadError;

/// The maximum time for the response, and for the bytes that the client still sends.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of bytes that are read after the response. Closing a connection with unread bytes resets
/// it, and the client could lose the response.
const MAX_REST_BYTES: usize = 1024 * 1024;
/// The first byte of a TLS record that begins a handshake.
const TLS_HANDSHAKE: u8 = 22;

/// The longest target that hyper reads.
const MAX_TARGET_BYTES: usize = 65_534;
/// The fields that frame a body, with the faults that hyper finds in them.
const FRAMING_FIELDS: [(&str, &str); 2] = [
    ("content-length", "its `content-length` is not one whole number; send the body's size in bytes"),
    (
        "transfer-encoding",
        "its `transfer-encoding` does not end with `chunked`, or its version is HTTP/1.0; send `content-length` \
         instead",
    ),
];

/// A head that was rejected, as far as it could be read.
#[derive(Debug)]
pub struct MalformedHead {
    method: Method,
    uri: Uri,
    error: HeadError,
}

/// The limits of a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    pub max_headers: usize,
    pub max_bytes: usize,
}

impl MalformedHead {
    /// Returns the head of a connection that did not begin with HTTP as it is expected.
    pub fn unread(error: HeadError) -> Self {
        Self { method: unknown_method(), uri: unknown_uri(), error }
    }

    /// Returns the head that ended a connection. `None` if the connection ended otherwise. `unread` holds the
    /// bytes that hyper has not taken.
    pub fn of(result: &hyper::Error, unread: &[u8], limits: HeadLimits) -> Option<Self> {
        // A client that disconnects during a request has sent all of its head, and an idle one has sent nothing.
        let is_partial = !unread.is_empty();
        let is_incomplete = is_partial && result.is_incomplete_message();
        if is_partial && result.is_timeout() {
            return Some(Self::late(unread, NEXT_HEAD_TIMEOUT));
        }
        if !result.is_parse() && !is_incomplete {
            return None;
        }
        // hyper says only in words which field it means. It has taken such a head from its buffer.
        let said = result.to_string();
        for (field, reason) in FRAMING_FIELDS {
            if said.contains(field) {
                return Some(Self::unread(HeadError::Malformed(reason)));
            }
        }
        let mut fields = vec![EMPTY_HEADER; limits.max_headers];
        let mut request = httparse::Request::new(&mut fields);
        let parsed = request.parse(unread);
        let error = match parsed.err() {
            _ if unread.first() == Some(&TLS_HANDSHAKE) => HeadError::Malformed(
                "it is a TLS handshake, but this port takes connections without TLS; use `http://` instead of \
                 `https://`",
            ),
            _ if result.is_parse_version_h2() => HeadError::Malformed(
                "HTTP/2 begins on a connection that has HTTP/1.1 already; open another one",
            ),
            _ if is_incomplete => HeadError::Malformed("it ends before its empty line; send it whole"),
            Some(httparse::Error::TooManyHeaders) => HeadError::TooManyFields { limit: limits.max_headers },
            _ if request.path.is_some_and(|target| target.len() > MAX_TARGET_BYTES) => {
                HeadError::TargetTooLong { limit: MAX_TARGET_BYTES }
            }
            // hyper says the same of a length. It has taken the head from its buffer then.
            _ if result.is_parse_too_large() && unread.len() < limits.max_bytes => {
                HeadError::Malformed("its `content-length` is too large; send the body's size in bytes")
            }
            _ if result.is_parse_too_large() && !unread.contains(&b'\n') => {
                HeadError::TargetTooLong { limit: limits.max_bytes }
            }
            _ if result.is_parse_too_large() => HeadError::TooLarge { limit: limits.max_bytes },
            Some(httparse::Error::Version) if is_other_version(unread) => HeadError::UnknownVersion,
            Some(httparse::Error::HeaderName) => HeadError::Malformed(
                "the name of a header field has a character that is not allowed; send `name: value`",
            ),
            Some(httparse::Error::HeaderValue) => {
                HeadError::Malformed("the value of a header field has a control character; encode it")
            }
            Some(httparse::Error::NewLine) => HeadError::Malformed(
                "a line has no valid end; end each line with CR LF and nothing before it",
            ),
            _ => HeadError::Malformed("its first line is malformed; send `METHOD TARGET HTTP/1.1`"),
        };
        Some(Self::new(&request, error))
    }

    /// Returns a head of which only these bytes arrived in time.
    pub fn late(unread: &[u8], after: Duration) -> Self {
        let mut fields = [EMPTY_HEADER; 0];
        let mut request = httparse::Request::new(&mut fields);
        // Without room for fields it ends with an error, after the first line.
        let _ = request.parse(unread);
        Self::new(&request, HeadError::Late { after })
    }

    fn new(request: &httparse::Request<'_, '_>, error: HeadError) -> Self {
        let method = request.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
        let path = request.path.filter(|path| path.starts_with('/'));
        Self {
            method: method.unwrap_or_else(unknown_method),
            uri: path.and_then(|path| path.parse().ok()).unwrap_or_else(unknown_uri),
            error,
        }
    }

    /// Returns the request that takes its place.
    fn stand_in(&self, peer: IpAddr) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        request.extensions_mut().insert(PeerAddress(peer));
        request.extensions_mut().insert(self.error.clone());
        request
    }
}

/// Returns a method of no route.
fn unknown_method() -> Method {
    Method::from_bytes(b"UNKNOWN").unwrap_or_default()
}

/// Returns a target of no route.
fn unknown_uri() -> Uri {
    Uri::from_static("*")
}

/// Returns whether the first line ends with a version of HTTP that the engine does not speak.
fn is_other_version(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let version = line.trim_ascii_end().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    version.starts_with(b"HTTP/") && version != b"HTTP/1.1" && version != b"HTTP/1.0"
}

/// Sends the response to a malformed head, and closes the connection.
pub async fn reject<S>(stream: S, peer: IpAddr, shared: &Shared, slot: &ConnectionSlot, head: MalformedHead)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let answering = slot.state.request_started();
    let mut rejection = pin!(timeout(RESPONSE_TIMEOUT, respond(stream, peer, shared, &head, answering)));
    tokio::select! {
        biased;
        _ = &mut rejection => {}
        reason = slot.state.closing() => {
            if reason == CloseReason::Drained {
                let _ = rejection.await;
            }
        }
    }
}

async fn respond<S>(stream: S, peer: IpAddr, shared: &Shared, head: &MalformedHead, answering: InFlight)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    // hyper writes the response to a valid head. It writes no body after `HEAD`.
    let valid_head: &[u8] = match head.method {
        Method::HEAD => b"HEAD / HTTP/1.1\r\nconnection: close\r\n\r\n",
        _ => b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n",
    };
    let service = service_fn(|_: Request<Incoming>| shared.router.clone().call(head.stand_in(peer)));
    let io = TokioIo::new(HttpStream::new(stream, Bytes::from_static(valid_head)));
    // A client that has ended its side still reads the response.
    let mut connection = shared.http1.clone().half_close(true).serve_connection(io, service);
    if (&mut connection).await.is_err() {
        return;
    }
    let mut stream = connection.into_parts().io.into_inner().into_inner();
    // From here on, the connection makes room for others.
    drop(answering);
    let mut rest = vec![0; 8 * 1024];
    let mut bytes = 0;
    while let Ok(read @ 1..) = stream.read(&mut rest).await {
        bytes += read;
        if bytes > MAX_REST_BYTES {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_http_are_told_from_malformed_lines() {
        for (line, is_other) in [
            ("GET / HTTP/1.2\r\nhost: x\r\n", true),
            ("GET / HTTP/3\n", true),
            ("GET / HTTP/0.9", true),
            ("GET /a b HTTP/1.1\r\n", false),
            ("GET / FTP/1.1\r\n", false),
            ("GET /\r\n", false),
            ("", false),
        ] {
            assert_eq!(is_other_version(line.as_bytes()), is_other, "{line}");
        }
    }
}

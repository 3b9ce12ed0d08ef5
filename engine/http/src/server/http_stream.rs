//! The stream of a connection, as hyper reads and writes it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use httparse::{EMPTY_HEADER, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::request_id::REQUEST_ID;

/// The first bytes of an HTTP/2 connection (RFC 9113, section 3.4).
const HTTP2_PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// The maximum size of a response that hyper sends by itself, and of its header fields.
const MAX_AUTOMATIC_BYTES: usize = 512;
const MAX_AUTOMATIC_FIELDS: usize = 3;

/// The protocol of a connection, with the bytes that were read to recognize it.
pub enum Protocol {
    Http1(Bytes),
    Http2(Bytes),
}

/// Reads until the client's protocol is known. `None` if it closes the connection before it sends anything.
pub async fn read_protocol(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Protocol>> {
    let mut first_bytes = Vec::with_capacity(HTTP2_PREFACE.len());
    while first_bytes.len() < HTTP2_PREFACE.len() {
        let missing = (HTTP2_PREFACE.len() - first_bytes.len()) as u64;
        let read = (&mut *stream).take(missing).read_buf(&mut first_bytes).await?;
        if read == 0 && first_bytes.is_empty() {
            return Ok(None);
        }
        if read == 0 || !HTTP2_PREFACE.starts_with(&first_bytes) {
            return Ok(Some(Protocol::Http1(first_bytes.into())));
        }
    }
    Ok(Some(Protocol::Http2(first_bytes.into())))
}

/// A stream whose first bytes were read before. It withholds the responses that hyper sends by itself, which
/// are empty and pass no layer: the connection then ends with an error, and a complete response can be sent.
pub struct HttpStream<S> {
    stream: S,
    first_bytes: Bytes,
    has_withheld: bool,
}

impl<S> HttpStream<S> {
    pub fn new(stream: S, first_bytes: Bytes) -> Self {
        Self { stream, first_bytes, has_withheld: false }
    }

    pub fn into_inner(self) -> S {
        self.stream
    }
}

/// Returns where a response of hyper's own begins, if the bytes end with one: it rejects a request, and has no
/// request id. Each response of the routes has one.
fn automatic_response(bytes: &[u8]) -> Option<usize> {
    const VERSION: &[u8] = b"HTTP/1.";
    let from = bytes.len().saturating_sub(MAX_AUTOMATIC_BYTES);
    let tail = bytes.get(from..)?;
    let start = tail.windows(VERSION.len()).rposition(|window| window == VERSION)?;
    let head = tail.get(start..)?;
    let mut fields = [EMPTY_HEADER; MAX_AUTOMATIC_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let is_whole = response.parse(head) == Ok(Status::Complete(head.len()));
    let rejects = response.code.is_some_and(|code| (400..500).contains(&code));
    let has_id = response.headers.iter().any(|field| REQUEST_ID == field.name);
    (is_whole && rejects && !has_id).then_some(from + start)
}

impl<S: AsyncRead + Unpin> AsyncRead for HttpStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first_bytes.is_empty() {
            let len = self.first_bytes.len().min(buffer.remaining());
            buffer.put_slice(&self.first_bytes.split_to(len));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HttpStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Responses of the routes hardly ever end with a head.
        let before = match bytes.ends_with(END_OF_HEAD) {
            true => automatic_response(bytes),
            false => None,
        };
        match before.map(|len| bytes.get(..len).unwrap_or_default()) {
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
            Some([]) => {
                self.has_withheld = true;
                Poll::Ready(Ok(bytes.len()))
            }
            Some(before) => Pin::new(&mut self.stream).poll_write(context, before),
        }
    }

    /// Writes without a look at the bytes: only HTTP/2 writes in this way, and it has no such responses.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_withheld {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const AUTOMATIC: &str = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                             date: Mon, 30 Nov 2026 04:00:00 GMT\r\n\r\n";

    #[test]
    fn only_responses_without_an_id_that_reject_are_automatic() {
        let before = "{\"status\":\"live\"}";
        for (bytes, expected) in [
            (AUTOMATIC.to_owned(), Some(0)),
            (AUTOMATIC.replace("1.1 400", "1.0 431"), Some(0)),
            (format!("{before}{AUTOMATIC}"), Some(before.len())),
            (AUTOMATIC.replace("date", "x-request-id"), None),
            (AUTOMATIC.replace("400", "200"), None),
            (AUTOMATIC.replace("\r\n\r\n", "\r\na: b\r\n\r\n"), None),
            ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(), None),
            ("0\r\n\r\n".to_owned(), None),
            (format!("{AUTOMATIC}0\r\n\r\n"), None),
            ("\r\n\r\n".to_owned(), None),
        ] {
            assert_eq!(automatic_response(bytes.as_bytes()), expected, "{bytes}");
        }
    }

    #[tokio::test]
    async fn bytes_before_an_automatic_response_are_written_and_the_response_is_not() {
        for before in ["", "x", "HTTP/1.1 200 OK\r\n\r\n"] {
            let (near, mut far) = tokio::io::duplex(1024);
            let mut stream = HttpStream::new(near, Bytes::new());
            stream.write_all(format!("{before}{AUTOMATIC}").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            assert!(stream.has_withheld);
            // The stream is still open, for the response that takes its place.
            stream.into_inner().write_all(b"ours").await.unwrap();
            let mut received = String::new();
            far.read_to_string(&mut received).await.unwrap();
            assert_eq!(received, format!("{before}ours"));
        }
    }

    #[tokio::test]
    async fn the_protocol_is_recognized_however_its_bytes_arrive_and_none_is_lost() {
        for (bytes, is_http2) in [
            (&HTTP2_PREFACE[..], true),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxyz", true),
            (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", false),
            (b"P", false),
            (b"GET / HTTP/1.1\r\n\r\n", false),
            (b"\x16\x03\x01", false),
        ] {
            for piece in [1, 3, 100] {
                let (mut near, mut far) = tokio::io::duplex(1024);
                let sending = async {
                    for bytes in bytes.chunks(piece) {
                        far.write_all(bytes).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                    drop(far);
                };
                let (protocol, ()) = tokio::join!(read_protocol(&mut near), sending);
                let first_bytes = match protocol.unwrap().unwrap() {
                    Protocol::Http1(first_bytes) if !is_http2 => first_bytes,
                    Protocol::Http2(first_bytes) if is_http2 => first_bytes,
                    _ => panic!("{bytes:?} in pieces of {piece}"),
                };
                let mut read = Vec::new();
                HttpStream::new(near, first_bytes).read_to_end(&mut read).await.unwrap();
                assert_eq!(read, bytes);
            }
        }
        let (mut near, far) = tokio::io::duplex(1024);
        drop(far);
        assert!(read_protocol(&mut near).await.unwrap().is_none());
    }
}

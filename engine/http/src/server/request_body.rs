//! The body of a request, from the connection to the handler, and back if it is not read.
//!
//! A response may be ready before the body of its request is read, whichever route or layer it comes from. The
//! rest of that body stands between the client's next request and the server. A small rest is read, and the
//! connection stays open. Otherwise the response announces that the connection closes (RFC 9112, section
//! 9.6), so that no client sends its next request into a connection that ends, and the rest is drained, so
//! that the client can read the response.
//!
//! The connection also closes after a body whose end is not certain: a broken one, and one with trailers. hyper reads
//! these up to an empty line that ends with CR LF, where a proxy may have taken one that ends with LF. A
//! request between the two would be lost (RFC 9112, section 11.2).
//!
//! A body of which nothing arrives ends with [`UploadEvicted`] if its connection makes room for another one.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, Request, Version};
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::time::timeout;

use super::drain::BodyDrain;
use crate::admission::connections::{ConnectionState, Upload};

/// The largest rest of a body that is read before the response is sent.
const SMALL_REST_BYTES: usize = 64 * 1024;
/// The time that a small rest has to arrive.
const SMALL_REST_TIMEOUT: Duration = Duration::from_millis(20);

/// The error of a body whose connection makes room for another one.
#[derive(Debug, Error)]
#[error("the connection makes room for another one")]
pub struct UploadEvicted;

/// The state of a body when its response is ready.
#[derive(Debug, Default)]
enum BodyState {
    /// A handler still has it, or nobody knows where it ends.
    #[default]
    Held,
    /// It was read to its end.
    Read,
    /// It was dropped before its end.
    Left {
        rest: Incoming,
        /// Whether reading began, so that a client that waits for permission has it.
        is_begun: bool,
    },
}

type SharedState = Arc<Mutex<BodyState>>;

/// A body that reports whether it is read to its end.
struct TrackedBody {
    /// `None` once it is dropped.
    incoming: Option<Incoming>,
    is_begun: bool,
    /// Whether the last frame was read. The end of a chunked body is known only then.
    is_read: bool,
    /// Whether the next request may begin elsewhere than where hyper looks for it.
    is_end_uncertain: bool,
    is_http2: bool,
    state: SharedState,
    upload: Upload,
}

/// The sender's view of a [`TrackedBody`].
pub struct BodyTracker {
    state: SharedState,
    /// Whether the client sends the body only after `100 Continue`.
    expects_continue: bool,
    drain: BodyDrain,
}

/// Replaces a request's body by one that is tracked. The tracker is `None` for a request without a body.
pub fn track(
    request: Request<Incoming>,
    drain: &BodyDrain,
    connection: &Arc<ConnectionState>,
) -> (Request<Body>, Option<BodyTracker>) {
    if request.body().is_end_stream() {
        return (request.map(|_| Body::empty()), None);
    }
    let state = SharedState::default();
    let expects_continue = request.headers().contains_key(EXPECT);
    let tracker = BodyTracker { state: Arc::clone(&state), expects_continue, drain: drain.clone() };
    let upload = connection.upload_started();
    let is_http2 = request.version() == Version::HTTP_2;
    let track = |incoming| {
        Body::new(TrackedBody {
            incoming: Some(incoming),
            is_begun: false,
            is_read: false,
            is_end_uncertain: false,
            is_http2,
            state,
            upload,
        })
    };
    (request.map(track), Some(tracker))
}

impl BodyTracker {
    /// Settles what happens to the rest of the body, and announces it in the response.
    pub async fn finish(self, response: &mut Response) {
        let state = std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rest = match state {
            BodyState::Read => return,
            // A client that waits for permission to send gets the response instead. Reading would permit it.
            BodyState::Left { is_begun: false, .. } if self.expects_continue => None,
            BodyState::Held => None,
            BodyState::Left { rest, .. } => Some(rest),
        };
        if let Some(small) = rest.take_if(|rest| rest.size_hint().lower() <= SMALL_REST_BYTES as u64) {
            rest = read_small(small).await;
            if rest.is_none() {
                return;
            }
        }
        // HTTP/2 has no such header, and hyper omits it there.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(rest) = rest {
            self.drain.drain(Body::new(rest));
        }
    }
}

/// Reads a small rest of a body. Returns what is left of it, if it is large, late or broken.
async fn read_small(mut rest: Incoming) -> Option<Incoming> {
    let mut bytes = 0;
    let read = async {
        while let Some(frame) = rest.frame().await {
            let Some(Ok(data)) = frame.ok().map(Frame::into_data) else { return false };
            bytes += data.len();
            if bytes > SMALL_REST_BYTES {
                return false;
            }
        }
        true
    };
    let is_read = timeout(SMALL_REST_TIMEOUT, read).await.unwrap_or(false);
    (!is_read).then_some(rest)
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        this.is_begun = true;
        let polled = Pin::new(&mut *incoming).poll_frame(context);
        // The task is polled again when its connection is evicted.
        if polled.is_pending() && this.upload.is_evicted() {
            return Poll::Ready(Some(Err(UploadEvicted.into())));
        }
        let frame = ready!(polled);
        this.is_read = frame.is_none();
        this.is_end_uncertain |= match &frame {
            Some(Ok(frame)) => frame.is_trailers() && !this.is_http2,
            Some(Err(_)) => true,
            None => false,
        };
        // The clock is read only for a body that arrives in several parts.
        if let Some(Ok(frame)) = &frame
            && !incoming.is_end_stream()
        {
            this.upload.received(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        let is_read = self.is_read || incoming.is_end_stream();
        let state = match self.is_begun {
            _ if self.is_end_uncertain => BodyState::Held,
            _ if is_read => BodyState::Read,
            // Draining would keep the connection open.
            _ if self.upload.is_evicted() => BodyState::Held,
            is_begun => BodyState::Left { rest: incoming, is_begun },
        };
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

//! The bodies of HTTP/2 responses, until the client has taken them.
//!
//! A client may keep its window closed and still answer pings. The connection then makes progress, and its
//! responses stay in memory. HTTP/1.1 has no such case: there a write that does not progress ends the
//! connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// The interval at which the responses of a connection are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The largest piece of a body that is given to the connection at once. The connection keeps a piece of which the
/// client took one byte, and no longer asks for more: that must not be the whole body.
const PIECE_BYTES: usize = 16 * 1024;

/// The responses of one connection that the client has not taken whole.
#[derive(Debug, Default)]
pub struct PendingResponses {
    responses: Mutex<Vec<Weak<Progress>>>,
    added: Notify,
}

/// The time at which a part of a response was last taken.
type Progress = Mutex<Instant>;

impl PendingResponses {
    /// Follows a response's body until it is taken or dropped.
    pub fn follow(&self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let progress = Arc::new(Progress::new(Instant::now()));
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        responses.retain(|response| response.strong_count() > 0);
        responses.push(Arc::downgrade(&progress));
        self.added.notify_one();
        Body::new(FollowedBody { body, rest: Bytes::new(), progress })
    }

    /// Waits until nothing of a response has been taken for `limit`.
    pub async fn stalled(&self, limit: Duration) {
        loop {
            // A connection without such responses has no timer.
            self.added.notified().await;
            while let Some(oldest) = self.oldest() {
                if oldest.elapsed() > limit {
                    return;
                }
                sleep(CHECK_INTERVAL).await;
            }
        }
    }

    /// Returns when the response that waits the longest last progressed.
    fn oldest(&self) -> Option<Instant> {
        let responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = responses.iter().filter_map(Weak::upgrade);
        pending.map(|progress| *progress.lock().unwrap_or_else(PoisonError::into_inner)).min()
    }
}

/// A body whose progress is followed.
struct FollowedBody {
    body: Body,
    /// What was received of the body and is not yet given to the connection.
    rest: Bytes,
    progress: Arc<Progress>,
}

impl HttpBody for FollowedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(context))
                .map(|frame| frame.map(Frame::into_data))
            {
                Some(Ok(Ok(data))) => this.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        *this.progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Poll::Ready(Some(Ok(Frame::data(this.next_piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.size_hint();
        match hint.exact() {
            Some(bytes) => SizeHint::with_exact(bytes + self.rest.len() as u64),
            None => hint,
        }
    }
}

impl FollowedBody {
    /// Takes the next piece of what was received.
    fn next_piece(&mut self) -> Bytes {
        if self.rest.len() > PIECE_BYTES {
            return self.rest.split_to(PIECE_BYTES);
        }
        let last = std::mem::take(&mut self.rest);
        // A copy, since a slice would keep the memory of the whole body.
        if last.is_unique() { last } else { Bytes::copy_from_slice(&last) }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_connection_stalls_when_a_response_is_not_taken_whatever_others_do() {
        let responses = Arc::new(PendingResponses::default());
        let followed = Arc::clone(&responses);
        let stalled = tokio::spawn(async move { followed.stalled(LIMIT).await });
        sleep(LIMIT * 4).await;
        assert!(!stalled.is_finished(), "nothing is pending");

        let _kept = responses.follow(Body::from("answer"));
        for _ in 0..5 {
            // Others are taken.
            assert_eq!(responses.follow(Body::from("x")).collect().await.unwrap().to_bytes(), "x");
            sleep(LIMIT / 6).await;
        }
        assert!(!stalled.is_finished(), "the limit is not reached");
        sleep(LIMIT).await;
        assert!(stalled.is_finished());
    }

    #[tokio::test]
    async fn a_body_is_given_in_pieces_and_stays_the_same() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut body = PendingResponses::default().follow(Body::from(bytes.clone()));
            let mut received = Vec::new();
            while let Some(frame) = body.frame().await {
                let data = frame.unwrap().into_data().unwrap();
                assert!(data.len() <= PIECE_BYTES);
                received.extend_from_slice(&data);
                assert_eq!(HttpBody::size_hint(&body).exact(), Some((length - received.len()) as u64));
                assert_eq!(body.is_end_stream(), received.len() == length);
            }
            assert_eq!(received, bytes);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_taken_or_dropped_in_time_stalls_nothing() {
        let responses = Arc::new(PendingResponses::default());
        let followed = Arc::clone(&responses);
        let stalled = tokio::spawn(async move { followed.stalled(LIMIT).await });
        for _ in 0..10 {
            let (taken, dropped) = (responses.follow(Body::from("a")), responses.follow(Body::from("b")));
            sleep(LIMIT / 2).await;
            taken.collect().await.unwrap();
            drop(dropped);
            sleep(LIMIT * 2).await;
        }
        let empty = responses.follow(Body::empty());
        sleep(LIMIT * 2).await;
        drop(empty);
        assert!(!stalled.is_finished());
    }
}

//! The bodies of responses, until the client has taken them.
//!
//! An HTTP/2 client may keep its window closed and still answer pings. The connection then makes progress, and its
//! responses stay in memory. So what is not taken is counted, in the budget of bodies, and a response of which
//! nothing is taken ends its connection: soon, if the budget is scarce. Small responses of HTTP/1.1, of
//! which a connection has one, are left to the timeout of writes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep};

/// The interval at which the responses of a connection are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The time without progress that is granted while memory is scarce.
const SCARCE_LIMIT: Duration = Duration::from_secs(1);
/// The largest piece of a body that is given to the connection at once. The connection keeps a piece of which the
/// client took one byte, and no longer asks for more: that must not be the whole body.
const PIECE_BYTES: usize = 16 * 1024;

/// The responses of one connection that the client has not taken whole.
#[derive(Debug, Default)]
pub struct PendingResponses {
    responses: Mutex<Vec<Weak<Progress>>>,
    added: Notify,
    /// Whether a response was ever added. The connection's task sees it when it is polled next, as it is for the
    /// response.
    has_any: AtomicBool,
}

/// The progress of a response.
#[derive(Debug)]
struct Progress {
    /// The time at which a part of it was last taken.
    last: Mutex<Instant>,
    memory: Option<ResponseMemory>,
}

/// The memory reserved for a response: an extension of the response.
#[derive(Debug, Clone)]
pub struct ResponseMemory(Arc<Reserved>);

#[derive(Debug)]
struct Reserved {
    permit: OwnedSemaphorePermit,
    /// The size of the budget that it was taken from.
    total: usize,
}

impl ResponseMemory {
    /// Keeps a permit of a budget of `total` permits.
    pub fn new(permit: OwnedSemaphorePermit, total: usize) -> Self {
        Self(Arc::new(Reserved { permit, total }))
    }

    /// Returns whether less than half of the budget is free.
    fn is_scarce(&self) -> bool {
        self.0.permit.semaphore().available_permits() < self.0.total / 2
    }
}

impl Progress {
    fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether nothing of the response was taken for too long.
    fn is_stalled(&self, limit: Duration) -> bool {
        let is_scarce = self.memory.as_ref().is_some_and(ResponseMemory::is_scarce);
        self.last().elapsed() > if is_scarce { limit.min(SCARCE_LIMIT) } else { limit }
    }
}

impl PendingResponses {
    /// Follows a response's body, and keeps its memory, until it is taken or dropped.
    pub fn follow(&self, body: Body, memory: Option<ResponseMemory>) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let progress = Arc::new(Progress { last: Mutex::new(Instant::now()), memory });
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        responses.retain(|response| response.strong_count() > 0);
        responses.push(Arc::downgrade(&progress));
        self.added.notify_one();
        self.has_any.store(true, Ordering::Relaxed);
        Body::new(FollowedBody { body, rest: Bytes::new(), progress })
    }

    /// Waits until nothing of a response has been taken for `limit`, or for less if memory is scarce.
    pub async fn stalled(&self, limit: Duration) {
        // The connection is polled with each request, and most have no such response.
        poll_fn(|_| if self.has_any.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
        loop {
            // A connection without such responses has no timer.
            self.added.notified().await;
            while let Some(oldest) = self.oldest() {
                if oldest.is_stalled(limit) {
                    return;
                }
                drop(oldest);
                sleep(CHECK_INTERVAL).await;
            }
        }
    }

    /// Returns the response that waits the longest.
    fn oldest(&self) -> Option<Arc<Progress>> {
        let responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        responses.iter().filter_map(Weak::upgrade).min_by_key(|progress| progress.last())
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
        *this.progress.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
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
    use std::pin::pin;

    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Waits as a connection's task does, which is polled for other reasons too.
    async fn stalled(responses: Arc<PendingResponses>) {
        let mut stalled = pin!(responses.stalled(LIMIT));
        while timeout(CHECK_INTERVAL, stalled.as_mut()).await.is_err() {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stalls_when_a_response_is_not_taken_whatever_others_do() {
        let responses = Arc::new(PendingResponses::default());
        let stalled = tokio::spawn(stalled(Arc::clone(&responses)));
        sleep(LIMIT * 4).await;
        assert!(!stalled.is_finished(), "nothing is pending");

        let _kept = responses.follow(Body::from("answer"), None);
        for _ in 0..5 {
            // Others are taken.
            assert_eq!(responses.follow(Body::from("x"), None).collect().await.unwrap().to_bytes(), "x");
            sleep(LIMIT / 6).await;
        }
        assert!(!stalled.is_finished(), "the limit is not reached");
        sleep(LIMIT).await;
        assert!(stalled.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_not_taken_ends_its_connection_soon_while_memory_is_scarce() {
        let budget = Arc::new(Semaphore::new(10));
        let take =
            |permits| ResponseMemory::new(Arc::clone(&budget).try_acquire_many_owned(permits).unwrap(), 10);
        for (permits, seconds) in [(5, 31), (6, 2)] {
            let responses = PendingResponses::default();
            let body = responses.follow(Body::from("answer"), Some(take(permits)));
            let begun = Instant::now();
            responses.stalled(LIMIT).await;
            assert_eq!(begun.elapsed().as_secs(), seconds, "{permits} of 10");
            drop((responses, body));
            assert_eq!(budget.available_permits(), 10);
        }
    }

    #[tokio::test]
    async fn a_body_is_given_in_pieces_and_stays_the_same() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut body = PendingResponses::default().follow(Body::from(bytes.clone()), None);
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
        let stalled = tokio::spawn(stalled(Arc::clone(&responses)));
        for _ in 0..10 {
            let (taken, dropped) =
                (responses.follow(Body::from("a"), None), responses.follow(Body::from("b"), None));
            sleep(LIMIT / 2).await;
            taken.collect().await.unwrap();
            drop(dropped);
            sleep(LIMIT * 2).await;
        }
        let empty = responses.follow(Body::empty(), None);
        sleep(LIMIT * 2).await;
        drop(empty);
        assert!(!stalled.is_finished());
    }
}

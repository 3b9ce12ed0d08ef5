//! Drains the bodies of requests that are answered before their body is read.
//!
//! A rejection is sent while the body is still being uploaded. A client that reads while sending stops, as
//! RFC 9112, section 9.5, requires. Most clients send everything first. If the rest were not read, they would
//! see a broken connection instead of the response.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout_at};

/// The time that a client has to read the response before the rest of its body is drained. If the client
/// stops sending, nothing is drained.
const READ_ANSWER_GRACE: Duration = Duration::from_millis(20);

/// The number of bytes of each body that are read without delay: enough to detect that a client has stopped
/// sending.
const UNTHROTTLED_BYTES: usize = 128 * 1024;

/// Drains bodies, one frame of one body at a time, so that they do not slow down other requests.
#[derive(Debug, Clone)]
pub struct BodyDrain {
    turn: Arc<Mutex<()>>,
    max_bytes: usize,
    max_time: Duration,
}

impl BodyDrain {
    /// Creates a drain that gives up a body after `max_bytes` or `max_time`. Its connection is then closed.
    pub fn new(max_bytes: usize, max_time: Duration) -> Self {
        Self { turn: Arc::default(), max_bytes, max_time }
    }

    /// Drains a body in the background.
    pub fn drain(&self, mut body: Body) {
        let max_bytes = self.max_bytes;
        let (turn, deadline) = (Arc::clone(&self.turn), Instant::now() + self.max_time);
        let read = async move {
            sleep(READ_ANSWER_GRACE).await;
            let mut bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Bytes::len);
                if bytes > max_bytes {
                    return;
                }
                if bytes > UNTHROTTLED_BYTES {
                    let _turn = turn.lock().await;
                    yield_now().await;
                }
            }
        };
        tokio::spawn(timeout_at(deadline, read));
    }
}

//! What is left of the body of a request that has its answer already.
//!
//! A refusal goes out while its body is still coming. Whoever watches for it stops sending, as RFC 9112, section 9.5, wants;
//! most clients send everything first, and see a broken connection instead of the answer if nobody takes it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use tokio::sync::Mutex;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout_at};

/// How long a client has for reading its answer before the rest of its body is read. Whoever stops then costs nothing more.
const GRACE: Duration = Duration::from_millis(20);

/// How many bytes of each are read without delay. Who has stopped sending is found out by reading what had come before.
const FREE_BYTES: usize = 128 * 1024;

/// The line of the bodies that are read to be thrown away: a piece of one, then a piece of the next. What comes in for nothing shall
/// not hold up what is answered.
#[derive(Debug, Default)]
pub struct UnreadBodies {
    line: Arc<Mutex<()>>,
}

impl UnreadBodies {
    /// Throws away what still comes of a body, while other requests are answered. The connection of one that has more than so many
    /// bytes, or has not ended by the deadline, is closed.
    pub fn throw_away(&self, mut body: Body, most_bytes: usize, deadline: Instant) {
        if body.size_hint().lower() > most_bytes as u64 {
            return;
        }
        let line = Arc::clone(&self.line);
        let read_on = async move {
            sleep(GRACE).await;
            let mut bytes = 0;
            while let Some(Ok(piece)) = body.frame().await {
                bytes += piece.data_ref().map_or(0, Bytes::len);
                if bytes > most_bytes {
                    return;
                }
                if bytes > FREE_BYTES {
                    let _turn = line.lock().await;
                    yield_now().await;
                }
            }
        };
        tokio::spawn(timeout_at(deadline, read_on));
    }
}

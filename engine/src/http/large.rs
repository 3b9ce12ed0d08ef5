//! Large bodies are parsed off the threads that serve connections, which they would hold up for a millisecond and more.

use std::num::NonZero;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::http::problem::ApiError;

/// A body from this size on is large.
pub const LARGE_BODY_BYTES: usize = 256 * 1024;

/// How many large bodies may wait for each core. More would wait longer for their parsing than rows wait in the queue.
const WAITING_A_CORE: usize = 8;

/// The line of the large bodies: each core parses one at a time, the first that came first.
#[derive(Debug)]
pub struct LargeBodies {
    places: Semaphore,
    cores: Semaphore,
}

impl Default for LargeBodies {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self { places: Semaphore::new(cores * (1 + WAITING_A_CORE)), cores: Semaphore::new(cores) }
    }
}

impl LargeBodies {
    /// Whether another may wait. It says nothing of the time at which a body that begins now has come: how long that takes is
    /// its sender's affair, who shall not keep a place meanwhile.
    pub fn have_room(&self) -> bool {
        self.places.available_permits() > 0
    }

    /// Parses one in its turn.
    ///
    /// # Errors
    /// [`ApiError::BodiesFull`], at once, if too many wait.
    pub async fn parse<T: Send + 'static>(
        &self,
        parse: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let failed = |reason: String| ApiError::Failed { reason };
        let _place = self.places.try_acquire().map_err(|_| ApiError::BodiesFull)?;
        let _core = self.cores.acquire().await.map_err(|error| failed(error.to_string()))?;
        spawn_blocking(parse).await.unwrap_or_else(|error| Err(failed(error.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn more_large_bodies_than_may_wait_are_refused_at_once_and_the_others_are_parsed() {
        let bodies = Arc::new(LargeBodies::default());
        let held = bodies.places.available_permits();
        let (leave, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let parsing: Vec<_> = (0..held)
            .map(|body| {
                let (bodies, gate) = (Arc::clone(&bodies), Arc::clone(&gate));
                tokio::spawn(async move {
                    let parse = move || {
                        gate.lock().unwrap().recv().unwrap();
                        Ok(body)
                    };
                    bodies.parse(parse).await
                })
            })
            .collect();
        while bodies.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!bodies.have_room());
        assert!(matches!(bodies.parse(|| Ok(())).await, Err(ApiError::BodiesFull)));
        for _ in 0..held {
            leave.send(()).unwrap();
        }
        for (body, parsed) in parsing.into_iter().enumerate() {
            assert_eq!(parsed.await.unwrap().unwrap(), body);
        }
        assert!(bodies.have_room());
        assert_eq!(bodies.parse(|| Ok(1)).await.unwrap(), 1);
    }
}

//! Parses large bodies off the threads that serve connections, which they would block for a millisecond or
//! more.
//!
//! A blocking task cannot be cancelled: it continues when the client has disconnected and the request's
//! future is dropped. So the task itself owns its permits, and returns them with its result.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use onnward_rows::RowsLimits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::problem::ApiError;

/// The minimum size of a large body in bytes.
pub const LARGE_BODY_BYTES: usize = 256 * 1024;

/// A body that may have more cells than this is large too, regardless of its size in bytes. It is the maximum
/// number of cells in a body of [`LARGE_BODY_BYTES`] that has a value for every cell.
pub const LARGE_BODY_CELLS: usize = LARGE_BODY_BYTES / RowsLimits::MIN_CELL_BYTES;

/// The maximum number of large bodies per core, from upload until their rows are scored: as many as fit the
/// queue at 1,024 rows each.
const PERMITS_PER_CORE: usize = 16;

/// The upload time granted with a permit, so that slow clients do not block others.
pub const UPLOAD_GRACE: Duration = Duration::from_millis(100);

/// Limits large bodies: one parse per core at a time, in order of arrival.
#[derive(Debug)]
pub struct LargeBodyLimiter {
    permits: Arc<Semaphore>,
    cores: Arc<Semaphore>,
}

/// The permission to upload and parse one large body.
#[derive(Debug)]
pub struct ParsePermit {
    _permit: OwnedSemaphorePermit,
    /// The time until which it is held for a body that is still being uploaded.
    pub upload_deadline: Instant,
}

/// The permits of a body: its memory and, for a large one, a permit to parse it.
#[derive(Debug)]
pub struct BodyPermits {
    /// The memory reserved for the body.
    pub memory: OwnedSemaphorePermit,
    /// The permit of a large body that was uploaded in time.
    pub parse: Option<ParsePermit>,
}

impl Default for LargeBodyLimiter {
    fn default() -> Self {
        Self::new(available_parallelism().map_or(1, NonZero::get))
    }
}

impl LargeBodyLimiter {
    /// Creates a limiter for this number of cores.
    fn new(cores: usize) -> Self {
        let permits = Arc::new(Semaphore::new(cores * PERMITS_PER_CORE));
        Self { permits, cores: Arc::new(Semaphore::new(cores)) }
    }

    /// Returns whether a permit is available now.
    pub fn has_capacity(&self) -> bool {
        self.permits.available_permits() > 0
    }

    /// Acquires a permit for a body that has started to arrive.
    ///
    /// # Errors
    /// [`ApiError::BodiesFull`], immediately, if all are taken.
    pub fn acquire(&self) -> Result<ParsePermit, ApiError> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().map_err(|_| ApiError::BodiesFull)?;
        Ok(ParsePermit { _permit: permit, upload_deadline: Instant::now() + UPLOAD_GRACE })
    }

    /// Parses a body when a core is free, and returns its permits with the result. The caller must keep the
    /// parse permit until the rows are scored.
    ///
    /// The parse runs to its end even if the returned future is dropped, and holds the core and the permits
    /// until then.
    ///
    /// # Errors
    /// [`ApiError::BodiesFull`], immediately, if the body has no permit and none is available;
    /// [`ApiError::Failed`] if the task panics; the errors of `parse`.
    pub async fn parse<T: Send + 'static>(
        &self,
        mut permits: BodyPermits,
        parse: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<(T, BodyPermits), ApiError> {
        let failed = |reason: String| ApiError::Failed { reason };
        if permits.parse.is_none() {
            permits.parse = Some(self.acquire()?);
        }
        let core =
            Arc::clone(&self.cores).acquire_owned().await.map_err(|error| failed(error.to_string()))?;
        let work = move || {
            let parsed = parse();
            drop(core);
            parsed.map(|parsed| (parsed, permits))
        };
        spawn_blocking(work).await.unwrap_or_else(|error| Err(failed(error.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Mutex, mpsc};

    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    /// Creates memory for bodies of one unit each.
    fn memory() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(1_000))
    }

    fn small(memory: &Arc<Semaphore>) -> BodyPermits {
        BodyPermits { memory: Arc::clone(memory).try_acquire_owned().unwrap(), parse: None }
    }

    #[tokio::test]
    async fn more_large_bodies_than_may_wait_are_refused_at_once_and_the_others_are_parsed() {
        let (limiter, memory) = (Arc::new(LargeBodyLimiter::default()), memory());
        let held = limiter.permits.available_permits();
        let (leave, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let parsing: Vec<_> = (0..held)
            .map(|body| {
                let (limiter, gate, permits) = (Arc::clone(&limiter), Arc::clone(&gate), small(&memory));
                tokio::spawn(async move {
                    let parse = move || {
                        gate.lock().unwrap().recv().unwrap();
                        Ok(body)
                    };
                    limiter.parse(permits, parse).await.map(|(body, _)| body)
                })
            })
            .collect();
        while limiter.permits.available_permits() > 0 {
            yield_now().await;
        }
        assert!(!limiter.has_capacity());
        let refused = limiter.parse(small(&memory), || Ok(())).await;
        assert!(matches!(refused, Err(ApiError::BodiesFull)));
        for _ in 0..held {
            leave.send(()).unwrap();
        }
        for (body, parsed) in parsing.into_iter().enumerate() {
            assert_eq!(parsed.await.unwrap().unwrap(), body);
        }
        assert!(limiter.has_capacity());
        assert_eq!(limiter.parse(small(&memory), || Ok(1)).await.unwrap().0, 1);
    }

    #[tokio::test]
    async fn a_body_that_has_been_parsed_keeps_its_permits_until_nothing_waits_for_it() {
        let (limiter, memory) = (LargeBodyLimiter::default(), memory());
        let free = limiter.permits.available_permits();
        let permits = BodyPermits { parse: Some(limiter.acquire().unwrap()), ..small(&memory) };
        let ((), permits) = limiter.parse(permits, || Ok(())).await.unwrap();
        assert_eq!((limiter.permits.available_permits(), memory.available_permits()), (free - 1, 999));
        drop(permits);
        assert_eq!((limiter.permits.available_permits(), memory.available_permits()), (free, 1_000));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn clients_that_leave_while_their_bodies_are_parsed_free_nothing_before_the_parse_ends() {
        const CORES: usize = 2;
        let (limiter, memory) = (Arc::new(LargeBodyLimiter::new(CORES)), memory());
        let all = limiter.permits.available_permits();
        let (leave, gate) = mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (running, most, started) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let send = || -> JoinHandle<_> {
            let (limiter, gate, permits) = (Arc::clone(&limiter), Arc::clone(&gate), small(&memory));
            let (running, most, started) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&started));
            tokio::spawn(async move {
                let parse = move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    started.fetch_add(1, Ordering::SeqCst);
                    gate.lock().unwrap().recv().unwrap();
                    running.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                };
                limiter.parse(permits, parse).await.map(|_| ())
            })
        };
        let first: Vec<_> = (0..CORES).map(|_| send()).collect();
        while started.load(Ordering::SeqCst) < CORES {
            yield_now().await;
        }
        // These clients reset their connections. Others try to replace them, and disconnect too.
        let rest: Vec<_> = (CORES..all).map(|_| send()).collect();
        for request in first.into_iter().chain(rest) {
            request.abort();
            assert!(request.await.unwrap_err().is_cancelled());
        }
        assert_eq!(limiter.permits.available_permits(), all - CORES);
        assert_eq!(memory.available_permits(), 1_000 - CORES);
        assert_eq!(limiter.cores.available_permits(), 0);

        let after: Vec<_> = (0..3 * CORES).map(|_| send()).collect();
        for _ in 0..4 * CORES {
            leave.send(()).unwrap();
        }
        for request in after {
            request.await.unwrap().unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), CORES);
        assert_eq!(started.load(Ordering::SeqCst), 4 * CORES);
        // The work returns them after its result.
        while (limiter.permits.available_permits(), memory.available_permits()) != (all, 1_000) {
            yield_now().await;
        }
    }
}

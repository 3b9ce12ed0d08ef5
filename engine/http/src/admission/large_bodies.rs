//! Large bodies are parsed off the threads that serve connections, which they would hold up for a millisecond and more.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use onnward_rows::RowsLimits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::problem::ApiError;

/// A body from this size on is large.
pub const LARGE_BODY_BYTES: usize = 256 * 1024;

/// A body that may stand for more cells than this is large too, however few bytes it has: as many as a body of
/// [`LARGE_BODY_BYTES`] has at most if it gives every cell a value.
pub const LARGE_BODY_CELLS: usize = LARGE_BODY_BYTES / RowsLimits::MIN_CELL_BYTES;

/// How many large bodies there may be for each core, from their coming until their rows are scored: as many as the queue has room for
/// of 1,024 rows.
const PLACES_A_CORE: usize = 16;

/// How long a body has for its coming once it has a place. Who sends more slowly shall not keep out others.
pub const COMING_TIME: Duration = Duration::from_millis(100);

/// The line of the large bodies: each core parses one at a time, the first that came first.
#[derive(Debug)]
pub struct LargeBodies {
    places: Arc<Semaphore>,
    cores: Semaphore,
}

/// A place in the line.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
    /// Until when it is kept for a body that has not come.
    pub kept_until: Instant,
}

impl Default for LargeBodies {
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self { places: Arc::new(Semaphore::new(cores * PLACES_A_CORE)), cores: Semaphore::new(cores) }
    }
}

impl LargeBodies {
    /// Whether there is a place now.
    pub fn have_room(&self) -> bool {
        self.places.available_permits() > 0
    }

    /// A place for a body of which a part has come.
    ///
    /// # Errors
    /// [`ApiError::BodiesFull`], at once, if all are taken.
    pub fn place(&self) -> Result<Place, ApiError> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ApiError::BodiesFull)?;
        Ok(Place { _permit: permit, kept_until: Instant::now() + COMING_TIME })
    }

    /// Parses one in its turn. The place is to be kept until nothing waits for it any more.
    ///
    /// # Errors
    /// [`ApiError::BodiesFull`], at once, if it has lost its place and there is no other.
    pub async fn parse<T: Send + 'static>(
        &self,
        place: &mut Option<Place>,
        parse: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let failed = |reason: String| ApiError::Failed { reason };
        if place.is_none() {
            *place = Some(self.place()?);
        }
        let _core = self.cores.acquire().await.map_err(|error| failed(error.to_string()))?;
        spawn_blocking(parse).await.unwrap_or_else(|error| Err(failed(error.to_string())))
    }
}

#[cfg(test)]
mod tests {
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
                    bodies.parse(&mut None, parse).await
                })
            })
            .collect();
        while bodies.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!bodies.have_room());
        assert!(matches!(bodies.parse(&mut None, || Ok(())).await, Err(ApiError::BodiesFull)));
        for _ in 0..held {
            leave.send(()).unwrap();
        }
        for (body, parsed) in parsing.into_iter().enumerate() {
            assert_eq!(parsed.await.unwrap().unwrap(), body);
        }
        assert!(bodies.have_room());
        assert_eq!(bodies.parse(&mut None, || Ok(1)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_body_that_has_been_parsed_keeps_its_place_until_nothing_waits_for_it() {
        let bodies = LargeBodies::default();
        let free = bodies.places.available_permits();
        let mut place = Some(bodies.place().unwrap());
        bodies.parse(&mut place, || Ok(())).await.unwrap();
        assert_eq!(bodies.places.available_permits(), free - 1);
        drop(place);
        assert_eq!(bodies.places.available_permits(), free);
    }
}

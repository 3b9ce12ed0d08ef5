use std::sync::{Mutex, PoisonError};

/// Sums over predictions.
pub trait Sums: Clone {
    /// Returns the number of predictions.
    fn rows(&self) -> u64;
    /// Adds the sums of other predictions.
    fn join(&mut self, other: &Self);
}

/// The sums over the last predictions: between one and two times the rows of a count.
#[derive(Debug)]
pub struct Counts<S> {
    /// The number of rows after which the next count begins.
    rows: u64,
    last: Mutex<Last<S>>,
}

/// The estimate covers the current count and the one before it.
#[derive(Debug)]
struct Last<S> {
    current: Option<S>,
    previous: Option<S>,
}

impl<S: Sums> Counts<S> {
    /// Creates counts of so many rows.
    pub fn new(rows: usize) -> Self {
        Self { rows: rows as u64, last: Mutex::new(Last { current: None, previous: None }) }
    }

    /// Adds to the current count; `new` begins one.
    pub fn add(&self, new: impl FnOnce() -> S, add: impl FnOnce(&mut S)) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.current.as_ref().is_some_and(|count| count.rows() >= self.rows) {
            last.previous = last.current.take();
        }
        add(last.current.get_or_insert_with(new));
    }

    /// Returns the sum of both counts. `None` before the first prediction.
    pub fn both(&self) -> Option<S> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut both = last.current.clone()?;
        if let Some(previous) = &last.previous {
            both.join(previous);
        }
        drop(last);
        (both.rows() > 0).then_some(both)
    }
}

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::SubmitError;
use crate::config::BatchingConfig;

/// How long a client that was turned away is told to wait: the smallest that `Retry-After` can say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The rows of one request, waiting.
#[derive(Debug)]
pub struct Entry {
    pub values: Vec<f32>,
    pub texts: Vec<String>,
    pub rows: usize,
    pub reply: oneshot::Sender<Result<Vec<f32>, SubmitError>>,
}

/// What a worker takes at once.
#[derive(Debug)]
pub struct Taken {
    /// The entries to run, oldest first.
    pub entries: Vec<Entry>,
    /// The entries whose clients have gone.
    pub abandoned: Vec<Entry>,
}

/// A queue that is bounded in rows, not in requests: a row is what costs.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    max_batch_rows: usize,
    max_queue_rows: usize,
    max_delay: Duration,
}

#[derive(Debug)]
struct State {
    entries: VecDeque<Entry>,
    rows: usize,
    /// When the oldest entry came, for `max_delay`.
    oldest: Option<Instant>,
    is_open: bool,
}

impl Queue {
    pub fn new(config: &BatchingConfig) -> Self {
        let state = State { entries: VecDeque::new(), rows: 0, oldest: None, is_open: true };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            max_batch_rows: config.max_batch_rows,
            max_queue_rows: config.max_queue_rows,
            max_delay: config.max_queue_delay,
        }
    }

    pub fn push(&self, entry: Entry) -> Result<(), SubmitError> {
        if entry.rows > self.max_queue_rows {
            return Err(SubmitError::TooManyRows { rows: entry.rows, limit: self.max_queue_rows });
        }
        let mut state = self.lock();
        if !state.is_open {
            return Err(SubmitError::ShuttingDown);
        }
        if state.rows + entry.rows > self.max_queue_rows {
            return Err(SubmitError::QueueFull { retry_after: RETRY_AFTER });
        }
        state.rows += entry.rows;
        state.oldest.get_or_insert_with(Instant::now);
        state.entries.push_back(entry);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes everything that is queued up to `max_batch_rows`, but at least one entry, as soon as there is one; `None`
    /// once the queue is closed and empty.
    pub fn take(&self) -> Option<Taken> {
        let mut state = self.lock();
        while state.entries.is_empty() {
            if !state.is_open {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !self.max_delay.is_zero() {
            state = self.wait_for_more(state);
        }
        let taken = state.take(self.max_batch_rows);
        let more = !state.entries.is_empty();
        drop(state);
        if more {
            self.changed.notify_one();
        }
        Some(taken)
    }

    /// Waits until a batch is full or its oldest entry has waited for `max_delay`.
    fn wait_for_more<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while state.is_open && state.rows < self.max_batch_rows {
            let waited = state.oldest.map_or(self.max_delay, |oldest| oldest.elapsed());
            let Some(left) = self.max_delay.checked_sub(waited).filter(|left| !left.is_zero()) else { break };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    pub fn close(&self) {
        self.lock().is_open = false;
        self.changed.notify_all();
    }

    /// Closes the queue and drops what waits in it, unanswered.
    pub fn abandon(&self) {
        let waiting = {
            let mut state = self.lock();
            state.is_open = false;
            state.rows = 0;
            std::mem::take(&mut state.entries)
        };
        self.changed.notify_all();
        drop(waiting);
    }

    // A panic while the lock is held cannot leave the counts half changed: nothing between can panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, max_rows: usize) -> Taken {
        let mut taken = Taken { entries: Vec::new(), abandoned: Vec::new() };
        let mut rows = 0;
        while let Some(entry) = self.entries.pop_front_if(|entry| rows == 0 || rows + entry.rows <= max_rows)
        {
            self.rows -= entry.rows;
            if entry.reply.is_closed() {
                taken.abandoned.push(entry);
            } else {
                rows += entry.rows;
                taken.entries.push(entry);
            }
        }
        // What stays has waited no longer than this instant says; its own delay starts anew at most once.
        self.oldest = if self.entries.is_empty() { None } else { Some(Instant::now()) };
        taken
    }
}

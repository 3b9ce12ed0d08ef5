use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onnward_telemetry::metrics::QueueState;
use tokio::sync::oneshot;

use super::scorer::Scorer;
use super::{Scored, SubmitError};
use crate::batcher::BatchingConfig;

/// How long a client that was turned away is told to wait: the smallest that `Retry-After` can say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The rows of one request, waiting.
#[derive(Debug)]
pub struct Entry {
    pub values: Vec<f32>,
    pub texts: Vec<String>,
    pub rows: usize,
    pub submitted: Instant,
    pub reply: oneshot::Sender<Result<Scored, SubmitError>>,
}

/// Who is to score an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScoredBy {
    /// The thread that has the request: it asks for a batch with [`Queue::try_take`] after everything that is ready to run on
    /// it has queued its rows too.
    Requester,
    /// A worker thread.
    Worker,
}

/// What is scored at once.
#[derive(Debug)]
pub struct Taken {
    /// The entries to run, oldest first.
    pub entries: Vec<Entry>,
    /// The entries whose clients have gone.
    pub abandoned: Vec<Entry>,
}

/// A queue that is bounded in rows, not in requests: a row is what costs. It also keeps the scorers that are idle, so that
/// whoever takes a batch takes the session that runs it.
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
    idle: Vec<Scorer>,
    /// Whether something in the queue counts on a worker.
    needs_worker: bool,
    /// How many workers sleep: waking nobody would cost a call of the system too.
    sleeping: usize,
    is_open: bool,
}

impl Queue {
    pub fn new(config: &BatchingConfig, max_batch_rows: usize, scorers: Vec<Scorer>) -> Self {
        let state = State {
            entries: VecDeque::new(),
            rows: 0,
            idle: scorers,
            needs_worker: false,
            sleeping: 0,
            is_open: true,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            max_batch_rows,
            max_queue_rows: config.max_queue_rows,
            max_delay: config.max_queue_delay,
        }
    }

    pub fn push(&self, entry: Entry, by: ScoredBy) -> Result<(), SubmitError> {
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
        state.entries.push_back(entry);
        if by == ScoredBy::Worker {
            self.call_worker(state);
        }
        Ok(())
    }

    /// Takes what is queued up to `max_rows`, if a scorer is idle and the oldest entry is no larger; else a worker takes it
    /// as soon as a scorer is idle.
    pub fn try_take(&self, max_rows: usize) -> Option<(Scorer, Taken)> {
        let mut state = self.lock();
        let fits = state.entries.front().is_some_and(|oldest| oldest.rows <= max_rows);
        match state.idle.pop_if(|_| fits) {
            Some(scorer) => Some((scorer, state.take(max_rows))),
            None => {
                self.call_worker(state);
                None
            }
        }
    }

    /// Gives a scorer back, for the next batch.
    pub fn put_back(&self, scorer: Scorer) {
        let mut state = self.lock();
        if state.is_open || !state.entries.is_empty() {
            state.idle.push(scorer);
            if state.needs_worker {
                self.call_worker(state);
            }
        }
    }

    /// Lets a worker take what is queued, whoever was to do so.
    pub fn hand_over(&self) {
        self.call_worker(self.lock());
    }

    /// For workers, which give back the scorer of their last batch: takes everything that is queued up to
    /// `max_batch_rows`, but at least one entry, as soon as something counts on a worker; `None` once the queue is closed and
    /// empty.
    pub fn take(&self, done: Option<Scorer>) -> Option<(Scorer, Taken)> {
        let mut state = self.lock();
        state.idle.extend(done);
        loop {
            if state.entries.is_empty() && !state.is_open {
                // Sessions end on the threads of workers: their end may take long.
                let ended = std::mem::take(&mut state.idle);
                drop(state);
                drop(ended);
                return None;
            }
            if state.entries.is_empty() || state.idle.is_empty() || !state.needs_worker {
                state = self.sleep(state);
                continue;
            }
            if !self.max_delay.is_zero() {
                state = self.wait_for_more(state);
            }
            if let Some(scorer) = state.idle.pop() {
                let taken = state.take(self.max_batch_rows);
                if state.needs_worker && !state.idle.is_empty() {
                    self.call_worker(state);
                }
                return Some((scorer, taken));
            }
        }
    }

    /// Waits until a batch is full or its oldest entry has waited for `max_delay`.
    fn wait_for_more<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while state.is_open && state.rows < self.max_batch_rows {
            let waited = state.entries.front().map_or(self.max_delay, |oldest| oldest.submitted.elapsed());
            let Some(left) = self.max_delay.checked_sub(waited).filter(|left| !left.is_zero()) else { break };
            state.sleeping += 1;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.sleeping -= 1;
        }
        state
    }

    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.sleeping += 1;
        state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.sleeping -= 1;
        state
    }

    fn call_worker(&self, mut state: MutexGuard<'_, State>) {
        state.needs_worker = !state.entries.is_empty();
        let wakes = state.needs_worker && state.sleeping > 0 && !state.idle.is_empty();
        drop(state);
        if wakes {
            self.changed.notify_one();
        }
    }

    /// What waits now.
    pub fn state(&self) -> QueueState {
        let state = self.lock();
        let oldest = state.entries.front().map(|oldest| oldest.submitted);
        QueueState {
            rows: state.rows,
            requests: state.entries.len(),
            oldest_age: oldest.map_or(Duration::ZERO, |submitted| submitted.elapsed()),
            capacity_rows: self.max_queue_rows,
        }
    }

    pub fn close(&self) {
        let mut state = self.lock();
        state.is_open = false;
        state.needs_worker = true;
        drop(state);
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
        self.needs_worker &= !self.entries.is_empty();
        taken
    }
}

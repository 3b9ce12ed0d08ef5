use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onnward_telemetry::metrics::QueueState;
use tokio::sync::oneshot;

use super::runner::{ActiveRunner, BatchRunner};
use super::sizes::BatchSizes;
use super::{Scored, SubmitError};
use crate::batcher::BatchingConfig;

/// The `Retry-After` of a rejected request: the smallest value that the header can express.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The rows of one request that waits to be scored.
#[derive(Debug)]
pub struct PendingRequest {
    pub values: Vec<f32>,
    pub texts: Vec<String>,
    pub rows: usize,
    pub submitted: Instant,
    pub reply: oneshot::Sender<Result<Scored, SubmitError>>,
}

/// The thread that is to run a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunBy {
    /// The thread that has the request. It calls [`Queue::try_take`] after everything that is ready to run on
    /// it has queued its rows too.
    Inline,
    /// A worker thread.
    Worker,
}

/// Requests that are scored together.
#[derive(Debug)]
pub struct Batch {
    /// The requests to run, oldest first.
    pub requests: Vec<PendingRequest>,
    /// The requests whose clients have disconnected.
    pub cancelled: Vec<PendingRequest>,
    /// The number of rows to run.
    pub rows: usize,
}

/// What a worker thread does next.
#[derive(Debug)]
pub enum Work {
    /// It runs a batch.
    Batch(Batch),
    /// It measures the costs of batches again, while nothing is queued.
    Measure,
}

/// A queue bounded by rows, because rows are the cost. It also holds the idle runners, so that taking a batch
/// takes the session that runs it.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    sizes: Arc<BatchSizes>,
    max_queue_rows: usize,
    max_delay: Duration,
}

#[derive(Debug)]
struct State {
    requests: VecDeque<PendingRequest>,
    rows: usize,
    idle: Vec<BatchRunner>,
    /// Whether a queued request needs a worker.
    needs_worker: bool,
    /// The number of sleeping workers. Notifying none would still cost a system call.
    sleeping: usize,
    is_open: bool,
    /// The time of the last request.
    last_used: Instant,
    /// How long nothing must have been queued before the costs are measured again, each time once.
    idle_times: Vec<Duration>,
}

impl Queue {
    pub fn new(
        config: &BatchingConfig,
        sizes: Arc<BatchSizes>,
        runners: Vec<BatchRunner>,
        idle_times: &[Duration],
    ) -> Self {
        let state = State {
            requests: VecDeque::new(),
            rows: 0,
            idle: runners,
            needs_worker: false,
            sleeping: 0,
            is_open: true,
            last_used: Instant::now(),
            idle_times: idle_times.iter().rev().copied().collect(),
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            sizes,
            max_queue_rows: config.max_queue_rows,
            max_delay: config.max_queue_delay,
        }
    }

    pub fn push(&self, request: PendingRequest, by: RunBy) -> Result<(), SubmitError> {
        if request.rows > self.max_queue_rows {
            return Err(SubmitError::TooManyRows { rows: request.rows, limit: self.max_queue_rows });
        }
        let mut state = self.lock();
        if !state.is_open {
            return Err(SubmitError::ShuttingDown);
        }
        if state.rows + request.rows > self.max_queue_rows {
            return Err(SubmitError::QueueFull { retry_after: RETRY_AFTER });
        }
        state.rows += request.rows;
        state.last_used = request.submitted;
        state.requests.push_back(request);
        if by == RunBy::Worker {
            self.wake_worker(state);
        }
        Ok(())
    }

    /// Takes a batch of up to `max_rows`, if a runner is idle and the oldest request fits. Otherwise leaves
    /// it to a worker.
    pub fn try_take(&self, max_rows: usize) -> Option<(ActiveRunner<'_>, Batch)> {
        let mut state = self.lock();
        let fits = state.requests.front().is_some_and(|oldest| oldest.rows <= max_rows);
        let Some(runner) = state.idle.pop_if(|_| fits) else {
            self.wake_worker(state);
            return None;
        };
        let batch = state.take(max_rows);
        drop(state);
        Some((ActiveRunner::new(self, runner), batch))
    }

    /// Returns a runner to the queue for the next batch.
    pub fn return_runner(&self, runner: BatchRunner) {
        let mut state = self.lock();
        if state.is_open || !state.requests.is_empty() {
            state.idle.push(runner);
            if state.needs_worker {
                self.wake_worker(state);
            }
        }
    }

    /// Hands the queued requests to a worker.
    pub fn hand_off(&self) {
        self.wake_worker(self.lock());
    }

    /// Waits for work, for worker threads. `finished` is the runner of their last batch, which is returned.
    ///
    /// Takes up to `max_batch_rows` rows, at least one request, as soon as a request needs a worker. `None`
    /// once the queue is closed and empty.
    pub fn take(&self, finished: Option<ActiveRunner<'_>>) -> Option<(ActiveRunner<'_>, Work)> {
        let finished = finished.and_then(ActiveRunner::into_runner);
        let mut state = self.lock();
        state.idle.extend(finished);
        loop {
            if state.requests.is_empty() && !state.is_open {
                // Sessions are dropped on worker threads, because dropping one may take long.
                let ended = std::mem::take(&mut state.idle);
                drop(state);
                drop(ended);
                return None;
            }
            if state.requests.is_empty() || state.idle.is_empty() || !state.needs_worker {
                if state.must_measure(Instant::now())
                    && let Some(runner) = state.idle.pop()
                {
                    state.idle_times.pop();
                    drop(state);
                    return Some((ActiveRunner::new(self, runner), Work::Measure));
                }
                state = self.sleep(state);
                continue;
            }
            if !self.max_delay.is_zero() {
                state = self.wait_for_more(state);
            }
            if let Some(runner) = state.idle.pop() {
                let batch = state.take(self.sizes.max_batch_rows());
                if state.needs_worker && !state.idle.is_empty() {
                    self.wake_worker(state);
                } else {
                    drop(state);
                }
                return Some((ActiveRunner::new(self, runner), Work::Batch(batch)));
            }
        }
    }

    /// Waits until a batch is full or its oldest request has waited for `max_delay`.
    fn wait_for_more<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while state.is_open && state.rows < self.sizes.max_batch_rows() {
            let waited = state.requests.front().map_or(self.max_delay, |oldest| oldest.submitted.elapsed());
            let Some(left) = self.max_delay.checked_sub(waited).filter(|left| !left.is_zero()) else { break };
            state.sleeping += 1;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.sleeping -= 1;
        }
        state
    }

    fn sleep<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.sleeping += 1;
        state = match state.idle_times.last() {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(idle) => {
                // A little longer, so that the time has come afterwards.
                let left = idle.saturating_sub(state.last_used.elapsed()) + Duration::from_millis(1);
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.sleeping -= 1;
        state
    }

    fn wake_worker(&self, mut state: MutexGuard<'_, State>) {
        state.needs_worker = !state.requests.is_empty();
        let must_wake = state.needs_worker && state.sleeping > 0 && !state.idle.is_empty();
        drop(state);
        if must_wake {
            self.changed.notify_one();
        }
    }

    /// Returns the current state of the queue.
    pub fn state(&self) -> QueueState {
        let state = self.lock();
        let oldest = state.requests.front().map(|oldest| oldest.submitted);
        QueueState {
            rows: state.rows,
            requests: state.requests.len(),
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

    /// Closes the queue and discards its requests unanswered.
    pub fn close_and_discard(&self) {
        let waiting = {
            let mut state = self.lock();
            state.is_open = false;
            state.rows = 0;
            std::mem::take(&mut state.requests)
        };
        self.changed.notify_all();
        drop(waiting);
    }

    // A panic cannot leave the counts half changed, because nothing panics while the lock is held.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns whether nothing has been queued for so long that the costs are to be measured again.
    fn must_measure(&self, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.last_used);
        self.requests.is_empty() && self.idle_times.last().is_some_and(|time| idle >= *time)
    }

    fn take(&mut self, max_rows: usize) -> Batch {
        let mut batch = Batch { requests: Vec::new(), cancelled: Vec::new(), rows: 0 };
        while let Some(request) =
            self.requests.pop_front_if(|request| batch.rows == 0 || batch.rows + request.rows <= max_rows)
        {
            self.rows -= request.rows;
            if request.reply.is_closed() {
                batch.cancelled.push(request);
            } else {
                batch.rows += request.rows;
                batch.requests.push(request);
            }
        }
        self.needs_worker &= !self.requests.is_empty();
        batch
    }
}

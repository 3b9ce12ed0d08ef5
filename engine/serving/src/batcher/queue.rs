use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use onnward_schemas::{Kept, Rows};
use onnward_telemetry::metrics::QueueState;
use tokio::sync::oneshot;

use super::runner::{ActiveRunner, BatchRunner};
use super::sizes::BatchSizes;
use super::workers::Workers;
use super::{Scored, SubmitError};
use crate::batcher::BatchingConfig;

/// The `Retry-After` of a rejected request: the smallest value that the header can express.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The rows of one request that waits to be scored.
#[derive(Debug)]
pub struct PendingRequest {
    pub values: Vec<f32>,
    pub kept: Vec<Kept>,
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

/// A queue bounded by rows, because rows are the cost. It also holds the idle runners, so that taking a batch
/// takes the session that runs it.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    workers: Workers,
    sizes: Arc<BatchSizes>,
    max_queue_rows: usize,
    max_delay: Duration,
    /// The rows on which the costs of batches are measured.
    sample: Rows,
}

#[derive(Debug)]
struct State {
    requests: VecDeque<PendingRequest>,
    rows: usize,
    idle: Vec<BatchRunner>,
    /// Whether a queued request needs a worker.
    needs_worker: bool,
    /// The number of workers that were woken and have not looked yet. Each can run a batch.
    woken: usize,
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
        workers: Workers,
        sample: Rows,
        idle_times: &[Duration],
    ) -> Self {
        let state = State {
            requests: VecDeque::new(),
            rows: 0,
            idle: runners,
            needs_worker: false,
            woken: 0,
            is_open: true,
            last_used: Instant::now(),
            idle_times: idle_times.iter().rev().copied().collect(),
        };
        Self {
            state: Mutex::new(state),
            workers,
            sizes,
            max_queue_rows: config.max_queue_rows,
            max_delay: config.max_queue_delay,
            sample,
        }
    }

    pub fn push(self: &Arc<Self>, request: PendingRequest, by: RunBy) -> Result<(), SubmitError> {
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
        if by == RunBy::Worker && self.is_due(&state) {
            self.wake_worker(state);
        }
        Ok(())
    }

    /// Returns whether a batch need not wait for more rows.
    fn is_due(&self, state: &State) -> bool {
        self.max_delay.is_zero() || state.rows >= self.sizes.max_batch_rows()
    }

    /// Takes a batch of up to `max_rows`, if a runner is idle and the oldest request fits. Otherwise leaves
    /// it to a worker.
    pub fn try_take(self: &Arc<Self>, max_rows: usize) -> Option<(ActiveRunner<'_>, Batch)> {
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
    pub fn return_runner(self: &Arc<Self>, runner: BatchRunner) {
        let mut state = self.lock();
        if state.is_open || !state.requests.is_empty() {
            state.idle.push(runner);
            if state.needs_worker {
                self.wake_worker(state);
            }
        }
    }

    /// Hands the queued requests to a worker.
    pub fn hand_off(self: &Arc<Self>) {
        self.wake_worker(self.lock());
    }

    /// Wakes a worker for the queued requests, if a runner is idle for it.
    fn wake_worker(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        state.needs_worker = !state.requests.is_empty();
        if state.needs_worker && state.woken < state.idle.len() {
            state.woken += 1;
            drop(state);
            self.workers.run(Arc::clone(self));
        }
    }

    /// Runs batches until none needs a worker, or another queue waits for one. Worker threads call this once each
    /// time that they are woken.
    pub fn run_batches(self: &Arc<Self>) {
        {
            let mut state = self.lock();
            state.woken = state.woken.saturating_sub(1);
        }
        let mut finished = None;
        while let Some((mut runner, batch)) = self.take(finished.take()) {
            runner.run(batch);
            // Dropped, the runner wakes a worker again if one is needed, which then waits for its turn.
            finished = Some(runner).filter(|_| !self.workers.has_waiting());
        }
    }

    /// Takes a batch of up to `max_batch_rows` rows, at least one request, if a worker is needed. `finished` is the
    /// runner of the last batch, which is returned.
    fn take(self: &Arc<Self>, finished: Option<ActiveRunner<'_>>) -> Option<(ActiveRunner<'_>, Batch)> {
        let finished = finished.and_then(ActiveRunner::into_runner);
        let mut state = self.lock();
        state.idle.extend(finished);
        if state.requests.is_empty() && !state.is_open {
            // Sessions are dropped on worker threads, because dropping one may take long.
            let ended = std::mem::take(&mut state.idle);
            drop(state);
            drop(ended);
            return None;
        }
        let runner = if state.needs_worker { state.idle.pop() } else { None }?;
        let batch = state.take(self.sizes.max_batch_rows());
        // What is left does not wait for more rows: it may have waited for as long as it may.
        if state.needs_worker {
            self.wake_worker(state);
        } else {
            drop(state);
        }
        Some((ActiveRunner::new(self, runner), batch))
    }

    /// Returns when the costs are to be measured next, unless the queue is used until then.
    fn next_measurement(&self) -> Option<Instant> {
        let state = self.lock();
        let idle = state.idle_times.last().filter(|_| state.is_open)?;
        // A little later, so that the time has come then.
        Some(state.last_used + *idle + Duration::from_millis(1))
    }

    /// Has the costs measured when nothing has been queued for long enough.
    pub fn plan_measurement(self: &Arc<Self>) {
        if let Some(at) = self.next_measurement() {
            self.workers.measure_at(at, Arc::downgrade(self));
        }
    }

    /// Measures the costs of batches again, if nothing has been queued for long enough.
    pub fn measure(self: &Arc<Self>) {
        if let Some(mut runner) = self.take_to_measure() {
            runner.measure(&self.sample);
        }
        self.plan_measurement();
    }

    fn take_to_measure(self: &Arc<Self>) -> Option<ActiveRunner<'_>> {
        let mut state = self.lock();
        let runner = if state.must_measure(Instant::now()) { state.idle.pop() } else { None }?;
        state.idle_times.pop();
        Some(ActiveRunner::new(self, runner))
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

    /// Closes the queue. Workers run what is queued and drop the sessions.
    pub fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_open = false;
        state.needs_worker = true;
        drop(state);
        self.workers.finish(Arc::clone(self));
    }

    /// Closes the queue and discards its requests unanswered.
    pub fn close_and_discard(self: &Arc<Self>) {
        let waiting = {
            let mut state = self.lock();
            state.is_open = false;
            state.rows = 0;
            std::mem::take(&mut state.requests)
        };
        self.workers.finish(Arc::clone(self));
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

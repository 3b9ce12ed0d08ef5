use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use std::vec::IntoIter;

use ndarray::ArrayView2;
use onnward_runtime::backend::{self, BackendError, Session};
use onnward_runtime::costs::measure_costs;
use onnward_runtime::threads::RuntimeThreadGuard;
use onnward_schemas::{Kept, Predictions, Rows};
use onnward_telemetry::metrics::Stage;

use super::queue::{Batch, PendingRequest, Queue};
use super::sizes::BatchSizes;
use super::{RowWidth, Scored, SubmitError, Timings};
use crate::monitor::Monitor;

/// A session and the buffers it reuses between batches.
pub struct BatchRunner {
    session: Box<dyn Session>,
    width: RowWidth,
    sizes: Arc<BatchSizes>,
    monitor: Arc<Monitor>,
    /// The batch's matrix, kept between batches.
    matrix: Vec<f32>,
    /// The batch's kept values; empty where rows keep none.
    kept: Vec<Kept>,
    /// Dropped after the session, which uses a runtime until then.
    _in_use: RuntimeThreadGuard,
}

impl BatchRunner {
    pub fn new(
        session: Box<dyn Session>,
        width: RowWidth,
        sizes: Arc<BatchSizes>,
        monitor: Arc<Monitor>,
        in_use: RuntimeThreadGuard,
    ) -> Self {
        let (matrix, kept) = (Vec::new(), Vec::new());
        Self { session, width, sizes, monitor, matrix, kept, _in_use: in_use }
    }

    /// Runs a batch and answers its requests.
    ///
    /// A panic anywhere in it must not end the thread, lose the runner or leave a request without an answer.
    /// So it is caught here, and the requests that have no answer yet get an error.
    pub fn run(&mut self, batch: Batch) {
        let rows = batch.rows;
        let mut requests = batch.requests.into_iter();
        let cancelled = batch.cancelled.len();
        let ran = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..cancelled {
                self.monitor.inference().abandoned();
            }
            if !requests.as_slice().is_empty() {
                self.run_requests(&mut requests);
            }
        }));
        if ran.is_err() {
            tracing::error!(rows, "a batch panicked; its unanswered requests fail");
            for request in requests {
                let error = SubmitError::Failed("scoring panicked".to_owned());
                // An answer wakes its client, which could panic too.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(request.reply.send(Err(error)))));
            }
        }
    }

    /// Measures the costs of batches of `sample` rows again. A batch that fails changes nothing.
    pub fn measure(&mut self, sample: &Rows) {
        let measured = catch_unwind(AssertUnwindSafe(|| measure_costs(self.session.as_mut(), sample)));
        if let Ok(Ok(measured)) = measured {
            self.sizes.improve(&measured);
        }
    }

    fn run_requests(&mut self, requests: &mut IntoIter<PendingRequest>) {
        let taken = Instant::now();
        let mut matrix = std::mem::take(&mut self.matrix);
        let mut kept = std::mem::take(&mut self.kept);
        matrix.clear();
        kept.clear();
        for request in requests.as_mut_slice() {
            matrix.append(&mut request.values);
            kept.append(&mut request.kept);
        }
        let rows = matrix.len() / self.width.features;
        let assembled = Instant::now();
        let answer = self.score(&matrix, &kept, assembled);
        let queued = requests.as_slice().iter().map(|request| taken - request.submitted);
        self.monitor.inference().queued(queued);
        self.monitor.inference().stage(Stage::Assemble, assembled - taken);
        if let Ok((predictions, _)) = &answer {
            self.monitor.inference().requests_scored(requests.len());
            self.monitor.observe(&matrix, predictions);
        }
        self.matrix = matrix;
        self.kept = kept;
        match answer {
            Ok((predictions, scored)) => {
                let mut first = 0;
                let mut whole = predictions;
                let is_only = requests.len() == 1;
                for request in requests {
                    let share = first..first + request.rows;
                    first = share.end;
                    let predictions = if is_only {
                        std::mem::replace(&mut whole, Vec::new().into())
                    } else {
                        whole.slice(share)
                    };
                    let submitted = request.submitted;
                    let timings = Timings { submitted, taken, assembled, scored, batch_rows: rows };
                    // An error means that the client has disconnected.
                    let _ = request.reply.send(Ok(Scored { predictions, timings }));
                }
            }
            Err(error) => {
                tracing::error!(%error, rows, "a batch failed");
                for request in requests {
                    let _ = request.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Runs the session over the rows in chunks of at most `max_batch_rows`, because one request may hold
    /// more. Returns the predictions and the time at which the last chunk ended. The first starts when the
    /// matrix is `assembled`.
    fn score(
        &mut self,
        matrix: &[f32],
        kept: &[Kept],
        assembled: Instant,
    ) -> Result<(Predictions, Instant), SubmitError> {
        let RowWidth { features, kept: kept_features } = self.width;
        let mut all: Option<Predictions> = None;
        let mut kept_left = kept;
        let mut ended = assembled;
        for chunk in matrix.chunks(self.sizes.max_batch_rows() * features) {
            let rows = chunk.len() / features;
            let view = ArrayView2::from_shape((rows, features), chunk)
                .map_err(|error| SubmitError::Failed(error.to_string()))?;
            let (kept, rest) = kept_left.split_at_checked(rows * kept_features).unwrap_or_default();
            kept_left = rest;
            let batch = if kept_features == 0 {
                backend::Batch::Features(view)
            } else {
                backend::Batch::FeaturesAndKept(view, kept)
            };
            // Caught here too, so that the error names the backend.
            let scored = catch_unwind(AssertUnwindSafe(|| self.session.score(batch)));
            let scored = scored.map_err(|_| SubmitError::Failed("the backend panicked".to_owned()))?;
            let scored = scored.map_err(|error| SubmitError::Failed(error.to_string()))?;
            // Otherwise the rows that follow would be answered with those of others.
            if scored.len() != rows {
                let scores = scored.len();
                return Err(SubmitError::Failed(BackendError::ScoreCount { rows, scores }.to_string()));
            }
            let is_alike = match &mut all {
                Some(all) => all.append(scored),
                None => {
                    all = Some(scored);
                    true
                }
            };
            if !is_alike {
                return Err(SubmitError::Failed("the model's outputs change their type".to_owned()));
            }
            let started = std::mem::replace(&mut ended, Instant::now());
            self.monitor.inference().ran(rows, ended - started);
        }
        Ok((all.unwrap_or_else(|| Vec::new().into()), ended))
    }
}

impl fmt::Debug for BatchRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchRunner").field("width", &self.width).finish_non_exhaustive()
    }
}

/// A runner that is in use. Dropping it returns the runner to the queue, also during a panic.
#[derive(Debug)]
pub struct ActiveRunner<'a> {
    queue: &'a Arc<Queue>,
    /// Absent once it has been returned.
    runner: Option<BatchRunner>,
}

impl<'a> ActiveRunner<'a> {
    pub fn new(queue: &'a Arc<Queue>, runner: BatchRunner) -> Self {
        Self { queue, runner: Some(runner) }
    }

    /// Runs a batch and answers its requests.
    pub fn run(&mut self, batch: Batch) {
        if let Some(runner) = &mut self.runner {
            runner.run(batch);
        }
    }

    /// Measures the costs of batches again.
    pub fn measure(&mut self, sample: &Rows) {
        if let Some(runner) = &mut self.runner {
            runner.measure(sample);
        }
    }

    /// Returns the runner itself, which is then not returned to the queue.
    pub fn into_runner(mut self) -> Option<BatchRunner> {
        self.runner.take()
    }
}

impl Drop for ActiveRunner<'_> {
    fn drop(&mut self) {
        if let Some(runner) = self.runner.take() {
            self.queue.return_runner(runner);
        }
    }
}

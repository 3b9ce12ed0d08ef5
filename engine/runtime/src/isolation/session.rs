use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{ArrayView2, Axis};
use onnward_onnx::OutputReader;
use onnward_schemas::{Kept, Predictions, Rows};

use super::process::Process;
use super::protocol::Open;
use super::{Isolation, IsolationError};
use crate::backend::{BackendError, BackendKind, Batch, Session, joined};

/// A session of a model in a process of its own. Its clones share the process.
///
/// It returns a failure for a row that fails, takes too much memory or takes too long, so that one client's row
/// does not fail the rows of others.
#[derive(Clone)]
pub struct IsolatedSession {
    shared: Arc<Shared>,
}

struct Shared {
    isolation: Isolation,
    backend: BackendKind,
    output: OutputReader,
    request: Open,
    file: Arc<[u8]>,
    /// `None` after the process has ended.
    process: Mutex<Option<Process>>,
}

impl IsolatedSession {
    pub fn new(
        isolation: Isolation,
        backend: BackendKind,
        output: OutputReader,
        request: Open,
        file: Arc<[u8]>,
        process: Process,
    ) -> Self {
        let process = Mutex::new(Some(process));
        Self { shared: Arc::new(Shared { isolation, backend, output, request, file, process }) }
    }
}

impl Shared {
    fn score(&self, matrix: ArrayView2<'_, f32>, kept: &[Kept]) -> Result<Predictions, BackendError> {
        match self.run(matrix, kept) {
            Ok(predictions) => Ok(predictions),
            // Other rows have been scored, so it is not the file.
            Err(IsolationError::Ended(how)) if matrix.nrows() == 1 => {
                Ok(self.output.failed(format!("the runtime ended on these values ({how})")))
            }
            Err(error) if matrix.nrows() == 1 => Ok(self.output.failed(error.to_string())),
            // Which row it was shows when each is scored alone.
            Err(_) => {
                let kept_per_row = kept.len() / matrix.nrows().max(1);
                let rows = (0..matrix.nrows()).map(|row| {
                    let kept = kept.get(row * kept_per_row..(row + 1) * kept_per_row).unwrap_or_default();
                    self.score(matrix.slice_axis(Axis(0), (row..row + 1).into()), kept)
                });
                joined(self.backend, rows)
            }
        }
    }

    fn run(&self, matrix: ArrayView2<'_, f32>, kept: &[Kept]) -> Result<Predictions, IsolationError> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // The system may have ended it to free memory, which says nothing of these rows.
        if process.as_mut().is_some_and(Process::has_ended) {
            *process = None;
        }
        let running = match &mut *process {
            Some(running) => running,
            None => {
                process.insert(self.isolation.open(&self.request, &self.file, &AtomicBool::new(false))?.0)
            }
        };
        let values = matrix.iter().copied().collect();
        let rows = Rows { values, kept: kept.to_vec(), len: matrix.nrows() };
        let scored = running.score(&rows, self.isolation.score_timeout);
        if !matches!(scored, Ok(_) | Err(IsolationError::Failed { .. })) {
            *process = None;
        }
        scored
    }
}

impl Session for IsolatedSession {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        match batch {
            Batch::Features(matrix) => self.shared.score(matrix, &[]),
            Batch::FeaturesAndKept(matrix, kept) => self.shared.score(matrix, kept),
            Batch::Inputs(_) => Err(BackendError::Run {
                backend: self.shared.backend,
                reason: "an isolated model accepts encoded rows only".to_owned(),
            }),
        }
    }

    fn try_clone(&self) -> Option<Box<dyn Session>> {
        Some(Box::new(self.clone()))
    }
}

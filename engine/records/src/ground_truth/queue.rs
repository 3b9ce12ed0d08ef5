//! The queue of the writer thread.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use onnward_serving::version::ModelVersion;
use tokio::sync::oneshot;

use super::batch::PredictionBatch;
use super::join::{Joined, Outcome};
use super::{OutcomesError, VersionFigures};

/// The queue, and the thread that writes it.
#[derive(Debug, Default)]
pub struct Queue {
    pending: Mutex<Pending>,
    thread: OnceLock<Thread>,
}

/// The pending writes, up to [`MAX_PENDING_ROWS`] and [`MAX_PENDING_OUTCOMES`].
#[derive(Debug, Default)]
pub struct Pending {
    /// The predictions of requests, in the order in which they were scored.
    pub scored: Vec<PredictionBatch>,
    /// The commands that await a reply.
    pub commands: Vec<Command>,
    /// The number of predictions dropped because the queue was full.
    pub lost: u64,
    /// Whether the queue is closed.
    pub is_last: bool,
    rows: usize,
    outcomes: usize,
}

/// A command to the writer thread.
#[derive(Debug)]
pub enum Command {
    /// Joins outcomes.
    Join {
        /// The outcomes.
        outcomes: Vec<Outcome>,
        /// The receiver of the result.
        reply: Reply<Vec<Joined>>,
    },
    /// Computes the figures of a model's versions.
    Figures {
        /// The model's name.
        model: String,
        /// Its loaded versions.
        loaded: Vec<Arc<ModelVersion>>,
        /// The receiver of the result.
        reply: Reply<Vec<VersionFigures>>,
    },
}

/// The sender of a reply.
pub type Reply<T> = oneshot::Sender<Result<T, OutcomesError>>;

/// The most pending predictions: some seconds of a busy engine. The probability of a class counts as one more.
pub const MAX_PENDING_ROWS: usize = 262_144;
/// The most pending outcomes. Each command counts as one more.
const MAX_PENDING_OUTCOMES: usize = 262_144;

impl Queue {
    /// Sets the thread to wake for commands.
    pub fn set_thread(&self, thread: Thread) {
        // It is set once.
        let _ = self.thread.set(thread);
    }

    /// Queues predictions if there is room. Does not wake the writer, which would cost a system call per
    /// request.
    pub fn keep(&self, scored: PredictionBatch) {
        let size = scored.size();
        let mut pending = self.pending();
        // A batch of many classes may be larger than the queue, and has room where nothing else is pending.
        let is_alone = pending.rows == 0 && scored.rows() <= MAX_PENDING_ROWS;
        if pending.rows + size > MAX_PENDING_ROWS && !is_alone {
            pending.lost += scored.rows() as u64;
        } else {
            pending.rows += size;
            pending.scored.push(scored);
        }
    }

    /// Queues a command and wakes the writer.
    pub fn send(&self, command: Command) -> Result<(), OutcomesError> {
        let cost = match &command {
            Command::Join { outcomes, .. } => 1 + outcomes.len(),
            Command::Figures { .. } => 1,
        };
        let mut pending = self.pending();
        if pending.outcomes + cost > MAX_PENDING_OUTCOMES {
            return Err(OutcomesError::Full);
        }
        pending.outcomes += cost;
        pending.commands.push(command);
        drop(pending);
        self.wake();
        Ok(())
    }

    /// Takes everything that is pending.
    pub fn take(&self) -> Pending {
        let mut pending = self.pending();
        let is_last = pending.is_last;
        // Reserves as much as last time, since the load repeats.
        let scored = Vec::with_capacity(pending.scored.len());
        std::mem::replace(&mut *pending, Pending { scored, is_last, ..Pending::default() })
    }

    /// Closes the queue.
    pub fn stop(&self) {
        self.pending().is_last = true;
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

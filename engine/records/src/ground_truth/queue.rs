//! What waits to be written.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use onnward_serving::version::ModelVersion;
use tokio::sync::oneshot;

use super::batch::PredictionBatch;
use super::join::{Joined, Outcome};
use super::{OutcomesError, VersionFigures};

/// What waits, and the thread that writes it.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    thread: OnceLock<Thread>,
}

/// What waits, up to [`MOST_ROWS`] and [`MOST_OUTCOMES`].
#[derive(Debug, Default)]
pub struct Waiting {
    /// The predictions of requests, in the order in which they were scored.
    pub scored: Vec<PredictionBatch>,
    /// What somebody waits for.
    pub asked: Vec<Ask>,
    /// How many predictions have found no room.
    pub lost: u64,
    /// Whether this is the last.
    pub is_last: bool,
    rows: usize,
    outcomes: usize,
}

/// What somebody waits for.
#[derive(Debug)]
pub enum Ask {
    /// That outcomes are joined.
    Join {
        /// The outcomes.
        outcomes: Vec<Outcome>,
        /// Where the answer goes.
        reply: Reply<Vec<Joined>>,
    },
    /// What is known of the versions of a model.
    Figures {
        /// The model's name.
        model: String,
        /// Its loaded versions.
        loaded: Vec<Arc<ModelVersion>>,
        /// Where the answer goes.
        reply: Reply<Vec<VersionFigures>>,
    },
}

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, OutcomesError>>;

/// How many predictions wait at most; some seconds of a busy engine.
pub const MOST_ROWS: usize = 262_144;
/// How many outcomes wait at most, each question counting as one more.
const MOST_OUTCOMES: usize = 262_144;

impl Queue {
    /// Sets the thread that is woken when somebody waits.
    pub fn set_thread(&self, thread: Thread) {
        // It is set once.
        let _ = self.thread.set(thread);
    }

    /// Takes predictions, if there is room. Nobody is woken for them: a request must not cost a call of the system more.
    pub fn keep(&self, scored: PredictionBatch) {
        let rows = scored.probabilities.len();
        let mut waiting = self.waiting();
        if waiting.rows + rows > MOST_ROWS {
            waiting.lost += rows as u64;
        } else {
            waiting.rows += rows;
            waiting.scored.push(scored);
        }
    }

    /// Takes a question, and wakes the thread.
    pub fn ask(&self, ask: Ask) -> Result<(), OutcomesError> {
        let cost = match &ask {
            Ask::Join { outcomes, .. } => 1 + outcomes.len(),
            Ask::Figures { .. } => 1,
        };
        let mut waiting = self.waiting();
        if waiting.outcomes + cost > MOST_OUTCOMES {
            return Err(OutcomesError::Full);
        }
        waiting.outcomes += cost;
        waiting.asked.push(ask);
        drop(waiting);
        self.wake();
        Ok(())
    }

    /// Takes everything that waits.
    pub fn take(&self) -> Waiting {
        let mut waiting = self.waiting();
        let is_last = waiting.is_last;
        // Room for as much as before: it comes again and again.
        let scored = Vec::with_capacity(waiting.scored.len());
        std::mem::replace(&mut *waiting, Waiting { scored, is_last, ..Waiting::default() })
    }

    /// Says that nothing more comes.
    pub fn stop(&self) {
        self.waiting().is_last = true;
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Models in a process of their own, whose memory and time are bounded.
//!
//! A file of 1 kB can ask for gigabytes, or compute for days, and neither a thread nor an allocation in this
//! process can be taken back. So a graph is first opened and tested in a child process, unless its file bounds
//! what it takes ([`onnward_onnx::MemoryDemand`]). If no size in the graph depends on the values of a row,
//! what the child took with a large batch is enough to know, and the model is then opened here. Otherwise the
//! child goes on to score, and a row that would take too much costs that row alone.
//!
//! The child is this program, started with a hidden argument. It reads requests from its standard input and
//! answers on its standard output (`protocol.rs`).

mod child;
mod process;
mod protocol;
mod session;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use onnward_onnx::OutputReader;
use thiserror::Error;

pub use self::child::run_child;
use self::process::Process;
use self::protocol::Open;
pub(crate) use self::protocol::Opened;
pub(crate) use self::session::IsolatedSession;
use crate::backend::BackendChoice;
use crate::memory::{Bytes, MemoryBudget, MemoryReservation};
use crate::verify::{LoadStep, ModelFile, VerifyError};

/// How models are opened in processes of their own.
#[derive(Debug, Clone)]
pub struct Isolation {
    /// The program to start: this one.
    pub program: PathBuf,
    /// Its arguments, on which it calls [`run_child`].
    pub arguments: Vec<String>,
    /// The backends that it loads.
    pub backend: BackendChoice,
    /// The library of ONNX Runtime that it loads; by default it is searched for.
    pub library: Option<PathBuf>,
    /// The most memory of one process, in bytes. It is bounded on Linux alone.
    pub memory: u64,
    /// The time for opening and testing a model.
    pub open_timeout: Duration,
    /// The time for scoring a batch.
    pub score_timeout: Duration,
}

/// The reason why a model does not run in a process of its own.
#[derive(Debug, Error)]
pub enum IsolationError {
    /// The process cannot be started.
    #[error("cannot start a process for the model: {0}")]
    Start(#[source] io::Error),
    /// It took too much memory.
    #[error(
        "it takes more than {} of memory: publish a model with smaller tensors, or raise \
         models.isolated_memory and the container's memory limit",
        Bytes(*.0)
    )]
    Memory(u64),
    /// It took too long.
    #[error("it did not finish within {} s: publish a model that takes less time", .0.as_secs_f64())]
    Timeout(Duration),
    /// The model is not wanted any more.
    #[error("its test was cancelled")]
    Cancelled,
    /// It ended, as a fault of a runtime ends it.
    #[error("the process that runs it ended ({0}): the runtime cannot run this file")]
    Ended(String),
    /// The model failed in it.
    #[error("{reason}")]
    Failed {
        /// The step that failed.
        step: LoadStep,
        /// The reason.
        reason: String,
    },
}

/// The least memory with which a process is started. The program and ONNX Runtime take some 60 MiB.
const LEAST_BYTES: u64 = 96 << 20;
/// The memory of the program itself in a process.
pub(crate) const PROGRAM_BYTES: u64 = 48 << 20;

/// A model that was opened and tested in a process of its own.
pub(crate) struct Tested {
    pub opened: Opened,
    /// The memory that the process may take.
    pub memory: MemoryReservation,
    isolation: Isolation,
    request: Open,
    process: Process,
}

impl Isolation {
    /// Opens and tests a model in a process of its own. The process may take half of the memory that is free,
    /// up to [`Isolation::memory`].
    pub(crate) fn test(
        &self,
        name: &str,
        file: &ModelFile<'_>,
        max_batch_rows: Option<usize>,
        budget: &MemoryBudget,
        cancelled: &AtomicBool,
    ) -> Result<Tested, VerifyError> {
        let memory = budget.reserve_half(self.memory, LEAST_BYTES)?;
        let request = Open {
            name: name.to_owned(),
            sha256: file.sha256.clone().into_owned(),
            fingerprint: file.fingerprint.map(str::to_owned),
            config: file.config.map(str::to_owned),
            backend: self.backend,
            library: self.library.clone(),
            max_batch_rows,
            memory: memory.bytes(),
            file_bytes: file.bytes.len() as u64,
        };
        let (process, opened) = self.open(&request, file.bytes, cancelled)?;
        Ok(Tested { opened, memory, isolation: self.clone(), request, process })
    }

    fn open(
        &self,
        request: &Open,
        file: &[u8],
        cancelled: &AtomicBool,
    ) -> Result<(Process, Opened), IsolationError> {
        let mut process = Process::start(self, request.memory)?;
        let opened = process.open(request, file, self.open_timeout, cancelled)?;
        Ok((process, opened))
    }
}

impl Tested {
    /// Keeps the process to score. `file` is opened again if the process ends.
    pub(crate) fn into_session(
        self,
        output: OutputReader,
        file: Arc<[u8]>,
    ) -> (IsolatedSession, MemoryReservation) {
        let Self { opened, memory, isolation, request, process } = self;
        (IsolatedSession::new(isolation, opened.backend, output, request, file, process), memory)
    }
}

#[cfg(test)]
mod tests;

use std::io::{self, BufWriter, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use onnward_schemas::{Predictions, Rows};

use super::protocol::{self, Open, OpenResponse, Opened, ScoreResponse};
use super::{Isolation, IsolationError};
use crate::verify::LoadStep;

/// The interval at which a process that computes is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(5);
/// The memory by which a process may exceed its limit before it is ended: its limit is on data, and libraries
/// come on top.
const SLACK_BYTES: u64 = 64 << 20;

/// A child process that runs one model. It ends when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: BufWriter<ChildStdin>,
    /// The frames that it writes.
    frames: Receiver<io::Result<Vec<u8>>>,
    /// The most memory that it may take, in bytes.
    memory: u64,
}

impl Process {
    /// Starts a process, which waits for its first request.
    pub fn start(isolation: &Isolation, memory: u64) -> Result<Self, IsolationError> {
        let mut child = Command::new(&isolation.program)
            .args(&isolation.arguments)
            // Its limit counts what the allocator reserves, so it must not reserve in advance.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(IsolationError::Start)?;
        let piped = || IsolationError::Start(io::Error::other("its input and output are not piped"));
        let (input, mut output) = child.stdin.take().zip(child.stdout.take()).ok_or_else(piped)?;
        // A pipe has no timeout. The thread ends with the process.
        let (sender, frames) = sync_channel(1);
        let reader = std::thread::Builder::new().name("isolated model".to_owned()).spawn(move || {
            while let Some(frame) = protocol::read_frame_or_end(&mut output).transpose() {
                if sender.send(frame).is_err() {
                    return;
                }
            }
        });
        let process = Self { child, input: BufWriter::new(input), frames, memory };
        reader.map_err(IsolationError::Start)?;
        Ok(process)
    }

    /// Returns whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Opens and tests a model, unless it is cancelled.
    pub fn open(
        &mut self,
        request: &Open,
        file: &[u8],
        timeout: Duration,
        cancelled: &AtomicBool,
    ) -> Result<Opened, IsolationError> {
        let deadline = Instant::now() + timeout;
        let sent = protocol::write_json(&mut self.input, request)
            .and_then(|()| self.input.write_all(file))
            .and_then(|()| self.input.flush());
        // A process that cannot read has ended, and says why below.
        drop(sent);
        let response = self.frame(deadline, timeout, cancelled)?;
        match protocol::parse_json(&response).map_err(|error| IsolationError::Ended(error.to_string()))? {
            OpenResponse::Opened(opened) => Ok(opened),
            OpenResponse::Failed { step, reason } => Err(IsolationError::Failed { step, reason }),
        }
    }

    /// Scores a batch. After an error other than [`IsolationError::Failed`] the process cannot be used.
    pub fn score(&mut self, rows: &Rows, timeout: Duration) -> Result<Predictions, IsolationError> {
        let deadline = Instant::now() + timeout;
        drop(protocol::write_rows(&mut self.input, rows).and_then(|()| self.input.flush()));
        let never = AtomicBool::new(false);
        let response = self.frame(deadline, timeout, &never)?;
        match protocol::parse_json(&response).map_err(|error| IsolationError::Ended(error.to_string()))? {
            ScoreResponse::Scored(predictions) => Ok(predictions),
            ScoreResponse::Failed(reason) => Err(IsolationError::Failed { step: LoadStep::WarmUp, reason }),
        }
    }

    /// Waits for a frame, and ends the process if it takes too long or too much, or is cancelled.
    fn frame(
        &mut self,
        deadline: Instant,
        timeout: Duration,
        cancelled: &AtomicBool,
    ) -> Result<Vec<u8>, IsolationError> {
        loop {
            match self.frames.recv_timeout(WATCH_INTERVAL) {
                Ok(Ok(frame)) => return Ok(frame),
                Ok(Err(error)) => return Err(self.ended(&error.to_string())),
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended("it closed its output")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if resident_bytes(self.child.id()).is_some_and(|bytes| bytes > self.memory + SLACK_BYTES) {
                self.end();
                return Err(IsolationError::Memory(self.memory));
            }
            if cancelled.load(Ordering::Relaxed) {
                self.end();
                return Err(IsolationError::Cancelled);
            }
            if Instant::now() >= deadline {
                self.end();
                return Err(IsolationError::Timeout(timeout));
            }
        }
    }

    /// Returns why the process has ended.
    fn ended(&mut self, fallback: &str) -> IsolationError {
        match self.child.wait() {
            // An allocation failed, or the system ended it to free memory.
            Ok(status) if is_out_of_memory(status) => IsolationError::Memory(self.memory),
            Ok(status) => IsolationError::Ended(status.to_string()),
            Err(_) => IsolationError::Ended(fallback.to_owned()),
        }
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns whether a process was aborted, as on a failed allocation, or killed.
#[cfg(unix)]
fn is_out_of_memory(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SIGABRT: i32 = 6;
    const SIGKILL: i32 = 9;
    matches!(status.signal(), Some(SIGABRT | SIGKILL))
}

#[cfg(not(unix))]
fn is_out_of_memory(_: std::process::ExitStatus) -> bool {
    false
}

/// Returns the memory that a process takes. `None` where the system does not tell.
fn resident_bytes(process: u32) -> Option<u64> {
    status_bytes(&std::fs::read_to_string(format!("/proc/{process}/status")).ok()?, "VmRSS:")
}

/// Returns a size from the text of `/proc/<pid>/status`, in bytes.
pub fn status_bytes(status: &str, name: &str) -> Option<u64> {
    let kibibytes = status.lines().find_map(|line| line.strip_prefix(name))?;
    kibibytes.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

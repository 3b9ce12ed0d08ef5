//! A running subject, on processors of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use onnward_harness::HarnessError;
use onnward_harness::process::{ProcessTree, spawn_on};
use serde_json::Value;

use crate::comparison::workload::predictions_in;

/// The maximum time in which a subject must start to answer.
const TIMEOUT: Duration = Duration::from_secs(90);
/// The time between two checks whether it answers.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A running subject. It is killed when this is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
    agent: ureq::Agent,
    /// The address on which it listens.
    pub address: SocketAddr,
    started: Instant,
}

/// A request, and the number of predictions in a correct answer.
#[derive(Debug, Clone)]
pub struct Probe<'a> {
    /// The path.
    pub path: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// The number of rows in the body.
    pub rows: usize,
}

impl Server {
    /// Starts a subject on these processors, without waiting until it answers.
    ///
    /// # Errors
    /// [`HarnessError::Start`], [`HarnessError::System`].
    pub fn start(
        mut command: Command,
        port: u16,
        processors: &[usize],
        log: PathBuf,
    ) -> Result<Self, HarnessError> {
        let writing = || HarnessError::system(format!("write {}", log.display()));
        let out = File::create(&log).map_err(writing())?;
        let errors = out.try_clone().map_err(writing())?;
        command.stdin(Stdio::null()).stdout(out).stderr(errors);
        let program = PathBuf::from(command.get_program());
        let started = Instant::now();
        let child =
            spawn_on(&mut command, processors).map_err(|source| HarnessError::Start { program, source })?;
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        let agent = agent.build().into();
        Ok(Self { child, log, agent, address: SocketAddr::from(([127, 0, 0, 1], port)), started })
    }

    /// Waits until the subject answers with predictions. Returns the time since its start.
    ///
    /// # Errors
    /// [`HarnessError::Ended`], or its last answer after the time limit.
    pub fn wait_until_ready(&mut self, probe: &Probe<'_>) -> Result<Duration, HarnessError> {
        loop {
            match self.check(probe) {
                Ok(()) => return Ok(self.started.elapsed()),
                Err(error) if self.started.elapsed() > TIMEOUT => return Err(error),
                Err(_) => {}
            }
            if !matches!(self.child.try_wait(), Ok(None)) {
                let program = self.log.display().to_string();
                return Err(HarnessError::Ended { program, log: self.end_of_log() });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Checks that the subject answers with a prediction for each row.
    ///
    /// # Errors
    /// [`HarnessError::Answer`] if it does not.
    pub fn check(&self, probe: &Probe<'_>) -> Result<(), HarnessError> {
        let Probe { path, body, rows } = *probe;
        let wrong =
            |answer: String| HarnessError::Answer { request: format!("{path} with {rows} rows"), answer };
        let request =
            self.agent.post(format!("http://{}{path}", self.address)).content_type("application/json");
        let mut response = request.send(body).map_err(|error| wrong(error.to_string()))?;
        let text = response.body_mut().read_to_string().map_err(|error| wrong(error.to_string()))?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if response.status() == 200 && predictions_in(&answer) == rows {
            return Ok(());
        }
        let shown: String = text.chars().take(300).collect();
        Err(wrong(format!("{}: {shown}", response.status())))
    }

    /// Returns its process and all descendants.
    pub fn processes(&self) -> ProcessTree {
        ProcessTree::of(self.child.id())
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

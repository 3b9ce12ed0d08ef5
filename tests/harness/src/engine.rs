//! The engine's program as a process, driven and observed from outside.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::error::HarnessError;
use crate::process::{Signal, Usage, send_signal, spawn_on};
use crate::wait::poll;

/// The number of the last log lines that are kept for error messages.
const KEPT_LINES: usize = 20;
/// The timeout for the engine to listen, to respond, to serve a version, or to exit.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The time between two checks.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The settings of an engine's start.
///
/// ```no_run
/// use onnward_harness::engine::EngineCommand;
///
/// let command = EngineCommand::new("target/release/onnward-engine", "model-repository");
/// let mut engine = command.start()?;
/// engine.wait_until_serving("churn", 1)?;
/// println!("{}", engine.predict("churn", br#"{"tenure": 1}"#)?);
/// # Ok::<(), onnward_harness::HarnessError>(())
/// ```
#[derive(Debug, Clone)]
pub struct EngineCommand {
    /// The engine's program.
    pub program: PathBuf,
    /// The model repository.
    pub repository: String,
    /// More arguments of `serve`.
    pub arguments: Vec<String>,
    /// Environment variables beside those of this process.
    pub environment: Vec<(String, String)>,
    /// Whether the whole log is kept for [`EngineProcess::stop`], not only the last lines.
    pub keeps_log: bool,
}

/// An engine that runs on ports of its own. It is killed when this is dropped.
#[derive(Debug)]
pub struct EngineProcess {
    program: PathBuf,
    child: Child,
    /// In a mutex so that threads can share the engine.
    receiver: Mutex<Receiver<Addresses>>,
    addresses: Addresses,
    agent: ureq::Agent,
    log: Arc<Mutex<Log>>,
    reader: Option<JoinHandle<()>>,
}

/// The addresses on which an engine listens: for clients, and for admin requests.
#[derive(Debug, Default)]
struct Addresses {
    url: String,
    admin_url: String,
}

/// The lines that an engine wrote.
#[derive(Debug)]
struct Log {
    lines: VecDeque<String>,
    is_whole: bool,
}

impl EngineCommand {
    /// Returns a command without more arguments or variables.
    pub fn new(program: impl Into<PathBuf>, repository: impl Into<String>) -> Self {
        Self {
            program: program.into(),
            repository: repository.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            keeps_log: false,
        }
    }

    /// Sets the environment variables.
    #[must_use]
    pub fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// Starts the engine and waits until it listens. Its models may not be loaded yet.
    ///
    /// # Errors
    /// [`HarnessError::Start`], [`HarnessError::Ended`], [`HarnessError::TooLate`].
    pub fn start(&self) -> Result<EngineProcess, HarnessError> {
        let mut engine = self.spawn()?;
        engine.wait_until_listening()?;
        Ok(engine)
    }

    /// Starts the engine without waiting.
    ///
    /// # Errors
    /// [`HarnessError::Start`].
    pub fn spawn(&self) -> Result<EngineProcess, HarnessError> {
        self.spawn_on(&[])
    }

    /// Starts the engine on these processors, or on all if there are none, without waiting.
    ///
    /// # Errors
    /// [`HarnessError::Start`].
    pub fn spawn_on(&self, processors: &[usize]) -> Result<EngineProcess, HarnessError> {
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--repository", &self.repository])
            .args(&self.arguments)
            .envs([("ONNWARD_LOG__FORMAT", "json"), ("ONNWARD_ADMIN__LISTEN", "127.0.0.1:0")])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = spawn_on(&mut command, processors)
            .map_err(|source| HarnessError::Start { program: self.program.clone(), source })?;
        let log = Arc::new(Mutex::new(Log { lines: VecDeque::new(), is_whole: self.keeps_log }));
        let (sender, receiver) = channel();
        // If nobody reads the log, the engine blocks once the pipe is full.
        let reader = child.stderr.take().map(|stderr| {
            let log = Arc::clone(&log);
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            std::thread::spawn(move || read_log(lines, &log, &sender))
        });
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        let agent = agent.build().into();
        let (program, addresses) = (self.program.clone(), Addresses::default());
        let receiver = Mutex::new(receiver);
        Ok(EngineProcess { program, child, receiver, addresses, agent, log, reader })
    }
}

impl EngineProcess {
    /// Waits until the engine listens.
    ///
    /// # Errors
    /// [`HarnessError::TooLate`], [`HarnessError::Ended`].
    pub fn wait_until_listening(&mut self) -> Result<(), HarnessError> {
        let receiver = self.receiver.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.addresses = receiver.recv_timeout(TIMEOUT).map_err(|error| match error {
            RecvTimeoutError::Disconnected => self.ended(),
            RecvTimeoutError::Timeout => self.too_late("it does not listen"),
        })?;
        Ok(())
    }

    /// Returns where the engine listens for clients, as `http://127.0.0.1:PORT`; empty before it does.
    pub fn url(&self) -> &str {
        &self.addresses.url
    }

    /// Returns where the engine listens for administrators; empty before it does.
    pub fn admin_url(&self) -> &str {
        &self.addresses.admin_url
    }

    /// Returns the address on which the engine listens for clients.
    ///
    /// # Errors
    /// [`HarnessError::Settings`] before it does.
    pub fn address(&self) -> Result<SocketAddr, HarnessError> {
        let address = self.url().trim_start_matches("http://").parse();
        address
            .map_err(|_| HarnessError::Settings(format!("the engine does not listen yet: {:?}", self.url())))
    }

    /// Returns the id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the engine serves a version of a model.
    ///
    /// # Errors
    /// [`HarnessError::TooLate`], [`HarnessError::Ended`], [`HarnessError::Answer`].
    pub fn wait_until_serving(&mut self, model: &str, version: u64) -> Result<(), HarnessError> {
        let path = format!("/models/{model}");
        let served = poll(TIMEOUT, POLL_INTERVAL, || {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Some(Err(self.ended()));
            }
            let served = self.get(&path).and_then(|(status, body)| {
                Ok(status == 200 && serde_json::from_str::<Value>(&body)?["version"] == version)
            });
            match served {
                Ok(false) => None,
                served => Some(served.map(|_| ())),
            }
        });
        served
            .unwrap_or_else(|| Err(self.too_late(&format!("it does not serve version {version} of {model}"))))
    }

    /// Returns the status of a model.
    ///
    /// # Errors
    /// [`HarnessError::Answer`].
    pub fn model(&self, name: &str) -> Result<Value, HarnessError> {
        let path = format!("/models/{name}");
        let answer = self.get(&path)?;
        json(&path, answer)
    }

    /// Has the engine poll its repository and act on what it finds, at once.
    ///
    /// # Errors
    /// [`HarnessError::Answer`].
    pub fn reload(&self) -> Result<Value, HarnessError> {
        let path = "/admin/reload";
        let answer =
            self.answer(path, self.agent.post(format!("{}{path}", self.admin_url())).send_empty())?;
        json(path, answer)
    }

    /// Requests a prediction.
    ///
    /// # Errors
    /// [`HarnessError::Answer`].
    pub fn predict(&self, model: &str, body: &[u8]) -> Result<Value, HarnessError> {
        let path = format!("/models/{model}/predict");
        let answer = self.post(&path, body)?;
        json(&path, answer)
    }

    /// Returns the engine's resident memory, in KiB.
    ///
    /// # Errors
    /// [`HarnessError::System`] if it has ended, or on another system than Linux.
    pub fn resident_kib(&self) -> Result<u64, HarnessError> {
        Ok(Usage::of(self.child.id())?.resident_bytes / 1024)
    }

    /// Kills the engine by SIGKILL, so that it cleans up nothing, and waits until it is gone.
    pub fn kill(&mut self) {
        // A process that has ended needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the engine to end, by SIGTERM.
    ///
    /// # Errors
    /// [`HarnessError::System`] if it has ended already.
    pub fn terminate(&self) -> Result<(), HarnessError> {
        send_signal(self.child.id(), Signal::Term)
    }

    /// Waits until the engine has ended, and returns its exit status.
    ///
    /// # Errors
    /// [`HarnessError::TooLate`] if it does not.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus, HarnessError> {
        let ended = poll(TIMEOUT, POLL_INTERVAL, || self.child.try_wait().ok().flatten());
        ended.ok_or_else(|| self.too_late("it does not end"))
    }

    /// Asks the engine to end, and returns its exit status and its log: the whole log if
    /// [`EngineCommand::keeps_log`] is set.
    ///
    /// # Errors
    /// [`HarnessError::System`] if it has ended already, [`HarnessError::TooLate`] if it does not end.
    pub fn stop(mut self) -> Result<(ExitStatus, Vec<String>), HarnessError> {
        self.terminate()?;
        let status = self.wait_for_end()?;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((status, std::mem::take(&mut log.lines).into()))
    }

    /// Posts JSON and returns the status and the body of the answer.
    ///
    /// # Errors
    /// [`HarnessError::Answer`] if there is none.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<(u16, String), HarnessError> {
        let request = self.agent.post(format!("{}{path}", self.url())).content_type("application/json");
        self.answer(path, request.send(body))
    }

    /// Gets a path and returns the status and the body of the answer.
    ///
    /// # Errors
    /// [`HarnessError::Answer`] if there is none.
    pub fn get(&self, path: &str) -> Result<(u16, String), HarnessError> {
        self.answer(path, self.agent.get(format!("{}{path}", self.url())).call())
    }

    fn answer(
        &self,
        path: &str,
        result: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, String), HarnessError> {
        let failed = |error: ureq::Error| HarnessError::Answer {
            request: path.to_owned(),
            answer: format!("{error}; the end of the engine's log:\n{}", self.log()),
        };
        let mut response = result.map_err(failed)?;
        let body = response.body_mut().read_to_string().map_err(failed)?;
        Ok((response.status().as_u16(), body))
    }

    fn ended(&self) -> HarnessError {
        HarnessError::Ended { program: self.program.display().to_string(), log: self.log() }
    }

    fn too_late(&self, what: &str) -> HarnessError {
        HarnessError::TooLate { seconds: TIMEOUT.as_secs(), what: what.to_owned(), log: self.log() }
    }

    /// Returns the last lines of the engine's log.
    pub fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let last = log.lines.iter().skip(log.lines.len().saturating_sub(KEPT_LINES));
        last.map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Log {
    fn keep(&mut self, line: String) {
        if !self.is_whole {
            // Lines of requests do not explain a failure of the engine.
            if line.contains("\"message\":\"request\"") {
                return;
            }
            if self.lines.len() == KEPT_LINES {
                self.lines.pop_front();
            }
        }
        self.lines.push_back(line);
    }
}

/// Reads an engine's log to its end, and sends the addresses that it names.
fn read_log(lines: impl Iterator<Item = String>, log: &Mutex<Log>, addresses: &Sender<Addresses>) {
    let mut admin_url = String::new();
    for line in lines {
        let listening = [url_in(&line, "listening for admin requests"), url_in(&line, "listening")];
        log.lock().unwrap_or_else(PoisonError::into_inner).keep(line);
        match listening {
            [Some(url), _] => admin_url = url,
            [None, Some(url)] => drop(addresses.send(Addresses { url, admin_url: admin_url.clone() })),
            [None, None] => {}
        }
    }
}

/// Returns the URL of the address in a line of the log with this message.
fn url_in(line: &str, message: &str) -> Option<String> {
    if !line.contains(&format!("\"message\":\"{message}\"")) {
        return None;
    }
    let event: Value = serde_json::from_str(line).ok()?;
    Some(format!("http://{}", event.get("onnward.address")?.as_str()?))
}

fn json(path: &str, (status, body): (u16, String)) -> Result<Value, HarnessError> {
    if status == 200 {
        return Ok(serde_json::from_str(&body)?);
    }
    Err(HarnessError::Answer { request: path.to_owned(), answer: format!("{status}: {body}") })
}

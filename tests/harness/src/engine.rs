//! The engine's program as a process, watched from outside.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::HarnessError;
use crate::process::{Told, Used, pin, tell};

/// How many of the last lines of its log are kept.
const KEPT_LINES: usize = 20;
/// How long the engine may take to listen and to answer.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked again what it is not ready for yet.
const PAUSE: Duration = Duration::from_millis(10);

/// An engine that runs on a port of its own; it is killed when this is dropped.
#[derive(Debug)]
pub struct EngineProcess {
    program: PathBuf,
    child: Child,
    addresses: Receiver<Listening>,
    listening: Listening,
    agent: ureq::Agent,
    log: Arc<Mutex<VecDeque<String>>>,
}

/// Where it listens: for everybody, and for administrators.
#[derive(Debug, Default)]
struct Listening {
    url: String,
    admin_url: String,
}

/// How an engine is started.
#[derive(Debug, Clone)]
pub struct EngineCommand {
    /// The engine's program.
    pub program: PathBuf,
    /// The model repository that it serves.
    pub repository: String,
    /// Variables that it gets beside those of this process.
    pub environment: Vec<(String, String)>,
}

impl EngineCommand {
    /// Starts the engine and waits until it listens. Models may not be loaded yet.
    ///
    /// # Errors
    /// [`HarnessError::Start`], [`HarnessError::Ended`], [`HarnessError::TooLate`].
    pub fn start(&self) -> Result<EngineProcess, HarnessError> {
        let mut engine = self.spawn()?;
        engine.wait_until_listening()?;
        Ok(engine)
    }

    /// Starts the engine and waits for nothing.
    ///
    /// # Errors
    /// [`HarnessError::Start`].
    pub fn spawn(&self) -> Result<EngineProcess, HarnessError> {
        self.spawn_on(&[])
    }

    /// As [`EngineCommand::spawn`], on these processors alone, where there are any.
    ///
    /// # Errors
    /// [`HarnessError::Start`].
    pub fn spawn_on(&self, processors: &[usize]) -> Result<EngineProcess, HarnessError> {
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--repository", &self.repository])
            .envs([("ONNWARD_LOG__FORMAT", "json"), ("ONNWARD_ADMIN__LISTEN", "127.0.0.1:0")])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        // A process may run where the thread may that starts it.
        let start = || {
            let _ = processors.is_empty() || pin(processors);
            command.spawn()
        };
        let spawned = std::thread::scope(|scope| scope.spawn(start).join());
        let mut child = spawned
            .unwrap_or_else(|_| Err(std::io::Error::other("the thread that starts it has failed")))
            .map_err(|source| HarnessError::Start { program: self.program.clone(), source })?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, addresses) = channel();
        if let Some(lines) = child.stderr.take() {
            let log = Arc::clone(&log);
            // Whoever does not read the log lets the engine stand still once the pipe is full.
            std::thread::spawn(move || {
                let mut admin_url = String::new();
                for line in BufReader::new(lines).lines().map_while(Result::ok) {
                    if let Some(url) = address_in(&line, "listening for administrators") {
                        admin_url = url;
                    } else if let Some(url) = address_in(&line, "listening") {
                        let _ = sender.send(Listening { url, admin_url: admin_url.clone() });
                    }
                    keep(&log, line);
                }
            });
        }
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        let agent = agent.build().into();
        let program = self.program.clone();
        Ok(EngineProcess { program, child, addresses, listening: Listening::default(), agent, log })
    }
}

impl EngineProcess {
    /// Waits until it listens.
    ///
    /// # Errors
    /// [`HarnessError::TooLate`], [`HarnessError::Ended`].
    pub fn wait_until_listening(&mut self) -> Result<(), HarnessError> {
        self.listening = self.addresses.recv_timeout(TIMEOUT).map_err(|error| match error {
            RecvTimeoutError::Disconnected => self.ended(),
            RecvTimeoutError::Timeout => self.too_late("it does not listen"),
        })?;
        Ok(())
    }

    /// Where it listens, as `http://127.0.0.1:PORT`; empty before it does.
    pub fn url(&self) -> &str {
        &self.listening.url
    }

    /// Where it listens.
    ///
    /// # Errors
    /// [`HarnessError::Settings`] before it does.
    pub fn address(&self) -> Result<SocketAddr, HarnessError> {
        let address = self.url().trim_start_matches("http://").parse();
        address.map_err(|_| HarnessError::Settings(format!("the engine's address {:?} is none", self.url())))
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it serves this version of a model.
    ///
    /// # Errors
    /// [`HarnessError::TooLate`], [`HarnessError::Ended`], [`HarnessError::Answer`].
    pub fn wait_until_serving(&mut self, model: &str, version: u64) -> Result<(), HarnessError> {
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return Err(self.ended());
            }
            let (status, body) = self.get(&format!("/models/{model}"))?;
            if status == 200 && serde_json::from_str::<Value>(&body)?["version"] == version {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err(self.too_late(&format!("it does not serve version {version} of {model}")))
    }

    /// What it says of a model.
    ///
    /// # Errors
    /// [`HarnessError::Answer`].
    pub fn model(&self, name: &str) -> Result<Value, HarnessError> {
        let path = format!("/models/{name}");
        let answer = self.get(&path)?;
        json(&path, answer)
    }

    /// Has it look at its repository, and act upon what it finds, at once.
    ///
    /// # Errors
    /// [`HarnessError::Answer`].
    pub fn reload(&self) -> Result<Value, HarnessError> {
        let path = "/admin/reload";
        let answer =
            self.answer(path, self.agent.post(format!("{}{path}", self.listening.admin_url)).send_empty())?;
        json(path, answer)
    }

    /// What it predicts for a request.
    ///
    /// # Errors
    /// [`HarnessError::Answer`].
    pub fn predict(&self, model: &str, body: &[u8]) -> Result<Value, HarnessError> {
        let path = format!("/models/{model}/predict");
        let answer = self.post(&path, body)?;
        json(&path, answer)
    }

    /// How much memory it has in use, in KiB: its resident set, as Linux counts it.
    ///
    /// # Errors
    /// [`HarnessError::System`] where there is no `/proc`.
    pub fn resident_kib(&self) -> Result<u64, HarnessError> {
        Ok(Used::by(self.child.id())?.resident_bytes / 1024)
    }

    /// Ends it as `kill -9` does: nothing of it runs any more, and nothing was cleaned up.
    pub fn kill(&mut self) {
        // What has ended by itself needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end, by SIGTERM.
    ///
    /// # Errors
    /// [`HarnessError::System`] if it has ended already.
    pub fn terminate(&self) -> Result<(), HarnessError> {
        tell(self.child.id(), Told::End)
    }

    /// Waits until it has ended: how.
    ///
    /// # Errors
    /// [`HarnessError::TooLate`] if it does not.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus, HarnessError> {
        let start = Instant::now();
        while start.elapsed() < TIMEOUT {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ok(status);
            }
            std::thread::sleep(PAUSE);
        }
        Err(self.too_late("it does not end"))
    }

    /// Posts JSON: the status and the answer.
    ///
    /// # Errors
    /// [`HarnessError::Answer`] if there is none.
    pub fn post(&self, path: &str, body: &[u8]) -> Result<(u16, String), HarnessError> {
        let request = self.agent.post(format!("{}{path}", self.url())).content_type("application/json");
        self.answer(path, request.send(body))
    }

    /// Gets a path: the status and the answer.
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

    /// The last lines of its log.
    pub fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for EngineProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

fn json(path: &str, (status, body): (u16, String)) -> Result<Value, HarnessError> {
    if status == 200 {
        return Ok(serde_json::from_str(&body)?);
    }
    Err(HarnessError::Answer { request: path.to_owned(), answer: format!("{status}: {body}") })
}

fn keep(log: &Mutex<VecDeque<String>>, line: String) {
    // Lines of requests say nothing about what went wrong with the engine.
    if line.contains("\"message\":\"request\"") {
        return;
    }
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    if log.len() == KEPT_LINES {
        log.pop_front();
    }
    log.push_back(line);
}

/// The address in a line of the log with this message.
fn address_in(line: &str, message: &str) -> Option<String> {
    if !line.contains(&format!("\"message\":\"{message}\"")) {
        return None;
    }
    let event: Value = serde_json::from_str(line).ok()?;
    Some(format!("http://{}", event.get("onnward.address")?.as_str()?))
}

//! The two programs, run as a user runs them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;

use crate::support::root;

/// The path of one of the programs; Cargo puts the tests a folder below them.
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not built: run `make test`, which builds it", path.display());
    path
}

/// Variables that a program gets beside those of the tests.
pub type Environment = [(String, String)];

/// Runs a program in the workspace's folder to its end.
pub fn run(name: &str, arguments: &[&str]) -> Output {
    run_in(&[], name, arguments)
}

fn run_in(environment: &Environment, name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program(name));
    command.args(arguments).envs(environment.iter().cloned()).current_dir(root()).output().unwrap()
}

/// Runs a program that must succeed, and gives what it prints.
pub fn succeed(name: &str, arguments: &[&str]) -> String {
    succeed_in(&[], name, arguments)
}

/// As [`succeed`], with more variables.
pub fn succeed_in(environment: &Environment, name: &str, arguments: &[&str]) -> String {
    let output = run_in(environment, name, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// As [`succeed`], of a program that prints JSON.
pub fn succeed_json(name: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(name, arguments)).unwrap()
}

/// Runs a program that must fail, and gives its message.
pub fn fail(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    assert!(!output.status.success(), "{name} {} does not fail", arguments.join(" "));
    String::from_utf8(output.stderr).unwrap()
}

/// An engine on a port of its own; it is killed when the test ends.
pub struct Engine {
    child: Child,
    /// Where it listens, as `http://127.0.0.1:PORT`.
    pub url: String,
    /// Where it listens for administrators.
    pub admin_url: String,
    log: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Engine {
    /// Starts an engine on a repository and waits until it is ready.
    pub fn serve(repository: &Path, arguments: &[&str]) -> Self {
        Self::serve_in(&[], repository, arguments)
    }

    /// As [`Engine::serve`], with more variables.
    pub fn serve_in(environment: &Environment, repository: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let engine = Self::start_in(environment, repository, arguments);
        for _ in 0..600 {
            if engine.get("/health/ready").0 == 200 {
                return engine;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the engine is not ready: {:?}", engine.get("/health/ready"));
    }

    /// Starts an engine and waits until it listens.
    pub fn start(repository: &Path, arguments: &[&str]) -> Self {
        Self::start_in(&[], repository, arguments)
    }

    /// As [`Engine::start`], with more variables.
    pub fn start_in(environment: &Environment, repository: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let mut child = Command::new(program("onnward-engine"))
            .args(["serve", "--listen", "127.0.0.1:0", "--repository"])
            .arg(repository.as_ref())
            .args(arguments)
            .envs([("ONNWARD_LOG__FORMAT", "json"), ("ONNWARD_ADMIN__LISTEN", "127.0.0.1:0")])
            .envs(environment.iter().cloned())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let mut seen = Vec::new();
        let mut address = |message: &str| {
            let found = lines.by_ref().find_map(|line| {
                let address = address_in(&line, message);
                seen.push(line);
                address
            });
            found.unwrap_or_else(|| panic!("the engine ended: {}", seen.join("\n")))
        };
        let (admin_url, url) = (address("listening for administrators"), address("listening"));
        // Whoever does not read the log lets the engine stand still once the pipe is full.
        let log = std::thread::spawn(move || seen.into_iter().chain(lines).collect());
        Self { child, url, admin_url, log: Some(log) }
    }

    /// Gets a path: the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        answer(agent().get(format!("{}{path}", self.url)).call())
    }

    /// Gets a path that answers 200 with JSON.
    pub fn get_json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Posts JSON to where the path is: the status and the body.
    pub fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let url = if path.starts_with("/admin/") { &self.admin_url } else { &self.url };
        let request = agent().post(format!("{url}{path}")).content_type("application/json");
        let (status, body) = answer(request.send(body));
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Posts JSON with these headers: the whole answer.
    pub fn post_with(
        &self,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> ureq::http::Response<ureq::Body> {
        let request = agent().post(format!("{}{path}", self.url)).content_type("application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send(body).unwrap()
    }

    /// Asks the engine to end, and gives its status and its log.
    pub fn stop(mut self) -> (ExitStatus, Vec<String>) {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        let status = self.child.wait().unwrap();
        (status, self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // After `stop` there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line of the log with this message.
fn address_in(line: &str, message: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).ok()?;
    if event.get("message")?.as_str()? != message {
        return None;
    }
    let address = event.get("onnward.address")?.as_str()?;
    Some(format!("http://{address}"))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
    let mut response = result.unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

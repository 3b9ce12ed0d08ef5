//! The two programs, run as a user runs them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use onnward_harness::client::Client;
use onnward_harness::engine::{EngineCommand, EngineProcess};
use serde_json::Value;

use crate::support::root;
use crate::support::wait::eventually;

/// Returns the path of a program. Cargo puts the tests one folder below the programs.
pub fn program(name: &str) -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
    let path = folder.join(name);
    assert!(path.is_file(), "{} is not built: run `make test`, which builds it", path.display());
    path
}

/// Environment variables beside those of the tests.
pub type Environment = [(String, String)];

/// Runs a program to its end, in the workspace's folder.
pub fn run(name: &str, arguments: &[&str]) -> Output {
    run_in(&[], name, arguments)
}

fn run_in(environment: &Environment, name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program(name));
    command.args(arguments).envs(environment.iter().cloned()).current_dir(root()).output().unwrap()
}

/// Runs a program that must succeed, and returns its output.
pub fn succeed(name: &str, arguments: &[&str]) -> String {
    succeed_in(&[], name, arguments)
}

/// Runs a program like [`succeed`], with more environment variables.
pub fn succeed_in(environment: &Environment, name: &str, arguments: &[&str]) -> String {
    let output = run_in(environment, name, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {}: {errors}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program that must succeed and print JSON, and returns that.
pub fn succeed_json(name: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&succeed(name, arguments)).unwrap()
}

/// Runs a program that must fail, and returns its error message.
pub fn fail(name: &str, arguments: &[&str]) -> String {
    let output = run(name, arguments);
    assert!(!output.status.success(), "{name} {} does not fail", arguments.join(" "));
    String::from_utf8(output.stderr).unwrap()
}

/// An engine on ports of its own. It is killed when the test ends.
pub struct Engine {
    process: EngineProcess,
    /// Its address, as `http://127.0.0.1:PORT`.
    pub url: String,
    /// The address for admin requests.
    pub admin_url: String,
}

impl Engine {
    /// Starts an engine on a repository and waits until it is ready.
    pub fn serve(repository: &Path, arguments: &[&str]) -> Self {
        Self::serve_in(&[], repository, arguments)
    }

    /// Starts an engine like [`Engine::serve`], with more environment variables.
    pub fn serve_in(environment: &Environment, repository: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let engine = Self::start_in(environment, repository, arguments);
        eventually("the engine is ready", || match engine.get("/health/ready") {
            (200, _) => Ok(()),
            (_, body) => Err(body),
        });
        engine
    }

    /// Starts an engine and waits until it listens.
    pub fn start(repository: &Path, arguments: &[&str]) -> Self {
        Self::start_in(&[], repository, arguments)
    }

    /// Starts an engine like [`Engine::start`], with more environment variables.
    pub fn start_in(environment: &Environment, repository: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let mut command =
            EngineCommand::new(program("onnward-engine"), repository.as_ref().to_str().unwrap())
                .with_environment(environment.to_vec());
        command.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        command.keeps_log = true;
        let process = command.start().unwrap_or_else(|error| panic!("{error}"));
        let (url, admin_url) = (process.url().to_owned(), process.admin_url().to_owned());
        Self { process, url, admin_url }
    }

    /// Returns the identifier of its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Gets a path and returns the status and the body.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.process.get(path).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Gets a path that answers 200 with JSON.
    pub fn get_json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Posts JSON and returns the status and the body. Paths under `/admin/` go to the administrators'
    /// address.
    pub fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let url = if path.starts_with("/admin/") { &self.admin_url } else { &self.url };
        let answer = Client::new(url).post(path, body.as_bytes());
        let (status, body) = answer.unwrap_or_else(|error| panic!("{path}: {error}"));
        (status, serde_json::from_str(&body).unwrap())
    }

    /// Posts JSON with headers and returns the whole answer.
    pub fn post_with(
        &self,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> ureq::http::Response<ureq::Body> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.post(format!("{}{path}", self.url)).content_type("application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send(body).unwrap()
    }

    /// Returns the last lines of the log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Ends the engine by SIGTERM, and returns its exit status and its whole log.
    pub fn stop(self) -> (ExitStatus, Vec<String>) {
        self.process.stop().unwrap_or_else(|error| panic!("{error}"))
    }
}

//! A real Prometheus and a real Alertmanager on `monitoring/`, and a receiver of alerts.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};

use onnward_harness::wait::until;
use serde_json::Value;
use tempfile::TempDir;

use super::queries::QueryKind;
use crate::support::root;

/// The folder of the programs.
pub struct Tools(PathBuf);

impl Tools {
    /// Finds the programs. Returns `None` only if `WITHOUT_PROMETHEUS` is set, so that tests cannot pass
    /// because programs are missing.
    pub fn find() -> Option<Self> {
        let folder = root().join("target/prometheus/bin");
        if ["prometheus", "promtool", "alertmanager", "amtool"].iter().all(|name| folder.join(name).is_file())
        {
            return Some(Self(folder));
        }
        let allowed = std::env::var_os("WITHOUT_PROMETHEUS").is_some();
        assert!(allowed, "run `make test`, which fetches Prometheus: {} lacks a program", folder.display());
        eprintln!("Left out, as WITHOUT_PROMETHEUS allows: what needs Prometheus and Alertmanager.");
        None
    }

    /// Runs a program in the project's folder. It must succeed.
    pub fn succeed(&self, name: &str, arguments: &[&str]) {
        let output = Command::new(self.0.join(name)).args(arguments).current_dir(root()).output().unwrap();
        let printed =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "{name} {}:\n{}", arguments.join(" "), printed.concat());
    }

    /// Returns what `promtool check metrics` reports on a page of metrics.
    pub fn problems_of_metrics(&self, page: &str) -> String {
        let mut promtool = Command::new(self.0.join("promtool"));
        promtool
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut promtool = promtool.spawn().unwrap();
        promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
    }
}

/// A server that is killed when its test ends.
pub struct Server {
    child: Child,
    /// Its address, as `http://127.0.0.1:PORT`.
    pub url: String,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about either.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(command: &mut Command, address: &str, folder: TempDir) -> Self {
        let log = folder.path().join("log");
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        let mut server =
            Self { child: command.spawn().unwrap(), url: format!("http://{address}"), _folder: folder };
        let ready = format!("{}/-/ready", server.url);
        until(|| ureq::get(&ready).call().is_ok() || !matches!(server.child.try_wait(), Ok(None)));
        let log = std::fs::read_to_string(log).unwrap();
        assert!(ureq::get(&ready).call().is_ok(), "{command:?} does not start to serve: {log}");
        server
    }

    /// Gets a path that answers with JSON.
    pub fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let request = ureq::get(format!("{}{path}", self.url)).query_pairs(parameters.iter().copied());
        let mut answer = request.call().unwrap_or_else(|error| panic!("{path} {parameters:?}: {error}"));
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Returns whether Prometheus has data for a query.
    pub fn has_data(&self, query: &QueryKind) -> bool {
        let answer = match query {
            QueryKind::Instant(query) => {
                self.get("/api/v1/query", &[("query", query)])["data"]["result"].clone()
            }
            QueryKind::LabelValues { label, selector } => {
                self.get(&format!("/api/v1/label/{label}/values"), &[("match[]", selector)])["data"].clone()
            }
        };
        !answer.as_array().unwrap().is_empty()
    }
}

/// Starts Prometheus with the project's rules and alerts, for an engine at an address. It scrapes every
/// second, and alerts fire without a delay.
pub fn prometheus(tools: &Tools, engine: &str, alertmanager: &Server) -> Server {
    let folder = TempDir::new().unwrap();
    let [from, to] = [root().join("monitoring/prometheus"), folder.path().to_owned()];
    let address = free_address();
    let config = replaced(
        &std::fs::read_to_string(from.join("prometheus.yml")).unwrap(),
        &[
            ("scrape_interval: 15s", "scrape_interval: 1s"),
            ("scrape_timeout: 10s", "scrape_timeout: 1s"),
            ("evaluation_interval: 15s", "evaluation_interval: 1s"),
            ("127.0.0.1:9090", &address),
            ("127.0.0.1:9093", alertmanager.url.strip_prefix("http://").unwrap()),
        ],
    );
    std::fs::write(to.join("prometheus.yml"), config).unwrap();
    copy(&from, &to, "targets", |text| replaced(text, &[("127.0.0.1:8000", engine)]));
    for rules in ["rules", "alerts"] {
        copy(&from, &to, rules, |text| {
            let is_kept =
                |line: &&str| !["interval: ", "for: "].iter().any(|key| line.trim().starts_with(key));
            text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
        });
    }
    let mut command = Command::new(tools.0.join("prometheus"));
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]).current_dir(&to);
    command.arg(format!("--web.listen-address={address}"));
    Server::start(&mut command, &address, folder)
}

/// The routing key for PagerDuty.
pub const PAGERDUTY_KEY: &str = "0123456789abcdef0123456789abcdef";

/// Starts Alertmanager with the project's routes, inhibitions and messages. It sends them at once, to
/// `receiver` instead of PagerDuty and Slack, and sends no e-mail.
pub fn alertmanager(tools: &Tools, receiver: &str) -> Server {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let from = root().join("monitoring/alertmanager");
    let config = replaced(
        &std::fs::read_to_string(from.join("alertmanager.yml")).unwrap(),
        &[
            ("/etc/alertmanager/secrets", &path("secrets")),
            ("templates/*.tmpl", &from.join("templates/*.tmpl").display().to_string()),
            ("smtp.example.org:587", "127.0.0.1:1"),
            ("group_wait: 30s", "group_wait: 1s"),
            ("group_wait: 10s", "group_wait: 1s"),
            ("group_interval: 5m", "group_interval: 1s"),
            ("\nglobal:\n", &format!("\nglobal:\n  pagerduty_url: {receiver}/pagerduty\n")),
        ],
    );
    std::fs::write(path("alertmanager.yml"), config).unwrap();
    std::fs::create_dir(path("secrets")).unwrap();
    std::fs::write(path("secrets/pagerduty-routing-key"), PAGERDUTY_KEY).unwrap();
    std::fs::write(path("secrets/slack-webhook-url"), format!("{receiver}/slack")).unwrap();
    let address = free_address();
    let mut command = Command::new(tools.0.join("alertmanager"));
    command.arg(format!("--config.file={}", path("alertmanager.yml")));
    command.arg(format!("--storage.path={}", path("data")));
    command.arg("--cluster.listen-address=").arg(format!("--web.listen-address={address}"));
    // Where the unpacked program finds its own templates.
    command.current_dir(root().join("target/prometheus"));
    Server::start(&mut command, &address, folder)
}

fn copy(from: &Path, to: &Path, folder: &str, change: impl Fn(&str) -> String) {
    std::fs::create_dir(to.join(folder)).unwrap();
    for entry in std::fs::read_dir(from.join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let text = change(&std::fs::read_to_string(&path).unwrap());
        std::fs::write(to.join(folder).join(path.file_name().unwrap()), text).unwrap();
    }
}

fn replaced(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not there to be replaced:\n{text}");
        text.replace(from, to)
    })
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Starts a server that accepts any post, and returns its URL and the posts with their paths. It ends with
/// the process.
pub fn receiver() -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || receive(connection, &sender));
        }
    });
    (url, received)
}

fn receive(mut connection: TcpStream, sender: &Sender<(String, Value)>) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    let head: Vec<String> =
        reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = head.first()?.split(' ').nth(1)?.to_owned();
    let length =
        head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok()?;
    // Nobody may listen any more.
    let _ = sender.send((path, serde_json::from_slice(&body).ok()?));
    Some(())
}

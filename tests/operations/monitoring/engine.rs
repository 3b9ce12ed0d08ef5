//! An engine with all observability switched on, and clients that keep it busy.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::programs::{Engine, succeed};
use crate::support::root;

const SCHEMA: &str = "schemas/telco.toml";
const MODEL: &str = "churn";

/// The engine, its repository with two versions, of which the first is promoted, and rows.
pub struct Busy {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Its model repository.
    pub repository: PathBuf,
    customers: Arc<Vec<Value>>,
    folder: TempDir,
}

impl Busy {
    /// Trains a model, publishes it twice, and starts an engine.
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (table, repository, report) = (path("customers.csv"), path("repository"), path("report"));
        let schema = ["--schema", SCHEMA];
        succeed("onnward-exporter", &[&["sample", "--rows", "1500", "--out", &table], &schema[..]].concat());
        let train = ["train", "--data", &table, "--repository", &repository, "--out", &report];
        let rest = ["--model", MODEL, "--candidates", "logistic", "--folds", "2"];
        succeed("onnward-exporter", &[&train[..], &schema[..], &rest[..]].concat());
        let file = format!("{report}/logistic.onnx");
        let publish = ["publish", &file, "--repository", &repository, "--model", MODEL, "--allow-duplicate"];
        succeed("onnward-exporter", &publish);
        promote(Path::new(&repository), 1);

        let sample = ["sample", "--rows", "600", "--seed", "7", "--format", "jsonl"];
        let lines = succeed("onnward-exporter", &[&sample[..], &schema[..]].concat());
        let customers = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let config = path("engine.toml");
        std::fs::write(&config, configuration(folder.path())).unwrap();
        let engine = Arc::new(Engine::serve(Path::new(&repository), &["--config", &config]));
        Self { engine, repository: PathBuf::from(repository), customers: Arc::new(customers), folder }
    }

    /// Promotes the second version.
    pub fn swap(&self) {
        promote(&self.repository, 2);
        let (status, answer) = self.engine.post("/admin/reload", "");
        assert_eq!(status, 200, "{answer}");
    }

    /// Starts clients that request predictions, report outcomes and make mistakes.
    pub fn load(&self) -> Load {
        let has_ended = Arc::new(AtomicBool::new(false));
        let client = |of: fn(&Engine, &[Value], usize)| {
            let (engine, customers) = (Arc::clone(&self.engine), Arc::clone(&self.customers));
            let has_ended = Arc::clone(&has_ended);
            std::thread::spawn(move || {
                let mut round = 0;
                while !has_ended.load(Ordering::Relaxed) {
                    of(&engine, &customers, round);
                    round += 1;
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            })
        };
        // Two with large requests are too many for the queue.
        Load { clients: vec![client(ask), client(ask_much), client(ask_much)], has_ended }
    }

    /// Kills the engine.
    pub fn stop(self) {
        drop(self.engine);
        drop(self.folder);
    }
}

/// Running clients.
pub struct Load {
    clients: Vec<JoinHandle<()>>,
    has_ended: Arc<AtomicBool>,
}

impl Load {
    /// Stops the clients and waits until no request is in flight.
    pub fn stop(self) {
        self.has_ended.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
    }
}

fn configuration(folder: &Path) -> String {
    let certificate = root().join("engine/telemetry/src/metrics/certificates/century.pem");
    let [predictions, captured] = ["predictions", "captured"].map(|name| folder.join(name));
    format!(
        r#"
[batching]
workers = 1
max_queue_rows = 700

[metrics]
certificates = [{certificate:?}]

[drift]
min_rows = 100
window_rows = 200

[outcomes]
folder = {predictions:?}
window_outcomes = 500
estimate_rows = 100

[capture]
place = {captured:?}
sample = 1.0
max_file_age_ms = 1000
"#
    )
}

fn promote(repository: &Path, version: u64) {
    let (version, repository) = (version.to_string(), repository.display().to_string());
    succeed("onnward-exporter", &["promote", MODEL, &version, "--repository", &repository]);
}

/// Sends a row, the outcome of another one, and mistakes.
fn ask(engine: &Engine, customers: &[Value], round: usize) {
    let customer = &customers[round % customers.len()];
    let (status, answer) = engine.post("/predict", &customer.to_string());
    assert_eq!(status, 200, "{answer}");
    // The more probable, the more often it happens.
    let happens = answer["probability"].as_f64().unwrap() > (round * 37 % 100) as f64 / 100.0;
    let outcome = json!({"id": answer["id"], "label": happens});
    engine.post("/outcomes", &outcome.to_string());
    if round.is_multiple_of(10) {
        assert_eq!(engine.post("/predict", r#"{"tenure": -1}"#).0, 422);
        engine.post("/outcomes", r#"{"key": "nobody", "label": true}"#);
        assert_eq!(engine.get("/nothing").0, 404);
    }
}

fn ask_much(engine: &Engine, customers: &[Value], _: usize) {
    let (status, answer) = engine.post("/predict", &Value::from(customers).to_string());
    assert!([200, 429].contains(&status), "{answer}");
}

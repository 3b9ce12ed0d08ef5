//! Predictions are captured in a folder and in an object store, and a store that is down costs no answer.

use futures_util::TryStreamExt;
use object_store::ObjectStoreExt;
use onnward_exporter::export::export;
use onnward_repository::Repository;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::bank;
use crate::support::fault_proxy::FaultProxy;
use crate::support::programs::{Engine, fail, succeed};
use crate::support::seaweedfs::{self, SeaweedFs};
use crate::support::wait::eventually;

const EXPORTER: &str = "onnward-exporter";

/// A repository with one model, and rows for it.
struct Served {
    folder: TempDir,
    rows: Vec<String>,
}

impl Served {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("model.onnx");
        std::fs::write(&file, export(&bank().models[0]).unwrap().encode()).unwrap();
        let repository = folder.path().join("repository").display().to_string();
        let file = file.display().to_string();
        succeed(EXPORTER, &["publish", &file, "--repository", &repository, "--model", "bank"]);
        let sample = ["sample", "--schema", "schemas/bank.toml", "--rows", "20", "--format", "jsonl"];
        let rows = succeed(EXPORTER, &sample).lines().map(str::to_owned).collect();
        Self { folder, rows }
    }

    fn engine(&self, settings: &[(&str, &str)], environment: &[(String, String)]) -> Engine {
        let own = [("ONNWARD_CAPTURE__SAMPLE", "1"), ("ONNWARD_SHUTDOWN__GRACE_MS", "0")];
        let own = own.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Vec<_> = environment.iter().cloned().chain(own).collect();
        Engine::serve_in(&environment, self.folder.path().join("repository"), &["--backend", "tract"])
    }

    /// Sends every row in a request of its own, and returns the probabilities.
    fn predict(&self, engine: &Engine) -> Vec<Value> {
        let answers = self.rows.iter().map(|row| engine.post("/predict", row));
        answers.map(|(status, answer)| (assert_eq!(status, 200), answer["probability"].clone()).1).collect()
    }
}

/// Sends captured features again and expects the same probabilities.
#[test]
fn in_a_folder_what_was_answered_is_found_again() {
    let served = Served::new();
    let captures = served.folder.path().join("captures");
    let place = captures.display().to_string();
    let settings =
        [("ONNWARD_CAPTURE__PLACE", place.as_str()), ("ONNWARD_CAPTURE__REDACT", "[\"CreditScoer\"]")];
    let engine = served.engine(&settings, &[]);
    let probabilities = served.predict(&engine);
    let (status, log) = engine.stop();
    assert!(status.success(), "{}", log.join("\n"));
    let warned = log.iter().filter(|line| line.contains("capture.redact names a feature")).count();
    assert_eq!(warned, 1, "{}", log.join("\n"));

    let model = captures.join("bank");
    let day = std::fs::read_dir(&model).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::read_dir(day).unwrap().next().unwrap().unwrap().path();
    let lines = std::fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let captured: Vec<Value> = lines.iter().map(|line| line["probability"].clone()).collect();
    assert_eq!(captured, probabilities);

    let again = served.engine(&[], &[]);
    for line in &lines {
        assert_eq!(
            again.post("/predict", &line["features"].to_string()).1["probability"],
            line["probability"]
        );
    }
}

#[test]
fn in_an_object_store_files_come_while_it_serves_and_after_the_store_was_down() {
    let Some(server) = seaweedfs::start() else { return };
    let served = Served::new();
    let proxy = FaultProxy::start(server.address());
    let place = SeaweedFs::location("captures");
    let settings = [("ONNWARD_CAPTURE__PLACE", place.as_str()), ("ONNWARD_CAPTURE__MAX_FILE_AGE_MS", "200")];
    let engine = served.engine(&settings, &SeaweedFs::environment_through(&proxy.url()));
    served.predict(&engine);
    let store = Repository::open(&server.config("captures")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lines = || {
        runtime.block_on(async {
            let store = store.store();
            let files: Vec<_> = store.list(None).try_collect().await.unwrap();
            let mut lines = 0;
            for file in files {
                assert!(file.location.as_ref().starts_with("bank/20"), "{}", file.location);
                let bytes = store.get(&file.location).await.unwrap().bytes().await.unwrap();
                lines += String::from_utf8(bytes.to_vec()).unwrap().lines().count();
            }
            lines
        })
    };
    let there = |expected: usize| {
        eventually("the lines are in the store", || match lines() {
            found if found == expected => Ok(()),
            found => Err(format!("{found} lines")),
        });
    };
    there(served.rows.len());

    proxy.refuse(true);
    served.predict(&engine);
    eventually("a write to the store has failed", || match engine.log() {
        log if log.contains("captured predictions cannot be written") => Ok(()),
        log => Err(log),
    });
    proxy.refuse(false);
    there(2 * served.rows.len());
    let metrics = engine.get("/metrics").1;
    assert!(metrics.contains(r#"onnward_captured_requests_total{model="bank"} 40"#), "{metrics}");
    let mut lost = metrics.lines().filter(|line| line.starts_with("onnward_capture_lost_total{"));
    assert!(lost.all(|line| line.ends_with(" 0")), "{metrics}");
}

#[test]
fn a_place_that_cannot_be_written_ends_the_start_with_its_key() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let file = folder.path().join("engine.toml");
    let place = folder.path().join("file/captures").display().to_string();
    let repository = folder.path().display().to_string();
    let text = format!("repository = '{repository}'\nlisten = '127.0.0.1:0'\n[capture]\nplace = '{place}'");
    std::fs::write(&file, text).unwrap();
    let message = fail("onnward-engine", &["serve", "--config", &file.display().to_string()]);
    assert!(message.contains("capture.place") && message.contains(&place), "{message}");
}

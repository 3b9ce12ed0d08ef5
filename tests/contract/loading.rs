//! Loading of model repositories with missing, damaged or misplaced files.

use std::path::Path;

use onnward_exporter::export::export;
use onnward_onnx::Artifact;
use onnward_repository::{Repository, RepositoryConfig};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::artifacts::untrue;
use crate::support::bank;
use crate::support::programs::Engine;

#[test]
fn what_fails_a_check_is_named_with_its_reason_and_the_rest_is_served() {
    let repository = TempDir::new().unwrap();
    let put = |model: &str, bytes: Vec<u8>| publish_bytes(repository.path(), model, bytes);
    let file = |path: &str| repository.path().join(path);
    let good = export(&bank().models[0]).unwrap().encode();

    for model in ["newest", "newest", "half", "half", "truncated", "flipped"] {
        put(model, good.clone());
    }
    std::fs::remove_file(file("half/2/manifest.json")).unwrap();
    std::fs::write(file("truncated/1/model.onnx"), &good[..good.len() / 2]).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    std::fs::write(file("flipped/1/model.onnx"), flipped).unwrap();
    put("untrue", untrue());
    put("foreign", without_metadata(&good));
    put("garbage", b"this is no model".to_vec());
    for folder in ["unversioned/latest", "unversioned/01", "Not A Model/1"] {
        std::fs::create_dir_all(file(folder)).unwrap();
        std::fs::write(file(folder).join("model.onnx"), &good).unwrap();
        std::fs::copy(file("newest/1/manifest.json"), file(folder).join("manifest.json")).unwrap();
    }

    let engine = Engine::serve(repository.path(), &[]);
    let models = engine.get_json("/models");
    let serving: Vec<(&str, u64)> = models["models"].as_array().unwrap().iter().map(served).collect();
    assert_eq!(serving, [("foreign", 1), ("half", 1), ("newest", 2)]);
    let reasons = [
        ("flipped", "sha256"),
        ("garbage", "not an ONNX file"),
        ("truncated", "bytes instead of"),
        ("untrue", "golden row"),
        ("unversioned", "manifest.json"),
    ];
    let failed = models["failed"].as_array().unwrap();
    assert_eq!(failed.len(), reasons.len(), "{models}");
    for (failed, (name, reason)) in failed.iter().zip(reasons) {
        assert_eq!(failed["name"], name);
        assert!(failed["reason"].as_str().unwrap().contains(reason), "{failed}");
    }
    assert_eq!(engine.get_json("/")["failed"], models["failed"]);
    let (status, problem) = engine.post("/models/flipped/predict", "{}");
    assert_eq!(status, 503);
    assert!(problem["detail"].as_str().unwrap().contains("sha256"), "{problem}");
    let (status, problem) = engine.post("/models/nobody/predict", "{}");
    assert_eq!(status, 404);
    assert!(problem["detail"].as_str().unwrap().contains("newest"), "{problem}");
}

#[test]
fn an_engine_without_a_model_lives_and_is_not_ready() {
    let repository = TempDir::new().unwrap();
    let engine = Engine::start(repository.path(), &[]);
    assert_eq!(engine.get("/health/live").0, 200);
    let (status, problem) = engine.get("/health/ready");
    assert_eq!(status, 503, "{problem}");
    assert_eq!(engine.post("/predict", "{}").0, 503);
}

#[test]
fn each_backend_serves_when_it_is_asked_for_by_name() {
    let repository = TempDir::new().unwrap();
    publish_bytes(repository.path(), "bank", export(&bank().models[0]).unwrap().encode());
    for backend in crate::support::backends() {
        let name = backend.kind().name();
        let engine = Engine::serve(repository.path(), &["--backend", name]);
        assert_eq!(engine.get_json("/models/bank")["backend"], name);
    }
}

fn served(model: &Value) -> (&str, u64) {
    (model["name"].as_str().unwrap(), model["version"].as_u64().unwrap())
}

fn publish_bytes(repository: &Path, model: &str, bytes: Vec<u8>) {
    let config =
        RepositoryConfig { location: repository.display().to_string(), ..RepositoryConfig::default() };
    let repository = Repository::create(&config).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(repository.publish(model, bytes, None)).unwrap();
}

fn without_metadata(bytes: &[u8]) -> Vec<u8> {
    use prost::Message;
    let mut graph = Artifact::decode(bytes).unwrap().model().clone();
    graph.metadata_props.clear();
    graph.encode_to_vec()
}

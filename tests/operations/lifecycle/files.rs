//! Changes to the files of a repository by people and other programs.

use onnward_schemas::{Manifest, sha256_hex};

use super::fixture::{Fixture, answers, is_gone, looks, refuses, serves, status, status_where};
use super::{artifacts, run_all};
use crate::support::programs::Engine;

#[test]
fn files_may_come_and_go_and_be_wrong() {
    run_all(
        "lifecycle/files",
        &["--backend", "tract"],
        &[
            ("added-and-removed", added_and_removed),
            ("changed-in-fixture", changed_in_place),
            ("corrupt", corrupt),
            ("truncated", truncated),
            ("half-uploaded", half_uploaded),
            ("manifest-first", manifest_first),
            ("manifest-malformed", manifest_malformed),
            ("alias-malformed", alias_malformed),
            ("no-versions", no_versions),
        ],
    );
}

fn added_and_removed(fixture: &Fixture, engine: &Engine) {
    let model = "added-and-removed";
    fixture.publish(model);
    serves(engine, model, 1);
    fixture.publish(model);
    serves(engine, model, 2);
    assert_eq!(status(engine, model)["previous"], 1);

    for file in ["manifest.json", "model.onnx"] {
        fixture.delete(&format!("{model}/2/{file}"));
    }
    serves(engine, model, 1);
    for file in ["manifest.json", "model.onnx"] {
        fixture.delete(&format!("{model}/1/{file}"));
    }
    is_gone(engine, model);
    assert_eq!(engine.post(&format!("/models/{model}/predict"), &artifacts::request()).0, 404);
    serves(engine, model, fixture.publish(model));
}

/// Changes the files of a loaded version. The version stays, and the status reports the change.
fn changed_in_place(fixture: &Fixture, engine: &Engine) {
    let model = "changed-in-fixture";
    fixture.publish(model);
    serves(engine, model, 1);
    for (file, bytes) in [
        ("model.onnx", artifacts::version(model, 9)),
        ("manifest.json", manifest(&artifacts::version(model, 9))),
    ] {
        let before = status(engine, model)["last_error"]["reason"].clone();
        fixture.put(&format!("{model}/1/{file}"), bytes);
        let status = status_where(engine, model, "is known to have changed", |status| {
            status["last_error"]["step"] == "changed" && status["last_error"]["reason"] != before
        });
        assert!(status["last_error"]["reason"].as_str().unwrap().contains("written once"), "{status}");
        answers(engine, model, 1);
    }
    fixture.publish(model);
    serves(engine, model, 2);
}

fn corrupt(fixture: &Fixture, engine: &Engine) {
    let model = "corrupt";
    let mut bytes = artifacts::version(model, 2);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    wrong_then_right(fixture, engine, model, bytes, ["digest", "sha256"]);
}

fn truncated(fixture: &Fixture, engine: &Engine) {
    let model = "truncated";
    let bytes = artifacts::version(model, 2);
    wrong_then_right(
        fixture,
        engine,
        model,
        bytes[..bytes.len() / 2].to_vec(),
        ["digest", "bytes instead of"],
    );
}

/// Publishes a second version whose file differs from its manifest, then repairs it.
fn wrong_then_right(fixture: &Fixture, engine: &Engine, model: &str, wrong: Vec<u8>, error: [&str; 2]) {
    fixture.publish(model);
    serves(engine, model, 1);
    fixture.put(&format!("{model}/2/model.onnx"), wrong);
    fixture.put(&format!("{model}/2/manifest.json"), manifest(&artifacts::version(model, 2)));
    refuses(engine, model, 2, error, 1);
    fixture.put(&format!("{model}/2/model.onnx"), artifacts::version(model, 2));
    serves(engine, model, 2);
}

fn half_uploaded(fixture: &Fixture, engine: &Engine) {
    let model = "half-uploaded";
    fixture.publish(model);
    serves(engine, model, 1);
    let before = status(engine, model);
    fixture.put(&format!("{model}/2/model.onnx"), artifacts::version(model, 2));
    looks(engine);
    assert_eq!(status(engine, model), before, "a version without a manifest does not exist");
    answers(engine, model, 1);
    fixture.put(&format!("{model}/2/manifest.json"), manifest(&artifacts::version(model, 2)));
    serves(engine, model, 2);
}

fn manifest_first(fixture: &Fixture, engine: &Engine) {
    let model = "manifest-first";
    fixture.publish(model);
    serves(engine, model, 1);
    fixture.put(&format!("{model}/2/manifest.json"), manifest(&artifacts::version(model, 2)));
    refuses(engine, model, 2, ["digest", "does not exist"], 1);
    fixture.put(&format!("{model}/2/model.onnx"), artifacts::version(model, 2));
    serves(engine, model, 2);
}

fn manifest_malformed(fixture: &Fixture, engine: &Engine) {
    let model = "manifest-malformed";
    fixture.publish(model);
    serves(engine, model, 1);
    fixture.put(&format!("{model}/2/model.onnx"), artifacts::version(model, 2));
    fixture.put(&format!("{model}/2/manifest.json"), "{\"sha256\": ");
    refuses(engine, model, 2, ["fetch", "is invalid"], 1);
    fixture.put(&format!("{model}/2/manifest.json"), manifest(&artifacts::version(model, 2)));
    serves(engine, model, 2);
}

/// Checks that an unreadable pointer leaves its own model unchanged and affects no other.
fn alias_malformed(fixture: &Fixture, engine: &Engine) {
    let (model, other) = ("alias-malformed", "alias-malformed-beside");
    fixture.publish(model);
    serves(engine, model, 1);
    let entry = format!("{model}/aliases/champion/{:020}.json", 1);
    fixture.put(&entry, "{\"version\": ");
    fixture.publish(model);
    let status = status_where(engine, model, "has an error", |status| status["failing"] == true);
    assert!(status["last_error"]["reason"].as_str().unwrap().contains("aliases/champion"), "{status}");
    answers(engine, model, 1);
    fixture.publish(other);
    serves(engine, other, 1);
    fixture.put(&entry, r#"{"version": 2, "created": "2026-11-22T00:00:00Z", "id": "by hand"}"#);
    serves(engine, model, 2);
}

fn no_versions(fixture: &Fixture, engine: &Engine) {
    let model = "no-versions";
    fixture.publish(model);
    serves(engine, model, 1);
    let before = status(engine, model);
    for folder in ["0", "02", "latest", "v2", "2.0", "-2", "99999999999999999999999"] {
        fixture.put(&format!("{model}/{folder}/model.onnx"), artifacts::version(model, 2));
        fixture.put(&format!("{model}/{folder}/manifest.json"), manifest(&artifacts::version(model, 2)));
    }
    looks(engine);
    assert_eq!(status(engine, model), before, "these are no versions");
    answers(engine, model, 1);
}

fn manifest(bytes: &[u8]) -> Vec<u8> {
    let (sha256, size_bytes) = (sha256_hex(bytes), bytes.len() as u64);
    let created = "2026-11-22T00:00:00Z".to_owned();
    let manifest = Manifest { sha256, size_bytes, created, ..Manifest::default() };
    serde_json::to_vec(&manifest).unwrap()
}

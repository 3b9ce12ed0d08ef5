//! Pointers that several people move at once, whose clocks are wrong.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use onnward_repository::RepositoryError;
use onnward_schemas::{Manifest, sha256_hex};

use super::fixture::{Fixture, is_gone, serves, status_where};
use super::{artifacts, run_all, run_apart};
use crate::support::fault_proxy::Fault;
use crate::support::programs::Engine;

#[test]
fn pointers_move_while_models_serve() {
    run_all(
        "lifecycle/moves",
        &["--backend", "tract"],
        &[
            ("two-promotions", two_promotions_at_once),
            ("skewed-clocks", skewed_clocks),
            ("unloaded-while-loading", unloaded_while_loading),
            ("overtaken", overtaken),
        ],
    );
}

#[test]
fn no_request_is_lost_while_versions_are_loaded_and_unloaded() {
    run_apart("lifecycle/swaps", &[("swaps", swaps)]);
}

fn two_promotions_at_once(fixture: &Fixture, engine: &Engine) {
    const PROMOTERS: u64 = 6;
    let model = "two-promotions";
    for _ in 0..=PROMOTERS {
        fixture.publish(model);
    }
    fixture.promote(model, 1).unwrap();
    serves(engine, model, 1);
    let promoted: Vec<(u64, Result<(), RepositoryError>)> = std::thread::scope(|scope| {
        let promoters: Vec<_> = (2..PROMOTERS + 2)
            .map(|version| scope.spawn(move || (version, fixture.promote(model, version))))
            .collect();
        promoters.into_iter().map(|promoter| promoter.join().unwrap()).collect()
    });
    assert!(promoted.iter().any(|(_, result)| result.is_ok()), "{promoted:?}");
    for (_, result) in &promoted {
        assert!(matches!(result, Ok(()) | Err(RepositoryError::Conflict { .. })), "{promoted:?}");
    }
    let named = fixture.named(model, "champion").unwrap();
    assert!(
        promoted.iter().any(|(version, result)| *version == named && result.is_ok()),
        "{named}: {promoted:?}"
    );
    serves(engine, model, named);
}

/// Checks that entries are ordered by their numbers. The times in manifests and entries are informative only.
fn skewed_clocks(fixture: &Fixture, engine: &Engine) {
    let model = "skewed-clocks";
    for (version, created) in [(1, "2126-11-22T00:00:00Z"), (2, "1970-01-01T00:00:00Z")] {
        let bytes = artifacts::version(model, version);
        let manifest = Manifest {
            sha256: sha256_hex(&bytes),
            size_bytes: bytes.len() as u64,
            created: created.to_owned(),
            ..Manifest::default()
        };
        fixture.put(&format!("{model}/{version}/model.onnx"), bytes);
        fixture.put(&format!("{model}/{version}/manifest.json"), serde_json::to_vec(&manifest).unwrap());
    }
    serves(engine, model, 2);
    let entry = |number: u64, version: u64, created: &str| {
        let path = format!("{model}/aliases/champion/{number:020}.json");
        fixture.put(&path, format!(r#"{{"version": {version}, "created": "{created}", "id": "by hand"}}"#));
    };
    entry(1, 1, "2126-11-22T00:00:00Z");
    serves(engine, model, 1);
    entry(2, 2, "1970-01-01T00:00:00Z");
    serves(engine, model, 2);
    fixture.promote(model, 1).unwrap();
    serves(engine, model, 1);
}

/// Removes a model while a version is downloaded, and restores it.
fn unloaded_while_loading(fixture: &Fixture, engine: &Engine) {
    let model = "unloaded-while-loading";
    let file = loads_slowly(fixture, engine, model);
    for version in [2, 1] {
        for file in ["manifest.json", "model.onnx"] {
            fixture.delete(&format!("{model}/{version}/{file}"));
        }
    }
    is_gone(engine, model);
    fixture.proxy.heal(&file);
    serves(engine, model, fixture.publish(model));
}

/// Checks that a download that is no longer desired does not delay the version that is desired instead.
fn overtaken(fixture: &Fixture, engine: &Engine) {
    let model = "overtaken";
    let file = loads_slowly(fixture, engine, model);
    fixture.publish(model);
    serves(engine, model, 3);
    fixture.proxy.heal(&file);
}

/// Serves version 1 and starts a slow download of version 2. Returns the path of its file.
fn loads_slowly(fixture: &Fixture, engine: &Engine, model: &str) -> String {
    fixture.publish(model);
    serves(engine, model, 1);
    let file = format!("{model}/2/model.onnx");
    fixture.proxy.fail(&file, Fault::Slow { bytes: 10, pause: Duration::from_millis(100) });
    fixture.publish(model);
    is_loading(engine, model, 2);
    file
}

fn is_loading(engine: &Engine, model: &str, version: u64) {
    status_where(engine, model, "is loading", |status| status["loading"]["version"] == version);
}

/// Checks that only the served version stays loaded, so that each promotion loads one version and unloads
/// another.
fn swaps(fixture: &Fixture) {
    const PROMOTIONS: u64 = 12;
    let model = "swaps";
    let versions: Vec<u64> = (0..4).map(|_| fixture.publish(model)).collect();
    let engine = fixture.engine_with(&[("ONNWARD_LOADED_VERSIONS", "1")], &["--backend", "tract"]);
    serves(&engine, model, 4);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..2).map(|_| scope.spawn(|| ask_until(&engine, model, &is_over))).collect();
        for promotion in 0..PROMOTIONS {
            let version = versions[promotion as usize % versions.len()];
            fixture.promote(model, version).unwrap();
            // Every other one comes before the one before it has been acted upon.
            if promotion % 2 == 0 {
                serves(&engine, model, version);
            }
        }
        is_over.store(true, Ordering::SeqCst);
        let answers: usize = asking.into_iter().map(|asking| asking.join().unwrap()).sum();
        assert!(answers > 100, "{answers}");
    });
    let last = versions[(PROMOTIONS as usize - 1) % versions.len()];
    serves(&engine, model, last);
    status_where(&engine, model, "is loaded in one version", |status| {
        status["loaded"].as_array().is_some_and(|loaded| loaded.len() == 1)
    });
}

/// Sends requests without a pause. Every answer is of exactly one version.
fn ask_until(engine: &Engine, model: &str, is_over: &AtomicBool) -> usize {
    let mut answers = 0;
    while !is_over.load(Ordering::SeqCst) {
        let (status, answer) = engine.post(&format!("/models/{model}/predict"), &artifacts::request());
        assert_eq!(status, 200, "{answer}");
        let expected = artifacts::probability(answer["version"].as_u64().unwrap());
        assert!(
            (answer["probability"].as_f64().unwrap() - expected).abs() < 1e-6,
            "{answer} is not {expected}"
        );
        answers += 1;
    }
    answers
}

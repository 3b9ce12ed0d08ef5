//! Starts without the store, starts on a damaged cache, and ends during a download.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::fixture::{Fixture, answers, repository_where, serves, status_where};
use super::run_apart;
use crate::support::fault_proxy::Fault;
use crate::support::programs::Engine;

const MODEL: &str = "model";
const TRACT: &[&str] = &["--backend", "tract"];

#[test]
fn an_engine_starts_without_the_store_and_finds_it_by_itself() {
    run_apart(
        "lifecycle/starts",
        &[
            ("refused-with-cache", |fixture| with_a_warm_cache(fixture, |down| fixture.proxy.refuse(down))),
            ("silent-with-cache", |fixture| {
                with_a_warm_cache(fixture, |down| match down {
                    true => fixture.proxy.fail("", Fault::Silence),
                    false => fixture.proxy.heal(""),
                });
            }),
            ("empty-cache", with_an_empty_cache),
            ("cache-from-the-future", with_a_cache_from_the_future),
            ("damaged-cache", with_a_damaged_cache),
        ],
    );
}

#[test]
fn an_engine_ends_in_the_middle_of_a_download() {
    run_apart("lifecycle/ends", &[("ends", ends_while_loading)]);
}

fn with_a_warm_cache(fixture: &Fixture, store_is_down: impl Fn(bool)) {
    was_served_once(fixture);
    store_is_down(true);
    let engine = fixture.engine(TRACT);
    is_ready(&engine);
    answers(&engine, MODEL, 1);
    repository_where(&engine, "is down, and the cache used", |repository| {
        let has_reason = repository["error"].as_str().is_some_and(|error| !error.is_empty());
        repository["reachable"] == false && repository["from_cache"] == true && has_reason
    });

    fixture.publish(MODEL);
    store_is_down(false);
    serves(&engine, MODEL, 2);
    repository_where(&engine, "is well", |repository| {
        repository["reachable"] == true && repository["from_cache"] == false
    });
    assert_eq!(fixture.proxy.requests("1/model.onnx"), 1, "nothing is downloaded twice");
}

fn with_an_empty_cache(fixture: &Fixture) {
    fixture.publish(MODEL);
    fixture.proxy.refuse(true);
    let engine = fixture.engine(TRACT);
    repository_where(&engine, "is said to be down", |repository| repository["reachable"] == false);
    assert_eq!(engine.get("/health/live").0, 200);
    assert_eq!(engine.get("/health/ready").0, 503);
    assert_ne!(engine.post("/predict", "{}").0, 500);
    fixture.proxy.refuse(false);
    serves(&engine, MODEL, 1);
    is_ready(&engine);
}

fn with_a_cache_from_the_future(fixture: &Fixture) {
    was_served_once(fixture);
    let in_a_century = SystemTime::now() + Duration::from_secs(100 * 365 * 86_400);
    for path in cached(fixture) {
        File::options().write(true).open(path).unwrap().set_modified(in_a_century).unwrap();
    }
    let engine = fixture.engine(TRACT);
    serves(&engine, MODEL, 1);
    assert_eq!(fixture.proxy.requests("1/model.onnx"), 1, "it is in the cache, whatever the time");
    fixture.publish(MODEL);
    serves(&engine, MODEL, 2);
}

fn with_a_damaged_cache(fixture: &Fixture) {
    was_served_once(fixture);
    for path in cached(fixture) {
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }
    let engine = fixture.engine(TRACT);
    serves(&engine, MODEL, 1);
    assert_eq!(fixture.proxy.requests("1/model.onnx"), 2, "what is damaged is downloaded again");
}

fn ends_while_loading(fixture: &Fixture) {
    fixture.publish(MODEL);
    fixture.proxy.fail("1/model.onnx", Fault::Slow { bytes: 10, pause: Duration::from_millis(200) });
    let engine = fixture.engine_with(&[("ONNWARD_SHUTDOWN__GRACE_MS", "0")], TRACT);
    status_where(&engine, MODEL, "is loading", |status| status["loading"]["version"] == 1);
    let (status, log) = engine.stop();
    assert!(status.success(), "{status}: {}", log.join("\n"));
    // The download would have taken minutes more.
    let objects = std::fs::read_dir(fixture.cache.path().join("objects"));
    assert_eq!(objects.map_or(0, Iterator::count), 0, "the engine has waited for the download");
}

/// Serves the first version once, so that it is in the cache.
fn was_served_once(fixture: &Fixture) {
    fixture.publish(MODEL);
    let engine = fixture.engine_with(&[("ONNWARD_SHUTDOWN__GRACE_MS", "0")], TRACT);
    serves(&engine, MODEL, 1);
    assert!(engine.stop().0.success());
}

fn is_ready(engine: &Engine) {
    eventually("the engine is ready", || match engine.get("/health/ready") {
        (200, _) => Ok(()),
        (_, body) => Err(body),
    });
}

/// Returns the files of the cache.
fn cached(fixture: &Fixture) -> Vec<PathBuf> {
    let mut folders = vec![fixture.cache.path().to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert!(!files.is_empty(), "there is no cache");
    files
}

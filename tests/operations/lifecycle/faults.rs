//! A store that fails while models serve.

use std::time::Duration;

use super::fixture::{Fixture, answers, looks, refuses, repository_where, serves, status, status_where};
use super::{artifacts, run_apart};
use crate::support::fault_proxy::Fault;
use crate::support::programs::Engine;
use crate::support::wait::eventually;

#[test]
fn a_store_that_fails_changes_nothing_that_is_served() {
    run_apart(
        "lifecycle/faults",
        &[("store", whole_store), ("downloads", downloads), ("slow", slow_downloads)],
    );
}

const TRACT: &[&str] = &["--backend", "tract"];

/// Checks serving while every request to the store fails.
fn whole_store(fixture: &Fixture) {
    let model = "model";
    fixture.publish(model);
    let engine = fixture.engine(TRACT);
    serves(&engine, model, 1);
    // A model may be served before the first look at the store has ended, and until then the engine is not
    // ready.
    eventually("the engine is ready", || match engine.get("/health/ready") {
        (200, _) => Ok(()),
        (_, body) => Err(body),
    });
    let faults = [
        Fault::Status(503),
        Fault::Status(500),
        Fault::Silence,
        Fault::Cut { after: 20 },
        Fault::Slow { bytes: 1, pause: Duration::from_secs(3) },
    ];
    for fault in faults {
        fixture.proxy.fail("", fault);
        goes_on_without_the_store(fixture, &engine, model, &format!("{fault:?}"));
        fixture.proxy.heal("");
        comes_back(fixture, &engine, model);
    }
    fixture.proxy.refuse(true);
    goes_on_without_the_store(fixture, &engine, model, "no connection");
    fixture.proxy.refuse(false);
    comes_back(fixture, &engine, model);
}

fn goes_on_without_the_store(fixture: &Fixture, engine: &Engine, model: &str, fault: &str) {
    let serving = status(engine, model)["serving"]["version"].as_u64().unwrap();
    let what = format!("is said to be down: {fault}");
    let repository = repository_where(engine, &what, |repository| repository["reachable"] == false);
    let error = repository["error"].as_str().unwrap();
    assert!(!error.is_empty() && !error.contains(['\n', '<']), "{fault}: {error}");
    assert!(repository["last_success"].is_string(), "{repository}");
    fixture.publish(model);
    assert_eq!(engine.get("/health/ready").0, 200, "{fault}");
    answers(engine, model, serving);
    assert!(age_of_the_last_look(engine) > 0.0);
}

/// Checks that versions published during an outage are served without intervention.
fn comes_back(fixture: &Fixture, engine: &Engine, model: &str) {
    let newest = fixture.newest(model);
    serves(engine, model, newest);
    repository_where(engine, "is well", |repository| {
        repository["reachable"] == true && repository.get("error").is_none()
    });
}

fn age_of_the_last_look(engine: &Engine) -> f64 {
    let metrics = engine.get("/metrics").1;
    let line = metrics.lines().find(|line| line.starts_with("onnward_repository_last_success_age_seconds "));
    line.unwrap().split_once(' ').unwrap().1.parse().unwrap()
}

/// Checks a listing that succeeds with a download that fails.
fn downloads(fixture: &Fixture) {
    let model = "model";
    fixture.publish(model);
    let engine = fixture.engine(TRACT);
    serves(&engine, model, 1);
    // A model may be served before the first look at the store has ended, and until then the engine is not
    // ready.
    eventually("the engine is ready", || match engine.get("/health/ready") {
        (200, _) => Ok(()),
        (_, body) => Err(body),
    });
    let faults = [
        Fault::Status(503),
        Fault::Silence,
        Fault::Cut { after: 0 },
        Fault::Slow { bytes: 5000, pause: Duration::from_secs(3) },
    ];
    for (version, fault) in (2..).zip(faults) {
        let file = format!("{model}/{version}/model.onnx");
        fixture.proxy.fail(&file, fault);
        assert_eq!(fixture.publish(model), version);
        refuses(&engine, model, version, ["fetch", &file], version - 1);
        fixture.proxy.heal(&file);
        serves(&engine, model, version);
    }
    assert_eq!(fixture.proxy.requests(&format!("{model}/1/model.onnx")), 1, "nothing is downloaded twice");

    // A complete file with a wrong digest is a permanent failure: the engine does not retry it before a
    // reload.
    let file = format!("{model}/6/model.onnx");
    fixture.proxy.fail(&file, Fault::Truncate { to: 5000 });
    fixture.publish(model);
    refuses(&engine, model, 6, ["digest", &file], 5);
    fixture.proxy.heal(&file);
    looks(&engine);
    serves(&engine, model, 6);
}

/// Checks that a download may take any time while data arrives, and that an interrupted one continues where
/// it ended.
fn slow_downloads(fixture: &Fixture) {
    let model = "model";
    fixture.publish(model);
    let engine = fixture.engine(TRACT);
    serves(&engine, model, 1);
    let file = format!("{model}/2/model.onnx");
    let bytes = artifacts::version(model, 2).len() / 20;
    fixture.proxy.fail(&file, Fault::Slow { bytes, pause: Duration::from_millis(150) });
    fixture.publish(model);
    status_where(&engine, model, "is loading", |status| status["loading"]["version"] == 2);
    answers(&engine, model, 1);
    serves(&engine, model, 2);
    assert_eq!(fixture.proxy.requests(&file), 1);

    let file = format!("{model}/3/model.onnx");
    fixture.proxy.fail(&file, Fault::Cut { after: artifacts::version(model, 3).len() / 2 });
    fixture.publish(model);
    serves(&engine, model, 3);
    assert!(fixture.proxy.requests(&file) > 1, "it was not cut off");
}

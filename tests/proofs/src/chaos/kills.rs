//! SIGKILL: what was answered is there after a start.
//!
//! Each round an engine follows its store while outcomes come in and versions are published; it is killed at a random moment, and so
//! is, in every second round, the exporter. Every outcome that was answered must then be known (`duplicate`), every version that was
//! published be in the repository, the alias name the last one or a later one, and every object of the cache be what its name says.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::report::ScenarioReport;
use super::testbed::{MODEL, Place, Testbed, WITHOUT_STORE, client, seaweedfs, until, variable};
use onnward_harness::client::{Client, json};
use onnward_harness::engine::{EngineCommand, EngineProcess};
use onnward_harness::HarnessError;
use crate::kills::cache::CacheFolder;
use onnward_harness::requirement::Requirement;

const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_millis(1500);
/// About how long a publication takes: it is killed before that.
const PUBLISHING: Duration = Duration::from_millis(60);
/// How many outcomes are asked about at a time.
const ASKED: usize = 1000;

/// What must be there.
#[derive(Default)]
struct Acknowledged {
    /// Predictions whose outcomes were answered.
    outcomes: Vec<String>,
    /// Versions whose publication ended well, and their digests.
    versions: BTreeMap<u64, String>,
}

/// What was found.
#[derive(Default)]
struct Found {
    outcomes_lost: u64,
    versions_lost: u64,
    aliases_lost: u64,
    wrong_objects: u64,
    publishers_killed: u64,
    reasons: Vec<String>,
}

pub fn run(testbed: &mut Testbed) -> Result<ScenarioReport, HarnessError> {
    let Some(store) = seaweedfs(&testbed.settings.seaweedfs)? else {
        return Ok(ScenarioReport::left_out(WITHOUT_STORE));
    };
    let place = testbed.store(&store, "chaos-kills")?;
    let outcomes = variable("ONNWARD_OUTCOMES__FOLDER", place.path("outcomes").display().to_string());
    let command = testbed.command(&place, &[outcomes]);
    let artifact = place.path("model.onnx");
    let [_, second] = &testbed.models.artifacts;
    std::fs::write(&artifact, second.encode()).map_err(HarnessError::system("write a model"))?;
    let (mut acknowledged, mut found) = (Acknowledged::default(), Found::default());
    let repetitions = testbed.settings.repetitions;
    for repetition in 0..repetitions {
        let engine = start(&place, &command)?;
        look_for(&acknowledged, &place, testbed, &engine, &mut found)?;
        let kills_publisher = repetition % 2 == 1;
        round(testbed, &place, engine, kills_publisher, &mut acknowledged, &mut found)?;
        let audit = CacheFolder::new(&place.path("cache")).audit()?;
        found.wrong_objects += audit.wrong_objects;
    }
    let engine = start(&place, &command)?;
    look_for(&acknowledged, &place, testbed, &engine, &mut found)?;
    Ok(report(repetitions, &acknowledged, found))
}

fn report(repetitions: u64, acknowledged: &Acknowledged, found: Found) -> ScenarioReport {
    let mut report = ScenarioReport::default();
    report
        .figure("engines killed", repetitions as f64)
        .figure("publishers killed", found.publishers_killed as f64)
        .figure("outcomes answered", acknowledged.outcomes.len() as f64)
        .figure("versions published", acknowledged.versions.len() as f64)
        .require(Requirement::none_of("outcome that was answered and is lost", found.outcomes_lost))
        .require(Requirement::none_of("version that was published and is lost", found.versions_lost))
        .require(Requirement::none_of("promotion that was done and is lost", found.aliases_lost))
        .require(Requirement::none_of(
            "object of a cache that is not what its name says",
            found.wrong_objects,
        ))
        .require(Requirement::at_least("outcomes answered", acknowledged.outcomes.len() as f64, 1.0, ""))
        .require(Requirement::at_least("versions published", acknowledged.versions.len() as f64, 1.0, ""));
    for reason in found.reasons {
        report.failed(reason);
    }
    report
}

/// An engine that serves and has opened its store of predictions.
fn start(place: &Place, command: &EngineCommand) -> Result<EngineProcess, HarnessError> {
    let engine = command.start()?;
    let client = client(&engine);
    let is_open = || matches!(client.get("/health/ready"), Ok((200, _))) && has_opened(&client);
    match until(is_open) {
        Some(_) => Ok(engine),
        None => Err(HarnessError::Answer {
            request: format!("{} after a kill", place.location()),
            answer: format!("an engine that is not ready; the end of its log:\n{}", engine.log()),
        }),
    }
}

fn has_opened(client: &Client) -> bool {
    let figures = json(client.get(&format!("/models/{MODEL}/performance")));
    figures.is_ok_and(|figures| !figures["window"].is_null())
}

/// Has outcomes come in and a version be published until the engine is killed.
fn round(
    testbed: &mut Testbed,
    place: &Place,
    mut engine: EngineProcess,
    kills_publisher: bool,
    acknowledged: &mut Acknowledged,
    found: &mut Found,
) -> Result<(), HarnessError> {
    let stops = Arc::new(AtomicBool::new(false));
    let telling = {
        let (client, stops) = (client(&engine), Arc::clone(&stops));
        let body = testbed.models.requests.first().map(|request| request.body.clone()).unwrap_or_default();
        std::thread::spawn(move || tell_outcomes(&client, &body, &stops))
    };
    let mut publisher = publish(testbed, place)?;
    if kills_publisher {
        std::thread::sleep(testbed.random_delay(Duration::ZERO, PUBLISHING));
        found.publishers_killed += u64::from(matches!(publisher.try_wait(), Ok(None)));
        let _ = publisher.kill();
    }
    std::thread::sleep(testbed.random_delay(LEAST, MOST));
    engine.kill();
    stops.store(true, Ordering::Relaxed);
    let failed = |_| HarnessError::Settings("a thread that tells outcomes has failed".to_owned());
    acknowledged.outcomes.extend(telling.join().map_err(failed)?);
    let published = publisher.wait_with_output().map_err(HarnessError::system("wait for the exporter"))?;
    if published.status.success() {
        let told: Value = serde_json::from_slice(&published.stdout)?;
        let sha256 = told["manifest"]["sha256"].as_str().unwrap_or_default().to_owned();
        acknowledged.versions.extend(told["version"].as_u64().map(|version| (version, sha256)));
    }
    Ok(())
}

/// Predicts, and tells what became of it, until the engine is gone: the predictions of which it took the outcome.
fn tell_outcomes(client: &Client, body: &[u8], stops: &AtomicBool) -> Vec<String> {
    let mut answered = Vec::new();
    while !stops.load(Ordering::Relaxed) {
        let Ok(prediction) = json(client.post(&format!("/models/{MODEL}/predict"), body)) else { continue };
        let Some(id) = prediction["id"].as_str() else { continue };
        let outcome = json!({"id": id, "label": true}).to_string();
        let joined = json(client.post("/outcomes", outcome.as_bytes()));
        if joined.is_ok_and(|joined| joined["result"] == "joined") {
            answered.push(id.to_owned());
        }
    }
    answered
}

/// Begins to publish a version and to promote it.
fn publish(testbed: &Testbed, place: &Place) -> Result<Child, HarnessError> {
    let program = &testbed.settings.exporter;
    Command::new(program)
        .arg("publish")
        .arg(place.path("model.onnx"))
        .args(["--model", MODEL, "--alias", "champion", "--output", "json", "--repository", place.location()])
        .envs(place.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| HarnessError::Start { program: program.clone(), source })
}

/// Looks whether all is there that was acknowledged.
fn look_for(
    acknowledged: &Acknowledged,
    place: &Place,
    testbed: &Testbed,
    engine: &EngineProcess,
    found: &mut Found,
) -> Result<(), HarnessError> {
    let client = client(engine);
    for ids in acknowledged.outcomes.chunks(ASKED) {
        let outcomes: Vec<Value> = ids.iter().map(|id| json!({"id": id, "label": true})).collect();
        let told = json(client.post("/outcomes", json!({ "outcomes": outcomes }).to_string().as_bytes()));
        match told {
            Ok(told) => {
                let known = told["duplicate"].as_u64().unwrap_or_default();
                found.outcomes_lost += ids.len() as u64 - known;
            }
            Err(reason) => {
                found.outcomes_lost += ids.len() as u64;
                found.reasons.push(format!("outcomes: {reason}"));
            }
        }
    }
    let repository = versions(testbed, place)?;
    let there = |version: u64, sha256: &str| {
        let versions = repository["versions"].as_array().into_iter().flatten();
        versions.into_iter().any(|one| one["version"] == version && one["sha256"] == sha256)
    };
    let lost = acknowledged.versions.iter().filter(|(version, sha256)| !there(**version, sha256));
    found.versions_lost += lost.count() as u64;
    let aliases = repository["aliases"].as_array().into_iter().flatten();
    let named =
        aliases.filter(|alias| alias["alias"] == "champion").filter_map(|alias| alias["version"].as_u64());
    let named = named.max().unwrap_or_default();
    let last = acknowledged.versions.keys().max().copied().unwrap_or_default();
    found.aliases_lost += u64::from(named < last);
    let serves =
        || json(client.get(&format!("/models/{MODEL}"))).is_ok_and(|state| state["version"] == named);
    if until(serves).is_none() {
        found.aliases_lost += 1;
        found.reasons.push(format!("the engine does not come to serve version {named}, which is promoted"));
    }
    Ok(())
}

fn versions(testbed: &Testbed, place: &Place) -> Result<Value, HarnessError> {
    let program = &testbed.settings.exporter;
    let output = Command::new(program)
        .args(["versions", MODEL, "--output", "json", "--repository", place.location()])
        .envs(place.environment.iter().cloned())
        .output()
        .map_err(|source| HarnessError::Start { program: program.clone(), source })?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

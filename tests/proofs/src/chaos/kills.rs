//! SIGKILL: what was acknowledged is there after a restart.
//!
//! In each round an engine follows its store while outcomes are reported and versions are published. It is
//! killed after a random delay, and so is, in every second round, the exporter. Afterwards every acknowledged
//! outcome must be known (`duplicate`), every published version be in the repository, the alias point at the
//! last one or a later one, and the digest of every object in the cache be its name.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::report::ScenarioReport;
use super::testbed::{Fixture, MODEL, Testbed, WITHOUT_STORE, client, seaweedfs, variable};
use crate::kills::cache::CacheFolder;
use onnward_harness::HarnessError;
use onnward_harness::client::{Client, json};
use onnward_harness::engine::{EngineCommand, EngineProcess};
use onnward_harness::requirement::Requirement;
use onnward_harness::wait::until;

const LEAST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_millis(1500);
/// The rough duration of a publication, before which the exporter is killed.
const PUBLISHING: Duration = Duration::from_millis(60);
/// The outcomes in one request.
const BATCH: usize = 1000;

/// The data that must not be lost.
#[derive(Default)]
struct Acknowledged {
    /// Predictions whose outcomes were acknowledged.
    outcomes: Vec<String>,
    /// Versions whose publication succeeded, and their digests.
    versions: BTreeMap<u64, String>,
}

/// The findings after all kills.
#[derive(Default)]
struct Findings {
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
    let fixture = testbed.store(&store, "chaos-kills")?;
    let outcomes = variable("ONNWARD_OUTCOMES__FOLDER", fixture.path("outcomes").display().to_string());
    let command = testbed.command(&fixture, &[outcomes]);
    let artifact = fixture.path("model.onnx");
    let [_, second] = &testbed.models.artifacts;
    std::fs::write(&artifact, second.encode()).map_err(HarnessError::system("write a model"))?;
    let (mut acknowledged, mut found) = (Acknowledged::default(), Findings::default());
    let repetitions = testbed.settings.repetitions;
    for repetition in 0..repetitions {
        let engine = start(&fixture, &command)?;
        check(&acknowledged, &fixture, testbed, &engine, &mut found)?;
        let kills_publisher = repetition % 2 == 1;
        round(testbed, &fixture, engine, kills_publisher, &mut acknowledged, &mut found)?;
        let audit = CacheFolder::new(&fixture.path("cache")).audit()?;
        found.wrong_objects += audit.wrong_objects;
    }
    let engine = start(&fixture, &command)?;
    check(&acknowledged, &fixture, testbed, &engine, &mut found)?;
    Ok(report(repetitions, &acknowledged, found))
}

fn report(repetitions: u64, acknowledged: &Acknowledged, found: Findings) -> ScenarioReport {
    let mut report = ScenarioReport::default();
    report
        .figure("engines killed", repetitions as f64)
        .figure("publishers killed", found.publishers_killed as f64)
        .figure("outcomes answered", acknowledged.outcomes.len() as f64)
        .figure("versions published", acknowledged.versions.len() as f64)
        .require(Requirement::none_of("acknowledged outcome that is lost", found.outcomes_lost))
        .require(Requirement::none_of("published version that is lost", found.versions_lost))
        .require(Requirement::none_of("promotion that is lost", found.aliases_lost))
        .require(Requirement::none_of("object of a cache whose digest is not its name", found.wrong_objects))
        .require(Requirement::at_least("outcomes answered", acknowledged.outcomes.len() as f64, 1.0, ""))
        .require(Requirement::at_least("versions published", acknowledged.versions.len() as f64, 1.0, ""));
    for reason in found.reasons {
        report.failed(reason);
    }
    report
}

/// Starts an engine and waits until it serves and has opened its ground truth store.
fn start(fixture: &Fixture, command: &EngineCommand) -> Result<EngineProcess, HarnessError> {
    let engine = command.start()?;
    let client = client(&engine);
    let is_open = || matches!(client.get("/health/ready"), Ok((200, _))) && has_opened(&client);
    match until(is_open) {
        Some(_) => Ok(engine),
        None => Err(HarnessError::Answer {
            request: format!("{} after a kill", fixture.location()),
            answer: format!("an engine that is not ready; the end of its log:\n{}", engine.log()),
        }),
    }
}

fn has_opened(client: &Client) -> bool {
    let figures = json(client.get(&format!("/models/{MODEL}/performance")));
    figures.is_ok_and(|figures| !figures["window"].is_null())
}

/// Reports outcomes and publishes a version until the engine is killed.
fn round(
    testbed: &mut Testbed,
    fixture: &Fixture,
    mut engine: EngineProcess,
    kills_publisher: bool,
    acknowledged: &mut Acknowledged,
    found: &mut Findings,
) -> Result<(), HarnessError> {
    let stops = Arc::new(AtomicBool::new(false));
    let reporting = {
        let (client, stops) = (client(&engine), Arc::clone(&stops));
        let body = testbed.models.requests.first().map(|request| request.body.clone()).unwrap_or_default();
        std::thread::spawn(move || report_outcomes(&client, &body, &stops))
    };
    let mut publisher = publish(testbed, fixture)?;
    if kills_publisher {
        std::thread::sleep(testbed.random_delay(Duration::ZERO, PUBLISHING));
        found.publishers_killed += u64::from(matches!(publisher.try_wait(), Ok(None)));
        let _ = publisher.kill();
    }
    std::thread::sleep(testbed.random_delay(LEAST, MOST));
    engine.kill();
    stops.store(true, Ordering::Relaxed);
    let failed = |_| HarnessError::Settings("a thread that reports outcomes has failed".to_owned());
    acknowledged.outcomes.extend(reporting.join().map_err(failed)?);
    let published = publisher.wait_with_output().map_err(HarnessError::system("wait for the exporter"))?;
    if published.status.success() {
        let printed: Value = serde_json::from_slice(&published.stdout)?;
        let sha256 = printed["manifest"]["sha256"].as_str().unwrap_or_default().to_owned();
        acknowledged.versions.extend(printed["version"].as_u64().map(|version| (version, sha256)));
    }
    Ok(())
}

/// Requests predictions and reports their outcomes until told to stop. Returns the predictions whose outcomes
/// were acknowledged.
fn report_outcomes(client: &Client, body: &[u8], stops: &AtomicBool) -> Vec<String> {
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

/// Starts to publish and promote a version.
fn publish(testbed: &Testbed, fixture: &Fixture) -> Result<Child, HarnessError> {
    let program = &testbed.settings.exporter;
    Command::new(program)
        .arg("publish")
        .arg(fixture.path("model.onnx"))
        .args([
            "--model",
            MODEL,
            "--alias",
            "champion",
            // The kill is to hit the publication, and each attempt publishes the same file.
            "--no-check",
            "--allow-duplicate",
            "--output",
            "json",
            "--repository",
            fixture.location(),
        ])
        .envs(fixture.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| HarnessError::Start { program: program.clone(), source })
}

/// Checks that everything acknowledged is there.
fn check(
    acknowledged: &Acknowledged,
    fixture: &Fixture,
    testbed: &Testbed,
    engine: &EngineProcess,
    found: &mut Findings,
) -> Result<(), HarnessError> {
    let client = client(engine);
    for ids in acknowledged.outcomes.chunks(BATCH) {
        let outcomes: Vec<Value> = ids.iter().map(|id| json!({"id": id, "label": true})).collect();
        let answer = json(client.post("/outcomes", json!({ "outcomes": outcomes }).to_string().as_bytes()));
        match answer {
            Ok(answer) => {
                let known = answer["duplicate"].as_u64().unwrap_or_default();
                found.outcomes_lost += ids.len() as u64 - known;
            }
            Err(reason) => {
                found.outcomes_lost += ids.len() as u64;
                found.reasons.push(format!("outcomes: {reason}"));
            }
        }
    }
    let repository = versions(testbed, fixture)?;
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
        found.reasons.push(format!("the engine does not serve version {named}, which is promoted"));
    }
    Ok(())
}

fn versions(testbed: &Testbed, fixture: &Fixture) -> Result<Value, HarnessError> {
    let program = &testbed.settings.exporter;
    let output = Command::new(program)
        .args(["versions", MODEL, "--output", "json", "--repository", fixture.location()])
        .envs(fixture.environment.iter().cloned())
        .output()
        .map_err(|source| HarnessError::Start { program: program.clone(), source })?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

//! A clock that jumps, by libfaketime: predictions go on, nothing is loaded again, outcomes find their
//! predictions, and keys expire when the clock says so. Monotonic time, by which timeouts run, does not jump.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::report::ScenarioReport;
use super::testbed::{Fixture, MODEL, Testbed, client, variable};
use onnward_harness::HarnessError;
use onnward_harness::client::{Client, json, sum_of};
use onnward_harness::engine::EngineProcess;
use onnward_harness::generator::Phase;
use onnward_harness::requirement::Requirement;
use onnward_harness::wait::until;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// The clock's offsets from the true time, one after the other, in seconds.
const JUMPS: [i64; 9] = [HOUR, 0, -HOUR, 0, DAY, 0, -DAY, DAY, 0];
/// A key expires this long after the start.
const EXPIRES_AFTER: Duration = Duration::from_secs(1800);
/// The largest error of the engine's clock, in seconds.
const MAX_ERROR: i64 = 5;

/// The findings after all jumps.
#[derive(Default)]
struct Findings {
    unseen_jumps: u64,
    outcomes_lost: u64,
    wrong_keys: u64,
    drift_lost: u64,
    reasons: Vec<String>,
}

pub fn run(testbed: &mut Testbed) -> Result<ScenarioReport, HarnessError> {
    if !testbed.settings.faketime.is_file() {
        return Ok(ScenarioReport::left_out(
            "libfaketime is missing: apt-get install faketime, or give --faketime",
        ));
    }
    let fixture = testbed.folder()?;
    let (clock, keys) = (fixture.path("clock"), fixture.path("keys.toml"));
    let ends = DateTime::<Utc>::from(SystemTime::now() + EXPIRES_AFTER);
    let lasting = make_key(testbed, &keys, "lasting", None)?;
    let ending = make_key(testbed, &keys, "ending", Some(ends))?;
    set_clock(&clock, 0)?;
    let command = testbed.command(&fixture, &environment(&fixture, testbed, [&clock, &keys]));
    let engine = command.start()?;
    let (client, ending) = (client(&engine).with_key(&lasting), client(&engine).with_key(&ending));
    serving(&engine, &client)?;
    let loads =
        || client.get("/metrics").map_or(0, |(_, text)| sum_of(&text, "onnward_golden_replays_total"));
    let loads_before = loads();
    let load = testbed.load(&engine, &fixture, Some(lasting))?;
    load.enter(Phase::Quiet);
    std::thread::sleep(Duration::from_secs(3));
    load.enter(Phase::Disturbed);
    let mut found = Findings::default();
    for offset in JUMPS {
        set_clock(&clock, offset)?;
        found.after(offset, &client, &ending, &testbed.batch(1));
        std::thread::sleep(testbed.settings.fault / JUMPS.len() as u32);
    }
    load.enter(Phase::Unmeasured);
    let loads = loads().saturating_sub(loads_before);
    let mut report = ScenarioReport::default();
    report
        .figure("jumps of an hour and of a day, forwards and back", JUMPS.len() as f64)
        .served(load.stop()?)
        .require(Requirement::none_of("jump that the engine's clock does not make", found.unseen_jumps))
        .require(Requirement::none_of("version loaded again", loads))
        .require(Requirement::none_of("outcome that does not find its prediction", found.outcomes_lost))
        .require(Requirement::none_of("window of drift that is empty", found.drift_lost))
        .require(Requirement::none_of(
            "key that is taken after its end or refused before it",
            found.wrong_keys,
        ));
    for reason in found.reasons {
        report.failed(reason);
    }
    Ok(report)
}

/// Returns variables with which the clock is read from a file. Monotonic time and the times of files stay
/// true.
fn environment(fixture: &Fixture, testbed: &Testbed, [clock, keys]: [&Path; 2]) -> Vec<(String, String)> {
    vec![
        variable("LD_PRELOAD", testbed.settings.faketime.display().to_string()),
        variable("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
        variable("FAKETIME_CACHE_DURATION", "1"),
        variable("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        variable("DONT_FAKE_MONOTONIC", "1"),
        variable("NO_FAKE_STAT", "1"),
        variable("ONNWARD_AUTH__KEYS_FILE", keys.display().to_string()),
        variable("ONNWARD_OUTCOMES__FOLDER", fixture.path("outcomes").display().to_string()),
        variable("ONNWARD_DRIFT__MIN_ROWS", "10"),
    ]
}

/// Waits until an engine that requires API keys serves a version.
fn serving(engine: &EngineProcess, client: &Client) -> Result<(), HarnessError> {
    let path = format!("/models/{MODEL}");
    let serves = || json(client.get(&path)).is_ok_and(|state| state["version"].is_u64());
    let answer = || format!("no version; the end of the engine's log:\n{}", engine.log());
    until(serves).map(|_| ()).ok_or_else(|| HarnessError::Answer { request: path.clone(), answer: answer() })
}

impl Findings {
    fn after(&mut self, offset: i64, client: &Client, ending: &Client, body: &[u8]) {
        let predict = || json(client.post(&format!("/models/{MODEL}/predict"), body));
        let mut id = None;
        let has_jumped = until(|| {
            id = predict().ok().and_then(|answer| Some(answer["predictions"][0]["id"].as_str()?.to_owned()));
            id.as_deref().and_then(made_at).is_some_and(|at| (at - now() - offset).abs() <= MAX_ERROR)
        });
        self.unseen_jumps += u64::from(has_jumped.is_none());
        let outcome = json!({"id": id, "label": true}).to_string();
        let joined = json(client.post("/outcomes", outcome.as_bytes()));
        if !joined.as_ref().is_ok_and(|joined| joined["result"] == "joined") {
            self.outcomes_lost += 1;
            self.reasons.push(format!("at {offset:+} s an outcome is answered with {joined:?}"));
        }
        let drift = json(client.get(&format!("/models/{MODEL}/drift")));
        if !drift.as_ref().is_ok_and(|drift| drift["sliding"]["rows"].as_u64() > Some(0)) {
            self.drift_lost += 1;
            self.reasons.push(format!("at {offset:+} s drift has no rows"));
        }
        let should_end = offset >= EXPIRES_AFTER.as_secs() as i64;
        let status = ending.post(&format!("/models/{MODEL}/predict"), body).map(|(status, _)| status);
        if status != Ok(if should_end { 401 } else { 200 }) {
            self.wrong_keys += 1;
            self.reasons.push(format!("at {offset:+} s the key that ends is answered with {status:?}"));
        }
    }
}

/// Sets the engine's clock to an offset in seconds from the true time.
fn set_clock(clock: &Path, offset: i64) -> Result<(), HarnessError> {
    // The engine may read the file at any time, so it is replaced at once.
    let (new, failed) = (clock.with_extension("new"), || HarnessError::system("set the engine's clock"));
    std::fs::write(&new, format!("{offset:+}\n")).map_err(failed())?;
    std::fs::rename(&new, clock).map_err(failed())
}

/// Returns when a prediction was made by the engine's clock, from its id, a UUID of version 7.
fn made_at(id: &str) -> Option<i64> {
    let digits: String = id.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    Some(i64::from_str_radix(&digits, 16).ok()? / 1000)
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn make_key(
    testbed: &Testbed,
    file: &Path,
    name: &str,
    ends: Option<DateTime<Utc>>,
) -> Result<String, HarnessError> {
    let program = &testbed.settings.engine;
    let mut command = Command::new(program);
    command.args(["api-key", name, "--scopes", "predict,outcomes,read", "--file"]).arg(file);
    if let Some(ends) = ends {
        command.args(["--expires", &ends.to_rfc3339_opts(SecondsFormat::Secs, true)]);
    }
    let output =
        command.output().map_err(|source| HarnessError::Start { program: program.clone(), source })?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let key = printed.split_whitespace().find(|word| word.starts_with("onnward_"));
    key.map(str::to_owned)
        .ok_or_else(|| HarnessError::Settings(format!("no API key could be made: {printed}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_it_was_made() {
        assert_eq!(made_at("018f3e1c-2a00-7123-8abc-0123456789ab"), Some(0x018f_3e1c_2a00 / 1000));
        assert_eq!(made_at(""), None);
    }
}

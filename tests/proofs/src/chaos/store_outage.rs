//! A store that hangs, and one that is down: models stay served, an engine that starts meanwhile serves from
//! its cache, and a promotion is followed once the store is back.

use std::time::Duration;

use super::report::ScenarioReport;
use super::testbed::{MODEL, Testbed, WITHOUT_STORE, client, seaweedfs, variable};
use onnward_harness::HarnessError;
use onnward_harness::client::{Client, json};
use onnward_harness::engine::{EngineCommand, EngineProcess};
use onnward_harness::generator::Phase;
use onnward_harness::process::{Signal, send_signal};
use onnward_harness::proxy::Proxy;
use onnward_harness::seaweedfs::SeaweedFs;
use onnward_harness::wait::until;

const BEFORE: Duration = Duration::from_secs(3);

/// The kind of the store's failure.
#[derive(Clone, Copy)]
enum Outage {
    /// It accepts connections and answers nothing.
    Hangs,
    /// It accepts no connections.
    Down,
}

pub fn run(testbed: &mut Testbed) -> Result<ScenarioReport, HarnessError> {
    let Some(store) = seaweedfs(&testbed.settings.seaweedfs)? else {
        return Ok(ScenarioReport::left_out(WITHOUT_STORE));
    };
    let fixture = testbed.store(&store, "chaos-outage")?;
    let proxy = Proxy::start(store.address())?;
    let mut variables = SeaweedFs::environment_through(&format!("http://{}", proxy.address()));
    variables.push(variable("ONNWARD_STORE__TIMEOUT_MS", "1000"));
    let command = testbed.command(&fixture, &variables);
    let mut engine = fixture.start(&command)?;
    let load = testbed.load(&engine, &fixture, None)?;
    load.enter(Phase::Quiet);
    std::thread::sleep(BEFORE);
    load.enter(Phase::Disturbed);
    let mut report = ScenarioReport::default();
    // Afterwards the other version is promoted, and then the first one again.
    let outages = [(Outage::Hangs, "hangs"), (Outage::Down, "is down")];
    for ((outage, what), version) in outages.into_iter().zip(fixture.versions.into_iter().rev()) {
        outage.begin(&store, &proxy)?;
        let reported = until(|| is_reachable(&client(&engine)) == Some(false));
        let second = started_without_store(&command);
        std::thread::sleep(testbed.settings.fault);
        outage.end(&store, &proxy)?;
        fixture.publisher.promote(version)?;
        let start = std::time::Instant::now();
        let is_followed = engine.wait_until_serving(MODEL, version).is_ok();
        let took = start.elapsed().as_secs_f64();
        let recovers = until(|| is_reachable(&client(&engine)) == Some(true)).is_some();
        let seconds = reported.map_or(f64::NAN, |took| took.as_secs_f64());
        report
            .figure(format!("seconds until the status says that the store {what}"), seconds)
            .figure("seconds from its return to the promoted version", took)
            .require_that(&format!("the status says that the store {what}"), reported.is_some())
            .require_that("an engine that starts meanwhile serves from its cache", second?)
            .require_that("a promotion is followed afterwards", is_followed)
            .require_that("the status says that it is back", recovers);
    }
    load.enter(Phase::Unmeasured);
    report.served(load.stop()?);
    Ok(report)
}

impl Outage {
    fn begin(self, store: &SeaweedFs, proxy: &Proxy) -> Result<(), HarnessError> {
        match self {
            Self::Hangs => send_signal(store.id(), Signal::Stop),
            Self::Down => {
                proxy.set_down(true);
                Ok(())
            }
        }
    }

    fn end(self, store: &SeaweedFs, proxy: &Proxy) -> Result<(), HarnessError> {
        match self {
            Self::Hangs => send_signal(store.id(), Signal::Continue),
            Self::Down => {
                proxy.set_down(false);
                Ok(())
            }
        }
    }
}

fn is_reachable(client: &Client) -> Option<bool> {
    json(client.get("/models")).ok()?["repository"]["reachable"].as_bool()
}

/// Starts an engine with the cache of another and without a store, and returns whether it serves.
fn started_without_store(command: &EngineCommand) -> Result<bool, HarnessError> {
    let engine: EngineProcess = command.start()?;
    let client = client(&engine);
    let serves = || {
        json(client.get("/models")).is_ok_and(|state| {
            state["repository"]["from_cache"] == true && state["models"][0]["name"] == MODEL
        })
    };
    Ok(until(serves).is_some())
}

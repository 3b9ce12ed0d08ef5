//! A full disk under the cache, the ground truth store and the captures: predictions go on, outcomes are
//! rejected and not lost, and everything recovers once there is room.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::report::ScenarioReport;
use super::testbed::{MODEL, Testbed, WITHOUT_STORE, client, seaweedfs, temporary, variable};
use onnward_harness::HarnessError;
use onnward_harness::client::{Client, json, sum_of};
use onnward_harness::generator::Phase;
use onnward_harness::requirement::Requirement;
use onnward_harness::wait::until;

/// The size of the disk.
const DISK: &str = "24m";
/// The time for which the engine is observed before the fault.
const BEFORE: Duration = Duration::from_secs(3);
/// The time between two outcomes.
const REPORTED_EVERY: Duration = Duration::from_millis(50);
/// The rows of a request that makes the store grow.
const ROWS: usize = 2000;
/// The time between two attempts to fill space that the engine has freed.
const REFILLED_EVERY: Duration = Duration::from_millis(20);

pub fn run(testbed: &mut Testbed) -> Result<ScenarioReport, HarnessError> {
    let Some(store) = seaweedfs(&testbed.settings.seaweedfs)? else {
        return Ok(ScenarioReport::left_out(WITHOUT_STORE));
    };
    let Some(disk) = SmallDisk::mount()? else {
        return Ok(ScenarioReport::left_out("no small disk can be mounted: that requires root"));
    };
    let mut fixture = testbed.store(&store, "chaos-disk")?;
    fixture.environment.retain(|(name, _)| name != "ONNWARD_CACHE__FOLDER");
    let command = testbed.command(&fixture, &disk.environment());
    let mut engine = fixture.start(&command)?;
    let client = client(&engine);
    let load = testbed.load(&engine, &fixture, None)?;
    load.enter(Phase::Quiet);
    let mut outcomes = Outcomes::default();
    outcomes.report_for(BEFORE, &client, &testbed.batch(1));

    load.enter(Phase::Disturbed);
    let filling = disk.fill()?;
    let batch = testbed.batch(ROWS);
    let rejected_after = until(|| {
        // Storing many predictions makes the store grow.
        let _ = client.post(&format!("/models/{MODEL}/predict"), &batch);
        outcomes.report(&client, &testbed.batch(1));
        outcomes.rejected > 0
    });
    fixture.publisher.promote(fixture.versions[1])?;
    let is_followed = engine.wait_until_serving(MODEL, fixture.versions[1]).is_ok();
    outcomes.report_for(testbed.settings.fault, &client, &testbed.batch(1));
    let not_stored = scraped(&client, "onnward_predictions_not_stored_total");
    let captured = scraped(&client, "onnward_captured_requests_total");
    filling.end()?;

    let joined_after = until(|| outcomes.report(&client, &testbed.batch(1)));
    load.enter(Phase::Unmeasured);
    let lost = outcomes.lost(&client);
    // Failed writes are retried after growing pauses.
    let captured_after = until(|| scraped(&client, "onnward_captured_requests_total") > captured);

    let mut report = ScenarioReport::default();
    let seconds = |took: Option<Duration>| took.map_or(f64::NAN, |took| took.as_secs_f64());
    report
        .figure("outcomes answered", outcomes.answered.len() as f64)
        .figure("outcomes rejected with 503", outcomes.rejected as f64)
        .figure("seconds from full to the first rejection", seconds(rejected_after))
        .figure("predictions answered and, by the metric, not stored", not_stored as f64)
        .figure("seconds from room to the first outcome", seconds(joined_after))
        .figure("seconds from then to the first capture", seconds(captured_after))
        .served(load.stop()?)
        .require_that("outcomes are rejected while they cannot be stored", rejected_after.is_some())
        .require(Requirement::none_of("outcome answered otherwise", outcomes.others.len() as u64))
        .require_that("a promotion is followed without a cache", is_followed)
        .require_that("outcomes are accepted again once there is room", joined_after.is_some())
        .require(Requirement::none_of("outcome that was answered and is lost", lost))
        .require_that("captures are written again once there is room", captured_after.is_some());
    for other in outcomes.others {
        report.failed(other);
    }
    Ok(report)
}

fn scraped(client: &Client, name: &str) -> u64 {
    client.get("/metrics").map_or(0, |(_, text)| sum_of(&text, name))
}

/// Outcomes that were reported, by the engine's answers.
#[derive(Default)]
struct Outcomes {
    answered: Vec<String>,
    rejected: u64,
    others: Vec<String>,
}

impl Outcomes {
    /// Reports outcomes for a time.
    fn report_for(&mut self, length: Duration, client: &Client, body: &[u8]) {
        let start = Instant::now();
        while start.elapsed() < length {
            self.report(client, body);
            std::thread::sleep(REPORTED_EVERY);
        }
    }

    /// Requests a prediction and reports its outcome. Returns whether the engine accepted it.
    fn report(&mut self, client: &Client, body: &[u8]) -> bool {
        let predicted = json(client.post(&format!("/models/{MODEL}/predict"), body));
        let id = predicted.ok().and_then(|answer| Some(answer["predictions"][0]["id"].as_str()?.to_owned()));
        let Some(id) = id else { return false };
        let outcome = json!({"id": id, "label": true}).to_string();
        match client.post("/outcomes", outcome.as_bytes()) {
            Ok((200, text)) => {
                let result: Value = serde_json::from_str(&text).unwrap_or_default();
                // An outcome is unknown if its prediction could not be stored.
                let is_joined = result["result"] == "joined";
                self.answered.extend(is_joined.then_some(id));
                is_joined
            }
            Ok((503, _)) => {
                self.rejected += 1;
                false
            }
            Ok((status, text)) => {
                self.others.push(format!("an outcome: {status}: {text}"));
                false
            }
            Err(error) => {
                self.others.push(format!("an outcome: {error}"));
                false
            }
        }
    }

    /// Returns how many acknowledged outcomes are not known any more.
    fn lost(&self, client: &Client) -> u64 {
        let mut lost = 0;
        for ids in self.answered.chunks(1000) {
            let outcomes: Vec<Value> = ids.iter().map(|id| json!({"id": id, "label": true})).collect();
            let answer =
                json(client.post("/outcomes", json!({ "outcomes": outcomes }).to_string().as_bytes()));
            let known = answer.ok().and_then(|answer| answer["duplicate"].as_u64()).unwrap_or_default();
            lost += ids.len() as u64 - known;
        }
        lost
    }
}

/// A small disk in memory, which is unmounted when this is dropped.
struct SmallDisk(TempDir);

/// A thread that fills all free space, repeatedly.
struct Filling {
    file: PathBuf,
    stops: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl SmallDisk {
    /// Mounts one; returns `None` if that is not allowed.
    fn mount() -> Result<Option<Self>, HarnessError> {
        let folder = temporary()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={DISK}"), "onnward-proof"]).arg(folder.path());
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        Ok(is_mounted.then_some(Self(folder)))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns variables with which an engine has its cache, ground truth and captures on the disk.
    fn environment(&self) -> Vec<(String, String)> {
        let on_disk = |name: &str| self.path(name).display().to_string();
        vec![
            variable("ONNWARD_CACHE__FOLDER", on_disk("cache")),
            variable("ONNWARD_OUTCOMES__FOLDER", on_disk("outcomes")),
            variable("ONNWARD_CAPTURE__PLACE", on_disk("captures")),
            // Captures must not fill the disk by themselves.
            variable("ONNWARD_CAPTURE__SAMPLE", "0.05"),
            variable("ONNWARD_CAPTURE__MAX_FILE_AGE_MS", "500"),
        ]
    }

    fn fill(&self) -> Result<Filling, HarnessError> {
        let file = self.path("filler");
        let open = || HarnessError::system("fill a disk");
        let mut filler = OpenOptions::new().create(true).append(true).open(&file).map_err(open())?;
        let stops = Arc::new(AtomicBool::new(false));
        take_all(&mut filler);
        let refill = {
            let stops = Arc::clone(&stops);
            move || {
                while !stops.load(Ordering::Relaxed) {
                    take_all(&mut filler);
                    std::thread::sleep(REFILLED_EVERY);
                }
            }
        };
        let thread = std::thread::Builder::new().name("filler".to_owned()).spawn(refill).map_err(open())?;
        Ok(Filling { file, stops, thread })
    }
}

fn take_all(filler: &mut File) {
    for size in [64 * 1024, 1024] {
        while filler.write_all(&vec![0; size]).is_ok() {}
    }
}

impl Filling {
    /// Frees all space.
    fn end(self) -> Result<(), HarnessError> {
        self.stops.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        std::fs::remove_file(&self.file).map_err(HarnessError::system("empty a disk"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(self.0.path());
    }
}

fn unmount(path: &Path) {
    // An engine that is just being killed may still have files open there.
    until(|| Command::new("umount").arg(path).output().is_ok_and(|output| output.status.success()));
}

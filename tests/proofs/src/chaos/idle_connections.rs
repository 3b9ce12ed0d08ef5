//! Thousands of connections on which one request was answered and nothing more comes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::idle_clients::IdleClients;
use super::new_connections::NewConnections;
use super::report::ScenarioReport;
use super::testbed::{Testbed, until};
use onnward_harness::HarnessError;
use onnward_harness::load::Phase;
use onnward_harness::process::{Held, raise_file_limit};
use onnward_harness::requirement::Requirement;

const BEFORE: Duration = Duration::from_secs(5);
const REQUEST: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: engine\r\n\r\n";
/// How much memory the engine may take for an idle connection, in KiB.
const MAX_KIB: f64 = 32.0;
/// What of this process's file handles is not for idle connections.
const OTHER_FILES: u64 = 500;

pub fn run(testbed: &mut Testbed) -> Result<ScenarioReport, HarnessError> {
    let place = testbed.folder()?;
    let engine = place.start(&testbed.command(&place, &[]))?;
    // The engine has been started with the limit that it gets, and may raise it itself.
    let files = raise_file_limit().unwrap_or(1024);
    let wanted = testbed.settings.idle_connections as u64;
    if files < wanted + OTHER_FILES {
        let why = format!(
            "{wanted} connections take more than the {files} open files that a process may have here"
        );
        return Ok(ScenarioReport::left_out(why));
    }
    let address = engine.address()?;
    let load = testbed.load(&engine, &place, None)?;
    load.enter(Phase::Quiet);
    std::thread::sleep(BEFORE);
    let before = Held::by(engine.id())?;
    load.enter(Phase::Disturbed);
    let new_connections = NewConnections::start(address, &testbed.batch(1))?;
    let idle = IdleClients::new()?;
    for _ in 0..wanted {
        idle.add(address, None, stay_idle);
    }
    // Where the engine has no room for all, those go that have been idle for longest, and come again at once.
    let connected = until(|| {
        idle.seen.open.load(Ordering::Relaxed) >= wanted * 99 / 100
            || idle.seen.closed.load(Ordering::Relaxed) > 0
    });
    std::thread::sleep(testbed.settings.fault);
    let held = Held::by(engine.id())?;
    let open = held.file_handles.saturating_sub(before.file_handles);
    let kib = held.resident_bytes.saturating_sub(before.resident_bytes) as f64 / 1024.0 / open.max(1) as f64;
    let new_connections = new_connections.stop()?;
    load.enter(Phase::Unmeasured);
    let mut report = ScenarioReport::default();
    report
        .figure("idle connections asked for", wanted as f64)
        .figure(
            "seconds until they were there, or there was no more room",
            connected.map_or(f64::NAN, |took| took.as_secs_f64()),
        )
        .figure("of them held by the engine", open as f64)
        .figure("idle connections that it has closed", idle.seen.closed.load(Ordering::Relaxed) as f64)
        .figure("memory for each, KiB", kib)
        .figure("clients that came meanwhile", new_connections.came as f64)
        .served(load.stop()?)
        .require(Requirement::none_of("new client that is not served", new_connections.failures.len() as u64))
        .require(Requirement::at_most("memory for each idle connection", kib, MAX_KIB, " KiB"));
    for failure in new_connections.failures {
        report.failed(failure);
    }
    Ok(report)
}

/// Has one request answered, and waits until the connection is closed.
async fn stay_idle(mut stream: TcpStream) {
    let mut answer = [0; 1024];
    if stream.write_all(REQUEST).await.is_ok() {
        while matches!(stream.read(&mut answer).await, Ok(1..)) {}
    }
}

//! Thousands of connections that are idle after one request.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::idle_clients::IdleClients;
use super::new_connections::NewConnections;
use super::report::ScenarioReport;
use super::testbed::Testbed;
use onnward_harness::HarnessError;
use onnward_harness::generator::Phase;
use onnward_harness::process::{Resources, raise_file_limit};
use onnward_harness::requirement::Requirement;
use onnward_harness::wait::until;

const BEFORE: Duration = Duration::from_secs(5);
const REQUEST: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// The most memory for an idle connection, in KiB.
const MAX_KIB: f64 = 32.0;
/// The file handles of this process that are not for idle connections.
const OTHER_FILES: u64 = 500;

pub fn run(testbed: &mut Testbed) -> Result<ScenarioReport, HarnessError> {
    let fixture = testbed.folder()?;
    let engine = fixture.start(&testbed.command(&fixture, &[]))?;
    // The engine has been started with the limit that it gets, and may raise it itself.
    let files = raise_file_limit().unwrap_or(1024);
    let wanted = testbed.settings.idle_connections as u64;
    if files < wanted + OTHER_FILES {
        let why = format!("{wanted} connections need more open files than the limit of a process, {files}");
        return Ok(ScenarioReport::left_out(why));
    }
    let address = engine.address()?;
    let load = testbed.load(&engine, &fixture, None)?;
    load.enter(Phase::Quiet);
    std::thread::sleep(BEFORE);
    let before = Resources::of(engine.id())?;
    load.enter(Phase::Disturbed);
    let new_connections = NewConnections::start(address, &testbed.batch(1))?;
    let idle = IdleClients::new()?;
    for _ in 0..wanted {
        idle.add(address, None, stay_idle);
    }
    // If the engine has no room for all, it closes the longest-idle connections, whose clients connect again
    // at once.
    let connected = until(|| {
        idle.connections.open.load(Ordering::Relaxed) >= wanted * 99 / 100
            || idle.connections.closed.load(Ordering::Relaxed) > 0
    });
    std::thread::sleep(testbed.settings.fault);
    let held = Resources::of(engine.id())?;
    let open = held.file_handles.saturating_sub(before.file_handles);
    let kib = held.resident_bytes.saturating_sub(before.resident_bytes) as f64 / 1024.0 / open.max(1) as f64;
    let new_connections = new_connections.stop()?;
    load.enter(Phase::Unmeasured);
    let mut report = ScenarioReport::default();
    report
        .figure("idle connections requested", wanted as f64)
        .figure(
            "seconds until they were open, or there was no more room",
            connected.map_or(f64::NAN, |took| took.as_secs_f64()),
        )
        .figure("of them open in the engine", open as f64)
        .figure(
            "idle connections that the engine closed",
            idle.connections.closed.load(Ordering::Relaxed) as f64,
        )
        .figure("memory for each, KiB", kib)
        .figure("new connections meanwhile", new_connections.attempts as f64)
        .served(load.stop()?)
        .require(Requirement::none_of(
            "new connection that is not served",
            new_connections.failures.len() as u64,
        ))
        .require(Requirement::at_most("memory for each idle connection", kib, MAX_KIB, " KiB"));
    for failure in new_connections.failures {
        report.failed(failure);
    }
    Ok(report)
}

/// Sends one request, and waits until the connection is closed.
async fn stay_idle(mut stream: TcpStream) {
    let mut answer = [0; 1024];
    if stream.write_all(REQUEST).await.is_ok() {
        while matches!(stream.read(&mut answer).await, Ok(1..)) {}
    }
}

//! Clients that send a byte per second, in the head or in the body of a request, and clients that never read
//! their answers.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::idle_clients::IdleClients;
use super::new_connections::NewConnections;
use super::report::ScenarioReport;
use super::testbed::{MODEL, Testbed};
use onnward_harness::HarnessError;
use onnward_harness::generator::Phase;
use onnward_harness::process::{Usage, raise_file_limit};
use onnward_harness::requirement::Requirement;

const BEFORE: Duration = Duration::from_secs(5);
const A_BYTE_EVERY: Duration = Duration::from_secs(1);
/// The Content-Length of a slow body: the default limit of the engine.
const ANNOUNCED_BYTES: usize = 8 * 1024 * 1024;
/// The rows in a request whose answer is never read, and the receive buffer of its client.
const ROWS: usize = 200;
const RECEIVE_BUFFER: u32 = 4096;
/// The most memory for a slow client, in KiB.
const MAX_KIB: f64 = 512.0;

pub fn run(testbed: &mut Testbed) -> Result<ScenarioReport, HarnessError> {
    let fixture = testbed.folder()?;
    let engine = fixture.start(&testbed.command(&fixture, &[]))?;
    raise_file_limit();
    let address = engine.address()?;
    let load = testbed.load(&engine, &fixture, None)?;
    load.enter(Phase::Quiet);
    std::thread::sleep(BEFORE);
    let before = Usage::of(engine.id())?;
    load.enter(Phase::Disturbed);
    let new_connections = NewConnections::start(address, &testbed.batch(1))?;
    let slow = IdleClients::new()?;
    let batch = testbed.batch(ROWS);
    for number in 0..testbed.settings.slow_clients {
        match number % 3 {
            0 => slow.add(address, None, |stream| a_byte_a_second(stream, head(0))),
            1 => slow.add(address, None, |stream| a_byte_a_second(stream, head(ANNOUNCED_BYTES))),
            _ => {
                let request = [head(batch.len()).as_slice(), b"\r\n", &batch].concat();
                slow.add(address, Some(RECEIVE_BUFFER), move |stream| never_reads(stream, request.clone()));
            }
        }
    }
    std::thread::sleep(testbed.settings.fault);
    let after = Usage::of(engine.id())?;
    let open = slow.connections.open.load(Ordering::Relaxed);
    let closed = slow.connections.closed.load(Ordering::Relaxed);
    let new_connections = new_connections.stop()?;
    load.enter(Phase::Unmeasured);
    drop(slow);
    let kib = (after.peak_bytes as f64 - before.resident_bytes as f64) / 1024.0;
    let kib_each = kib / testbed.settings.slow_clients.max(1) as f64;
    let mut report = ScenarioReport::default();
    report
        .figure("slow clients", testbed.settings.slow_clients as f64)
        .figure("of them connected at the end", open as f64)
        .figure("their connections that the engine has closed", closed as f64)
        .figure("new connections meanwhile", new_connections.attempts as f64)
        .figure("memory for each slow client, KiB", kib_each)
        .served(load.stop()?)
        .require(Requirement::none_of(
            "new connection that is not served",
            new_connections.failures.len() as u64,
        ))
        .require(Requirement::at_most("memory for each slow client", kib_each, MAX_KIB, " KiB"));
    for failure in new_connections.failures {
        report.failed(failure);
    }
    Ok(report)
}

/// Returns the head of a request without its last line, with a Content-Length unless that is 0.
fn head(announced: usize) -> Vec<u8> {
    let length = if announced > 0 { format!("Content-Length: {announced}\r\n") } else { String::new() };
    format!(
        "POST /models/{MODEL}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{length}"
    )
    .into_bytes()
}

/// Sends the head, its last line if a body follows, and then a byte per second until the connection is
/// closed.
async fn a_byte_a_second(mut stream: TcpStream, head: Vec<u8>) {
    let has_body = head.windows(15).any(|part| part == b"Content-Length:");
    // In a head the bytes belong to a header that does not end.
    let (start, byte): (&[u8], &[u8]) = if has_body { (b"\r\n", b" ") } else { (b"X-Slow: ", b"a") };
    let mut answer = [0; 1024];
    if stream.write_all(&[&head, start].concat()).await.is_err() {
        return;
    }
    loop {
        if stream.write_all(byte).await.is_err() {
            return;
        }
        match timeout(A_BYTE_EVERY, stream.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return,
            // An answer before the body has ended: some servers go on reading.
            Ok(Ok(_)) => sleep(A_BYTE_EVERY).await,
            Err(_) => {}
        }
    }
}

/// Sends a request every second until the connection is closed, and reads nothing.
async fn never_reads(mut stream: TcpStream, request: Vec<u8>) {
    while stream.write_all(&request).await.is_ok() {
        sleep(A_BYTE_EVERY).await;
    }
}

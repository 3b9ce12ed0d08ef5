//! The load generator: one thread, sockets without a client library, and requests whose bytes are made
//! beforehand, so that it costs less than any server that it measures.
//!
//! Two functions use it. [`run`] measures throughput and latency in windows of time. [`CheckedLoad`] compares
//! each answer with what the model's trainer computes.
//!
//! In an open loop a latency counts from the time at which its request should have begun. A server that
//! stalls cannot hide the stall by delaying the requests that would have noticed (coordinated omission; Gil
//! Tene, How NOT to Measure Latency, 2015).

mod checked;
mod connection;
mod driver;
mod response;
mod schedule;
mod windows;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::error::HarnessError;
use driver::Driver;
use windows::Windows;

pub use checked::{CONNECTIONS, CheckedFigures, CheckedLoad, CheckedPlan, Phase};
pub use response::{Answered, ResponseReader};
pub use schedule::{Arrivals, Schedule};
pub use windows::{AGREEING, Latencies, Statuses, WindowFigures};

/// The requests of a measurement, their destination, times and duration.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// The server.
    pub address: SocketAddr,
    /// Whole requests, sent in turn; see [`post`].
    pub requests: Vec<Vec<u8>>,
    /// The start times of requests.
    pub schedule: Schedule,
    /// The duration of the warm-up before the measurement.
    pub warm_up: Duration,
    /// The length of a window. Three make a run.
    pub window: Duration,
    /// The number of windows after which a run ends even if no three in a row agree.
    pub max_windows: usize,
}

/// Returns the bytes of an HTTP/1.1 request that posts JSON and keeps its connection.
///
/// ```
/// let request = onnward_harness::generator::post("127.0.0.1:8000", "/predict", b"{}");
/// assert!(request.starts_with(b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"));
/// assert!(request.ends_with(b"Content-Length: 2\r\n\r\n{}"));
/// ```
pub fn post(host: &str, path: &str, body: &[u8]) -> Vec<u8> {
    post_with(host, path, &[], body)
}

/// Returns the bytes of a request like [`post`]'s, with more headers.
pub fn post_with(host: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Puts load on a server and measures it. `server_cpu` returns the processor time that the server has used;
/// it is called at the end of each window.
///
/// ```no_run
/// use std::time::Duration;
/// use onnward_harness::generator::{RunPlan, Schedule, post, run};
///
/// let plan = RunPlan {
///     address: "127.0.0.1:8000".parse()?,
///     requests: vec![post("127.0.0.1:8000", "/predict", br#"{"tenure": 1}"#)],
///     schedule: Schedule::Closed { connections: 64 },
///     warm_up: Duration::from_secs(1),
///     window: Duration::from_secs(1),
///     max_windows: 6,
/// };
/// let figures = run(&plan, || Duration::ZERO)?;
/// println!("{} requests per second", figures.requests_per_second);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`HarnessError::System`] if the server cannot be reached or does not speak HTTP/1.1 with `Content-Length`.
pub fn run(plan: &RunPlan, mut server_cpu: impl FnMut() -> Duration) -> Result<WindowFigures, HarnessError> {
    let mut windows = Windows::new(Instant::now())?;
    let mut driver = Driver::open(plan.address, &plan.requests, plan.schedule)?;
    let mut end = Instant::now() + plan.warm_up;
    let mut send_until = |end: Instant, windows: &mut Windows| {
        driver.send_until(end, &mut |answer| windows.record(answer.status(), answer.latency, answer.at))
    };
    send_until(end, &mut windows)?;
    windows.begin(server_cpu())?;
    for count in 1..=plan.max_windows.max(AGREEING) {
        end += plan.window;
        send_until(end, &mut windows)?;
        let is_stable = windows.next(server_cpu())?;
        if is_stable && count >= AGREEING {
            break;
        }
    }
    // Leaving out the answers to an open loop's last requests would hide how long they took.
    let counts_late = plan.schedule.is_open();
    driver.drain(&mut |answer| {
        if counts_late {
            windows.record_late(answer.status(), answer.latency);
        }
    })?;
    windows.figures()
}

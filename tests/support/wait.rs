//! The one way in which tests wait: for a condition, with a deadline.

use std::time::{Duration, Instant};

/// The deadline. A slow machine needs most of it; a condition that never holds fails the test.
const DEADLINE: Duration = Duration::from_secs(60);
/// The pause between two attempts.
const INTERVAL: Duration = Duration::from_millis(20);

/// Calls `attempt` until it returns a value, and returns that value. Panics after the deadline with `what` and the last error.
#[track_caller]
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(last) => assert!(start.elapsed() < DEADLINE, "not in time: {what}; last: {last}"),
        }
        std::thread::sleep(INTERVAL);
    }
}

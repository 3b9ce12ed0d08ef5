//! The one way in which tests wait: for a condition, with a deadline.

use onnward_harness::wait::until_ok;

/// Calls `attempt` until it succeeds, and returns its value. Panics after the deadline with `what` and the
/// last failure.
#[track_caller]
pub fn eventually<T>(what: &str, attempt: impl FnMut() -> Result<T, String>) -> T {
    until_ok(attempt).unwrap_or_else(|last| panic!("not in time: {what}; last: {last}"))
}

//! Waiting for a condition, with a deadline. Nothing here or in the tests waits in another way.

use std::time::{Duration, Instant};

/// The deadline of what should happen by itself. A slow machine needs most of it.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The pause between two attempts.
const INTERVAL: Duration = Duration::from_millis(20);

/// Calls `attempt` until it returns a value, with a pause of `interval` between attempts. Returns that value,
/// or `None` after `timeout`.
///
/// ```
/// use std::time::Duration;
/// use onnward_harness::wait::poll;
///
/// let mut attempts = 0;
/// let third = poll(Duration::from_secs(10), Duration::from_millis(1), || {
///     attempts += 1;
///     (attempts == 3).then_some(attempts)
/// });
/// assert_eq!(third, Some(3));
/// ```
pub fn poll<T>(timeout: Duration, interval: Duration, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return Some(value);
        }
        if start.elapsed() >= timeout {
            return None;
        }
        std::thread::sleep(interval);
    }
}

/// Waits until a condition holds. Returns how long that took, or `None` after [`DEADLINE`].
pub fn until(mut condition: impl FnMut() -> bool) -> Option<Duration> {
    let start = Instant::now();
    poll(DEADLINE, INTERVAL, || condition().then(|| start.elapsed()))
}

/// Calls `attempt` until it succeeds.
///
/// # Errors
/// The last failure, after [`DEADLINE`].
pub fn until_ok<T, E>(mut attempt: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let mut last = None;
    let succeeded = poll(DEADLINE, INTERVAL, || attempt().map_err(|error| last = Some(error)).ok());
    match (succeeded, last) {
        (Some(value), _) => Ok(value),
        (None, Some(error)) => Err(error),
        // Without a failure there was a success.
        (None, None) => attempt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn a_condition_that_never_holds_ends_the_wait_after_at_least_one_attempt() {
        let mut attempts = 0;
        let found = poll(Duration::ZERO, SHORT, || -> Option<()> {
            attempts += 1;
            None
        });
        assert_eq!((found, attempts), (None, 1));
    }

    #[test]
    fn the_first_success_ends_the_wait() {
        let mut left = 3;
        let mut fail_thrice = || {
            left -= 1;
            if left == 0 { Ok(left) } else { Err("not yet") }
        };
        assert_eq!(until_ok(&mut fail_thrice), Ok(0));
        assert!(until(|| true).is_some());
    }
}

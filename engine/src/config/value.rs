//! Shared validation. Each function looks up the valid range of its key in the table of [`keys`].

use std::time::Duration;

use onnward_telemetry::share::Share;

use super::error::Invalid;
use super::keys::{self, Range};

/// Validates a whole number.
pub(super) fn within(key: &'static str, value: u64) -> Result<u64, Invalid> {
    match keys::find(key).and_then(|key| key.range) {
        Some(range @ Range::Whole { min, max }) if !(min..=max).contains(&value) => {
            Err(Invalid { key, problem: format!("is {value}, but must be {range}") })
        }
        _ => Ok(value),
    }
}

/// Validates a count.
pub(super) fn count(key: &'static str, value: u64) -> Result<usize, Invalid> {
    // Every range fits a pointer's width.
    within(key, value).map(|value| usize::try_from(value).unwrap_or(usize::MAX))
}

/// Validates a duration in milliseconds.
pub(super) fn duration(key: &'static str, value: u64) -> Result<Duration, Invalid> {
    within(key, value).map(Duration::from_millis)
}

/// Validates a number that may have a fraction.
pub(super) fn number(key: &'static str, value: f64) -> Result<f64, Invalid> {
    match keys::find(key).and_then(|key| key.range) {
        Some(range @ Range::Number { min, max }) if !(min..=max).contains(&value) => {
            Err(Invalid { key, problem: format!("is {value}, but must be {range}") })
        }
        _ => Ok(value),
    }
}

/// Validates a share.
pub(super) fn share(key: &'static str, value: f64) -> Result<Share, Invalid> {
    number(key, value).map(Share::of)
}

//! The checks that keys share: each names its key and what is valid.

use std::ops::RangeInclusive;
use std::time::Duration;

use onnward_telemetry::share::Share;

use super::error::Invalid;

pub(super) const TEN_MINUTES_MS: u64 = 600_000;
pub(super) const DAY_MS: u64 = 86_400_000;

pub(super) fn within(key: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<u64, Invalid> {
    if range.contains(&value) {
        return Ok(value);
    }
    let problem = format!("is {value}, but must be a whole number from {} to {}", range.start(), range.end());
    Err(Invalid { key, problem })
}

pub(super) fn count(key: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<usize, Invalid> {
    // Every range fits 32 bits.
    within(key, value, range).map(|value| usize::try_from(value).unwrap_or(usize::MAX))
}

pub(super) fn duration(
    key: &'static str,
    value: u64,
    range: RangeInclusive<u64>,
) -> Result<Duration, Invalid> {
    within(key, value, range).map(Duration::from_millis)
}

pub(super) fn number(key: &'static str, value: f64, from: f64, to: f64) -> Result<f64, Invalid> {
    if (from..=to).contains(&value) {
        return Ok(value);
    }
    Err(Invalid { key, problem: format!("is {value}, but must be a number from {from} to {to}") })
}

/// Returns the share that a key asks for.
pub(super) fn share(key: &'static str, value: f64) -> Result<Share, Invalid> {
    if (0.0..=1.0).contains(&value) {
        return Ok(Share::of(value));
    }
    let problem = format!("is {value}, but must be a number from 0 to 1, such as 0.01");
    Err(Invalid { key, problem })
}

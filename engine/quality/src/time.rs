//! The time as the engine reports and stores it.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};

/// Returns the time in milliseconds since 1970; 0 where the clock is before that.
pub fn millis_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Formats a time in milliseconds since 1970 by RFC 3339, in UTC.
///
/// ```
/// assert_eq!(onnward_quality::time::rfc3339(1_000_000_000_500), "2001-09-09T01:46:40.500Z");
/// ```
pub fn rfc3339(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(DateTime::from_timestamp_millis);
    to_rfc3339(time.unwrap_or_default())
}

/// Formats a time by RFC 3339, in UTC and with milliseconds.
pub fn to_rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

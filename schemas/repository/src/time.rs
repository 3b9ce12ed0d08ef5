//! Times as they are written: RFC 3339, in UTC.

use chrono::{DateTime, SecondsFormat, Utc};

/// Returns the time, to the second.
pub(crate) fn now_in_seconds() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Returns the time, to the millisecond.
pub(crate) fn now_in_millis() -> String {
    in_millis(Utc::now())
}

/// Writes a time, to the millisecond.
pub(crate) fn in_millis(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

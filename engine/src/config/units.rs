//! Times and sizes with units, such as `"5s"` and `"512MiB"`, beside plain numbers in a key's own unit.

use bytesize::ByteSize;
use figment::value::Value;

/// The unit of a key's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Days.
    Days,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Returns the unit of a key, which its name tells.
    pub fn of(key: &str) -> Option<Self> {
        let name = key.rsplit('.').next().unwrap_or(key);
        let ends = |suffix: &str| name.ends_with(suffix);
        match name {
            "memory" | "isolated_memory" => Some(Self::Bytes),
            _ if ends("_bytes") => Some(Self::Bytes),
            _ if ends("_ms") => Some(Self::Milliseconds),
            _ if ends("_s") || ends("_seconds") => Some(Self::Seconds),
            _ if ends("_days") => Some(Self::Days),
            _ => None,
        }
    }

    /// Returns an example of a value with a unit.
    pub fn example(self) -> &'static str {
        match self {
            Self::Milliseconds => "500ms",
            Self::Seconds => "30s",
            Self::Days => "90days",
            Self::Bytes => "64MiB",
        }
    }

    /// Parses a text with a unit. `None` if it is none, or not a whole number of this unit.
    fn parse(self, text: &str) -> Option<u64> {
        let text = text.trim();
        if !text.ends_with(|last: char| last.is_ascii_alphabetic()) {
            return None;
        }
        let nanoseconds = match self {
            Self::Bytes => return Some(text.parse::<ByteSize>().ok()?.as_u64()),
            Self::Milliseconds => 1_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Days => 86_400 * 1_000_000_000,
        };
        let time = humantime::parse_duration(text).ok()?.as_nanos();
        let is_whole = time.is_multiple_of(nanoseconds);
        u64::try_from(time / nanoseconds).ok().filter(|_| is_whole)
    }
}

/// Replaces a text with a unit by a number in the unit of its key. Any other value stays.
pub fn in_unit_of_key(key: &str, value: Value) -> Value {
    let number = match &value {
        Value::String(_, text) => Unit::of(key).and_then(|unit| unit.parse(text)),
        _ => None,
    };
    number.map_or(value, Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_unit_is_a_number_in_the_unit_of_its_key() {
        for (key, text, number) in [
            ("watch.interval_ms", "5s", Some(5_000)),
            ("watch.interval_ms", "1m 30s", Some(90_000)),
            ("watch.interval_ms", "1500us", None),
            ("watch.interval_ms", "5 parsecs", None),
            ("watch.interval_ms", "5", None),
            ("auth.jwt.refresh_s", "5min", Some(300)),
            ("drift.window_seconds", "1day", Some(86_400)),
            ("drift.window_seconds", "1500ms", None),
            ("outcomes.retention_days", "12weeks", Some(84)),
            ("outcomes.retention_days", "12h", None),
            ("http.max_body_bytes", "8MiB", Some(8 << 20)),
            ("http.max_body_bytes", "8 MB", Some(8_000_000)),
            ("models.memory", "1.5GiB", Some(3 << 29)),
            ("models.memory", "lots", None),
        ] {
            assert_eq!(Unit::of(key).unwrap().parse(text), number, "{key} = {text}");
        }
        assert_eq!(Unit::of("default_model"), None);
    }
}

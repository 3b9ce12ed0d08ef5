//! Which requests leave a line in the access log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use onnward_telemetry::share::Sampler;

use crate::settings::AccessLogConfig;

/// Decides which requests leave a line: failed ones, slow ones, and a sample of the others. A busy engine leaves
/// out lines beyond a number a second, except those of its own failures and of slow requests, and counts them.
#[derive(Debug)]
pub struct AccessLines {
    sampler: Sampler,
    /// Nanoseconds.
    slow: AtomicU64,
    max_per_second: AtomicU64,
    start: Instant,
    /// The second since `start` in the upper half, and the number of lines in it in the lower half.
    window: AtomicU64,
    left_out: AtomicU64,
}

/// A request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine {
    pub status: u16,
    pub took: Duration,
    pub ended: Instant,
}

impl AccessLines {
    pub fn new(config: AccessLogConfig) -> Self {
        let lines = Self {
            sampler: Sampler::new(config.sample),
            slow: AtomicU64::new(0),
            max_per_second: AtomicU64::new(0),
            start: Instant::now(),
            window: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        };
        lines.apply(config);
        lines
    }

    /// Follows another configuration from now on.
    pub fn apply(&self, config: AccessLogConfig) {
        self.sampler.set_share(config.sample);
        self.slow.store(nanoseconds(config.slow), Ordering::Relaxed);
        self.max_per_second.store(config.max_per_second, Ordering::Relaxed);
    }

    /// Returns whether a request leaves a line, and how many were left out since the last line. Successful
    /// requests that are `is_dull` leave none unless they are slow.
    pub fn next(&self, line: &RequestLine, is_dull: impl FnOnce() -> bool) -> Option<u64> {
        let RequestLine { status, took, ended } = *line;
        let is_slow = nanoseconds(took) >= self.slow.load(Ordering::Relaxed);
        if status < 500 && !is_slow {
            let is_failed = status >= 400;
            if !is_failed && (is_dull() || !self.sampler.samples()) {
                return None;
            }
            if !self.has_room(ended) {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        let has_left_out = self.left_out.load(Ordering::Relaxed) > 0;
        Some(if has_left_out { self.left_out.swap(0, Ordering::Relaxed) } else { 0 })
    }

    /// Counts a line in its second. Returns whether there is room for it.
    fn has_room(&self, ended: Instant) -> bool {
        let max = self.max_per_second.load(Ordering::Relaxed);
        let second = ended.saturating_duration_since(self.start).as_secs();
        let count = |window: u64| {
            let lines = if window >> 32 == second { window & u64::from(u32::MAX) } else { 0 };
            (max == 0 || lines < max).then_some((second << 32) | (lines + 1))
        };
        self.window.try_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use onnward_telemetry::share::Share;

    use super::*;

    fn config(sample: f64, max_per_second: u64) -> AccessLogConfig {
        let (sample, slow) = (Share::of(sample), Duration::from_secs(1));
        AccessLogConfig { sample, slow, max_per_second, values: false }
    }

    fn request(lines: &AccessLines, status: u16, took_ms: u64, second: u64) -> Option<u64> {
        let (took, ended) = (Duration::from_millis(took_ms), lines.start + Duration::from_secs(second));
        lines.next(&RequestLine { status, took, ended }, || false)
    }

    #[test]
    fn a_quiet_second_keeps_all_lines_and_a_busy_one_as_many_as_allowed() {
        let lines = AccessLines::new(config(1.0, 3));
        for second in 0..4 {
            let kept: Vec<_> = (0..3 + second).filter_map(|_| request(&lines, 200, 1, second)).collect();
            // The first line of a second tells what the second before has left out.
            assert_eq!(kept, [second.saturating_sub(1), 0, 0], "second {second}");
        }
        // What the engine did wrong, and what took long, is always told.
        assert_eq!([request(&lines, 500, 1, 3), request(&lines, 200, 2000, 3)], [Some(3), Some(0)]);
        assert_eq!(request(&lines, 404, 1, 3), None);
    }

    #[test]
    fn refused_requests_are_not_sampled_and_a_limit_of_none_leaves_nothing_out() {
        let lines = AccessLines::new(config(0.0, 0));
        assert_eq!(request(&lines, 200, 1, 0), None);
        for _ in 0..1000 {
            assert_eq!(request(&lines, 422, 1, 0), Some(0));
        }
        lines.apply(config(1.0, 0));
        assert_eq!(request(&lines, 200, 1, 0), Some(0));
        let dull = RequestLine { status: 200, took: Duration::ZERO, ended: lines.start };
        assert_eq!(lines.next(&dull, || true), None);
    }
}

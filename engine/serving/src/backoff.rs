//! The pause between tries of something that keeps failing.

use std::time::Duration;

/// A pause that doubles from one failure to the next, up to a limit.
///
/// ```
/// use std::time::Duration;
///
/// use onnward_serving::backoff::Backoff;
///
/// let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(5) };
/// let pauses: Vec<u64> = (0..5).map(|earlier| backoff.pause(earlier).as_secs()).collect();
/// assert_eq!(pauses, [1, 2, 4, 5, 5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Backoff {
    /// Returns the pause after a failure that `earlier` others came before without a success between them.
    pub fn pause(self, earlier: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(earlier)).min(self.longest)
    }

    /// Returns 50 to 100 % of [`Backoff::pause`], so that many engines do not retry at the same moment.
    pub fn pause_with_jitter(self, earlier: u32) -> Duration {
        self.pause(earlier).mul_f64(rand::random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_never_shrinks_or_overflows_however_often_something_fails() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(3600) };
        let pauses: Vec<Duration> =
            [0, 1, 2, 11, 12, 31, 32, 1000, u32::MAX].map(|n| backoff.pause(n)).into();
        assert!(pauses.is_sorted() && pauses.iter().all(|pause| *pause <= backoff.longest), "{pauses:?}");
        assert!((0..100).all(|_| backoff.pause_with_jitter(3) <= Duration::from_secs(8)));
        assert!((0..100).all(|_| backoff.pause_with_jitter(3) >= Duration::from_secs(4)));
    }
}

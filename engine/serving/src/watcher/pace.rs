use std::time::Duration;

use crate::watcher::WatchConfig;

/// How long to wait between two looks. Jitter keeps many engines from asking a store all at once.
#[derive(Debug)]
pub struct Pace {
    config: WatchConfig,
    failures: u32,
}

impl Pace {
    pub fn new(config: WatchConfig) -> Self {
        Self { config, failures: 0 }
    }

    /// About the interval: 80 to 120 % of it.
    pub fn after_success(&mut self) -> Duration {
        self.failures = 0;
        self.config.interval.mul_f64(rand::random_range(0.8..1.2))
    }

    /// Twice as long after each failure, up to the longest backoff; 50 to 100 % of that.
    pub fn after_failure(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        backoff(self.config, self.failures).mul_f64(rand::random_range(0.5..1.0))
    }
}

/// The longest wait after so many failures in a row.
pub fn backoff(config: WatchConfig, failures: u32) -> Duration {
    let doubled = config.interval.saturating_mul(2_u32.saturating_pow(failures));
    doubled.min(config.max_backoff.max(config.interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: WatchConfig =
        WatchConfig { interval: Duration::from_secs(5), max_backoff: Duration::from_secs(60) };

    #[test]
    fn it_waits_longer_after_each_failure_and_as_before_after_a_success() {
        let mut pace = Pace::new(CONFIG);
        let within = |pause: Duration, least: f64, most: f64| {
            assert!((least..=most).contains(&pause.as_secs_f64()), "{pause:?}");
        };
        within(pace.after_success(), 4.0, 6.0);
        within(pace.after_failure(), 5.0, 10.0);
        within(pace.after_failure(), 10.0, 20.0);
        for _ in 0..100 {
            within(pace.after_failure(), 20.0, 60.0);
        }
        within(pace.after_success(), 4.0, 6.0);
    }

    #[test]
    fn engines_that_start_together_do_not_stay_together() {
        let pauses: Vec<Duration> = (0..10).map(|_| Pace::new(CONFIG).after_success()).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}

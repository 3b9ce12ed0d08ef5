use std::time::Duration;

use crate::watcher::WatchConfig;

/// The pause between two polls. Jitter keeps many engines from polling a store at the same moment.
#[derive(Debug, Default)]
pub struct PollInterval {
    failures: u32,
}

impl PollInterval {
    /// Returns the configured interval with jitter: 80 to 120 %.
    pub fn after_success(&mut self, config: WatchConfig) -> Duration {
        self.failures = 0;
        config.interval.mul_f64(rand::random_range(0.8..1.2))
    }

    /// Returns the backoff after another failure: twice the interval, doubled each time, with jitter.
    pub fn after_failure(&mut self, config: WatchConfig) -> Duration {
        self.failures = self.failures.saturating_add(1);
        config.backoff().pause_with_jitter(self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: WatchConfig =
        WatchConfig { interval: Duration::from_secs(5), max_backoff: Duration::from_secs(60) };

    #[test]
    fn it_waits_longer_after_each_failure_and_as_before_after_a_success() {
        let mut interval = PollInterval::default();
        let within = |pause: Duration, least: f64, most: f64| {
            assert!((least..=most).contains(&pause.as_secs_f64()), "{pause:?}");
        };
        within(interval.after_success(CONFIG), 4.0, 6.0);
        within(interval.after_failure(CONFIG), 5.0, 10.0);
        within(interval.after_failure(CONFIG), 10.0, 20.0);
        for _ in 0..100 {
            within(interval.after_failure(CONFIG), 20.0, 60.0);
        }
        within(interval.after_success(CONFIG), 4.0, 6.0);
    }

    #[test]
    fn engines_that_start_together_do_not_stay_together() {
        let pauses: Vec<Duration> = (0..10).map(|_| PollInterval::default().after_success(CONFIG)).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}

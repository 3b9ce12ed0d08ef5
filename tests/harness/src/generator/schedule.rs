//! When requests begin.

use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1};

/// The seed of the times at which requests of a Poisson process begin: two runs send at the same times.
const SEED: u64 = 42;

/// When requests begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// Closed loop: each of `connections` sends its next request when the last one is answered.
    Closed {
        /// How many requests are on their way at a time.
        connections: usize,
    },
    /// Open loop: requests begin at a rate, whatever becomes of those before.
    Open {
        /// Requests a second.
        rate: f64,
        /// How far apart they begin.
        arrivals: Arrivals,
        /// How many may be on their way at a time. Others wait in the generator, and their latencies count from the
        /// time at which they should have begun.
        connections: usize,
    },
}

/// How far apart requests begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// All alike.
    Constant,
    /// As independent clients would: exponentially distributed.
    Poisson,
}

impl Schedule {
    /// How many connections are held.
    pub fn connections(self) -> usize {
        match self {
            Self::Closed { connections } | Self::Open { connections, .. } => connections,
        }
    }

    /// Whether requests begin without regard to those before.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// The times between requests.
#[derive(Debug)]
pub struct Intervals {
    mean: f64,
    random: Option<ChaCha8Rng>,
}

impl Intervals {
    /// Between requests that begin at `rate` a second.
    pub fn new(rate: f64, arrivals: Arrivals) -> Self {
        let random = (arrivals == Arrivals::Poisson).then(|| ChaCha8Rng::seed_from_u64(SEED));
        Self { mean: 1.0 / rate, random }
    }

    /// The next one.
    pub fn next(&mut self) -> Duration {
        let factor: f64 = self.random.as_mut().map_or(1.0, |random| Exp1.sample(random));
        Duration::from_secs_f64(self.mean * factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intervals(arrivals: Arrivals) -> Vec<f64> {
        let mut intervals = Intervals::new(1000.0, arrivals);
        (0..10_000).map(|_| intervals.next().as_secs_f64()).collect()
    }

    #[test]
    fn both_processes_keep_the_rate_and_only_one_varies() {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let constant = intervals(Arrivals::Constant);
        assert!(constant.iter().all(|interval| (interval - 1e-3).abs() < 1e-9));

        let poisson = intervals(Arrivals::Poisson);
        assert!((mean(&poisson) - 1e-3).abs() < 5e-5);
        // An exponential distribution's standard deviation is its mean.
        let squares: Vec<f64> = poisson.iter().map(|interval| (interval - 1e-3).powi(2)).collect();
        assert!((mean(&squares).sqrt() - 1e-3).abs() < 5e-5);
    }
}

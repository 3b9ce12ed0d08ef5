//! The start times of requests.

use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Exp1};

/// The seed of a Poisson process, so that two runs send at the same times.
const SEED: u64 = 42;

/// The start times of requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// Closed loop: each of `connections` sends its next request when the last one is answered.
    Closed {
        /// The number of requests in flight.
        connections: usize,
    },
    /// Open loop: requests begin at a rate, whether or not earlier ones are answered.
    Open {
        /// Requests per second.
        rate: f64,
        /// The times between requests.
        arrivals: Arrivals,
        /// The most requests in flight. Others wait in the generator, and their latencies count from when
        /// they should have begun.
        connections: usize,
    },
}

/// The times between requests of an open loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// All equal.
    Constant,
    /// Exponentially distributed, as with independent clients.
    Poisson,
}

impl Schedule {
    /// Returns the number of connections.
    pub fn connections(self) -> usize {
        match self {
            Self::Closed { connections } | Self::Open { connections, .. } => connections,
        }
    }

    /// Returns whether this is an open loop.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }
}

/// An iterator over the times between requests.
#[derive(Debug)]
pub struct Intervals {
    mean: f64,
    random: Option<ChaCha8Rng>,
}

impl Intervals {
    /// Starts the intervals of `rate` requests per second.
    pub fn new(rate: f64, arrivals: Arrivals) -> Self {
        let random = (arrivals == Arrivals::Poisson).then(|| ChaCha8Rng::seed_from_u64(SEED));
        Self { mean: 1.0 / rate, random }
    }

    /// Returns the next interval.
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

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

/// Samples rows independently, each with the same probability as every other row of its second.
///
/// The probability is the configured share, or less where more rows arrive than may be sampled. Then it is
/// the one that would have fitted the second before. It depends on the number of rows and never on their
/// values, so the rows of a second are a simple random sample of it. The limit has two effects: a second with
/// many rows counts for as much as one that just reaches the limit. When the rate jumps, the last rows of the
/// first second are left out.
///
/// The rows in between are not visited. Their number is drawn from the geometric distribution: the number of
/// failures before the first success.
#[derive(Debug)]
pub struct Sampler {
    share: f64,
    max_rows_per_second: f64,
    random: ChaCha8Rng,
    second: CurrentSecond,
    /// The probability of each row in this second.
    probability: f64,
    /// The number of rows to skip before the next is taken.
    rows_to_skip: u64,
}

/// The rows since the probability was set.
#[derive(Debug)]
struct CurrentSecond {
    start: Instant,
    rows_seen: u64,
    taken: u64,
}

/// Rows to skip, and rows to take after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The number of rows to skip.
    pub skipped: usize,
    /// The number of rows to take after them.
    pub taken: usize,
}

const SECOND: Duration = Duration::from_secs(1);

impl Sampler {
    /// Creates a sampler for this share of the rows, with a maximum per second.
    pub fn new(share: f64, max_rows_per_second: usize, now: Instant) -> Self {
        let mut sampler = Self {
            share,
            max_rows_per_second: max_rows_per_second as f64,
            // Which rows are taken need not differ from start to start.
            random: ChaCha8Rng::seed_from_u64(0),
            second: CurrentSecond { start: now, rows_seen: 0, taken: 0 },
            probability: share,
            rows_to_skip: 0,
        };
        sampler.draw_skip();
        sampler
    }

    /// Advances to the current time. Call it before [`Sampler::next`].
    pub fn tick(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.second.start);
        if passed < SECOND {
            return;
        }
        let rate = self.second.rows_seen as f64 / passed.as_secs_f64();
        self.probability = self.share.min(self.max_rows_per_second / rate.max(f64::MIN_POSITIVE));
        self.second = CurrentSecond { start: now, rows_seen: 0, taken: 0 };
        // The geometric distribution has no memory: drawing again favours no row.
        self.draw_skip();
    }

    /// Returns how many of the next `rows` to skip and then to take. The sum is at least 1 if `rows` is.
    pub fn next(&mut self, rows: usize) -> Run {
        let room = self.max_rows_per_second - self.second.taken as f64;
        let run = if room < 1.0 {
            Run { skipped: rows, taken: 0 }
        } else if self.probability >= 1.0 {
            Run { skipped: 0, taken: rows.min(room as usize) }
        } else if self.rows_to_skip >= rows as u64 {
            self.rows_to_skip -= rows as u64;
            Run { skipped: rows, taken: 0 }
        } else {
            let skipped = self.rows_to_skip as usize;
            self.draw_skip();
            Run { skipped, taken: 1 }
        };
        self.second.rows_seen += (run.skipped + run.taken) as u64;
        self.second.taken += run.taken as u64;
        run
    }

    fn draw_skip(&mut self) {
        if self.probability < 1.0 {
            // From above 0 up to 1, so that the logarithm is finite; a number too large for the type becomes
            // its largest.
            let drawn: f64 = 1.0 - self.random.random_range(0.0..1.0);
            self.rows_to_skip = (drawn.ln() / (-self.probability).ln_1p()) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends batches of `batch` rows, `rows` in all, and returns the rows that were taken.
    fn send(sampler: &mut Sampler, now: Instant, rows: usize, batch: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        let mut at = 0;
        while at < rows {
            sampler.tick(now);
            let end = rows.min(at + batch);
            while at < end {
                let run = sampler.next(end - at);
                assert!(run.skipped + run.taken > 0 && at + run.skipped + run.taken <= end);
                taken.extend(at + run.skipped..at + run.skipped + run.taken);
                at += run.skipped + run.taken;
            }
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_share_every_row_is_taken() {
        let now = Instant::now();
        let mut sampler = Sampler::new(1.0, 1000, now);
        assert_eq!(send(&mut sampler, now, 700, 7), (0..700).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_takes_each_row_with_the_same_chance_whatever_the_batches() {
        for batch in [1, 3, 1000] {
            let now = Instant::now();
            let mut sampler = Sampler::new(0.1, 1_000_000, now);
            let taken = send(&mut sampler, now, 100_000, batch);
            // Four standard deviations of the binomial distribution: sqrt(n p (1 - p)) = 95 and 42.
            assert!(taken.len().abs_diff(10_000) < 380, "{}", taken.len());
            for place in 0..5 {
                let there = taken.iter().filter(|row| *row % 5 == place).count();
                assert!(there.abs_diff(2000) < 170, "place {place} of 5: {there}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_than_the_bound_and_a_steady_rate_is_sampled_over_all_of_it() {
        let start = Instant::now();
        let mut sampler = Sampler::new(1.0, 1000, start);
        assert_eq!(send(&mut sampler, start, 20_000, 50).len(), 1000, "the first second");
        let taken = send(&mut sampler, start + SECOND, 20_000, 50);
        assert!(taken.len() <= 1000 && taken.len() > 850, "{}", taken.len());
        let late = taken.iter().filter(|row| **row >= 10_000).count();
        assert!(late.abs_diff(500) < 120, "{late} of the second half");
        // After an hour without rows, all are taken again.
        sampler.tick(start + SECOND * 3600);
        assert_eq!(send(&mut sampler, start + SECOND * 3600, 900, 50).len(), 900);
    }
}

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

/// Chooses the rows that are looked at: each by itself, with the same chance as every other row of its second.
///
/// The chance is the configured share, or less where more rows come than may be looked at: then it is what the second
/// before would have allowed. It depends on how many rows come and never on what they hold, so that the rows of a second
/// are a simple random sample of it. Two things are to be known of the bound: a second with many rows counts for as much
/// as one that just reaches the bound, and when the rate leaps up, the bound is kept in the first second by leaving out
/// the last rows of it.
///
/// The rows in between are not visited: how many they are is drawn from the geometric distribution, which is how many fail
/// before one succeeds.
#[derive(Debug)]
pub struct Sampler {
    share: f64,
    max_rows_per_second: f64,
    random: ChaCha8Rng,
    second: Second,
    /// The chance of each row in this second.
    chance: f64,
    /// How many rows are passed over before the next is taken.
    gap: u64,
}

/// What has come since the chance was set.
#[derive(Debug)]
struct Second {
    start: Instant,
    came: u64,
    taken: u64,
}

/// Rows that are passed over, and rows after them that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// How many are passed over.
    pub skipped: usize,
    /// How many of those that come next are taken.
    pub taken: usize,
}

const SECOND: Duration = Duration::from_secs(1);

impl Sampler {
    /// Looks at this share of the rows, and at no more than so many a second.
    pub fn new(share: f64, max_rows_per_second: usize, now: Instant) -> Self {
        let mut sampler = Self {
            share,
            max_rows_per_second: max_rows_per_second as f64,
            // Which rows are taken need not differ from start to start.
            random: ChaCha8Rng::seed_from_u64(0),
            second: Second { start: now, came: 0, taken: 0 },
            chance: share,
            gap: 0,
        };
        sampler.draw_gap();
        sampler
    }

    /// Must be called before [`Sampler::next`] with the time that it is.
    pub fn tick(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.second.start);
        if passed < SECOND {
            return;
        }
        let rate = self.second.came as f64 / passed.as_secs_f64();
        self.chance = self.share.min(self.max_rows_per_second / rate.max(f64::MIN_POSITIVE));
        self.second = Second { start: now, came: 0, taken: 0 };
        // The geometric distribution has no memory: drawing again favours no row.
        self.draw_gap();
    }

    /// What happens to the next rows, of which there are `rows`. Together both parts are at least 1 where `rows` is.
    pub fn next(&mut self, rows: usize) -> Run {
        let room = self.max_rows_per_second - self.second.taken as f64;
        let run = if room < 1.0 {
            Run { skipped: rows, taken: 0 }
        } else if self.chance >= 1.0 {
            Run { skipped: 0, taken: rows.min(room as usize) }
        } else if self.gap >= rows as u64 {
            self.gap -= rows as u64;
            Run { skipped: rows, taken: 0 }
        } else {
            let skipped = self.gap as usize;
            self.draw_gap();
            Run { skipped, taken: 1 }
        };
        self.second.came += (run.skipped + run.taken) as u64;
        self.second.taken += run.taken as u64;
        run
    }

    fn draw_gap(&mut self) {
        if self.chance < 1.0 {
            // From above 0 up to 1, so that the logarithm is finite; a number too large for the type becomes its largest.
            let drawn: f64 = 1.0 - self.random.random_range(0.0..1.0);
            self.gap = (drawn.ln() / (-self.chance).ln_1p()) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends batches of `batch` rows, so many in all, and gives which rows were taken.
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

//! Measures what a batch costs on the session that serves, when it is warmed up. Whether larger batches are
//! efficient depends on the model, the runtime and the machine, which a configuration cannot cover.

use std::fmt;
use std::time::{Duration, Instant};

use ndarray::ArrayView2;
use onnward_schemas::{Kept, Rows};
use serde::Serialize;

use crate::backend::{BackendError, Batch, Session, score_every_row};

/// The batch sizes that are measured, in rows.
pub const MEASURED_ROWS: [usize; 4] = [1, 8, 32, 128];

/// The batch size that is chosen if the largest measured batch is still more efficient. By then the overhead
/// of a call for each row is small, and a larger batch would only add latency.
pub const LARGEST_BATCH_ROWS: usize = 1024;

/// The share of a row's cost that a larger batch must save to be worth it.
const MIN_GAIN: f64 = 0.1;

/// The maximum number of runs of a batch size.
const MAX_RUNS: usize = 6;

/// The maximum time for the runs of a batch size, unless its first run takes longer: a slow model should not
/// delay its start. It is longer than a time slice of the scheduler, so that an interrupted run is repeated.
const MEASURING_TIMEOUT: Duration = Duration::from_millis(5);

/// The costs of batches of different sizes, the smallest first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct BatchCosts {
    measured: Vec<BatchCost>,
}

/// The cost of a row in a batch of one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BatchCost {
    /// The number of rows in the batch.
    pub rows: usize,
    /// The batch's time divided by its rows, in seconds.
    pub seconds_per_row: f64,
}

/// Measures the costs of batches of `sample` rows, of which there must be one. A batch starts where the one
/// before ended, because repeated rows train the branch predictor and make a forest look faster
/// than it is.
///
/// # Errors
/// [`BackendError`] if a batch cannot be scored.
pub fn measure_costs(session: &mut dyn Session, sample: &Rows) -> Result<BatchCosts, BackendError> {
    let len = sample.len.max(1);
    let (features, kept) = (sample.values.len() / len, sample.kept.len() / len);
    let mut next = 0;
    BatchCosts::measure(|size| {
        let rows = || (next..next + size).map(|row| row % len);
        let values: Vec<f32> = rows()
            .flat_map(|row| sample.values.iter().skip(row * features).take(features))
            .copied()
            .collect();
        let values_kept: Vec<Kept> =
            rows().flat_map(|row| sample.kept.iter().skip(row * kept).take(kept)).cloned().collect();
        next += size;
        let matrix = ArrayView2::from_shape((size, features), &values);
        let matrix = matrix.map_err(|_| BackendError::ScoreCount { rows: size, scores: 0 })?;
        let batch =
            if kept == 0 { Batch::Features(matrix) } else { Batch::FeaturesAndKept(matrix, &values_kept) };
        let start = Instant::now();
        score_every_row(session, batch)?;
        Ok(start.elapsed())
    })
}

impl BatchCosts {
    /// Runs a batch of each of the [`MEASURED_ROWS`] a few times and takes the shortest time: other load
    /// makes a run longer and never shorter. `run` runs a batch of this many rows and returns how long it
    /// took.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use std::time::Duration;
    ///
    /// use onnward_runtime::costs::BatchCosts;
    ///
    /// // A call takes 4 µs, and each of its rows 1 µs more.
    /// let run = |rows: usize| Ok::<_, Infallible>(Duration::from_micros(4 + rows as u64));
    /// let costs = BatchCosts::measure(run)?;
    /// assert_eq!(costs.efficient_batch_size(), 32);
    /// assert_eq!(costs.rows_within(Duration::from_micros(24)), 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// That of `run`.
    pub fn measure<E>(mut run: impl FnMut(usize) -> Result<Duration, E>) -> Result<Self, E> {
        let measured = MEASURED_ROWS.into_iter().map(|rows| {
            let mut shortest = run(rows)?;
            let (mut runs, mut spent) = (1, shortest);
            while runs < MAX_RUNS && spent < MEASURING_TIMEOUT {
                let time = run(rows)?;
                runs += 1;
                spent += time;
                shortest = shortest.min(time);
            }
            Ok(BatchCost { rows, seconds_per_row: shortest.as_secs_f64() / rows as f64 })
        });
        Ok(Self { measured: measured.collect::<Result<_, E>>()? })
    }

    /// Takes the costs of another measurement of the same session where they are lower.
    pub fn take_minimum(&mut self, other: &Self) {
        for (ours, theirs) in self.measured.iter_mut().zip(&other.measured) {
            ours.seconds_per_row = ours.seconds_per_row.min(theirs.seconds_per_row);
        }
    }

    /// Returns the smallest measured batch size from which no other saves more than 10 % of a row's cost. It is
    /// [`LARGEST_BATCH_ROWS`] if that is the largest measured one.
    pub fn efficient_batch_size(&self) -> usize {
        let cheapest = self.measured.iter().map(|cost| cost.seconds_per_row).fold(f64::INFINITY, f64::min);
        let is_efficient = |cost: &BatchCost| cost.seconds_per_row * (1.0 - MIN_GAIN) <= cheapest;
        match self.measured.iter().position(is_efficient) {
            Some(found) if found + 1 < self.measured.len() => self.measured[found].rows,
            _ => LARGEST_BATCH_ROWS,
        }
    }

    /// Returns how many rows a batch may have that is expected to take no longer than `time`. It is 0 if one
    /// row takes longer.
    pub fn rows_within(&self, time: Duration) -> usize {
        let mut rows = 0;
        while rows < LARGEST_BATCH_ROWS && self.expected(rows + 1) <= time {
            rows += 1;
        }
        rows
    }

    /// Returns how long a batch is expected to take on an idle core. It is linear between the measured sizes,
    /// and beyond the largest one proportional to its rows.
    pub fn expected(&self, rows: usize) -> Duration {
        let (mut from, mut to) = ((0.0, 0.0), (1.0, 0.0));
        for cost in &self.measured {
            from = to;
            to = (cost.rows as f64, cost.rows as f64 * cost.seconds_per_row);
            if cost.rows >= rows {
                break;
            }
        }
        let rows = rows as f64;
        let seconds = if rows >= to.0 {
            rows * to.1 / to.0
        } else {
            from.1 + (to.1 - from.1) * ((rows - from.0) / (to.0 - from.0)).max(0.0)
        };
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}

/// Microseconds a row, for the log.
impl fmt::Display for BatchCosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = |cost: &BatchCost| format!("{:.2} µs at {}", cost.seconds_per_row * 1e6, cost.rows);
        write!(f, "a row: {}", self.measured.iter().map(each).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measures a model that takes `call` a batch and `row` a row, in nanoseconds. The first run of a size
    /// takes longer.
    fn measured(call: u64, row: u64) -> (BatchCosts, Vec<usize>) {
        let mut runs: Vec<usize> = Vec::new();
        let costs = BatchCosts::measure(|rows| {
            let penalty = if runs.contains(&rows) { 0 } else { 50_000 };
            runs.push(rows);
            Ok::<_, ()>(Duration::from_nanos(penalty + call + row * rows as u64))
        });
        (costs.unwrap(), runs)
    }

    #[test]
    fn what_a_batch_is_expected_to_take_lies_on_what_was_measured() {
        let (costs, _) = measured(6_000, 300);
        for rows in [1, 5, 8, 20, 32, 100, 128] {
            let expected = Duration::from_nanos(6_000 + 300 * rows);
            let difference = costs.expected(rows as usize).abs_diff(expected);
            assert!(
                difference <= Duration::from_nanos(2),
                "{rows} rows: {:?}",
                costs.expected(rows as usize)
            );
        }
        assert_eq!(costs.expected(0), Duration::ZERO);
        assert_eq!(costs.expected(1280), 10 * costs.expected(128));
    }

    #[test]
    fn a_time_is_enough_for_the_rows_that_are_expected_to_take_no_longer() {
        let (costs, _) = measured(6_000, 1_000);
        assert_eq!(costs.rows_within(Duration::from_micros(26)), 20);
        assert_eq!(costs.rows_within(Duration::from_micros(6)), 0);
        assert_eq!(costs.rows_within(Duration::from_secs(1)), LARGEST_BATCH_ROWS);
    }

    #[test]
    fn batches_grow_as_long_as_rows_get_cheaper() {
        // From 32 rows to 128 a row goes from 600 ns to 450, and larger batches may save more.
        assert_eq!(measured(6_400, 400).0.efficient_batch_size(), LARGEST_BATCH_ROWS);
        // From 8 rows to 32 a row goes from 1,500 ns to 1,125, and then only to 1,031.
        assert_eq!(measured(4_000, 1_000).0.efficient_batch_size(), 32);
        // From the first row on, a row costs 20,000 ns and hardly more.
        assert_eq!(measured(100, 20_000).0.efficient_batch_size(), 1);
    }

    #[test]
    fn a_slow_model_is_not_run_again_for_figures() {
        let (costs, runs) = measured(6_000_000, 0);
        assert_eq!(runs, MEASURED_ROWS);
        assert_eq!(costs.expected(1), Duration::from_nanos(6_050_000));
    }

    #[test]
    fn a_run_that_was_interrupted_tells_nothing_of_the_model() {
        let mut runs = 0;
        let costs = BatchCosts::measure(|_| {
            runs += 1;
            let interrupted = if runs % 2 == 0 { 0 } else { 4_000_000 };
            Ok::<_, ()>(Duration::from_nanos(6_000 + interrupted))
        });
        assert_eq!(costs.unwrap().expected(1), Duration::from_micros(6));
    }

    #[test]
    fn of_two_measurements_the_lower_figures_count() {
        let mut costs = measured(6_000, 1_000).0;
        costs.take_minimum(&measured(9_000, 400).0);
        assert_eq!(costs.expected(1), Duration::from_nanos(7_000));
        assert_eq!(costs.expected(128), Duration::from_nanos(9_000 + 128 * 400));
    }

    #[test]
    fn a_run_that_fails_ends_the_measuring() {
        assert_eq!(
            BatchCosts::measure(|rows| if rows > 8 { Err(rows) } else { Ok(Duration::ZERO) }),
            Err(32)
        );
    }
}

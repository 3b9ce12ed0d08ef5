use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use onnward_runtime::costs::BatchCosts;

use super::BatchingConfig;

/// Batches expected to take longer go to a worker. They would block the thread's other connections, and a
/// context switch of about 10 µs no longer matters.
const INLINE_TIME: Duration = Duration::from_micros(250);

/// The sizes of batches, which follow from the measured costs.
///
/// Other load makes a measurement longer and never shorter. So the costs are measured again in idle moments,
/// and the lowest figures count: a start on a busy machine ends where a start on an idle one does.
#[derive(Debug)]
pub struct BatchSizes {
    costs: Mutex<BatchCosts>,
    config: BatchingConfig,
    max_batch_rows: AtomicUsize,
    inline_rows: AtomicUsize,
}

impl BatchSizes {
    pub fn new(config: BatchingConfig, costs: BatchCosts) -> Self {
        let (max_batch_rows, inline_rows) = sizes(&config, &costs);
        Self {
            costs: Mutex::new(costs),
            config,
            max_batch_rows: max_batch_rows.into(),
            inline_rows: inline_rows.into(),
        }
    }

    /// Takes another measurement into account.
    pub fn improve(&self, measured: &BatchCosts) {
        let mut costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        costs.take_minimum(measured);
        let (max_batch_rows, inline_rows) = sizes(&self.config, &costs);
        self.max_batch_rows.store(max_batch_rows, Ordering::Relaxed);
        self.inline_rows.store(inline_rows, Ordering::Relaxed);
    }

    pub fn costs(&self) -> BatchCosts {
        self.costs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the largest number of rows in a batch: the configured one, else the measured efficient size.
    #[inline]
    pub fn max_batch_rows(&self) -> usize {
        self.max_batch_rows.load(Ordering::Relaxed)
    }

    /// Returns the largest number of rows that are scored inline.
    #[inline]
    pub fn inline_rows(&self) -> usize {
        self.inline_rows.load(Ordering::Relaxed)
    }
}

fn sizes(config: &BatchingConfig, costs: &BatchCosts) -> (usize, usize) {
    let max_batch_rows = config.max_batch_rows.unwrap_or_else(|| costs.efficient_batch_size());
    // Only workers wait for max_queue_delay.
    let inline_rows =
        if config.max_queue_delay.is_zero() { costs.rows_within(INLINE_TIME).min(max_batch_rows) } else { 0 };
    (max_batch_rows, inline_rows)
}

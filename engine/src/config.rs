//! stub
use std::time::Duration;
/// stub
#[derive(Debug, Clone)]
pub struct BatchingConfig {
    /// stub
    pub workers: usize,
    /// stub
    pub max_batch_rows: usize,
    /// stub
    pub max_queue_rows: usize,
    /// stub
    pub max_queue_delay: Duration,
}

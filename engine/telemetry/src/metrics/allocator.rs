use mimalloc::MiMalloc;
use prometheus::{IntGauge, Registry};
use serde::Deserialize;

use super::gauge;

/// The allocator metrics, read at each scrape. The allocator counts what it takes from the system, not each
/// allocation, which would cost time.
#[derive(Debug)]
pub struct AllocatorMetrics {
    committed: IntGauge,
    committed_peak: IntGauge,
    reserved: IntGauge,
}

/// The statistics of mimalloc that are used here.
#[derive(Deserialize)]
struct Statistics {
    committed: Amount,
    reserved: Amount,
}

#[derive(Deserialize)]
struct Amount {
    peak: i64,
    current: i64,
}

impl AllocatorMetrics {
    pub fn new(r: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            committed: gauge(
                r,
                "onnward_allocator_committed_bytes",
                "Memory committed by the allocator; unused memory is returned to the system after a while.",
            )?,
            committed_peak: gauge(
                r,
                "onnward_allocator_committed_peak_bytes",
                "Peak memory committed by the allocator.",
            )?,
            reserved: gauge(
                r,
                "onnward_allocator_reserved_bytes",
                "Address space reserved by the allocator.",
            )?,
        })
    }

    /// Reads the allocator's statistics.
    pub fn read(&self) {
        let Ok(json) = MiMalloc::stats_json() else { return };
        let Ok(Statistics { committed, reserved }) = serde_json::from_slice(json.to_bytes()) else { return };
        self.committed.set(committed.current);
        self.committed_peak.set(committed.peak);
        self.reserved.set(reserved.current);
    }
}

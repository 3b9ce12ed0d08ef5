//! The scenarios in which subjects are measured.

use onnward_harness::generator::{Arrivals, Schedule};
use serde::Serialize;

/// The batches in flight.
const BATCHES: usize = 4;
/// The most requests in flight in an open loop.
const CONNECTIONS: usize = 256;
/// The share of a subject's own capacity that an open loop requests.
const SHARE: f64 = 0.5;

/// A scenario in which subjects are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    /// Closed loop, single rows, one at a time.
    SingleAt1,
    /// Closed loop, single rows, 16 at a time.
    SingleAt16,
    /// Closed loop, single rows, 64 at a time: the subject's throughput here is its capacity.
    SingleAt64,
    /// Closed loop, 32 rows a request, four at a time.
    Batch32,
    /// Closed loop, 1,024 rows a request, four at a time.
    Batch1024,
    /// Open loop, single rows at constant intervals, at half of the subject's own capacity.
    Constant,
    /// Open loop, single rows as independent clients send them, at half of the subject's own capacity.
    Poisson,
}

impl Scenario {
    /// All scenarios, in the order in which they run: an open loop needs the capacity from a closed one.
    pub const ALL: [Self; 7] = [
        Self::SingleAt1,
        Self::SingleAt16,
        Self::SingleAt64,
        Self::Batch32,
        Self::Batch1024,
        Self::Constant,
        Self::Poisson,
    ];
    /// The scenarios of a quick run.
    pub const QUICK: [Self; 5] =
        [Self::SingleAt1, Self::SingleAt64, Self::Batch32, Self::Batch1024, Self::Poisson];

    /// Returns the number of rows in a request.
    pub fn rows(self) -> usize {
        match self {
            Self::Batch32 => 32,
            Self::Batch1024 => 1024,
            _ => 1,
        }
    }

    /// Returns when requests begin, for a subject that answers `capacity` single rows per second.
    pub fn schedule(self, capacity: f64) -> Schedule {
        let open =
            |rate: f64, arrivals| Schedule::Open { rate: rate.max(1.0), arrivals, connections: CONNECTIONS };
        match self {
            Self::SingleAt1 => Schedule::Closed { connections: 1 },
            Self::SingleAt16 => Schedule::Closed { connections: 16 },
            Self::SingleAt64 => Schedule::Closed { connections: 64 },
            Self::Batch32 | Self::Batch1024 => Schedule::Closed { connections: BATCHES },
            Self::Constant => open(capacity * SHARE, Arrivals::Constant),
            Self::Poisson => open(capacity * SHARE, Arrivals::Poisson),
        }
    }

    /// Returns the name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::SingleAt1 => "single rows, 1 at a time",
            Self::SingleAt16 => "single rows, 16 at a time",
            Self::SingleAt64 => "single rows, 64 at a time",
            Self::Batch32 => "32 rows a request, 4 at a time",
            Self::Batch1024 => "1,024 rows a request, 4 at a time",
            Self::Constant => "single rows, open loop, constant, at half of its own capacity",
            Self::Poisson => "single rows, open loop, Poisson, at half of its own capacity",
        }
    }
}

use std::fmt;

use serde::Serialize;

use super::cache::Audit;
use super::{CACHE_BYTES, FILE_BYTES};
use onnward_harness::figures::percentile;
use onnward_harness::requirement::Requirement;

/// The most unfinished files in a cache at once: one for each engine that writes or was just killed.
const MAX_LEFTOVERS: u64 = 2;

/// The findings of all rounds.
#[derive(Debug, Default)]
pub struct KillFigures {
    /// The number of rounds.
    pub rounds: u64,
    /// The number of killed engines.
    pub kills: u64,
    /// The number of them that were killed after the whole file was forwarded.
    pub late_kills: u64,
    /// The number of objects in a cache whose digest is not their name.
    pub wrong_objects: u64,
    /// The number of engines that served another file than the promoted version's, or other probabilities.
    pub wrong_engines: u64,
    /// The times from a start to serving, in milliseconds.
    pub restart_ms: Vec<f64>,
    /// The largest number of unfinished files in a cache.
    pub max_leftovers: u64,
    /// The largest size of a cache, such files included.
    pub max_cache_bytes: u64,
}

impl KillFigures {
    /// Adds what a cache holds.
    pub fn add(&mut self, audit: Audit) {
        self.wrong_objects += audit.wrong_objects;
        self.max_leftovers = self.max_leftovers.max(audit.leftovers);
        self.max_cache_bytes = self.max_cache_bytes.max(audit.bytes);
    }
}

/// The results of killing engines.
#[derive(Debug, Clone, Serialize)]
pub struct KillReport {
    /// The seed of the random choices.
    pub seed: u64,
    /// The size of each version's file in bytes, but for the model itself.
    pub file_bytes: u64,
    /// The number of rounds.
    pub rounds: u64,
    /// The number of killed engines.
    pub kills: u64,
    /// The number of them that were killed after the whole file was forwarded.
    pub late_kills: u64,
    /// The median time from a start after a kill to serving, in milliseconds.
    pub restart_median_ms: f64,
    /// The 99th percentile of that time, in milliseconds.
    pub restart_p99_ms: f64,
    /// The largest number of unfinished files in a cache.
    pub max_leftovers: u64,
    /// The largest size of a cache in bytes, such files included.
    pub max_cache_bytes: u64,
    /// The requirements.
    pub requirements: Vec<Requirement>,
}

impl KillReport {
    pub(super) fn new(seed: u64, mut figures: KillFigures) -> Self {
        figures.restart_ms.sort_by(f64::total_cmp);
        let KillFigures { rounds, kills, late_kills, restart_ms, max_leftovers, max_cache_bytes, .. } =
            figures;
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        // Unfinished files come on top of the limit, and a file is a little larger than its padding.
        let most = mib(CACHE_BYTES + (MAX_LEFTOVERS + 1) * FILE_BYTES);
        let requirements = vec![
            Requirement::none_of("object of a cache that is not what its name says", figures.wrong_objects),
            Requirement::none_of(
                "engine that serves another file than the promoted one",
                figures.wrong_engines,
            ),
            Requirement::at_most(
                "unfinished files in a cache",
                max_leftovers as f64,
                MAX_LEFTOVERS as f64,
                "",
            ),
            Requirement::at_most("a cache's size", mib(max_cache_bytes), most, " MiB"),
        ];
        Self {
            seed,
            file_bytes: FILE_BYTES,
            rounds,
            kills,
            late_kills,
            restart_median_ms: percentile(&restart_ms, 50),
            restart_p99_ms: percentile(&restart_ms, 99),
            max_leftovers,
            max_cache_bytes,
            requirements,
        }
    }
}

impl fmt::Display for KillReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, file_bytes, rounds, kills, late_kills, .. } = self;
        let mib = |bytes: &u64| *bytes as f64 / (1024.0 * 1024.0);
        writeln!(
            f,
            "{kills} engines killed in {rounds} rounds, {late_kills} of them with the whole file; files of {} MiB, seed {seed}",
            mib(file_bytes)
        )?;
        writeln!(
            f,
            "started again, they served after {:.0} ms (median; p99 {:.0} ms)",
            self.restart_median_ms, self.restart_p99_ms
        )?;
        writeln!(
            f,
            "a cache held at most {:.1} MiB, and {} unfinished files",
            mib(&self.max_cache_bytes),
            self.max_leftovers
        )?;
        writeln!(f, "\nrequired:")?;
        self.requirements.iter().try_for_each(|requirement| writeln!(f, "{requirement}"))
    }
}

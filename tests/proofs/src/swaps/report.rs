use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::{SwapMode, SwapSettings};
use onnward_harness::figures::percentile;
use onnward_harness::generator::{CONNECTIONS, CheckedFigures};
use onnward_harness::requirement::Requirement;

/// The largest ratio of p99 latencies with swaps to those without.
const MAX_P99_RATIO: f64 = 1.5;
/// The largest growth of resident memory over the second half of the swaps, in percent.
const MAX_GROWTH: f64 = 5.0;

/// The results of the swaps.
#[derive(Debug, Clone, Serialize)]
pub struct SwapReport {
    /// The kind of each swap.
    pub mode: SwapMode,
    /// The versions' family.
    pub family: &'static str,
    /// The engine's backend.
    pub backend: String,
    /// Requests per second, with one row each.
    pub rate: f64,
    /// The number of connections on which they took turns.
    pub clients: usize,
    /// The pause between two swaps, in milliseconds.
    pub pause_ms: u64,
    /// The number of processors that the engine and the load generator shared.
    pub cpus: usize,
    /// The number of requests.
    pub sent: u64,
    /// The number of requests without a response, or with another status than 200.
    pub failed: u64,
    /// The number of responses whose probability is not that of the version they name.
    pub wrong: u64,
    /// The number of correct answers by version.
    pub answered_by: [u64; 2],
    /// The number of failed or wrong answers by reason.
    pub reasons: BTreeMap<String, u64>,
    /// The swaps.
    pub swaps: SwapTimes,
    /// Latencies in the windows without swaps.
    pub quiet: LatencyReport,
    /// Latencies in the windows with swaps.
    pub swapping: LatencyReport,
    /// The 99th percentile with swaps, divided by that without.
    pub p99_ratio: f64,
    /// The engine's memory.
    pub memory: MemoryReport,
    /// The requirements.
    pub requirements: Vec<Requirement>,
}

/// The times of swaps, from the promotion until the engine served the other version.
#[derive(Debug, Clone, Serialize)]
pub struct SwapTimes {
    /// The number of swaps.
    pub count: usize,
    /// The median, in milliseconds.
    pub median_ms: f64,
    /// The 99th percentile, in milliseconds.
    pub p99_ms: f64,
}

/// Latencies, counted from when a request should have begun.
#[derive(Debug, Clone, Serialize)]
pub struct LatencyReport {
    /// The number of answered requests.
    pub requests: usize,
    /// The median, in milliseconds.
    pub p50_ms: f64,
    /// The 99th percentile, in milliseconds.
    pub p99_ms: f64,
}

/// The engine's resident memory after each swap, in KiB, as means over tenths of all swaps.
#[derive(Debug, Clone, Serialize)]
pub struct MemoryReport {
    /// Over the first tenth.
    pub first_kib: f64,
    /// Over the fifth tenth: of 1,000 swaps, those from 400 to 500.
    pub middle_kib: f64,
    /// Over the last tenth.
    pub last_kib: f64,
    /// From the fifth tenth to the last, in percent.
    pub growth_percent: f64,
}

impl SwapReport {
    pub(super) fn new(
        settings: &SwapSettings,
        backend: String,
        figures: CheckedFigures,
        seconds: Vec<f64>,
        resident_kib: &[u64],
    ) -> Self {
        let CheckedFigures { sent, failed, wrong, answered_by, reasons, quiet, disturbed } = figures;
        let (quiet, swapping) = (LatencyReport::of(&quiet), LatencyReport::of(&disturbed));
        let p99_ratio = swapping.p99_ms / quiet.p99_ms;
        let memory = MemoryReport::of(resident_kib);
        let requirements = vec![
            Requirement::none_of("failed request", failed),
            Requirement::none_of("answer from neither version or under another's name", wrong),
            Requirement::at_most("p99 with swaps : p99 without", p99_ratio, MAX_P99_RATIO, ""),
            Requirement::at_most(
                "growth of memory over the last half",
                memory.growth_percent,
                MAX_GROWTH,
                " %",
            ),
        ];
        Self {
            mode: settings.mode,
            family: settings.family.name(),
            backend,
            rate: settings.rate,
            clients: CONNECTIONS,
            pause_ms: settings.pause.as_millis() as u64,
            cpus: std::thread::available_parallelism().map_or(0, Into::into),
            sent,
            failed,
            wrong,
            answered_by,
            reasons,
            swaps: SwapTimes::of(seconds),
            quiet,
            swapping,
            p99_ratio,
            memory,
            requirements,
        }
    }
}

impl SwapTimes {
    fn of(seconds: Vec<f64>) -> Self {
        let mut ms: Vec<f64> = seconds.into_iter().map(|seconds| 1e3 * seconds).collect();
        ms.sort_by(f64::total_cmp);
        Self { count: ms.len(), median_ms: percentile(&ms, 50), p99_ms: percentile(&ms, 99) }
    }
}

impl LatencyReport {
    pub(crate) fn of(latencies: &[Duration]) -> Self {
        let mut ms: Vec<f64> = latencies.iter().map(|latency| 1e3 * latency.as_secs_f64()).collect();
        ms.sort_by(f64::total_cmp);
        Self { requests: ms.len(), p50_ms: percentile(&ms, 50), p99_ms: percentile(&ms, 99) }
    }
}

impl MemoryReport {
    fn of(resident_kib: &[u64]) -> Self {
        let tenth = |number: usize| {
            let bound = |number: usize| number * resident_kib.len() / 10;
            let part = resident_kib.get(bound(number - 1)..bound(number)).unwrap_or_default();
            part.iter().sum::<u64>() as f64 / part.len() as f64
        };
        let (middle_kib, last_kib) = (tenth(5), tenth(10));
        let growth_percent = 100.0 * (last_kib / middle_kib - 1.0);
        Self { first_kib: tenth(1), middle_kib, last_kib, growth_percent }
    }
}

impl fmt::Display for SwapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, family, backend, rate, clients, pause_ms, cpus, .. } = self;
        let Self { swaps, quiet, swapping, memory, .. } = self;
        let what = match mode {
            SwapMode::Reload => "each of which loads a version",
            SwapMode::Pointer => "between two versions that stay loaded",
        };
        writeln!(f, "{} swaps, {what}, {pause_ms} ms between them: {family} on {backend}", swaps.count)?;
        writeln!(
            f,
            "{rate} requests a second, open loop, {clients} connections; engine and load share {cpus} processors"
        )?;
        writeln!(f, "\n{:<16} {:>10} {:>12} {:>12}", "", "count", "median ms", "p99 ms")?;
        for (name, LatencyReport { requests, p50_ms, p99_ms }) in
            [("without swaps", quiet), ("with swaps", swapping)]
        {
            writeln!(f, "{name:<16} {requests:>10} {p50_ms:>12.2} {p99_ms:>12.2}")?;
        }
        let SwapTimes { count, median_ms, p99_ms } = swaps;
        writeln!(f, "{:<16} {count:>10} {median_ms:>12.2} {p99_ms:>12.2}", "a swap")?;
        let MemoryReport { first_kib, middle_kib, last_kib, .. } = memory;
        let mib = |kib: &f64| kib / 1024.0;
        writeln!(
            f,
            "\nresident memory, MiB: {:.1} over the first tenth, {:.1} over the fifth, {:.1} over the last",
            mib(first_kib),
            mib(middle_kib),
            mib(last_kib)
        )?;
        let [first, second] = self.answered_by;
        writeln!(f, "requests: {} sent, answered by the versions: {first} and {second}", self.sent)?;
        for (reason, count) in &self.reasons {
            writeln!(f, "  {count} × {reason}")?;
        }
        writeln!(f, "\nrequired:")?;
        self.requirements.iter().try_for_each(|requirement| writeln!(f, "{requirement}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_between_the_fifth_and_the_last_tenth() {
        let resident: Vec<u64> = (0..1000).map(|swap| if swap < 450 { 100 } else { 110 }).collect();
        let memory = MemoryReport::of(&resident);
        assert_eq!((memory.first_kib, memory.middle_kib, memory.last_kib), (100.0, 105.0, 110.0));
        assert!((memory.growth_percent - 4.7619).abs() < 1e-3, "{memory:?}");
    }

    #[test]
    fn a_ratio_that_does_not_exist_is_missed() {
        assert!(!Requirement::at_most("ratio", f64::NAN, 1.5, "").met);
    }
}

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::SoakSettings;
use super::background_load::BackgroundFigures;
use onnward_harness::figures::{median, rise};
use onnward_harness::generator::{Statuses, WindowFigures};
use onnward_harness::process::Resources;
use onnward_harness::requirement::Requirement;

/// The largest growth of open files from the first quarter to the last. A few connections of scrapes or
/// downloads are open in some samples and not in others; a leak with each of thousands of requests is far
/// more.
const MAX_FILE_GROWTH: f64 = 4.0;
/// The largest rise of a line through the resident memory of the last three quarters, in percent.
const MAX_MEMORY_RISE: f64 = 5.0;
/// The largest ratio of the last quarter's p99 to the first's.
const MAX_P99_RATIO: f64 = 1.5;
/// The largest growth of threads from the first quarter to the last. Threads for blocking work come and go.
const MAX_MORE_THREADS: f64 = 4.0;
const MIB: f64 = 1024.0 * 1024.0;

/// The results of one interval.
#[derive(Debug, Clone, Serialize)]
pub struct Interval {
    /// The number of requests by status.
    pub statuses: Statuses,
    /// The median latency in milliseconds, from when a request should have begun.
    pub p50_ms: f64,
    /// The 99th percentile of latencies.
    pub p99_ms: f64,
    /// The engine's resident memory in MiB: the median of the samples.
    pub resident_mib: f64,
    /// Its open files, including sockets: the median of the samples.
    pub file_handles: f64,
    /// Its threads: the median of the samples.
    pub threads: f64,
    /// The share of one processor that it used.
    pub processors: f64,
    /// The share of one processor that the load used. Near 1 the load itself is the bottleneck.
    pub load_processors: f64,
}

/// The results of a soak.
#[derive(Debug, Clone, Serialize)]
pub struct SoakReport {
    /// The versions' family.
    pub family: &'static str,
    /// The engine's backend.
    pub backend: String,
    /// Whether engine and load had processors of their own.
    pub apart: bool,
    /// The most requests per second that the engine answered, if measured.
    pub capacity: Option<f64>,
    /// Requests per second.
    pub rate: f64,
    /// The length of an interval, in seconds.
    pub interval_seconds: f64,
    /// The intervals.
    pub intervals: Vec<Interval>,
    /// The results of the background load.
    #[serde(flatten)]
    pub background: BackgroundFigures,
    /// The rise of a line through the memory of the last three quarters, in percent.
    pub memory_rise_percent: f64,
    /// The 99th percentile of the last quarter, divided by that of the first: medians over the intervals.
    pub p99_ratio: f64,
    /// The requirements.
    pub requirements: Vec<Requirement>,
}

impl Interval {
    pub(super) fn new(
        figures: WindowFigures,
        seen: Vec<Resources>,
        by_load: Duration,
        length: Duration,
    ) -> Self {
        let of = |figure: fn(&Resources) -> f64| median(seen.iter().map(figure).collect());
        let ms = |figure: fn(&onnward_harness::generator::Latencies) -> f64| {
            figures.latency_us.as_ref().map_or(f64::NAN, |latencies| figure(latencies) / 1e3)
        };
        Self {
            statuses: figures.statuses,
            p50_ms: ms(|latencies| latencies.p50),
            p99_ms: ms(|latencies| latencies.p99),
            resident_mib: of(|held| held.resident_bytes as f64 / MIB),
            file_handles: of(|held| held.file_handles as f64),
            threads: of(|held| held.threads as f64),
            processors: figures.server_cpu_seconds / length.as_secs_f64(),
            load_processors: by_load.as_secs_f64() / length.as_secs_f64(),
        }
    }

    fn unanswered(&self) -> u64 {
        self.statuses.rejected + self.statuses.other + self.statuses.failed
    }
}

impl SoakReport {
    pub(super) fn new(
        settings: &SoakSettings,
        backend: String,
        apart: bool,
        capacity: Option<f64>,
        rate: f64,
        intervals: Vec<Interval>,
        background: BackgroundFigures,
    ) -> Self {
        let quarters = Quarters::of(&intervals);
        let memory_rise_percent = quarters.memory_rise_percent();
        let p99_ratio = quarters.ratio(|interval| interval.p99_ms);
        let unanswered = intervals.iter().map(Interval::unanswered).sum();
        let requirements = vec![
            Requirement::none_of("request that is not answered with 200", unanswered),
            Requirement::none_of(
                "failure of a swap, an outcome or a scrape",
                background.failures.values().sum(),
            ),
            Requirement::at_least(
                "outcomes that find their predictions",
                background.joined as f64 / background.outcomes as f64,
                0.95,
                "",
            ),
            Requirement::at_most(
                "rise of memory over the last three quarters",
                memory_rise_percent,
                MAX_MEMORY_RISE,
                " %",
            ),
            Requirement::at_most(
                "growth of file handles",
                quarters.growth(|interval| interval.file_handles),
                MAX_FILE_GROWTH,
                "",
            ),
            Requirement::at_most(
                "growth of threads",
                quarters.growth(|interval| interval.threads),
                MAX_MORE_THREADS,
                "",
            ),
            Requirement::at_most("p99 of the last quarter : p99 of the first", p99_ratio, MAX_P99_RATIO, ""),
        ];
        Self {
            family: settings.family.name(),
            backend,
            apart,
            capacity,
            rate,
            interval_seconds: settings.interval.as_secs_f64(),
            intervals,
            background,
            memory_rise_percent,
            p99_ratio,
            requirements,
        }
    }
}

/// Intervals by the time at which they were.
struct Quarters<'a> {
    first: &'a [Interval],
    last: &'a [Interval],
    after_first: &'a [Interval],
}

impl<'a> Quarters<'a> {
    fn of(intervals: &'a [Interval]) -> Self {
        let quarter = (intervals.len() / 4).max(1).min(intervals.len());
        let (first, after_first) = intervals.split_at(quarter);
        let last = intervals.get(intervals.len() - quarter..).unwrap_or_default();
        Self { first, last, after_first }
    }

    /// Returns the growth from the first quarter to the last.
    fn growth(&self, figure: fn(&Interval) -> f64) -> f64 {
        median_of(self.last, figure) - median_of(self.first, figure)
    }

    fn ratio(&self, figure: fn(&Interval) -> f64) -> f64 {
        median_of(self.last, figure) / median_of(self.first, figure)
    }

    fn memory_rise_percent(&self) -> f64 {
        let memory: Vec<f64> = self.after_first.iter().map(|interval| interval.resident_mib).collect();
        100.0 * rise(&memory) / median(memory)
    }
}

fn median_of(intervals: &[Interval], figure: fn(&Interval) -> f64) -> f64 {
    median(intervals.iter().map(figure).collect())
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, backend, apart, capacity, rate, interval_seconds, intervals, .. } = self;
        let minutes = interval_seconds * intervals.len() as f64 / 60.0;
        let share = capacity.map_or_else(String::new, |most| {
            format!(", {:.0} % of a capacity of {most:.0}", 100.0 * rate / most)
        });
        writeln!(f, "{minutes:.1} minutes at {rate:.0} requests a second{share}: {family} on {backend}")?;
        let where_ = if *apart { "have processors of their own" } else { "share all processors" };
        writeln!(f, "requests begin as independent clients' would; engine and load {where_}")?;
        writeln!(
            f,
            "\n{:>8} {:>10} {:>7} {:>8} {:>8} {:>10} {:>7} {:>8} {:>6} {:>9}",
            "interval",
            "answered",
            "others",
            "p50 ms",
            "p99 ms",
            "memory MiB",
            "files",
            "threads",
            "CPU",
            "load's CPU"
        )?;
        for (number, interval) in intervals.iter().enumerate() {
            let Interval {
                statuses,
                p50_ms,
                p99_ms,
                resident_mib,
                file_handles,
                threads,
                processors,
                load_processors,
            } = interval;
            writeln!(
                f,
                "{:>8} {:>10} {:>7} {p50_ms:>8.2} {p99_ms:>8.2} {resident_mib:>10.1} {file_handles:>7} {threads:>8} {processors:>6.2} {load_processors:>9.2}",
                number + 1,
                statuses.ok,
                interval.unanswered(),
            )?;
        }
        write!(f, "{}", self.background)?;
        writeln!(f, "\nrequired:")?;
        self.requirements.iter().try_for_each(|requirement| writeln!(f, "{requirement}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(resident_mib: f64, p99_ms: f64) -> Interval {
        let (file_handles, threads, processors, load_processors) = (20.0, 10.0, 0.5, 0.5);
        let statuses = Statuses::default();
        Interval {
            statuses,
            p50_ms: 1.0,
            p99_ms,
            resident_mib,
            file_handles,
            threads,
            processors,
            load_processors,
        }
    }

    #[test]
    fn memory_that_grows_from_beginning_to_end_shows_and_a_beginning_that_grows_does_not() {
        let grows: Vec<Interval> = (0..20).map(|minute| interval(100.0 + f64::from(minute), 2.0)).collect();
        assert!(Quarters::of(&grows).memory_rise_percent() > 10.0);
        let settles: Vec<Interval> =
            (0..20).map(|minute| interval(if minute < 5 { 60.0 } else { 100.0 }, 2.0)).collect();
        assert!(Quarters::of(&settles).memory_rise_percent().abs() < 1e-9);
    }

    #[test]
    fn the_last_quarter_is_held_against_the_first() {
        let slower: Vec<Interval> =
            (0..8).map(|minute| interval(100.0, if minute < 6 { 2.0 } else { 5.0 })).collect();
        let quarters = Quarters::of(&slower);
        assert_eq!(quarters.ratio(|interval| interval.p99_ms), 2.5);
        assert_eq!(quarters.growth(|interval| interval.file_handles), 0.0);
    }
}

//! The comparison's results: every run, and the medians over the rounds.

use std::collections::BTreeMap;
use std::fmt;

use onnward_harness::figures::median;
use onnward_harness::generator::{Latencies, Statuses, WindowFigures};
use onnward_models::Family;
use serde::Serialize;

use crate::comparison::ComparisonSettings;
use crate::comparison::overload::Overload;
use crate::comparison::scenario::Scenario;
use crate::comparison::session::SessionTime;
use crate::comparison::subject::Subject;
use crate::comparison::targets::{self, Target};
use crate::machine::Machine;

/// The comparison's results.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The machine and the day.
    pub machine: Machine,
    /// The settings.
    pub settings: Settings,
    /// A subject that was measured.
    pub subjects: Vec<SubjectInfo>,
    /// The subjects that were left out.
    pub left_out: Vec<LeftOut>,
    /// The targets, and whether Onnward reaches them.
    pub targets: Vec<Target>,
    /// The medians over the rounds.
    pub summaries: Vec<Summary>,
    /// Start times, and memory after the load.
    pub starts: Vec<StartSummary>,
    /// Onnward's memory with a model of each family, in bytes.
    pub both_resident_bytes: BTreeMap<Subject, u64>,
    /// The times of sessions without a server.
    pub sessions: Vec<SessionTime>,
    /// The results at three times the capacity.
    pub overload: Vec<Overload>,
    /// All runs, of which the summaries are medians.
    pub runs: Vec<Run>,
    /// All starts, of which `starts` are medians.
    #[serde(rename = "all_starts")]
    pub all_starts: Vec<Start>,
}

/// The settings of the comparison.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Settings {
    /// The number of rounds.
    pub rounds: usize,
    /// The length of a window, in seconds.
    pub window_seconds: f64,
    /// The warm-up, in seconds.
    pub warm_up_seconds: f64,
    /// The processors of the servers.
    pub server_processors: Vec<usize>,
    /// The processors of the load generator.
    pub generator_processors: Vec<usize>,
    /// The rows of the table.
    pub table_rows: usize,
    /// Whether the table was sampled from the schema.
    pub sampled: bool,
    /// More environment variables of the engine.
    pub engine_environment: Vec<(String, String)>,
}

/// A subject that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct SubjectInfo {
    /// The short name.
    pub subject: Subject,
    /// The name.
    pub title: &'static str,
    /// The setup.
    pub settings: &'static str,
    /// The versions of its parts.
    pub versions: Vec<String>,
    /// The size of everything that must be installed to run it, without Python itself.
    pub installed_bytes: Option<u64>,
}

/// A subject that was left out.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// The subject.
    pub subject: Subject,
    /// The reason.
    pub reason: String,
}

/// A run.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// The subject.
    pub subject: Subject,
    /// The model's family; the first one for the bare handler.
    pub family: Family,
    /// The round, from 0.
    pub round: usize,
    /// The scenario.
    pub scenario: Scenario,
    /// Requests per second, in an open loop.
    pub rate: Option<f64>,
    /// The results.
    #[serde(flatten)]
    pub figures: WindowFigures,
}

/// A start.
#[derive(Debug, Clone, Serialize)]
pub struct Start {
    /// The subject.
    pub subject: Subject,
    /// The model's family.
    pub family: Family,
    /// The time from the start of the process to its first prediction, with its files in the page cache.
    pub seconds: f64,
    /// The same with its files on disk only; `None` if the system could not evict them from the page cache.
    pub from_disk_seconds: Option<f64>,
    /// The memory after the round's load, if there was one.
    pub resident_bytes: Option<u64>,
}

/// The medians of a subject's starts.
#[derive(Debug, Clone, Serialize)]
pub struct StartSummary {
    /// The subject.
    pub subject: Subject,
    /// The model's family.
    pub family: Family,
    /// The time from the start of the process to its first prediction, with its files in the page cache.
    pub seconds: f64,
    /// The same with its files on disk only.
    pub from_disk_seconds: f64,
    /// The memory after the load.
    pub resident_bytes: f64,
}

/// The medians over the rounds of a subject, family and scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The subject.
    pub subject: Subject,
    /// The model's family.
    pub family: Family,
    /// The scenario.
    pub scenario: Scenario,
    /// Whether every round's run was stable.
    pub stable: bool,
    /// Answers with 200 per second.
    pub requests_per_second: f64,
    /// Rows answered with 200 per second.
    pub rows_per_second: f64,
    /// The latencies.
    pub latency_us: Option<Latencies>,
    /// The server's processor time per request, in microseconds.
    pub cpu_us_per_request: f64,
    /// The server's processor time for a million rows, in seconds.
    pub cpu_seconds_per_million_rows: f64,
    /// The number of requests of all rounds, by result.
    pub statuses: Statuses,
}

impl Settings {
    /// Creates a report of the settings, the machine and the table.
    pub fn of(
        settings: &ComparisonSettings,
        server: &[usize],
        generator: &[usize],
        table_rows: usize,
    ) -> Self {
        Self {
            rounds: settings.rounds,
            window_seconds: settings.window.as_secs_f64(),
            warm_up_seconds: settings.warm_up.as_secs_f64(),
            server_processors: server.to_vec(),
            generator_processors: generator.to_vec(),
            table_rows,
            sampled: settings.table.is_none(),
            engine_environment: settings.files.engine_environment.clone(),
        }
    }
}

impl Report {
    /// Makes the summaries of the runs and holds them against the targets.
    pub fn conclude(&mut self) {
        let mut runs: BTreeMap<_, Vec<&Run>> = BTreeMap::new();
        for run in &self.runs {
            runs.entry((run.subject, run.family, run.scenario)).or_default().push(run);
        }
        self.summaries = runs.into_values().filter_map(|runs| Summary::of(&runs)).collect();
        let mut starts: BTreeMap<_, Vec<&Start>> = BTreeMap::new();
        for start in &self.all_starts {
            starts.entry((start.subject, start.family)).or_default().push(start);
        }
        self.starts = starts
            .into_iter()
            .map(|((subject, family), starts)| StartSummary {
                subject,
                family,
                seconds: median(starts.iter().map(|start| start.seconds).collect()),
                from_disk_seconds: median(
                    starts.iter().filter_map(|start| start.from_disk_seconds).collect(),
                ),
                resident_bytes: median(
                    starts.iter().filter_map(|start| Some(start.resident_bytes? as f64)).collect(),
                ),
            })
            .collect();
        self.targets = targets::judge(self);
    }

    /// Returns the medians of one subject, family and scenario. The bare handler has no family.
    pub fn summary(&self, subject: Subject, family: Family, scenario: Scenario) -> Option<&Summary> {
        let is_it = |summary: &&Summary| {
            let alike = !subject.has_model() || summary.family == family;
            summary.subject == subject && alike && summary.scenario == scenario
        };
        self.summaries.iter().find(is_it)
    }

    /// Returns the families that were compared.
    pub fn families(&self) -> Vec<Family> {
        let measured = |family: &Family| self.runs.iter().any(|run| run.family == *family);
        Family::ALL.into_iter().filter(measured).collect()
    }
}

impl Summary {
    fn of(runs: &[&Run]) -> Option<Self> {
        let first = runs.first()?;
        let over = |value: &dyn Fn(&WindowFigures) -> f64| {
            median(runs.iter().map(|run| value(&run.figures)).collect())
        };
        let rows = first.scenario.rows() as f64;
        let requests_per_second = over(&|figures| figures.requests_per_second);
        let cpu_us_per_request = over(&cpu_us_per_request);
        let mut statuses = Statuses::default();
        for run in runs {
            statuses += run.figures.statuses;
        }
        Some(Self {
            subject: first.subject,
            family: first.family,
            scenario: first.scenario,
            stable: runs.iter().all(|run| run.figures.stable),
            requests_per_second,
            rows_per_second: requests_per_second * rows,
            latency_us: latencies(runs),
            cpu_us_per_request,
            // A microsecond a row is a second a million.
            cpu_seconds_per_million_rows: cpu_us_per_request / rows,
            statuses,
        })
    }
}

/// Returns the server's processor time per response, whatever its status, in microseconds.
pub fn cpu_us_per_request(figures: &WindowFigures) -> f64 {
    let Statuses { ok, rejected, other, .. } = figures.statuses;
    figures.server_cpu_seconds / (ok + rejected + other) as f64 * 1e6
}

fn latencies(runs: &[&Run]) -> Option<Latencies> {
    let found: Vec<Latencies> = runs.iter().filter_map(|run| run.figures.latency_us).collect();
    let over = |value: fn(&Latencies) -> f64| median(found.iter().map(value).collect());
    (!found.is_empty()).then(|| Latencies {
        p50: over(|latencies| latencies.p50),
        p90: over(|latencies| latencies.p90),
        p99: over(|latencies| latencies.p99),
        p999: over(|latencies| latencies.p999),
        max: over(|latencies| latencies.max),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, processors, date, kernel, .. } = &self.machine;
        let Settings { server_processors, generator_processors, rounds, .. } = &self.settings;
        writeln!(f, "{processor}, {processors} processors, {kernel}, {date}")?;
        writeln!(
            f,
            "servers on processor {server_processors:?}, the generator on {generator_processors:?}; medians of {rounds} rounds"
        )?;
        for family in self.families() {
            for scenario in Scenario::ALL {
                self.write_scenario(f, family, scenario)?;
            }
        }
        self.write_starts(f)?;
        self.write_overload(f)?;
        if !self.targets.is_empty() {
            writeln!(f, "\nTargets")?;
        }
        for target in &self.targets {
            writeln!(f, "{target}")?;
        }
        for LeftOut { subject, reason } in &self.left_out {
            writeln!(f, "\nLeft out: {}: {reason}", subject.title())?;
        }
        Ok(())
    }
}

impl Report {
    fn write_scenario(&self, f: &mut fmt::Formatter<'_>, family: Family, scenario: Scenario) -> fmt::Result {
        let found = Subject::ALL.into_iter().filter_map(|subject| self.summary(subject, family, scenario));
        let summaries: Vec<&Summary> = found.collect();
        if summaries.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{family}: {}", scenario.title())?;
        writeln!(
            f,
            "  {:<24}{:>12}{:>12}{:>10}{:>10}{:>10}{:>10}{:>14}",
            "", "requests/s", "rows/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "CPU s/M rows"
        )?;
        for summary in summaries {
            let Summary { subject, requests_per_second, rows_per_second, latency_us, .. } = summary;
            write!(f, "  {:<24}{requests_per_second:>12.0}{rows_per_second:>12.0}", subject.title())?;
            let [p50, p90, p99, p999] = latency_us.map_or([f64::NAN; 4], |l| [l.p50, l.p90, l.p99, l.p999]);
            for us in [p50, p90, p99, p999] {
                write!(f, "{:>10.3}", us / 1e3)?;
            }
            write!(f, "{:>14.2}", summary.cpu_seconds_per_million_rows)?;
            let Statuses { rejected, other, failed, .. } = summary.statuses;
            if rejected + other + failed > 0 {
                write!(f, "  {rejected} times 429, {other} others, {failed} failed")?;
            }
            writeln!(f, "{}", if summary.stable { "" } else { "  not stable" })?;
        }
        Ok(())
    }

    fn write_starts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n  {:<24}{:<10}{:>12}{:>16}{:>12}{:>14}",
            "", "family", "ready in s", "from disk in s", "memory MB", "installed MB"
        )?;
        for StartSummary { subject, family, seconds, from_disk_seconds, resident_bytes } in &self.starts {
            let installed = self.subjects.iter().find(|info| info.subject == *subject);
            let installed =
                installed.and_then(|info| info.installed_bytes).map_or(f64::NAN, |bytes| bytes as f64);
            let family = if subject.has_model() { family.name() } else { "" };
            writeln!(
                f,
                "  {:<24}{family:<10}{seconds:>12.3}{from_disk_seconds:>16.3}{:>12.1}{:>14.1}",
                subject.title(),
                resident_bytes / 1e6,
                installed / 1e6
            )?;
        }
        for (subject, bytes) in &self.both_resident_bytes {
            writeln!(f, "  {:<24}{:<38}{:>12.1}", subject.title(), "all families", *bytes as f64 / 1e6)?;
        }
        Ok(())
    }

    fn write_overload(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.overload.is_empty() {
            writeln!(f, "\nThree times the capacity, open loop, Poisson")?;
        }
        self.overload.iter().try_for_each(|overload| writeln!(f, "{overload}"))
    }
}

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::time::Instant;

use super::statistics::{homogeneity_p_value, js_distance, psi};
use super::variables::{Bin, BinContent, ScoreTitle, Variable, VariableKind};
use super::windows::Window;
use crate::drift::DriftConfig;
use crate::time::to_rfc3339;

/// The comparison of a version's latest windows with its training rows.
#[derive(Debug, Serialize)]
pub struct DriftReport<'a> {
    /// The number of rows in the features' training profile.
    pub training_rows: u64,
    /// The time at which counting began, in RFC 3339 and UTC: after a start, or after the version was loaded.
    #[serde(serialize_with = "rfc3339_time")]
    pub since: DateTime<Utc>,
    /// The number of variables: the features and the score.
    #[serde(rename = "subjects")]
    pub variables: usize,
    /// The minimum number of rows for a result.
    pub min_rows: usize,
    /// The rate of false alarms of a window, over all variables.
    pub alpha: f64,
    /// The threshold of a variable's p-value: `alpha` divided among the variables.
    pub p_value_threshold: f64,
    /// The threshold of a variable's population stability index.
    pub psi_threshold: f64,
    /// The maximum number of rows in a window.
    pub window_rows: usize,
    /// The maximum length of a window, as text.
    #[serde(skip)]
    pub window_time: String,
    /// The maximum length of a window.
    pub window_seconds: u64,
    /// The last window of aligned panes that has ended.
    pub tumbling: WindowReport<'a>,
    /// The window that ends now.
    pub sliding: WindowReport<'a>,
}

/// The kind of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// The last of the windows that follow each other.
    Tumbling,
    /// The one that ends now.
    Sliding,
}

impl WindowKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tumbling, Self::Sliding];

    /// Returns the name used in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tumbling => "tumbling",
            Self::Sliding => "sliding",
        }
    }
}

/// The comparison of a window's rows with the training rows.
#[derive(Debug, Serialize)]
pub struct WindowReport<'a> {
    /// Whether it has enough rows for a result.
    pub ready: bool,
    /// The reason if there is no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of sampled rows.
    pub rows: u64,
    /// The number of rows seen.
    pub rows_seen: u64,
    /// Its start, in RFC 3339 and UTC.
    #[serde(serialize_with = "rfc3339")]
    pub from: Option<DateTime<Utc>>,
    /// Its end, or now.
    #[serde(serialize_with = "rfc3339")]
    pub to: Option<DateTime<Utc>>,
    /// The names of what has drifted, the largest population stability index first.
    pub drifted: Vec<&'a str>,
    /// The score.
    pub score: Option<VariableReport<'a>>,
    /// The features, in the schema's order.
    pub features: Vec<VariableReport<'a>>,
}

/// The comparison of one variable's values in a window with those in training.
#[derive(Debug, Serialize)]
pub struct VariableReport<'a> {
    /// A feature, or the score.
    pub kind: VariableKind,
    /// Its name.
    pub name: &'a str,
    /// Its description in the schema.
    #[serde(skip)]
    pub description: Option<&'a str>,
    /// The number of rows that it is compared with: the training rows, or for the score the test set.
    pub training_rows: u64,
    /// Whether it has drifted: its p-value and its population stability index pass their thresholds.
    pub detected: bool,
    /// Its distance from training; `None` where the window has too few rows, or training had none.
    #[serde(flatten)]
    pub statistics: Statistics,
    /// The share of rows without a value.
    pub missing: Shares,
    /// The share of rows with a value that the schema does not list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Shares>,
    /// Every bin.
    pub bins: Vec<BinReport<'a>>,
}

/// The distance of a variable from training. The formulas are in `drift::statistics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Statistics {
    /// The population stability index.
    pub psi: Option<f64>,
    /// The Jensen–Shannon distance to base 2.
    pub js_distance: Option<f64>,
    /// The probability of a difference at least this large by chance.
    pub p_value: Option<f64>,
}

/// Shares of the rows, from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Shares {
    /// In training.
    pub training: f64,
    /// In the window.
    pub live: f64,
}

/// A bin and the shares of rows in it.
#[derive(Debug, Serialize)]
pub struct BinReport<'a> {
    /// The bin.
    #[serde(flatten)]
    pub bin: &'a Bin,
    /// The shares.
    #[serde(flatten)]
    pub shares: Shares,
    /// The number of training rows in it.
    pub training_rows: u64,
    /// The number of sampled rows of the window in it.
    pub live_rows: u64,
}

/// The counts of a window, between two times.
#[derive(Debug, Clone)]
pub(super) struct WindowSums {
    /// Its start.
    pub from: Option<DateTime<Utc>>,
    /// Its end.
    pub to: Option<DateTime<Utc>>,
    /// The number of rows received.
    pub rows_seen: u64,
    /// The number of sampled rows.
    pub rows: u64,
    /// The number of values in each bin.
    pub counts: Vec<u64>,
}

impl From<Window> for WindowSums {
    fn from(window: Window) -> Self {
        let Window { from, to, rows_seen, rows, counts } = window;
        Self { from: Some(wall_clock(from)), to: Some(wall_clock(to)), rows_seen, rows, counts }
    }
}

impl<'a> DriftReport<'a> {
    /// Compares the windows with training.
    pub(super) fn of(
        config: &DriftConfig,
        training_rows: u64,
        since: DateTime<Utc>,
        variables: &'a [Variable],
        windows: [Option<WindowSums>; 2],
    ) -> Self {
        let [tumbling, sliding] = windows;
        let thresholds = Thresholds::of(config, variables.len());
        let not_yet = || {
            let (rows, time) = (config.window_rows, format_duration(config.window));
            format!("no window has ended yet: one ends after {rows} rows or {time}, whichever comes first")
        };
        let report = |window: Option<WindowSums>| match window {
            Some(window) => WindowReport::of(&thresholds, variables, &window),
            None => WindowReport::none(not_yet()),
        };
        Self {
            training_rows,
            since,
            variables: variables.len(),
            min_rows: config.min_rows,
            alpha: config.alpha,
            p_value_threshold: thresholds.p_value,
            psi_threshold: config.psi_threshold,
            window_rows: config.window_rows,
            window_time: format_duration(config.window),
            window_seconds: config.window.as_secs(),
            tumbling: report(tumbling),
            sliding: report(sliding),
        }
    }

    /// Returns the report of a window.
    pub fn window(&self, kind: WindowKind) -> &WindowReport<'a> {
        match kind {
            WindowKind::Tumbling => &self.tumbling,
            WindowKind::Sliding => &self.sliding,
        }
    }
}

/// The thresholds beyond which a variable has drifted.
struct Thresholds {
    min_rows: usize,
    p_value: f64,
    psi: f64,
}

impl Thresholds {
    /// Creates the thresholds. Bonferroni correction: each variable is tested at alpha / n, so at most
    /// `alpha` of all windows raise a false alarm, however the variables depend on each other.
    fn of(config: &DriftConfig, variables: usize) -> Self {
        Self {
            min_rows: config.min_rows,
            p_value: config.alpha / variables.max(1) as f64,
            psi: config.psi_threshold,
        }
    }

    /// Returns whether a variable has drifted. Both tests are needed: with many rows the p-value alone
    /// reports negligible differences, with few rows the index alone reports chance.
    fn are_exceeded_by(&self, statistics: &Statistics) -> bool {
        let Statistics { psi: Some(psi), p_value: Some(p_value), .. } = statistics else { return false };
        *p_value < self.p_value && *psi >= self.psi
    }
}

impl<'a> WindowReport<'a> {
    fn of(thresholds: &Thresholds, variables: &'a [Variable], window: &WindowSums) -> Self {
        let ready = window.rows >= thresholds.min_rows as u64;
        let reason = || {
            let (rows, needed) = (window.rows, thresholds.min_rows);
            format!("the window has {rows} rows, but needs at least {needed} (`drift.min_rows`)")
        };
        let mut features: Vec<VariableReport<'a>> = variables
            .iter()
            .map(|variable| VariableReport::of(thresholds, variable, window, ready))
            .collect();
        let mut drifted: Vec<_> = features.iter().filter(|variable| variable.detected).collect();
        drifted.sort_by(|a, b| b.statistics.psi.unwrap_or(0.0).total_cmp(&a.statistics.psi.unwrap_or(0.0)));
        let drifted = drifted.into_iter().map(|variable| variable.name).collect();
        // The score is the last variable.
        let score = features.pop();
        Self {
            ready,
            reason: (!ready).then(reason),
            rows: window.rows,
            rows_seen: window.rows_seen,
            from: window.from,
            to: window.to,
            drifted,
            score,
            features,
        }
    }

    fn none(reason: String) -> Self {
        Self {
            ready: false,
            reason: Some(reason),
            rows: 0,
            rows_seen: 0,
            from: None,
            to: None,
            drifted: Vec::new(),
            score: None,
            features: Vec::new(),
        }
    }

    /// Returns the score's name for people. That of a binary model without a score.
    pub fn score_title(&self) -> ScoreTitle {
        let title =
            |score: &VariableReport<'_>| ScoreTitle::of(score.name, score.bins.iter().map(|bin| bin.bin));
        self.score.as_ref().map_or(ScoreTitle::Score, title)
    }

    /// Returns the features, and then the score.
    pub fn variables(&self) -> impl Iterator<Item = &VariableReport<'a>> {
        self.features.iter().chain(&self.score)
    }
}

impl<'a> VariableReport<'a> {
    fn of(thresholds: &Thresholds, variable: &'a Variable, window: &WindowSums, ready: bool) -> Self {
        let live = window.counts.get(variable.range.clone()).unwrap_or_default();
        let training = variable.training.as_slice();
        let is_comparable = ready && training.iter().any(|count| *count > 0);
        let statistics = is_comparable.then(|| Statistics {
            psi: Some(psi(training, live)),
            js_distance: Some(js_distance(training, live)),
            p_value: Some(homogeneity_p_value(training, live, variable.values())),
        });
        let statistics = statistics.unwrap_or_default();
        let [all_training, all_live] = [training, live].map(|counts| counts.iter().sum::<u64>());
        let counts = training.iter().zip(live);
        let bins: Vec<BinReport<'a>> = variable
            .bins
            .iter()
            .zip(counts)
            .map(|(bin, (training, live))| BinReport {
                bin,
                shares: Shares { training: share(*training, all_training), live: share(*live, all_live) },
                training_rows: *training,
                live_rows: *live,
            })
            .collect();
        let shares_of =
            |content: &BinContent| bins.iter().find(|bin| bin.bin.content == *content).map(|bin| bin.shares);
        Self {
            kind: variable.kind,
            name: &variable.name,
            description: variable.description.as_deref(),
            training_rows: all_training,
            detected: thresholds.are_exceeded_by(&statistics),
            statistics,
            missing: shares_of(&BinContent::Missing).unwrap_or_default(),
            unknown: shares_of(&BinContent::Unknown),
            bins,
        }
    }
}

fn share(count: u64, total: u64) -> f64 {
    if total == 0 { 0.0 } else { count as f64 / total as f64 }
}

/// Converts an instant to wall-clock time.
fn wall_clock(instant: Instant) -> DateTime<Utc> {
    let ago = chrono::TimeDelta::from_std(instant.elapsed()).unwrap_or_default();
    Utc::now() - ago
}

fn rfc3339<S: serde::Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(to_rfc3339).serialize(serializer)
}

fn rfc3339_time<S: serde::Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    to_rfc3339(*time).serialize(serializer)
}

/// Formats a duration in the largest unit that divides it.
fn format_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let fits = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, name) = fits.unwrap_or((1, "second"));
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tokio::time::Instant;

use super::statistics::{homogeneity_p_value, js_distance, psi};
use super::subjects::{Bin, BinContent, Subject, SubjectKind};
use super::windows::Window;
use crate::drift::DriftConfig;

/// How the rows of a version's last windows compare with its training rows.
#[derive(Debug, Serialize)]
pub struct DriftReport<'a> {
    /// How many rows the features' training profile was made of.
    pub training_rows: u64,
    /// What is compared: the features and the score.
    pub subjects: usize,
    /// Fewer rows than these say nothing.
    pub min_rows: usize,
    /// The rate of false alarms of a window, over all subjects.
    pub alpha: f64,
    /// What a subject's p-value must be below: `alpha` divided among the subjects.
    pub p_value_threshold: f64,
    /// What a subject's population stability index must reach.
    pub psi_threshold: f64,
    /// How many rows a window holds at most.
    pub window_rows: usize,
    /// How long a window lasts at most, in words.
    #[serde(skip)]
    pub window_time: String,
    /// How long a window lasts at most.
    pub window_seconds: u64,
    /// The last window of aligned panes that has ended.
    pub tumbling: WindowReport<'a>,
    /// The window that ends now.
    pub sliding: WindowReport<'a>,
}

/// Which of the two windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowKind {
    /// The last one of windows that follow each other.
    Tumbling,
    /// The one that ends now.
    Sliding,
}

impl WindowKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tumbling, Self::Sliding];

    /// The name, as in a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tumbling => "tumbling",
            Self::Sliding => "sliding",
        }
    }
}

/// How the rows of a window compare with the training rows.
#[derive(Debug, Serialize)]
pub struct WindowReport<'a> {
    /// Whether it has enough rows to say something.
    pub ready: bool,
    /// Why it has nothing to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many rows were looked at.
    pub rows: u64,
    /// How many rows came.
    pub rows_seen: u64,
    /// When it began, in RFC 3339 and UTC.
    #[serde(serialize_with = "rfc3339")]
    pub from: Option<DateTime<Utc>>,
    /// When it ended, or now.
    #[serde(serialize_with = "rfc3339")]
    pub to: Option<DateTime<Utc>>,
    /// The names of what has drifted, the largest population stability index first.
    pub drifted: Vec<&'a str>,
    /// The score.
    pub score: Option<SubjectReport<'a>>,
    /// The features, in the schema's order.
    pub features: Vec<SubjectReport<'a>>,
}

/// How one subject's values in a window compare with those in training.
#[derive(Debug, Serialize)]
pub struct SubjectReport<'a> {
    /// A feature, or the score.
    pub kind: SubjectKind,
    /// Its name.
    pub name: &'a str,
    /// What the schema says of it.
    #[serde(skip)]
    pub description: Option<&'a str>,
    /// How many rows it is compared with: those of training, or of the score those that were held out from it.
    pub training_rows: u64,
    /// Whether it has drifted: its p-value is below the threshold, and its population stability index reaches the other.
    pub detected: bool,
    /// How far it is; `None` where the window has too few rows, or training had none.
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

/// The formulas stand where they are computed, in `drift::statistics`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Statistics {
    /// The population stability index.
    pub psi: Option<f64>,
    /// The Jensen–Shannon distance to base 2.
    pub js_distance: Option<f64>,
    /// How likely a difference as large as this one is by chance.
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
}

impl<'a> DriftReport<'a> {
    /// Compares the windows with training.
    pub fn new(
        config: &DriftConfig,
        training_rows: u64,
        subjects: &'a [Subject],
        windows: [Option<Window>; 2],
    ) -> Self {
        let [tumbling, sliding] = windows;
        let thresholds = Thresholds::of(config, subjects.len());
        let not_yet = || {
            let (rows, time) = (config.window_rows, in_words(config.window));
            format!("no window has ended yet: one ends after {rows} rows or {time}, whichever comes first")
        };
        let report = |window: Option<Window>| match window {
            Some(window) => WindowReport::of(&thresholds, subjects, &window),
            None => WindowReport::none(not_yet()),
        };
        Self {
            training_rows,
            subjects: subjects.len(),
            min_rows: config.min_rows,
            alpha: config.alpha,
            p_value_threshold: thresholds.p_value,
            psi_threshold: config.psi_threshold,
            window_rows: config.window_rows,
            window_time: in_words(config.window),
            window_seconds: config.window.as_secs(),
            tumbling: report(tumbling),
            sliding: report(sliding),
        }
    }

    /// One of the windows.
    pub fn window(&self, kind: WindowKind) -> &WindowReport<'a> {
        match kind {
            WindowKind::Tumbling => &self.tumbling,
            WindowKind::Sliding => &self.sliding,
        }
    }
}

/// When something has drifted.
struct Thresholds {
    min_rows: usize,
    p_value: f64,
    psi: f64,
}

impl Thresholds {
    /// That none of the subjects is an alarm by chance in more than `alpha` of the windows, each may be in its part of
    /// them: Bonferroni's inequality, which holds however the subjects depend on each other.
    fn of(config: &DriftConfig, subjects: usize) -> Self {
        Self {
            min_rows: config.min_rows,
            p_value: config.alpha / subjects.max(1) as f64,
            psi: config.psi_threshold,
        }
    }

    /// A small p-value alone would report every trifle that many rows make certain; a large index alone is what few rows
    /// give by chance.
    fn are_met(&self, statistics: &Statistics) -> bool {
        let Statistics { psi: Some(psi), p_value: Some(p_value), .. } = statistics else { return false };
        *p_value < self.p_value && *psi >= self.psi
    }
}

impl<'a> WindowReport<'a> {
    fn of(thresholds: &Thresholds, subjects: &'a [Subject], window: &Window) -> Self {
        let ready = window.rows >= thresholds.min_rows as u64;
        let reason = || {
            let (rows, needed) = (window.rows, thresholds.min_rows);
            format!(
                "the window has {rows} rows, and says nothing with fewer than {needed} (`drift.min_rows`)"
            )
        };
        let mut features: Vec<SubjectReport<'a>> =
            subjects.iter().map(|subject| SubjectReport::of(thresholds, subject, window, ready)).collect();
        let mut drifted: Vec<_> = features.iter().filter(|subject| subject.detected).collect();
        drifted.sort_by(|a, b| b.statistics.psi.unwrap_or(0.0).total_cmp(&a.statistics.psi.unwrap_or(0.0)));
        let drifted = drifted.into_iter().map(|subject| subject.name).collect();
        // The score is the last subject.
        let score = features.pop();
        Self {
            ready,
            reason: (!ready).then(reason),
            rows: window.rows,
            rows_seen: window.came,
            from: Some(wall_clock(window.from)),
            to: Some(wall_clock(window.to)),
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

    /// The features, and then the score.
    pub fn subjects(&self) -> impl Iterator<Item = &SubjectReport<'a>> {
        self.features.iter().chain(&self.score)
    }
}

impl<'a> SubjectReport<'a> {
    fn of(thresholds: &Thresholds, subject: &'a Subject, window: &Window, ready: bool) -> Self {
        let live = window.counts.get(subject.range.clone()).unwrap_or_default();
        let training = subject.training.as_slice();
        let is_comparable = ready && training.iter().any(|count| *count > 0);
        let statistics = is_comparable.then(|| Statistics {
            psi: Some(psi(training, live)),
            js_distance: Some(js_distance(training, live)),
            p_value: Some(homogeneity_p_value(training, live, subject.values())),
        });
        let statistics = statistics.unwrap_or_default();
        let [all_training, all_live] = [training, live].map(|counts| counts.iter().sum::<u64>());
        let counts = training.iter().zip(live);
        let bins: Vec<BinReport<'a>> = subject
            .bins
            .iter()
            .zip(counts)
            .map(|(bin, (training, live))| BinReport {
                bin,
                shares: Shares { training: share(*training, all_training), live: share(*live, all_live) },
            })
            .collect();
        let shares_of =
            |content: &BinContent| bins.iter().find(|bin| bin.bin.content == *content).map(|bin| bin.shares);
        Self {
            kind: subject.kind,
            name: &subject.name,
            description: subject.description.as_deref(),
            training_rows: all_training,
            detected: thresholds.are_met(&statistics),
            statistics,
            missing: shares_of(&BinContent::Missing).unwrap_or_default(),
            unknown: shares_of(&BinContent::Unknown),
            bins,
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The time of day of a moment of this process.
fn wall_clock(moment: Instant) -> DateTime<Utc> {
    let ago = chrono::TimeDelta::from_std(moment.elapsed()).unwrap_or_default();
    Utc::now() - ago
}

fn rfc3339<S: serde::Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)).serialize(serializer)
}

/// A duration in the largest unit that divides it.
fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    let fits = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, name) = fits.unwrap_or((1, "second"));
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

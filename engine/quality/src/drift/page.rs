//! The report as one HTML page, which loads nothing and has no script.

use askama::Template;
use chrono::{SecondsFormat, Utc};

use super::report::{BinReport, DriftReport, VariableReport, WindowKind, WindowReport};
use super::variables::{BinContent, ScoreTitle, VariableKind};

/// The error of a page that cannot be rendered.
pub type PageError = askama::Error;

/// The model and the window that a page shows.
#[derive(Debug, Clone, Copy)]
pub struct PageContext<'a> {
    /// The model.
    pub model: &'a str,
    /// Its version.
    pub version: u64,
    /// Whether the request named the version by its number. Links on the page then do, too.
    pub by_number: bool,
    /// The window.
    pub window: WindowKind,
    /// Whether the page is a file. Links to an engine's routes are left out then.
    pub is_file: bool,
}

impl DriftReport<'_> {
    /// Renders the report as an HTML page: a summary, and then each variable, the worst first.
    ///
    /// # Errors
    /// [`PageError`] if the page cannot be rendered.
    pub fn page(&self, context: &PageContext<'_>) -> Result<String, PageError> {
        let window = self.window(context.window);
        let json = match context.by_number {
            _ if context.is_file => String::new(),
            true => format!("/models/{}/drift?version={}", context.model, context.version),
            false => format!("/models/{}/drift", context.model),
        };
        let tabs = if context.is_file { &[][..] } else { &WindowKind::ALL[..] };
        let indices = window.variables().filter_map(|variable| variable.statistics.psi);
        // All bars of the overview have the same scale, which includes the threshold.
        let largest = indices.fold(self.psi_threshold * 1.5, f64::max).max(f64::MIN_POSITIVE);
        let page = Page {
            model: context.model,
            version: context.version,
            headline: headline(window),
            lead: lead(self, window),
            tabs: tabs.iter().map(|kind| self.tab(context, *kind)).collect(),
            tiles: tiles(window),
            panels: panels(window, largest),
            score: window.score_title().text(),
            threshold_at: 100.0 * self.psi_threshold / largest,
            psi_threshold: self.psi_threshold,
            p_threshold: format_p_value(self.p_value_threshold),
            alpha: self.alpha,
            min_rows: group_digits(self.min_rows as u64),
            variables: self.variables,
            windows: format!(
                "A window ends after {} rows or {}, whichever is first. The sliding one ends now and moves by a tenth \
                 of a window. The last whole one is the last of the windows that follow each other.",
                group_digits(self.window_rows as u64),
                self.window_time
            ),
            made_at: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            json,
        };
        page.render()
    }

    fn tab(&self, context: &PageContext<'_>, kind: WindowKind) -> Tab {
        let version = if context.by_number { format!("&version={}", context.version) } else { String::new() };
        Tab {
            name: match kind {
                WindowKind::Tumbling => "Last whole window",
                WindowKind::Sliding => "Until now",
            },
            rows: count_with_noun(self.window(kind).rows, "row"),
            link: format!("?window={}{version}", kind.name()),
            is_active: context.window == kind,
        }
    }
}

#[derive(Template)]
#[template(path = "drift.html")]
struct Page<'a> {
    model: &'a str,
    version: u64,
    headline: String,
    lead: String,
    tabs: Vec<Tab>,
    tiles: Vec<Tile>,
    /// Features and score, the worst first.
    panels: Vec<Panel<'a>>,
    /// The score's name.
    score: &'static str,
    /// The threshold's position on the scale of the overview, in percent.
    threshold_at: f64,
    psi_threshold: f64,
    p_threshold: String,
    alpha: f64,
    min_rows: String,
    variables: usize,
    windows: String,
    made_at: String,
    json: String,
}

struct Tab {
    name: &'static str,
    rows: String,
    link: String,
    is_active: bool,
}

struct Tile {
    name: String,
    value: String,
    meaning: String,
    is_alarm: bool,
}

struct Panel<'a> {
    name: &'a str,
    description: Option<&'a str>,
    anchor: String,
    is_score: bool,
    /// Whether its bins are a histogram from 0 to 1.
    is_probability: bool,
    detected: bool,
    /// The largest change, as text.
    change: Option<String>,
    psi: String,
    js_distance: String,
    p_value: String,
    psi_width: f64,
    bars: Vec<Bar<'a>>,
}

struct Bar<'a> {
    name: &'a str,
    /// Whether it is of missing or unknown values.
    is_gap: bool,
    training: String,
    live: String,
    training_width: f64,
    live_width: f64,
}

/// Shown where there is no number.
const DASH: &str = "–";

fn headline(window: &WindowReport<'_>) -> String {
    if !window.ready {
        return "Too few rows for a result yet".to_owned();
    }
    let drifted = window.features.iter().filter(|feature| feature.detected).count();
    let (all, score) = (window.features.len(), window.score.as_ref().is_some_and(|score| score.detected));
    let worst =
        window.drifted.iter().find(|name| window.features.iter().any(|feature| feature.name == **name));
    match (drifted, worst) {
        (1, Some(worst)) => {
            format!("1 of {} has drifted: look at {worst}", count_with_noun(all as u64, "feature"))
        }
        (drifted, Some(worst)) => format!("{drifted} of {all} features have drifted; look at {worst} first"),
        _ if score => {
            format!("The {} has drifted, though no feature has", window.score_title().text())
        }
        _ => format!("None of {} has drifted", count_with_noun(all as u64, "feature")),
    }
}

fn lead(report: &DriftReport<'_>, window: &WindowReport<'_>) -> String {
    if let Some(reason) = &window.reason {
        let mut reason = reason.clone();
        if let Some(first) = reason.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        return format!("{reason}.");
    }
    let time = |time: Option<chrono::DateTime<Utc>>| {
        time.map_or(DASH.to_owned(), |time| time.format("%-d %B, %H:%M:%S").to_string())
    };
    let seen = if window.rows_seen > window.rows {
        format!("{} of {}", group_digits(window.rows), count_with_noun(window.rows_seen, "row"))
    } else {
        count_with_noun(window.rows, "row")
    };
    let compared = format!(
        "{seen}, from {} to {} UTC, against the {} that the model was trained on.",
        time(window.from),
        time(window.to),
        count_with_noun(report.training_rows, "row")
    );
    let any_feature = window.features.iter().any(|feature| feature.detected);
    let score = window.score_title().text();
    let what = match window.score.as_ref().map(|score| score.detected) {
        Some(true) if any_feature => {
            let relied_on = match window.score_title() {
                ScoreTitle::Score => "decisions",
                ScoreTitle::PredictedClass | ScoreTitle::PredictedNumber => "predictions",
            };
            format!(
                "The {score} has drifted with them: check whether the customers or the data have changed before \
                 you rely on its {relied_on}."
            )
        }
        _ if any_feature => format!("The {score} has not drifted so far."),
        Some(true) => {
            "The combination of features may have changed, or the model differs from the profiled one."
                .to_owned()
        }
        _ => format!("The {score} looks as it did in training, too."),
    };
    format!("{compared} {what}")
}

fn tiles(window: &WindowReport<'_>) -> Vec<Tile> {
    if !window.ready {
        return Vec::new();
    }
    let drifted = window.features.iter().filter(|feature| feature.detected).count();
    let psi = |variable: &VariableReport<'_>| variable.statistics.psi.unwrap_or_default();
    let largest = window.features.iter().max_by(|a, b| psi(a).total_cmp(&psi(b)));
    let gap = |feature: &VariableReport<'_>| {
        let unknown = feature.unknown.unwrap_or_default();
        (feature.missing.live - feature.missing.training).max(unknown.live - unknown.training)
    };
    let gaps = window.features.iter().max_by(|a, b| gap(a).total_cmp(&gap(b)));
    let features = Tile {
        name: "Features".to_owned(),
        value: format!("{drifted} of {}", window.features.len()),
        meaning: "have drifted".to_owned(),
        is_alarm: drifted > 0,
    };
    let worst = largest.map(|feature| Tile {
        name: "Largest PSI of a feature".to_owned(),
        value: format_fixed(feature.statistics.psi, 2),
        meaning: feature.name.to_owned(),
        is_alarm: feature.detected,
    });
    let score = window.score.as_ref().map(|score| Tile {
        name: format!("PSI of the {}", window.score_title().text()),
        value: format_fixed(score.statistics.psi, 2),
        meaning: if score.detected { "has drifted" } else { "has not drifted" }.to_owned(),
        is_alarm: score.detected,
    });
    let gaps = gaps.map(|feature| match gap(feature) {
        more if more > 0.0 => Tile {
            name: "Missing or unknown".to_owned(),
            value: format!("+{}", format_percent(more)),
            meaning: format!("of {}, more than in training", feature.name),
            is_alarm: feature.detected,
        },
        _ => Tile {
            name: "Missing or unknown".to_owned(),
            value: "0%".to_owned(),
            meaning: "more than in training, of any feature".to_owned(),
            is_alarm: false,
        },
    });
    [Some(features), worst, score, gaps].into_iter().flatten().collect()
}

/// Returns the panels, worst first: drifted ones, then by population stability index; without it, in the
/// schema's order.
fn panels<'a>(window: &WindowReport<'a>, largest: f64) -> Vec<Panel<'a>> {
    if window.rows == 0 {
        return Vec::new();
    }
    let mut panels: Vec<_> = window.variables().enumerate().collect();
    panels.sort_by(|(_, a), (_, b)| {
        let rank =
            |variable: &VariableReport<'_>| (variable.detected, variable.statistics.psi.unwrap_or_default());
        let ((a_detected, a), (b_detected, b)) = (rank(a), rank(b));
        b_detected.cmp(&a_detected).then(b.total_cmp(&a))
    });
    let is_probability = window.score_title() == ScoreTitle::Score;
    let panel = |(index, variable)| Panel::of(index, variable, largest, is_probability);
    panels.into_iter().map(panel).collect()
}

impl<'a> Panel<'a> {
    fn of(index: usize, variable: &VariableReport<'a>, largest: f64, is_probability: bool) -> Self {
        let statistics = variable.statistics;
        let is_visible = |bin: &&BinReport<'a>| !bin.is_gap() || bin.shares.training + bin.shares.live > 0.0;
        let shares = variable.bins.iter().flat_map(|bin| [bin.shares.training, bin.shares.live]);
        let tallest = shares.fold(f64::MIN_POSITIVE, f64::max);
        let bar = |bin: &BinReport<'a>| Bar {
            name: &bin.bin.name,
            is_gap: bin.is_gap(),
            training: format_percent(bin.shares.training),
            live: format_percent(bin.shares.live),
            training_width: 100.0 * bin.shares.training / tallest,
            live_width: 100.0 * bin.shares.live / tallest,
        };
        Self {
            name: variable.name,
            description: variable.description,
            anchor: format!("subject-{index}"),
            is_score: variable.kind == VariableKind::Score,
            is_probability: variable.kind == VariableKind::Score && is_probability,
            detected: variable.detected,
            change: variable.detected.then(|| largest_change(variable)).flatten(),
            psi: format_fixed(statistics.psi, 3),
            js_distance: format_fixed(statistics.js_distance, 3),
            p_value: statistics.p_value.map_or(DASH.to_owned(), format_p_value),
            psi_width: 100.0 * statistics.psi.unwrap_or_default() / largest,
            bars: variable.bins.iter().filter(is_visible).map(bar).collect(),
        }
    }
}

impl BinReport<'_> {
    fn is_gap(&self) -> bool {
        matches!(self.bin.content, BinContent::Missing | BinContent::Unknown)
    }
}

fn largest_change(variable: &VariableReport<'_>) -> Option<String> {
    let change = |bin: &BinReport<'_>| (bin.shares.live - bin.shares.training).abs();
    let most = variable.bins.iter().max_by(|a, b| change(a).total_cmp(&change(b)))?;
    let shares = most.shares;
    Some(format!(
        "Most changed: {}, {} in training and {} live.",
        most.bin.name,
        format_percent(shares.training),
        format_percent(shares.live)
    ))
}

fn format_fixed(value: Option<f64>, decimals: usize) -> String {
    value.map_or(DASH.to_owned(), |value| format!("{value:.decimals$}"))
}

/// Formats a p-value with four decimals, or as "< 0.0001".
fn format_p_value(value: f64) -> String {
    if value < 0.0001 { "< 0.0001".to_owned() } else { format!("{value:.4}") }
}

/// Formats a share as whole percent, with more digits where it would otherwise read as 0 or 100.
fn format_percent(share: f64) -> String {
    match share * 100.0 {
        percent if share > 0.0 && percent < 0.1 => "< 0.1%".to_owned(),
        percent if share < 1.0 && percent > 99.9 => "> 99.9%".to_owned(),
        percent if share > 0.0 && share < 1.0 && !(1.0..=99.0).contains(&percent) => format!("{percent:.1}%"),
        percent => format!("{percent:.0}%"),
    }
}

/// Formats a count with its noun: `1 row`, `2,000 rows`.
fn count_with_noun(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", group_digits(value), if value == 1 { "" } else { "s" })
}

/// Formats a count with its digits in groups of three.
fn group_digits(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

//! The report as one page for people: it loads nothing from anywhere and holds no script.

use askama::Template;
use chrono::{SecondsFormat, Utc};

use super::report::{BinReport, DriftReport, SubjectReport, WindowKind, WindowReport};
use super::subjects::{BinContent, SubjectKind};

/// Why there is no page.
pub type PageError = askama::Error;

/// What a page is of.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The model.
    pub model: &'a str,
    /// Its version.
    pub version: u64,
    /// Whether the version was asked for by its number, as links then do too.
    pub by_number: bool,
    /// The window.
    pub window: WindowKind,
}

impl DriftReport<'_> {
    /// The report as an HTML page: in words first, and then feature by feature, the worst first.
    ///
    /// # Errors
    /// [`PageError`] if the page cannot be put together.
    pub fn page(&self, shown: &Shown<'_>) -> Result<String, PageError> {
        let window = self.window(shown.window);
        let json = match shown.by_number {
            true => format!("/models/{}/drift?version={}", shown.model, shown.version),
            false => format!("/models/{}/drift", shown.model),
        };
        let indices = window.subjects().filter_map(|subject| subject.statistics.psi);
        // The bars of the overview all have the same scale, on which the threshold has its place too.
        let largest = indices.fold(self.psi_threshold * 1.5, f64::max).max(f64::MIN_POSITIVE);
        let page = Page {
            model: shown.model,
            version: shown.version,
            headline: headline(window),
            lead: lead(self, window),
            tabs: WindowKind::ALL.map(|kind| self.tab(shown, kind)),
            tiles: tiles(window),
            panels: panels(window, largest),
            threshold_at: 100.0 * self.psi_threshold / largest,
            psi_threshold: self.psi_threshold,
            p_threshold: significant(self.p_value_threshold),
            alpha: self.alpha,
            min_rows: count(self.min_rows as u64),
            subjects: self.subjects,
            windows: format!(
                "A window ends after {} rows or {}, whichever comes first. The sliding one ends now and moves on by \
                 a tenth of a window; the last whole one is one of windows that follow each other.",
                count(self.window_rows as u64),
                self.window_time
            ),
            made_at: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            json,
        };
        page.render()
    }

    fn tab(&self, shown: &Shown<'_>, kind: WindowKind) -> Tab {
        let version = if shown.by_number { format!("&version={}", shown.version) } else { String::new() };
        Tab {
            name: match kind {
                WindowKind::Tumbling => "Last whole window",
                WindowKind::Sliding => "Until now",
            },
            rows: counted(self.window(kind).rows, "row"),
            link: format!("?window={}{version}", kind.name()),
            is_shown: shown.window == kind,
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
    tabs: [Tab; 2],
    tiles: Vec<Tile>,
    /// Features and score, the worst first.
    panels: Vec<Panel<'a>>,
    /// Where the threshold lies on the scale of the overview, in percent.
    threshold_at: f64,
    psi_threshold: f64,
    p_threshold: String,
    alpha: f64,
    min_rows: String,
    subjects: usize,
    windows: String,
    made_at: String,
    json: String,
}

struct Tab {
    name: &'static str,
    rows: String,
    link: String,
    is_shown: bool,
}

struct Tile {
    name: &'static str,
    value: String,
    meaning: String,
    is_alarm: bool,
}

struct Panel<'a> {
    name: &'a str,
    description: Option<&'a str>,
    anchor: String,
    is_score: bool,
    detected: bool,
    /// The largest change in words.
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

/// Stands where there is no number.
const NONE: &str = "–";

fn headline(window: &WindowReport<'_>) -> String {
    if !window.ready {
        return "Too few rows to say anything yet".to_owned();
    }
    let drifted = window.features.iter().filter(|feature| feature.detected).count();
    let (all, score) = (window.features.len(), window.score.as_ref().is_some_and(|score| score.detected));
    let worst =
        window.drifted.iter().find(|name| window.features.iter().any(|feature| feature.name == **name));
    match (drifted, worst) {
        (1, Some(worst)) => format!("1 of {} has drifted: look at {worst}", counted(all as u64, "feature")),
        (drifted, Some(worst)) => format!("{drifted} of {all} features have drifted; look at {worst} first"),
        _ if score => "The score has drifted, though no feature has".to_owned(),
        _ => format!("None of {} has drifted", counted(all as u64, "feature")),
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
        time.map_or(NONE.to_owned(), |time| time.format("%-d %B, %H:%M:%S").to_string())
    };
    let seen = if window.rows_seen > window.rows {
        format!("{} of {}", count(window.rows), counted(window.rows_seen, "row"))
    } else {
        counted(window.rows, "row")
    };
    let compared = format!(
        "{seen}, from {} to {} UTC, against the {} that the model was trained on.",
        time(window.from),
        time(window.to),
        counted(report.training_rows, "row")
    );
    let any_feature = window.features.iter().any(|feature| feature.detected);
    let what = match window.score.as_ref().map(|score| score.detected) {
        Some(true) if any_feature => {
            "The score has drifted with them: find out whether the customers have changed or the data, before its \
             decisions are relied on."
        }
        _ if any_feature => "The score has not drifted so far.",
        Some(true) => {
            "What the features do together may have changed; or the model is another one than was profiled."
        }
        _ => "The score looks as it did in training, too.",
    };
    format!("{compared} {what}")
}

fn tiles(window: &WindowReport<'_>) -> Vec<Tile> {
    if !window.ready {
        return Vec::new();
    }
    let drifted = window.features.iter().filter(|feature| feature.detected).count();
    let psi = |subject: &SubjectReport<'_>| subject.statistics.psi.unwrap_or_default();
    let largest = window.features.iter().max_by(|a, b| psi(a).total_cmp(&psi(b)));
    let gap = |feature: &SubjectReport<'_>| {
        let unknown = feature.unknown.unwrap_or_default();
        (feature.missing.live - feature.missing.training).max(unknown.live - unknown.training)
    };
    let gaps = window.features.iter().max_by(|a, b| gap(a).total_cmp(&gap(b)));
    let features = Tile {
        name: "Features",
        value: format!("{drifted} of {}", window.features.len()),
        meaning: "have drifted".to_owned(),
        is_alarm: drifted > 0,
    };
    let worst = largest.map(|feature| Tile {
        name: "Largest PSI of a feature",
        value: fixed(feature.statistics.psi, 2),
        meaning: feature.name.to_owned(),
        is_alarm: feature.detected,
    });
    let score = window.score.as_ref().map(|score| Tile {
        name: "PSI of the score",
        value: fixed(score.statistics.psi, 2),
        meaning: if score.detected { "has drifted" } else { "has not drifted" }.to_owned(),
        is_alarm: score.detected,
    });
    let gaps = gaps.map(|feature| match gap(feature) {
        more if more > 0.0 => Tile {
            name: "Missing or unknown",
            value: format!("+{}", percent(more)),
            meaning: format!("of {}, more than in training", feature.name),
            is_alarm: feature.detected,
        },
        _ => Tile {
            name: "Missing or unknown",
            value: "0%".to_owned(),
            meaning: "more than in training, of any feature".to_owned(),
            is_alarm: false,
        },
    });
    [Some(features), worst, score, gaps].into_iter().flatten().collect()
}

/// The worst first: what has drifted, and then by the population stability index; without it, in the schema's order.
fn panels<'a>(window: &WindowReport<'a>, largest: f64) -> Vec<Panel<'a>> {
    if window.rows == 0 {
        return Vec::new();
    }
    let mut panels: Vec<_> = window.subjects().enumerate().collect();
    panels.sort_by(|(_, a), (_, b)| {
        let rank =
            |subject: &SubjectReport<'_>| (subject.detected, subject.statistics.psi.unwrap_or_default());
        let ((a_detected, a), (b_detected, b)) = (rank(a), rank(b));
        b_detected.cmp(&a_detected).then(b.total_cmp(&a))
    });
    panels.into_iter().map(|(index, subject)| Panel::of(index, subject, largest)).collect()
}

impl<'a> Panel<'a> {
    fn of(index: usize, subject: &SubjectReport<'a>, largest: f64) -> Self {
        let statistics = subject.statistics;
        let shown = |bin: &&BinReport<'a>| !bin.is_gap() || bin.shares.training + bin.shares.live > 0.0;
        let shares = subject.bins.iter().flat_map(|bin| [bin.shares.training, bin.shares.live]);
        let tallest = shares.fold(f64::MIN_POSITIVE, f64::max);
        let bar = |bin: &BinReport<'a>| Bar {
            name: &bin.bin.name,
            is_gap: bin.is_gap(),
            training: percent(bin.shares.training),
            live: percent(bin.shares.live),
            training_width: 100.0 * bin.shares.training / tallest,
            live_width: 100.0 * bin.shares.live / tallest,
        };
        Self {
            name: subject.name,
            description: subject.description,
            anchor: format!("subject-{index}"),
            is_score: subject.kind == SubjectKind::Score,
            detected: subject.detected,
            change: subject.detected.then(|| largest_change(subject)).flatten(),
            psi: fixed(statistics.psi, 3),
            js_distance: fixed(statistics.js_distance, 3),
            p_value: statistics.p_value.map_or(NONE.to_owned(), significant),
            psi_width: 100.0 * statistics.psi.unwrap_or_default() / largest,
            bars: subject.bins.iter().filter(shown).map(bar).collect(),
        }
    }
}

impl BinReport<'_> {
    fn is_gap(&self) -> bool {
        matches!(self.bin.content, BinContent::Missing | BinContent::Unknown)
    }
}

fn largest_change(subject: &SubjectReport<'_>) -> Option<String> {
    let change = |bin: &BinReport<'_>| (bin.shares.live - bin.shares.training).abs();
    let most = subject.bins.iter().max_by(|a, b| change(a).total_cmp(&change(b)))?;
    let shares = most.shares;
    Some(format!(
        "Most changed: {}, {} in training and {} live.",
        most.bin.name,
        percent(shares.training),
        percent(shares.live)
    ))
}

fn fixed(value: Option<f64>, decimals: usize) -> String {
    value.map_or(NONE.to_owned(), |value| format!("{value:.decimals$}"))
}

/// A p-value: four places, and no more of it than that it is small.
fn significant(value: f64) -> String {
    if value < 0.0001 { "< 0.0001".to_owned() } else { format!("{value:.4}") }
}

/// A share from 0 to 1 in whole percent, more finely where it would otherwise read as 0 or 100 without being it.
fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if share > 0.0 && percent < 0.1 => "< 0.1%".to_owned(),
        percent if share < 1.0 && percent > 99.9 => "> 99.9%".to_owned(),
        percent if share > 0.0 && share < 1.0 && !(1.0..=99.0).contains(&percent) => format!("{percent:.1}%"),
        percent => format!("{percent:.0}%"),
    }
}

/// A count with its noun: `1 row`, `2,000 rows`.
fn counted(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// A count with its digits in groups of three.
fn count(value: u64) -> String {
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

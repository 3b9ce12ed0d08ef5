//! The results as files: `results.json` for programs, `comparison.svg` and `comparison.html` for people.

use std::path::Path;

use askama::Template;
use onnward_harness::HarnessError;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::comparison::report::{Report, SubjectInfo, Summary};
use crate::comparison::scenario::Scenario;
use crate::comparison::subject::Subject;

const WIDTH: u32 = 860;
const TITLE: i32 = 26;
const BAR: i32 = 12;
/// The distance between subjects: two bars and a gap.
const STEP: i32 = 36;
/// The left edge of the bars.
const LEFT: i32 = 180;
/// The length of the longest bar. Its figure is to the right of it.
const LENGTH: f64 = 560.0;
const MARGIN: i32 = 10;

const INK: RGBColor = RGBColor(40, 44, 52);
const ONNWARD: RGBColor = RGBColor(0, 110, 160);
const LIMIT: RGBColor = RGBColor(150, 150, 150);
const PEER: RGBColor = RGBColor(200, 120, 40);

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A panel of the chart: its scenario, title and figure.
type Panel = (Scenario, &'static str, fn(&Summary) -> f64);

const PANELS: [Panel; 2] = [
    (Scenario::SingleAt64, "Single rows, 64 at a time: requests a second", |summary| {
        summary.requests_per_second
    }),
    (Scenario::Batch1024, "Batches of 1,024 rows as JSON: rows a second", |summary| summary.rows_per_second),
];

/// Writes the files into `folder`, which is created if it is missing.
///
/// # Errors
/// [`HarnessError::System`], [`HarnessError::Json`], or [`HarnessError::Settings`] if nothing can be drawn.
pub fn write(report: &Report, folder: &Path) -> Result<(), HarnessError> {
    std::fs::create_dir_all(folder).map_err(HarnessError::system(format!("make {}", folder.display())))?;
    let svg = draw(report)?;
    let page = Page { report, svg: &svg, caption: caption(report) };
    let html =
        page.render().map_err(|error| HarnessError::Settings(format!("cannot make the page: {error}")))?;
    let json = serde_json::to_string_pretty(report)? + "\n";
    for (name, content) in [("results.json", json), ("comparison.svg", svg), ("comparison.html", html)] {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(HarnessError::system(format!("write {}", path.display())))?;
    }
    Ok(())
}

#[derive(Template)]
#[template(path = "comparison.html")]
struct Page<'a> {
    report: &'a Report,
    svg: &'a str,
    caption: String,
}

impl Page<'_> {
    fn installed(info: &SubjectInfo) -> String {
        info.installed_bytes.map_or_else(String::new, |bytes| format!("{:.0} MB", bytes as f64 / 1e6))
    }
}

/// Draws the chart: a bar for each subject and family, on a logarithmic scale.
///
/// # Errors
/// [`HarnessError::Settings`] if it cannot be drawn.
pub fn draw(report: &Report) -> Result<String, HarnessError> {
    let mut panels = PANELS.map(|panel| (panel, bars(report, panel)));
    panels.iter_mut().for_each(|(_, bars)| bars.sort_by(|one, other| other.best().total_cmp(&one.best())));
    let height_of = |bars: &[Bars]| if bars.is_empty() { 0 } else { TITLE * 2 + STEP * bars.len() as i32 };
    let height = panels.iter().map(|(_, bars)| height_of(bars)).sum::<i32>() + 2 * TITLE;

    let mut svg = String::new();
    let drawn = {
        let canvas = SVGBackend::with_string(&mut svg, (WIDTH, height.unsigned_abs())).into_drawing_area();
        let mut top = 0;
        canvas
            .fill(&WHITE)
            .and_then(|()| {
                panels.iter().filter(|(_, bars)| !bars.is_empty()).try_for_each(|((_, title, _), bars)| {
                    let drawn = panel(&canvas, top, title, bars);
                    top += height_of(bars);
                    drawn
                })
            })
            .and_then(|()| {
                let lines = wrapped(&caption(report), 135);
                lines.iter().enumerate().try_for_each(|(line, text)| {
                    let at = (MARGIN, height - TITLE * 2 + 14 + 16 * line as i32);
                    write_text(&canvas, text, at, 11, HPos::Left)
                })
            })
            .and_then(|()| canvas.present())
            .map_err(|error| HarnessError::Settings(format!("cannot draw the chart: {error}")))
    };
    drawn.map(|()| svg)
}

/// The bars of a subject.
struct Bars {
    subject: Subject,
    /// The family's name, or an empty one if it does not matter; the figure; and whether it was stable.
    figures: Vec<(&'static str, f64, bool)>,
}

impl Bars {
    fn best(&self) -> f64 {
        self.figures.iter().map(|(_, figure, _)| *figure).fold(0.0, f64::max)
    }
}

fn bars(report: &Report, (scenario, _, value): Panel) -> Vec<Bars> {
    let bars = Subject::ALL.into_iter().map(|subject| {
        let own =
            report.summaries.iter().filter(|found| found.subject == subject && found.scenario == scenario);
        let figures = own.map(|found| {
            let family = if subject.has_model() { found.family.name() } else { "" };
            (family, value(found), found.stable)
        });
        Bars { subject, figures: figures.collect() }
    });
    bars.filter(|bars| bars.best() > 0.0).collect()
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn panel(canvas: &Canvas<'_>, top: i32, title: &str, bars: &[Bars]) -> Drawn {
    write_text(canvas, &format!("{title} (logarithmic)"), (MARGIN, top + TITLE), 15, HPos::Left)?;
    let figures = || bars.iter().flat_map(|bars| bars.figures.iter().map(|(_, figure, _)| *figure));
    let most = figures().fold(0.0, f64::max).log10();
    let least = figures().filter(|figure| *figure > 0.0).fold(f64::INFINITY, f64::min).log10().floor();
    for (place, bars) in bars.iter().enumerate() {
        let y = top + TITLE * 3 / 2 + 4 + STEP * place as i32;
        let color = match bars.subject {
            Subject::Bare => LIMIT,
            subject if subject.backend().is_some() => ONNWARD,
            _ => PEER,
        };
        write_text(canvas, bars.subject.title(), (LEFT - 8, y + BAR + 1), 12, HPos::Right)?;
        for (line, (family, figure, stable)) in bars.figures.iter().enumerate() {
            let y = y + (BAR + 2) * line as i32;
            let share = (figure.log10() - least) / (most - least).max(f64::EPSILON);
            let end = LEFT + (LENGTH * share.max(0.0)) as i32;
            // The second family's bar is lighter.
            let style = color.mix(if line == 0 { 1.0 } else { 0.6 }).filled();
            canvas.draw(&Rectangle::new([(LEFT, y), (end, y + BAR)], style))?;
            let mark = if *stable { "" } else { " (not stable)" };
            let text = format!("{} {family}{mark}", thousands(*figure));
            write_text(canvas, text.trim_end(), (end + 5, y + BAR / 2 + 1), 11, HPos::Left)?;
        }
    }
    Ok(())
}

fn write_text(canvas: &Canvas<'_>, text: &str, at: (i32, i32), size: u32, anchor: HPos) -> Drawn {
    let style =
        ("sans-serif", f64::from(size) * 1.24).into_font().color(&INK).pos(Pos::new(anchor, VPos::Center));
    canvas.draw(&Text::new(text.to_owned(), at, style))
}

/// Formats a figure with commas between thousands.
fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Describes the machine, the day and the versions.
fn caption(report: &Report) -> String {
    let machine = &report.machine;
    let versions = report.subjects.iter().flat_map(|info| &info.versions);
    let told = ["onnward", "fastapi", "onnxruntime", "scikit-learn", "mlserver"];
    let mut versions: Vec<&str> = versions
        .map(String::as_str)
        .filter(|version| version.split(' ').next().is_some_and(|name| told.contains(&name)))
        .collect();
    versions.sort_unstable();
    versions.dedup();
    format!(
        "{} with {} processors, {}: one core for the server, another for the load generator. {}. Medians of {} rounds.",
        machine.processor,
        machine.processors,
        machine.date,
        versions.join(", "),
        report.settings.rounds
    )
}

/// Wraps text to lines of at most so many characters.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_lines_are_easy_to_read() {
        assert_eq!([7.0, 999.0, 1234.4, 1_234_567.0].map(thousands), ["7", "999", "1,234", "1,234,567"]);
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    }
}

//! The curve charts, as SVG that takes its colours from the page.
//!
//! plotters writes whole pixels and fixed colours. So the canvas is drawn ten times too large, which makes
//! curves smooth. Every [`Ink`] is a placeholder colour that is replaced by a CSS custom property, so one
//! drawing serves light and dark mode.

use std::io;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

/// The number of colours that the style sheet has for models.
pub(super) const PALETTE: u8 = 6;

/// Canvas units in one CSS pixel of the drawing at its natural size.
const UNIT: u32 = 10;

/// Points closer together than this along both axes are drawn as one.
const SMALLEST_STEP: f64 = 0.001;

pub(super) type ChartError = DrawingAreaErrorKind<io::Error>;
type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// The role of a line or an area, which decides its colour in the style sheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Text,
    Grid,
    Reference,
    Left,
    Stayed,
    Model(u8),
}

impl Ink {
    fn color(self) -> RGBColor {
        let (kind, index) = match self {
            Self::Text => (0, 0),
            Self::Grid => (1, 0),
            Self::Reference => (2, 0),
            Self::Left => (3, 0),
            Self::Stayed => (4, 0),
            Self::Model(index) => (5, index),
        };
        RGBColor(0xAB, kind, index)
    }

    fn variable(self) -> String {
        match self {
            Self::Text => "var(--muted)".to_owned(),
            Self::Grid => "var(--grid)".to_owned(),
            Self::Reference => "var(--reference)".to_owned(),
            Self::Left => "var(--left)".to_owned(),
            Self::Stayed => "var(--stayed)".to_owned(),
            Self::Model(index) => format!("var(--model-{index})"),
        }
    }

    fn line(self, width: u32) -> ShapeStyle {
        self.color().stroke_width(width)
    }
}

/// A curve of one model.
pub(super) struct Curve<'a> {
    pub(super) ink: Ink,
    pub(super) points: &'a [[f64; 2]],
    pub(super) form: Form,
}

/// The connection of a curve's points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// By straight lines.
    Line,
    /// By straight lines, with a dot at each point: for few points that stand for many rows each.
    Dots,
    /// By steps, vertical and then horizontal: there is no threshold between two points. The area below is
    /// the average precision, which weights each step in recall by the precision at its end.
    Steps,
}

/// The captions of a chart's axes, and its description for screen readers.
pub(super) struct Captions {
    pub(super) about: &'static str,
    pub(super) x: &'static str,
    pub(super) y: &'static str,
}

/// Draws curves in the unit square, over a dashed reference line.
pub(super) fn unit_square(
    captions: &Captions,
    reference: [(f64, f64); 2],
    curves: &[Curve<'_>],
) -> Result<String, ChartError> {
    draw((460, 400), captions.about, |canvas| {
        let mut chart = axes(canvas, captions, UNIT_AXIS, UNIT_AXIS)?;
        let dashes = DashedLineSeries::new(reference, 5 * UNIT, 5 * UNIT, Ink::Reference.line(13));
        chart.draw_series(dashes)?;
        // The first curve is that of the best candidate, so it is drawn last, above the others.
        for curve in curves.iter().rev() {
            let points = thinned(curve.points);
            let points = if curve.form == Form::Steps { steps(&points) } else { points };
            chart.draw_series(LineSeries::new(points, curve.ink.line(22)))?;
            if curve.form == Form::Dots {
                let style = curve.ink.color().filled();
                let dots = curve.points.iter().map(|&[x, y]| Circle::new((x, y), 4 * UNIT, style));
                chart.draw_series(dots)?;
            }
        }
        Ok(())
    })
}

/// A chart of numbers in the units of the label on both axes, with the line on which they are equal.
pub(super) struct Agreement<'a> {
    pub(super) ink: Ink,
    pub(super) points: &'a [[f64; 2]],
    /// Whether the points are joined by lines.
    pub(super) joined: bool,
}

/// Draws points whose two numbers should be equal. All axes go from `low` to `high`.
pub(super) fn agreement(
    captions: &Captions,
    [low, high]: [f64; 2],
    series: &[Agreement<'_>],
) -> Result<String, ChartError> {
    let label = |value: &f64| super::numbers::quantity(*value);
    let axis = Axis { from: low, to: high, label: &label };
    draw((460, 400), captions.about, |canvas| {
        let mut chart = axes(canvas, captions, axis, axis)?;
        let diagonal = [(low, low), (high, high)];
        chart.draw_series(DashedLineSeries::new(diagonal, 5 * UNIT, 5 * UNIT, Ink::Reference.line(13)))?;
        for Agreement { ink, points, joined } in series.iter().rev() {
            if *joined {
                chart.draw_series(LineSeries::new(points.iter().map(|&[x, y]| (x, y)), ink.line(22)))?;
            }
            let (size, style) = if *joined {
                (4 * UNIT, ink.color().filled())
            } else {
                (2 * UNIT, ink.color().mix(0.5).filled())
            };
            chart.draw_series(points.iter().map(|&[x, y]| Circle::new((x, y), size, style)))?;
        }
        Ok(())
    })
}

/// Draws a histogram with these edges, of which there is one more than counts, and a dashed line at 0.
pub(super) fn histogram(
    captions: &Captions,
    ink: Ink,
    edges: &[f64],
    counts: &[u64],
) -> Result<String, ChartError> {
    let heights = shares(counts);
    let top = heights.iter().copied().fold(0.0, f64::max) * 1.12;
    let (low, high) = (edges.first().copied().unwrap_or(-1.0), edges.last().copied().unwrap_or(1.0));
    let (number, percent) =
        (|value: &f64| super::numbers::quantity(*value), |value: &f64| format!("{:.0}%", value * 100.0));
    let x = Axis { from: low, to: high, label: &number };
    let y = Axis { from: 0.0, to: if top > 0.0 { top } else { 1.0 }, label: &percent };
    draw((460, 300), captions.about, |canvas| {
        let mut chart = axes(canvas, captions, x, y)?;
        let steps = edges
            .windows(2)
            .zip(&heights)
            .flat_map(|(edge, height)| [(edge[0], *height), (edge[1], *height)]);
        let outline: Vec<(f64, f64)> = [(low, 0.0)].into_iter().chain(steps).chain([(high, 0.0)]).collect();
        chart.draw_series(AreaSeries::new(outline.clone(), 0.0, ink.color().mix(0.28)))?;
        chart.draw_series(LineSeries::new(outline, ink.line(16)))?;
        if low < 0.0 && high > 0.0 {
            let zero = [(0.0, 0.0), (0.0, y.to)];
            chart.draw_series(DashedLineSeries::new(zero, 5 * UNIT, 5 * UNIT, Ink::Reference.line(13)))?;
        }
        Ok(())
    })
}

/// The histograms of the scores of positive and of negative customers, each as shares of its group.
pub(super) struct Scores<'a> {
    pub(super) left: &'a [u64],
    pub(super) stayed: &'a [u64],
}

/// Draws the scores of each model, all on one scale, with a vertical line at the threshold if there is one.
pub(super) fn scores(
    captions: &Captions,
    models: &[Scores<'_>],
    threshold: Option<f64>,
) -> Result<Vec<String>, ChartError> {
    let groups: Vec<_> =
        models.iter().map(|scores| [(scores.stayed, Ink::Stayed), (scores.left, Ink::Left)]).collect();
    let heights = groups.iter().flatten().flat_map(|(counts, _)| shares(counts));
    let tallest = heights.fold(0.0, f64::max);
    let top = if tallest > 0.0 { tallest * 1.12 } else { 1.0 };
    let percent = |value: &f64| format!("{:.0}%", value * 100.0);
    let draw_one = |groups: &[(&[u64], Ink)]| {
        draw((460, 300), captions.about, |canvas| {
            let mut chart =
                axes(canvas, captions, UNIT_AXIS, Axis { to: top, label: &percent, ..UNIT_AXIS })?;
            for (counts, ink) in groups {
                let outline = outline(&shares(counts));
                chart.draw_series(AreaSeries::new(outline.clone(), 0.0, ink.color().mix(0.28)))?;
                chart.draw_series(LineSeries::new(outline, ink.line(16)))?;
            }
            if let Some(threshold) = threshold {
                chart
                    .draw_series(LineSeries::new([(threshold, 0.0), (threshold, top)], Ink::Text.line(12)))?;
            }
            Ok(())
        })
    };
    groups.iter().map(|groups| draw_one(groups)).collect()
}

/// An axis: its range, and how its numbers are written.
#[derive(Clone, Copy)]
struct Axis<'a> {
    from: f64,
    to: f64,
    label: &'a dyn Fn(&f64) -> String,
}

const UNIT_AXIS: Axis<'_> = Axis { from: 0.0, to: 1.0, label: &|value| format!("{value:.1}") };

fn axes<'a, 'b>(
    canvas: &'a Canvas<'b>,
    captions: &Captions,
    x: Axis<'_>,
    y: Axis<'_>,
) -> Result<Chart<'a, 'b>, ChartError> {
    // plotters divides a font's size by 1.24 for SVG.
    let font = |pixels: u32| {
        let size = f64::from(pixels * UNIT) * 1.24;
        ("sans-serif", size).into_font().color(&Ink::Text.color())
    };
    // A digit of this size is seven pixels wide, and the caption stands beside the labels.
    let digits = [y.from, y.to].map(|end| (y.label)(&end).chars().count() as u32);
    let labels = 7 * digits[0].max(digits[1]);
    let mut chart = ChartBuilder::on(canvas)
        .margin_top(8 * UNIT)
        .margin_right(12 * UNIT)
        .x_label_area_size(44 * UNIT)
        .y_label_area_size((28 + labels).max(52) * UNIT)
        .build_cartesian_2d(x.from..x.to, y.from..y.to)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .bold_line_style(Ink::Grid.line(10))
        .axis_style(Ink::Grid.line(10))
        .set_all_tick_mark_size(5 * UNIT)
        .x_labels(6)
        .y_labels(6)
        .x_label_formatter(&x.label)
        .y_label_formatter(&y.label)
        .label_style(font(12))
        .axis_desc_style(font(12))
        .x_desc(captions.x)
        .y_desc(captions.y)
        .draw()?;
    Ok(chart)
}

fn draw(
    (width, height): (u32, u32),
    about: &str,
    content: impl FnOnce(&Canvas<'_>) -> Result<(), ChartError>,
) -> Result<String, ChartError> {
    let size = (width * UNIT, height * UNIT);
    let mut svg = String::new();
    {
        let canvas = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        content(&canvas)?;
        canvas.present()?;
    }
    Ok(themed(&svg, size, about))
}

/// Makes the drawing scale with the page, and replaces the placeholder colours.
fn themed(svg: &str, (width, height): (u32, u32), about: &str) -> String {
    let content = svg.split_once('>').map_or("", |(_, content)| content);
    let mut page =
        format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{about}\">{content}");
    let inks = [Ink::Text, Ink::Grid, Ink::Reference, Ink::Left, Ink::Stayed];
    for ink in inks.into_iter().chain((0..PALETTE).map(Ink::Model)) {
        let RGBColor(red, green, blue) = ink.color();
        let placeholder = format!("#{red:02X}{green:02X}{blue:02X}");
        page = page.replace(&placeholder, &ink.variable());
    }
    page
}

/// Drops points that are too close together to be distinguished.
fn thinned(points: &[[f64; 2]]) -> Vec<(f64, f64)> {
    let mut kept: Vec<(f64, f64)> = Vec::new();
    for (index, &[x, y]) in points.iter().enumerate() {
        let apart = kept.last().is_none_or(|&(last_x, last_y)| {
            (x - last_x).abs() >= SMALLEST_STEP || (y - last_y).abs() >= SMALLEST_STEP
        });
        if apart || index + 1 == points.len() {
            kept.push((x, y));
        }
    }
    kept
}

/// Adds the corners of the steps: from each point vertically to the height of the next, then horizontally to
/// it.
fn steps(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let corners = points.iter().zip(points.iter().skip(1)).flat_map(|(&(x, _), &next)| [(x, next.1), next]);
    points.first().copied().into_iter().chain(corners).collect()
}

fn shares(counts: &[u64]) -> Vec<f64> {
    let total = counts.iter().sum();
    counts.iter().map(|&count| super::numbers::share(count, total)).collect()
}

/// Returns the outline of a histogram with equal bins from 0 to 1.
fn outline(bins: &[f64]) -> Vec<(f64, f64)> {
    let width = 1.0 / bins.len().max(1) as f64;
    let steps = bins.iter().enumerate().flat_map(|(index, &height)| {
        let start = index as f64 * width;
        [(start, height), (start + width, height)]
    });
    [(0.0, 0.0)].into_iter().chain(steps).chain([(1.0, 0.0)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_below_the_steps_is_the_average_precision() {
        let drawn = steps(&[(0.0, 1.0), (0.5, 1.0), (1.0, 0.6)]);
        assert_eq!(drawn, [(0.0, 1.0), (0.0, 1.0), (0.5, 1.0), (0.5, 0.6), (1.0, 0.6)]);
        // Where all scores are equal there is one threshold: the curve lies at the share of positives.
        assert_eq!(steps(&[(0.0, 1.0), (1.0, 0.27)]), [(0.0, 1.0), (0.0, 0.27), (1.0, 0.27)]);
        assert!(steps(&[]).is_empty());
    }
}

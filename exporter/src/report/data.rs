//! The table, as the report shows it: the share of positives by feature, and a summary of each column.

use onnward_models::{Comparison, FeatureSummary, Group, LabelSummary, ValueSummary};

use super::charts::PALETTE;
use super::models::Model;
use super::numbers::{NONE, count, exact_percent, percent, quantity, range, room_for, share};

/// The number of values of a category that are shown.
const SHOWN_VALUES: usize = 10;
/// The number of breakdowns that are shown before the rest is folded.
const SHOWN_BREAKDOWNS: usize = 6;
/// The number of values of a category in the table of columns.
const LISTED_VALUES: usize = 3;
/// The height of a breakdown's heading and the space below it, in bars.
const HEADING_BARS: usize = 3;

/// The labels, by the values of one feature: the share of positives, those of the classes, or the mean.
pub(super) struct Breakdown {
    /// Its rank by importance, from 0.
    pub(super) place: usize,
    pub(super) feature: String,
    pub(super) bars: Vec<GroupBar>,
    /// The number of values that are not shown.
    pub(super) more: usize,
}

/// The bars of one value. Widths are percentages.
pub(super) struct GroupBar {
    pub(super) name: String,
    /// The share of positives, the most frequent class, or the mean, in words.
    pub(super) label: String,
    /// The most frequent class of the group; empty for any other label.
    pub(super) class: String,
    /// One piece, or one for each class.
    pub(super) pieces: Vec<Piece>,
    pub(super) rows: String,
    pub(super) rows_width: f64,
}

/// A piece of a bar. Its place and its width are percentages.
pub(super) struct Piece {
    pub(super) from: f64,
    pub(super) width: f64,
    /// The colour of a class; `None` for that of all others, and of any other label.
    pub(super) color: Option<u8>,
}

/// A figure of the label over all rows.
pub(super) struct LabelFact {
    pub(super) name: String,
    pub(super) value: String,
    /// The same in other words; may be empty.
    pub(super) detail: String,
}

/// The breakdowns, most important feature first.
pub(super) struct Breakdowns {
    pub(super) shown: [Vec<Breakdown>; 2],
    pub(super) folded: [Vec<Breakdown>; 2],
    /// The number of folded breakdowns.
    pub(super) folded_count: usize,
    /// The share of positives or the mean over all rows, as a percentage of the bars' width; `None` for classes.
    pub(super) overall: Option<f64>,
    /// The classes with a colour of their own.
    pub(super) colors: Vec<(String, u8)>,
}

/// A line of the table of columns.
pub(super) struct ColumnRow {
    pub(super) name: String,
    pub(super) missing: String,
    pub(super) content: ColumnContent,
}

/// The values of a column.
pub(super) enum ColumnContent {
    /// A number: its histogram as heights in percent, and its figures.
    Numeric { heights: Vec<f64>, figures: [String; 4] },
    /// A category: the number of its values, the most frequent ones, and the number of the others.
    Categorical { values: String, listed: Vec<(String, String)>, more: usize },
}

/// Makes the breakdowns of the label, in the winner's order of importance.
pub(super) fn breakdowns(comparison: &Comparison, winner: &Model<'_>) -> Breakdowns {
    let data = &comparison.data;
    let rank = |feature: &FeatureSummary| {
        let position = winner.candidate.importance.iter().position(|one| one.feature == feature.name);
        position.unwrap_or(usize::MAX)
    };
    let mut features: Vec<&FeatureSummary> = data.features.iter().collect();
    features.sort_by_key(|feature| rank(feature));
    let overall = size(&data.label, data.rows);
    let sizes = features.iter().flat_map(|feature| shown_groups(feature)).filter(|group| group.rows > 0);
    let (low, high) = sizes
        .map(|group| size(&group.label, group.rows))
        .fold((0.0, overall), |(low, high), size| (f64::min(low, size), f64::max(high, size)));
    let labels =
        Labels { low, high: high.max(low + f64::MIN_POSITIVE), comparison, colors: colors(comparison) };
    let mut shown: Vec<Breakdown> =
        features.into_iter().enumerate().map(|at| breakdown(at, data.rows, &labels)).collect();
    let folded = shown.split_off(room_for(shown.len(), SHOWN_BREAKDOWNS));
    Breakdowns {
        folded_count: folded.len(),
        shown: in_columns(shown),
        folded: in_columns(folded),
        overall: match &data.label {
            LabelSummary::Binary { .. } | LabelSummary::Number { .. } => Some(labels.place(overall)),
            LabelSummary::Classes { .. } => None,
        },
        colors: labels
            .colors
            .iter()
            .zip(0..PALETTE)
            .filter_map(|(class, color)| Some((comparison.classes.get(*class)?.clone(), color)))
            .collect(),
    }
}

/// How labels become bars.
struct Labels<'a> {
    /// The sizes at the left and at the right of a bar.
    low: f64,
    high: f64,
    comparison: &'a Comparison,
    /// The indices of the classes with a colour, most frequent first.
    colors: Vec<usize>,
}

/// Returns the indices of the most frequent classes.
fn colors(comparison: &Comparison) -> Vec<usize> {
    let LabelSummary::Classes { class_rows } = &comparison.data.label else { return Vec::new() };
    let mut classes: Vec<usize> = (0..class_rows.len()).collect();
    classes.sort_by_key(|class| std::cmp::Reverse(class_rows[*class]));
    classes.truncate(usize::from(PALETTE));
    classes
}

/// Returns what the length of a bar stands for: the share of positives, or the mean. Bars of classes are whole.
fn size(label: &LabelSummary, rows: usize) -> f64 {
    match label {
        LabelSummary::Binary { positives } => share(*positives as u64, rows as u64),
        LabelSummary::Classes { .. } => 1.0,
        LabelSummary::Number { mean } => *mean,
    }
}

impl Labels<'_> {
    /// Returns where a size lies on a bar, as a percentage.
    fn place(&self, size: f64) -> f64 {
        (size - self.low) / (self.high - self.low) * 100.0
    }

    fn pieces(&self, group: &Group) -> Vec<Piece> {
        if group.rows == 0 {
            return Vec::new();
        }
        match &group.label {
            LabelSummary::Binary { .. } | LabelSummary::Number { .. } => {
                let (zero, end) = (self.place(0.0), self.place(size(&group.label, group.rows)));
                vec![Piece { from: zero.min(end), width: (end - zero).abs(), color: None }]
            }
            LabelSummary::Classes { class_rows } => {
                let of = |class: &usize| class_rows.get(*class).copied().unwrap_or_default();
                let colored: u64 = self.colors.iter().map(of).sum();
                let rest = group.rows as u64 - colored;
                let parts = self.colors.iter().map(of).zip((0..PALETTE).map(Some)).chain([(rest, None)]);
                let mut from = 0.0;
                let piece = |(rows, color): (u64, Option<u8>)| {
                    let width = share(rows, group.rows as u64) * 100.0;
                    from += width;
                    Piece { from: from - width, width, color }
                };
                parts.map(piece).filter(|piece| piece.width > 0.0).collect()
            }
        }
    }

    fn words(&self, group: &Group) -> String {
        if group.rows == 0 {
            return NONE.to_owned();
        }
        match &group.label {
            LabelSummary::Binary { positives } => percent(share(*positives as u64, group.rows as u64)),
            LabelSummary::Number { mean } => quantity(*mean),
            LabelSummary::Classes { .. } => {
                let rows = self.most_frequent(group).map_or(0, |(_, rows)| rows);
                percent(share(rows, group.rows as u64))
            }
        }
    }

    /// Returns the most frequent class of a group, and its rows. `None` for any other label.
    fn most_frequent(&self, group: &Group) -> Option<(&str, u64)> {
        let LabelSummary::Classes { class_rows } = &group.label else { return None };
        let classes = class_rows.iter().enumerate().filter(|_| group.rows > 0);
        let (class, rows) = classes.max_by_key(|(class, rows)| (**rows, std::cmp::Reverse(*class)))?;
        Some((self.comparison.classes.get(class)?, *rows))
    }
}

/// The number of classes whose rows are listed.
const LISTED_CLASSES: usize = 12;

/// Lists the figures of the label over all rows.
pub(super) fn label_facts(comparison: &Comparison) -> Vec<LabelFact> {
    let data = &comparison.data;
    let rows = data.rows as u64;
    let of = |name: &str, count: u64| LabelFact {
        name: name.to_owned(),
        value: super::numbers::count(count),
        detail: exact_percent(share(count, rows)),
    };
    match &data.label {
        LabelSummary::Binary { positives } => vec![of("Positive", *positives as u64)],
        LabelSummary::Classes { class_rows } => {
            let classes =
                comparison.classes.iter().zip(class_rows).take(room_for(class_rows.len(), LISTED_CLASSES));
            classes.map(|(class, rows)| of(class, *rows)).collect()
        }
        LabelSummary::Number { mean } => {
            let fact = |name: &str, value: f64| LabelFact {
                name: name.to_owned(),
                value: quantity(value),
                detail: String::new(),
            };
            let mut facts = vec![fact("Mean label", *mean)];
            if let Some(ValueSummary::Numeric { min, median, max, .. }) = &data.label_values {
                facts.extend([fact("Median label", *median), fact("Smallest", *min), fact("Largest", *max)]);
            }
            facts
        }
    }
}

/// Arranges breakdowns in two columns of about the same height: each goes to the shorter column.
fn in_columns(breakdowns: Vec<Breakdown>) -> [Vec<Breakdown>; 2] {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let (mut left_height, mut right_height) = (0, 0);
    for breakdown in breakdowns {
        let height = breakdown.bars.len() + HEADING_BARS;
        let (column, filled) = if left_height <= right_height {
            (&mut left, &mut left_height)
        } else {
            (&mut right, &mut right_height)
        };
        column.push(breakdown);
        *filled += height;
    }
    [left, right]
}

/// Returns every bin of a number, or the most frequent values of a category.
fn shown_groups(feature: &FeatureSummary) -> Vec<&Group> {
    match &feature.values {
        ValueSummary::Numeric { bins, .. } => bins.iter().collect(),
        ValueSummary::Categorical { values } => most_frequent(values, SHOWN_VALUES),
    }
}

fn breakdown((place, feature): (usize, &FeatureSummary), rows: usize, labels: &Labels<'_>) -> Breakdown {
    let (ValueSummary::Numeric { bins: all, .. } | ValueSummary::Categorical { values: all }) =
        &feature.values;
    let shown = shown_groups(feature);
    let is_numeric = matches!(feature.values, ValueSummary::Numeric { .. });
    let bar = |(index, group): (usize, &&Group)| GroupBar {
        name: if is_numeric { range(&group.name, index + 1 == all.len()) } else { group.name.clone() },
        label: labels.words(group),
        class: labels.most_frequent(group).map_or_else(String::new, |(class, _)| class.to_owned()),
        pieces: labels.pieces(group),
        rows: count(group.rows as u64),
        rows_width: share(group.rows as u64, rows as u64) * 100.0,
    };
    let bars: Vec<GroupBar> = shown.iter().enumerate().map(bar).collect();
    Breakdown { place, feature: feature.name.clone(), more: all.len() - bars.len(), bars }
}

/// Returns the groups with the most rows, in their original order.
fn most_frequent(groups: &[Group], most: usize) -> Vec<&Group> {
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(groups[index].rows));
    order.truncate(room_for(groups.len(), most));
    order.sort_unstable();
    order.into_iter().map(|index| &groups[index]).collect()
}

/// Makes the table of columns, in the schema's order.
pub(super) fn columns(comparison: &Comparison) -> Vec<ColumnRow> {
    let rows = comparison.data.rows;
    comparison.data.features.iter().map(|feature| column(feature, rows)).collect()
}

fn column(feature: &FeatureSummary, rows: usize) -> ColumnRow {
    let missing = match feature.missing {
        0 => "none".to_owned(),
        missing => {
            format!("{} ({})", count(missing as u64), percent(share(missing as u64, rows as u64)))
        }
    };
    let content = match &feature.values {
        ValueSummary::Numeric { min, mean, median, max, bins } => {
            let tallest = bins.iter().map(|bin| bin.rows).max().unwrap_or(0);
            ColumnContent::Numeric {
                heights: bins.iter().map(|bin| share(bin.rows as u64, tallest as u64) * 100.0).collect(),
                figures: match bins.as_slice() {
                    [] => [NONE; 4].map(str::to_owned),
                    _ => [*min, *mean, *median, *max].map(quantity),
                },
            }
        }
        ValueSummary::Categorical { values } => {
            let mut order: Vec<&Group> = values.iter().collect();
            order.sort_by_key(|group| std::cmp::Reverse(group.rows));
            order.truncate(room_for(values.len(), LISTED_VALUES));
            let listed = order
                .iter()
                .map(|group| (group.name.clone(), percent(share(group.rows as u64, rows as u64))));
            ColumnContent::Categorical {
                values: super::numbers::counted(values.len() as u64, "value"),
                listed: listed.collect(),
                more: values.len() - order.len(),
            }
        }
    };
    ColumnRow { name: feature.name.clone(), missing, content }
}

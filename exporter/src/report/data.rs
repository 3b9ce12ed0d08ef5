//! The table, as the report shows it: the share of positives by feature, and a summary of each column.

use onnward_models::{Comparison, FeatureSummary, Group, ValueSummary};

use super::models::Model;
use super::numbers::{NONE, count, percent, quantity, range, room_for, share};

/// The number of values of a category that are shown.
const SHOWN_VALUES: usize = 10;
/// The number of breakdowns that are shown before the rest is folded.
const SHOWN_BREAKDOWNS: usize = 6;
/// The number of values of a category in the table of columns.
const LISTED_VALUES: usize = 3;
/// The height of a breakdown's heading and the space below it, in bars.
const HEADING_BARS: usize = 3;

/// The share of positives, by the values of one feature.
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
    /// The share of positives, in words.
    pub(super) left: String,
    pub(super) left_width: f64,
    pub(super) rows: String,
    pub(super) rows_width: f64,
}

/// The breakdowns, most important feature first.
pub(super) struct Breakdowns {
    pub(super) shown: [Vec<Breakdown>; 2],
    pub(super) folded: [Vec<Breakdown>; 2],
    /// The number of folded breakdowns.
    pub(super) folded_count: usize,
    /// The share of positives over all rows, as a percentage of the bars' width.
    pub(super) overall_width: f64,
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

/// Makes the breakdowns of the share of positives, in the winner's order of importance.
pub(super) fn breakdowns(comparison: &Comparison, winner: &Model<'_>) -> Breakdowns {
    let data = &comparison.data;
    let rank = |feature: &FeatureSummary| {
        let position = winner.candidate.importance.iter().position(|one| one.feature == feature.name);
        position.unwrap_or(usize::MAX)
    };
    let mut features: Vec<&FeatureSummary> = data.features.iter().collect();
    features.sort_by_key(|feature| rank(feature));
    let overall = share(data.positives as u64, data.rows as u64);
    let shares = features.iter().flat_map(|feature| shown_groups(feature)).map(share_who_left);
    let scale = shares.fold(overall, f64::max).max(f64::MIN_POSITIVE);
    let mut shown: Vec<Breakdown> =
        features.into_iter().enumerate().map(|at| breakdown(at, data.rows, scale)).collect();
    let folded = shown.split_off(room_for(shown.len(), SHOWN_BREAKDOWNS));
    Breakdowns {
        folded_count: folded.len(),
        shown: in_columns(shown),
        folded: in_columns(folded),
        overall_width: overall / scale * 100.0,
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

fn share_who_left(group: &Group) -> f64 {
    share(group.positives as u64, group.rows as u64)
}

/// Returns every bin of a number, or the most frequent values of a category.
fn shown_groups(feature: &FeatureSummary) -> Vec<&Group> {
    match &feature.values {
        ValueSummary::Numeric { bins, .. } => bins.iter().collect(),
        ValueSummary::Categorical { values } => most_frequent(values, SHOWN_VALUES),
    }
}

fn breakdown((place, feature): (usize, &FeatureSummary), rows: usize, scale: f64) -> Breakdown {
    let (ValueSummary::Numeric { bins: all, .. } | ValueSummary::Categorical { values: all }) =
        &feature.values;
    let shown = shown_groups(feature);
    let is_numeric = matches!(feature.values, ValueSummary::Numeric { .. });
    let bar = |(index, group): (usize, &&Group)| {
        let left = share_who_left(group);
        GroupBar {
            name: if is_numeric { range(&group.name, index + 1 == all.len()) } else { group.name.clone() },
            left: if group.rows == 0 { NONE.to_owned() } else { percent(left) },
            left_width: left / scale * 100.0,
            rows: count(group.rows as u64),
            rows_width: share(group.rows as u64, rows as u64) * 100.0,
        }
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

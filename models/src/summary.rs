use onnward_schemas::FeatureKind;

use crate::comparison::{DataSummary, FeatureSummary, Group, LabelSummary, ValueSummary};
use crate::dataset::Dataset;
use crate::labels::Labels;
use crate::preprocess::median;

const NUMERIC_BINS: usize = 12;

impl Dataset {
    /// Summarises the table: the distribution of each feature, and the labels along it.
    pub fn summary(&self) -> DataSummary {
        DataSummary {
            rows: self.rows(),
            skipped_rows: self.skipped_rows,
            label: LabelSummary::of(&self.labels),
            label_values: self.label_values(),
            sha256: self.sha256.clone(),
            features: (0..self.schema.features.len()).map(|at| self.summarise(at)).collect(),
        }
    }

    fn label_values(&self) -> Option<ValueSummary> {
        match &self.labels {
            Labels::Binary(_) | Labels::Classes(_) => None,
            Labels::Numbers(numbers) => {
                let values = numbers.iter().map(|number| *number as f32).zip(0..).collect();
                Some(summarise_numbers(values, false, &self.labels))
            }
        }
    }

    fn summarise(&self, at: usize) -> FeatureSummary {
        let feature = &self.schema.features[at];
        let column = self.features.column(at);
        let present: Present = column.iter().copied().zip(0..).filter(|(value, _)| !value.is_nan()).collect();
        let missing = column.len() - present.len();
        let values = match &feature.kind {
            FeatureKind::Numeric { integer, .. } => summarise_numbers(present, *integer, &self.labels),
            FeatureKind::Kept(_) => summarise_numbers(present, false, &self.labels),
            FeatureKind::Categorical { values, .. } => {
                let mut groups: Vec<Rows> = values.iter().map(|value| Rows::named(value.clone())).collect();
                for (code, row) in present {
                    // An unknown value has a negative code and no group.
                    if let Some(group) = groups.get_mut(code as usize).filter(|_| code >= 0.0) {
                        group.rows.push(row);
                    }
                }
                ValueSummary::Categorical { values: summarise_groups(groups, &self.labels) }
            }
        };
        FeatureSummary { name: feature.name.clone(), missing, values }
    }
}

/// The values of a column with the indices of their rows.
type Present = Vec<(f32, usize)>;

/// The rows of a group.
struct Rows {
    name: String,
    rows: Vec<usize>,
}

impl Rows {
    fn named(name: String) -> Self {
        Self { name, rows: Vec::new() }
    }
}

impl LabelSummary {
    /// Summarises labels.
    pub fn of(labels: &Labels) -> Self {
        match labels {
            Labels::Binary(labels) => {
                Self::Binary { positives: labels.iter().filter(|label| **label).count() }
            }
            Labels::Classes(labels) => Self::Classes { class_rows: labels.counts() },
            Labels::Numbers(labels) => {
                Self::Number { mean: labels.iter().sum::<f64>() / labels.len().max(1) as f64 }
            }
        }
    }
}

fn summarise_groups(groups: Vec<Rows>, labels: &Labels) -> Vec<Group> {
    let summarise = |Rows { name, rows }: Rows| {
        let label = LabelSummary::of(&labels.select(&rows));
        Group { name, rows: rows.len(), label }
    };
    groups.into_iter().map(summarise).collect()
}

fn summarise_numbers(mut present: Present, integer: bool, labels: &Labels) -> ValueSummary {
    present.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let values: Vec<f32> = present.iter().map(|(value, _)| *value).collect();
    let (min, max) = match (values.first(), values.last()) {
        (Some(min), Some(max)) => (f64::from(*min), f64::from(*max)),
        _ => return ValueSummary::Numeric { min: 0.0, mean: 0.0, median: 0.0, max: 0.0, bins: Vec::new() },
    };
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
    let mut bins = empty_bins(min, max, integer);
    let last = bins.len() - 1;
    // If each whole number has its own bin, this width is below 1, and the k-th number still falls into bin
    // k.
    let width = if max > min { (max - min) / bins.len() as f64 } else { 1.0 };
    for (value, row) in present {
        let bin = ((f64::from(value) - min) / width) as usize;
        bins[bin.min(last)].rows.push(row);
    }
    let bins = summarise_groups(bins, labels);
    ValueSummary::Numeric { min, mean, median: f64::from(median(&values)), max, bins }
}

/// Makes one bin for each value of a whole number that takes only a few, and otherwise [`NUMERIC_BINS`] of
/// equal width.
fn empty_bins(min: f64, max: f64, integer: bool) -> Vec<Rows> {
    let span = max - min;
    if span == 0.0 || (integer && span < NUMERIC_BINS as f64) {
        return (0..=span as usize).map(|step| Rows::named((min + step as f64).to_string())).collect();
    }
    let width = span / NUMERIC_BINS as f64;
    // As many decimals as distinguish two edges, and one more.
    let decimals = (1.0 - width.log10().floor()).clamp(0.0, 9.0) as usize;
    let edge = |bin: usize| {
        let text = format!("{:.decimals$}", min + width * bin as f64);
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    (0..NUMERIC_BINS).map(|bin| Rows::named(format!("{} – {}", edge(bin), edge(bin + 1)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::ClassLabels;

    fn bins(values: &[f32], integer: bool) -> Vec<(String, usize, usize)> {
        let labels = Labels::Binary(values.iter().map(|value| *value > 2.0).collect());
        match summarise_numbers(values.iter().copied().zip(0..).collect(), integer, &labels) {
            ValueSummary::Numeric { bins, .. } => bins.into_iter().filter_map(binary).collect(),
            ValueSummary::Categorical { .. } => Vec::new(),
        }
    }

    fn binary(group: Group) -> Option<(String, usize, usize)> {
        match group.label {
            LabelSummary::Binary { positives } => Some((group.name, group.rows, positives)),
            LabelSummary::Classes { .. } | LabelSummary::Number { .. } => None,
        }
    }

    #[test]
    fn few_whole_numbers_have_a_bin_each_and_others_equal_widths() {
        let few = bins(&[1.0, 4.0, 1.0, 3.0], true);
        assert_eq!(few, [("1".into(), 2, 0), ("2".into(), 0, 0), ("3".into(), 1, 1), ("4".into(), 1, 1)]);
        let many = bins(&[0.0, 72.0, 6.0, 71.9], false);
        assert_eq!(many.len(), NUMERIC_BINS);
        assert_eq!(many[0], ("0 – 6".into(), 1, 0));
        assert_eq!(many[1], ("6 – 12".into(), 1, 1));
        assert_eq!(many[11], ("66 – 72".into(), 2, 2));
        assert_eq!(bins(&[5.5, 5.5], false), [("5.5".into(), 2, 2)]);
        assert!(bins(&[], false).is_empty());
    }

    #[test]
    fn groups_have_the_labels_of_their_task() {
        let rows = || vec![Rows { name: "a".into(), rows: vec![0, 2] }, Rows::named("b".into())];
        let labels = |labels| -> Vec<LabelSummary> {
            summarise_groups(rows(), &labels).into_iter().map(|group| group.label).collect()
        };
        let classes = Labels::Classes(ClassLabels { indices: vec![1, 0, 1], classes: 2 });
        let counted = |class_rows| LabelSummary::Classes { class_rows };
        assert_eq!(labels(classes), [counted(vec![0, 2]), counted(vec![0, 0])]);
        let means = labels(Labels::Numbers(vec![1.0, 7.0, 2.0]));
        assert_eq!(means, [LabelSummary::Number { mean: 1.5 }, LabelSummary::Number { mean: 0.0 }]);
    }
}

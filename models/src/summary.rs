use onnward_schemas::FeatureKind;

use crate::comparison::{DataSummary, FeatureSummary, Group, ValueSummary};
use crate::dataset::Dataset;
use crate::preprocess::median;

const NUMERIC_BINS: usize = 12;

impl Dataset {
    /// Summarises the table: the distribution of each feature, and the share of positives along it.
    pub fn summary(&self) -> DataSummary {
        DataSummary {
            rows: self.rows(),
            skipped_rows: self.skipped_rows,
            positives: self.positives(),
            sha256: self.sha256.clone(),
            features: (0..self.schema.features.len()).map(|at| self.summarise(at)).collect(),
        }
    }

    fn summarise(&self, at: usize) -> FeatureSummary {
        let feature = &self.schema.features[at];
        let column = self.features.column(at);
        let rows = column.iter().copied().zip(self.labels.iter().copied());
        let present: Vec<(f32, bool)> = rows.filter(|(value, _)| !value.is_nan()).collect();
        let values = match &feature.kind {
            FeatureKind::Numeric { integer, .. } => summarise_numbers(present.clone(), *integer),
            FeatureKind::Kept(_) => summarise_numbers(present.clone(), false),
            FeatureKind::Categorical { values, .. } => {
                let mut groups: Vec<Group> = values.iter().map(|value| group(value.clone())).collect();
                for (code, positive) in &present {
                    // An unknown value has a negative code and no group.
                    if let Some(group) = groups.get_mut(*code as usize).filter(|_| *code >= 0.0) {
                        group.add(*positive);
                    }
                }
                ValueSummary::Categorical { values: groups }
            }
        };
        FeatureSummary { name: feature.name.clone(), missing: column.len() - present.len(), values }
    }
}

impl Group {
    fn add(&mut self, positive: bool) {
        self.rows += 1;
        self.positives += usize::from(positive);
    }
}

fn group(name: String) -> Group {
    Group { name, rows: 0, positives: 0 }
}

fn summarise_numbers(mut present: Vec<(f32, bool)>, integer: bool) -> ValueSummary {
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
    for (value, positive) in present {
        let bin = ((f64::from(value) - min) / width) as usize;
        bins[bin.min(last)].add(positive);
    }
    ValueSummary::Numeric { min, mean, median: f64::from(median(&values)), max, bins }
}

/// Makes one bin for each value of a whole number that takes only a few, and otherwise [`NUMERIC_BINS`] of
/// equal width.
fn empty_bins(min: f64, max: f64, integer: bool) -> Vec<Group> {
    let span = max - min;
    if span == 0.0 || (integer && span < NUMERIC_BINS as f64) {
        return (0..=span as usize).map(|step| group((min + step as f64).to_string())).collect();
    }
    let width = span / NUMERIC_BINS as f64;
    // As many decimals as distinguish two edges, and one more.
    let decimals = (1.0 - width.log10().floor()).clamp(0.0, 9.0) as usize;
    let edge = |bin: usize| {
        let text = format!("{:.decimals$}", min + width * bin as f64);
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    (0..NUMERIC_BINS).map(|bin| group(format!("{} – {}", edge(bin), edge(bin + 1)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bins(values: &[f32], integer: bool) -> Vec<(String, usize, usize)> {
        let rows = values.iter().map(|value| (*value, *value > 2.0)).collect();
        match summarise_numbers(rows, integer) {
            ValueSummary::Numeric { bins, .. } => {
                bins.into_iter().map(|bin| (bin.name, bin.rows, bin.positives)).collect()
            }
            ValueSummary::Categorical { .. } => Vec::new(),
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
}

use ndarray::ArrayView2;

use crate::forest::round_down;
use crate::preprocess::{NumericColumn, Preprocessor};

/// The number of values of a byte, and so the maximum number of bins.
pub(super) const BINS: usize = 256;

/// The rows of a table, with one byte for each group of columns.
pub(super) struct BinnedRows {
    pub groups: Vec<Group>,
    /// For each column of the preprocessed matrix, its group, and the bin of a one-hot column in it.
    pub columns: Vec<(usize, u8)>,
    /// The bins, row after row.
    bytes: Vec<u8>,
}

/// Columns whose values in a row are encoded in one byte.
pub(super) enum Group {
    /// One numeric column, divided into ranges: the smallest and the largest value of each, in ascending
    /// order.
    Numeric { lowest: Vec<f32>, highest: Vec<f32> },
    /// The one-hot columns of some values of a feature. Each value has a bin; the last bin is for all other
    /// values.
    OneHot { feature: usize, first_code: usize, values: usize },
}

impl BinnedRows {
    pub fn new(preprocessor: &Preprocessor, features: ArrayView2<'_, f32>) -> Self {
        let mut groups = Vec::new();
        let mut columns = Vec::new();
        for column in &preprocessor.numeric {
            columns.push((groups.len(), 0));
            groups.push(Group::numeric(column, features));
        }
        for category in preprocessor.categories() {
            // One bin of each group is for all values that are not in it.
            for first_code in (0..category.values).step_by(BINS - 1) {
                let values = (category.values - first_code).min(BINS - 1);
                columns.extend((0..values).map(|bin| (groups.len(), bin as u8)));
                groups.push(Group::OneHot { feature: category.feature, first_code, values });
            }
        }
        let mut rows = Self { groups, columns, bytes: Vec::new() };
        rows.bytes = rows.binned(preprocessor, features);
        rows
    }

    /// Returns the bins of one row.
    pub fn row(&self, row: usize) -> &[u8] {
        let width = self.groups.len();
        &self.bytes[row * width..(row + 1) * width]
    }

    fn binned(&self, preprocessor: &Preprocessor, features: ArrayView2<'_, f32>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(features.nrows() * self.groups.len());
        for row in features.outer_iter() {
            let mut numeric = preprocessor.numeric.iter();
            bytes.extend(self.groups.iter().map(|group| match group {
                Group::Numeric { lowest, .. } => {
                    let value = numeric.next().map_or(0.0, |column| column.transform(row[column.feature]));
                    lowest.partition_point(|low| *low <= value).saturating_sub(1) as u8
                }
                Group::OneHot { feature, first_code, values } => {
                    let code = row[*feature] - *first_code as f32;
                    // Neither a missing nor an unknown category is in the range.
                    if code >= 0.0 && code < *values as f32 { code as u8 } else { *values as u8 }
                }
            }));
        }
        bytes
    }
}

impl Group {
    /// Makes a bin for each value if there are few, and otherwise ranges of about as many rows each.
    fn numeric(column: &NumericColumn, features: ArrayView2<'_, f32>) -> Self {
        let values = features.column(column.feature);
        let mut sorted: Vec<f32> = values.iter().map(|value| column.transform(*value)).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let starts = sorted.chunk_by(|a, b| a == b).map(|same| same[0]);
        let mut lowest: Vec<f32> = starts.take(BINS + 1).collect();
        if lowest.len() > BINS {
            lowest = (0..BINS).map(|bin| sorted[bin * sorted.len() / BINS]).collect();
            lowest.dedup();
        }
        let ends = lowest.iter().skip(1).map(|next| sorted.partition_point(|value| value < next));
        let ends = ends.chain([sorted.len()]);
        let highest = ends.filter_map(|end| sorted.get(end.saturating_sub(1)).copied()).collect();
        Self::Numeric { lowest, highest }
    }

    pub fn bins(&self) -> usize {
        match self {
            Self::Numeric { lowest, .. } => lowest.len(),
            Self::OneHot { values, .. } => values + 1,
        }
    }

    /// Returns the threshold between two bins of a numeric column, halfway between the values nearest to it.
    pub fn threshold(&self, below: usize, above: usize) -> f32 {
        match self {
            Self::Numeric { lowest, highest } => {
                round_down(f64::midpoint(f64::from(highest[below]), f64::from(lowest[above])))
            }
            // The columns are 0 or 1.
            Self::OneHot { .. } => 0.5,
        }
    }
}

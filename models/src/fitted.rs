//! Fitted models as plain numbers: the exporter writes them, and the native scorer reads them.

use ndarray::{ArrayView2, CowArray, Ix2};

/// A fitted model of one family. It scores rows that a [`Preprocessor`](crate::Preprocessor) has transformed.
#[derive(Debug, Clone, PartialEq)]
pub enum FittedModel {
    /// Logistic regression.
    Logistic(FittedLogistic),
    /// A random forest.
    Forest(FittedForest),
}

/// `probability = 1 / (1 + exp(-(intercept + weights · [x, segments(x)])))`: a generalised additive model in
/// which the log-odds are piecewise linear in every numeric column.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedLogistic {
    /// The segments of the columns that are splines, by column and position. May be empty.
    pub segments: Vec<Segment>,
    /// One weight for each column of the preprocessed matrix, 0 if the column has segments; then one for each
    /// segment.
    pub weights: Vec<f32>,
    /// The log-odds where every column and every segment is 0.
    pub intercept: f32,
}

/// A segment of a linear spline: `min(max(x[column], from), to) − origin` in single precision.
///
/// Its weight is the slope of the spline there (Hastie, Tibshirani and Friedman, The Elements of Statistical
/// Learning, 2nd ed., 2009, §5.2). Hinges `max(0, x − knot)` would be equivalent, but with large weights that
/// cancel, which costs too much in single precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// The column of the preprocessed matrix.
    pub column: usize,
    /// The lower bound; `f32::MIN` for the first segment of a column.
    pub from: f32,
    /// The upper bound; `f32::MAX` for the last segment of a column.
    pub to: f32,
    /// The bound at which the value is 0: `from`, or `to` for the first segment of a column.
    pub origin: f32,
}

/// A random forest. Its probability is the mean, over the trees, of the class frequency in the leaf that the
/// row reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedForest {
    /// The trees.
    pub trees: Vec<Tree>,
}

/// A decision tree; its root is node 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The nodes; a node's children have larger indices than itself.
    pub nodes: Vec<Node>,
}

/// A node of a decision tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    /// A split: rows with `row[column] <= threshold` go to `below`, all others to `above`.
    Split {
        /// The column of the preprocessed matrix.
        column: u32,
        /// The threshold, in the precision in which the rows are held.
        threshold: f32,
        /// The index of the child for small values.
        below: u32,
        /// The index of the child for large values.
        above: u32,
    },
    /// A leaf, with the share of positives among its training rows.
    Leaf {
        /// From 0 to 1, rounded so that the sum over all trees is exact in single precision.
        probability: f32,
    },
}

impl FittedModel {
    /// Returns the probability of the positive label for each preprocessed row of `[rows, columns]`.
    pub fn score_rows(&self, rows: ArrayView2<'_, f32>) -> Vec<f64> {
        let rows = rows.as_standard_layout();
        match self {
            Self::Logistic(model) => {
                rows.outer_iter().filter_map(|row| row.to_slice().map(|row| model.score(row))).collect()
            }
            Self::Forest(model) => model.score_rows(&rows),
        }
    }

    /// Returns by how much the probabilities of these preprocessed rows differ if they are computed in single
    /// precision. Those of a forest do not: its sums are exact.
    pub fn rounding_error(&self, rows: ArrayView2<'_, f32>) -> f64 {
        let rows = rows.as_standard_layout();
        match self {
            Self::Logistic(model) => {
                let errors =
                    rows.outer_iter().filter_map(|row| row.to_slice().map(|row| model.rounding_error(row)));
                errors.fold(0.0, f64::max)
            }
            Self::Forest(_) => 0.0,
        }
    }
}

impl FittedLogistic {
    fn score(&self, row: &[f32]) -> f64 {
        let terms = self.terms(row).map(|(weight, x)| f64::from(weight) * f64::from(x));
        sigmoid(f64::from(self.intercept) + terms.sum::<f64>())
    }

    /// Returns by how much a probability differs if the log-odds are summed in single precision: the most, over
    /// the numbers of sums that a processor may keep side by side.
    fn rounding_error(&self, row: &[f32]) -> f64 {
        const LANES: [usize; 5] = [1, 2, 4, 8, 16];
        let expected = self.score(row);
        let differences = LANES.map(|lanes| {
            let mut sums = vec![0_f32; lanes];
            for (at, (weight, x)) in self.terms(row).enumerate() {
                if let Some(sum) = sums.get_mut(at % lanes) {
                    *sum += weight * x;
                }
            }
            (sigmoid(f64::from(self.intercept + sums.iter().sum::<f32>())) - expected).abs()
        });
        differences.into_iter().fold(0.0, f64::max)
    }

    /// Returns each weight with what it weighs.
    fn terms(&self, row: &[f32]) -> impl Iterator<Item = (f32, f32)> {
        let segments = self.segments.iter().map(|segment| segment.of(row));
        self.weights.iter().copied().zip(row.iter().copied().chain(segments))
    }
}

fn sigmoid(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

impl Segment {
    /// Returns its value for a preprocessed row.
    pub fn of(&self, row: &[f32]) -> f32 {
        self.of_value(row[self.column])
    }

    /// Returns its value for a value of its column.
    pub(crate) fn of_value(&self, value: f32) -> f32 {
        value.max(self.from).min(self.to) - self.origin
    }
}

impl FittedForest {
    /// Scores tree by tree: all rows pass through one while it is in the processor's cache.
    fn score_rows(&self, rows: &CowArray<'_, f32, Ix2>) -> Vec<f64> {
        let mut sums = vec![0.0; rows.nrows()];
        for tree in &self.trees {
            for (sum, row) in sums.iter_mut().zip(rows.outer_iter()) {
                *sum += row.to_slice().map_or(f64::NAN, |row| f64::from(tree.score(row)));
            }
        }
        sums.iter().map(|sum| sum / self.trees.len() as f64).collect()
    }
}

impl Tree {
    pub(crate) fn score(&self, row: &[f32]) -> f32 {
        let mut index = 0_u32;
        loop {
            match self.nodes[index as usize] {
                Node::Leaf { probability } => return probability,
                Node::Split { column, threshold, below, above } => {
                    index = if row[column as usize] <= threshold { below } else { above };
                }
            }
        }
    }
}

//! Fitted models as plain numbers: the exporter writes them, and the native scorer reads them.

use ndarray::{Array2, ArrayView2, CowArray, Ix2};

use crate::labels::Scores;

/// A fitted model of one family and task. It scores rows that a [`Preprocessor`](crate::Preprocessor) has
/// transformed.
#[derive(Debug, Clone, PartialEq)]
pub enum FittedModel {
    /// Logistic regression of a binary label.
    Logistic(FittedLogistic),
    /// Multinomial logistic regression of several classes.
    Multinomial(FittedMultinomial),
    /// Ridge regression of a number.
    Ridge(FittedRidge),
    /// A random forest of a binary label.
    Forest(FittedForest),
    /// A random forest of several classes.
    ClassForest(FittedClassForest),
    /// A random forest of a number.
    NumberForest(FittedForest),
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

/// `probability of k = exp(z_k) / Σ exp(z_j)`, where `z_k = intercept_k + weights_k · [x, segments(x)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedMultinomial {
    /// The segments, as those of [`FittedLogistic`].
    pub segments: Vec<Segment>,
    /// The weights of each class, as those of [`FittedLogistic`].
    pub weights: Vec<Vec<f32>>,
    /// The intercept of each class.
    pub intercepts: Vec<f32>,
}

/// `number = intercept + weights · [x, segments(x)]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedRidge {
    /// The segments, as those of [`FittedLogistic`].
    pub segments: Vec<Segment>,
    /// The weights, as those of [`FittedLogistic`].
    pub weights: Vec<f32>,
    /// The number where every column and every segment is 0.
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

/// A random forest: `base` plus the mean, over the trees, of the value of the leaf that the row reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedForest {
    /// The trees. A leaf has the share of positives among its training rows, or how far the mean of their numbers
    /// is above `base`. Values are rounded so that the sum over all trees is exact in single precision.
    pub trees: Vec<Tree>,
    /// The prediction of leaves of 0: 0 for a binary label.
    pub base: f32,
}

/// A random forest of classes: the probabilities are the mean, over the trees, of the shares in the leaf that the
/// row reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedClassForest {
    /// The number of classes.
    pub classes: usize,
    /// The trees. The shares of a leaf add up to 1, and are rounded so that the sum over all trees is exact in
    /// single precision.
    pub trees: Vec<Tree<Vec<ClassShare>>>,
}

/// The share of a class in a leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassShare {
    /// The index of the class.
    pub class: u32,
    /// Its share, above 0 and up to 1.
    pub share: f32,
}

/// A decision tree; its root is node 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree<Leaf = f32> {
    /// The nodes; a node's children have larger indices than itself.
    pub nodes: Vec<Node<Leaf>>,
}

/// A node of a decision tree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node<Leaf = f32> {
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
    /// A leaf.
    Leaf {
        /// What it adds to the prediction.
        value: Leaf,
    },
}

impl FittedModel {
    /// Returns the prediction for each preprocessed row of `[rows, columns]`.
    pub fn score_rows(&self, rows: ArrayView2<'_, f32>) -> Scores {
        let rows = rows.as_standard_layout();
        match self {
            Self::Logistic(model) => Scores::Probabilities(each(&rows, |row| model.score(row))),
            Self::Multinomial(model) => {
                let mut scores = Array2::zeros((rows.nrows(), model.weights.len()));
                for (row, mut to) in rows.outer_iter().zip(scores.outer_iter_mut()) {
                    let probabilities = row.to_slice().map(|row| model.score(row)).unwrap_or_default();
                    to.iter_mut().zip(probabilities).for_each(|(to, probability)| *to = probability);
                }
                Scores::ClassProbabilities(scores)
            }
            Self::Ridge(model) => Scores::Numbers(each(&rows, |row| model.score(row))),
            Self::Forest(model) => Scores::Probabilities(model.score_rows(&rows)),
            Self::ClassForest(model) => Scores::ClassProbabilities(model.score_rows(&rows)),
            Self::NumberForest(model) => Scores::Numbers(model.score_rows(&rows)),
        }
    }

    /// Returns by how much the predictions of these preprocessed rows differ if they are computed in single
    /// precision: of probabilities as it is, of numbers relative to them, or to `unit` where that is larger. Those of
    /// forests of classes do not: their sums are exact.
    pub fn rounding_error(&self, rows: ArrayView2<'_, f32>, unit: f64) -> f64 {
        let rows = rows.as_standard_layout();
        let largest = |errors: Vec<f64>| errors.into_iter().fold(0.0, f64::max);
        match self {
            Self::Logistic(model) => largest(each(&rows, |row| model.rounding_error(row))),
            Self::Multinomial(model) => largest(each(&rows, |row| model.rounding_error(row))),
            Self::Ridge(model) => largest(each(&rows, |row| model.rounding_error(row, unit))),
            Self::NumberForest(model) => {
                // The quotient and the sum with the base are rounded once each, and they may cancel out.
                let rounded = |score: &f64| {
                    let quotient = score - f64::from(model.base);
                    relative(f64::from(f32::EPSILON) / 2.0 * (quotient.abs() + score.abs()), *score, unit)
                };
                model.score_rows(&rows).iter().map(rounded).fold(0.0, f64::max)
            }
            Self::Forest(_) | Self::ClassForest(_) => 0.0,
        }
    }
}

fn each(rows: &CowArray<'_, f32, Ix2>, of: impl Fn(&[f32]) -> f64) -> Vec<f64> {
    rows.outer_iter().filter_map(|row| row.to_slice().map(&of)).collect()
}

/// Returns a difference of numbers relative to one of them, or to `unit` where that is larger.
fn relative(difference: f64, number: f64, unit: f64) -> f64 {
    difference.abs() / number.abs().max(unit)
}

/// Returns each weight with what it weighs.
fn terms<'a>(
    weights: &'a [f32],
    segments: &'a [Segment],
    row: &'a [f32],
) -> impl Iterator<Item = (f32, f32)> + 'a {
    let segments = segments.iter().map(|segment| segment.of(row));
    weights.iter().copied().zip(row.iter().copied().chain(segments))
}

/// Returns `intercept + Σ weight · x`.
fn linear(intercept: f32, terms: impl Iterator<Item = (f32, f32)>) -> f64 {
    f64::from(intercept) + terms.map(|(weight, x)| f64::from(weight) * f64::from(x)).sum::<f64>()
}

/// The numbers of sums that a processor may keep side by side.
const LANES: [usize; 5] = [1, 2, 4, 8, 16];

/// Returns [`linear`] summed in single precision with this many sums side by side.
fn single_linear(intercept: f32, terms: impl Iterator<Item = (f32, f32)>, lanes: usize) -> f32 {
    let mut sums = vec![0_f32; lanes];
    for (at, (weight, x)) in terms.enumerate() {
        if let Some(sum) = sums.get_mut(at % lanes) {
            *sum += weight * x;
        }
    }
    intercept + sums.iter().sum::<f32>()
}

impl FittedLogistic {
    fn score(&self, row: &[f32]) -> f64 {
        sigmoid(linear(self.intercept, terms(&self.weights, &self.segments, row)))
    }

    /// Returns by how much a probability differs if the log-odds are summed in single precision: the most, over
    /// [`LANES`].
    fn rounding_error(&self, row: &[f32]) -> f64 {
        let expected = self.score(row);
        let differences = LANES.map(|lanes| {
            let terms = terms(&self.weights, &self.segments, row);
            (sigmoid(f64::from(single_linear(self.intercept, terms, lanes))) - expected).abs()
        });
        differences.into_iter().fold(0.0, f64::max)
    }
}

impl FittedMultinomial {
    fn score(&self, row: &[f32]) -> Vec<f64> {
        let classes = self.weights.iter().zip(&self.intercepts);
        let scores =
            classes.map(|(weights, intercept)| linear(*intercept, terms(weights, &self.segments, row)));
        softmax(scores.collect())
    }

    fn rounding_error(&self, row: &[f32]) -> f64 {
        let expected = self.score(row);
        let differences = LANES.map(|lanes| {
            let classes = self.weights.iter().zip(&self.intercepts);
            let scores = classes.map(|(weights, intercept)| {
                f64::from(single_linear(*intercept, terms(weights, &self.segments, row), lanes))
            });
            let rounded = softmax(scores.collect());
            rounded.iter().zip(&expected).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max)
        });
        differences.into_iter().fold(0.0, f64::max)
    }
}

impl FittedRidge {
    fn score(&self, row: &[f32]) -> f64 {
        linear(self.intercept, terms(&self.weights, &self.segments, row))
    }

    fn rounding_error(&self, row: &[f32], unit: f64) -> f64 {
        let expected = self.score(row);
        let differences = LANES.map(|lanes| {
            let terms = terms(&self.weights, &self.segments, row);
            relative(f64::from(single_linear(self.intercept, terms, lanes)) - expected, expected, unit)
        });
        differences.into_iter().fold(0.0, f64::max)
    }
}

/// Computes `exp(z_k) / Σ exp(z_j)`, written so that nothing overflows.
pub(crate) fn softmax(mut scores: Vec<f64>) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|score| *score /= sum);
    scores
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
                let value = row.to_slice().and_then(|row| tree.leaf(row));
                *sum += value.map_or(f64::NAN, |value| f64::from(*value));
            }
        }
        sums.iter().map(|sum| f64::from(self.base) + sum / self.trees.len() as f64).collect()
    }
}

impl FittedClassForest {
    /// Scores tree by tree, as [`FittedForest`] does.
    fn score_rows(&self, rows: &CowArray<'_, f32, Ix2>) -> Array2<f64> {
        let mut scores = Array2::zeros((rows.nrows(), self.classes));
        for tree in &self.trees {
            for (row, mut sums) in rows.outer_iter().zip(scores.outer_iter_mut()) {
                for ClassShare { class, share } in
                    row.to_slice().and_then(|row| tree.leaf(row)).into_iter().flatten()
                {
                    sums[*class as usize] += f64::from(*share);
                }
            }
        }
        scores / self.trees.len() as f64
    }
}

impl<Leaf> Tree<Leaf> {
    /// Returns the value of the leaf that a row reaches. `None` if there is none, as nodes are missing.
    pub(crate) fn leaf(&self, row: &[f32]) -> Option<&Leaf> {
        let mut index = 0_u32;
        loop {
            match self.nodes.get(index as usize)? {
                Node::Leaf { value } => return Some(value),
                Node::Split { column, threshold, below, above } => {
                    index = if row.get(*column as usize)? <= threshold { *below } else { *above };
                }
            }
        }
    }
}

//! Fitted models as plain numbers: what the exporter writes and what the native scorer reads.

use crate::family::Family;

/// A fitted model of one family. It scores rows that a [`Preprocessor`](crate::Preprocessor) has transformed.
#[derive(Debug, Clone, PartialEq)]
pub enum FittedModel {
    /// Logistic regression.
    Logistic(FittedLogistic),
    /// A random forest.
    Forest(FittedForest),
}

/// `probability = 1 / (1 + exp(-(intercept + weights · [x, hinges(x)])))`: a generalised additive model in which the
/// log-odds are piecewise linear in every numeric column.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedLogistic {
    /// Where the lines bend; may be empty.
    pub hinges: Vec<Hinge>,
    /// One weight for each column of the preprocessed matrix, then one for each hinge.
    pub weights: Vec<f32>,
    /// The log-odds where every column and every hinge is 0.
    pub intercept: f32,
}

/// `max(0, x[column] − knot)` in single precision: a basis function of a linear spline (Hastie, Tibshirani and Friedman,
/// The Elements of Statistical Learning, 2nd ed., 2009, §5.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hinge {
    /// The column of the preprocessed matrix.
    pub column: usize,
    /// Where the line bends, in the column's own scale.
    pub knot: f32,
}

/// The probability is the mean over the trees of the class frequency in the leaf that the row reaches.
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
    /// Rows with `row[column] <= threshold` go to `below`, all others to `above`.
    Split {
        /// The column of the preprocessed matrix.
        column: usize,
        /// The threshold, in the precision in which the rows are held.
        threshold: f32,
        /// The index of the child for small values.
        below: usize,
        /// The index of the child for large values.
        above: usize,
    },
    /// The share of positives among the training rows that reached it.
    Leaf {
        /// From 0 to 1, rounded so that single precision adds the leaves of all trees without rounding.
        probability: f32,
    },
}

impl FittedModel {
    /// The model's family.
    pub fn family(&self) -> Family {
        match self {
            Self::Logistic(_) => Family::Logistic,
            Self::Forest(_) => Family::Forest,
        }
    }

    /// The probability of the positive label for one preprocessed row.
    pub fn score(&self, row: &[f32]) -> f64 {
        match self {
            Self::Logistic(model) => model.score(row),
            Self::Forest(model) => model.score(row),
        }
    }
}

impl FittedLogistic {
    fn score(&self, row: &[f32]) -> f64 {
        let hinges = self.hinges.iter().map(|hinge| hinge.of(row));
        let inputs = row.iter().copied().chain(hinges);
        let products = self.weights.iter().zip(inputs).map(|(weight, x)| f64::from(*weight) * f64::from(x));
        let log_odds = f64::from(self.intercept) + products.sum::<f64>();
        1.0 / (1.0 + (-log_odds).exp())
    }
}

impl Hinge {
    /// Its value for one preprocessed row.
    pub fn of(&self, row: &[f32]) -> f32 {
        (row[self.column] - self.knot).max(0.0)
    }
}

impl FittedForest {
    fn score(&self, row: &[f32]) -> f64 {
        let total: f64 = self.trees.iter().map(|tree| f64::from(tree.score(row))).sum();
        total / self.trees.len() as f64
    }
}

impl Tree {
    pub(crate) fn score(&self, row: &[f32]) -> f32 {
        let mut index = 0;
        loop {
            match self.nodes[index] {
                Node::Leaf { probability } => return probability,
                Node::Split { column, threshold, below, above } => {
                    index = if row[column] <= threshold { below } else { above };
                }
            }
        }
    }
}

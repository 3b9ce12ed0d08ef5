//! A forest grown by smartcore, which scans all rows of every column at each split.
//!
//! Its classifier takes the majority vote of the leaves and returns no probabilities. So its regressor is
//! fitted on 0/1 labels: their squared error is half of Gini's impurity (Breiman et al., Classification and
//! Regression Trees, 1984, §4.3), so both choose the same splits, and the mean of a leaf is its class
//! frequency.

use ndarray::ArrayView2;
use rand::Rng;
use rayon::prelude::*;
use serde::Deserialize;
use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;
use thiserror::Error;

use super::{leaf_steps, pruned, round_down};
use crate::fitted::{FittedForest, Node, Tree};
use crate::parameters::ForestParams;
use crate::random::{Purpose, generator};

/// The reason why no forest could be fitted.
#[derive(Debug, Error)]
pub enum SmartcoreError {
    /// smartcore failed to fit the forest.
    #[error("smartcore could not fit the trees: {0}")]
    Fit(#[from] smartcore::error::Failed),
    /// smartcore's serialised forest does not have the expected shape.
    #[error("the trees that smartcore fitted cannot be read: {0}")]
    Read(#[from] serde_json::Error),
    /// A node points outside its tree or upwards, or holds no finite number.
    #[error("the trees that smartcore fitted cannot be read: node {node} is not well formed")]
    Node {
        /// The node's index in its tree.
        node: usize,
    },
}

/// The number of trees that share one seed. It is fixed, so that the forest does not depend on the number of
/// cores.
const CHUNK: usize = 10;

type Forest = RandomForestRegressor<f32, f64, DenseMatrix<f32>, Vec<f64>>;

/// Fits a forest on the preprocessed rows `[rows, columns]`, on all cores.
///
/// `advance` is called after every few trees with the number of steps done, from several threads.
///
/// # Errors
/// [`SmartcoreError`].
pub(crate) fn fit(
    rows: ArrayView2<'_, f32>,
    labels: &[bool],
    params: &ForestParams,
    seed: u64,
    advance: &(dyn Fn(usize) + Sync),
) -> Result<FittedForest, SmartcoreError> {
    let columns = rows.t().iter().copied().collect();
    let rows = DenseMatrix::new(rows.nrows(), rows.ncols(), columns, true)?;
    let labels: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(*label))).collect();
    let chunks = (0..params.trees.div_ceil(CHUNK)).into_par_iter().with_max_len(1);
    let fitted = chunks.map(|chunk| {
        let trees = CHUNK.min(params.trees - chunk * CHUNK);
        let fitted = fit_chunk(&rows, &labels, params, chunk, trees, seed);
        advance(trees);
        fitted
    });
    let fitted: Vec<_> = fitted.collect();
    let mut forest = FittedForest { trees: Vec::with_capacity(params.trees), base: 0.0 };
    for trees in fitted {
        forest.trees.extend(trees?);
    }
    Ok(forest)
}

fn fit_chunk(
    rows: &DenseMatrix<f32>,
    labels: &Vec<f64>,
    params: &ForestParams,
    chunk: usize,
    trees: usize,
    seed: u64,
) -> Result<Vec<Tree>, SmartcoreError> {
    // smartcore seeds tree i with the forest's seed + i, so the seeds of chunks must lie far apart.
    let seed = generator(seed, Purpose::ForestChunk, chunk as u32).next_u64();
    let parameters = RandomForestRegressorParameters {
        // smartcore counts the root as depth 1.
        max_depth: params.max_depth.map(|depth| depth.saturating_add(1)),
        min_samples_leaf: params.min_samples_leaf,
        min_samples_split: params.min_samples_split,
        n_trees: trees,
        m: params.max_features,
        keep_samples: false,
        seed,
    };
    let fitted = Forest::fit(rows, labels, parameters)?;
    // Through text rather than a `Value`, which would take several times the memory.
    let written: WrittenForest = serde_json::from_slice(&serde_json::to_vec(&fitted)?)?;
    let steps = leaf_steps(params.trees);
    written.forest_regressor.trees.iter().map(|tree| read_tree(&tree.nodes, steps)).collect()
}

/// The part of smartcore's serialised forest that holds the trees. Their fields are private in its API.
#[derive(Deserialize)]
struct WrittenForest {
    forest_regressor: WrittenTrees,
}

#[derive(Deserialize)]
struct WrittenTrees {
    trees: Vec<WrittenTree>,
}

#[derive(Deserialize)]
struct WrittenTree {
    nodes: Vec<WrittenNode>,
}

/// A node: rows with `row[split_feature] as f64 <= split_value` go to the true child. One without children is
/// a leaf.
#[derive(Deserialize)]
struct WrittenNode {
    output: f64,
    split_feature: usize,
    split_value: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
}

/// Reads a tree. smartcore goes on splitting pure nodes; such subtrees become one leaf.
fn read_tree(nodes: &[WrittenNode], steps: f32) -> Result<Tree, SmartcoreError> {
    let read = |(index, node): (usize, &WrittenNode)| {
        let in_order = |child: usize| child > index && child < nodes.len();
        match (node.true_child, node.false_child, node.split_value) {
            (None, None, _) if node.output.is_finite() => {
                Ok(Node::Leaf { value: (node.output as f32 * steps).round() / steps })
            }
            (Some(below), Some(above), Some(value))
                if in_order(below) && in_order(above) && value.is_finite() =>
            {
                let threshold = round_down(value);
                let (column, below, above) = (node.split_feature as u32, below as u32, above as u32);
                Ok(Node::Split { column, threshold, below, above })
            }
            _ => Err(SmartcoreError::Node { node: index }),
        }
    };
    let nodes = nodes.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(pruned(&nodes))
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use smartcore::linalg::basic::arrays::Array;

    use super::*;

    fn noisy_table() -> (Array2<f32>, Vec<bool>) {
        let mut random = generator(7, Purpose::GoldenRows, 0);
        let mut unit = || (random.next_u32() as f32 / u32::MAX as f32).powi(3);
        let rows = Array2::from_shape_fn((400, 5), |_| unit());
        let labels = rows.outer_iter().map(|row| row[0] + 0.3 * row[1] > 0.2 + 0.2 * row[4]).collect();
        (rows, labels)
    }

    fn params(trees: usize) -> ForestParams {
        ForestParams { trees, min_samples_leaf: 1, min_samples_split: 2, ..ForestParams::default() }
    }

    #[test]
    fn the_trees_that_are_read_score_as_smartcore_does() {
        let (rows, labels) = noisy_table();
        let matrix =
            DenseMatrix::new(rows.nrows(), rows.ncols(), rows.t().iter().copied().collect(), true).unwrap();
        assert_eq!(matrix.shape(), (400, 5));
        let targets: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(*label))).collect();
        let seed = generator(3, Purpose::ForestChunk, 0).next_u64();
        let parameters = RandomForestRegressorParameters { n_trees: 10, seed, ..Default::default() };
        let theirs = Forest::fit(&matrix, &targets, parameters).unwrap().predict(&matrix).unwrap();

        let ours = crate::FittedModel::Forest(fit(rows.view(), &labels, &params(10), 3, &|_| ()).unwrap());
        for (ours, theirs) in ours.score_rows(rows.view()).probabilities().unwrap().iter().zip(theirs) {
            assert!((ours - theirs).abs() < 1e-6);
        }
    }

    /// An upgrade of smartcore that changes this shape fails here.
    #[test]
    fn smartcore_writes_the_shape_that_is_read() {
        let matrix = DenseMatrix::new(4, 1, vec![0.0f32, 1.0, 2.0, 3.0], true).unwrap();
        let parameters = RandomForestRegressorParameters { n_trees: 1, ..Default::default() };
        let forest = Forest::fit(&matrix, &vec![0.0, 0.0, 1.0, 1.0], parameters).unwrap();
        let written = serde_json::to_value(&forest).unwrap();
        let root = &written["forest_regressor"]["trees"][0]["nodes"][0];
        let fields: Vec<&String> = root.as_object().unwrap().keys().collect();
        let expected = ["false_child", "output", "split_feature", "split_score", "split_value", "true_child"];
        assert_eq!(fields, expected);
        assert!(root["output"].is_f64() && root["split_value"].is_f64() && root["true_child"].is_u64());
    }

    #[test]
    fn nodes_that_are_not_well_formed_are_refused() {
        let node = |split_value, child: Option<usize>| WrittenNode {
            output: 0.5,
            split_feature: 0,
            split_value,
            true_child: child,
            false_child: child,
        };
        let leaf = || node(None, None);
        assert_eq!(read_tree(&[node(Some(0.1), Some(1)), leaf()], 2.0).unwrap().nodes.len(), 1);
        for broken in [node(Some(0.1), Some(0)), node(Some(0.1), Some(2)), node(None, Some(1))] {
            assert!(read_tree(&[broken, leaf()], 2.0).is_err());
        }
    }

    #[test]
    fn every_tree_is_another_one_and_the_seed_decides() {
        let (rows, labels) = noisy_table();
        let fitted = |seed| fit(rows.view(), &labels, &params(25), seed, &|_| ()).unwrap();
        let forest = fitted(42);
        assert_eq!(forest.trees.len(), 25);
        for (at, tree) in forest.trees.iter().enumerate() {
            assert!(!forest.trees[..at].contains(tree), "tree {at} occurs twice");
        }
        assert_eq!(forest, fitted(42));
        assert_ne!(forest, fitted(43));
    }
}

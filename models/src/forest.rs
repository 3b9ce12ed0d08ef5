//! Random forests by smartcore.
//!
//! Its classifier votes with the majority of each leaf and knows no probabilities. Its regressor on 0/1 labels is the
//! forest that is wanted: the squared error of a 0/1 label is half of Gini's impurity (Breiman et al., Classification
//! and Regression Trees, 1984, §4.3), so both choose the same splits, and the mean of a leaf is its class frequency.

use ndarray::ArrayView2;
use rand::Rng;
use serde::Deserialize;
use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;
use thiserror::Error;

use crate::fitted::{FittedForest, Node, Tree};
use crate::parallel;
use crate::parameters::ForestParams;
use crate::random::{Purpose, generator};

/// Why no forest could be fitted.
#[derive(Debug, Error)]
pub enum ForestError {
    /// smartcore refused.
    #[error("smartcore could not fit the trees: {0}")]
    Fit(#[from] smartcore::error::Failed),
    /// What smartcore writes is not what this code reads.
    #[error("the trees that smartcore fitted cannot be read: {0}")]
    Read(#[from] serde_json::Error),
    /// A node points outside its tree or upwards, or holds no finite number.
    #[error("the trees that smartcore fitted cannot be read: node {node} is not well formed")]
    Node {
        /// The node's index in its tree.
        node: usize,
    },
}

/// How many trees one seed is for. It is fixed, so that the forest does not depend on the number of cores.
const CHUNK: usize = 10;

type Forest = RandomForestRegressor<f32, f64, DenseMatrix<f32>, Vec<f64>>;

/// Fits a forest on the preprocessed rows `[rows, columns]`, on all cores. `progress` hears of every few trees.
///
/// # Errors
/// [`ForestError`].
pub(crate) fn fit(
    rows: ArrayView2<'_, f32>,
    labels: &[bool],
    params: &ForestParams,
    seed: u64,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<FittedForest, ForestError> {
    let columns = rows.t().iter().copied().collect();
    let rows = DenseMatrix::new(rows.nrows(), rows.ncols(), columns, true)?;
    let labels: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(*label))).collect();
    let chunks: Vec<usize> = (0..params.trees.div_ceil(CHUNK)).collect();
    let fitted = parallel::map(&chunks, |chunk| {
        let trees = CHUNK.min(params.trees - chunk * CHUNK);
        let fitted = fit_chunk(&rows, &labels, params, *chunk, trees, seed);
        progress(trees);
        fitted
    });
    let mut forest = FittedForest { trees: Vec::with_capacity(params.trees) };
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
) -> Result<Vec<Tree>, ForestError> {
    // Tree i of a forest is seeded with the forest's seed + i: the seeds of chunks must lie far apart.
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

/// Into how many steps from 0 to 1 the leaves' probabilities are rounded: as many as let single precision, which holds
/// every whole number up to 2²⁴, add those of all trees without rounding. The sum then is the same in every order, and
/// so on every runtime and in every batch; at 100 trees a step is 8e-6.
fn leaf_steps(trees: usize) -> f32 {
    const EXACT_BITS: i32 = 24;
    let tree_bits = trees.next_power_of_two().ilog2().min(EXACT_BITS.unsigned_abs());
    2.0_f32.powi(EXACT_BITS - tree_bits as i32)
}

/// The part of smartcore's serialised forest that holds the trees, whose fields are private in its API.
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

/// Rows with `row[split_feature] as f64 <= split_value` go to the true child; a node without children is a leaf.
#[derive(Deserialize)]
struct WrittenNode {
    output: f64,
    split_feature: usize,
    split_value: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
}

/// Reads a tree, making one leaf of every subtree whose leaves agree: smartcore goes on splitting pure nodes.
fn read_tree(nodes: &[WrittenNode], steps: f32) -> Result<Tree, ForestError> {
    // Children have larger indices than their parent, so that from the end every child is known before its parent.
    let mut agreed: Vec<Option<f32>> = vec![None; nodes.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        agreed[index] = match (node.true_child, node.false_child) {
            (None, None) if node.output.is_finite() => Some((node.output as f32 * steps).round() / steps),
            (Some(below), Some(above)) => {
                let in_order = |child| child > index && child < nodes.len();
                let threshold = node.split_value.filter(|value| value.is_finite());
                if !in_order(below) || !in_order(above) || threshold.is_none() {
                    return Err(ForestError::Node { node: index });
                }
                agreed[below].filter(|below| agreed[above] == Some(*below))
            }
            _ => return Err(ForestError::Node { node: index }),
        };
    }
    let mut tree = Tree { nodes: Vec::new() };
    if !nodes.is_empty() {
        copy_from(nodes, &agreed, &mut tree);
    }
    Ok(tree)
}

/// Copies the tree below the root, numbering the nodes anew, level by level.
fn copy_from(nodes: &[WrittenNode], agreed: &[Option<f32>], tree: &mut Tree) {
    // The written index of each node of the new tree.
    let mut sources = vec![0];
    while let Some(source) = sources.get(tree.nodes.len()) {
        let node = &nodes[*source];
        let copied = match (agreed[*source], node.split_value, node.true_child, node.false_child) {
            (None, Some(threshold), Some(below), Some(above)) => {
                let next = sources.len();
                sources.extend([below, above]);
                let threshold = round_down(threshold);
                Node::Split { column: node.split_feature, threshold, below: next, above: next + 1 }
            }
            (agreed, ..) => Node::Leaf { probability: agreed.unwrap_or_default() },
        };
        tree.nodes.push(copied);
    }
}

/// The largest single-precision number that is not above `value`: every single-precision `x` is on the same side of
/// both.
fn round_down(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) > value { nearest.next_down() } else { nearest }
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
        for (row, theirs) in rows.outer_iter().zip(theirs) {
            assert!((ours.score(row.as_slice().unwrap()) - theirs).abs() < 1e-6);
        }
    }

    /// The upgrade of smartcore that changes this shape must fail here and nowhere else.
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
    fn a_forest_has_every_tree_and_each_is_another_one() {
        let (rows, labels) = noisy_table();
        let told = std::sync::atomic::AtomicUsize::new(0);
        let count = |trees| {
            told.fetch_add(trees, std::sync::atomic::Ordering::Relaxed);
        };
        let forest = fit(rows.view(), &labels, &params(25), 42, &count).unwrap();
        assert_eq!(forest.trees.len(), 25);
        assert_eq!(told.into_inner(), 25);
        for (at, tree) in forest.trees.iter().enumerate() {
            assert!(!forest.trees[..at].contains(tree), "tree {at} occurs twice");
        }
        assert_eq!(forest, fit(rows.view(), &labels, &params(25), 42, &|_| ()).unwrap());
        assert_ne!(forest, fit(rows.view(), &labels, &params(25), 43, &|_| ()).unwrap());
    }

    #[test]
    fn a_tree_of_depth_one_splits_once_and_deeper_ones_as_often_as_they_may() {
        fn depth(tree: &Tree, node: usize) -> u16 {
            match &tree.nodes[node] {
                Node::Leaf { .. } => 0,
                Node::Split { below, above, .. } => 1 + depth(tree, *below).max(depth(tree, *above)),
            }
        }
        let (rows, labels) = noisy_table();
        for limit in [1, 2, 3] {
            let params = ForestParams { max_depth: Some(limit), max_features: Some(5), ..params(10) };
            let forest = fit(rows.view(), &labels, &params, 42, &|_| ()).unwrap();
            let deepest = forest.trees.iter().map(|tree| depth(tree, 0)).max();
            assert_eq!(deepest, Some(limit));
        }
        let params = ForestParams { max_depth: Some(u16::MAX), ..params(10) };
        let unlimited = ForestParams { max_depth: None, ..params.clone() };
        let fitted = |params| fit(rows.view(), &labels, params, 42, &|_| ()).unwrap();
        assert_eq!(fitted(&params), fitted(&unlimited));
    }

    #[test]
    fn subtrees_that_agree_are_one_leaf_and_children_follow_their_parents() {
        let split = |feature, value, below, above| WrittenNode {
            output: 0.5,
            split_feature: feature,
            split_value: Some(value),
            true_child: Some(below),
            false_child: Some(above),
        };
        let leaf = |output| WrittenNode {
            output,
            split_feature: 0,
            split_value: None,
            true_child: None,
            false_child: None,
        };
        // The right half agrees on 1, in two steps.
        let nodes = [
            split(2, 0.1, 2, 1),
            split(1, 0.0, 3, 4),
            split(0, -3.5, 5, 6),
            split(0, 7.0, 7, 8),
            leaf(1.0),
            leaf(0.25),
            leaf(0.0),
            leaf(1.0),
            leaf(1.0),
        ];
        let tree = read_tree(&nodes, leaf_steps(1)).unwrap();
        let expected = vec![
            Node::Split { column: 2, threshold: 0.099_999_994, below: 1, above: 2 },
            Node::Split { column: 0, threshold: -3.5, below: 3, above: 4 },
            Node::Leaf { probability: 1.0 },
            Node::Leaf { probability: 0.25 },
            Node::Leaf { probability: 0.0 },
        ];
        assert_eq!(tree.nodes, expected);
        assert!(read_tree(&[split(0, 1.0, 0, 1), leaf(1.0)], 1.0).is_err());
    }

    #[test]
    fn the_leaves_of_all_trees_add_up_exactly_in_any_order() {
        let (rows, labels) = noisy_table();
        let labels: Vec<bool> =
            labels.iter().enumerate().map(|(row, label)| *label ^ (row % 7 == 0)).collect();
        let params = ForestParams { min_samples_leaf: 7, ..params(100) };
        let forest = fit(rows.view(), &labels, &params, 42, &|_| ()).unwrap();
        for row in rows.outer_iter() {
            let leaves: Vec<f32> =
                forest.trees.iter().map(|tree| tree.score(row.as_slice().unwrap())).collect();
            let exact: f64 = leaves.iter().map(|leaf| f64::from(*leaf)).sum();
            assert_eq!(f64::from(leaves.iter().sum::<f32>()), exact);
            assert_eq!(f64::from(leaves.iter().rev().sum::<f32>()), exact);
            assert!(leaves.iter().all(|leaf| f64::from(1.0 - leaf) == 1.0 - f64::from(*leaf)));
        }
    }

    #[test]
    fn thresholds_are_rounded_down() {
        for value in [0.1, 0.2, -0.1, 1.0, 0.0, 123_456_789.7] {
            let rounded = f64::from(round_down(value));
            assert!(rounded <= value && f64::from(round_down(value).next_up()) > value, "{value}");
        }
    }
}

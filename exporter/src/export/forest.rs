use bytes::Bytes;
use onnward_models::{FittedForest, Node, Tree};
use onnward_onnx::PROBABILITIES;
use onnward_onnx::proto::tensor_proto::DataType;
use onnward_onnx::proto::{AttributeProto, TensorProto};

use super::ExportError;
use super::graph::{GraphBuilder, float_tensor, integer, integers, raw_tensor, tensor};
use super::model_graph::add_rows;

/// The first version of the `ai.onnx.ml` operators with `TreeEnsemble`.
const TREE_ENSEMBLE_SINCE: i64 = 5;

// Codes of `TreeEnsemble`: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html
const AGGREGATE_SUM: i64 = 1;
const POST_TRANSFORM_NONE: i64 = 0;
/// `BRANCH_LEQ`, the only mode that both runtimes read correctly.
const LEQ: u8 = 0;

/// Adds a forest over the preprocessed columns.
///
/// The tree operator only sums the probabilities of the leaves, on which the runtimes agree. Dividing by the
/// number of trees makes the mean. `TreeEnsemble` stores nothing of a leaf but its weight, and no text, so
/// the file has a third of the size that `TreeEnsembleClassifier` would need, and opens in half the time.
pub fn add(graph: &mut GraphBuilder, columns: &str, forest: &FittedForest) -> Result<(), ExportError> {
    let trees = forest.trees.len();
    if trees == 0 || u16::try_from(trees).is_err() {
        return Err(ExportError::Trees(trees));
    }
    let count = graph.floats("core/forest/trees", &[1, 1], &[trees as f32]);
    let one = graph.floats("core/forest/one", &[1, 1], &[1.0]);
    graph.require_ml(TREE_ENSEMBLE_SINCE);
    let rows = add_rows(graph, columns);
    graph.ml_node("TreeEnsemble", &[&rows], &["core/forest/sums"], attributes(forest));
    let positive = graph.node("Div", &["core/forest/sums", &count], "core/forest/positive", vec![]);
    let negative = graph.node("Sub", &[&one, &positive], "core/forest/negative", vec![]);
    graph.node("Concat", &[&negative, &positive], PROBABILITIES, vec![integer("axis", 1)]);
    Ok(())
}

/// The forest as the parallel lists of the operator: one entry for each split, and one for each leaf.
#[derive(Default)]
struct Lists {
    roots: Vec<i64>,
    columns: Vec<i64>,
    thresholds: Vec<f32>,
    below: Children,
    above: Children,
    weights: Vec<f32>,
}

/// The children on one side of each split.
#[derive(Default)]
struct Children {
    /// The index of a split, or of a leaf.
    indices: Vec<i64>,
    /// 1 for a leaf.
    leaves: Vec<i64>,
}

impl Children {
    fn push(&mut self, index: usize, is_leaf: bool) {
        self.indices.push(index as i64);
        self.leaves.push(i64::from(is_leaf));
    }
}

impl Lists {
    fn push(&mut self, tree: &Tree) {
        let first = self.columns.len();
        self.roots.push(first as i64);
        // The number of splits before each node of the tree.
        let splits = tree.nodes.iter().scan(first, |splits, node| {
            let before = *splits;
            *splits += usize::from(matches!(node, Node::Split { .. }));
            Some(before)
        });
        let splits: Vec<usize> = splits.collect();
        for node in &tree.nodes {
            match *node {
                Node::Split { column, threshold, below, above } => {
                    self.columns.push(i64::from(column));
                    self.thresholds.push(threshold);
                    for (side, child) in [(Side::Below, below), (Side::Above, above)] {
                        self.push_child(side, tree, child as usize, &splits);
                    }
                }
                // The operator does not allow a tree without a split.
                Node::Leaf { probability } if tree.nodes.len() == 1 => self.push_constant(probability),
                Node::Leaf { .. } => {}
            }
        }
    }

    fn push_child(&mut self, side: Side, tree: &Tree, child: usize, splits: &[usize]) {
        match tree.nodes[child] {
            Node::Split { .. } => self.side(side).push(splits[child], false),
            Node::Leaf { probability } => self.push_leaf(side, probability),
        }
    }

    fn push_constant(&mut self, probability: f32) {
        self.columns.push(0);
        self.thresholds.push(0.0);
        self.push_leaf(Side::Below, probability);
        self.push_leaf(Side::Above, probability);
    }

    fn push_leaf(&mut self, side: Side, probability: f32) {
        let leaf = self.weights.len();
        self.weights.push(probability);
        self.side(side).push(leaf, true);
    }

    fn side(&mut self, side: Side) -> &mut Children {
        match side {
            Side::Below => &mut self.below,
            Side::Above => &mut self.above,
        }
    }
}

#[derive(Clone, Copy)]
enum Side {
    Below,
    Above,
}

fn attributes(forest: &FittedForest) -> Vec<AttributeProto> {
    let mut lists = Lists::default();
    forest.trees.iter().for_each(|tree| lists.push(tree));
    let modes = vec![LEQ; lists.columns.len()];
    vec![
        integer("aggregate_function", AGGREGATE_SUM),
        integer("post_transform", POST_TRANSFORM_NONE),
        integer("n_targets", 1),
        integers("tree_roots", lists.roots),
        integers("nodes_featureids", lists.columns),
        tensor("nodes_modes", bytes_tensor(modes)),
        tensor("nodes_splits", floats_tensor(&lists.thresholds)),
        integers("nodes_truenodeids", lists.below.indices),
        integers("nodes_trueleafs", lists.below.leaves),
        integers("nodes_falsenodeids", lists.above.indices),
        integers("nodes_falseleafs", lists.above.leaves),
        integers("leaf_targetids", vec![0; lists.weights.len()]),
        tensor("leaf_weights", floats_tensor(&lists.weights)),
    ]
}

fn floats_tensor(values: &[f32]) -> TensorProto {
    float_tensor(&[values.len() as i64], values)
}

fn bytes_tensor(values: Vec<u8>) -> TensorProto {
    raw_tensor(DataType::Uint8, &[values.len() as i64], Bytes::from(values))
}

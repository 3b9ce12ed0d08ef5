use bytes::Bytes;
use onnward_models::{ClassShare, FittedClassForest, FittedForest, Node, Tree};
use onnward_onnx::proto::AttributeProto;
use onnward_onnx::{PREDICTION, PROBABILITIES, TreeLists};

use super::ExportError;
use super::graph::{GraphBuilder, float_list, integer, integers, strings};
use super::model_graph::add_rows;

/// The first version of the `ai.onnx.ml` operators with `TreeEnsemble`.
const TREE_ENSEMBLE_SINCE: i64 = 5;

/// `BRANCH_LEQ`, the only mode that both runtimes read correctly.
const LEQ: u8 = 0;

/// Adds a forest of a binary label over the preprocessed columns.
///
/// The tree operator only sums the values of the leaves, on which the runtimes agree. Dividing by the
/// number of trees makes the mean. `TreeEnsemble` stores nothing of a leaf but its weight, and no text, so
/// the file has a third of the size that `TreeEnsembleClassifier` would need, and opens in half the time.
pub fn add_binary(graph: &mut GraphBuilder, columns: &str, forest: &FittedForest) -> Result<(), ExportError> {
    let count = add_count(graph, forest.trees.len())?;
    let one = graph.floats("core/forest/one", &[1, 1], &[1.0]);
    add_sums(graph, columns, forest);
    let positive = graph.node("Div", &["core/forest/sums", &count], "core/forest/positive", vec![]);
    let negative = graph.node("Sub", &[&one, &positive], "core/forest/negative", vec![]);
    graph.node("Concat", &[&negative, &positive], PROBABILITIES, vec![integer("axis", 1)]);
    Ok(())
}

/// Adds a forest of a number.
pub fn add_number(graph: &mut GraphBuilder, columns: &str, forest: &FittedForest) -> Result<(), ExportError> {
    let count = add_count(graph, forest.trees.len())?;
    let base = graph.floats("core/forest/base", &[1, 1], &[forest.base]);
    add_sums(graph, columns, forest);
    let mean = graph.node("Div", &["core/forest/sums", &count], "core/forest/mean", vec![]);
    graph.node("Add", &[&mean, &base], PREDICTION, vec![]);
    Ok(())
}

/// Adds a forest of classes.
///
/// A leaf has a share of several classes, which `TreeEnsemble` cannot say: a leaf of it has one weight.
pub fn add_classes(
    graph: &mut GraphBuilder,
    columns: &str,
    forest: &FittedClassForest,
) -> Result<(), ExportError> {
    let count = add_count(graph, forest.trees.len())?;
    let rows = add_rows(graph, columns);
    graph.ml_node("TreeEnsembleRegressor", &[&rows], &["core/forest/sums"], class_attributes(forest));
    graph.node("Div", &["core/forest/sums", &count], PROBABILITIES, vec![]);
    Ok(())
}

/// Adds the number of trees, `[1, 1]`.
fn add_count(graph: &mut GraphBuilder, trees: usize) -> Result<String, ExportError> {
    if trees == 0 || u16::try_from(trees).is_err() {
        return Err(ExportError::Trees(trees));
    }
    Ok(graph.floats("core/forest/trees", &[1, 1], &[trees as f32]))
}

/// Adds the sum over the trees of the leaf that a row reaches, float32 `[rows, 1]`.
fn add_sums(graph: &mut GraphBuilder, columns: &str, forest: &FittedForest) {
    graph.require_ml(TREE_ENSEMBLE_SINCE);
    let rows = add_rows(graph, columns);
    graph.ml_node("TreeEnsemble", &[&rows], &["core/forest/sums"], attributes(forest));
}

/// Returns the attributes of `TreeEnsembleRegressor` for a forest of classes: one entry for each node, and one for each
/// share of a leaf.
fn class_attributes(forest: &FittedClassForest) -> Vec<AttributeProto> {
    let trees_of_nodes = || (0..).zip(&forest.trees).map(|(tree, of)| (tree, of.nodes.as_slice()));
    let nodes = || forest.trees.iter().flat_map(|tree| &tree.nodes);
    let split = |of: fn(u32, u32, u32) -> u32| -> Vec<i64> {
        let of_node = |node: &Node<_>| match node {
            Node::Split { column, below, above, .. } => i64::from(of(*column, *below, *above)),
            Node::Leaf { .. } => 0,
        };
        nodes().map(of_node).collect()
    };
    let modes = nodes().map(|node| {
        Bytes::from_static(if matches!(node, Node::Split { .. }) { b"BRANCH_LEQ" } else { b"LEAF" })
    });
    let thresholds = nodes().map(|node| match node {
        Node::Split { threshold, .. } => *threshold,
        Node::Leaf { .. } => 0.0,
    });
    let (mut trees, mut at, mut classes, mut weights) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (tree, nodes) in trees_of_nodes() {
        for (index, node) in nodes.iter().enumerate() {
            let Node::Leaf { value } = node else { continue };
            for ClassShare { class, share } in value {
                trees.push(tree);
                at.push(index as i64);
                classes.push(i64::from(*class));
                weights.push(*share);
            }
        }
    }
    vec![
        integer("n_targets", forest.classes as i64),
        integers(
            "nodes_treeids",
            trees_of_nodes().flat_map(|(tree, nodes)| vec![tree; nodes.len()]).collect(),
        ),
        integers("nodes_nodeids", trees_of_nodes().flat_map(|(_, nodes)| 0..nodes.len() as i64).collect()),
        integers("nodes_featureids", split(|column, _, _| column)),
        integers("nodes_truenodeids", split(|_, below, _| below)),
        integers("nodes_falsenodeids", split(|_, _, above| above)),
        float_list("nodes_values", thresholds.collect()),
        strings("nodes_modes", modes.collect()),
        integers("target_treeids", trees),
        integers("target_nodeids", at),
        integers("target_ids", classes),
        float_list("target_weights", weights),
    ]
}

/// Builds the lists of the operator: one entry for each split, and one for each leaf.
#[derive(Default)]
struct Builder {
    lists: TreeLists,
}

impl Builder {
    fn push(&mut self, tree: &Tree) {
        let first = self.lists.splits();
        self.lists.roots.push(first as u32);
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
                    self.push_split(column, threshold);
                    for (side, child) in [below, above].into_iter().enumerate() {
                        self.push_child(side, tree, child as usize, &splits);
                    }
                }
                // The operator does not allow a tree without a split.
                Node::Leaf { value } if tree.nodes.len() == 1 => {
                    self.push_split(0, 0.0);
                    [0, 1].into_iter().for_each(|side| self.push_leaf(side, value));
                }
                Node::Leaf { .. } => {}
            }
        }
    }

    fn push_split(&mut self, column: u32, threshold: f32) {
        self.lists.columns.push(column);
        self.lists.thresholds.push(threshold);
        self.lists.modes.push(LEQ);
    }

    /// Adds a child on a side of the last split: 0 for rows up to its threshold.
    fn push_child(&mut self, side: usize, tree: &Tree, child: usize, splits: &[usize]) {
        match tree.nodes[child] {
            Node::Split { .. } => {
                self.lists.children[side].push(splits[child] as u32);
                self.lists.leaves[side].push(false);
            }
            Node::Leaf { value } => self.push_leaf(side, value),
        }
    }

    fn push_leaf(&mut self, side: usize, value: f32) {
        self.lists.children[side].push(self.lists.weights.len() as u32);
        self.lists.leaves[side].push(true);
        self.lists.weights.push(value);
    }
}

fn attributes(forest: &FittedForest) -> Vec<AttributeProto> {
    let mut builder = Builder::default();
    forest.trees.iter().for_each(|tree| builder.push(tree));
    builder.lists.into_attributes()
}

use onnward_models::{FittedForest, Node, Tree};
use onnward_onnx::proto::AttributeProto;
use onnward_onnx::{PROBABILITIES, TreeLists};

use super::ExportError;
use super::graph::{GraphBuilder, integer};
use super::model_graph::add_rows;

/// The first version of the `ai.onnx.ml` operators with `TreeEnsemble`.
const TREE_ENSEMBLE_SINCE: i64 = 5;

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
                Node::Leaf { probability } if tree.nodes.len() == 1 => {
                    self.push_split(0, 0.0);
                    [0, 1].into_iter().for_each(|side| self.push_leaf(side, probability));
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
            Node::Leaf { probability } => self.push_leaf(side, probability),
        }
    }

    fn push_leaf(&mut self, side: usize, probability: f32) {
        self.lists.children[side].push(self.lists.weights.len() as u32);
        self.lists.leaves[side].push(true);
        self.lists.weights.push(probability);
    }
}

fn attributes(forest: &FittedForest) -> Vec<AttributeProto> {
    let mut builder = Builder::default();
    forest.trees.iter().for_each(|tree| builder.push(tree));
    builder.lists.into_attributes()
}

use bytes::Bytes;
use onnward_models::{FittedForest, Node};
use onnward_onnx::PROBABILITIES;

use super::ExportError;
use super::graph::{GraphBuilder, floats, integers, string, strings};

// `BRANCH_LEQ` is the one mode that both runtimes read right.
const SPLIT: Bytes = Bytes::from_static(b"BRANCH_LEQ");
const LEAF: Bytes = Bytes::from_static(b"LEAF");

/// Adds a forest over the preprocessed matrix. The tree operator only sums the weights of the leaves, which is what the
/// runtimes agree on; dividing by the number of trees makes the mean.
pub fn add(graph: &mut GraphBuilder, columns: &str, forest: &FittedForest) -> Result<(), ExportError> {
    let trees = forest.trees.len();
    if trees == 0 || u16::try_from(trees).is_err() {
        return Err(ExportError::Trees(trees));
    }
    let count = graph.floats("core/forest/trees", &[1, 1], &[trees as f32]);
    let outputs = ["core/forest/label", "core/forest/sums"];
    graph.ml_node("TreeEnsembleClassifier", &[columns], &outputs, attributes(forest));
    graph.node("Div", &["core/forest/sums", &count], PROBABILITIES, vec![]);
    Ok(())
}

/// The forest as the operator's parallel lists: one entry a node, and one a class of each leaf.
#[derive(Default)]
struct Lists {
    tree_ids: Vec<i64>,
    node_ids: Vec<i64>,
    feature_ids: Vec<i64>,
    modes: Vec<Bytes>,
    thresholds: Vec<f32>,
    true_ids: Vec<i64>,
    false_ids: Vec<i64>,
    class_tree_ids: Vec<i64>,
    class_node_ids: Vec<i64>,
    class_ids: Vec<i64>,
    class_weights: Vec<f32>,
}

impl Lists {
    fn push(&mut self, tree: i64, id: i64, node: Node) {
        self.tree_ids.push(tree);
        self.node_ids.push(id);
        match node {
            Node::Split { column, threshold, below, above } => {
                self.push_branch(column as i64, SPLIT, threshold, below as i64, above as i64);
            }
            Node::Leaf { probability } => {
                self.push_branch(0, LEAF, 0.0, 0, 0);
                for (class, weight) in [(0, 1.0 - probability), (1, probability)] {
                    self.class_tree_ids.push(tree);
                    self.class_node_ids.push(id);
                    self.class_ids.push(class);
                    self.class_weights.push(weight);
                }
            }
        }
    }

    fn push_branch(&mut self, feature: i64, mode: Bytes, threshold: f32, below: i64, above: i64) {
        self.feature_ids.push(feature);
        self.modes.push(mode);
        self.thresholds.push(threshold);
        self.true_ids.push(below);
        self.false_ids.push(above);
    }
}

fn attributes(forest: &FittedForest) -> Vec<onnward_onnx::proto::AttributeProto> {
    let mut lists = Lists::default();
    for (tree, nodes) in (0..).zip(&forest.trees) {
        for (id, node) in (0..).zip(&nodes.nodes) {
            lists.push(tree, id, *node);
        }
    }
    vec![
        integers("nodes_treeids", lists.tree_ids),
        integers("nodes_nodeids", lists.node_ids),
        integers("nodes_featureids", lists.feature_ids),
        strings("nodes_modes", lists.modes),
        floats("nodes_values", lists.thresholds),
        integers("nodes_truenodeids", lists.true_ids),
        integers("nodes_falsenodeids", lists.false_ids),
        integers("class_treeids", lists.class_tree_ids),
        integers("class_nodeids", lists.class_node_ids),
        integers("class_ids", lists.class_ids),
        floats("class_weights", lists.class_weights),
        integers("classlabels_int64s", vec![0, 1]),
        string("post_transform", "NONE"),
    ]
}

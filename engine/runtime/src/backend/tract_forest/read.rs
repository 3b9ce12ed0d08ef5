//! Reads the attributes of `TreeEnsembleClassifier` as trees.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::super::forest::{Forest, TreeNode};

/// Reads `TreeEnsembleClassifier` (ai.onnx.ml 1 to 4) with two classes, `BRANCH_LEQ` and sums of leaf
/// weights. `None` for any other, which may still be valid.
pub fn classifier(node: &NodeProto) -> TractResult<Option<Forest>> {
    let labels = node.get_attr_opt_slice::<i64>("classlabels_int64s")?;
    let transform = node.get_attr_opt::<&str>("post_transform")?;
    let has_base = node.get_attr_opt_slice::<f32>("base_values")?.is_some_and(|base| !base.is_empty());
    let plain = labels == Some(&[0, 1]) && transform.is_none_or(|transform| transform == "NONE") && !has_base;
    if !plain || tracks_missing(node)? {
        return Ok(None);
    }
    let integers = |name: &str| node.get_attr_slice::<i64>(name);
    let floats = |name: &str| node.get_attr_slice::<f32>(name);
    let nodes = NodeLists {
        trees: integers("nodes_treeids")?,
        ids: integers("nodes_nodeids")?,
        columns: integers("nodes_featureids")?,
        modes: node.get_attr_vec::<&str>("nodes_modes")?,
        thresholds: floats("nodes_values")?,
        below: integers("nodes_truenodeids")?,
        above: integers("nodes_falsenodeids")?,
    };
    let weights = WeightLists {
        trees: integers("class_treeids")?,
        nodes: integers("class_nodeids")?,
        classes: integers("class_ids")?,
        weights: floats("class_weights")?,
    };
    Ok(nodes.trees().and_then(|trees| weights.add_to(trees)).and_then(|trees| Forest::new(&trees)))
}

/// Returns whether a tree states where it sends missing values. The forests here send them to `above`.
pub fn tracks_missing(node: &NodeProto) -> TractResult<bool> {
    let tracks = node.get_attr_opt_slice::<i64>("nodes_missing_value_tracks_true")?;
    Ok(tracks.is_some_and(|tracks| tracks.iter().any(|tracks| *tracks != 0)))
}

/// One entry for each node, including leaves.
struct NodeLists<'a> {
    trees: &'a [i64],
    ids: &'a [i64],
    columns: &'a [i64],
    modes: Vec<&'a str>,
    thresholds: &'a [f32],
    below: &'a [i64],
    above: &'a [i64],
}

impl NodeLists<'_> {
    /// Returns the trees. `None` unless they and their nodes are numbered from 0 in the order of the lists.
    fn trees(&self) -> Option<Vec<Vec<TreeNode>>> {
        let mut trees: Vec<Vec<TreeNode>> = Vec::new();
        for (index, (tree, id)) in self.trees.iter().zip(self.ids).enumerate() {
            if *id == 0 {
                trees.push(Vec::new());
            }
            let number = trees.len().checked_sub(1)?;
            let nodes = trees.last_mut()?;
            if usize::try_from(*tree) != Ok(number) || usize::try_from(*id) != Ok(nodes.len()) {
                return None;
            }
            nodes.push(match *self.modes.get(index)? {
                "LEAF" => TreeNode::Leaf { weights: [0.0; 2] },
                "BRANCH_LEQ" => TreeNode::Split {
                    column: usize::try_from(*self.columns.get(index)?).ok()?,
                    threshold: *self.thresholds.get(index)?,
                    below: usize::try_from(*self.below.get(index)?).ok()?,
                    above: usize::try_from(*self.above.get(index)?).ok()?,
                },
                _ => return None,
            });
        }
        Some(trees)
    }
}

/// One entry for each weight of a leaf.
struct WeightLists<'a> {
    trees: &'a [i64],
    nodes: &'a [i64],
    classes: &'a [i64],
    weights: &'a [f32],
}

impl WeightLists<'_> {
    fn add_to(&self, mut trees: Vec<Vec<TreeNode>>) -> Option<Vec<Vec<TreeNode>>> {
        // ONNX treats weights of one class alone as a special case.
        if ![0, 1].iter().all(|class| self.classes.contains(class)) {
            return None;
        }
        for (index, weight) in self.weights.iter().enumerate() {
            let tree = trees.get_mut(usize::try_from(*self.trees.get(index)?).ok()?)?;
            let node = tree.get_mut(usize::try_from(*self.nodes.get(index)?).ok()?)?;
            let class = usize::try_from(*self.classes.get(index)?).ok()?;
            match node {
                TreeNode::Leaf { weights } => *weights.get_mut(class)? += weight,
                TreeNode::Split { .. } => return None,
            }
        }
        Some(trees)
    }
}

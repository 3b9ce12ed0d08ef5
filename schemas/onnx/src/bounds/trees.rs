//! Checks of decision trees. Runtimes walk trees as they are written, and not every runtime checks where a
//! branch leads.

use std::collections::HashMap;

use super::tensor::elements;
use super::{BoundsError, ModelBounds, within};
use crate::proto::{AttributeProto, NodeProto};

/// Checks the trees of a node, if it has any, and returns how many nodes they have.
pub fn check(node: &NodeProto, bounds: &ModelBounds) -> Result<usize, BoundsError> {
    let contradicts =
        |problem: &str| BoundsError::Trees { node: node.name().to_owned(), problem: problem.to_owned() };
    let attributes = Attributes(&node.attribute);
    let trees = match node.op_type() {
        "TreeEnsemble" => Trees::of_ensemble(&attributes, bounds),
        "TreeEnsembleClassifier" => Trees::of_lists(&attributes, "class", bounds),
        "TreeEnsembleRegressor" => Trees::of_lists(&attributes, "target", bounds),
        _ => return Ok(0),
    };
    let trees = trees.map_err(contradicts)?;
    let count = trees.children.len();
    within("nodes of trees", count, bounds.max_tree_nodes, Some("models.max_tree_nodes"))?;
    let depth = trees.depth().ok_or_else(|| contradicts("a node lies below itself"))?;
    within("decisions in a tree", depth, bounds.max_tree_depth, Some("models.max_tree_depth"))?;
    Ok(count)
}

/// A problem of trees, in words.
type Problem = &'static str;

const LENGTHS: Problem = "its lists of nodes differ in length";
const NOWHERE: Problem = "a branch leads to a node that does not exist";
const NO_COLUMN: Problem = "a node compares a column that does not exist";
const NO_LEAF: Problem = "a leaf's weight refers to a node, a class or a target that does not exist";

/// Stands for no child. No forest has so many nodes.
const NO_CHILD: u32 = u32::MAX;

/// The children of every node, by index.
struct Trees {
    children: Vec<[u32; 2]>,
    /// Whether leaves are nodes without children. If not, every node decides, and a missing child is a leaf.
    has_leaf_nodes: bool,
}

impl Trees {
    /// Reads the trees of the operators up to ai.onnx.ml 4: a node is identified by its tree and its number
    /// in the tree.
    fn of_lists(attributes: &Attributes<'_>, weights: &str, bounds: &ModelBounds) -> Result<Self, Problem> {
        let ints = |name: &str| attributes.ints(name);
        let (trees, ids) = (ints("nodes_treeids"), ints("nodes_nodeids"));
        let (below, above) = (ints("nodes_truenodeids"), ints("nodes_falsenodeids"));
        let modes = attributes.find("nodes_modes").map(|modes| modes.strings.as_slice()).unwrap_or_default();
        let (columns, count) = (ints("nodes_featureids"), ids.len());
        let one_length = [
            trees.len(),
            below.len(),
            above.len(),
            modes.len(),
            columns.len(),
            attributes.floats("nodes_values"),
        ];
        if one_length.iter().any(|length| *length != count) || u32::try_from(count).is_err() {
            return Err(LENGTHS);
        }
        check_optional_lists(attributes, count)?;
        let mut index = HashMap::with_capacity(count);
        for (at, key) in trees.iter().zip(ids).enumerate() {
            if index.insert(key, at as u32).is_some() {
                return Err("two nodes of a tree have one number");
            }
        }
        let mut children = Vec::with_capacity(count);
        for at in 0..count {
            if modes[at].as_ref() == b"LEAF" {
                children.push([NO_CHILD; 2]);
                continue;
            }
            check_column(columns[at], bounds)?;
            let child = |id: i64| index.get(&(&trees[at], &id)).copied().ok_or(NOWHERE);
            children.push([child(below[at])?, child(above[at])?]);
        }
        check_leaf_weights(attributes, weights, &|tree, node| index.contains_key(&(tree, node)))?;
        Ok(Self { children, has_leaf_nodes: true })
    }

    /// Reads the trees of ai.onnx.ml 5: decisions and leaves are numbered separately.
    fn of_ensemble(attributes: &Attributes<'_>, bounds: &ModelBounds) -> Result<Self, Problem> {
        let ints = |name: &str| attributes.ints(name);
        let columns = ints("nodes_featureids");
        let count = columns.len();
        let sides = [("nodes_truenodeids", "nodes_trueleafs"), ("nodes_falsenodeids", "nodes_falseleafs")];
        let sides = sides.map(|(nodes, leaves)| (ints(nodes), ints(leaves)));
        let tensors = ["nodes_modes", "nodes_splits"].map(|name| attributes.tensor(name));
        let one_length = sides.iter().all(|(nodes, leaves)| nodes.len() == count && leaves.len() == count);
        if !one_length || tensors.iter().any(|length| *length != Some(count)) || u32::try_from(count).is_err()
        {
            return Err(LENGTHS);
        }
        let optional =
            [ints("nodes_missing_value_tracks_true").len(), attributes.tensor("nodes_hitrates").unwrap_or(0)];
        if optional.iter().any(|length| *length != 0 && *length != count) {
            return Err(LENGTHS);
        }
        let targets = ints("leaf_targetids");
        if attributes.tensor("leaf_weights") != Some(targets.len()) {
            return Err("it has another number of leaves than of weights");
        }
        let target_count = attributes.find("n_targets").map_or(1, |count| count.i());
        if targets.iter().any(|target| !(0..target_count).contains(target)) {
            return Err(NO_LEAF);
        }
        columns.iter().try_for_each(|column| check_column(*column, bounds))?;
        if ints("tree_roots").iter().any(|root| !is_below(*root, count)) {
            return Err("a tree begins at a node that does not exist");
        }
        let mut children = vec![[NO_CHILD; 2]; count];
        for (side, (nodes, leaves)) in sides.into_iter().enumerate() {
            for (children, (node, leaf)) in children.iter_mut().zip(nodes.iter().zip(leaves)) {
                let among = if *leaf == 0 { count } else { targets.len() };
                if !is_below(*node, among) {
                    return Err(NOWHERE);
                }
                children[side] = if *leaf == 0 { *node as u32 } else { NO_CHILD };
            }
        }
        Ok(Self { children, has_leaf_nodes: false })
    }

    /// Returns the most decisions on a path through the trees; `None` if there is a cycle.
    fn depth(&self) -> Option<usize> {
        let mut depths = vec![Depth::Unknown; self.children.len()];
        let mut deepest = 0;
        // The nodes on the way to the one that is looked at, which is the last, and their children.
        let mut open = Vec::new();
        for start in 0..self.children.len() {
            open.push(start);
            while let Some(&node) = open.last() {
                let children = || {
                    let found = self.children[node].iter().filter(|child| **child != NO_CHILD);
                    found.map(|child| *child as usize)
                };
                match depths[node] {
                    Depth::Unknown => {
                        depths[node] = Depth::Open;
                        for child in children() {
                            match depths[child] {
                                Depth::Unknown => open.push(child),
                                Depth::Open => return None,
                                Depth::Known(_) => {}
                            }
                        }
                    }
                    Depth::Open => {
                        let depth = children().map(|child| depths[child].known() + 1).max();
                        let depth = depth.unwrap_or(u32::from(!self.has_leaf_nodes));
                        depths[node] = Depth::Known(depth);
                        deepest = deepest.max(depth);
                    }
                    Depth::Known(_) => drop(open.pop()),
                }
            }
        }
        Some(deepest as usize)
    }
}

/// The number of decisions below a node.
#[derive(Clone, Copy)]
enum Depth {
    Unknown,
    /// The node is on the path that is being walked.
    Open,
    Known(u32),
}

impl Depth {
    fn known(self) -> u32 {
        match self {
            Self::Known(depth) => depth,
            Self::Unknown | Self::Open => 0,
        }
    }
}

/// Refuses optional lists of another length than the others.
fn check_optional_lists(attributes: &Attributes<'_>, count: usize) -> Result<(), Problem> {
    let tracks = attributes.ints("nodes_missing_value_tracks_true").len();
    let hit_rates = attributes.floats("nodes_hitrates");
    if [tracks, hit_rates].iter().any(|length| *length != 0 && *length != count) {
        return Err(LENGTHS);
    }
    Ok(())
}

/// Refuses weights for leaves, classes or targets that do not exist. `prefix` is `class` or `target`.
fn check_leaf_weights(
    attributes: &Attributes<'_>,
    prefix: &str,
    is_there: &dyn Fn(&i64, &i64) -> bool,
) -> Result<(), Problem> {
    let ints = |name: &str| attributes.ints(&format!("{prefix}_{name}"));
    let (trees, nodes, ids) = (ints("treeids"), ints("nodeids"), ints("ids"));
    let weights = attributes.floats(&format!("{prefix}_weights"));
    if [trees.len(), nodes.len(), weights].iter().any(|length| *length != ids.len()) {
        return Err("its lists of weights are not of one length");
    }
    let labels = attributes
        .ints("classlabels_int64s")
        .len()
        .max(attributes.find("classlabels_strings").map_or(0, |labels| labels.strings.len()));
    let targets = attributes.find("n_targets").map_or(1, |count| usize::try_from(count.i()).unwrap_or(0));
    let columns = if prefix == "class" { labels } else { targets };
    let all = trees.iter().zip(nodes).zip(ids);
    for ((tree, node), id) in all {
        if !is_there(tree, node) || !is_below(*id, columns) {
            return Err(NO_LEAF);
        }
    }
    Ok(())
}

fn check_column(column: i64, bounds: &ModelBounds) -> Result<(), Problem> {
    // Encoded, a feature becomes several columns.
    let most = bounds.max_features.saturating_mul(COLUMNS_A_FEATURE);
    if is_below(column, most) { Ok(()) } else { Err(NO_COLUMN) }
}

/// The most columns that a feature becomes on average.
const COLUMNS_A_FEATURE: usize = 100;

fn is_below(index: i64, count: usize) -> bool {
    usize::try_from(index).is_ok_and(|index| index < count)
}

/// The attributes of a node, by name.
struct Attributes<'n>(&'n [AttributeProto]);

impl<'n> Attributes<'n> {
    fn find(&self, name: &str) -> Option<&'n AttributeProto> {
        self.0.iter().find(|attribute| attribute.name() == name)
    }

    fn ints(&self, name: &str) -> &'n [i64] {
        self.find(name).map(|attribute| attribute.ints.as_slice()).unwrap_or_default()
    }

    /// Returns how many numbers an attribute has, or the tensor that replaces it for double precision.
    fn floats(&self, name: &str) -> usize {
        match self.find(name).map_or(0, |attribute| attribute.floats.len()) {
            0 => self.tensor(&format!("{name}_as_tensor")).unwrap_or(0),
            length => length,
        }
    }

    /// Returns how many elements the tensor in an attribute has.
    fn tensor(&self, name: &str) -> Option<usize> {
        usize::try_from(elements(&self.find(name)?.t.as_ref()?.dims)?).ok()
    }
}

//! Reads the attributes of tree operators as trees.

use std::collections::HashMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::Ensemble;
use super::number::Number;
use super::walk::{Comparison, Node, Trees};
use crate::backend::tract_ml::{attributes, numbers};

/// Reads the lists of ai.onnx.ml 1 to 4, in which nodes have identifiers. `kind` begins the names of the lists
/// of weights.
pub fn read_nodes(
    context: &ParsingContext,
    proto: &NodeProto,
    kind: &str,
    targets: usize,
) -> TractResult<Ensemble> {
    let doubles = |name: &str| attributes::doubles(context, proto, &format!("{name}_as_tensor"));
    let weights = format!("{kind}_weights");
    let (thresholds, leaf_weights) = (doubles("nodes_values")?, doubles(&weights)?);
    let lists = NodeLists::read(proto, kind)?;
    if thresholds.is_none() && leaf_weights.is_none() {
        let thresholds = attributes::floats(proto, "nodes_values")?;
        let weights = attributes::floats(proto, &weights)?;
        return Ok(Ensemble::Single(Arc::new(lists.trees(&thresholds, &weights, targets)?)));
    }
    let floats = |name: &str| {
        let floats = attributes::floats(proto, name)?;
        Ok::<_, TractError>(floats.into_iter().map(f64::from).collect::<Vec<_>>())
    };
    let thresholds = thresholds.map_or_else(|| floats("nodes_values"), Ok)?;
    let weights = leaf_weights.map_or_else(|| floats(&weights), Ok)?;
    Ok(Ensemble::Double(Arc::new(lists.trees(&thresholds, &weights, targets)?)))
}

/// The lists of nodes, one entry for each node, and those of weights, one entry for each weight.
struct NodeLists {
    trees: Vec<i64>,
    ids: Vec<i64>,
    columns: Vec<i64>,
    modes: Vec<String>,
    children: [Vec<i64>; 2],
    missing_is_true: Vec<i64>,
    weight_trees: Vec<i64>,
    weight_nodes: Vec<i64>,
    weight_targets: Vec<i64>,
}

/// The weights of leaves, those of a leaf behind one another.
struct LeafWeights<T> {
    /// The range of each node's weights.
    ranges: HashMap<u32, (u32, u32)>,
    /// The target and the weight.
    weights: Vec<(u32, T)>,
}

impl NodeLists {
    fn read(proto: &NodeProto, kind: &str) -> TractResult<Self> {
        let integers = |name: &str| attributes::integers(proto, name);
        let lists = Self {
            trees: integers("nodes_treeids")?,
            ids: integers("nodes_nodeids")?,
            columns: integers("nodes_featureids")?,
            modes: attributes::strings(proto, "nodes_modes")?,
            children: [integers("nodes_truenodeids")?, integers("nodes_falsenodeids")?],
            missing_is_true: integers("nodes_missing_value_tracks_true")?,
            weight_trees: integers(&format!("{kind}_treeids"))?,
            weight_nodes: integers(&format!("{kind}_nodeids"))?,
            weight_targets: integers(&format!("{kind}_ids"))?,
        };
        let [passed, failed] = &lists.children;
        let nodes = [lists.ids.len(), lists.columns.len(), lists.modes.len(), passed.len(), failed.len()];
        let weights = [lists.weight_nodes.len(), lists.weight_targets.len()];
        let differs = |lengths: &[usize], length: usize| lengths.iter().any(|found| *found != length);
        if differs(&nodes, lists.trees.len()) || differs(&weights, lists.weight_trees.len()) {
            bail!("the lists of {} have different lengths", proto.op_type);
        }
        Ok(lists)
    }

    /// Returns the trees. A tree begins where the lists go on to another tree.
    fn trees<T: Number>(&self, thresholds: &[T], weights: &[T], targets: usize) -> TractResult<Trees<T>> {
        if thresholds.len() != self.trees.len() || weights.len() != self.weight_trees.len() {
            bail!(
                "there are {} nodes and {} thresholds, or weights of other numbers",
                self.trees.len(),
                thresholds.len()
            );
        }
        let mut places = HashMap::with_capacity(self.trees.len());
        for (index, key) in self.trees.iter().copied().zip(self.ids.iter().copied()).enumerate() {
            if places.insert(key, index).is_some() {
                bail!("node {} of tree {} is there twice", key.1, key.0);
            }
        }
        let place = |tree: i64, id: i64| match places.get(&(tree, id)) {
            Some(index) => Ok(u32::try_from(*index)?),
            None => bail!("tree {tree} has no node {id}"),
        };
        let LeafWeights { mut ranges, weights } = self.weights(weights, targets, place)?;
        let is_root = |index: usize| index == 0 || self.trees[index] != self.trees[index - 1];
        let roots = (0..self.trees.len()).filter(|index| is_root(*index)).map(|index| index as u32).collect();
        let mut nodes = Vec::with_capacity(self.trees.len());
        for (index, threshold) in thresholds.iter().enumerate() {
            let Some(comparison) = comparison(&self.modes[index])? else {
                let (start, end) = ranges.remove(&(index as u32)).unwrap_or_default();
                nodes.push(Node::Leaf { start, end });
                continue;
            };
            let child = |side: usize| place(self.trees[index], self.children[side][index]);
            nodes.push(Node::Split {
                column: u32::try_from(self.columns[index])?,
                comparison,
                missing_is_true: self.missing_is_true.get(index) == Some(&1),
                threshold: *threshold,
                children: [child(0)?, child(1)?],
            });
        }
        Trees { nodes, roots, weights, sets: Vec::new(), targets }.check()
    }

    /// Returns the weights in the order of their nodes. Where there is one target, a leaf has one weight, and
    /// further ones are ignored.
    fn weights<T: Number>(
        &self,
        weights: &[T],
        targets: usize,
        place: impl Fn(i64, i64) -> TractResult<u32>,
    ) -> TractResult<LeafWeights<T>> {
        let ids = self.weight_trees.iter().zip(&self.weight_nodes);
        let mut sorted = Vec::with_capacity(weights.len());
        for ((tree, id), (target, weight)) in ids.zip(self.weight_targets.iter().zip(weights)) {
            sorted.push((place(*tree, *id)?, u32::try_from(*target)?, *weight));
        }
        // Equal keys stay in their order.
        sorted.sort_by_key(|(node, ..)| *node);
        let (mut ranges, mut kept) = (HashMap::new(), Vec::with_capacity(sorted.len()));
        for (node, target, weight) in sorted {
            let start = u32::try_from(kept.len())?;
            let range = ranges.entry(node).or_insert((start, start));
            if targets > 1 || range.0 == range.1 {
                kept.push((target, weight));
                range.1 += 1;
            }
        }
        Ok(LeafWeights { ranges, weights: kept })
    }
}

/// Returns the comparison with this name. `None` for a leaf.
fn comparison(mode: &str) -> TractResult<Option<Comparison>> {
    Ok(Some(match mode {
        "BRANCH_LEQ" => Comparison::LessOrEqual,
        "BRANCH_LT" => Comparison::Less,
        "BRANCH_GTE" => Comparison::GreaterOrEqual,
        "BRANCH_GT" => Comparison::Greater,
        "BRANCH_EQ" => Comparison::Equal,
        "BRANCH_NEQ" => Comparison::NotEqual,
        "LEAF" => return Ok(None),
        other => bail!("a tree has a node of the unknown mode {other:?}"),
    }))
}

/// Reads the lists of ai.onnx.ml 5, in which splits and leaves are numbered by themselves.
pub fn read_splits(context: &ParsingContext, proto: &NodeProto) -> TractResult<Ensemble> {
    let Some(thresholds) = attributes::tensor(context, proto, "nodes_splits")? else {
        bail!("{} has no nodes_splits", proto.op_type);
    };
    Ok(match thresholds.datum_type() {
        DatumType::F32 => Ensemble::Single(Arc::new(splits::<f32>(context, proto, &thresholds)?)),
        DatumType::F64 => Ensemble::Double(Arc::new(splits::<f64>(context, proto, &thresholds)?)),
        other => bail!("{} has nodes_splits of type {other:?}", proto.op_type),
    })
}

fn splits<T: Number>(
    context: &ParsingContext,
    proto: &NodeProto,
    thresholds: &Tensor,
) -> TractResult<Trees<T>> {
    let tensor = |name: &str| attributes::tensor(context, proto, name);
    let numbers_of = |name: &str| match tensor(name)? {
        Some(tensor) => Ok(numbers::values::<T>(&tensor)?.to_vec()),
        None => Ok::<_, TractError>(Vec::new()),
    };
    let Some(modes) = tensor("nodes_modes")? else { bail!("{} has no nodes_modes", proto.op_type) };
    let integers = |name: &str| attributes::integers(proto, name);
    let lists = SplitLists {
        roots: integers("tree_roots")?,
        columns: integers("nodes_featureids")?,
        modes: numbers::values::<u8>(&modes)?.to_vec(),
        thresholds: numbers::values::<T>(thresholds)?.to_vec(),
        children: [integers("nodes_truenodeids")?, integers("nodes_falsenodeids")?],
        leaves: [integers("nodes_trueleafs")?, integers("nodes_falseleafs")?],
        missing_is_true: integers("nodes_missing_value_tracks_true")?,
        weight_targets: integers("leaf_targetids")?,
        weights: numbers_of("leaf_weights")?,
        members: numbers_of("membership_values")?,
    };
    lists.trees(proto.get_attr_opt::<usize>("n_targets")?.unwrap_or(0))
}

/// The lists of ai.onnx.ml 5.
struct SplitLists<T> {
    roots: Vec<i64>,
    columns: Vec<i64>,
    modes: Vec<u8>,
    thresholds: Vec<T>,
    children: [Vec<i64>; 2],
    leaves: [Vec<i64>; 2],
    missing_is_true: Vec<i64>,
    weight_targets: Vec<i64>,
    weights: Vec<T>,
    members: Vec<T>,
}

const MEMBER: u8 = 6;

impl<T: Number> SplitLists<T> {
    /// Returns the trees, whose leaves follow the splits.
    fn trees(self, targets: usize) -> TractResult<Trees<T>> {
        let splits = self.columns.len();
        let [children, leaves] = [&self.children, &self.leaves].map(|lists| lists.each_ref().map(Vec::len));
        let lengths = [self.modes.len(), self.thresholds.len()];
        if lengths.iter().chain(&children).chain(&leaves).any(|length| *length != splits) {
            bail!("the lists of TreeEnsemble have different lengths");
        }
        if self.weights.len() != self.weight_targets.len() {
            bail!("TreeEnsemble has {} leaves and {} targets", self.weights.len(), self.weight_targets.len());
        }
        let mut sets = self.sets();
        let mut kept = Vec::new();
        let mut nodes = Vec::with_capacity(splits + self.weights.len());
        for index in 0..splits {
            let (comparison, threshold) = match self.modes[index] {
                MEMBER => {
                    let set = sets.next().unwrap_or_default();
                    let comparison = member_comparison(&set)?;
                    let index = T::from_f64(kept.len() as f64);
                    if index.to_f64() != kept.len() as f64 {
                        bail!("TreeEnsemble has more than {} sets of members", kept.len());
                    }
                    kept.push(set);
                    (comparison, index)
                }
                mode => (comparison_of(mode)?, self.thresholds[index]),
            };
            nodes.push(Node::Split {
                column: u32::try_from(self.columns[index])?,
                comparison,
                missing_is_true: self.missing_is_true.get(index) == Some(&1),
                threshold,
                children: [self.child(0, index)?, self.child(1, index)?],
            });
        }
        nodes.extend((0..self.weights.len() as u32).map(|leaf| Node::Leaf { start: leaf, end: leaf + 1 }));
        let target = |(target, weight): (&i64, &T)| Ok((u32::try_from(*target)?, *weight));
        let weights = self.weight_targets.iter().zip(&self.weights).map(target);
        let weights = weights.collect::<TractResult<_>>()?;
        let roots = self.roots.iter().map(|root| self.root(*root)).collect::<TractResult<_>>()?;
        Trees { nodes, roots, weights, sets: kept, targets }.check()
    }

    /// Returns the sets of values, which are divided by NaN.
    fn sets(&self) -> impl Iterator<Item = Vec<T>> {
        self.members.split(|member| member.partial_cmp(member).is_none()).map(<[T]>::to_vec)
    }

    fn child(&self, side: usize, split: usize) -> TractResult<u32> {
        let index = u32::try_from(self.children[side][split])?;
        let is_leaf = self.leaves[side][split] != 0;
        let (before, length) =
            if is_leaf { (self.columns.len(), self.weights.len()) } else { (0, self.columns.len()) };
        if index as usize >= length {
            bail!("TreeEnsemble refers to node {index} of {length}");
        }
        Ok(u32::try_from(before)? + index)
    }

    /// Returns the index of a tree's root. A tree of one leaf is written as a split with twice that leaf.
    fn root(&self, root: i64) -> TractResult<u32> {
        let split = usize::try_from(root)?;
        if split >= self.columns.len() {
            bail!("TreeEnsemble has a root {root} of {}", self.columns.len());
        }
        let [passed, failed] = &self.children;
        let is_leaf = self.leaves.iter().all(|leaves| leaves[split] != 0);
        if is_leaf && passed[split] == failed[split] {
            self.child(0, split)
        } else {
            Ok(u32::try_from(split)?)
        }
    }
}

/// Returns how ONNX Runtime looks a value up in a set: exactly in a small set of small numbers, and without its
/// fraction in any other.
fn member_comparison<T: Number>(set: &[T]) -> TractResult<Comparison> {
    const SMALL: f64 = 30.0;
    let members = || set.iter().map(|member| member.to_f64());
    if members().any(|member| member.trunc() != member || f64::from(member as i32) != member) {
        bail!("TreeEnsemble has a member that is not a whole number of 32 bits");
    }
    let is_small = set.len() as f64 <= SMALL && members().all(|member| (0.0..=SMALL).contains(&member));
    Ok(if is_small { Comparison::Member } else { Comparison::TruncatedMember })
}

fn comparison_of(mode: u8) -> TractResult<Comparison> {
    Ok(match mode {
        0 => Comparison::LessOrEqual,
        1 => Comparison::Less,
        2 => Comparison::GreaterOrEqual,
        3 => Comparison::Greater,
        4 => Comparison::Equal,
        5 => Comparison::NotEqual,
        other => bail!("TreeEnsemble has a split of the unknown mode {other}"),
    })
}

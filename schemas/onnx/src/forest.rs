//! Forests in graphs: the lists of a `TreeEnsemble` in the form that the exporter writes.
//!
//! The lists are nearly all of a forest's file, and a runtime that reads them makes several copies. So they
//! can be taken out of the graph, and a large forest can be split into models of a few trees each.

use std::ops::Range;

use bytes::Bytes;
use prost::Message;

use crate::artifact::ArtifactError;
use crate::attributes::{attribute, integer};
use crate::proto::attribute_proto::AttributeType;
use crate::proto::tensor_proto::DataType;
use crate::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// The operator of ai.onnx.ml 5 whose lists are read here.
const OPERATOR: &str = "TreeEnsemble";

/// The attribute that replaces the lists of a forest: its index among those that were taken out.
pub const TAKEN_FOREST: &str = "onnward_forest";

// Codes of `TreeEnsemble`: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html
const AGGREGATE_SUM: i64 = 1;
const POST_TRANSFORM_NONE: i64 = 0;

/// The trees of a `TreeEnsemble` with one target, which sums the weights of the leaves.
///
/// There is one entry for each split in the lists of splits. Leaves are numbered by themselves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TreeLists {
    /// The index of each tree's first split.
    pub roots: Vec<u32>,
    /// The column that each split compares.
    pub columns: Vec<u32>,
    /// The comparison of each split; 0 is `BRANCH_LEQ`.
    pub modes: Vec<u8>,
    /// The number that each split compares with.
    pub thresholds: Vec<f32>,
    /// The split or leaf for rows up to the threshold, and the one for all others.
    pub children: [Vec<u32>; 2],
    /// Whether that is a leaf.
    pub leaves: [Vec<bool>; 2],
    /// The weight of each leaf.
    pub weights: Vec<f32>,
}

impl TreeLists {
    /// Takes the lists out of every forest of a model's graph that has this form, and leaves
    /// [`TAKEN_FOREST`] in their place. The lists are returned in the order of these indices.
    pub fn take_from(model: &mut ModelProto) -> Vec<Self> {
        let nodes = model.graph.iter_mut().flat_map(|graph| &mut graph.node);
        let mut taken = Vec::new();
        for node in nodes {
            if let Some(lists) = Self::take(node) {
                let index = AttributeProto {
                    name: Some(TAKEN_FOREST.to_owned()),
                    i: i64::try_from(taken.len()).ok(),
                    r#type: Some(AttributeType::Int as i32),
                    ..AttributeProto::default()
                };
                node.attribute = vec![index];
                taken.push(lists);
            }
        }
        taken
    }

    /// Decodes a file, takes the lists out of its forests, and returns what is left as a file. The file's
    /// bounds are not checked.
    ///
    /// # Errors
    /// [`ArtifactError::NotOnnx`].
    pub fn take_from_file(file: &[u8]) -> Result<(Vec<u8>, Vec<Self>), ArtifactError> {
        let mut model = ModelProto::decode(file)?;
        let lists = Self::take_from(&mut model);
        Ok((model.encode_to_vec(), lists))
    }

    /// Takes the lists out of a node. `None` if it is no such forest, and then the node is unchanged.
    fn take(node: &mut NodeProto) -> Option<Self> {
        let is_forest = node.op_type() == OPERATOR
            && integer(node, "aggregate_function").unwrap_or(AGGREGATE_SUM) == AGGREGATE_SUM
            && integer(node, "post_transform").unwrap_or(POST_TRANSFORM_NONE) == POST_TRANSFORM_NONE
            && integer(node, "n_targets") == Some(1)
            && attribute(node, "nodes_missing_value_tracks_true")
                .is_none_or(|tracks| tracks.ints.iter().all(|tracks| *tracks == 0));
        if !is_forest {
            return None;
        }
        let indices = ["tree_roots", "nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids"]
            .map(|name| attribute(node, name));
        if indices.iter().flatten().flat_map(|list| &list.ints).any(|index| u32::try_from(*index).is_err()) {
            return None;
        }
        let modes = bytes_of(attribute(node, "nodes_modes")?.t.as_ref()?)?;
        let thresholds = floats_of(attribute(node, "nodes_splits")?.t.as_ref()?)?;
        let weights = floats_of(attribute(node, "leaf_weights")?.t.as_ref()?)?;
        // Each list is freed as soon as it is in the form that takes a fraction of it.
        let mut integers = |name: &str| {
            let found = node.attribute.iter_mut().find(|attribute| attribute.name() == name);
            found.map(|attribute| std::mem::take(&mut attribute.ints)).unwrap_or_default()
        };
        let mut indices =
            |name: &str| integers(name).into_iter().map(|index| index as u32).collect::<Vec<_>>();
        let (roots, columns) = (indices("tree_roots"), indices("nodes_featureids"));
        let children = [indices("nodes_truenodeids"), indices("nodes_falsenodeids")];
        let mut flags = |name: &str| integers(name).into_iter().map(|flag| flag != 0).collect::<Vec<_>>();
        let leaves = [flags("nodes_trueleafs"), flags("nodes_falseleafs")];
        drop(integers("leaf_targetids"));
        Some(Self { roots, columns, modes, thresholds, children, leaves, weights })
    }

    /// Returns the attributes of a `TreeEnsemble` with these trees.
    pub fn into_attributes(self) -> Vec<AttributeProto> {
        let named = |name: &str| AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
        let whole = |name: &str, value| AttributeProto {
            i: Some(value),
            r#type: Some(AttributeType::Int as i32),
            ..named(name)
        };
        let integers = |name: &str, values| AttributeProto {
            ints: values,
            r#type: Some(AttributeType::Ints as i32),
            ..named(name)
        };
        let tensor = |name: &str, data_type: DataType, elements: usize, raw: Vec<u8>| AttributeProto {
            t: Some(TensorProto {
                dims: vec![elements as i64],
                data_type: Some(data_type as i32),
                raw_data: Some(Bytes::from(raw)),
                ..TensorProto::default()
            }),
            r#type: Some(AttributeType::Tensor as i32),
            ..named(name)
        };
        let floats = |name: &str, values: &[f32]| {
            let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensor(name, DataType::Float, values.len(), raw)
        };
        let wide = |indices: Vec<u32>| indices.into_iter().map(i64::from).collect::<Vec<_>>();
        let flags = |flags: Vec<bool>| flags.into_iter().map(i64::from).collect::<Vec<_>>();
        let ([below, above], [below_leaves, above_leaves]) =
            (self.children.map(wide), self.leaves.map(flags));
        vec![
            whole("aggregate_function", AGGREGATE_SUM),
            whole("post_transform", POST_TRANSFORM_NONE),
            whole("n_targets", 1),
            integers("tree_roots", wide(self.roots)),
            integers("nodes_featureids", wide(self.columns)),
            tensor("nodes_modes", DataType::Uint8, self.modes.len(), self.modes),
            floats("nodes_splits", &self.thresholds),
            integers("nodes_truenodeids", below),
            integers("nodes_trueleafs", below_leaves),
            integers("nodes_falsenodeids", above),
            integers("nodes_falseleafs", above_leaves),
            integers("leaf_targetids", vec![0; self.weights.len()]),
            floats("leaf_weights", &self.weights),
        ]
    }

    /// Returns the number of splits of all trees.
    pub fn splits(&self) -> usize {
        self.columns.len()
    }

    /// Returns the trees whose roots have these indices in the list of roots, as lists of their own. `None`
    /// unless the splits and the leaves of each tree follow those of the tree before, as the exporter writes
    /// them.
    fn slice(&self, trees: Range<usize>) -> Option<Self> {
        let roots = self.roots.get(trees.clone())?;
        let start = *roots.first()?;
        let end = self.roots.get(trees.end).map_or(self.splits(), |root| *root as usize);
        let splits = start as usize..end;
        let sides = |side: usize| {
            Some((self.children[side].get(splits.clone())?, self.leaves[side].get(splits.clone())?))
        };
        let (below, above) = (sides(0)?, sides(1)?);
        let all = || [below, above].into_iter().flat_map(|(children, leaves)| children.iter().zip(leaves));
        let reached =
            |is_leaf: bool| all().filter(move |(_, leaf)| **leaf == is_leaf).map(|(child, _)| *child);
        let (first_leaf, last_leaf) = (reached(true).min()?, reached(true).max()?);
        if !reached(false).all(|split| splits.contains(&(split as usize))) {
            return None;
        }
        let move_up = |(children, leaves): (&[u32], &[bool])| {
            let first = |is_leaf: &bool| if *is_leaf { first_leaf } else { start };
            children.iter().zip(leaves).map(|(child, is_leaf)| child - first(is_leaf)).collect::<Vec<_>>()
        };
        Some(Self {
            roots: roots.iter().map(|root| root.checked_sub(start)).collect::<Option<_>>()?,
            columns: self.columns.get(splits.clone())?.to_vec(),
            modes: self.modes.get(splits.clone())?.to_vec(),
            thresholds: self.thresholds.get(splits.clone())?.to_vec(),
            weights: self.weights.get(first_leaf as usize..=last_leaf as usize)?.to_vec(),
            children: [move_up(below), move_up(above)],
            leaves: [below.1.to_vec(), above.1.to_vec()],
        })
    }
}

/// A model with one large forest, as models with a few of its trees each.
#[derive(Debug)]
pub struct ForestSlices<'a> {
    /// The model without the forest's lists.
    model: ModelProto,
    forest: &'a TreeLists,
    max_splits: usize,
    next: usize,
}

impl<'a> ForestSlices<'a> {
    /// Splits a model by the trees of its forest into models of at most `max_splits` splits, or of one tree
    /// if that has more. The model's forest is `forest`, which was taken out of it.
    pub(crate) fn new(model: ModelProto, forest: &'a TreeLists, max_splits: usize) -> Self {
        Self { model, forest, max_splits, next: 0 }
    }

    /// Returns the number of the trees in the next model.
    fn next_trees(&self) -> usize {
        let roots = self.forest.roots.get(self.next..).unwrap_or_default();
        let Some(first) = roots.first() else { return 0 };
        let ends = roots.iter().skip(1).map(|root| *root as usize).chain([self.forest.splits()]);
        ends.take_while(|end| end.saturating_sub(*first as usize) <= self.max_splits).count().max(1)
    }
}

impl Iterator for ForestSlices<'_> {
    /// The file of a model. `None` if the trees cannot be separated.
    type Item = Option<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let trees = self.next..self.next + self.next_trees();
        if trees.is_empty() {
            return None;
        }
        self.next = trees.end;
        let slice = || {
            let lists = self.forest.slice(trees)?;
            let mut model = self.model.clone();
            let nodes = &mut model.graph.as_mut()?.node;
            let is_taken = |node: &&mut NodeProto| integer(node, TAKEN_FOREST).is_some();
            nodes.iter_mut().find(is_taken)?.attribute = lists.into_attributes();
            Some(model.encode_to_vec())
        };
        Some(slice())
    }
}

/// Returns the number of splits of the forests in a graph whose lists can be taken out.
pub fn forest_splits(graph: &GraphProto) -> usize {
    let forests = graph.node.iter().filter(|node| node.op_type() == OPERATOR);
    forests.filter_map(|node| attribute(node, "nodes_featureids")).map(|columns| columns.ints.len()).sum()
}

/// Reads a tensor of single precision. `None` for any other.
fn floats_of(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type() != DataType::Float as i32 {
        return None;
    }
    let raw = tensor.raw_data.as_deref().unwrap_or_default().as_chunks().0;
    Some(
        raw.iter().map(|bytes| f32::from_le_bytes(*bytes)).chain(tensor.float_data.iter().copied()).collect(),
    )
}

/// Reads a tensor of bytes. `None` for any other.
fn bytes_of(tensor: &TensorProto) -> Option<Vec<u8>> {
    if tensor.data_type() != DataType::Uint8 as i32 {
        return None;
    }
    let raw = tensor.raw_data.as_deref().unwrap_or_default().iter().map(|byte| Some(*byte));
    raw.chain(tensor.int32_data.iter().map(|value| u8::try_from(*value).ok())).collect()
}

#[cfg(test)]
mod tests;

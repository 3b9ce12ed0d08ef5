//! Looks up the attributes of nodes.

use crate::proto::{AttributeProto, NodeProto};

/// Returns the attribute of a node with this name.
pub fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

/// Returns the whole number in an attribute.
pub fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name)?.i
}

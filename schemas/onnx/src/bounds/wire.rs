//! A scan of a model's encoding, before anything is built of it.
//!
//! In memory an empty message takes hundreds of times the two bytes that it takes in the file. So the memory
//! for decoding is added up first, and a file that would take many times its own size is refused.

use super::{BoundsError, ModelBounds, within};
use crate::artifact::ArtifactError;
use crate::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorAnnotation, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_proto, tensor_shape_proto, type_proto,
};

/// The memory of a decoded file as a multiple of its size, beside [`FREE_BYTES`]. Forests take the most:
/// three times.
const INFLATION: usize = 4;
/// The memory that every file may take.
const FREE_BYTES: usize = 64 * 1024 * 1024;
/// The deepest nesting of messages. A nested graph is three deeper than the one around it.
const MAX_DEPTH: usize = 32;
/// The memory of a text or a list of bytes beside its content.
const TEXT_BYTES: usize = size_of::<bytes::Bytes>();

/// The kinds of messages in a model, as far as they hold others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Value,
    Type,
    /// The type of a tensor.
    TensorType,
    Shape,
    /// The type of a sequence, an optional value or a map, which holds a type too.
    OuterType,
    Annotation,
    /// A message without messages, and the memory that it takes.
    Leaf(usize),
}

/// The content of a field.
enum Content {
    Message(Kind),
    /// Whole numbers, each in as many bytes as it needs.
    Numbers,
    /// Numbers of single or double precision.
    Floats,
    /// Texts, bytes, and fields that decoding skips.
    Text,
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Self::Model => size_of::<ModelProto>(),
            Self::Graph => size_of::<GraphProto>(),
            Self::Function => size_of::<FunctionProto>(),
            Self::Node => size_of::<NodeProto>(),
            Self::Attribute => size_of::<AttributeProto>(),
            Self::Tensor => size_of::<TensorProto>(),
            Self::Sparse => size_of::<SparseTensorProto>(),
            Self::Value => size_of::<ValueInfoProto>(),
            Self::Type | Self::OuterType => size_of::<TypeProto>(),
            Self::TensorType => size_of::<type_proto::Tensor>(),
            Self::Shape => size_of::<TensorShapeProto>(),
            Self::Annotation => size_of::<TensorAnnotation>(),
            Self::Leaf(size) => size,
        }
    }

    /// Returns the content of a field, by its number in onnx.proto.
    fn content(self, field: u64) -> Content {
        use Content::{Floats, Message, Numbers, Text};
        const ENTRY: Kind = Kind::Leaf(size_of::<StringStringEntryProto>());
        match (self, field) {
            (Self::Model, 7) => Message(Self::Graph),
            (Self::Model, 25) => Message(Self::Function),
            (Self::Model, 8) | (Self::Function, 9) => Message(Self::Leaf(size_of::<OperatorSetIdProto>())),
            (Self::Model | Self::Function, 14) | (Self::Graph, 16) | (Self::Node, 9) => Message(ENTRY),
            (Self::Graph, 1) | (Self::Function, 7) => Message(Self::Node),
            (Self::Graph, 5) => Message(Self::Tensor),
            (Self::Graph, 15) => Message(Self::Sparse),
            (Self::Graph, 11..=13) | (Self::Function, 12) => Message(Self::Value),
            (Self::Graph, 14) => Message(Self::Annotation),
            (Self::Node, 5) | (Self::Function, 11) => Message(Self::Attribute),
            (Self::Attribute, 5 | 10) => Message(Self::Tensor),
            (Self::Attribute, 6 | 11) => Message(Self::Graph),
            (Self::Attribute, 22 | 23) => Message(Self::Sparse),
            (Self::Attribute, 14 | 15) => Message(Self::Type),
            (Self::Attribute, 7) | (Self::Tensor, 4 | 10) => Floats,
            (Self::Attribute, 8) | (Self::Tensor, 1 | 5 | 7 | 11) | (Self::Sparse, 3) => Numbers,
            (Self::Tensor, 3) => Message(Self::Leaf(size_of::<tensor_proto::Segment>())),
            (Self::Tensor, 13 | 16) | (Self::Value, 4) | (Self::Annotation, 2) => Message(ENTRY),
            (Self::Sparse, 1 | 2) => Message(Self::Tensor),
            (Self::Value, 2) => Message(Self::Type),
            (Self::Type, 1 | 8) => Message(Self::TensorType),
            (Self::Type, 4 | 5 | 9) => Message(Self::OuterType),
            (Self::OuterType, 1 | 2) => Message(Self::Type),
            (Self::TensorType, 2) => Message(Self::Shape),
            (Self::Shape, 1) => Message(Self::Leaf(size_of::<tensor_shape_proto::Dimension>())),
            _ => Text,
        }
    }
}

/// Refuses bytes that are not protobuf, parts that are never served, and files that would take too much
/// memory. Returns how many bytes the decoded file takes.
pub fn scan(bytes: &[u8], bounds: &ModelBounds) -> Result<usize, ArtifactError> {
    let limit = bytes.len().saturating_mul(INFLATION).saturating_add(FREE_BYTES);
    let mut reader = Reader { bytes, at: 0 };
    let mut open = vec![(Kind::Model, bytes.len())];
    let (mut memory, mut nodes) = (Kind::Model.size(), 0_usize);
    while let Some(&(kind, end)) = open.last() {
        if reader.at == end {
            open.pop();
            continue;
        }
        let (field, wire_type) = reader.key().ok_or(ArtifactError::NotOnnx)?;
        memory = memory.saturating_add(
            match wire_type {
                WireType::Varint => reader.varint().map(|_| size_of::<u64>()),
                WireType::Fixed(size) => reader.skip(size, end).map(<[u8]>::len),
                WireType::Length => {
                    let length = reader.varint().and_then(|length| usize::try_from(length).ok());
                    let content =
                        length.and_then(|length| reader.look(length, end)).ok_or(ArtifactError::NotOnnx)?;
                    refuse_what_is_not_served(kind, field)?;
                    match kind.content(field) {
                        Content::Message(inner) => {
                            if open.len() == MAX_DEPTH {
                                return Err(BoundsError::Nested { limit: MAX_DEPTH }.into());
                            }
                            nodes += usize::from(inner == Kind::Node);
                            open.push((inner, reader.at + content.len()));
                            Some(inner.size())
                        }
                        Content::Numbers => {
                            let numbers = content.iter().filter(|byte| **byte < 0x80).count();
                            reader.skip(content.len(), end).map(|_| numbers * size_of::<u64>())
                        }
                        Content::Floats => reader.skip(content.len(), end).map(<[u8]>::len),
                        Content::Text => reader.skip(content.len(), end).map(|text| text.len() + TEXT_BYTES),
                    }
                }
            }
            .ok_or(ArtifactError::NotOnnx)?,
        );
        if memory > limit {
            return Err(BoundsError::Inflated { bytes: bytes.len(), limit }.into());
        }
        if reader.at > end {
            return Err(ArtifactError::NotOnnx);
        }
    }
    within("nodes", nodes, bounds.max_nodes, Some("models.max_nodes"))?;
    Ok(memory)
}

fn refuse_what_is_not_served(kind: Kind, field: u64) -> Result<(), BoundsError> {
    let (what, fix) = match (kind, field) {
        (Kind::Model, 20) => ("a part for training", "export the model for inference"),
        (Kind::Model, 26) | (Kind::Node, 10) => ("a plan for several devices", "export the model for one"),
        _ => return Ok(()),
    };
    Err(BoundsError::NotServed { what: what.to_owned(), fix })
}

enum WireType {
    Varint,
    Fixed(usize),
    Length,
}

/// A reader of protobuf's encoding.
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    /// Reads a field's number and how its value is written. Groups are rejected: ONNX has none.
    fn key(&mut self) -> Option<(u64, WireType)> {
        let key = self.varint()?;
        let wire_type = match key & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed(8),
            2 => WireType::Length,
            5 => WireType::Fixed(4),
            _ => return None,
        };
        Some((key >> 3, wire_type))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Returns the next bytes, up to `end` at most, without moving on.
    fn look(&self, length: usize, end: usize) -> Option<&'b [u8]> {
        let after = self.at.checked_add(length).filter(|after| *after <= end)?;
        self.bytes.get(self.at..after)
    }

    fn skip(&mut self, length: usize, end: usize) -> Option<&'b [u8]> {
        let passed = self.look(length, end)?;
        self.at += length;
        Some(passed)
    }
}

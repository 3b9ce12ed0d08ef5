//! Checks of graphs and the graphs in them.

use std::collections::HashSet;

use super::{BoundsError, ModelBounds, tensor, trees, within};
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{AttributeProto, GraphProto, NodeProto, OperatorSetIdProto, ValueInfoProto, type_proto};

/// The domains of ONNX's own operators, and the newest version that is accepted. It is above what there is
/// today, and far below what overflows.
const DOMAINS: [(&str, i64); 3] = [("", 40), ("ai.onnx", 40), (ML, 10)];
const ML: &str = "ai.onnx.ml";

/// The domain of the operators that ONNX Runtime adds.
const MICROSOFT: &str = "com.microsoft";
/// Those of them that are accepted: converters and ONNX Runtime's own optimizer write them, they read nothing but their
/// inputs, and each replaces a few of ONNX's own. What they take is not inferred, so a model with one is tested in a
/// process of its own first.
const MICROSOFT_OPERATORS: [&str; 28] = [
    "BiasGelu",
    "BiasSoftmax",
    "CDist",
    "DequantizeLinear",
    "DynamicQuantizeMatMul",
    "FastGelu",
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "Gelu",
    "Inverse",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "MurmurHash3",
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMul",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QuantizeLinear",
    "QuickGelu",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "Tokenizer",
];

/// The deepest nesting of graphs: a branch in a branch is more than any classifier has.
const MAX_NESTING: usize = 4;

/// The most outputs of a graph; one of them is served.
const MAX_OUTPUTS: usize = 1000;

/// Refuses versions of operators that do not exist. A domain that no node uses does no harm: exporters list
/// many.
pub fn check_opsets(opsets: &[OperatorSetIdProto]) -> Result<(), BoundsError> {
    for opset in opsets {
        let known = DOMAINS.iter().find(|(domain, _)| *domain == opset.domain());
        if let Some((domain, newest)) = known
            && !(1..=*newest).contains(&opset.version())
        {
            let domain = if domain.is_empty() { "ai.onnx" } else { domain };
            return Err(BoundsError::Opset { domain, version: opset.version(), newest: *newest });
        }
    }
    Ok(())
}

/// Refuses a graph that is outside of the bounds or holds something that no file may.
pub fn check(graph: &GraphProto, bounds: &ModelBounds) -> Result<(), BoundsError> {
    check_inputs(graph, bounds)?;
    within("outputs", graph.output.len(), MAX_OUTPUTS, None)?;
    let mut walk = Walk { bounds, tree_nodes: 0 };
    walk.graph(graph, 0)
}

/// Refuses inputs with more columns than there may be features. Initializers that are listed as inputs do not
/// count.
fn check_inputs(graph: &GraphProto, bounds: &ModelBounds) -> Result<(), BoundsError> {
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name()).collect();
    let real = graph.input.iter().filter(|input| !constants.contains(input.name()));
    let features = real.fold(0_usize, |features, input| features.saturating_add(columns(input)));
    within("features", features, bounds.max_features, Some("models.max_features"))
}

fn columns(input: &ValueInfoProto) -> usize {
    let value = input.r#type.as_ref().and_then(|r#type| r#type.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = value else { return 1 };
    let columns = tensor.shape.as_ref().and_then(|shape| shape.dim.get(1)).and_then(|dim| dim.value.as_ref());
    match columns {
        Some(dimension::Value::DimValue(columns)) => usize::try_from(*columns).unwrap_or(1).max(1),
        _ => 1,
    }
}

struct Walk<'b> {
    bounds: &'b ModelBounds,
    /// The nodes of the trees so far.
    tree_nodes: usize,
}

impl Walk<'_> {
    fn graph(&mut self, graph: &GraphProto, depth: usize) -> Result<(), BoundsError> {
        if depth > MAX_NESTING {
            return Err(BoundsError::Nested { limit: MAX_NESTING });
        }
        if let Some(sparse) = graph.sparse_initializer.first() {
            let name = sparse.values.as_ref().map(|values| values.name()).unwrap_or_default();
            return Err(refuse_sparse(name));
        }
        graph.initializer.iter().try_for_each(tensor::check)?;
        graph.node.iter().try_for_each(|node| self.node(node, depth))
    }

    fn node(&mut self, node: &NodeProto, depth: usize) -> Result<(), BoundsError> {
        let (operator, domain) = (node.op_type(), node.domain());
        let is_accepted =
            domain == MICROSOFT && (self.bounds.all_operators || MICROSOFT_OPERATORS.contains(&operator));
        if !is_accepted && !DOMAINS.iter().any(|(known, _)| *known == domain) {
            let (operator, domain) = (operator.to_owned(), domain.to_owned());
            return Err(BoundsError::CustomOperator { operator, domain });
        }
        if operator == "Loop" {
            // How often it goes round is known only while it runs, and it may be without an end.
            let what = "the operator Loop".to_owned();
            return Err(BoundsError::NotServed {
                what,
                fix: "export the model without loops (Scan is bounded by its input)",
            });
        }
        node.attribute.iter().try_for_each(|attribute| self.attribute(attribute, depth))?;
        self.tree_nodes += trees::check(node, self.bounds)?;
        let (found, limit) = (self.tree_nodes, self.bounds.max_tree_nodes);
        within("nodes of trees", found, limit, Some("models.max_tree_nodes"))
    }

    fn attribute(&mut self, attribute: &AttributeProto, depth: usize) -> Result<(), BoundsError> {
        if attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty() {
            return Err(refuse_sparse(attribute.name()));
        }
        attribute.t.iter().chain(&attribute.tensors).try_for_each(tensor::check)?;
        attribute.g.iter().chain(&attribute.graphs).try_for_each(|graph| self.graph(graph, depth + 1))
    }
}

fn refuse_sparse(name: &str) -> BoundsError {
    BoundsError::NotServed {
        what: format!("the sparse tensor {name:?}"),
        fix: "export the model with dense ones",
    }
}

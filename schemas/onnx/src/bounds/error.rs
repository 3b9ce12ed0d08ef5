use thiserror::Error;

/// The reason why an ONNX file is rejected before it is opened, with advice.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BoundsError {
    /// A count is above its limit.
    #[error("the file has {found} {what}, more than the {limit} that are accepted: {}", remedy(.key))]
    TooMany {
        /// The items that were counted.
        what: &'static str,
        /// The count; one more than the limit where counting ends there.
        found: u64,
        /// The limit.
        limit: u64,
        /// The engine's configuration key that sets the limit, if one does.
        key: Option<&'static str>,
    },
    /// Decoded, the file would take many times its own size.
    #[error(
        "the file has {bytes} bytes and would take more than {limit} bytes once it is decoded, more than any \
         exporter produces: export the model again"
    )]
    Inflated {
        /// The file's size.
        bytes: usize,
        /// The memory that it may take.
        limit: usize,
    },
    /// Its messages are nested too deeply.
    #[error(
        "the file nests graphs or types more than {limit} deep: export the model without nested control flow"
    )]
    Nested {
        /// The deepest nesting that is accepted.
        limit: usize,
    },
    /// The model defines functions itself.
    #[error(
        "the file contains functions of its own, and only graphs are served: publish it with `onnward-exporter publish`, \
         which inlines them"
    )]
    Functions,
    /// The weights are not in the file.
    #[error(
        "its weights {tensor:?} are in another file, {file:?}, and a version is one file: publish it with \
         `onnward-exporter publish`, which folds them in, or export it as one (in PyTorch: `torch.onnx.export(…, \
         external_data=False)`)"
    )]
    ExternalData {
        /// The tensor.
        tensor: String,
        /// The other file.
        file: String,
    },
    /// The file holds something that a served model does not need.
    #[error("the file contains {what}, which is not supported: {fix}")]
    NotServed {
        /// The unneeded part.
        what: String,
        /// The advice.
        fix: &'static str,
    },
    /// The graph uses an operator that is not ONNX's own.
    #[error(
        "its operator {operator:?} is of the domain {domain:?}, and only those of ONNX itself (ai.onnx, ai.onnx.ml) and \
         the usual ones of ONNX Runtime are supported: export the model with these alone{}",
        if domain == "com.microsoft" { ", or set models.all_operators" } else { "" }
    )]
    CustomOperator {
        /// The operator.
        operator: String,
        /// Its domain.
        domain: String,
    },
    /// The file requires a version of the operators that does not exist.
    #[error(
        "it requires version {version} of the operators of {domain}, and 1 to {newest} are supported: export \
         the model for one of these"
    )]
    Opset {
        /// The operators' domain.
        domain: &'static str,
        /// The version.
        version: i64,
        /// The newest version that is accepted.
        newest: i64,
    },
    /// A tensor's content does not fit its description.
    #[error("its tensor {tensor:?} is inconsistent: {problem}; export the model again")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// The contradiction.
        problem: String,
    },
    /// A node creates a tensor that is too large.
    #[error(
        "its node {node:?} ({operator}) can create a tensor of more than {limit} elements for a row: make \
         the model smaller, or export it again"
    )]
    Made {
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
        /// The most elements that are accepted.
        limit: u64,
    },
    /// A node reads a value that no earlier node computes.
    #[error(
        "its node {node:?} reads {value:?}, which no earlier node computes, and ONNX requires nodes in \
         order: export the model again"
    )]
    Unsorted {
        /// The node.
        node: String,
        /// The value.
        value: String,
    },
    /// Decision trees are inconsistent.
    #[error("the trees in its node {node:?} are inconsistent: {problem}; export the model again")]
    Trees {
        /// The node.
        node: String,
        /// The contradiction.
        problem: String,
    },
}

fn remedy(key: &Option<&'static str>) -> String {
    match key {
        Some(key) => format!("make the model smaller, or raise {key} in the engine's configuration"),
        None => "make the model smaller".to_owned(),
    }
}

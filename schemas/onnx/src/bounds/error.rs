use thiserror::Error;

/// Why an ONNX file is not even tried, in a sentence that says what to do about it.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BoundsError {
    /// There is more of something than is accepted.
    #[error("the file has {found} {what}, more than the {limit} that are accepted: {}", remedy(.key))]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are; where counting ends at the limit, one more than that.
        found: u64,
        /// How many are accepted.
        limit: u64,
        /// The key of the engine's configuration that sets the limit, if one does.
        key: Option<&'static str>,
    },
    /// Decoded, the file would take many times its own size.
    #[error(
        "the file has {bytes} bytes and would take more than {limit} once it is decoded, as no exporter's does: export the \
         model again"
    )]
    Inflated {
        /// The file's size.
        bytes: usize,
        /// How much memory it may take.
        limit: usize,
    },
    /// Its messages are nested too deeply.
    #[error(
        "the file nests graphs or types more than {limit} deep: export the model without nested control flow"
    )]
    Nested {
        /// How deep they may lie.
        limit: usize,
    },
    /// The weights are not in the file.
    #[error(
        "its weights {tensor:?} lie in another file, {file:?}, and a version is one file: export it as one (in PyTorch: \
         `torch.onnx.export(…, external_data=False)`)"
    )]
    ExternalData {
        /// The tensor.
        tensor: String,
        /// The other file.
        file: String,
    },
    /// Something that no model needs that is served.
    #[error("the file holds {what}, which is not served: {fix}")]
    NotServed {
        /// What it is.
        what: String,
        /// What to do.
        fix: &'static str,
    },
    /// An operator that is not one of ONNX's own.
    #[error(
        "its operator {operator:?} is of the domain {domain:?}, and only those of ONNX itself are run (ai.onnx, ai.onnx.ml): \
         export the model with these alone"
    )]
    CustomOperator {
        /// The operator.
        operator: String,
        /// Its domain.
        domain: String,
    },
    /// A version of the operators that nobody has published.
    #[error(
        "it asks for version {version} of the operators of {domain}, and 1 to {newest} are accepted: export the model for one \
         of these"
    )]
    Opset {
        /// The operators' domain.
        domain: &'static str,
        /// The version.
        version: i64,
        /// The newest that is accepted.
        newest: i64,
    },
    /// A tensor's description and its content do not fit.
    #[error("its tensor {tensor:?} contradicts itself: {problem}; export the model again")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// How.
        problem: String,
    },
    /// A node makes a tensor that is too large.
    #[error(
        "its node {node:?} ({operator}) can make a tensor of more than {limit} elements for a row: make the model smaller, or \
         export it again"
    )]
    Made {
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
        /// How many elements are accepted.
        limit: u64,
    },
    /// A node reads what comes after it, or never.
    #[error(
        "its node {node:?} reads {value:?}, which no node before it makes, and ONNX wants nodes in order: export the model again"
    )]
    Unsorted {
        /// The node.
        node: String,
        /// What it reads.
        value: String,
    },
    /// Trees that are none.
    #[error("the trees in its node {node:?} contradict themselves: {problem}; export the model again")]
    Trees {
        /// The node.
        node: String,
        /// How.
        problem: String,
    },
}

fn remedy(key: &Option<&'static str>) -> String {
    match key {
        Some(key) => format!("make the model smaller, or raise {key} in the engine's configuration"),
        None => "make the model smaller".to_owned(),
    }
}

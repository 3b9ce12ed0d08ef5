use onnward_schemas::{Metadata, MetadataError, Task};
use prost::Message;
use thiserror::Error;

use crate::bounds::{BoundsError, MemoryDemand, ModelBounds, decode_model_within};
use crate::forest::{ForestSlices, TreeLists, forest_splits};
use crate::metadata::{is_own_property, properties_of, read_properties};
use crate::proto::{ModelProto, StringStringEntryProto};
use crate::subgraph::subgraph_from_features;

/// The value between the encoders and the model graph: float32 `[rows, features]`, in the schema's order.
pub const FEATURES: &str = "features";
/// The output that holds the probabilities of the negative and the positive label: float32 `[rows, 2]`.
pub const PROBABILITIES: &str = "probabilities";
/// The output of a model that predicts a number: float32 `[rows, 1]`.
pub const PREDICTION: &str = "prediction";
/// The output that holds the more probable label: int64 `[rows]`, 0 or 1.
pub const LABEL: &str = "label";

/// An ONNX file that describes itself.
///
/// ```
/// # use onnward_onnx::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};
/// # use onnward_schemas::{Feature, FeatureKind, Label, Metadata, Schema};
/// use onnward_onnx::{Artifact, FEATURES, PROBABILITIES, decode_model};
///
/// # fn value(name: &str) -> ValueInfoProto {
/// #     ValueInfoProto { name: Some(name.to_owned()), ..Default::default() }
/// # }
/// # fn node(operator: &str, input: &str, output: &str) -> NodeProto {
/// #     let names = |name: &str| vec![name.to_owned()];
/// #     let (input, output) = (names(input), names(output));
/// #     NodeProto { op_type: Some(operator.to_owned()), input, output, ..Default::default() }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let graph = ModelProto {
/// #     ir_version: Some(10),
/// #     opset_import: vec![OperatorSetIdProto { version: Some(21), ..Default::default() }],
/// #     graph: Some(GraphProto {
/// #         node: vec![node("Identity", "age", FEATURES), node("Sigmoid", FEATURES, PROBABILITIES)],
/// #         input: vec![value("age")],
/// #         output: vec![value(PROBABILITIES)],
/// #         ..Default::default()
/// #     }),
/// #     ..Default::default()
/// # };
/// # let kind = FeatureKind::Numeric { min: None, max: None, integer: false };
/// # let features =
/// #     vec![Feature { name: "age".to_owned(), description: String::new(), required: true, nullable: false, kind }];
/// # let text = |text: &str| text.to_owned();
/// # let label = Label::binary("y", "yes", "no");
/// # let figures = serde_json::json!({
/// #     "accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5, "roc_auc": 0.5,
/// #     "average_precision": 0.5, "log_loss": 0.7, "brier": 0.25,
/// #     "confusion": {
/// #         "true_positives": 1, "false_positives": 1, "true_negatives": 1, "false_negatives": 1
/// #     },
/// # });
/// # let metadata = Metadata {
/// #     schema: Schema::of_inputs("churn", label, features)?,
/// #     family: text("logistic"),
/// #     parameters: Default::default(),
/// #     evaluation: serde_json::from_value(serde_json::json!({
/// #         "train_rows": 4, "test_rows": 4, "test": figures,
/// #         "cross_validation": { "fold_roc_auc": [0.5], "roc_auc_mean": 0.5, "roc_auc_std": 0.0 },
/// #     }))?,
/// #     profile: serde_json::from_value(serde_json::json!({
/// #         "rows": 4, "score": [4,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],
/// #         "features": [{
/// #             "type": "numeric", "edges": [], "counts": [4], "missing": 0,
/// #             "min": 0.0, "median": 0.0, "mean": 0.0, "max": 0.0,
/// #         }],
/// #     }))?,
/// #     golden: serde_json::from_value(serde_json::json!({
/// #         "tolerance": 1e-6, "rows": [{ "values": [0.0], "probability": 0.5 }],
/// #     }))?,
/// #     provenance: serde_json::from_value(
/// #         serde_json::json!({ "data_sha256": "", "seed": 1, "versions": {} }),
/// #     )?,
/// # };
/// let file = Artifact::new(graph, metadata)?.encode();
///
/// let artifact = Artifact::decode(&file)?;
/// assert_eq!(artifact.metadata.schema.name, "churn");
/// assert_eq!(artifact.encode(), file);
///
/// // The model graph alone reads encoded rows.
/// let subgraph = decode_model(&artifact.encode_subgraph()?)?.graph.unwrap_or_default();
/// assert_eq!(subgraph.input[0].name(), FEATURES);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The file's metadata.
    pub metadata: Metadata,
    model: ModelProto,
}

/// The reason why bytes are not an artifact.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// The file is empty.
    #[error("the file is empty: it is not an ONNX model")]
    Empty,
    /// The bytes are not an ONNX model. The decoder's own message helps only readers who are familiar with
    /// the wire format.
    #[error("not an ONNX file")]
    NotOnnx,
    /// The bytes can be decoded, as many can, but hold no graph.
    #[error("the file has no graph: it is not an ONNX model")]
    NoGraph,
    /// An ONNX model without Onnward's metadata: an external one.
    #[error("the file has no Onnward metadata: export it with `onnward-exporter train`")]
    External,
    /// The file is newer than this program.
    #[error("the file has format version {found}, this program reads up to {known}: use a newer release")]
    TooNew {
        /// The file's version.
        found: u32,
        /// The newest version that is known.
        known: u32,
    },
    /// A property that every artifact has is missing.
    #[error("the metadata property {0:?} is missing")]
    Missing(&'static str),
    /// A property cannot be parsed.
    #[error("the metadata property {key:?} cannot be parsed: {source}")]
    Property {
        /// The property's key.
        key: &'static str,
        /// The parser's error.
        source: serde_json::Error,
    },
    /// A figure in the metadata is not one that a trainer writes.
    #[error("the file's metadata are invalid: {0}; export it again with `onnward-exporter train`")]
    Metadata(#[from] MetadataError),
    /// Two parts of the file contradict each other.
    #[error("the file is inconsistent: {0}")]
    Inconsistent(String),
    /// The file is outside the bounds.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
}

impl From<prost::DecodeError> for ArtifactError {
    fn from(_: prost::DecodeError) -> Self {
        Self::NotOnnx
    }
}

/// Decodes an ONNX model, whoever wrote it, within the default bounds.
///
/// ```
/// use onnward_onnx::decode_model;
///
/// let error = decode_model(b"PK not ONNX").err().map(|error| error.to_string());
/// assert_eq!(error.as_deref(), Some("not an ONNX file"));
/// ```
///
/// # Errors
/// [`ArtifactError::Empty`], [`ArtifactError::NotOnnx`], [`ArtifactError::NoGraph`] or
/// [`ArtifactError::Bounds`].
pub fn decode_model(bytes: &[u8]) -> Result<ModelProto, ArtifactError> {
    decode_model_within(bytes, &ModelBounds::default())
}

/// Returns the name of the output that an artifact's predictions are read from. `None` for a task that no artifact has.
pub(crate) fn artifact_output(task: &Task) -> Option<&'static str> {
    match task {
        Task::Binary(_) | Task::Classes(_) => Some(PROBABILITIES),
        Task::Number => Some(PREDICTION),
        Task::Raw(_) => None,
    }
}

impl Artifact {
    /// Creates an artifact from a graph and its description. Properties that the graph has under other keys
    /// are kept.
    ///
    /// # Errors
    /// [`ArtifactError::Inconsistent`] if the graph has no value named [`FEATURES`] or no output of the label's task,
    /// [`PROBABILITIES`] or [`PREDICTION`]; [`ArtifactError::Property`] if the metadata cannot be written as JSON.
    pub fn new(mut model: ModelProto, metadata: Metadata) -> Result<Self, ArtifactError> {
        subgraph_from_features(&model, &metadata.schema)?;
        for (key, value) in properties_of(&metadata)? {
            model
                .metadata_props
                .push(StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) });
        }
        Ok(Self { metadata, model })
    }

    /// Returns the artifact with another description. The graph stays as it is.
    ///
    /// # Errors
    /// Those of [`Artifact::new`].
    pub fn with_metadata(self, metadata: Metadata) -> Result<Self, ArtifactError> {
        let mut model = self.model;
        model.metadata_props.retain(|property| !is_own_property(property.key()));
        Self::new(model, metadata)
    }

    /// Decodes an artifact within the default bounds.
    ///
    /// # Errors
    /// As [`Artifact::decode_within`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ArtifactError> {
        Self::decode_within(bytes, &ModelBounds::default())
    }

    /// Decodes an artifact within `bounds`.
    ///
    /// # Errors
    /// [`ArtifactError`]; [`ArtifactError::External`] for an ONNX file that does not describe itself.
    pub fn decode_within(bytes: &[u8], bounds: &ModelBounds) -> Result<Self, ArtifactError> {
        let model = decode_model_within(bytes, bounds)?;
        let metadata = read_properties(&model, bounds)?;
        Ok(Self { metadata, model })
    }

    /// Encodes the artifact's file. The same artifact is always encoded as the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Returns the full graph, whose inputs are the raw columns by name.
    pub fn model(&self) -> &ModelProto {
        &self.model
    }

    /// Encodes the model graph alone: the subgraph from [`FEATURES`], its only input, to the output of the label's
    /// task, its only output. The metadata is left out.
    ///
    /// # Errors
    /// [`ArtifactError::Inconsistent`] if the graph has no such subgraph.
    pub fn encode_subgraph(&self) -> Result<Vec<u8>, ArtifactError> {
        Ok(subgraph_from_features(&self.model, &self.metadata.schema)?.encode_to_vec())
    }

    /// Returns how the memory of the graph's values is bounded.
    pub fn memory_demand(&self) -> MemoryDemand {
        self.model.graph.as_ref().map_or(MemoryDemand::Bounded, MemoryDemand::of)
    }

    /// Returns the number of splits of the graph's forests.
    pub fn forest_splits(&self) -> usize {
        self.model.graph.as_ref().map_or(0, forest_splits)
    }

    /// Takes the lists of the forests out of the graph, as [`TreeLists::take_from`] does. What is encoded
    /// afterwards runs only where the operator finds them by [`TAKEN_FOREST`](crate::TAKEN_FOREST).
    pub fn take_forests(&mut self) -> Vec<TreeLists> {
        TreeLists::take_from(&mut self.model)
    }

    /// Splits the subgraph by the trees of its forest, into models of at most `max_splits` splits. `forest` is
    /// what [`Artifact::take_forests`] has returned for a graph with one forest.
    ///
    /// # Errors
    /// Those of [`Artifact::encode_subgraph`].
    pub fn forest_slices<'a>(
        &self,
        forest: &'a TreeLists,
        max_splits: usize,
    ) -> Result<ForestSlices<'a>, ArtifactError> {
        let subgraph = subgraph_from_features(&self.model, &self.metadata.schema)?;
        Ok(ForestSlices::new(subgraph, forest, max_splits))
    }

    /// Returns the metadata alone, without the graph.
    pub fn into_metadata(self) -> Metadata {
        self.metadata
    }
}

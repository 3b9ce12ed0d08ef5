//! External ONNX files: graphs that Onnward did not write, from scikit-learn, LightGBM, XGBoost, PyTorch or
//! Keras.
//!
//! Such a file describes its inputs and outputs, but not their meaning. An [`ExternalConfig`] beside it adds
//! what is missing. An [`ExternalError`] states the missing lines.

mod config;
mod error;
mod graph;
mod inputs;
mod meaning;
mod output;
mod texts;
mod typical;

#[cfg(test)]
mod tests;

use onnward_schemas::{GoldenValue, Schema};
use prost::Message;

pub use self::config::{
    ActivationConfig, Examples, ExternalConfig, InputsConfig, ModelConfig, OutputConfig, OutputKind,
};
pub use self::error::ExternalError;
pub use self::inputs::{Element, ExternalInput, Layout};
pub use self::output::KindSource;
use crate::artifact::ArtifactError;
use crate::bounds::{MemoryDemand, ModelBounds, decode_model_within};
use crate::expected_rows::ExpectedRows;
use crate::output_reader::OutputReader;
use crate::proto::ModelProto;
use crate::subgraph::{Needed, needed_for};

/// A description of an external ONNX file: the fields of a request, how its rows become the graph's inputs,
/// and what is answered of its outputs.
///
/// ```
/// # use onnward_onnx::proto::tensor_proto::DataType;
/// # use onnward_onnx::proto::tensor_shape_proto::{Dimension, dimension::Value};
/// # use onnward_onnx::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
/// # use onnward_onnx::proto::{TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
/// # use prost::Message;
/// use onnward_onnx::{Activation, ExternalModel, OutputReader};
///
/// # fn matrix(name: &str, columns: i64) -> ValueInfoProto {
/// #     let size = |value| Dimension { value: Some(value), ..Default::default() };
/// #     let dim = vec![size(Value::DimParam("N".to_owned())), size(Value::DimValue(columns))];
/// #     let shape = Some(TensorShapeProto { dim });
/// #     let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape };
/// #     let value = Some(type_proto::Value::TensorType(tensor));
/// #     let r#type = Some(TypeProto { value, ..Default::default() });
/// #     ValueInfoProto { name: Some(name.to_owned()), r#type, ..Default::default() }
/// # }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let network = NodeProto {
/// #     op_type: Some("Identity".to_owned()),
/// #     input: vec!["x".to_owned()],
/// #     output: vec!["logits".to_owned()],
/// #     ..Default::default()
/// # };
/// # let file = ModelProto {
/// #     ir_version: Some(10),
/// #     opset_import: vec![OperatorSetIdProto { version: Some(21), ..Default::default() }],
/// #     graph: Some(GraphProto {
/// #         node: vec![network],
/// #         input: vec![matrix("x", 2)],
/// #         output: vec![matrix("logits", 2)],
/// #         ..Default::default()
/// #     }),
/// #     ..Default::default()
/// # }
/// # .encode_to_vec();
/// // The file has an input of two columns and an output of logits, and leaves their meaning open.
/// let error = ExternalModel::decode("churn", &file, None).err().map(|error| error.to_string());
/// assert!(error.unwrap_or_default().contains("write `activation = "));
///
/// let config = r#"
///     [inputs]
///     features = ["age", "balance"]
///     [output]
///     activation = "softmax"
/// "#;
/// let model = ExternalModel::decode("churn", &file, Some(config))?;
/// let fields: Vec<&str> = model.schema.features.iter().map(|field| field.name.as_str()).collect();
/// assert_eq!(fields, ["age", "balance"]);
/// let OutputReader::Probability(output) = &model.output else { unreachable!() };
/// assert_eq!(output.activation, Activation::Softmax);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ExternalModel {
    /// The schema of its rows, made from the inputs: a feature for each input or column of an input.
    pub schema: Schema,
    /// The program that wrote the file and its version; may be empty.
    pub producer: String,
    /// The graph's inputs, and the features of each.
    pub inputs: Vec<ExternalInput>,
    /// The way to read predictions from the graph's outputs.
    pub output: OutputReader,
    /// What decided on what is answered.
    pub decided_by: KindSource,
    /// The outputs that are neither answered nor the label of what is.
    pub unanswered: Vec<String>,
    /// Whether the graph takes one row at a time, because it was exported with that shape.
    pub one_row_a_run: bool,
    /// Rows for a smoke test, with a raw value for each feature: the example of `config.toml`, rows with expected
    /// outputs, or rows made from the schema. At least one.
    pub typical_rows: Vec<Vec<GoldenValue>>,
    /// Rows with expected outputs that were published with the file.
    pub expected_rows: Option<ExpectedRows>,
    model: ModelProto,
}

impl ExternalModel {
    /// Decodes an external ONNX file within the default bounds. `name` is the model's, and `config` is the
    /// text of the `config.toml` beside the file.
    ///
    /// # Errors
    /// As [`ExternalModel::decode_within`].
    pub fn decode(name: &str, bytes: &[u8], config: Option<&str>) -> Result<Self, ExternalError> {
        Self::decode_within(name, bytes, config, &ModelBounds::default())
    }

    /// Returns the number of rows with expected outputs, which every runtime reproduces before it serves the model.
    pub fn golden_rows(&self) -> usize {
        self.expected_rows.as_ref().map_or(0, |expected| expected.rows.len())
    }

    /// Decodes an external ONNX file within `bounds`.
    ///
    /// # Errors
    /// [`ExternalError`], if the bytes are not ONNX or outside of the bounds, or leave open what `config`
    /// does not say.
    pub fn decode_within(
        name: &str,
        bytes: &[u8],
        config: Option<&str>,
        bounds: &ModelBounds,
    ) -> Result<Self, ExternalError> {
        Self::decode_as(name, bytes, ExternalConfig::parse(config.unwrap_or_default())?, bounds)
    }

    /// Decodes an external ONNX file whose configuration leaves open what is answered, so that its outputs are
    /// answered as they are.
    ///
    /// # Errors
    /// Those of [`ExternalModel::decode_within`].
    pub fn decode_raw_within(
        name: &str,
        bytes: &[u8],
        config: Option<&str>,
        bounds: &ModelBounds,
    ) -> Result<Self, ExternalError> {
        let config = ExternalConfig::parse(config.unwrap_or_default())?;
        let output = OutputConfig { kind: Some(OutputKind::Raw), ..OutputConfig::default() };
        let raw = Self::decode_as(name, bytes, ExternalConfig { output, ..config }, bounds)?;
        Ok(Self { decided_by: KindSource::Guess, ..raw })
    }

    fn decode_as(
        name: &str,
        bytes: &[u8],
        config: ExternalConfig,
        bounds: &ModelBounds,
    ) -> Result<Self, ExternalError> {
        let mut model = decode_model_within(bytes, bounds)?;
        let mut graph = model.graph.take().unwrap_or_default();
        if let Some(operator) = graph::in_training_mode(&graph) {
            return Err(ExternalError::TrainingMode { operator: operator.to_owned() });
        }
        let chosen = output::choose(&graph, &config.output)?;
        let read = inputs::read(&graph, &config.inputs)?;
        let schema = Schema::of_inputs(name, chosen.label, read.features).map_err(ExternalError::Schema)?;
        bounds.check_schema(&schema).map_err(ArtifactError::from)?;
        let expected_rows = ExpectedRows::read(&model)?;
        ExpectedRows::remove_from(&mut model);
        expected_rows.iter().try_for_each(|expected| typical::check_expected(&schema, expected))?;
        let typical_rows = match (&config.example, &expected_rows) {
            (None, Some(expected)) => typical::rows_of(&schema, expected),
            (example, _) => typical::typical_rows(&schema, example.as_ref())?,
        };

        let Needed { nodes, .. } = needed_for(&graph, &chosen.reader.tensors(), None);
        graph.node = nodes;
        texts::use_common_locale(&mut graph);
        let one_row_a_run = read.one_row_a_run || config.model.rows_per_run.is_some();
        graph.input = inputs::named_rows(&graph, one_row_a_run);
        graph.output = chosen.described;
        let producer = [model.producer_name.as_deref(), model.producer_version.as_deref()];
        let producer = producer.into_iter().flatten().collect::<Vec<_>>().join(" ").trim().to_owned();
        model.graph = Some(graph);
        Ok(Self {
            schema,
            producer,
            inputs: read.inputs,
            output: chosen.reader,
            decided_by: chosen.decided_by,
            unanswered: chosen.unanswered,
            one_row_a_run,
            typical_rows,
            expected_rows,
            model,
        })
    }

    /// Encodes the graph as it is run: with the outputs that are answered, and without nodes that serve others
    /// alone. Such a node is a ZipMap, which makes a map of every row.
    pub fn encode(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Returns how the memory of the graph's values is bounded.
    pub fn memory_demand(&self) -> MemoryDemand {
        self.model.graph.as_ref().map_or(MemoryDemand::Bounded, MemoryDemand::of)
    }

    /// Returns the number of nodes of all decision trees.
    pub fn tree_nodes(&self) -> usize {
        let nodes = self.model.graph.iter().flat_map(|graph| &graph.node);
        let columns = nodes.flat_map(|node| &node.attribute).filter(|one| one.name() == "nodes_featureids");
        columns.map(|columns| columns.ints.len()).sum()
    }

    /// Encodes the graph as [`ExternalModel::encode`] does, and frees it.
    pub fn take_file(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.model).encode_to_vec()
    }
}

//! Foreign ONNX files: graphs that Onnward did not write, from scikit-learn, LightGBM, XGBoost, PyTorch or Keras.
//!
//! Such a file says what its inputs and outputs are, and nothing of what they mean. What it leaves open is said by a
//! [`ForeignConfig`] beside it; what is wrong is a [`ForeignError`] that tells what to write there.

mod config;
mod error;
mod graph;
mod inputs;
mod output;
mod typical;

#[cfg(test)]
mod tests;

use onnward_schemas::{GoldenValue, Schema};
use prost::Message;

pub use self::config::{ActivationConfig, ForeignConfig, InputsConfig, OutputConfig};
pub use self::error::ForeignError;
pub use self::inputs::{Element, ForeignInput};
use crate::artifact::ArtifactError;
use crate::bounds::{ModelBounds, decode_model_within};
use crate::cut::{Needed, needed_for};
use crate::probability::ProbabilityOutput;
use crate::proto::ModelProto;

/// A foreign ONNX file that is understood: what a request holds, how its rows become the graph's inputs, and where the
/// probability comes out.
#[derive(Debug, Clone)]
pub struct ForeignModel {
    /// The schema of its rows, made from its inputs: one feature for each input or column of one.
    pub schema: Schema,
    /// The program that wrote the file, with its version; may be empty.
    pub producer: String,
    /// The graph's inputs, and the features that each is made of.
    pub inputs: Vec<ForeignInput>,
    /// Where the probability of the positive label is.
    pub output: ProbabilityOutput,
    /// Whether the graph takes one row at a time, because it was exported with that shape.
    pub one_row_a_run: bool,
    /// Rows to try the model on, a raw value for each feature: the example of its `config.toml`, else made from the
    /// schema. At least one.
    pub typical_rows: Vec<Vec<GoldenValue>>,
    model: ModelProto,
}

impl ForeignModel {
    /// Reads a foreign ONNX file within the usual bounds. `name` is the model's, `config` the text of the `config.toml`
    /// beside the file.
    ///
    /// # Errors
    /// As [`ForeignModel::decode_within`].
    pub fn decode(name: &str, bytes: &[u8], config: Option<&str>) -> Result<Self, ForeignError> {
        Self::decode_within(name, bytes, config, &ModelBounds::default())
    }

    /// As [`ForeignModel::decode`], if the file is within these bounds.
    ///
    /// # Errors
    /// [`ForeignError`], if the bytes are not ONNX or outside of the bounds, or leave open what `config` does not say.
    pub fn decode_within(
        name: &str,
        bytes: &[u8],
        config: Option<&str>,
        bounds: &ModelBounds,
    ) -> Result<Self, ForeignError> {
        let config = ForeignConfig::parse(config.unwrap_or_default())?;
        let mut model = decode_model_within(bytes, bounds)?;
        let mut graph = model.graph.take().unwrap_or_default();
        let chosen = output::choose(&graph, &config.output)?;
        let read = inputs::read(&graph, &config.inputs)?;
        let threshold = config.output.threshold.unwrap_or(0.5);
        let schema =
            Schema::of_inputs(name, chosen.label, threshold, read.features).map_err(ForeignError::Schema)?;
        bounds.check_schema(&schema).map_err(ArtifactError::from)?;
        let typical_rows = typical::typical_rows(&schema, config.example.as_ref())?;

        let Needed { nodes, .. } = needed_for(&graph, &chosen.output.name, None);
        graph.node = nodes;
        graph.input = inputs::named_rows(&graph);
        graph.output = vec![chosen.described];
        let producer = [model.producer_name.as_deref(), model.producer_version.as_deref()];
        let producer = producer.into_iter().flatten().collect::<Vec<_>>().join(" ").trim().to_owned();
        model.graph = Some(graph);
        Ok(Self {
            schema,
            producer,
            inputs: read.inputs,
            output: chosen.output,
            one_row_a_run: read.one_row_a_run,
            typical_rows,
            model,
        })
    }

    /// The bytes of the graph as it is run: the file's own, with the probability as its only output and without what
    /// serves the other outputs alone, such as a ZipMap, which makes a map of every row.
    pub fn encode(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }
}

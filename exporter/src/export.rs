//! Writes a fitted model as an ONNX file, with its preprocessing in the graph.
//!
//! The `encoder` turns raw named inputs into `features`. The `model_graph` turns `features` into
//! `probabilities` and `label`, or into the `prediction` of a number. Both use only operators that ONNX Runtime and
//! tract compute alike.

mod encoder;
mod forest;
mod graph;
mod linear;
mod model_graph;

use onnward_models::{FittedModel, TrainedModel};
use onnward_onnx::{Artifact, ArtifactError};
use onnward_schemas::Task;
use thiserror::Error;

use self::graph::GraphBuilder;

/// The reason why a model cannot be exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The graph and its metadata do not fit together.
    #[error("cannot export the model: {0}")]
    Artifact(#[from] ArtifactError),
    /// The forest is empty, or has too many trees.
    #[error("cannot export a forest of {0} trees: the exporter writes 1 to 65,535")]
    Trees(usize),
}

/// Writes a trained model as the artifact that the engine serves.
///
/// The same model is always exported as the same bytes: the artifact contains no time and no path.
///
/// # Errors
/// [`ExportError`] if the forest is empty or too large, or the metadata does not fit the graph.
///
/// # Examples
/// ```
/// use onnward_exporter::export::export;
/// use onnward_onnx::Artifact;
///
/// # use std::path::Path;
/// # use onnward_models::{CandidateParams, Dataset, Family, OnInvalid, SampleFormat, TrainingPlan};
/// # use onnward_models::{train, write_sample};
/// # use onnward_schemas::SchemaFile;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = SchemaFile::parse(
/// #     r#"
/// #     name = "shop"
/// #     version = 1
/// #     label = { column = "left", positive = "yes", negative = "no" }
/// #     [[features]]
/// #     name = "age"
/// #     type = "numeric"
/// #     min = 18
/// #     max = 90
/// #     "#,
/// # )?;
/// # let mut table = Vec::new();
/// # write_sample(&file, 300, 42, SampleFormat::Csv, &mut table, |_| ())?;
/// # let data = Dataset::parse(&table, Path::new("sample.csv"), &file.schema, OnInvalid::Fail)?;
/// # let candidates = vec![CandidateParams::default_of(Family::Logistic)];
/// # let plan = TrainingPlan { candidates, folds: 2, ..TrainingPlan::default() };
/// let run = train(&data, &plan, &|_| ())?;
/// let artifact = export(&run.models[0])?;
/// let read = Artifact::decode(&artifact.encode())?;
/// assert_eq!(read.metadata.schema, file.schema);
/// assert_eq!(read.metadata.golden, run.models[0].metadata.golden);
/// # Ok(())
/// # }
/// ```
pub fn export(trained: &TrainedModel) -> Result<Artifact, ExportError> {
    let mut graph = GraphBuilder::default();
    encoder::add(&mut graph, &trained.metadata.schema);
    let columns = model_graph::add_preprocessing(&mut graph, &trained.preprocessor);
    match &trained.model {
        FittedModel::Logistic(model) => linear::add_logistic(&mut graph, &columns, model),
        FittedModel::Multinomial(model) => linear::add_multinomial(&mut graph, &columns, model),
        FittedModel::Ridge(model) => linear::add_ridge(&mut graph, &columns, model),
        FittedModel::Forest(model) => forest::add_binary(&mut graph, &columns, model)?,
        FittedModel::ClassForest(model) => forest::add_classes(&mut graph, &columns, model)?,
        FittedModel::NumberForest(model) => forest::add_number(&mut graph, &columns, model)?,
    }
    match trained.metadata.schema.label.task {
        Task::Binary(_) => model_graph::add_binary_label(&mut graph),
        Task::Classes(_) => model_graph::add_class_label(&mut graph),
        // A number is its own label, and raw outputs are never trained.
        Task::Number | Task::Raw(_) => {}
    }

    let mut metadata = trained.metadata.clone();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    metadata.provenance.versions.insert(env!("CARGO_PKG_NAME").to_owned(), version);
    Ok(Artifact::new(graph.into_model(&trained.metadata.schema), metadata)?)
}

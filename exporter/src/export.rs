//! A fitted model becomes an ONNX file with its preprocessing inside the graph.
//!
//! Raw named inputs → *front* → `features` → *core* → `probabilities` and `label`. The graph keeps to operators that ONNX
//! Runtime and tract compute alike.

mod core;
mod forest;
mod front;
mod graph;
mod logistic;

use onnward_models::{FittedModel, TrainedModel};
use onnward_onnx::{Artifact, ArtifactError};
use thiserror::Error;

use self::graph::GraphBuilder;

/// Why a model cannot be exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The graph and its description do not fit together.
    #[error("cannot export the model: {0}")]
    Artifact(#[from] ArtifactError),
    /// The model has no tree or more than a graph can number.
    #[error("cannot export a forest of {0} trees")]
    Trees(usize),
}

/// Writes a trained model as the artifact that the engine serves.
///
/// The same model gives the same bytes: the artifact holds no time and no path.
///
/// # Errors
/// [`ExportError`].
pub fn export(trained: &TrainedModel) -> Result<Artifact, ExportError> {
    let mut graph = GraphBuilder::default();
    front::add(&mut graph, &trained.metadata.schema);
    let columns = core::add_preprocessing(&mut graph, &trained.preprocessor);
    match &trained.model {
        FittedModel::Logistic(model) => logistic::add(&mut graph, &columns, model),
        FittedModel::Forest(model) => forest::add(&mut graph, &columns, model)?,
    }
    core::add_label(&mut graph);

    let mut metadata = trained.metadata.clone();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    metadata.provenance.versions.insert(env!("CARGO_PKG_NAME").to_owned(), version);
    Ok(Artifact::new(graph.into_model(&trained.metadata.schema), metadata)?)
}

//! Backends that score by a function, and artifacts for them.

// A test fails by panicking.
#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc)]

use std::convert::Infallible;
use std::time::Duration;

use ndarray::ArrayView2;
use onnward_onnx::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use onnward_onnx::{Artifact, OutputReader, PROBABILITIES};
use onnward_schemas::Predictions;
use onnward_schemas::fixtures::{PHONE, metadata};

use crate::backend::{Backend, BackendError, BackendKind, Batch, Input, InputValues, Session};
use crate::costs::BatchCosts;

/// A function that scores rows.
pub type Score = fn(ArrayView2<'_, f32>) -> Vec<f32>;

/// Scores by a function, whatever the graph says.
#[derive(Debug, Clone, Copy)]
pub struct Fake {
    /// The backend that it claims to be.
    pub kind: BackendKind,
    /// Whether it opens models.
    pub opens: bool,
    /// The largest batch that it scores.
    pub max_rows: usize,
    /// The function.
    pub score: Score,
}

/// The backend that serves.
pub const SERVING: Fake =
    Fake { kind: BackendKind::OnnxRuntime, opens: true, max_rows: 1000, score: first_feature_in_hundredths };
/// Another backend, which agrees with it.
pub const OTHER: Fake = Fake { kind: BackendKind::Tract, ..SERVING };

impl Backend for Fake {
    fn kind(&self) -> BackendKind {
        self.kind
    }

    fn open_with_output(&self, _: &[u8], _: &OutputReader) -> Result<Box<dyn Session>, BackendError> {
        let reason = "it does not know the operator Magic".to_owned();
        if self.opens { Ok(Box::new(*self)) } else { Err(BackendError::Open { backend: self.kind, reason }) }
    }
}

impl Session for Fake {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        if batch.rows() > self.max_rows {
            return Err(BackendError::Run { backend: self.kind, reason: "too many rows".to_owned() });
        }
        match batch {
            Batch::Features(matrix) => Ok((self.score)(matrix).into()),
            Batch::Inputs(inputs) => match &inputs[0].values {
                InputValues::Floats(numbers) => {
                    Ok(numbers.iter().map(|number| number / 100.0).collect::<Vec<f32>>().into())
                }
                _ => panic!("the first feature is a number"),
            },
            Batch::FeaturesAndKept(..) => panic!("an artifact's rows keep no kept"),
        }
    }
}

/// A session that returns these scores, whatever it is given.
#[derive(Debug, Clone)]
pub struct Constant(pub Vec<f32>);

impl Session for Constant {
    fn score(&mut self, _: Batch<'_>) -> Result<Predictions, BackendError> {
        Ok(self.0.clone().into())
    }
}

/// Scores the inputs of a full graph by a function, whatever the graph says.
#[derive(Debug, Clone, Copy)]
pub struct Scripted {
    /// The function.
    pub score: fn(&[Input]) -> Result<Vec<f32>, String>,
}

impl Backend for Scripted {
    fn kind(&self) -> BackendKind {
        BackendKind::OnnxRuntime
    }

    fn open_with_output(&self, _: &[u8], _: &OutputReader) -> Result<Box<dyn Session>, BackendError> {
        Ok(Box::new(*self))
    }
}

impl Session for Scripted {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        let Batch::Inputs(inputs) = batch else { panic!("an external graph receives its inputs") };
        (self.score)(inputs)
            .map(Predictions::from)
            .map_err(|reason| BackendError::Run { backend: self.kind(), reason })
    }
}

/// Returns the file of an artifact of [`PHONE`], with this parameter to distinguish it from others.
pub fn artifact(alpha: f64) -> Vec<u8> {
    let value = |name: &str| ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() };
    let node = |input: &str, output: &str| NodeProto {
        input: vec![input.to_owned()],
        output: vec![output.to_owned()],
        ..NodeProto::default()
    };
    let graph = GraphProto {
        node: vec![node("months", "features"), node("features", PROBABILITIES)],
        input: vec![value("months")],
        output: vec![value(PROBABILITIES)],
        ..GraphProto::default()
    };
    let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
    let mut metadata = metadata(PHONE);
    metadata.parameters.insert("alpha".to_owned(), alpha);
    Artifact::new(model, metadata).unwrap().encode()
}

/// Returns the score of the fixtures' models: the first feature, in hundredths.
pub fn first_feature_in_hundredths(matrix: ArrayView2<'_, f32>) -> Vec<f32> {
    matrix.outer_iter().map(|row| row[0] / 100.0).collect()
}

/// Returns the costs of a session whose batches are run inline, by the thread that has the request.
pub fn quick() -> BatchCosts {
    costs(Duration::from_micros(1))
}

/// Returns the costs of a session whose batches are run by workers.
pub fn slow() -> BatchCosts {
    costs(Duration::from_secs(1))
}

fn costs(batch: Duration) -> BatchCosts {
    BatchCosts::measure(|_| Ok::<_, Infallible>(batch)).unwrap()
}

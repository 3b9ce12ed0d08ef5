//! The seam between the engine and what runs a graph.
//!
//! Nothing outside this folder knows ONNX Runtime or tract. A [`Backend`] opens a model's bytes into a [`Session`]; a
//! session is exclusive, one for each worker thread, and scores a batch.

mod library;
mod onnxruntime;
mod tract;
mod tract_forest;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayView2;
use serde::Serialize;
use thiserror::Error;

pub use self::library::{LibraryError, TELEMETRY_SWITCH, find_library};
pub use self::onnxruntime::OnnxRuntime;
pub use self::tract::Tract;

/// What runs a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// ONNX Runtime, from its shared library.
    OnnxRuntime,
    /// tract, compiled in.
    Tract,
}

impl BackendKind {
    /// The name, as in the configuration and in a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime",
            Self::Tract => "tract",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Opens models.
pub trait Backend: Send + Sync {
    /// Which backend this is.
    fn kind(&self) -> BackendKind;

    /// Opens the bytes of an ONNX model that has an output `probabilities`.
    ///
    /// # Errors
    /// [`BackendError::Open`] if the backend cannot read the model or lacks one of its operators.
    fn open(&self, model: &[u8]) -> Result<Box<dyn Session>, BackendError>;
}

/// A model that is ready to score, for one thread at a time.
pub trait Session: Send {
    /// The probability of the positive label for each row of the batch, in order.
    ///
    /// # Errors
    /// [`BackendError::Run`] if the graph cannot be run on the batch, [`BackendError::Output`] if what comes out is not
    /// `[rows, 2]`.
    fn score(&mut self, batch: Batch<'_>) -> Result<Vec<f32>, BackendError>;
}

/// Rows to score.
#[derive(Debug, Clone, Copy)]
pub enum Batch<'a> {
    /// Encoded rows, `[rows, features]`, for a graph that was cut at `features`.
    Features(ArrayView2<'a, f32>),
    /// Raw columns for a whole graph, each as long as the batch.
    Columns(&'a [Column]),
}

/// A raw column under the name of its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The input's name.
    pub name: String,
    /// One value a row.
    pub values: ColumnValues,
}

/// The values of a raw column.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnValues {
    /// Numbers; NaN is missing.
    Numbers(Vec<f32>),
    /// Strings; an empty one is missing.
    Texts(Vec<String>),
}

/// Why a backend cannot open or run a model.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BackendError {
    /// The model cannot be opened.
    #[error("{backend} cannot open the model: {reason}")]
    Open {
        /// The backend.
        backend: BackendKind,
        /// What it says.
        reason: String,
    },
    /// The model cannot be run.
    #[error("{backend} cannot run the model: {reason}")]
    Run {
        /// The backend.
        backend: BackendKind,
        /// What it says.
        reason: String,
    },
    /// The model gives something else than two probabilities a row.
    #[error("{backend} gives probabilities of shape {shape:?} for {rows} rows instead of [{rows}, 2]")]
    Output {
        /// The backend.
        backend: BackendKind,
        /// How many rows were scored.
        rows: usize,
        /// The shape that came out.
        shape: Vec<usize>,
    },
}

impl BackendError {
    fn open(backend: BackendKind, reason: impl fmt::Display) -> Self {
        Self::Open { backend, reason: reason.to_string() }
    }

    fn run(backend: BackendKind, reason: impl fmt::Display) -> Self {
        Self::Run { backend, reason: reason.to_string() }
    }
}

impl Batch<'_> {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        match self {
            Self::Features(matrix) => matrix.nrows(),
            Self::Columns(columns) => columns.first().map_or(0, |column| match &column.values {
                ColumnValues::Numbers(numbers) => numbers.len(),
                ColumnValues::Texts(texts) => texts.len(),
            }),
        }
    }
}

/// The positive column of an output `[rows, 2]`.
fn positive_column(
    backend: BackendKind,
    rows: usize,
    shape: Vec<usize>,
    probabilities: &[f32],
) -> Result<Vec<f32>, BackendError> {
    if shape != [rows, 2] || probabilities.len() != rows * 2 {
        return Err(BackendError::Output { backend, rows, shape });
    }
    Ok(probabilities.chunks_exact(2).map(|row| row[1]).collect())
}

/// ONNX Runtime, from the configured library or wherever one is found.
///
/// # Errors
/// [`LibraryError`] if there is none that can be used.
pub fn load_onnxruntime(library: Option<&Path>) -> Result<Arc<dyn Backend>, LibraryError> {
    let runtime = OnnxRuntime::load(&find_library(library)?)?;
    Ok(Arc::new(runtime))
}

//! The seam between the engine and what runs a graph.
//!
//! Nothing outside this folder knows ONNX Runtime or tract. A [`Backend`] opens a model's bytes into a [`Session`]; a
//! session is exclusive, one for each worker thread, and scores a batch.

mod external;
mod forest;
mod library;
mod onnxruntime;
mod tract;
mod tract_forest;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayView2;
use onnward_onnx::ProbabilityOutput;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::external::{ExternalSession, probability};
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

    /// Opens the bytes of an ONNX model whose probability is in `output`.
    ///
    /// # Errors
    /// [`BackendError::Open`] if the backend cannot read the model, lacks one of its operators, or does not find the output.
    fn open_output(&self, model: &[u8], output: &ProbabilityOutput)
    -> Result<Box<dyn Session>, BackendError>;

    /// Opens the graph of an artifact of Onnward's, whole or cut.
    ///
    /// # Errors
    /// As [`Backend::open_output`].
    fn open(&self, model: &[u8]) -> Result<Box<dyn Session>, BackendError> {
        self.open_output(model, &ProbabilityOutput::of_artifact())
    }
}

/// A model that is ready to score, for one thread at a time.
pub trait Session: Send {
    /// The probability of the positive label for each row of the batch, in order.
    ///
    /// # Errors
    /// [`BackendError::Run`] if the graph cannot be run on the batch, [`BackendError::Output`] if what comes out has not the
    /// shape of a probability for each row.
    fn score(&mut self, batch: Batch<'_>) -> Result<Vec<f32>, BackendError>;

    /// Another session of the model as it is opened here, for another thread; `None` where that takes opening it again.
    fn share(&self) -> Option<Box<dyn Session>> {
        None
    }
}

/// Rows to score.
#[derive(Debug, Clone, Copy)]
pub enum Batch<'a> {
    /// Encoded rows, `[rows, features]`, for a graph that was cut at `features` or for a foreign one.
    Features(ArrayView2<'a, f32>),
    /// As `Features`, with the strings that the rows keep, `[rows, text features]`: for a foreign graph.
    FeaturesAndTexts(ArrayView2<'a, f32>, &'a [String]),
    /// The inputs of a whole graph, each with as many rows as the batch.
    Inputs(&'a [Input]),
}

/// The values of one of a graph's inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The input's name.
    pub name: String,
    /// How many columns it has; `None` for shape `[rows]`, else it is `[rows, columns]`.
    pub columns: Option<usize>,
    /// The values, row after row.
    pub values: InputValues,
}

/// Values of an input, by their type.
#[derive(Debug, Clone, PartialEq)]
pub enum InputValues {
    /// Numbers of single precision; NaN is missing.
    Floats(Vec<f32>),
    /// Numbers of double precision; NaN is missing.
    Doubles(Vec<f64>),
    /// Whole numbers of 32 bits.
    Int32s(Vec<i32>),
    /// Whole numbers of 64 bits.
    Int64s(Vec<i64>),
    /// Truth values.
    Booleans(Vec<bool>),
    /// Strings; in an artifact of Onnward's an empty one is missing.
    Texts(Vec<String>),
}

impl Input {
    /// A raw column of an artifact of Onnward's, `[rows, 1]`.
    pub fn column(name: &str, values: InputValues) -> Self {
        Self { name: name.to_owned(), columns: Some(1), values }
    }

    /// How many rows there are.
    fn rows(&self) -> usize {
        let values = match &self.values {
            InputValues::Floats(values) => values.len(),
            InputValues::Doubles(values) => values.len(),
            InputValues::Int32s(values) => values.len(),
            InputValues::Int64s(values) => values.len(),
            InputValues::Booleans(values) => values.len(),
            InputValues::Texts(values) => values.len(),
        };
        values / self.columns.unwrap_or(1).max(1)
    }

    /// The input's shape.
    fn shape(&self) -> Vec<usize> {
        [self.rows()].into_iter().chain(self.columns).collect()
    }
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
    /// The model gives something else than a probability for each row.
    #[error(
        "{backend} gives {output} of shape {shape:?} for {rows} rows, which holds no probability for each"
    )]
    Output {
        /// The backend.
        backend: BackendKind,
        /// The output.
        output: String,
        /// How many rows were scored.
        rows: usize,
        /// The shape that came out.
        shape: Vec<usize>,
    },
}

impl BackendError {
    fn open(backend: BackendKind, reason: impl fmt::Display) -> Self {
        Self::Open { backend, reason: one_line(reason) }
    }

    fn run(backend: BackendKind, reason: impl fmt::Display) -> Self {
        Self::Run { backend, reason: one_line(reason) }
    }
}

/// What a runtime says, as part of a sentence.
fn one_line(reason: impl fmt::Display) -> String {
    reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Batch<'_> {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        match self {
            Self::Features(matrix) | Self::FeaturesAndTexts(matrix, _) => matrix.nrows(),
            Self::Inputs(inputs) => inputs.first().map_or(0, Input::rows),
        }
    }
}

/// Why a graph cannot be run on strings that are not an input of its own.
const NO_TEXTS: &str = "only a foreign graph takes strings beside a matrix";

/// The probabilities in an output.
fn probabilities_of(
    backend: BackendKind,
    output: &ProbabilityOutput,
    rows: usize,
    shape: Vec<usize>,
    numbers: &[f32],
) -> Result<Vec<f32>, BackendError> {
    let read = output.read(rows, &shape, numbers);
    read.ok_or_else(|| BackendError::Output { backend, output: output.name.clone(), rows, shape })
}

/// Loads ONNX Runtime from the configured library, or from wherever [`find_library`] finds one.
///
/// # Errors
/// [`LibraryError`] if there is none that can be used.
pub fn load_onnxruntime(library: Option<&Path>) -> Result<Arc<dyn Backend>, LibraryError> {
    let runtime = OnnxRuntime::load(&find_library(library)?)?;
    Ok(Arc::new(runtime))
}

/// Which runtime scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendChoice {
    /// ONNX Runtime where its library is found, but tract for a model that it runs in less than half the time; else tract.
    Auto,
    /// ONNX Runtime.
    OnnxRuntime,
    /// tract.
    Tract,
}

impl BackendChoice {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Auto, Self::OnnxRuntime, Self::Tract];

    /// Returns the name in a configuration file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::OnnxRuntime => "onnxruntime",
            Self::Tract => "tract",
        }
    }
}

/// Loads the backends that models are opened on, the preferred one first. Where tract is chosen, ONNX Runtime is not
/// touched. ONNX Runtime comes from `library`, or from wherever [`find_library`] finds one.
///
/// # Errors
/// [`LibraryError`] if ONNX Runtime was chosen and cannot be used.
pub fn load_backends(
    choice: BackendChoice,
    library: Option<&Path>,
) -> Result<Vec<Arc<dyn Backend>>, LibraryError> {
    let tract = || Arc::new(Tract::new()) as Arc<dyn Backend>;
    match choice {
        BackendChoice::Tract => Ok(vec![tract()]),
        BackendChoice::OnnxRuntime => Ok(vec![load_onnxruntime(library)?]),
        BackendChoice::Auto => match load_onnxruntime(library) {
            Ok(runtime) => Ok(vec![runtime, tract()]),
            Err(error) => {
                tracing::warn!(%error, "models are served by tract, which is built in");
                Ok(vec![tract()])
            }
        },
    }
}

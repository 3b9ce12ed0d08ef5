//! The interface to the runtimes, behind which a graph runs.
//!
//! Nothing outside this folder depends on ONNX Runtime or tract. A [`Backend`] opens a model's bytes into a
//! [`Session`]. A session belongs to one worker thread and scores batches.

mod external;
mod forest;
mod library;
mod onnxruntime;
mod tract;
mod tract_forest;
mod tract_ml;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayView2;
use onnward_onnx::{ArtifactError, OutputReader, TreeLists, UnexpectedOutput};
use onnward_schemas::{Kept, PredictedValues, Predictions, RowFailure, Task, TypedArray};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::external::{ExternalSession, no_probability};
pub use self::forest::Forests;
pub use self::library::{LibraryError, TELEMETRY_SWITCH, find_library};
pub use self::onnxruntime::OnnxRuntime;
pub use self::tract::Tract;

/// A runtime for ONNX graphs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// ONNX Runtime, from its shared library.
    OnnxRuntime,
    /// tract, which is built in.
    Tract,
}

impl BackendKind {
    /// Returns the name used in the configuration and in metric labels.
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
    /// Returns which backend this is.
    fn kind(&self) -> BackendKind;

    /// Opens the bytes of an ONNX model whose predictions `output` reads.
    ///
    /// # Errors
    /// [`BackendError::Open`] if the backend cannot read the model, lacks one of its operators, or does not
    /// find the output.
    fn open_with_output(&self, model: &[u8], output: &OutputReader)
    -> Result<Box<dyn Session>, BackendError>;

    /// Returns whether this backend scores forests by itself. It then opens a [`PackedGraph`], which takes a
    /// fraction of the memory, and scores its forests several times as fast as a runtime that walks them as
    /// they are written.
    fn packs_forests(&self) -> bool {
        false
    }

    /// Opens a graph whose forests are packed.
    ///
    /// # Errors
    /// Those of [`Backend::open_with_output`], and [`BackendError::Open`] unless [`Backend::packs_forests`].
    fn open_packed(&self, _: &PackedGraph, _: &OutputReader) -> Result<Box<dyn Session>, BackendError> {
        Err(BackendError::open(self.kind(), "it does not score packed forests"))
    }

    /// Opens the full graph or the subgraph of an Onnward artifact with this task.
    ///
    /// # Errors
    /// Those of [`Backend::open_with_output`].
    fn open(&self, model: &[u8], task: &Task) -> Result<Box<dyn Session>, BackendError> {
        self.open_with_output(model, &OutputReader::of_artifact(task))
    }
}

/// A graph whose forests were taken out and packed. Several graphs can share them.
pub struct PackedGraph {
    /// The ONNX file without the forests' lists.
    bytes: Vec<u8>,
    forests: Forests,
}

impl PackedGraph {
    /// Creates a graph from its file without the forests' lists, and the forests.
    pub fn new(bytes: Vec<u8>, forests: Forests) -> Self {
        Self { bytes, forests }
    }

    /// Decodes an ONNX file and packs its forests. If one cannot be packed, all stay in the graph.
    fn decode(file: &[u8]) -> Result<Self, ArtifactError> {
        let (bytes, lists) = TreeLists::take_from_file(file)?;
        Ok(match Forests::pack(lists) {
            Some(forests) => Self { bytes, forests },
            None => Self { bytes: file.to_vec(), forests: Forests::default() },
        })
    }
}

/// A model that is ready to score, for one thread at a time.
pub trait Session: Send {
    /// Returns the prediction for each row of the batch, in order.
    ///
    /// # Errors
    /// [`BackendError::Run`] if the graph cannot be run on the batch, [`BackendError::Output`] if an output
    /// does not have the shape of a prediction for each row.
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError>;

    /// Returns another session that shares this opened model, for another thread. `None` if the model must be
    /// opened again.
    fn try_clone(&self) -> Option<Box<dyn Session>> {
        None
    }
}

/// Scores a batch and checks that every row has a score.
///
/// All comparisons of scores go through here: they pair scores with rows, and a pairing skips whatever has no
/// partner. A session with too few scores would otherwise pass every check.
///
/// # Errors
/// Those of [`Session::score`], and [`BackendError::ScoreCount`].
#[inline]
pub fn score_every_row(session: &mut dyn Session, batch: Batch<'_>) -> Result<Predictions, BackendError> {
    let rows = batch.rows();
    let scores = session.score(batch)?;
    if scores.len() == rows {
        Ok(scores)
    } else {
        Err(BackendError::ScoreCount { rows, scores: scores.len() })
    }
}

/// The most bytes that outputs take which are answered as they are, and gathered from several runs.
const MAX_GATHERED_BYTES: usize = 256 << 20;

/// Joins the predictions of batches that follow each other. Rows beyond what outputs may take together fail.
///
/// # Errors
/// The first error of a batch, and [`BackendError::Run`] if two are of different forms.
pub(crate) fn joined(
    backend: BackendKind,
    parts: impl IntoIterator<Item = Result<Predictions, BackendError>>,
) -> Result<Predictions, BackendError> {
    let mut all: Option<Predictions> = None;
    let mut bytes = 0_usize;
    for part in parts {
        let mut part = part?;
        if let PredictedValues::Outputs(rows) = &mut part.values {
            bytes += rows.iter().flatten().map(|output| output.values.bytes()).sum::<usize>();
            if bytes > MAX_GATHERED_BYTES {
                let reason = format!(
                    "the answers to the rows of the request take more than {} MiB together: send fewer rows",
                    MAX_GATHERED_BYTES >> 20
                );
                rows.iter_mut().for_each(Vec::clear);
                part.failures =
                    (0..rows.len()).map(|row| RowFailure { row, reason: reason.clone() }).collect();
            }
        }
        let is_alike = match &mut all {
            Some(all) => all.append(part),
            None => {
                all = Some(part);
                true
            }
        };
        if !is_alike {
            return Err(BackendError::run(backend, "its outputs change their type from run to run"));
        }
    }
    Ok(all.unwrap_or_else(|| Vec::new().into()))
}

/// Rows to score.
#[derive(Debug, Clone, Copy)]
pub enum Batch<'a> {
    /// Encoded rows, `[rows, features]`, for a subgraph or for an external graph.
    Features(ArrayView2<'a, f32>),
    /// The same with the values that the rows keep, `[rows, kept features]`: for an external graph.
    FeaturesAndKept(ArrayView2<'a, f32>, &'a [Kept]),
    /// The inputs of a full graph, each with as many rows as the batch.
    Inputs(&'a [Input]),
}

/// The values of one of a graph's inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The input's name.
    pub name: String,
    /// The shape of one row's values: empty for an input of shape `[rows]`. `None` for an input without rows, which has
    /// one value for all of them.
    pub row_shape: Option<Vec<usize>>,
    /// The number of rows. The values do not tell it, since a row may have none.
    pub rows: usize,
    /// The values, row after row.
    pub values: InputValues,
}

/// Values of an input, by their type.
#[derive(Debug, Clone, PartialEq)]
pub enum InputValues {
    /// Numbers of half precision, held in single precision; NaN is missing.
    Halves(Vec<f32>),
    /// Numbers of half precision with the exponent of single precision; NaN is missing.
    BrainHalves(Vec<f32>),
    /// Numbers of single precision; NaN is missing.
    Floats(Vec<f32>),
    /// Numbers of double precision; NaN is missing.
    Doubles(Vec<f64>),
    /// Whole numbers of 8 bits.
    Int8s(Vec<i8>),
    /// Whole numbers of 16 bits.
    Int16s(Vec<i16>),
    /// Whole numbers of 32 bits.
    Int32s(Vec<i32>),
    /// Whole numbers of 64 bits.
    Int64s(Vec<i64>),
    /// Whole numbers of 8 bits without a sign.
    Uint8s(Vec<u8>),
    /// Whole numbers of 16 bits without a sign.
    Uint16s(Vec<u16>),
    /// Whole numbers of 32 bits without a sign.
    Uint32s(Vec<u32>),
    /// Whole numbers of 64 bits without a sign.
    Uint64s(Vec<u64>),
    /// Booleans.
    Booleans(Vec<bool>),
    /// Strings; in an Onnward artifact an empty one is missing.
    Texts(Vec<String>),
}

impl InputValues {
    /// Returns the number of values.
    fn len(&self) -> usize {
        match self {
            Self::Halves(values) | Self::BrainHalves(values) | Self::Floats(values) => values.len(),
            Self::Doubles(values) => values.len(),
            Self::Int8s(values) => values.len(),
            Self::Int16s(values) => values.len(),
            Self::Int32s(values) => values.len(),
            Self::Int64s(values) => values.len(),
            Self::Uint8s(values) => values.len(),
            Self::Uint16s(values) => values.len(),
            Self::Uint32s(values) => values.len(),
            Self::Uint64s(values) => values.len(),
            Self::Booleans(values) => values.len(),
            Self::Texts(values) => values.len(),
        }
    }
}

impl Input {
    /// Creates the input for a raw column of an Onnward artifact, of shape `[rows, 1]`.
    pub fn column(name: &str, values: InputValues) -> Self {
        Self { name: name.to_owned(), row_shape: Some(vec![1]), rows: values.len(), values }
    }

    /// Returns the number of rows. `None` for an input without rows.
    fn rows(&self) -> Option<usize> {
        self.row_shape.as_ref().map(|_| self.rows)
    }

    /// Returns the input's shape.
    fn shape(&self) -> Vec<usize> {
        self.rows().into_iter().chain(self.row_shape.iter().flatten().copied()).collect()
    }
}

/// The reason why a backend cannot open or run a model.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum BackendError {
    /// The model cannot be opened.
    #[error("{backend} cannot open the model: {reason}")]
    Open {
        /// The backend.
        backend: BackendKind,
        /// Its message.
        reason: String,
    },
    /// The model cannot be run.
    #[error("{backend} cannot run the model: {reason}")]
    Run {
        /// The backend.
        backend: BackendKind,
        /// Its message.
        reason: String,
    },
    /// An output does not hold what is read from it.
    #[error("{backend} returns {output} of shape {shape:?} for {rows} rows, not {expected}")]
    Output {
        /// The backend.
        backend: BackendKind,
        /// The output.
        output: String,
        /// The number of rows that were scored.
        rows: usize,
        /// The output's shape.
        shape: Vec<usize>,
        /// What was expected, in words.
        expected: &'static str,
    },
    /// A session returned more or fewer scores than there are rows.
    #[error("the session returned {scores} scores for {rows} rows, not one for each row")]
    ScoreCount {
        /// The number of rows that were scored.
        rows: usize,
        /// The number of scores that it returned.
        scores: usize,
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

/// Joins a runtime's message into one line.
fn one_line(reason: impl fmt::Display) -> String {
    reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Batch<'_> {
    /// Returns the number of rows.
    #[inline]
    pub fn rows(&self) -> usize {
        match self {
            Self::Features(matrix) | Self::FeaturesAndKept(matrix, _) => matrix.nrows(),
            // A graph whose inputs have no rows is run on one.
            Self::Inputs(inputs) => inputs.iter().find_map(Input::rows).unwrap_or(1),
        }
    }
}

/// The message for kept values that a graph has no input for.
const KEPT_UNSUPPORTED: &str = "only an external graph accepts values beside a matrix";

/// Reads the predictions from the tensors of a run.
fn read_predictions(
    backend: BackendKind,
    reader: &OutputReader,
    rows: usize,
    tensors: Vec<TypedArray>,
) -> Result<Predictions, BackendError> {
    reader.read(rows, tensors).map_err(|UnexpectedOutput { output, shape, expected }| BackendError::Output {
        backend,
        output,
        rows,
        shape,
        expected,
    })
}

/// Loads ONNX Runtime from the configured library, or from wherever [`find_library`] finds one.
///
/// # Errors
/// [`LibraryError`] if there is none that can be used.
pub fn load_onnxruntime(library: Option<&Path>) -> Result<Arc<dyn Backend>, LibraryError> {
    let runtime = OnnxRuntime::load(&find_library(library)?)?;
    Ok(Arc::new(runtime))
}

/// The choice of the runtime that scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendChoice {
    /// ONNX Runtime if its library is found, except for forests, which tract scores several times as fast;
    /// without the library, tract.
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

/// Loads the backends on which models are opened, the preferred one first. ONNX Runtime comes from `library`,
/// or from wherever [`find_library`] finds one. It is not loaded if tract is chosen.
///
/// ```
/// use onnward_runtime::backend::{BackendChoice, BackendKind, load_backends};
///
/// // tract is always available.
/// let backends = load_backends(BackendChoice::Tract, None)?;
/// assert_eq!(backends[0].kind(), BackendKind::Tract);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

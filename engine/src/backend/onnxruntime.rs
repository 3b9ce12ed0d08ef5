use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{OutputSelector, RunOptions, Session as OrtSession, SessionInputValue};
use ort::value::{Tensor, TensorRef};
use thiserror::Error;

use super::{Backend, BackendError, BackendKind, Batch, Column, ColumnValues, Session, positive_column};

const KIND: BackendKind = BackendKind::OnnxRuntime;
const PROBABILITIES: &str = "probabilities";

/// The environment variable that keeps ONNX Runtime from reporting home. It must be `1` before the library is loaded;
/// `main` sees to it.
pub const TELEMETRY_SWITCH: &str = "ORT_DISABLE_TELEMETRY";

/// ONNX Runtime, loaded from its shared library. There is one for the whole process.
#[derive(Debug, Clone)]
pub struct OnnxRuntime {
    environment: Environment,
}

/// Why ONNX Runtime cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum LibraryError {
    /// No shared library was found.
    #[error(
        "no ONNX Runtime library: fetch it with engine/onnxruntime/fetch.sh or name it as onnxruntime.library"
    )]
    NotFound,
    /// The configured path is not a file.
    #[error("there is no ONNX Runtime library at {0}: correct onnxruntime.library")]
    NoSuchFile(PathBuf),
    /// The library would report home.
    #[error("{TELEMETRY_SWITCH} is not 1, and ONNX Runtime is not loaded before its telemetry is off")]
    Telemetry,
    /// The library does not load.
    #[error("the ONNX Runtime library does not load: {0}")]
    Load(String),
}

/// The library to load: the configured one; else the one named by `ORT_DYLIB_PATH`; else one that lies beside the
/// program or in a `lib` or `.onnxruntime` folder there or above. The working directory is not searched: whoever can
/// write there should not choose what code is loaded.
///
/// # Errors
/// [`LibraryError::NoSuchFile`], [`LibraryError::NotFound`].
pub fn find_library(configured: Option<&Path>) -> Result<PathBuf, LibraryError> {
    const ABOVE: usize = 4;
    let named =
        configured.map(Path::to_owned).or_else(|| std::env::var_os("ORT_DYLIB_PATH").map(PathBuf::from));
    if let Some(path) = named {
        // A relative path means the working directory here, and the program's folder to `ort`.
        return path.canonicalize().map_err(|_| LibraryError::NoSuchFile(path));
    }
    let file = format!("{}onnxruntime{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let program = std::env::current_exe().map_err(|_| LibraryError::NotFound)?;
    let folders = program.ancestors().skip(1).take(ABOVE);
    let candidates =
        folders.flat_map(|folder| ["", "lib", ".onnxruntime"].map(|part| folder.join(part).join(&file)));
    candidates.into_iter().find(|path| path.is_file()).ok_or(LibraryError::NotFound)
}

impl OnnxRuntime {
    /// Loads the library, or takes the one that this process has loaded already.
    ///
    /// Until this has succeeded nothing of `ort` may be touched: it panics without a library.
    ///
    /// # Errors
    /// [`LibraryError`]; another path may be tried afterwards.
    pub fn load(library: &Path) -> Result<Self, LibraryError> {
        static LOADED: Mutex<Option<Environment>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(environment) = loaded.as_ref() {
            return Ok(Self { environment: environment.clone() });
        }
        if std::env::var_os(TELEMETRY_SWITCH).is_none_or(|value| value != "1") {
            return Err(LibraryError::Telemetry);
        }
        let builder = ort::init_from(library).map_err(|error| LibraryError::Load(error.to_string()))?;
        let environment = builder.with_name("onnward").with_telemetry(false).build();
        let environment = environment.map_err(|error| LibraryError::Load(error.to_string()))?;
        environment.set_log_level(LogLevel::Warning);
        *loaded = Some(environment.clone());
        Ok(Self { environment })
    }
}

impl Backend for OnnxRuntime {
    fn kind(&self) -> BackendKind {
        KIND
    }

    fn open(&self, model: &[u8]) -> Result<Box<dyn Session>, BackendError> {
        let open = || -> Result<OnnxRuntimeSession, ort::Error> {
            // One thread a session: the workers are the parallelism, and a row is too little work to share.
            let mut builder = OrtSession::builder(&self.environment)?
                .with_log_level(LogLevel::Warning)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?;
            let session = builder.commit_from_memory(model)?;
            let options = RunOptions::new()?.with_outputs(OutputSelector::no_default().with(PROBABILITIES));
            Ok(OnnxRuntimeSession { session, options })
        };
        let session = open().map_err(|error| BackendError::open(KIND, error))?;
        if session.session.outputs().iter().all(|output| output.name() != PROBABILITIES) {
            return Err(BackendError::open(KIND, "it has no output named \"probabilities\""));
        }
        Ok(Box::new(session))
    }
}

struct OnnxRuntimeSession {
    session: OrtSession,
    options: RunOptions<ort::session::HasSelectedOutputs>,
}

impl Session for OnnxRuntimeSession {
    fn score(&mut self, batch: Batch<'_>) -> Result<Vec<f32>, BackendError> {
        let rows = batch.rows();
        let mut run = || -> Result<(Vec<usize>, Vec<f32>), ort::Error> {
            let inputs = inputs_of(batch)?;
            let outputs = self.session.run_with_options(inputs, &self.options)?;
            let (shape, probabilities) = outputs[PROBABILITIES].try_extract_tensor::<f32>()?;
            let shape = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect();
            Ok((shape, probabilities.to_vec()))
        };
        let (shape, probabilities) = run().map_err(|error| BackendError::run(KIND, error))?;
        positive_column(KIND, rows, shape, &probabilities)
    }
}

type NamedInput<'a> = (&'a str, SessionInputValue<'a>);

fn inputs_of(batch: Batch<'_>) -> Result<Vec<NamedInput<'_>>, ort::Error> {
    match batch {
        Batch::Features(matrix) => Ok(vec![("features", TensorRef::from_array_view(matrix)?.into())]),
        Batch::Columns(columns) => columns.iter().map(column_input).collect(),
    }
}

fn column_input(column: &Column) -> Result<NamedInput<'_>, ort::Error> {
    let value = match &column.values {
        ColumnValues::Numbers(numbers) => {
            TensorRef::from_array_view(([numbers.len(), 1], numbers.as_slice()))?.into()
        }
        ColumnValues::Texts(texts) => Tensor::from_string_array(([texts.len(), 1], texts.as_slice()))?.into(),
    };
    Ok((&column.name, value))
}

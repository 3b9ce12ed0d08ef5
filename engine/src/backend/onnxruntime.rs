use std::path::Path;
use std::sync::{Mutex, PoisonError};

use onnward_onnx::{FEATURES, PROBABILITIES};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{OutputSelector, RunOptions, Session as OrtSession, SessionInputValue};
use ort::value::{Tensor, TensorRef};

use super::library::{LibraryError, TELEMETRY_SWITCH, check_whole};
use super::{Backend, BackendError, BackendKind, Batch, Column, ColumnValues, Session, positive_column};

const KIND: BackendKind = BackendKind::OnnxRuntime;

/// ONNX Runtime, loaded from its shared library. There is one for the whole process.
#[derive(Debug, Clone)]
pub struct OnnxRuntime {
    environment: Environment,
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
        check_whole(library)?;
        tracing::debug!(library = %library.display(), "loading ONNX Runtime");
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
        Batch::Features(matrix) => Ok(vec![(FEATURES, TensorRef::from_array_view(matrix)?.into())]),
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

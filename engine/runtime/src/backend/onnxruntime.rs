use std::path::Path;
use std::sync::{Mutex, PoisonError};

use onnward_onnx::{FEATURES, ProbabilityOutput};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{OutputSelector, RunOptions, Session as OrtSession, SessionInputValue};
use ort::value::{Tensor, TensorRef};

use super::library::{LibraryError, TELEMETRY_SWITCH, check_not_truncated};
use super::{
    Backend, BackendError, BackendKind, Batch, Input, InputValues, Session, TEXTS_UNSUPPORTED,
    read_probabilities,
};

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
        check_not_truncated(library)?;
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

    fn open_with_output(
        &self,
        model: &[u8],
        output: &ProbabilityOutput,
    ) -> Result<Box<dyn Session>, BackendError> {
        let open = || -> Result<OnnxRuntimeSession, ort::Error> {
            // One thread a session: the workers are the parallelism, and a row is too little work to share.
            let mut builder = OrtSession::builder(&self.environment)?
                .with_log_level(LogLevel::Warning)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?;
            let session = builder.commit_from_memory(model)?;
            let options = RunOptions::new()?.with_outputs(OutputSelector::no_default().with(&output.name));
            Ok(OnnxRuntimeSession { session, options, output: output.clone() })
        };
        let session = open().map_err(|error| BackendError::open(KIND, error))?;
        if session.session.outputs().iter().all(|found| found.name() != output.name) {
            return Err(BackendError::open(KIND, format!("it has no output named {:?}", output.name)));
        }
        Ok(Box::new(session))
    }
}

struct OnnxRuntimeSession {
    session: OrtSession,
    options: RunOptions<ort::session::HasSelectedOutputs>,
    output: ProbabilityOutput,
}

impl Session for OnnxRuntimeSession {
    fn score(&mut self, batch: Batch<'_>) -> Result<Vec<f32>, BackendError> {
        let rows = batch.rows();
        let mut run = || -> Result<(Vec<usize>, Vec<f32>), ort::Error> {
            let inputs = session_inputs(batch)?;
            let outputs = self.session.run_with_options(inputs, &self.options)?;
            let value = &outputs[self.output.name.as_str()];
            let (shape, numbers) = match value.try_extract_tensor::<f32>() {
                Ok((shape, numbers)) => (shape, numbers.to_vec()),
                Err(_) => {
                    let (shape, numbers) = value.try_extract_tensor::<f64>()?;
                    (shape, numbers.iter().map(|number| *number as f32).collect())
                }
            };
            let shape = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect();
            Ok((shape, numbers))
        };
        let (shape, numbers) = run().map_err(|error| BackendError::run(KIND, error))?;
        read_probabilities(KIND, &self.output, rows, shape, &numbers)
    }
}

type NamedInput<'a> = (&'a str, SessionInputValue<'a>);

fn session_inputs(batch: Batch<'_>) -> Result<Vec<NamedInput<'_>>, ort::Error> {
    match batch {
        Batch::Features(matrix) => Ok(vec![(FEATURES, TensorRef::from_array_view(matrix)?.into())]),
        Batch::FeaturesAndTexts(..) => Err(ort::Error::new(TEXTS_UNSUPPORTED)),
        Batch::Inputs(inputs) => inputs.iter().map(named_input).collect(),
    }
}

fn named_input(input: &Input) -> Result<NamedInput<'_>, ort::Error> {
    let shape = input.shape();
    let value = match &input.values {
        InputValues::Floats(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Doubles(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Int32s(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Int64s(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Booleans(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Texts(values) => Tensor::from_string_array((shape, values.as_slice()))?.into(),
    };
    Ok((&input.name, value))
}

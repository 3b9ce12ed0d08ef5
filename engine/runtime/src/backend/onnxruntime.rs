use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use onnward_onnx::{FEATURES, OutputReader};
use onnward_schemas::{Numbers, Predictions, TypedArray, TypedValues};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{OutputSelector, RunOptions, Session as OrtSession, SessionInputValue};
use ort::value::{Tensor, TensorElementType, TensorRef, ValueType};

use super::library::{LibraryError, TELEMETRY_SWITCH, check_not_truncated};
use super::{
    Backend, BackendError, BackendKind, Batch, Input, InputValues, KEPT_UNSUPPORTED, Session,
    read_predictions,
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

    /// Returns what sessions are created in, for tests that look at every output.
    #[cfg(test)]
    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }
}

impl Backend for OnnxRuntime {
    fn kind(&self) -> BackendKind {
        KIND
    }

    fn open_with_output(
        &self,
        model: &[u8],
        output: &OutputReader,
    ) -> Result<Box<dyn Session>, BackendError> {
        let open = || -> Result<OnnxRuntimeSession, ort::Error> {
            // One thread a session: the workers are the parallelism, and a row is too little work to share.
            let mut builder = OrtSession::builder(&self.environment)?
                .with_log_level(LogLevel::Warning)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?;
            let session = builder.commit_from_memory(model)?;
            let tensors: Vec<String> = output.tensors().into_iter().map(str::to_owned).collect();
            let selected = tensors.iter().collect::<BTreeSet<_>>().into_iter();
            let selected = selected.fold(OutputSelector::no_default(), |all, tensor| all.with(tensor));
            let options = RunOptions::new()?.with_outputs(selected);
            Ok(OnnxRuntimeSession { session, options, tensors, output: output.clone() })
        };
        let session = open().map_err(|error| BackendError::open(KIND, error))?;
        let found: BTreeSet<&str> = session.session.outputs().iter().map(|found| found.name()).collect();
        if let Some(missing) = session.tensors.iter().find(|tensor| !found.contains(tensor.as_str())) {
            return Err(BackendError::open(KIND, format!("it has no output named {missing:?}")));
        }
        Ok(Box::new(session))
    }
}

struct OnnxRuntimeSession {
    session: OrtSession,
    options: RunOptions<ort::session::HasSelectedOutputs>,
    /// The names of the tensors that are read.
    tensors: Vec<String>,
    output: OutputReader,
}

impl Session for OnnxRuntimeSession {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        let rows = batch.rows();
        let mut run = || -> Result<Vec<TypedArray>, ort::Error> {
            let inputs = session_inputs(batch)?;
            let outputs = self.session.run_with_options(inputs, &self.options)?;
            self.tensors.iter().map(|tensor| read_tensor(&outputs[tensor.as_str()])).collect()
        };
        let tensors = run().map_err(|error| BackendError::run(KIND, error))?;
        read_predictions(KIND, &self.output, rows, tensors)
    }
}

/// Copies a tensor. Numbers of half precision become numbers of single precision, which holds them all.
fn read_tensor(value: &ort::value::DynValue) -> Result<TypedArray, ort::Error> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(ort::Error::new("an output is no tensor"));
    };
    macro_rules! extract {
        ($element:ty) => {
            value.try_extract_tensor::<$element>()?.1
        };
        ($element:ty, $wide:ty) => {
            extract!($element).iter().map(|element| <$wide>::from(*element)).collect::<Vec<$wide>>()
        };
    }
    let values = match ty {
        TensorElementType::Float32 => TypedValues::Numbers(Numbers::Single(extract!(f32).to_vec())),
        TensorElementType::Float64 => TypedValues::Numbers(Numbers::Double(extract!(f64).to_vec())),
        TensorElementType::Float16 => TypedValues::Numbers(Numbers::Single(extract!(half::f16, f32))),
        TensorElementType::Bfloat16 => TypedValues::Numbers(Numbers::Single(extract!(half::bf16, f32))),
        TensorElementType::Int8 => TypedValues::Integers(extract!(i8, i64)),
        TensorElementType::Int16 => TypedValues::Integers(extract!(i16, i64)),
        TensorElementType::Int32 => TypedValues::Integers(extract!(i32, i64)),
        TensorElementType::Int64 => TypedValues::Integers(extract!(i64).to_vec()),
        TensorElementType::Uint8 => TypedValues::Integers(extract!(u8, i64)),
        TensorElementType::Uint16 => TypedValues::Integers(extract!(u16, i64)),
        TensorElementType::Uint32 => TypedValues::Integers(extract!(u32, i64)),
        TensorElementType::Uint64 => TypedValues::Unsigned(extract!(u64).to_vec()),
        TensorElementType::Bool => TypedValues::Booleans(extract!(bool).to_vec()),
        TensorElementType::String => {
            let (_, texts) = value.try_extract_strings()?;
            TypedValues::Texts(texts)
        }
        other => return Err(ort::Error::new(format!("an output contains {other}"))),
    };
    let shape = shape.iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect();
    Ok(TypedArray { shape, values })
}

type NamedInput<'a> = (&'a str, SessionInputValue<'a>);

fn session_inputs(batch: Batch<'_>) -> Result<Vec<NamedInput<'_>>, ort::Error> {
    match batch {
        Batch::Features(matrix) => Ok(vec![(FEATURES, TensorRef::from_array_view(matrix)?.into())]),
        Batch::FeaturesAndKept(..) => Err(ort::Error::new(KEPT_UNSUPPORTED)),
        Batch::Inputs(inputs) => inputs.iter().map(named_input).collect(),
    }
}

fn named_input(input: &Input) -> Result<NamedInput<'_>, ort::Error> {
    let shape = input.shape();
    let value = match &input.values {
        InputValues::Halves(values) => {
            let halves: Vec<half::f16> = values.iter().copied().map(half::f16::from_f32).collect();
            Tensor::from_array((shape, halves))?.into()
        }
        InputValues::BrainHalves(values) => {
            let halves: Vec<half::bf16> = values.iter().copied().map(half::bf16::from_f32).collect();
            Tensor::from_array((shape, halves))?.into()
        }
        InputValues::Floats(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Doubles(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Int8s(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Int16s(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Uint8s(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Uint16s(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Uint32s(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Uint64s(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Int32s(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Int64s(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Booleans(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
        InputValues::Texts(values) => Tensor::from_string_array((shape, values.as_slice()))?.into(),
    };
    Ok((&input.name, value))
}

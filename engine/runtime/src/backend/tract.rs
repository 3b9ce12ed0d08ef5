use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use onnward_onnx::OutputReader;
use onnward_schemas::{Numbers, Predictions, TypedArray, TypedValues};
use tract_onnx::Onnx;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::InferenceModelExt;

use super::{
    Backend, BackendError, BackendKind, Batch, Input, InputValues, KEPT_UNSUPPORTED, PackedGraph, Session,
    read_predictions, tract_forest, tract_ml,
};

const KIND: BackendKind = BackendKind::Tract;

/// tract, which is built in: slower on large batches, but always available.
pub struct Tract {
    reader: Onnx,
}

impl Tract {
    /// Prepares to read models, with the operators that tract lacks or runs slowly.
    pub fn new() -> Self {
        // Shapes that a file states beside its nodes may name rows otherwise than its inputs do.
        let mut reader = tract_onnx::onnx().with_ignore_value_info(true);
        tract_forest::register(&mut reader);
        tract_ml::register(&mut reader);
        Self { reader }
    }

    fn read(&self, packed: &PackedGraph, output: &OutputReader) -> TractResult<TractSession> {
        let mut bytes = packed.bytes.as_slice();
        let graph = tract_forest::with_forests(&packed.forests, || self.reader.model_for_read(&mut bytes));
        let mut graph = graph?;
        let outputs = graph.output_outlets()?.to_vec();
        let find = |name: &str| {
            let named = outputs.iter().copied().find(|outlet| graph.outlet_label(*outlet) == Some(name));
            named.ok_or_else(|| format_err!("it has no output named {name:?}"))
        };
        let selected = output.tensors().into_iter().map(find).collect::<TractResult<Vec<OutletId>>>()?;
        graph.select_output_outlets(&selected)?;
        tract_ml::check_operators(&graph)?;
        let inputs = graph.input_outlets()?.to_vec();
        let names = inputs.iter().map(|outlet| graph.node(outlet.node).name.clone()).collect();
        let plan = graph.into_optimized()?.into_runnable()?;
        Ok(TractSession { names, plan, output: output.clone() })
    }
}

impl Default for Tract {
    fn default() -> Self {
        Self::new()
    }
}

impl Backend for Tract {
    fn kind(&self) -> BackendKind {
        KIND
    }

    fn open_with_output(
        &self,
        model: &[u8],
        output: &OutputReader,
    ) -> Result<Box<dyn Session>, BackendError> {
        let packed = PackedGraph::decode(model).map_err(|reason| BackendError::open(KIND, reason))?;
        self.open_packed(&packed, output)
    }

    fn packs_forests(&self) -> bool {
        true
    }

    fn open_packed(
        &self,
        graph: &PackedGraph,
        output: &OutputReader,
    ) -> Result<Box<dyn Session>, BackendError> {
        let session = catch_panic(|| self.read(graph, output));
        Ok(Box::new(session.map_err(|reason| BackendError::open(KIND, reason))?))
    }
}

/// Runs `work` and turns tract's errors and panics into text. Some inconsistent graphs make tract panic;
/// nothing it was working on is used afterwards.
fn catch_panic<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        // tract's errors are chains; the alternate form prints all of it.
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(panic) => Err(format!("it panicked: {}", panic_message(panic.as_ref()))),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[derive(Clone)]
struct TractSession {
    /// The inputs' names, in the plan's order.
    names: Vec<String>,
    plan: Arc<TypedRunnableModel>,
    output: OutputReader,
}

impl Session for TractSession {
    fn score(&mut self, batch: Batch<'_>) -> Result<Predictions, BackendError> {
        let rows = batch.rows();
        let run = catch_panic(|| self.run(batch));
        let tensors = run.map_err(|reason| BackendError::run(KIND, reason))?;
        read_predictions(KIND, &self.output, rows, tensors)
    }

    fn try_clone(&self) -> Option<Box<dyn Session>> {
        Some(Box::new(self.clone()))
    }
}

impl TractSession {
    fn run(&self, batch: Batch<'_>) -> TractResult<Vec<TypedArray>> {
        let inputs = match batch {
            Batch::Features(matrix) => tvec!(Tensor::from(matrix.to_owned()).into_tvalue()),
            Batch::FeaturesAndKept(..) => bail!(KEPT_UNSUPPORTED),
            Batch::Inputs(inputs) => self.inputs(inputs)?,
        };
        self.plan.run(inputs)?.iter().map(|tensor| read_tensor(tensor)).collect()
    }

    fn inputs(&self, inputs: &[Input]) -> TractResult<TVec<TValue>> {
        let by_name: HashMap<&str, &Input> =
            inputs.iter().map(|input| (input.name.as_str(), input)).collect();
        let tensor = |name: &String| {
            let Some(input) = by_name.get(name.as_str()) else {
                bail!("the input {name:?} is not given");
            };
            let shape = input.shape();
            let tensor = match &input.values {
                InputValues::Halves(values) => {
                    Tensor::from_shape(&shape, values)?.cast_to::<f16>()?.into_owned()
                }
                InputValues::BrainHalves(_) => bail!("tract has no numbers of the type bfloat16"),
                InputValues::Floats(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Doubles(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Int8s(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Int16s(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Uint8s(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Uint16s(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Uint32s(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Uint64s(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Int32s(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Int64s(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Booleans(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Texts(values) => tensor1(values).into_shape(&shape)?,
            };
            Ok(tensor.into_tvalue())
        };
        self.names.iter().map(tensor).collect()
    }
}

/// Copies a tensor. Numbers of half precision become numbers of single precision, which holds them all.
fn read_tensor(tensor: &Tensor) -> TractResult<TypedArray> {
    fn copy<T: Datum>(tensor: &Tensor) -> TractResult<Vec<T>> {
        Ok(tensor.cast_to::<T>()?.to_plain_array_view::<T>()?.iter().cloned().collect())
    }
    let values = match tensor.datum_type() {
        DatumType::F32 | DatumType::F16 => TypedValues::Numbers(Numbers::Single(copy(tensor)?)),
        DatumType::F64 => TypedValues::Numbers(Numbers::Double(copy(tensor)?)),
        DatumType::Bool => TypedValues::Booleans(copy(tensor)?),
        DatumType::String => TypedValues::Texts(copy(tensor)?),
        DatumType::U64 => TypedValues::Unsigned(copy(tensor)?),
        _ => TypedValues::Integers(copy(tensor)?),
    };
    Ok(TypedArray { shape: tensor.shape().to_vec(), values })
}

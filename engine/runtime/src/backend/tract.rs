use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use onnward_onnx::ProbabilityOutput;
use tract_onnx::Onnx;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::InferenceModelExt;

use super::{
    Backend, BackendError, BackendKind, Batch, Input, InputValues, PackedGraph, Session, TEXTS_UNSUPPORTED,
    read_probabilities, tract_forest,
};

const KIND: BackendKind = BackendKind::Tract;

/// tract, which is built in: slower on large batches, but always available.
pub struct Tract {
    reader: Onnx,
}

impl Tract {
    /// Prepares to read models, with a tree operator that walks each tree once instead of visiting all
    /// leaves.
    pub fn new() -> Self {
        let mut reader = tract_onnx::onnx();
        tract_forest::register(&mut reader);
        Self { reader }
    }

    fn read(&self, packed: &PackedGraph, probability: &ProbabilityOutput) -> TractResult<TractSession> {
        let mut bytes = packed.bytes.as_slice();
        let graph = tract_forest::with_forests(&packed.forests, || self.reader.model_for_read(&mut bytes));
        let mut graph = graph?;
        let outputs = graph.output_outlets()?.to_vec();
        let named = |outlet: &OutletId| graph.outlet_label(*outlet) == Some(&probability.name);
        let Some(output) = outputs.iter().copied().find(named) else {
            bail!("it has no output named {:?}", probability.name);
        };
        graph.select_output_outlets(&[output])?;
        let inputs = graph.input_outlets()?.to_vec();
        let names = inputs.iter().map(|outlet| graph.node(outlet.node).name.clone()).collect();
        let plan = graph.into_optimized()?.into_runnable()?;
        Ok(TractSession { names, plan, output: probability.clone() })
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
        output: &ProbabilityOutput,
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
        output: &ProbabilityOutput,
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
    output: ProbabilityOutput,
}

impl Session for TractSession {
    fn score(&mut self, batch: Batch<'_>) -> Result<Vec<f32>, BackendError> {
        let rows = batch.rows();
        let run = catch_panic(|| self.run(batch));
        let (shape, numbers) = run.map_err(|reason| BackendError::run(KIND, reason))?;
        read_probabilities(KIND, &self.output, rows, shape, &numbers)
    }

    fn try_clone(&self) -> Option<Box<dyn Session>> {
        Some(Box::new(self.clone()))
    }
}

impl TractSession {
    fn run(&self, batch: Batch<'_>) -> TractResult<(Vec<usize>, Vec<f32>)> {
        let inputs = match batch {
            Batch::Features(matrix) => tvec!(Tensor::from(matrix.to_owned()).into_tvalue()),
            Batch::FeaturesAndTexts(..) => bail!(TEXTS_UNSUPPORTED),
            Batch::Inputs(inputs) => self.inputs(inputs)?,
        };
        let outputs = self.plan.run(inputs)?;
        let numbers = outputs[0].cast_to::<f32>()?;
        let view = numbers.to_plain_array_view::<f32>()?;
        Ok((view.shape().to_vec(), view.iter().copied().collect()))
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
                InputValues::Floats(values) => Tensor::from_shape(&shape, values)?,
                InputValues::Doubles(values) => Tensor::from_shape(&shape, values)?,
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

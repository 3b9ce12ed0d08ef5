use std::collections::HashMap;
use std::sync::Arc;

use onnward_onnx::PROBABILITIES;
use tract_onnx::Onnx;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::InferenceModelExt;

use super::{
    Backend, BackendError, BackendKind, Batch, Column, ColumnValues, Session, positive_column, tract_forest,
};

const KIND: BackendKind = BackendKind::Tract;

/// tract, which is compiled in: slower on large batches, but always there.
pub struct Tract {
    reader: Onnx,
}

impl Tract {
    /// Prepares to read models, with a tree operator that walks each tree once instead of visiting all leaves.
    pub fn new() -> Self {
        let mut reader = tract_onnx::onnx();
        tract_forest::register(&mut reader);
        Self { reader }
    }

    fn read(&self, model: &[u8]) -> TractResult<TractSession> {
        let mut bytes = model;
        let mut graph = self.reader.model_for_read(&mut bytes)?;
        let outputs = graph.output_outlets()?.to_vec();
        let named = |outlet: &OutletId| graph.outlet_label(*outlet) == Some(PROBABILITIES);
        let Some(output) = outputs.iter().copied().find(named) else {
            bail!("it has no output named \"probabilities\"");
        };
        graph.select_output_outlets(&[output])?;
        let inputs = graph.input_outlets()?.to_vec();
        let names = inputs.iter().map(|outlet| graph.node(outlet.node).name.clone()).collect();
        let plan = graph.into_optimized()?.into_runnable()?;
        Ok(TractSession { names, plan })
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

    fn open(&self, model: &[u8]) -> Result<Box<dyn Session>, BackendError> {
        // tract's errors are chains; the alternate form prints all of it.
        let session = self.read(model).map_err(|error| BackendError::open(KIND, format!("{error:#}")))?;
        Ok(Box::new(session))
    }
}

struct TractSession {
    /// The inputs' names, in the plan's order.
    names: Vec<String>,
    plan: Arc<TypedRunnableModel>,
}

impl Session for TractSession {
    fn score(&mut self, batch: Batch<'_>) -> Result<Vec<f32>, BackendError> {
        let rows = batch.rows();
        let (shape, probabilities) =
            self.run(batch).map_err(|error| BackendError::run(KIND, format!("{error:#}")))?;
        positive_column(KIND, rows, shape, &probabilities)
    }
}

impl TractSession {
    fn run(&self, batch: Batch<'_>) -> TractResult<(Vec<usize>, Vec<f32>)> {
        let inputs = match batch {
            Batch::Features(matrix) => tvec!(Tensor::from(matrix.to_owned()).into_tvalue()),
            Batch::Columns(columns) => self.columns(columns)?,
        };
        let outputs = self.plan.run(inputs)?;
        let view = outputs[0].to_plain_array_view::<f32>()?;
        Ok((view.shape().to_vec(), view.iter().copied().collect()))
    }

    fn columns(&self, columns: &[Column]) -> TractResult<TVec<TValue>> {
        let by_name: HashMap<&str, &Column> =
            columns.iter().map(|column| (column.name.as_str(), column)).collect();
        let tensor = |name: &String| {
            let column = by_name.get(name.as_str());
            let Some(column) = column else {
                bail!("the input {name:?} is not given");
            };
            let tensor = match &column.values {
                ColumnValues::Numbers(numbers) => Tensor::from_shape(&[numbers.len(), 1], numbers)?,
                ColumnValues::Texts(texts) => tensor1(texts).into_shape(&[texts.len(), 1])?,
            };
            Ok(tensor.into_tvalue())
        };
        self.names.iter().map(tensor).collect()
    }
}

//! The forests that were taken out of a graph, for tract.
//!
//! tract would hold several copies of the lists of a `TreeEnsemble`. They are taken out of the graph and packed
//! before tract reads it, and the operator here finds them again.

use std::cell::RefCell;

use onnward_onnx::TAKEN_FOREST;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::forest::{Forest, Forests};
use super::tract_ml::read_ensemble as read_untaken;

const ENSEMBLE: &str = "TreeEnsemble";

/// Registers the operator for forests that were taken out, and for those that were left in the graph.
pub fn register(onnx: &mut Onnx) {
    onnx.op_register.insert(ENSEMBLE, read_ensemble);
}

type Read = (Box<dyn InferenceOp>, Vec<String>);

thread_local! {
    /// The forests of the graph that this thread reads, since tract passes nothing else to an operator's
    /// reader.
    static FORESTS: RefCell<Option<Forests>> = const { RefCell::new(None) };
}

/// Reads a graph, in which operators find these forests.
pub fn with_forests<T>(forests: &Forests, read: impl FnOnce() -> T) -> T {
    FORESTS.set(Some(forests.clone()));
    let result = read();
    FORESTS.take();
    result
}

fn read_ensemble(context: &ParsingContext, node: &NodeProto) -> TractResult<Read> {
    let Some(index) = node.get_attr_opt::<i64>(TAKEN_FOREST)? else { return read_untaken(context, node) };
    let find = |index: usize| FORESTS.with_borrow(|forests| forests.as_ref()?.0.get(index).cloned());
    match usize::try_from(index).ok().and_then(find) {
        Some(forest) => Ok((expand(ForestSums { forest }), vec![])),
        None => bail!("the graph refers to forest {index}, which was not taken out of it"),
    }
}

/// The sums of the leaf weights, float32 `[rows, 1]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ForestSums {
    forest: Arc<Forest>,
}

impl Expansion for ForestSums {
    fn name(&self) -> StaticName {
        ENSEMBLE.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, f32::datum_type())?;
        solver.equals(&outputs[0].rank, 2)?;
        solver.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        solver.equals(&outputs[0].shape[1], 1.to_dim())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for ForestSums {
    fn name(&self) -> StaticName {
        "ForestSums".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ForestSums {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = inputs[0].to_plain_array_view::<f32>()?.into_dimensionality::<tract_ndarray::Ix2>()?;
        if input.ncols() < self.forest.columns() || input.ncols() == 0 {
            bail!("the forest needs {} columns, but the input has {}", self.forest.columns(), input.ncols());
        }
        let matrix = input.as_standard_layout();
        let Some(values) = matrix.as_slice() else { bail!("the rows are not contiguous") };
        let sums = self.forest.sums(values, input.ncols());
        let sums: Vec<f32> = sums.iter().map(|sums| sums[0]).collect();
        Ok(tvec!(Tensor::from_shape(&[input.nrows(), 1], &sums)?.into_tvalue()))
    }
}

impl TypedOp for ForestSums {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&[inputs[0].shape[0].clone(), 1.to_dim()])))
    }

    as_op!();
}

//! Tree operators for tract that walk each tree from its root.
//!
//! tract's own operator visits every leaf of every tree, and tract has none for ai.onnx.ml 5. These run
//! forests as the exporter writes them (`BRANCH_LEQ`, sums of leaf weights) and leave all others to tract.
//! The lists of a `TreeEnsemble` are taken out of the graph before tract reads it, since it would hold
//! several copies of them.

mod read;

use std::cell::RefCell;

use onnward_onnx::TAKEN_FOREST;
use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::internal::*;

use super::forest::{Forest, Forests};

const CLASSIFIER: &str = "TreeEnsembleClassifier";
const ENSEMBLE: &str = "TreeEnsemble";
/// The name under which tract's own operator stays registered.
const TRACT_CLASSIFIER: &str = "onnward.tract.TreeEnsembleClassifier";

/// Registers the operators in place of tract's own.
pub fn register(onnx: &mut Onnx) {
    if let Some(own) = onnx.op_register.0.insert(CLASSIFIER.to_owned(), read_classifier) {
        onnx.op_register.0.insert(TRACT_CLASSIFIER.to_owned(), own);
    }
    onnx.op_register.0.insert(ENSEMBLE.to_owned(), read_ensemble);
}

type Read = (Box<dyn InferenceOp>, Vec<String>);

fn read_classifier(context: &ParsingContext, node: &NodeProto) -> TractResult<Read> {
    match read::classifier(node)? {
        Some(forest) => Ok((expand(TreesOp { forest: forest.into(), has_label: true }), vec![])),
        None => {
            reject_untrusted(node)?;
            match context.framework.op_register.0.get(TRACT_CLASSIFIER) {
                Some(own) => own(context, node),
                None => bail!("tract has no operator {CLASSIFIER}"),
            }
        }
    }
}

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

fn read_ensemble(_: &ParsingContext, node: &NodeProto) -> TractResult<Read> {
    let index = node.get_attr_opt::<i64>(TAKEN_FOREST)?.and_then(|index| usize::try_from(index).ok());
    let find = |index: usize| FORESTS.with_borrow(|forests| forests.as_ref()?.0.get(index).cloned());
    match index.and_then(find) {
        Some(forest) => Ok((expand(TreesOp { forest, has_label: false }), vec![])),
        None => {
            bail!(
                "tract runs {ENSEMBLE} only as onnward-exporter writes it: install ONNX Runtime to serve others"
            )
        }
    }
}

/// Rejects trees that tract's operator reads wrongly. It misreads `BRANCH_GTE` silently and ignores the
/// branch for missing values.
fn reject_untrusted(node: &NodeProto) -> TractResult<()> {
    let modes = node.get_attr_vec::<&str>("nodes_modes")?;
    if let Some(mode) = modes.iter().find(|mode| !matches!(**mode, "LEAF" | "BRANCH_LEQ")) {
        bail!("tract reads {mode} trees incorrectly: install ONNX Runtime to serve them");
    }
    if read::tracks_missing(node)? {
        bail!(
            "tract does not support these trees' branches for missing values: install ONNX Runtime to serve \
             them"
        );
    }
    Ok(())
}

/// The operators as ONNX defines them: the classifier returns a label and a score for each class, the
/// ensemble only the sum.
#[derive(Debug, Clone)]
struct TreesOp {
    forest: Arc<Forest>,
    has_label: bool,
}

impl TreesOp {
    /// Returns the number of sums for each row.
    fn targets(&self) -> usize {
        if self.has_label { 2 } else { 1 }
    }
}

impl Expansion for TreesOp {
    fn name(&self) -> StaticName {
        if self.has_label { CLASSIFIER } else { ENSEMBLE }.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.targets())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, self.targets())?;
        let sums = outputs.len() - 1;
        solver.equals(&outputs[sums].datum_type, f32::datum_type())?;
        solver.equals(&outputs[sums].rank, 2)?;
        solver.equals(&outputs[sums].shape[0], &inputs[0].shape[0])?;
        solver.equals(&outputs[sums].shape[1], self.targets().to_dim())?;
        if self.has_label {
            solver.equals(&outputs[0].datum_type, i64::datum_type())?;
            solver.equals(&outputs[0].rank, 1)?;
            solver.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        }
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let sums = ForestSums { forest: Arc::clone(&self.forest), targets: self.targets() };
        let sums = model.wire_node(prefix, sums, inputs)?;
        if !self.has_label {
            return Ok(sums);
        }
        let winner = Reduce::new(tvec!(1), Reducer::ArgMax(false));
        let winner = model.wire_node(format!("{prefix}.winner"), winner, &sums)?;
        let winner = model.wire_node(format!("{prefix}.winner_row"), AxisOp::Rm(1), &winner)?;
        let label = model.wire_node(format!("{prefix}.label"), cast(i64::datum_type()), &winner)?;
        Ok(tvec!(label[0], sums[0]))
    }
}

/// The sums of the leaf weights, float32 `[rows, targets]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ForestSums {
    forest: Arc<Forest>,
    /// 1 or 2.
    targets: usize,
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
        let sums: Vec<f32> = sums.iter().flat_map(|sums| &sums[..self.targets]).copied().collect();
        Ok(tvec!(Tensor::from_shape(&[input.nrows(), self.targets], &sums)?.into_tvalue()))
    }
}

impl TypedOp for ForestSums {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(f32::fact(&[inputs[0].shape[0].clone(), self.targets.to_dim()])))
    }

    as_op!();
}

//! The form that all operators here have for tract.

use std::fmt::Debug;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

/// What a reader of nodes returns to tract.
pub type Read = (Box<dyn InferenceOp>, Vec<String>);

/// The type and the shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    pub datum: DatumType,
    pub shape: TVec<TDim>,
}

impl TensorType {
    /// Creates the type of tensors of `datum` with this shape.
    pub fn new(datum: DatumType, shape: impl IntoIterator<Item = TDim>) -> Self {
        Self { datum: without_symbols(datum), shape: shape.into_iter().collect() }
    }

    /// Returns the number of rows and of columns. A vector is one row.
    pub fn matrix(&self) -> TractResult<(TDim, TDim)> {
        match &*self.shape {
            [columns] => Ok((1.to_dim(), columns.clone())),
            [rows, columns] => Ok((rows.clone(), columns.clone())),
            shape => bail!("the input has {} dimensions, not rows and columns", shape.len()),
        }
    }
}

impl From<&TypedFact> for TensorType {
    fn from(fact: &TypedFact) -> Self {
        Self::new(fact.datum_type, fact.shape.to_tvec())
    }
}

/// Returns the type that ONNX knows. tract has whole numbers that may hold symbols of its own.
fn without_symbols(datum: DatumType) -> DatumType {
    if datum == DatumType::TDim { DatumType::I64 } else { datum }
}

/// An operator whose outputs depend on its inputs alone.
pub trait Operator: Debug + Send + Sync + 'static {
    /// Returns the operator's name in ONNX.
    fn name(&self) -> &'static str;

    /// Returns the types of the outputs.
    ///
    /// # Errors
    /// A message, if the operator does not take inputs of these types.
    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>>;

    /// Returns the operator in the form that is faster for inputs of these types. `None` if there is none.
    fn specialized(&self, _inputs: &[TensorType]) -> Option<Arc<dyn Operator>> {
        None
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// A message, if the inputs' values are outside of what the operator takes.
    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>>;
}

/// Returns what tract needs of a node with this operator.
pub fn node(operator: impl Operator, node: &NodeProto) -> Read {
    let named = |(index, name): (usize, &String)| (!name.is_empty()).then_some(index);
    let used = node.output.iter().enumerate().filter_map(named).collect();
    (expand(OperatorNode { operator: Arc::new(operator), used }), vec![])
}

/// Returns an operator with one output for a graph whose types are known.
pub fn typed_node(operator: impl Operator) -> Box<dyn TypedOp> {
    Box::new(OperatorNode { operator: Arc::new(operator), used: tvec!(0) })
}

/// An operator in a graph.
#[derive(Debug, Clone)]
struct OperatorNode {
    operator: Arc<dyn Operator>,
    /// The outputs that the graph names. tract counts only these.
    used: TVec<usize>,
}

impl OperatorNode {
    fn used<T>(&self, outputs: TVec<T>) -> TVec<T> {
        let used = |(index, output): (usize, T)| self.used.contains(&index).then_some(output);
        outputs.into_iter().enumerate().filter_map(used).collect()
    }

    fn output_types(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let outputs = self.operator.outputs(inputs)?;
        if self.used.iter().any(|index| *index >= outputs.len()) {
            bail!("{} has {} outputs, and the graph names more", self.operator.name(), outputs.len());
        }
        Ok(self.used(outputs))
    }
}

// tract compares operators to find nodes that compute the same.
impl PartialEq for OperatorNode {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.operator, &other.operator) && self.used == other.used
    }
}

impl Eq for OperatorNode {}

impl Expansion for OperatorNode {
    fn name(&self) -> StaticName {
        self.operator.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.used.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, self.used.len())?;
        solver.given_all(inputs.iter().map(|input| &input.datum_type), move |solver, datums| {
            solver.given_all(inputs.iter().map(|input| &input.shape), move |solver, shapes| {
                let inputs = datums.iter().zip(shapes);
                let inputs: Vec<_> = inputs.map(|(datum, shape)| TensorType::new(*datum, shape)).collect();
                for (output, found) in outputs.iter().zip(self.output_types(&inputs)?) {
                    solver.equals(&output.datum_type, found.datum)?;
                    solver.equals(&output.shape, found.shape)?;
                }
                Ok(())
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let facts = inputs.iter().map(|input| Ok(TensorType::from(model.outlet_fact(*input)?)));
        let facts = facts.collect::<TractResult<Vec<_>>>()?;
        let operator = self.operator.specialized(&facts).unwrap_or_else(|| Arc::clone(&self.operator));
        let mut inputs: TVec<OutletId> = inputs.into();
        for (index, input) in inputs.iter_mut().enumerate() {
            let datum = model.outlet_fact(*input)?.datum_type;
            if datum != without_symbols(datum) {
                let whole = cast(without_symbols(datum));
                *input = model.wire_node(format!("{prefix}.input_{index}"), whole, &[*input])?[0];
            }
        }
        model.wire_node(prefix, Self { operator, used: self.used.clone() }, &inputs)
    }
}

impl Op for OperatorNode {
    fn name(&self) -> StaticName {
        self.operator.name().into()
    }

    op_as_typed_op!();
}

impl EvalOp for OperatorNode {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let outputs = self.operator.run(&inputs)?;
        Ok(self.used(outputs).into_iter().map(Tensor::into_tvalue).collect())
    }
}

impl TypedOp for OperatorNode {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let inputs: Vec<_> = inputs.iter().map(|fact| TensorType::from(*fact)).collect();
        let outputs = self.output_types(&inputs)?;
        Ok(outputs.into_iter().map(|output| output.datum.fact(output.shape)).collect())
    }

    as_op!();
}

//! TreeEnsembleClassifier, TreeEnsembleRegressor and TreeEnsemble in all their forms.
//!
//! Trees that compare with `BRANCH_LEQ` or `BRANCH_LT` and have one or two targets are packed as a
//! [`Forest`](super::super::forest::Forest), which scores several times as fast. All others are walked as they
//! are written.

mod aggregate;
mod classifier;
mod lists;
mod number;
mod packed;
mod walk;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use self::aggregate::{Aggregate, Regression};
use self::number::Number;
use self::walk::{Score, Trees};
use super::operator::{Operator, Read, TensorType, node};
use super::post_transform::PostTransform;
use super::{attributes, numbers};

pub use self::classifier::read_classifier;

const REGRESSOR: &str = "TreeEnsembleRegressor";
const ENSEMBLE: &str = "TreeEnsemble";

/// Trees whose thresholds and weights are of single or of double precision.
#[derive(Debug, Clone)]
enum Ensemble {
    Single(Arc<Trees<f32>>),
    Double(Arc<Trees<f64>>),
}

/// Trees that are summed or otherwise aggregated for each target.
#[derive(Debug)]
struct Regressor {
    name: &'static str,
    ensemble: Ensemble,
    regression: Regression,
    /// Whether the output is of the input's type. Otherwise it is of single precision.
    keeps_type: bool,
}

/// Reads a TreeEnsembleRegressor.
pub fn read_regressor(context: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let targets = proto.get_attr_opt::<usize>("n_targets")?.unwrap_or(0);
    let ensemble = lists::read_nodes(context, proto, "target", targets)?;
    let aggregate = match proto.get_attr_opt::<&str>("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => bail!("{REGRESSOR} has no aggregate_function {other:?}"),
    };
    let base = base_values(context, proto)?;
    if !base.is_empty() && base.len() != targets {
        bail!("{REGRESSOR} has {} base_values for {targets} targets", base.len());
    }
    let regression = Regression { aggregate, base, post_transform: PostTransform::read(proto)? };
    Ok(node(Regressor { name: REGRESSOR, ensemble, regression, keeps_type: false }, proto))
}

/// Reads a TreeEnsemble, the operator of ai.onnx.ml 5.
pub fn read_ensemble(context: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let ensemble = lists::read_splits(context, proto)?;
    let code =
        |name: &str, default: i64| Ok::<_, TractError>(proto.get_attr_opt::<i64>(name)?.unwrap_or(default));
    let aggregate = match code("aggregate_function", 1)? {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => bail!("{ENSEMBLE} has no aggregate_function {other}"),
    };
    // ONNX states 1 for SOFTMAX and 2 for LOGISTIC. ONNX Runtime takes them the other way round.
    let post_transform = match code("post_transform", 0)? {
        0 => PostTransform::None,
        1 => PostTransform::Logistic,
        2 => PostTransform::Softmax,
        3 => PostTransform::SoftmaxZero,
        4 => PostTransform::Probit,
        other => bail!("{ENSEMBLE} has no post_transform {other}"),
    };
    let regression = Regression { aggregate, base: Vec::new(), post_transform };
    Ok(node(Regressor { name: ENSEMBLE, ensemble, regression, keeps_type: true }, proto))
}

/// Reads `base_values` or `base_values_as_tensor`.
fn base_values(context: &ParsingContext, proto: &NodeProto) -> TractResult<Vec<f64>> {
    match attributes::doubles(context, proto, "base_values_as_tensor")? {
        Some(base) => Ok(base),
        None => Ok(attributes::floats(proto, "base_values")?.into_iter().map(f64::from).collect()),
    }
}

impl Ensemble {
    /// Returns the number of targets or classes.
    fn targets(&self) -> usize {
        match self {
            Self::Single(trees) => trees.targets,
            Self::Double(trees) => trees.targets,
        }
    }

    /// Returns the number of trees.
    fn trees(&self) -> usize {
        match self {
            Self::Single(trees) => trees.roots.len(),
            Self::Double(trees) => trees.roots.len(),
        }
    }

    /// Returns the aggregated weights of each row for each target, in double precision if the input is.
    fn scores(&self, input: &Tensor, aggregate: Aggregate) -> TractResult<Scores> {
        let width = numbers::matrix_shape(input)?.1;
        Ok(match (self, input.datum_type()) {
            (Self::Single(trees), DatumType::F64) => {
                Scores::Double(trees.scores(numbers::values::<f64>(input)?, width, aggregate)?)
            }
            (Self::Double(trees), DatumType::F64) => {
                Scores::Double(trees.scores(numbers::values::<f64>(input)?, width, aggregate)?)
            }
            (Self::Single(trees), _) => {
                Scores::Single(trees.scores(&numbers::floats(input)?, width, aggregate)?)
            }
            (Self::Double(_), other) => bail!("trees of double precision do not take {other:?}"),
        })
    }
}

/// The scores of rows, in the precision in which they were added.
#[derive(Debug)]
enum Scores {
    Single(Vec<Score<f32>>),
    Double(Vec<Score<f64>>),
}

impl Regressor {
    fn output_datum(&self, input: DatumType) -> DatumType {
        if self.keeps_type { input } else { DatumType::F32 }
    }

    /// Returns the outputs of all rows.
    fn finish<T: Number>(&self, scores: &[Score<T>], shape: &[usize]) -> TractResult<Tensor> {
        let (targets, trees) = (self.ensemble.targets(), self.ensemble.trees());
        let rows = scores.chunks(targets);
        numbers::tensor(shape, rows.flat_map(|row| self.regression.finish(row, trees)).collect())
    }
}

impl Operator for Regressor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let input = numbers::only_input(inputs, &[DatumType::F32, DatumType::F64])?;
        let (rows, _) = input.matrix()?;
        let shape = [rows, self.ensemble.targets().to_dim()];
        Ok(tvec!(TensorType::new(self.output_datum(input.datum), shape)))
    }

    fn specialized(&self, inputs: &[TensorType]) -> Option<Arc<dyn Operator>> {
        if inputs.first()?.datum == DatumType::F64 || self.regression.aggregate != Aggregate::Sum {
            return None;
        }
        let Ensemble::Single(trees) = &self.ensemble else { return None };
        let regression = self.regression.clone();
        Some(Arc::new(packed::PackedRegressor::new(self.name, trees, regression)?))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let input = &*inputs[0];
        let shape = [numbers::matrix_shape(input)?.0, self.ensemble.targets()];
        let output = match self.ensemble.scores(input, self.regression.aggregate)? {
            Scores::Single(scores) => self.finish(&scores, &shape)?,
            Scores::Double(scores) => self.finish(&scores, &shape)?,
        };
        Ok(tvec!(output.cast_to_dt(self.output_datum(input.datum_type()))?.into_owned()))
    }
}

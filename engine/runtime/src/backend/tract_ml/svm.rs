//! SVMClassifier and SVMRegressor: support vector machines as libsvm and liblinear train them.

mod classifier;
mod probability;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::linear::dot;
use super::operator::{Operator, Read, TensorType, node};
use super::{attributes, numbers};

pub use self::classifier::read_classifier;

const REGRESSOR: &str = "SVMRegressor";

/// The likeness of a row and a vector.
#[derive(Debug, Clone, Copy)]
enum Kernel {
    Linear,
    Poly { gamma: f32, coef0: f32, degree: f32 },
    Rbf { gamma: f32 },
    Sigmoid { gamma: f32, coef0: f32 },
}

impl Kernel {
    fn read(proto: &NodeProto) -> TractResult<Self> {
        let parameters = attributes::floats(proto, "kernel_params")?;
        let [gamma, coef0, degree] = match parameters[..] {
            [] => [0.0; 3],
            [gamma, coef0, degree, ..] => [gamma, coef0, degree],
            _ => bail!("{} has {} kernel_params, not three", proto.op_type, parameters.len()),
        };
        Ok(match proto.get_attr_opt::<&str>("kernel_type")?.unwrap_or("LINEAR") {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Poly { gamma, coef0, degree },
            "RBF" => Self::Rbf { gamma },
            "SIGMOID" => Self::Sigmoid { gamma, coef0 },
            other => bail!("{} has no kernel_type {other:?}", proto.op_type),
        })
    }

    fn of(self, row: &[f32], vector: &[f32]) -> f32 {
        let scaled = |gamma: f32, coef0: f32| (f64::from(gamma) * dot(row, vector) + f64::from(coef0)) as f32;
        match self {
            Self::Linear => dot(row, vector) as f32,
            Self::Poly { gamma, coef0, degree } => {
                let base = scaled(gamma, coef0);
                match degree {
                    2.0 => base * base,
                    3.0 => base * base * base,
                    _ => base.powf(degree),
                }
            }
            Self::Rbf { gamma } => {
                let squares = row.iter().zip(vector).map(|(left, right)| (left - right) * (left - right));
                (-gamma * squares.sum::<f32>()).exp()
            }
            Self::Sigmoid { gamma, coef0 } => scaled(gamma, coef0).tanh(),
        }
    }
}

/// The vectors with which rows are compared.
#[derive(Debug)]
struct SupportVectors {
    kernel: Kernel,
    /// Row after row.
    vectors: Vec<f32>,
    columns: usize,
}

impl SupportVectors {
    fn read(proto: &NodeProto, count: usize) -> TractResult<Self> {
        let vectors = attributes::floats(proto, "support_vectors")?;
        if count == 0 || vectors.is_empty() || vectors.len() % count != 0 {
            bail!("{} has {} numbers for {count} support vectors", proto.op_type, vectors.len());
        }
        Ok(Self { kernel: Kernel::read(proto)?, columns: vectors.len() / count, vectors })
    }

    /// Returns the likeness of a row to each vector.
    fn kernels(&self, row: &[f32]) -> Vec<f32> {
        self.vectors.chunks(self.columns).map(|vector| self.kernel.of(row, vector)).collect()
    }
}

/// Returns the number of rows. Rejects an input of another width than the model's.
fn rows_of(input: &Tensor, columns: usize) -> TractResult<usize> {
    let (rows, found) = numbers::matrix_shape(input)?;
    if found != columns || columns == 0 {
        bail!("the support vectors have {columns} columns, but the input has {found}");
    }
    Ok(rows)
}

#[derive(Debug)]
struct SvmRegressor {
    /// `None` if the coefficients are for columns, as liblinear trains them.
    vectors: Option<SupportVectors>,
    coefficients: Vec<f32>,
    rho: f32,
    /// Whether the output is 1 for rows like those that it was trained on, and -1 for all others.
    one_class: bool,
}

/// Reads an SVMRegressor.
pub fn read_regressor(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let supports = proto.get_attr_opt::<usize>("n_supports")?.unwrap_or(0);
    let vectors = (supports > 0).then(|| SupportVectors::read(proto, supports)).transpose()?;
    let coefficients = attributes::floats(proto, "coefficients")?;
    let [rho, ..] = attributes::floats(proto, "rho")?[..] else { bail!("{REGRESSOR} has no rho") };
    if coefficients.is_empty() || vectors.is_some() && coefficients.len() != supports {
        bail!("{REGRESSOR} has {} coefficients for {supports} support vectors", coefficients.len());
    }
    let one_class = proto.get_attr_opt::<i64>("one_class")?.unwrap_or(0) != 0;
    Ok(node(SvmRegressor { vectors, coefficients, rho, one_class }, proto))
}

impl Operator for SvmRegressor {
    fn name(&self) -> &'static str {
        REGRESSOR
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let (rows, _) = numbers::only_input(inputs, &[DatumType::F32])?.matrix()?;
        Ok(tvec!(TensorType::new(DatumType::F32, [rows, 1.to_dim()])))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let columns = self.vectors.as_ref().map_or(self.coefficients.len(), |vectors| vectors.columns);
        let rows = rows_of(&inputs[0], columns)?;
        let values = numbers::values::<f32>(&inputs[0])?;
        let scores = values.chunks(columns).map(|row| {
            let sum = match &self.vectors {
                Some(vectors) => dot(&vectors.kernels(row), &self.coefficients),
                None => dot(row, &self.coefficients),
            };
            let score = (sum + f64::from(self.rho)) as f32;
            match self.one_class {
                true if score > 0.0 => 1.0,
                true => -1.0,
                false => score,
            }
        });
        Ok(tvec!(numbers::tensor(&[rows, 1], scores.collect())?))
    }
}

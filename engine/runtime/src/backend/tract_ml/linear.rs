//! LinearClassifier and LinearRegressor.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::labels::{Labels, greatest};
use super::operator::{Operator, Read, TensorType, node};
use super::post_transform::{PostTransform, SecondClass};
use super::{attributes, numbers};

const CLASSIFIER: &str = "LinearClassifier";
const REGRESSOR: &str = "LinearRegressor";

/// A weighted sum of the columns for each class or target.
#[derive(Debug)]
struct Linear {
    /// Row after row, one row for each intercept.
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    post_transform: PostTransform,
}

#[derive(Debug)]
struct LinearClassifier {
    linear: Linear,
    labels: Labels,
}

#[derive(Debug)]
struct LinearRegressor {
    linear: Linear,
}

/// Reads a LinearClassifier.
pub fn read_classifier(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let linear = Linear::read(proto, attributes::floats(proto, "intercepts")?)?;
    let (classes, labels) = (linear.intercepts.len(), Labels::read(proto, "classlabels_ints")?);
    if labels.len() < classes || classes == 1 && labels.len() != 2 {
        bail!("{CLASSIFIER} has {classes} classes, but {} labels", labels.len());
    }
    let classifier = LinearClassifier { linear, labels };
    if classifier.has_complement() && classifier.linear.post_transform == PostTransform::Probit {
        bail!("{CLASSIFIER} has no second score for PROBIT: give it a row of coefficients for each class");
    }
    Ok(node(classifier, proto))
}

/// Reads a LinearRegressor.
pub fn read_regressor(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let targets = proto.get_attr_opt::<usize>("targets")?.unwrap_or(1);
    let mut intercepts = attributes::floats(proto, "intercepts")?;
    // Other numbers of intercepts are ignored.
    if intercepts.len() != targets {
        intercepts = vec![0.0; targets];
    }
    Ok(node(LinearRegressor { linear: Linear::read(proto, intercepts)? }, proto))
}

impl Linear {
    fn read(proto: &NodeProto, intercepts: Vec<f32>) -> TractResult<Self> {
        let coefficients = attributes::floats(proto, "coefficients")?;
        if intercepts.is_empty() || coefficients.is_empty() || coefficients.len() % intercepts.len() != 0 {
            let name = &proto.op_type;
            bail!("{name} has {} coefficients for {} intercepts", coefficients.len(), intercepts.len());
        }
        Ok(Self { coefficients, intercepts, post_transform: PostTransform::read(proto)? })
    }

    fn columns(&self) -> usize {
        self.coefficients.len() / self.intercepts.len()
    }

    /// Returns the sums of each row, and the number of rows.
    fn sums(&self, input: &Tensor) -> TractResult<(usize, Vec<f32>)> {
        let (rows, columns) = numbers::matrix_shape(input)?;
        if columns != self.columns() {
            bail!("the coefficients are for {} columns, but the input has {columns}", self.columns());
        }
        let values = numbers::floats(input)?;
        let sums = values.chunks(columns).flat_map(|row| {
            let weighed = self.coefficients.chunks(columns).zip(&self.intercepts);
            // The order of the additions hardly matters in double precision.
            weighed.map(|(coefficients, intercept)| (dot(row, coefficients) + f64::from(*intercept)) as f32)
        });
        Ok((rows, sums.collect()))
    }
}

/// Returns the sum of the products.
pub fn dot(left: &[f32], right: &[f32]) -> f64 {
    left.iter().zip(right).map(|(left, right)| f64::from(*left) * f64::from(*right)).sum()
}

impl LinearClassifier {
    /// Returns whether the one sum of each row becomes the scores of two classes.
    fn has_complement(&self) -> bool {
        self.linear.intercepts.len() == 1
    }

    fn scores_per_row(&self) -> usize {
        if self.has_complement() { 2 } else { self.linear.intercepts.len() }
    }
}

impl Operator for LinearClassifier {
    fn name(&self) -> &'static str {
        CLASSIFIER
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let (rows, _) = numbers::only_input(inputs, &numbers::NUMBERS)?.matrix()?;
        let scores = TensorType::new(DatumType::F32, [rows.clone(), self.scores_per_row().to_dim()]);
        Ok(tvec!(TensorType::new(self.labels.datum(), [rows]), scores))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (rows, mut sums) = self.linear.sums(&inputs[0])?;
        let transform = self.linear.post_transform;
        let labels = match self.linear.intercepts.len() {
            1 => {
                let classes: Vec<usize> = sums.iter().map(|sum| usize::from(*sum > 0.0)).collect();
                self.labels.of_rows(&classes)?
            }
            classes => {
                let winners: Vec<usize> = sums.chunks(classes).map(greatest).collect();
                self.labels.of_rows(&winners)?
            }
        };
        if self.has_complement() {
            let second = SecondClass::Complement;
            sums = sums.iter().flat_map(|sum| transform.apply_to_two(*sum, second)).collect();
        } else {
            transform_rows(transform, &mut sums, self.linear.intercepts.len());
        }
        Ok(tvec!(labels, numbers::tensor(&[rows, self.scores_per_row()], sums)?))
    }
}

impl Operator for LinearRegressor {
    fn name(&self) -> &'static str {
        REGRESSOR
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let (rows, _) = numbers::only_input(inputs, &[DatumType::F32])?.matrix()?;
        Ok(tvec!(TensorType::new(DatumType::F32, [rows, self.linear.intercepts.len().to_dim()])))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let (rows, mut sums) = self.linear.sums(&inputs[0])?;
        let targets = self.linear.intercepts.len();
        transform_rows(self.linear.post_transform, &mut sums, targets);
        Ok(tvec!(numbers::tensor(&[rows, targets], sums)?))
    }
}

/// Transforms rows of this many scores.
pub fn transform_rows(transform: PostTransform, scores: &mut [f32], width: usize) {
    if width == 1 {
        scores.iter_mut().for_each(|score| *score = transform.apply_to_one(*score));
    } else {
        scores.chunks_mut(width).for_each(|row| transform.apply(row));
    }
}

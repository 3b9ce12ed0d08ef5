//! What classifiers and regressors do with their scores at last.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

/// The function that is applied to the scores of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostTransform {
    None,
    Softmax,
    Logistic,
    /// Softmax that leaves zeros as they are.
    SoftmaxZero,
    Probit,
}

/// What a single score becomes when the row has two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondClass {
    /// The score is a probability: `1 - score` and `score`.
    Complement,
    /// The score has a sign: `-score` and `score`.
    Opposite,
}

impl PostTransform {
    /// Reads `post_transform`.
    pub fn read(node: &NodeProto) -> TractResult<Self> {
        Ok(match node.get_attr_opt::<&str>("post_transform")?.unwrap_or("NONE") {
            "NONE" => Self::None,
            "SOFTMAX" => Self::Softmax,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            other => bail!("{} has no post_transform {other:?}", node.op_type),
        })
    }

    /// Transforms the scores of a row with at least two.
    pub fn apply(self, scores: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Softmax => softmax(scores),
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::SoftmaxZero => softmax_zero(scores),
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
        }
    }

    /// Transforms the only score of a row. ONNX Runtime applies nothing but `PROBIT` to it.
    pub fn apply_to_one(self, score: f32) -> f32 {
        if self == Self::Probit { probit(score) } else { score }
    }

    /// Returns the scores of two classes from the only score of a row. ONNX Runtime applies nothing but
    /// `LOGISTIC` to it.
    pub fn apply_to_two(self, score: f32, second: SecondClass) -> [f32; 2] {
        match (self, second) {
            (Self::Logistic, _) => [logistic(-score), logistic(score)],
            (_, SecondClass::Complement) => [1.0 - score, score],
            (_, SecondClass::Opposite) => [-score, score],
        }
    }
}

/// Returns the logistic function of a score, in the form that does not overflow.
pub fn logistic(score: f32) -> f32 {
    let positive = 1.0 / (1.0 + (-score.abs()).exp());
    if score < 0.0 { 1.0 - positive } else { positive }
}

fn greatest(scores: &[f32]) -> f32 {
    scores.iter().fold(f32::MIN, |max, score| if *score > max { *score } else { max })
}

fn softmax(scores: &mut [f32]) {
    let max = greatest(scores);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - max).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

fn softmax_zero(scores: &mut [f32]) {
    const ZERO: f32 = 1e-7;
    let max = greatest(scores);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        if *score > ZERO || *score < -ZERO {
            *score = (*score - max).exp();
            sum += *score;
        } else {
            *score *= (-max).exp();
        }
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

/// Returns the inverse of the normal distribution, by Winitzki's approximation of the inverse error function.
/// Each step is rounded as in ONNX Runtime, since a difference near 0 magnifies it.
fn probit(score: f32) -> f32 {
    const A: f32 = 0.147;
    let x = 2.0 * score - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (std::f32::consts::PI * A) + 0.5 * log;
    let root = (-v + (v * v - 1.0 / A * log).sqrt()).sqrt();
    std::f32::consts::SQRT_2 * if x < 0.0 { -root } else { root }
}

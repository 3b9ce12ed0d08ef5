//! How the trees' weights become outputs.

use tract_onnx::tract_hir::internal::*;

use super::number::Number;
use super::walk::Score;
use crate::backend::tract_ml::post_transform::PostTransform;

/// How the weights of several trees become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

impl Aggregate {
    /// Adds the weight of a leaf.
    #[inline]
    pub fn add<T: Number>(self, score: &mut Score<T>, weight: T) {
        let replaces = match self {
            Self::Sum | Self::Average => {
                score.value = score.value + weight;
                score.is_set = true;
                return;
            }
            Self::Min => weight < score.value,
            Self::Max => weight > score.value,
        };
        if replaces || !score.is_set {
            *score = Score { value: weight, is_set: true };
        }
    }
}

/// The outputs of a regression from the aggregated weights.
#[derive(Debug, Clone)]
pub struct Regression {
    pub aggregate: Aggregate,
    /// Empty, or a number for each target that is added at last.
    pub base: Vec<f64>,
    pub post_transform: PostTransform,
}

impl Regression {
    /// Returns the outputs of a row from its scores and the number of trees.
    pub fn finish<T: Number>(&self, scores: &[Score<T>], trees: usize) -> TVec<T> {
        let base = |index: usize| T::from_f64(self.base.get(index).copied().unwrap_or(0.0));
        let averaged = |score: &Score<T>| match self.aggregate {
            Aggregate::Average => score.value / T::from_f64(trees as f64),
            _ => score.value,
        };
        let total = |(index, score): (usize, &Score<T>)| averaged(score) + base(index);
        if let [score] = scores {
            let total = total((0, score));
            return tvec![match self.post_transform {
                PostTransform::Probit => {
                    T::from_f64(f64::from(PostTransform::Probit.apply_to_one(total.to_f32())))
                }
                _ => total,
            }];
        }
        if self.post_transform == PostTransform::None {
            let total = |(index, score): (usize, &Score<T>)| {
                if score.is_set { total((index, score)) } else { T::default() }
            };
            return scores.iter().enumerate().map(total).collect();
        }
        let total =
            |(index, score): (usize, &Score<T>)| Score { value: total((index, score)), ..*score }.to_f32();
        let mut totals: TVec<f32> = scores.iter().enumerate().map(total).collect();
        self.post_transform.apply(&mut totals);
        totals.into_iter().map(|total| T::from_f64(f64::from(total))).collect()
    }
}

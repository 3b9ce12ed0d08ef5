//! The labels of classifiers.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::{attributes, numbers};

/// The label of each class.
#[derive(Debug, Clone)]
pub enum Labels {
    Int64s(Vec<i64>),
    Strings(Vec<String>),
}

impl Labels {
    /// Reads the labels from `classlabels_strings`, or else from the attribute `integers`.
    pub fn read(node: &NodeProto, integers: &str) -> TractResult<Self> {
        let strings = attributes::strings(node, "classlabels_strings")?;
        Ok(if strings.is_empty() {
            Self::Int64s(attributes::integers(node, integers)?)
        } else {
            Self::Strings(strings)
        })
    }

    /// Returns the labels 0 and 1.
    pub fn zero_and_one(&self) -> Self {
        match self {
            Self::Int64s(_) => Self::Int64s(vec![0, 1]),
            Self::Strings(_) => Self::Strings(["0", "1"].map(str::to_owned).to_vec()),
        }
    }

    /// Returns the number of classes.
    pub fn len(&self) -> usize {
        match self {
            Self::Int64s(labels) => labels.len(),
            Self::Strings(labels) => labels.len(),
        }
    }

    /// Returns the type of the labels.
    pub fn datum(&self) -> DatumType {
        match self {
            Self::Int64s(_) => DatumType::I64,
            Self::Strings(_) => DatumType::String,
        }
    }

    /// Returns the labels of rows with these classes.
    ///
    /// # Errors
    /// A message, if a class has no label.
    pub fn of_rows(&self, classes: &[usize]) -> TractResult<Tensor> {
        if let Some(class) = classes.iter().find(|class| **class >= self.len()) {
            bail!("class {class} has no label, since there are {} labels", self.len());
        }
        match self {
            Self::Int64s(labels) => {
                numbers::tensor(&[classes.len()], classes.iter().map(|class| labels[*class]).collect())
            }
            Self::Strings(labels) => numbers::tensor(
                &[classes.len()],
                classes.iter().map(|class| labels[*class].clone()).collect(),
            ),
        }
    }
}

/// Returns the index of the greatest score, the first of equal ones. A NaN counts only if it is the first
/// score.
pub fn greatest(scores: &[f32]) -> usize {
    let greater = |best: usize, index: usize| if scores[index] > scores[best] { index } else { best };
    (1..scores.len()).fold(0, greater)
}

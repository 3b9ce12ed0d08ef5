//! TreeEnsembleClassifier.

use std::collections::HashSet;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::aggregate::Aggregate;
use super::number::Number;
use super::packed::PackedSums;
use super::walk::Score;
use super::{Ensemble, Scores, base_values, lists};
use crate::backend::tract_ml::labels::Labels;
use crate::backend::tract_ml::operator::{Operator, Read, TensorType, node};
use crate::backend::tract_ml::post_transform::{PostTransform, SecondClass};
use crate::backend::tract_ml::{attributes, numbers};

const CLASSIFIER: &str = "TreeEnsembleClassifier";

#[derive(Debug)]
struct Classifier {
    sums: Sums,
    rule: Rule,
}

#[derive(Debug)]
enum Sums {
    Walked(Ensemble),
    Packed(PackedSums),
}

/// How sums become a class and scores.
#[derive(Debug, Clone)]
struct Rule {
    base: Vec<f64>,
    post_transform: PostTransform,
    labels: Labels,
    /// Whether there are two classes and all weights are for one of them.
    is_binary: bool,
    /// Whether no weight is negative.
    is_positive: bool,
}

/// Reads a TreeEnsembleClassifier.
pub fn read_classifier(context: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let labels = Labels::read(proto, "classlabels_int64s")?;
    let (base, classes) = (base_values(context, proto)?, labels.len());
    let fits = if classes <= 2 { base.len() <= classes } else { base.is_empty() || base.len() == classes };
    if !fits {
        bail!("{CLASSIFIER} has {} base_values for {classes} classes", base.len());
    }
    let ensemble = lists::read_nodes(context, proto, "class", classes)?;
    let has_negative = match &ensemble {
        Ensemble::Single(trees) => trees.weights.iter().any(|(_, weight)| *weight < 0.0),
        Ensemble::Double(trees) => trees.weights.iter().any(|(_, weight)| *weight < 0.0),
    };
    let weighed: HashSet<i64> = attributes::integers(proto, "class_ids")?.into_iter().collect();
    let rule = Rule {
        base,
        post_transform: PostTransform::read(proto)?,
        is_binary: classes == 2 && weighed.len() == 1,
        is_positive: !has_negative,
        labels,
    };
    Ok(node(Classifier { sums: Sums::Walked(ensemble), rule }, proto))
}

impl Operator for Classifier {
    fn name(&self) -> &'static str {
        CLASSIFIER
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let (rows, _) = numbers::only_input(inputs, &numbers::NUMBERS)?.matrix()?;
        let labels = &self.rule.labels;
        let scores = TensorType::new(DatumType::F32, [rows.clone(), labels.len().to_dim()]);
        Ok(tvec!(TensorType::new(labels.datum(), [rows]), scores))
    }

    fn specialized(&self, inputs: &[TensorType]) -> Option<Arc<dyn Operator>> {
        let Sums::Walked(Ensemble::Single(trees)) = &self.sums else { return None };
        if inputs.first()?.datum == DatumType::F64 {
            return None;
        }
        let sums = Sums::Packed(PackedSums::new(trees)?);
        Some(Arc::new(Self { sums, rule: self.rule.clone() }))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let scores = match &self.sums {
            Sums::Walked(ensemble) => ensemble.scores(&inputs[0], Aggregate::Sum)?,
            Sums::Packed(sums) => Scores::Single(sums.scores(&inputs[0])?),
        };
        match scores {
            Scores::Single(scores) => self.rule.outputs(&scores),
            Scores::Double(scores) => self.rule.outputs(&scores),
        }
    }
}

impl Rule {
    fn outputs<T: Number>(&self, scores: &[Score<T>]) -> TractResult<TVec<Tensor>> {
        let classes = self.labels.len();
        let rows = scores.len() / classes;
        let (winners, scores): (Vec<usize>, Vec<TVec<f32>>) =
            scores.chunks(classes).map(|row| self.classify(row)).unzip();
        // ONNX Runtime has 0 and 1 for the numbers of two classes that both have weights.
        let labels = match &self.labels {
            Labels::Int64s(_) if classes <= 2 && !self.is_binary => {
                self.labels.zero_and_one().of_rows(&winners)?
            }
            labels => labels.of_rows(&winners)?,
        };
        Ok(tvec!(labels, numbers::tensor(&[rows, classes], scores.concat())?))
    }

    /// Returns the class of a row and its scores.
    fn classify<T: Number>(&self, sums: &[Score<T>]) -> (usize, TVec<f32>) {
        match sums {
            [sum] => {
                let total = sum.value + self.base(0);
                let class = usize::from(total > T::default());
                (class, tvec![self.post_transform.apply_to_one(total.to_f32())])
            }
            [first, second] => self.classify_two(*first, *second),
            sums => self.classify_many(sums),
        }
    }

    fn base<T: Number>(&self, class: usize) -> T {
        T::from_f64(self.base.get(class).copied().unwrap_or(0.0))
    }

    fn classify_many<T: Number>(&self, sums: &[Score<T>]) -> (usize, TVec<f32>) {
        let total = |(class, sum): (usize, &Score<T>)| Score {
            value: sum.value + self.base(class),
            is_set: sum.is_set || !self.base.is_empty(),
        };
        let totals: Vec<Score<T>> = sums.iter().enumerate().map(total).collect();
        let mut set = (0..totals.len()).filter(|class| totals[*class].is_set);
        let first = set.next().unwrap_or(0);
        let greater =
            |best: usize, class: usize| if totals[class].value > totals[best].value { class } else { best };
        let winner = set.fold(first, greater);
        let mut scores: TVec<f32> = totals.iter().map(|total| total.to_f32()).collect();
        self.post_transform.apply(&mut scores);
        (winner, scores)
    }

    /// Returns the class of a row with two classes, and its scores. ONNX Runtime's rules are followed, since
    /// the standard has none.
    fn classify_two<T: Number>(&self, mut first: Score<T>, mut second: Score<T>) -> (usize, TVec<f32>) {
        match self.base.len() {
            0 => {}
            1 => first.value = first.value + self.base(0),
            _ if second.is_set => {
                second.value = self.base::<T>(1) + first.value;
                first.value = -second.value;
            }
            _ => {
                second.value = second.value + self.base(1);
                first.value = first.value + self.base(0);
            }
        }
        let positive = if second.is_set {
            second.value
        } else if first.is_set {
            first.value
        } else {
            T::default()
        };
        let limit = T::from_f64(if self.is_binary && self.is_positive { 0.5 } else { 0.0 });
        let class = usize::from(positive > limit);
        if second.is_set || self.base.len() == 2 {
            let mut scores = [first.to_f32(), second.to_f32()];
            self.post_transform.apply(&mut scores);
            return (class, TVec::from_slice(&scores));
        }
        let only = first.value.to_f32();
        let scores = match (self.post_transform, self.is_binary, self.is_positive) {
            (PostTransform::Probit, ..) => [self.post_transform.apply_to_one(only), 0.0],
            (transform, true, true) => transform.apply_to_two(only, SecondClass::Complement),
            (transform, true, false) => transform.apply_to_two(only, SecondClass::Opposite),
            (transform, false, _) if self.base.is_empty() => {
                transform.apply_to_two(only, SecondClass::Opposite)
            }
            _ => [only, 0.0],
        };
        (class, TVec::from_slice(&scores))
    }
}

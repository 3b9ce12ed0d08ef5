//! SVMClassifier.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::super::labels::{Labels, greatest};
use super::super::linear::{dot, transform_rows};
use super::super::operator::{Operator, Read, TensorType, node};
use super::super::post_transform::{PostTransform, SecondClass};
use super::super::{attributes, numbers};
use super::{SupportVectors, probability, rows_of};

const CLASSIFIER: &str = "SVMClassifier";

#[derive(Debug)]
struct SvmClassifier {
    machine: Machine,
    coefficients: Vec<f32>,
    rho: Vec<f32>,
    labels: Labels,
    post_transform: PostTransform,
    has_probabilities: bool,
    /// Whether no coefficient is negative.
    is_positive: bool,
}

/// How the coefficients are used.
#[derive(Debug)]
enum Machine {
    /// A row of coefficients for each class, as liblinear trains them.
    Linear { columns: usize },
    /// A decision for each pair of classes, as libsvm trains them.
    Pairs {
        vectors: SupportVectors,
        /// The number of support vectors of each class.
        counts: Vec<usize>,
        /// Platt's parameters for each pair; empty without probabilities.
        platt: Vec<(f32, f32)>,
    },
}

/// Reads an SVMClassifier.
pub fn read_classifier(_: &ParsingContext, proto: &NodeProto) -> TractResult<Read> {
    let labels = Labels::read(proto, "classlabels_ints")?;
    let coefficients = attributes::floats(proto, "coefficients")?;
    let rho = attributes::floats(proto, "rho")?;
    let counts = attributes::indices(proto, "vectors_per_class")?;
    let [a, b] = ["prob_a", "prob_b"].map(|name| attributes::floats(proto, name));
    let platt: Vec<(f32, f32)> = a?.into_iter().zip(b?).collect();
    let (classes, supports) = (labels.len(), counts.iter().copied().fold(0, usize::saturating_add));
    let (has_probabilities, is_positive) = (!platt.is_empty(), coefficients.iter().all(|one| *one >= 0.0));
    let is_sound = if supports == 0 {
        classes > 0 && !rho.is_empty() && coefficients.len() >= classes && coefficients.len() % classes == 0
    } else {
        let pairs = classes * classes.saturating_sub(1) / 2;
        let platt_fits = !has_probabilities || platt.len() >= pairs;
        let fits = counts.len() == classes
            && coefficients.len() >= supports.saturating_mul(classes.saturating_sub(1));
        classes > 1 && rho.len() >= pairs && platt_fits && fits
    };
    if !is_sound {
        bail!(
            "{CLASSIFIER} has {} coefficients and {} rho for {classes} classes",
            coefficients.len(),
            rho.len()
        );
    }
    let machine = if supports == 0 {
        Machine::Linear { columns: coefficients.len() / classes }
    } else {
        Machine::Pairs { vectors: SupportVectors::read(proto, supports)?, counts, platt }
    };
    let post_transform = PostTransform::read(proto)?;
    let classifier =
        SvmClassifier { machine, coefficients, rho, labels, post_transform, has_probabilities, is_positive };
    if classifier.has_opposite() && post_transform == PostTransform::Probit {
        bail!("{CLASSIFIER} has no second score for PROBIT: export it with probabilities");
    }
    Ok(node(classifier, proto))
}

impl SvmClassifier {
    /// Returns whether the one decision of each row becomes the scores of two classes.
    fn has_opposite(&self) -> bool {
        matches!(self.machine, Machine::Pairs { .. }) && !self.has_probabilities && self.labels.len() == 2
    }

    fn scores_per_row(&self) -> usize {
        let classes = self.labels.len();
        match &self.machine {
            Machine::Pairs { .. } if !self.has_probabilities && classes > 2 => classes * (classes - 1) / 2,
            _ => classes,
        }
    }

    fn columns(&self) -> usize {
        match &self.machine {
            Machine::Linear { columns } => *columns,
            Machine::Pairs { vectors, .. } => vectors.columns,
        }
    }

    /// Returns the class and the scores of a row.
    fn classify(&self, row: &[f32]) -> (usize, Vec<f32>) {
        let classes = self.labels.len();
        match &self.machine {
            Machine::Linear { columns } => {
                let rows = self.coefficients.chunks(*columns);
                let mut scores: Vec<f32> =
                    rows.map(|weights| (dot(row, weights) + f64::from(self.rho[0])) as f32).collect();
                let winner = greatest(&scores);
                let class = self.decide(winner, scores[winner]);
                transform_rows(self.post_transform, &mut scores, classes);
                (class, scores)
            }
            Machine::Pairs { vectors, counts, platt } => {
                let (votes, decisions) = self.vote(&vectors.kernels(row), counts);
                // The first of the classes with the most votes.
                let winner =
                    (1..classes).fold(0, |best, class| if votes[class] > votes[best] { class } else { best });
                (self.decide(winner, 0.0), self.scores(decisions, platt))
            }
        }
    }

    /// Returns the votes for each class, and the decision for each pair of classes.
    fn vote(&self, kernels: &[f32], counts: &[usize]) -> (Vec<usize>, Vec<f32>) {
        let starts: Vec<usize> =
            counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count))).collect();
        // The coefficients of a class's vectors against another class: the row of the class itself is left out.
        let sum = |class: usize, row: usize| {
            let vectors = starts[class]..starts[class] + counts[class];
            dot(&self.coefficients[row * kernels.len()..][vectors.clone()], &kernels[vectors])
        };
        let (mut votes, mut decisions) = (vec![0; counts.len()], Vec::new());
        for first in 0..counts.len() {
            for second in first + 1..counts.len() {
                let rho = f64::from(self.rho[decisions.len()]);
                let decision = sum(first, second - 1) + sum(second, first) + rho;
                votes[if decision > 0.0 { first } else { second }] += 1;
                decisions.push(decision as f32);
            }
        }
        (votes, decisions)
    }

    /// Returns the class of a row whose most likely class is `winner`, with this score. With two classes ONNX
    /// Runtime looks at the score instead.
    fn decide(&self, winner: usize, score: f32) -> usize {
        let is_second = if self.is_positive { score >= 0.5 } else { score > 0.0 };
        if self.labels.len() == 2 && !self.has_probabilities && is_second { 1 } else { winner }
    }

    fn scores(&self, decisions: Vec<f32>, platt: &[(f32, f32)]) -> Vec<f32> {
        let classes = self.labels.len();
        if self.has_opposite() {
            let second = match self.post_transform {
                PostTransform::None => SecondClass::Opposite,
                _ => SecondClass::Complement,
            };
            return self.post_transform.apply_to_two(decisions[0], second).to_vec();
        }
        let mut scores = decisions;
        if self.has_probabilities {
            let mut pairs = vec![0f32; classes * classes];
            let of_pairs =
                (0..classes).flat_map(|first| (first + 1..classes).map(move |second| (first, second)));
            for ((first, second), (score, (a, b))) in of_pairs.zip(scores.iter().zip(platt)) {
                let probability = probability::of_pair(*score, *a, *b);
                pairs[first * classes + second] = probability;
                pairs[second * classes + first] = 1.0 - probability;
            }
            scores = probability::of_classes(&pairs, classes);
        }
        let width = scores.len();
        transform_rows(self.post_transform, &mut scores, width);
        scores
    }
}

impl Operator for SvmClassifier {
    fn name(&self) -> &'static str {
        CLASSIFIER
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let (rows, _) = numbers::only_input(inputs, &numbers::NUMBERS)?.matrix()?;
        let scores = TensorType::new(DatumType::F32, [rows.clone(), self.scores_per_row().to_dim()]);
        Ok(tvec!(TensorType::new(self.labels.datum(), [rows]), scores))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let rows = rows_of(&inputs[0], self.columns())?;
        let values = numbers::floats(&inputs[0])?;
        let (classes, scores): (Vec<usize>, Vec<Vec<f32>>) =
            values.chunks(self.columns()).map(|row| self.classify(row)).unzip();
        let scores = numbers::tensor(&[rows, self.scores_per_row()], scores.concat())?;
        Ok(tvec!(self.labels.of_rows(&classes)?, scores))
    }
}

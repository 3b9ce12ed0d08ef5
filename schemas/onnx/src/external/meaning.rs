//! What the numbers of a value mean, as far as the operators that compute it show.

use super::graph::Makers;
use crate::attributes::{attribute, integer};
use crate::proto::NodeProto;

/// What the numbers of a value mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The probabilities of all labels, whose sum is 1.
    Distribution,
    /// Probabilities, each for itself.
    Probability,
    /// Numbers of a regression, or scores that are no probabilities.
    Number,
    /// The operators do not show it.
    Unknown,
}

/// Operators that pass their first input on, or a part of it.
const PASSING: [&str; 12] = [
    "Identity",
    "Cast",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Slice",
    "Gather",
    "ArrayFeatureExtractor",
    "Clip",
    "Round",
    "Dropout",
];

/// The longest chain of operators that is followed.
const MAX_STEPS: usize = 64;

/// Returns the value that a value is, or a part of which it is.
pub fn source_of<'g>(makers: &Makers<'g>, value: &'g str) -> &'g str {
    let mut value = value;
    for _ in 0..MAX_STEPS {
        let node = makers.find(value).filter(|node| PASSING.contains(&node.op_type()));
        match node.and_then(|node| node.input.first()) {
            Some(input) => value = input,
            None => break,
        }
    }
    value
}

impl Meaning {
    /// Returns what the numbers of a value mean.
    pub fn of(makers: &Makers<'_>, value: &str) -> Self {
        Self::at_depth(makers, value, 0)
    }

    fn at_depth(makers: &Makers<'_>, value: &str, depth: usize) -> Self {
        if depth > MAX_STEPS {
            return Self::Unknown;
        }
        let Some(node) = makers.find(value) else { return Self::Unknown };
        let of_input = |index: usize| {
            node.input.get(index).map_or(Self::Unknown, |input| Self::at_depth(makers, input, depth + 1))
        };
        match node.op_type() {
            passing if PASSING.contains(&passing) => of_input(0),
            "Softmax" | "TreeEnsembleClassifier" => Self::Distribution,
            "Sigmoid" | "HardSigmoid" => Self::Probability,
            "Normalizer" if text(node, "norm") == "L1" => Self::Distribution,
            "LinearClassifier" => match text(node, "post_transform").as_str() {
                "SOFTMAX" => Self::Distribution,
                "LOGISTIC" if integer(node, "multi_class") == Some(1) => Self::Probability,
                "LOGISTIC" => Self::Distribution,
                _ => Self::Unknown,
            },
            "SVMClassifier" if has_floats(node, "prob_a") => Self::Distribution,
            "SVMClassifier" => Self::Number,
            "LinearRegressor" | "SVMRegressor" | "TreeEnsembleRegressor" | "TreeEnsemble" => {
                if text(node, "post_transform") == "LOGISTIC" { Self::Probability } else { Self::Number }
            }
            // 1 − p beside p.
            "Concat" if has_complement(makers, node) => Self::Distribution,
            // A number over the sum of all, or exp(x − log of the sum of all).
            "Div" if is_made_by(makers, node, 1, "ReduceSum") => Self::Distribution,
            "Exp" if is_exp_over_sum(makers, node) => Self::Distribution,
            "Where" => of_input(2),
            _ => Self::Unknown,
        }
    }
}

fn text(node: &NodeProto, name: &str) -> String {
    attribute(node, name).map(|one| String::from_utf8_lossy(one.s()).into_owned()).unwrap_or_default()
}

fn has_floats(node: &NodeProto, name: &str) -> bool {
    attribute(node, name).is_some_and(|one| !one.floats.is_empty())
}

fn is_made_by(makers: &Makers<'_>, node: &NodeProto, input: usize, operator: &str) -> bool {
    let maker = node.input.get(input).and_then(|input| makers.find(source_of(makers, input)));
    maker.is_some_and(|maker| maker.op_type() == operator)
}

/// Returns whether one of a node's inputs is a number minus another of them.
fn has_complement(makers: &Makers<'_>, node: &NodeProto) -> bool {
    node.input.iter().any(|input| {
        let sub = makers.find(source_of(makers, input)).filter(|maker| maker.op_type() == "Sub");
        let of = sub.and_then(|sub| sub.input.get(1)).map(|of| source_of(makers, of));
        of.is_some_and(|of| node.input.iter().any(|other| source_of(makers, other) == of))
    })
}

fn is_exp_over_sum(makers: &Makers<'_>, exp: &NodeProto) -> bool {
    let sub = exp.input.first().and_then(|input| makers.find(source_of(makers, input)));
    let sub = sub.filter(|sub| sub.op_type() == "Sub");
    sub.is_some_and(|sub| is_made_by(makers, sub, 1, "ReduceLogSumExp") || is_made_by(makers, sub, 1, "Log"))
}

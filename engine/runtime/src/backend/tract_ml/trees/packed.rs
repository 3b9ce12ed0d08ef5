//! Sums of trees by a packed forest.

use tract_onnx::tract_hir::internal::*;

use super::aggregate::Regression;
use super::walk::{Comparison, Node, Score, Trees};
use crate::backend::forest::{Forest, TreeNode};
use crate::backend::tract_ml::numbers;
use crate::backend::tract_ml::operator::{Operator, TensorType};

/// Most targets that a packed forest sums.
const MAX_TARGETS: usize = 2;

/// The sums of trees of single precision with one or two targets.
#[derive(Debug)]
pub struct PackedSums {
    forest: Forest,
    /// The targets that the leaves have weights for. All leaves have the same.
    targets: Vec<bool>,
}

impl PackedSums {
    /// Packs trees. `None` for trees that a packed forest cannot hold.
    pub fn new(trees: &Trees<f32>) -> Option<Self> {
        if trees.targets > MAX_TARGETS {
            return None;
        }
        let targets = targets_of_leaves(trees)?;
        let packed: Option<Vec<_>> = trees.roots.iter().map(|root| tree(trees, *root)).collect();
        Some(Self { forest: Forest::new(&packed?)?, targets })
    }

    /// Returns the sums of each row.
    pub fn scores(&self, input: &Tensor) -> TractResult<Vec<Score<f32>>> {
        let (_, width) = numbers::matrix_shape(input)?;
        if width < self.forest.columns() || width == 0 {
            bail!("the trees compare {} columns, but the input has {width}", self.forest.columns());
        }
        let sums = self.forest.sums(&numbers::floats(input)?, width);
        let scores = |sums: &[f32; MAX_TARGETS]| {
            let scores = sums.map(|value| Score { value, is_set: false });
            let scores = scores.into_iter().zip(&self.targets);
            scores.map(|(score, is_set)| Score { is_set: *is_set, ..score }).collect::<TVec<_>>()
        };
        Ok(sums.iter().flat_map(scores).collect())
    }
}

/// Returns which targets each leaf has weights for. `None` unless all leaves have the same, some, and one for
/// each.
fn targets_of_leaves(trees: &Trees<f32>) -> Option<Vec<bool>> {
    let leaves = trees.nodes.iter().filter_map(|node| match node {
        Node::Leaf { start, end } => Some(&trees.weights[*start as usize..*end as usize]),
        Node::Split { .. } => None,
    });
    let mut common = None;
    for weights in leaves {
        let mut targets = vec![false; trees.targets];
        for (target, _) in weights {
            if std::mem::replace(&mut targets[*target as usize], true) {
                return None;
            }
        }
        if *common.get_or_insert_with(|| targets.clone()) != targets {
            return None;
        }
    }
    common.filter(|targets| targets.contains(&true))
}

/// Returns a tree with its nodes in the order in which they are reached.
fn tree(trees: &Trees<f32>, root: u32) -> Option<Vec<TreeNode>> {
    const UNKNOWN: usize = usize::MAX;
    let mut nodes: Vec<TreeNode> = Vec::new();
    // A node and the place where its index is written: the parent, and whether it is the lower child.
    let mut stack = vec![(root, None)];
    while let Some((index, parent)) = stack.pop() {
        // A node that is reached twice would be copied, and without end if it is reached from below.
        if nodes.len() > trees.nodes.len() {
            return None;
        }
        let place = nodes.len();
        if let Some((parent, is_below)) = parent
            && let TreeNode::Split { below, above, .. } = nodes.get_mut::<usize>(parent)?
        {
            *(if is_below { below } else { above }) = place;
        }
        match trees.nodes.get(index as usize)? {
            Node::Leaf { start, end } => {
                let mut weights = [0.0; MAX_TARGETS];
                for (target, weight) in &trees.weights[*start as usize..*end as usize] {
                    weights[*target as usize] = *weight;
                }
                nodes.push(TreeNode::Leaf { weights });
            }
            Node::Split { column, comparison, missing_is_true: false, threshold, children } => {
                let threshold = match comparison {
                    Comparison::LessOrEqual => *threshold,
                    // No number is between the threshold and the one below it.
                    Comparison::Less if threshold.is_finite() => threshold.next_down(),
                    _ => return None,
                };
                let column = *column as usize;
                nodes.push(TreeNode::Split { column, threshold, below: UNKNOWN, above: UNKNOWN });
                stack.push((children[1], Some((place, false))));
                stack.push((children[0], Some((place, true))));
            }
            Node::Split { .. } => return None,
        }
    }
    Some(nodes)
}

/// A TreeEnsembleRegressor or TreeEnsemble that sums a packed forest.
#[derive(Debug)]
pub struct PackedRegressor {
    name: &'static str,
    sums: PackedSums,
    regression: Regression,
    trees: usize,
}

impl PackedRegressor {
    /// Packs trees that are summed. `None` for trees that a packed forest cannot hold.
    pub fn new(name: &'static str, trees: &Trees<f32>, regression: Regression) -> Option<Self> {
        Some(Self { name, sums: PackedSums::new(trees)?, regression, trees: trees.roots.len() })
    }
}

impl Operator for PackedRegressor {
    fn name(&self) -> &'static str {
        self.name
    }

    fn outputs(&self, inputs: &[TensorType]) -> TractResult<TVec<TensorType>> {
        let (rows, _) = numbers::only_input(inputs, &[DatumType::F32])?.matrix()?;
        Ok(tvec!(TensorType::new(DatumType::F32, [rows, self.sums.targets.len().to_dim()])))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>> {
        let scores = self.sums.scores(&inputs[0])?;
        let targets = self.sums.targets.len();
        let outputs = scores.chunks(targets).flat_map(|row| self.regression.finish(row, self.trees));
        Ok(tvec!(numbers::tensor(&[scores.len() / targets, targets], outputs.collect())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(comparison: Comparison, missing_is_true: bool) -> Trees<f32> {
        let root = Node::Split { column: 0, comparison, missing_is_true, threshold: 0.5, children: [1, 2] };
        let leaf = |start: u32| Node::Leaf { start, end: start + 1 };
        let weights = vec![(0, 1.0), (0, 2.0)];
        Trees { nodes: vec![root, leaf(0), leaf(1)], roots: vec![0], weights, sets: vec![], targets: 1 }
    }

    #[test]
    fn trees_that_ask_whether_a_value_is_below_are_packed_and_all_others_are_walked() {
        let is_packed = |trees: &Trees<f32>| PackedSums::new(trees).is_some();
        assert!(
            is_packed(&split(Comparison::LessOrEqual, false)) && is_packed(&split(Comparison::Less, false))
        );
        assert!(!is_packed(&split(Comparison::LessOrEqual, true)));
        assert!(
            !is_packed(&split(Comparison::Greater, false)) && !is_packed(&split(Comparison::Equal, false))
        );
        let three_targets = Trees { targets: 3, ..split(Comparison::LessOrEqual, false) };
        assert!(!is_packed(&three_targets));
    }

    #[test]
    fn a_value_at_the_threshold_is_below_it_only_where_the_comparison_says_so() {
        let rows = tensor2(&[[0.25f32], [0.5], [0.75], [f32::NAN]]);
        let sums = |comparison| {
            let scores = PackedSums::new(&split(comparison, false)).unwrap().scores(&rows).unwrap();
            scores.iter().map(|score| score.value).collect::<Vec<_>>()
        };
        assert_eq!(sums(Comparison::LessOrEqual), [1.0, 1.0, 2.0, 2.0]);
        assert_eq!(sums(Comparison::Less), [1.0, 2.0, 2.0, 2.0]);
    }
}

//! Trees as they are written, and the walk of a row down each.

use tract_onnx::tract_hir::internal::*;

use super::aggregate::Aggregate;
use super::number::Number;

/// The comparison of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
    /// Whether the value is in the set with the index that the split has in place of a threshold.
    Member,
    /// Whether the value without its fraction is in such a set.
    TruncatedMember,
}

impl Comparison {
    fn has_set(self) -> bool {
        matches!(self, Self::Member | Self::TruncatedMember)
    }
}

/// A node of a tree.
#[derive(Debug, Clone, Copy)]
pub enum Node<T> {
    Split {
        column: u32,
        comparison: Comparison,
        /// Whether a missing value goes to the first child, whatever the comparison says.
        missing_is_true: bool,
        threshold: T,
        /// The indices of the nodes for rows that pass the comparison, and for all others.
        children: [u32; 2],
    },
    /// The range of the leaf's weights.
    Leaf { start: u32, end: u32 },
}

/// The trees of an ensemble.
#[derive(Debug, Clone)]
pub struct Trees<T> {
    /// The nodes of all trees.
    pub nodes: Vec<Node<T>>,
    /// The index of each tree's root.
    pub roots: Vec<u32>,
    /// The target and the weight that leaves have.
    pub weights: Vec<(u32, T)>,
    /// The sets of values of the splits by [`Comparison::Member`].
    pub sets: Vec<Vec<T>>,
    /// The number of targets or classes.
    pub targets: usize,
}

/// A target's weights of a row, aggregated.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score<T> {
    pub value: T,
    /// Whether a leaf had a weight for the target.
    pub is_set: bool,
}

impl<T: Number> Score<T> {
    /// Returns the number that ONNX Runtime takes for the score. A target without weights is 0, even if it has
    /// a base value.
    pub fn to_f32(self) -> f32 {
        if self.is_set { self.value.to_f32() } else { 0.0 }
    }
}

impl<T: Number> Trees<T> {
    /// Checks that a walk ends at a leaf, and that all indices are within their lists.
    ///
    /// # Errors
    /// A message that says what is wrong.
    pub fn check(self) -> TractResult<Self> {
        if self.targets == 0 || self.roots.is_empty() {
            bail!("the ensemble has {} trees for {} targets", self.roots.len(), self.targets);
        }
        if let Some((target, _)) = self.weights.iter().find(|(target, _)| *target as usize >= self.targets) {
            bail!("a leaf has a weight for target {target}, but there are {}", self.targets);
        }
        let mut states = vec![State::New; self.nodes.len()];
        for root in &self.roots {
            self.check_ends(*root, &mut states)?;
        }
        Ok(self)
    }

    /// Walks everything below a node, and rejects a node that is below itself.
    fn check_ends(&self, root: u32, states: &mut [State]) -> TractResult<()> {
        let mut stack = vec![root];
        while let Some(index) = stack.last().copied() {
            let (Some(state), Some(node)) = (states.get_mut(index as usize), self.nodes.get(index as usize))
            else {
                bail!("a tree refers to node {index} of {}", self.nodes.len());
            };
            let Node::Split { children, comparison, threshold, .. } = node else {
                *state = State::Done;
                stack.pop();
                continue;
            };
            if comparison.has_set() && self.sets.len() <= threshold.to_f64() as usize {
                bail!("a tree refers to a set that is missing");
            }
            if *state != State::New {
                // All nodes below it are done.
                *state = State::Done;
                stack.pop();
                continue;
            }
            *state = State::Open;
            for child in children {
                match states.get(*child as usize) {
                    Some(State::Open) => bail!("a tree's node {child} is below itself"),
                    Some(State::Done) => {}
                    _ => stack.push(*child),
                }
            }
        }
        Ok(())
    }

    /// Returns the number of columns that a row must have.
    pub fn columns(&self) -> usize {
        let column = |node: &Node<T>| match node {
            Node::Split { column, .. } => *column as usize + 1,
            Node::Leaf { .. } => 0,
        };
        self.nodes.iter().map(column).max().unwrap_or(0)
    }

    /// Returns the aggregated weights of each row, `[rows, targets]`. `matrix` is row-major.
    ///
    /// # Errors
    /// A message, if the rows have fewer columns than the trees compare.
    pub fn scores<V: Number>(
        &self,
        matrix: &[V],
        width: usize,
        aggregate: Aggregate,
    ) -> TractResult<Vec<Score<V>>> {
        if width < self.columns() || width == 0 {
            bail!("the trees compare {} columns, but the input has {width}", self.columns());
        }
        let mut scores = vec![Score::default(); matrix.len() / width * self.targets];
        // Each row's weights are added in the order of the trees.
        for root in &self.roots {
            for (row, scores) in matrix.chunks(width).zip(scores.chunks_mut(self.targets)) {
                for (target, weight) in self.leaf(*root, row) {
                    aggregate.add(&mut scores[*target as usize], V::from_f64(weight.to_f64()));
                }
            }
        }
        Ok(scores)
    }

    /// Returns the weights of the leaf that a row reaches.
    fn leaf<V: Number>(&self, root: u32, row: &[V]) -> &[(u32, T)] {
        let mut index = root;
        loop {
            match &self.nodes[index as usize] {
                Node::Leaf { start, end } => return &self.weights[*start as usize..*end as usize],
                Node::Split { column, comparison, missing_is_true, threshold, children } => {
                    let value = row[*column as usize];
                    let is_missing = *missing_is_true && value.partial_cmp(&value).is_none();
                    let passes = is_missing || self.passes(value, *comparison, *threshold);
                    index = children[usize::from(!passes)];
                }
            }
        }
    }

    /// Returns whether a value is in the set with this index.
    fn has(&self, index: T, value: f64) -> bool {
        self.sets.get(index.to_f64() as usize).is_some_and(|set| set.iter().any(|one| one.to_f64() == value))
    }

    fn passes<V: Number>(&self, value: V, comparison: Comparison, threshold: T) -> bool {
        let limit = V::from_f64(threshold.to_f64());
        match comparison {
            Comparison::LessOrEqual => value <= limit,
            Comparison::Less => value < limit,
            Comparison::GreaterOrEqual => value >= limit,
            Comparison::Greater => value > limit,
            Comparison::Equal => value == limit,
            Comparison::NotEqual => value != limit,
            Comparison::Member => self.has(threshold, value.to_f64()),
            Comparison::TruncatedMember => self.has(threshold, value.to_f64().trunc()),
        }
    }
}

/// How far the check of a node has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

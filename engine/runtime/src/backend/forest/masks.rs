//! Trees whose leaves are ruled out, after QuickScorer (Lucchese et al., SIGIR 2015).
//!
//! A tree's leaves are the bits of a mask, from left to right. A test that a row fails rules out the leaves on its left, and of
//! those that all failed tests leave, the first is the row's. What an outcome of tests leaves is known beforehand: so a row
//! costs a few wide instructions for each of its few outcomes, however deep the trees are.

use std::array;
use std::ops::Range;

use super::outcomes::Outcomes;
use super::{Paths, TreeNode};

/// How many words a tree's mask has, and so how many leaves a tree may have: 64 a word. It has one node less than twice as many.
const WORDS: usize = 2;
/// How many trees are scored side by side: as many as a processor has wide registers for.
const TREES: usize = 8;
/// How many rows go through these trees before the next trees' turn: enough that the trees' masks are fetched once for many,
/// and so few that the rows' outcomes stay in a near cache.
const ROWS: usize = 512;
/// What the masks of a forest take at most. Forests with more outcomes are out of the caches, where walking is as fast.
const MOST_BYTES: usize = 4 << 20;

/// The leaves of [`TREES`] trees, one tree's words after the other's.
type Masks = [u64; TREES * WORDS];

/// Trees whose leaves are summed.
#[derive(Debug, Clone, PartialEq)]
pub struct LeafMasks {
    /// How many columns a row has at least.
    width: usize,
    outcomes: Outcomes,
    /// For each [`TREES`] trees, and there for each outcome, the leaves that it leaves.
    masks: Vec<Masks>,
    /// Where each tree's leaves begin.
    trees: Vec<usize>,
    leaves: Vec<[f32; 2]>,
}

impl Eq for LeafMasks {}

impl LeafMasks {
    /// Makes the masks; `None` where paths are better: with a tree of too many leaves, too many thresholds, or none.
    pub fn of(paths: &Paths) -> Option<Self> {
        let is_small = |tree: &Vec<TreeNode>| tree.len() < 2 * WORDS * 64;
        let trees: Vec<_> =
            paths.trees().map(|tree| is_small(&tree).then_some(tree)).collect::<Option<_>>()?;
        let groups = trees.len().div_ceil(TREES);
        let outcomes = Outcomes::of(&trees, MOST_BYTES / size_of::<Masks>() / groups.max(1))?;
        let masks = vec![[u64::MAX; TREES * WORDS]; groups * outcomes.len()];
        let (width, leaves) = (paths.columns(), Vec::new());
        let mut made = Self { width, outcomes, masks, trees: Vec::new(), leaves };
        trees.iter().try_for_each(|tree| made.add(tree))?;
        made.add_the_failed_before();
        Some(made)
    }

    /// Adds a tree, where each outcome rules out what its own tests do.
    fn add(&mut self, tree: &[TreeNode]) -> Option<()> {
        let spans = leaf_spans(tree);
        let (first, count) = (self.leaves.len(), spans.first()?.len());
        let (group, place) = (self.trees.len() / TREES, self.trees.len() % TREES);
        let masks = &mut self.masks[group * self.outcomes.len()..];
        self.trees.push(first);
        self.leaves.resize(first + count, [0.0; 2]);
        for (node, span) in tree.iter().zip(&spans) {
            match *node {
                TreeNode::Leaf { weights } => self.leaves[first + span.start] = weights,
                TreeNode::Split { column, threshold, below, .. } => {
                    let ruled_out = spans[below].clone().fold(0u128, |leaves, leaf| leaves | 1 << leaf);
                    let left = [!ruled_out as u64, (!ruled_out >> 64) as u64];
                    self.outcomes.each_failing(column, threshold, |outcome| {
                        let words = masks[outcome][place * WORDS..].iter_mut().zip(left);
                        words.for_each(|(word, left)| *word &= left);
                    });
                }
            }
        }
        Some(())
    }

    /// Who fails a test has failed those with lesser thresholds too.
    fn add_the_failed_before(&mut self) {
        for masks in self.masks.chunks_exact_mut(self.outcomes.len()) {
            for outcomes in self.outcomes.ascending() {
                let masks = &mut masks[outcomes];
                for test in 1..masks.len() {
                    masks[test] = both(&masks[test - 1], &masks[test]);
                }
            }
        }
    }

    /// How many columns a row has at least.
    pub fn columns(&self) -> usize {
        self.width
    }

    /// For each row of a matrix, row after row of `width` columns, the sums of the leaves that it reaches, in the order of
    /// the trees.
    pub fn sums(&self, matrix: &[f32], width: usize) -> Vec<[f32; 2]> {
        let mut sums = vec![[0.0; 2]; matrix.len() / width];
        let of_row = self.outcomes.of_row();
        let at_once = sums.len().min(ROWS);
        let (mut found, mut counts) = (vec![0; at_once * of_row], vec![0; at_once]);
        for (rows, sums) in matrix.chunks(ROWS * width).zip(sums.chunks_mut(ROWS)) {
            let places = found.chunks_exact_mut(of_row).zip(&mut counts);
            for (row, (found, count)) in rows.chunks_exact(width).zip(places) {
                *count = self.outcomes.find(row, found);
            }
            let found = || found.chunks_exact(of_row).zip(&counts);
            let groups = self.trees.chunks(TREES).zip(self.masks.chunks_exact(self.outcomes.len()));
            for (trees, masks) in groups {
                for (sum, (found, count)) in sums.iter_mut().zip(found()) {
                    self.add_leaves(trees, masks, &found[..*count], sum);
                }
            }
        }
        sums
    }

    fn add_leaves(&self, trees: &[usize], masks: &[Masks], found: &[u32], sum: &mut [f32; 2]) {
        let all = [u64::MAX; TREES * WORDS];
        let left = found.iter().fold(all, |left, outcome| both(&left, &masks[*outcome as usize]));
        for (first, words) in trees.iter().zip(left.chunks_exact(WORDS)) {
            let leaves = u128::from(words[0]) | u128::from(words[1]) << 64;
            let weights = self.leaves[first + leaves.trailing_zeros() as usize];
            sum[0] += weights[0];
            sum[1] += weights[1];
        }
    }
}

fn both(one: &Masks, other: &Masks) -> Masks {
    array::from_fn(|word| one[word] & other[word])
}

/// Which of a tree's leaves lie under each of its nodes, counted from left to right.
fn leaf_spans(tree: &[TreeNode]) -> Vec<Range<usize>> {
    let mut spans = vec![0..1; tree.len()];
    // Children come after their parents.
    for (place, node) in tree.iter().enumerate().rev() {
        if let TreeNode::Split { below, above, .. } = *node {
            spans[place].end = spans[below].len() + spans[above].len();
        }
    }
    for (place, node) in tree.iter().enumerate() {
        if let TreeNode::Split { below, above, .. } = *node {
            let Range { start, end } = spans[place];
            let middle = start + spans[below].len();
            (spans[below], spans[above]) = (start..middle, middle..end);
        }
    }
    spans
}

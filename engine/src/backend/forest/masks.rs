//! Trees whose leaves are ruled out, after QuickScorer (Lucchese et al., SIGIR 2015).
//!
//! A tree's leaves are the bits of a mask, from left to right. A test that a row fails rules out the leaves on its left, and of
//! those that all failed tests leave, the first is the row's. Which tests of a column fail follows from where the row's value
//! lies between the column's thresholds, and what they leave together is known beforehand: so a row costs a few wide
//! instructions for each column in which it fails any, however deep the trees are.

use std::array;
use std::ops::Range;

use super::{Paths, TreeNode};

/// How many words a tree's mask has, and so how many leaves a tree may have: 64 a word. It has one node less than twice as many.
const WORDS: usize = 2;
/// How many trees are scored side by side: as many as a processor has wide registers for.
const TREES: usize = 8;
/// How many rows go through these trees before the next trees' turn: their masks stay in a near cache.
const ROWS: usize = 64;
/// What the masks of a forest take at most. Forests with more thresholds are out of the caches, where walking is as fast.
const MOST_BYTES: usize = 4 << 20;

/// The leaves of [`TREES`] trees, one tree's words after the other's.
type Masks = [u64; TREES * WORDS];

/// Trees whose leaves are summed.
#[derive(Debug, Clone, PartialEq)]
pub struct LeafMasks {
    /// How many columns a row has at least.
    width: usize,
    columns: Vec<Column>,
    /// Each column's in turn; there ascending, and each once.
    thresholds: Vec<f32>,
    /// For each [`TREES`] trees, and there for each threshold, the leaves that are left to a row whose value is above this
    /// threshold and none of the next ones.
    masks: Vec<Masks>,
    /// Where each tree's leaves begin.
    trees: Vec<usize>,
    leaves: Vec<[f32; 2]>,
}

impl Eq for LeafMasks {}

/// A column that is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    place: usize,
    /// Where its thresholds are.
    thresholds: Range<usize>,
}

impl LeafMasks {
    /// Makes the masks; `None` where paths are better: with a tree of too many leaves, too many thresholds, or none.
    pub fn of(paths: &Paths) -> Option<Self> {
        let is_small = |tree: &Vec<TreeNode>| tree.len() < 2 * WORDS * 64;
        let trees: Vec<_> =
            paths.trees().map(|tree| is_small(&tree).then_some(tree)).collect::<Option<_>>()?;
        let (columns, thresholds) = columns(&trees)?;
        let len = trees.len().div_ceil(TREES) * thresholds.len();
        if len == 0 || len * size_of::<Masks>() > MOST_BYTES {
            return None;
        }
        let masks = vec![[u64::MAX; TREES * WORDS]; len];
        let (width, leaves) = (paths.columns(), Vec::new());
        let mut made = Self { width, columns, thresholds, masks, trees: Vec::new(), leaves };
        trees.iter().try_for_each(|tree| made.add(tree))?;
        made.add_the_failed_before();
        Some(made)
    }

    /// Adds a tree, where each threshold rules out what its own tests do.
    fn add(&mut self, tree: &[TreeNode]) -> Option<()> {
        let spans = leaf_spans(tree);
        let (first, count) = (self.leaves.len(), spans.first()?.len());
        let (group, place) = (self.trees.len() / TREES, self.trees.len() % TREES);
        self.trees.push(first);
        self.leaves.resize(first + count, [0.0; 2]);
        for (node, span) in tree.iter().zip(&spans) {
            match *node {
                TreeNode::Leaf { weights } => self.leaves[first + span.start] = weights,
                TreeNode::Split { column, threshold, below, .. } => {
                    let test = self.test(column, threshold)?;
                    let mask = &mut self.masks[group * self.thresholds.len() + test];
                    for leaf in spans[below].clone() {
                        mask[place * WORDS + leaf / 64] &= !(1 << (leaf % 64));
                    }
                }
            }
        }
        Some(())
    }

    /// Where a column's threshold is.
    fn test(&self, column: usize, threshold: f32) -> Option<usize> {
        let tested = self.columns.binary_search_by_key(&column, |tested| tested.place).ok()?;
        let Column { thresholds, .. } = &self.columns[tested];
        let before = self.thresholds[thresholds.clone()].partition_point(|other| *other < threshold);
        Some(thresholds.start + before)
    }

    /// Who fails a test has failed those with lesser thresholds too.
    fn add_the_failed_before(&mut self) {
        for masks in self.masks.chunks_exact_mut(self.thresholds.len()) {
            for column in &self.columns {
                let masks = &mut masks[column.thresholds.clone()];
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
        let mut failed = vec![0; sums.len().min(ROWS) * self.columns.len()];
        let mut counts = [0; ROWS];
        for (rows, sums) in matrix.chunks(ROWS * width).zip(sums.chunks_mut(ROWS)) {
            let places = failed.chunks_exact_mut(self.columns.len()).zip(&mut counts);
            for (row, (failed, count)) in rows.chunks_exact(width).zip(places) {
                *count = self.find_failed(row, failed);
            }
            let failed = || failed.chunks_exact(self.columns.len()).zip(counts);
            let groups = self.trees.chunks(TREES).zip(self.masks.chunks_exact(self.thresholds.len()));
            for (trees, masks) in groups {
                for (sum, (failed, count)) in sums.iter_mut().zip(failed()) {
                    self.add_leaves(trees, masks, &failed[..count], sum);
                }
            }
        }
        sums
    }

    /// Writes down the last test that the row fails in each column where it fails any; says how many these are.
    fn find_failed(&self, row: &[f32], failed: &mut [usize]) -> usize {
        let mut count = 0;
        for Column { place, thresholds } in &self.columns {
            let value = row[*place];
            let in_column = self.thresholds[thresholds.clone()].partition_point(|threshold| {
                let passes = value <= *threshold;
                !passes
            });
            // Nobody can foresee whether there is one, so it is written without asking, and kept or not.
            failed[count] = (thresholds.start + in_column).wrapping_sub(1);
            count += usize::from(in_column > 0);
        }
        count
    }

    fn add_leaves(&self, trees: &[usize], masks: &[Masks], failed: &[usize], sum: &mut [f32; 2]) {
        let left = failed.iter().fold([u64::MAX; TREES * WORDS], |left, test| both(&left, &masks[*test]));
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

/// The columns that are tested, and their thresholds; `None` if one is NaN, which has no place among the others.
fn columns(trees: &[Vec<TreeNode>]) -> Option<(Vec<Column>, Vec<f32>)> {
    let tests = trees.iter().flatten().filter_map(|node| match *node {
        TreeNode::Split { column, threshold, .. } => Some((column, threshold)),
        TreeNode::Leaf { .. } => None,
    });
    let mut tests: Vec<(usize, f32)> = tests.collect();
    if tests.iter().any(|(_, threshold)| threshold.is_nan()) {
        return None;
    }
    tests.sort_unstable_by(|(column, threshold), other| {
        column.cmp(&other.0).then(threshold.total_cmp(&other.1))
    });
    tests.dedup();
    let mut columns = Vec::new();
    let mut start = 0;
    for tests in tests.chunk_by(|(column, _), (next, _)| column == next) {
        let thresholds = start..start + tests.len();
        start = thresholds.end;
        columns.extend(tests.first().map(|(place, _)| Column { place: *place, thresholds }));
    }
    Some((columns, tests.into_iter().map(|(_, threshold)| threshold).collect()))
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

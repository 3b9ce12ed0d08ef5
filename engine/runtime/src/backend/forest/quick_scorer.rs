//! The QuickScorer algorithm (Lucchese et al., SIGIR 2015).
//!
//! A tree's leaves are the bits of a bit vector, from left to right. A test that a row fails clears the
//! leaves on its left. The first leaf left over by all failed tests is the row's. The effect of each test
//! result is precomputed, so a row costs a few SIMD instructions for each of its results, however deep the
//! trees are.

use std::array;
use std::ops::Range;

use super::bitvectors::TestIndex;
use super::{Paths, TreeNode};

/// The number of words of a tree's bit vector. A tree may have 64 leaves for each word.
const WORDS: usize = 2;
/// The number of trees that are scored in parallel: as many as a processor has SIMD registers for.
const TREES: usize = 8;
/// The number of rows that are scored on these trees before the next trees follow. It is large enough to load
/// the bit vectors only once for many rows, and small enough for the rows' test results to stay in the cache.
const ROWS: usize = 512;
/// The largest size of a forest's bit vectors. Larger ones do not fit the caches, and walking is then as
/// fast.
const MAX_BYTES: usize = 4 << 20;

/// The leaves of [`TREES`] trees, tree by tree.
type BitVectors = [u64; TREES * WORDS];

/// A forest that is scored by QuickScorer.
#[derive(Debug, Clone, PartialEq)]
pub struct QuickScorer {
    /// The number of columns that a row must have.
    width: usize,
    tests: TestIndex,
    /// For each group of [`TREES`] trees, and there for each test result, the leaves that remain.
    bitvectors: Vec<BitVectors>,
    /// The index of each tree's first leaf.
    trees: Vec<usize>,
    leaves: Vec<[f32; 2]>,
}

impl Eq for QuickScorer {}

impl QuickScorer {
    /// Builds the scorer. `None` where walking is faster: a tree with too many leaves, too many thresholds,
    /// or no tests.
    pub fn of(paths: &Paths) -> Option<Self> {
        if paths.largest_tree() >= 2 * WORDS * 64 {
            return None;
        }
        let groups = paths.len().div_ceil(TREES);
        let tests = TestIndex::of(paths.splits(), MAX_BYTES / size_of::<BitVectors>() / groups.max(1))?;
        let bitvectors = vec![[u64::MAX; TREES * WORDS]; groups * tests.len()];
        let (width, leaves) = (paths.columns(), Vec::new());
        let mut made = Self { width, tests, bitvectors, trees: Vec::new(), leaves };
        paths.trees().try_for_each(|tree| made.add(&tree))?;
        made.accumulate_lesser_thresholds();
        Some(made)
    }

    /// Returns how many bytes the scorer takes; of the index of tests, which is small, none.
    pub fn bytes(&self) -> usize {
        self.bitvectors.capacity() * size_of::<BitVectors>()
            + self.trees.capacity() * size_of::<usize>()
            + self.leaves.capacity() * size_of::<[f32; 2]>()
    }

    /// Adds a tree. Each test result clears the leaves of its own tests.
    fn add(&mut self, tree: &[TreeNode]) -> Option<()> {
        let spans = leaf_spans(tree);
        let (first, count) = (self.leaves.len(), spans.first()?.len());
        let (group, place) = (self.trees.len() / TREES, self.trees.len() % TREES);
        let bitvectors = &mut self.bitvectors[group * self.tests.len()..];
        self.trees.push(first);
        self.leaves.resize(first + count, [0.0; 2]);
        for (node, span) in tree.iter().zip(&spans) {
            match *node {
                TreeNode::Leaf { weights } => self.leaves[first + span.start] = weights,
                TreeNode::Split { column, threshold, below, .. } => {
                    let ruled_out = spans[below].clone().fold(0u128, |leaves, leaf| leaves | 1 << leaf);
                    let left = [!ruled_out as u64, (!ruled_out >> 64) as u64];
                    self.tests.for_each_failing(column, threshold, |result| {
                        let words = bitvectors[result][place * WORDS..].iter_mut().zip(left);
                        words.for_each(|(word, left)| *word &= left);
                    });
                }
            }
        }
        Some(())
    }

    /// Accumulates each threshold's bit vector with those of lesser thresholds, because a row that fails one
    /// test fails these too.
    fn accumulate_lesser_thresholds(&mut self) {
        for bitvectors in self.bitvectors.chunks_exact_mut(self.tests.len()) {
            for results in self.tests.ascending() {
                let bitvectors = &mut bitvectors[results];
                for test in 1..bitvectors.len() {
                    bitvectors[test] = bitwise_and(&bitvectors[test - 1], &bitvectors[test]);
                }
            }
        }
    }

    /// Returns the number of columns that a row must have.
    pub fn columns(&self) -> usize {
        self.width
    }

    /// Returns the sums of the leaves that each row reaches, added in the order of the trees. `matrix` is
    /// row-major with `width` columns.
    pub fn sums(&self, matrix: &[f32], width: usize) -> Vec<[f32; 2]> {
        let mut sums = vec![[0.0; 2]; matrix.len() / width];
        let max_per_row = self.tests.max_per_row();
        let at_once = sums.len().min(ROWS);
        let (mut found, mut counts) = (vec![0; at_once * max_per_row], vec![0; at_once]);
        for (rows, sums) in matrix.chunks(ROWS * width).zip(sums.chunks_mut(ROWS)) {
            let places = found.chunks_exact_mut(max_per_row).zip(&mut counts);
            for (row, (found, count)) in rows.chunks_exact(width).zip(places) {
                *count = self.tests.find(row, found);
            }
            let found = || found.chunks_exact(max_per_row).zip(&counts);
            let groups = self.trees.chunks(TREES).zip(self.bitvectors.chunks_exact(self.tests.len()));
            for (trees, bitvectors) in groups {
                for (sum, (found, count)) in sums.iter_mut().zip(found()) {
                    self.add_leaves(trees, bitvectors, &found[..*count], sum);
                }
            }
        }
        sums
    }

    fn add_leaves(&self, trees: &[usize], bitvectors: &[BitVectors], found: &[u32], sum: &mut [f32; 2]) {
        let all = [u64::MAX; TREES * WORDS];
        let left = found.iter().fold(all, |left, result| bitwise_and(&left, &bitvectors[*result as usize]));
        for (first, words) in trees.iter().zip(left.chunks_exact(WORDS)) {
            let leaves = u128::from(words[0]) | u128::from(words[1]) << 64;
            let weights = self.leaves[first + leaves.trailing_zeros() as usize];
            sum[0] += weights[0];
            sum[1] += weights[1];
        }
    }
}

fn bitwise_and(one: &BitVectors, other: &BitVectors) -> BitVectors {
    array::from_fn(|word| one[word] & other[word])
}

/// Returns the range of leaves below each node, counted from left to right.
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

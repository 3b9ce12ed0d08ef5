//! Walks trees along several paths at the same time.
//!
//! A row's direction at a node cannot be predicted, and a misprediction costs more than a node. So a step
//! computes the next node without a branch. Each step depends on the one before it, so several paths are
//! walked in parallel: several rows through one tree or, for a single row, several trees.

use std::ops::Range;
use std::slice::ChunksExact;

use super::TreeNode;

/// The number of parallel paths: as many as a current processor has registers for.
const PATHS: usize = 8;
/// The number of blocks of rows that are scored on a tree before the next tree follows. They and the tree fit
/// the L1 cache.
const BLOCKS: usize = 8;

/// A forest whose trees are walked.
#[derive(Debug, Clone, PartialEq)]
pub struct Paths {
    columns: usize,
    trees: Vec<PackedTree>,
    nodes: Vec<PackedNode>,
    /// One for each node; those of splits are not read.
    weights: Vec<[f32; 2]>,
}

impl Eq for Paths {}

#[derive(Debug, Clone, Copy, PartialEq)]
struct PackedTree {
    root: u32,
    depth: u32,
}

/// A split, or a leaf: a split whose children are itself, so that a path that has ended can keep stepping.
#[derive(Debug, Clone, Copy, PartialEq)]
struct PackedNode {
    threshold: f32,
    /// The index of the column's first value in a block.
    at: u32,
    /// The node for rows up to the threshold; the one for all others follows it.
    below: u32,
}

/// The values of `PATHS` rows, column by column, followed by a column of zeros, which the leaves compare.
type Block = [f32];

impl Paths {
    /// Packs the trees. `None` if there is no tree, or if one is not well formed.
    pub fn new(trees: &[Vec<TreeNode>]) -> Option<Self> {
        let columns = trees.iter().flatten().map(|node| match node {
            TreeNode::Split { column, .. } => column.saturating_add(1),
            TreeNode::Leaf { .. } => 0,
        });
        let nodes = trees.iter().map(Vec::len).sum();
        Self::of(columns.max()?, nodes, trees.iter().map(|tree| Some(tree.clone())))
    }

    /// Packs trees as they come, with splits on fewer than `columns` columns, and at most `nodes` nodes in
    /// all. `None` if there is no tree, or if one is not well formed.
    pub fn of(
        columns: usize,
        nodes: usize,
        trees: impl Iterator<Item = Option<Vec<TreeNode>>>,
    ) -> Option<Self> {
        let (packed, weights) = (Vec::with_capacity(nodes), Vec::with_capacity(nodes));
        let mut forest = Self { columns, trees: Vec::new(), nodes: packed, weights };
        for tree in trees {
            let tree = tree?;
            if forest.nodes.len() + tree.len() > nodes {
                return None;
            }
            forest.add(&tree)?;
        }
        (!forest.trees.is_empty()).then_some(forest)
    }

    /// Adds a tree level by level, so that the two children of a node lie side by side.
    fn add(&mut self, tree: &[TreeNode]) -> Option<()> {
        let root = self.nodes.len();
        // The source of each packed node, and its depth.
        let mut sources = vec![(0, 0)];
        let mut deepest = 0;
        while let Some(&(source, depth)) = sources.get(self.nodes.len() - root) {
            let (threshold, column, below, weights) = match *tree.get(source)? {
                TreeNode::Leaf { weights } => (f32::INFINITY, self.columns, self.nodes.len(), weights),
                TreeNode::Split { column, threshold, below, above } => {
                    let is_tree = below > source && above > source && sources.len() + 2 <= tree.len();
                    let is_tree = is_tree && column < self.columns;
                    if !is_tree {
                        return None;
                    }
                    let children = root + sources.len();
                    sources.extend([(below, depth + 1), (above, depth + 1)]);
                    (threshold, column, children, [0.0; 2])
                }
            };
            let (at, below) = (u32::try_from(column.checked_mul(PATHS)?).ok()?, u32::try_from(below).ok()?);
            self.nodes.push(PackedNode { threshold, at, below });
            self.weights.push(weights);
            deepest = depth;
        }
        self.trees.push(PackedTree { root: u32::try_from(root).ok()?, depth: deepest });
        Some(())
    }

    /// Returns the number of columns that a row must have.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns how many bytes the forest takes.
    pub fn bytes(&self) -> usize {
        self.trees.capacity() * size_of::<PackedTree>()
            + self.nodes.capacity() * size_of::<PackedNode>()
            + self.weights.capacity() * size_of::<[f32; 2]>()
    }

    /// Returns the number of trees.
    pub fn len(&self) -> usize {
        self.trees.len()
    }

    /// Returns the number of nodes of the largest tree.
    pub fn largest_tree(&self) -> usize {
        self.ranges().map(|nodes| nodes.len()).max().unwrap_or_default()
    }

    /// Returns the column and the threshold of every split.
    pub fn splits(&self) -> impl Iterator<Item = (usize, f32)> {
        let nodes = self.nodes.iter().enumerate().filter(|(place, node)| node.below as usize != *place);
        nodes.map(|(_, node)| (node.at as usize / PATHS, node.threshold))
    }

    /// Returns the range of each tree's nodes.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let roots = || self.trees.iter().map(|tree| tree.root as usize);
        roots().zip(roots().skip(1).chain([self.nodes.len()])).map(|(root, end)| root..end)
    }

    /// Returns the packed trees. Each node but the root is the child of exactly one node before it.
    pub fn trees(&self) -> impl Iterator<Item = Vec<TreeNode>> {
        self.ranges().map(|nodes| nodes.clone().map(|node| self.node(nodes.start, node)).collect())
    }

    fn node(&self, root: usize, node: usize) -> TreeNode {
        let PackedNode { threshold, at, below } = self.nodes[node];
        if below as usize == node {
            return TreeNode::Leaf { weights: self.weights[node] };
        }
        let below = below as usize - root;
        TreeNode::Split { column: at as usize / PATHS, threshold, below, above: below + 1 }
    }

    /// Returns the sums of the leaves that each row reaches, added in the order of the trees. `matrix` is
    /// row-major with `width` columns.
    pub fn sums(&self, matrix: &[f32], width: usize) -> Vec<[f32; 2]> {
        let mut sums = vec![[0.0; 2]; matrix.len() / width];
        let block_len = (self.columns + 1) * PATHS;
        let mut blocks = vec![0.0; block_len * (sums.len() / PATHS).clamp(1, BLOCKS)];
        let (rows_of_blocks, single_rows) = matrix.split_at(sums.len() / PATHS * PATHS * width);
        let (sums_of_blocks, single_sums) = sums.split_at_mut(rows_of_blocks.len() / width);
        let in_turn = rows_of_blocks.chunks(BLOCKS * PATHS * width);
        for (rows, sums) in in_turn.zip(sums_of_blocks.chunks_mut(BLOCKS * PATHS)) {
            for (block, rows) in blocks.chunks_exact_mut(block_len).zip(rows.chunks_exact(PATHS * width)) {
                rows.chunks_exact(width).enumerate().for_each(|(path, row)| self.fill(block, path, row));
            }
            self.add_row_leaves(blocks.chunks_exact(block_len), sums);
        }
        let block = &mut blocks[..block_len];
        for (row, sum) in single_rows.chunks_exact(width).zip(single_sums) {
            self.fill(block, 0, row);
            self.add_tree_leaves(block, sum);
        }
        sums
    }

    fn fill(&self, block: &mut Block, path: usize, row: &[f32]) {
        let values = block.iter_mut().skip(path).step_by(PATHS);
        values.zip(&row[..self.columns]).for_each(|(place, value)| *place = *value);
    }

    /// Walks one tree for several rows in parallel.
    fn add_row_leaves(&self, blocks: ChunksExact<'_, f32>, sums: &mut [[f32; 2]]) {
        for PackedTree { root, depth } in &self.trees {
            for (block, sums) in blocks.clone().zip(sums.chunks_exact_mut(PATHS)) {
                let leaves = self.walk::<1>([*root; PATHS], *depth, block);
                sums.iter_mut().zip(leaves).for_each(|(sum, leaf)| self.add_leaf(sum, leaf));
            }
        }
    }

    /// Walks several trees in parallel for the block's first row.
    fn add_tree_leaves(&self, block: &Block, sum: &mut [f32; 2]) {
        for trees in self.trees.chunks(PATHS) {
            let roots = std::array::from_fn(|path| trees[path.min(trees.len() - 1)].root);
            let depth = trees.iter().map(|tree| tree.depth).max().unwrap_or_default();
            let leaves = self.walk::<0>(roots, depth, block);
            leaves.into_iter().take(trees.len()).for_each(|leaf| self.add_leaf(sum, leaf));
        }
    }

    fn add_leaf(&self, sum: &mut [f32; 2], leaf: u32) {
        let weights = self.weights[leaf as usize];
        sum[0] += weights[0];
        sum[1] += weights[1];
    }

    /// Advances each path by `steps` nodes. Path `p` reads the block's row `p * ROWS`.
    #[inline(always)]
    fn walk<const ROWS: usize>(&self, mut nodes: [u32; PATHS], steps: u32, block: &Block) -> [u32; PATHS] {
        for _ in 0..steps {
            for (path, node) in nodes.iter_mut().enumerate() {
                let PackedNode { threshold, at, below } = self.nodes[*node as usize];
                let is_below = block[at as usize + path * ROWS] <= threshold;
                *node = below + u32::from(!is_below);
            }
        }
        nodes
    }
}

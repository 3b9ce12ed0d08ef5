//! A forest of decision trees, in the form that scores faster.

mod bitvectors;
mod lists;
mod paths;
mod quick_scorer;

use std::sync::Arc;

use onnward_onnx::TreeLists;
use paths::Paths;
use quick_scorer::QuickScorer;

use self::lists::trees_of;

/// The forests that were taken out of a graph, by their index there.
#[derive(Debug, Clone, Default)]
pub struct Forests(pub Arc<[Arc<Forest>]>);

impl Forests {
    /// Packs the forests and frees their lists one by one. `None` if one is not well formed.
    pub fn pack(lists: Vec<TreeLists>) -> Option<Self> {
        let pack = |lists: TreeLists| {
            // A tree has a leaf more than it has splits.
            let nodes = 2 * lists.splits() + lists.roots.len();
            let columns = lists.columns.iter().max().map_or(0, |most| *most as usize + 1);
            let paths = Paths::of(columns, nodes, trees_of(&lists))?;
            drop(lists);
            Some(Arc::new(Forest::from(paths)))
        };
        Some(Self(lists.into_iter().map(pack).collect::<Option<Vec<_>>>()?.into()))
    }

    /// Returns how many bytes the forests take.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|forest| forest.bytes()).sum()
    }
}

/// A node of a tree as it is read; the root is the tree's first node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TreeNode {
    /// Rows with `row[column] <= threshold` go to `below`, all others to `above`: indices in the tree,
    /// greater than this node's own.
    Split { column: usize, threshold: f32, below: usize, above: usize },
    /// The weights that the tree adds to the sums.
    Leaf { weights: [f32; 2] },
}

/// Trees whose leaves are summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forest {
    /// Walks each row down each tree; works for any forest.
    Paths(Paths),
    /// QuickScorer, for trees with few leaves on few columns.
    QuickScorer(QuickScorer),
}

impl Forest {
    /// Creates a forest from trees. `None` if there is no tree, or if one is not well formed.
    pub fn new(trees: &[Vec<TreeNode>]) -> Option<Self> {
        Paths::new(trees).map(Self::from)
    }

    /// Returns how many bytes the forest takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Paths(paths) => paths.bytes(),
            Self::QuickScorer(scorer) => scorer.bytes(),
        }
    }

    /// Returns the number of columns that a row must have.
    pub fn columns(&self) -> usize {
        match self {
            Self::Paths(paths) => paths.columns(),
            Self::QuickScorer(scorer) => scorer.columns(),
        }
    }

    /// Returns the sums of the leaves that each row reaches, added in the order of the trees. `matrix` is
    /// row-major with `width` columns.
    pub fn sums(&self, matrix: &[f32], width: usize) -> Vec<[f32; 2]> {
        match self {
            Self::Paths(paths) => paths.sums(matrix, width),
            Self::QuickScorer(scorer) => scorer.sums(matrix, width),
        }
    }
}

impl From<Paths> for Forest {
    fn from(paths: Paths) -> Self {
        QuickScorer::of(&paths).map_or(Self::Paths(paths), Self::QuickScorer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(column: usize, threshold: f32, below: usize, above: usize) -> TreeNode {
        TreeNode::Split { column, threshold, below, above }
    }

    fn leaf(weight: f32) -> TreeNode {
        TreeNode::Leaf { weights: [weight, -weight] }
    }

    /// Returns a tree with `leaves` leaves, one for each half number of the column.
    fn stairs(column: usize, leaves: usize) -> Vec<TreeNode> {
        let steps = (0..leaves - 1).flat_map(|step| {
            let (height, place) = (step as f32 / 2.0, 2 * step);
            [split(column, height, place + 1, place + 2), leaf(height)]
        });
        steps.chain([leaf(-1.0)]).collect()
    }

    /// Returns a deep tree, a single leaf and a split, repeated with different leaves.
    fn trees() -> Vec<Vec<TreeNode>> {
        let some = |add: f32| {
            let deep = vec![
                split(0, 0.0, 1, 2),
                leaf(1.0 + add),
                split(1, 5.0, 4, 3),
                leaf(2.0 + add),
                split(0, 3.0, 5, 6),
                leaf(4.0 + add),
                leaf(8.0 + add),
            ];
            [deep, vec![leaf(16.0 + add)], vec![split(1, 7.0, 1, 2), leaf(32.0 + add), leaf(64.0 + add)]]
        };
        (0..7).flat_map(|round| some(128.0 * round as f32)).collect()
    }

    fn sum_by_hand(trees: &[Vec<TreeNode>], row: &[f32]) -> [f32; 2] {
        let mut sums = [0.0; 2];
        for tree in trees {
            let mut node = tree[0];
            while let TreeNode::Split { column, threshold, below, above } = node {
                node = tree[if row[column] <= threshold { below } else { above }];
            }
            let TreeNode::Leaf { weights } = node else { panic!() };
            sums = [sums[0] + weights[0], sums[1] + weights[1]];
        }
        sums
    }

    fn quick_scorer(trees: &[Vec<TreeNode>]) -> QuickScorer {
        QuickScorer::of(&Paths::new(trees).unwrap()).unwrap()
    }

    #[test]
    fn every_row_gets_the_sums_of_its_leaves_however_many_rows_there_are() {
        let trees = [trees(), vec![stairs(0, 100), stairs(1, 128)]].concat();
        let values = [-1.0, 0.0, 0.5, 3.0, 3.5, 5.0, 6.0, 7.0, 8.0, f32::NAN, f32::INFINITY];
        // A third column, which no tree reads.
        let rows = values.iter().flat_map(|a| values.map(|b| [*a, b, 9.0])).cycle();
        let rows: Vec<[f32; 3]> = rows.take(1030).collect();
        let expected: Vec<[f32; 2]> = rows.iter().map(|row| sum_by_hand(&trees, row)).collect();
        for forest in [Forest::Paths(Paths::new(&trees).unwrap()), Forest::QuickScorer(quick_scorer(&trees))]
        {
            for count in [0, 1, 2, 7, 8, 9, 16, 23, 63, 64, 65, 511, 512, 513, rows.len()] {
                let sums = forest.sums(&rows[..count].concat(), 3);
                assert_eq!(sums, expected[..count], "{count} rows, {forest:?}");
            }
        }
    }

    #[test]
    fn columns_with_one_threshold_are_told_apart_however_many_there_are() {
        const WIDTH: usize = 20;
        let test = |column: usize| {
            let weight = |above: usize| leaf((column + above * 100) as f32);
            vec![split(column, 0.5, 1, 2), weight(0), split(0, column as f32, 3, 4), weight(1), weight(2)]
        };
        // A forest of so many groups of trees that few columns are grouped, too.
        for (columns, copies) in [(1, 1), (7, 1), (8, 1), (9, 1), (16, 1), (19, 1), (19, 70)] {
            let trees: Vec<_> = (0..copies).flat_map(|_| (1..=columns).map(test)).collect();
            let row = |seed: usize| -> [f32; WIDTH] {
                std::array::from_fn(|column| match column {
                    0 => (seed % 23) as f32,
                    _ if (seed * 7 + column).is_multiple_of(11) => f32::NAN,
                    _ => (seed >> (column % 13) & 1) as f32,
                })
            };
            let rows: Vec<_> = (0..4096).step_by(13).map(row).collect();
            let sums = quick_scorer(&trees).sums(&rows.concat(), WIDTH);
            for (row, sum) in rows.iter().zip(sums) {
                assert_eq!(sum, sum_by_hand(&trees, row), "{columns} columns, {row:?}");
            }
        }
    }

    #[test]
    fn a_forest_that_quick_scorer_does_not_fit_is_walked() {
        let nan = vec![split(0, f32::NAN, 1, 2), leaf(1.0), leaf(2.0)];
        let many_thresholds = (0..400).map(|column| stairs(column, 100)).collect();
        for trees in [vec![stairs(0, 129)], vec![nan], vec![vec![leaf(1.0)]], many_thresholds] {
            let forest = Forest::new(&trees).unwrap();
            assert!(matches!(forest, Forest::Paths(_)), "{} trees", trees.len());
            let row = [70.0; 400];
            assert_eq!(forest.sums(&row, 400), [sum_by_hand(&trees, &row)], "{} trees", trees.len());
        }
    }

    #[test]
    fn a_node_that_points_up_or_nowhere_or_is_shared_makes_no_forest() {
        for children in [[0, 1], [1, 3], [1, 1]] {
            let tree = vec![split(0, 1.0, children[0], children[1]), split(0, 1.0, 2, 2), leaf(1.0)];
            assert_eq!(Forest::new(&[tree]), None, "{children:?}");
        }
        for column in [usize::MAX, usize::MAX / 8 + 1, u32::MAX as usize] {
            assert_eq!(
                Forest::new(&[vec![split(column, 1.0, 1, 2), leaf(1.0), leaf(1.0)]]),
                None,
                "{column}"
            );
        }
        assert_eq!(Forest::new(&[]), None);
        assert_eq!(Forest::new(&[vec![]]), None);
    }
}

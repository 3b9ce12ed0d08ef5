//! Random forests on binned rows (Breiman, Random Forests, Machine Learning 45 (2001), doi:10.1023/A:1010933404324).
//!
//! Each feature is one byte of a row: the category, or one of up to 256 ranges of a number, as LightGBM has it (Ke et al.,
//! NeurIPS 30 (2017)). All one-hot columns of a feature are judged by one histogram of that byte, so that their number costs
//! nothing, and no preprocessed matrix is made.

mod bins;
mod grow;

use ndarray::ArrayView2;

use self::bins::BinnedRows;
use crate::fitted::{FittedForest, Node, Tree};
use crate::parallel;
use crate::parameters::ForestParams;
use crate::preprocess::Preprocessor;
use crate::random::{Purpose, generator};

/// Fits a forest on features `[rows, features]` as the preprocessing would transform them, on all cores. `progress` hears of
/// each tree.
pub(crate) fn fit(
    preprocessor: &Preprocessor,
    features: ArrayView2<'_, f32>,
    labels: &[bool],
    params: &ForestParams,
    seed: u64,
    progress: &(dyn Fn(usize) + Sync),
) -> FittedForest {
    let rows = BinnedRows::new(preprocessor, features, labels);
    let trees: Vec<u32> = (0..params.trees as u32).collect();
    let trees = parallel::map(&trees, |tree| {
        // Each tree has its own random numbers, so that no tree depends on which core grew the one before.
        let grown = grow::tree(&rows, params, generator(seed, Purpose::ForestTree, *tree));
        progress(1);
        grown
    });
    FittedForest { trees }
}

/// Into how many steps from 0 to 1 the leaves' probabilities are rounded: as many as let single precision, which holds
/// every whole number up to 2²⁴, add those of all trees without rounding. The sum then is the same in every order, and
/// so on every runtime and in every batch; at 100 trees a step is 8e-6.
pub(crate) fn leaf_steps(trees: usize) -> f32 {
    const EXACT_BITS: i32 = 24;
    let tree_bits = trees.next_power_of_two().ilog2().min(EXACT_BITS.unsigned_abs());
    2.0_f32.powi(EXACT_BITS - tree_bits as i32)
}

/// The largest single-precision number that is not above `value`: every single-precision `x` is on the same side of
/// both.
pub(crate) fn round_down(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) > value { nearest.next_down() } else { nearest }
}

/// Makes one leaf of every subtree whose leaves agree, and numbers the nodes anew, level by level. Children must have larger
/// indices than their parent.
pub(crate) fn pruned(nodes: &[Node]) -> Tree {
    // From the end every child is known before its parent.
    let mut agreed: Vec<Option<f32>> = vec![None; nodes.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        agreed[index] = match *node {
            Node::Leaf { probability } => Some(probability),
            Node::Split { below, above, .. } => {
                agreed[below as usize].filter(|below| agreed[above as usize] == Some(*below))
            }
        };
    }
    let mut kept = Vec::new();
    // The index that each node of the new tree had.
    let mut sources: Vec<u32> = nodes.first().map(|_| 0).into_iter().collect();
    while let Some(source) = sources.get(kept.len()).map(|source| *source as usize) {
        kept.push(match (agreed[source], nodes[source]) {
            (None, Node::Split { column, threshold, below, above }) => {
                let next = sources.len() as u32;
                sources.extend([below, above]);
                Node::Split { column, threshold, below: next, above: next + 1 }
            }
            (Some(probability), _) | (None, Node::Leaf { probability }) => Node::Leaf { probability },
        });
    }
    kept.shrink_to_fit();
    Tree { nodes: kept }
}

#[cfg(test)]
mod tests;

//! Random forests (Breiman, Random Forests, Machine Learning 45 (2001), doi:10.1023/A:1010933404324), grown
//! by either of two solvers: [`histogram`] is Onnward's own, [`smartcore`] takes longer.
//!
//! This module has the code that both need to make a [`Tree`] of the nodes that they grew.

pub(crate) mod histogram;
pub(crate) mod smartcore;

use crate::fitted::{Node, Tree};

/// Returns the number of steps from 0 to 1 to which the probabilities of leaves are rounded.
///
/// Single precision holds every whole number up to 2²⁴. The steps are as small as they can be while the sum
/// over all trees stays exact, so the sum is the same in every order, on every runtime and in every batch.
/// With 100 trees a step is 8e-6.
pub(crate) fn leaf_steps(trees: usize) -> f32 {
    const EXACT_BITS: i32 = 24;
    let tree_bits = trees.next_power_of_two().ilog2().min(EXACT_BITS.unsigned_abs());
    2.0_f32.powi(EXACT_BITS - tree_bits as i32)
}

/// Returns the largest single-precision number that is not above `value`. Every single-precision `x` is on
/// the same side of both.
pub(crate) fn round_down(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) > value { nearest.next_down() } else { nearest }
}

/// Replaces every subtree whose leaves agree by one leaf, and renumbers the nodes level by level.
///
/// Children must have larger indices than their parent.
pub(crate) fn pruned<Leaf: Clone + PartialEq>(nodes: &[Node<Leaf>]) -> Tree<Leaf> {
    // Backwards, each child is visited before its parent.
    let mut agreed: Vec<Option<&Leaf>> = vec![None; nodes.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        agreed[index] = match node {
            Node::Leaf { value } => Some(value),
            Node::Split { below, above, .. } => {
                agreed[*below as usize].filter(|below| agreed[*above as usize] == Some(*below))
            }
        };
    }
    let mut kept = Vec::new();
    // The old index of each node of the new tree.
    let mut sources: Vec<u32> = nodes.first().map(|_| 0).into_iter().collect();
    while let Some(source) = sources.get(kept.len()).map(|source| *source as usize) {
        kept.push(match (agreed[source], &nodes[source]) {
            (None, Node::Split { column, threshold, below, above }) => {
                let next = sources.len() as u32;
                sources.extend([*below, *above]);
                Node::Split { column: *column, threshold: *threshold, below: next, above: next + 1 }
            }
            (Some(value), _) | (None, Node::Leaf { value }) => Node::Leaf { value: value.clone() },
        });
    }
    kept.shrink_to_fit();
    Tree { nodes: kept }
}

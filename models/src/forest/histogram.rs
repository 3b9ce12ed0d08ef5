//! A forest grown on binned rows.
//!
//! Each feature is one byte of a row: the category, or one of up to 256 ranges of a number, as in LightGBM
//! (Ke et al., NeurIPS 30 (2017)). One histogram of that byte serves all one-hot columns of a feature, so
//! their number costs nothing, and the preprocessed matrix is never built.

mod bins;
mod grow;
mod target;

use ndarray::ArrayView2;
use rayon::prelude::*;

use self::bins::BinnedRows;
use self::target::{BinaryTarget, ClassTarget, NumberTarget, Target};
use crate::fitted::{FittedClassForest, FittedForest, FittedModel, Tree};
use crate::labels::Labels;
use crate::parameters::ForestParams;
use crate::preprocess::Preprocessor;
use crate::random::{Purpose, generator};

/// Fits a forest on features `[rows, features]` as the preprocessing would transform them, on all cores.
///
/// `advance` is called after each tree with the number of steps done, from several threads.
pub(crate) fn fit(
    preprocessor: &Preprocessor,
    features: ArrayView2<'_, f32>,
    labels: &Labels,
    params: &ForestParams,
    seed: u64,
    advance: &(dyn Fn(usize) + Sync),
) -> FittedModel {
    let rows = BinnedRows::new(preprocessor, features);
    match labels {
        Labels::Binary(labels) => {
            let target = BinaryTarget::new(labels, params.trees);
            let trees = grow_all(&rows, &target, params, seed, advance);
            FittedModel::Forest(FittedForest { trees, base: 0.0 })
        }
        Labels::Classes(labels) => {
            let target = ClassTarget::new(labels, params.trees);
            let trees = grow_all(&rows, &target, params, seed, advance);
            FittedModel::ClassForest(FittedClassForest { classes: labels.classes, trees })
        }
        Labels::Numbers(labels) => {
            let target = NumberTarget::new(labels, params.trees);
            let trees = grow_all(&rows, &target, params, seed, advance);
            FittedModel::NumberForest(FittedForest { trees, base: target.base() })
        }
    }
}

fn grow_all<T: Target>(
    rows: &BinnedRows,
    target: &T,
    params: &ForestParams,
    seed: u64,
    advance: &(dyn Fn(usize) + Sync),
) -> Vec<Tree<T::Leaf>> {
    let trees = (0..params.trees as u32).into_par_iter().with_max_len(1).map(|tree| {
        // Each tree has its own random numbers, so the forest does not depend on which core grows which tree.
        let grown = grow::tree(rows, target, params, generator(seed, Purpose::ForestTree, tree));
        advance(1);
        grown
    });
    trees.collect()
}

#[cfg(test)]
mod tests;

//! A forest grown on binned rows.
//!
//! Each feature is one byte of a row: the category, or one of up to 256 ranges of a number, as in LightGBM
//! (Ke et al., NeurIPS 30 (2017)). One histogram of that byte serves all one-hot columns of a feature, so
//! their number costs nothing, and the preprocessed matrix is never built.

mod bins;
mod grow;

use ndarray::ArrayView2;
use rayon::prelude::*;

use self::bins::BinnedRows;
use crate::fitted::FittedForest;
use crate::parameters::ForestParams;
use crate::preprocess::Preprocessor;
use crate::random::{Purpose, generator};

/// Fits a forest on features `[rows, features]` as the preprocessing would transform them, on all cores.
///
/// `advance` is called after each tree with the number of steps done, from several threads.
pub(crate) fn fit(
    preprocessor: &Preprocessor,
    features: ArrayView2<'_, f32>,
    labels: &[bool],
    params: &ForestParams,
    seed: u64,
    advance: &(dyn Fn(usize) + Sync),
) -> FittedForest {
    let rows = BinnedRows::new(preprocessor, features, labels);
    let trees = (0..params.trees as u32).into_par_iter().with_max_len(1).map(|tree| {
        // Each tree has its own random numbers, so the forest does not depend on which core grows which tree.
        let grown = grow::tree(&rows, params, generator(seed, Purpose::ForestTree, tree));
        advance(1);
        grown
    });
    FittedForest { trees: trees.collect() }
}

#[cfg(test)]
mod tests;

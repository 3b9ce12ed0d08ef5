use ndarray::ArrayView1;
use onnward_schemas::{Criterion, Schema};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::comparison::Importance;
use crate::dataset::LabelledRows;
use crate::metrics::mean_and_std;
use crate::pipeline::Pipeline;
use crate::random::{Purpose, generator};

const REPEATS: usize = 5;
/// The maximum number of rows. With more, only the time grows: the error of the loss is already far below any
/// difference that matters.
const MOST_ROWS: usize = 10_000;

/// Computes the permutation importance of each feature, most important first.
///
/// It is by how much the figure of the task gets worse when the feature's values are shuffled among the rows (L.
/// Breiman, Random Forests, Machine Learning 45 (2001), doi:10.1023/A:1010933404324; A. Fisher, C. Rudin and
/// F. Dominici, JMLR 20 (2019), no. 177). A categorical feature is shuffled as one column, before it is
/// one-hot encoded. `advance` is called after each feature with the number of steps done.
pub(crate) fn permutation_importance(
    schema: &Schema,
    pipeline: &Pipeline,
    rows: &LabelledRows,
    criterion: Criterion,
    seed: u64,
    advance: &(dyn Fn(usize) + Sync),
) -> Vec<Importance> {
    let every = rows.labels.len().div_ceil(MOST_ROWS).max(1);
    let rows = rows.select(&(0..rows.labels.len()).step_by(every).collect::<Vec<_>>());
    let unshuffled = pipeline.criterion(&rows);
    let importance = schema.features.par_iter().enumerate().map(|(at, feature)| {
        let losses = losses(pipeline, &rows, at, criterion, unshuffled, seed);
        let (loss, loss_std) = mean_and_std(&losses);
        advance(1);
        Importance { feature: feature.name.clone(), criterion, loss, loss_std }
    });
    let mut importance: Vec<Importance> = importance.collect();
    importance.sort_by(|a, b| b.loss.total_cmp(&a.loss));
    importance
}

/// Shuffles a feature [`REPEATS`] times, and returns by how much the figure gets worse each time.
fn losses(
    pipeline: &Pipeline,
    rows: &LabelledRows,
    feature: usize,
    criterion: Criterion,
    unshuffled: f64,
    seed: u64,
) -> Vec<f64> {
    let mut random = generator(seed, Purpose::Permutation, feature as u32);
    let mut values = rows.features.column(feature).to_vec();
    let mut shuffled = rows.clone();
    let mut loss = |_| {
        values.shuffle(&mut random);
        shuffled.features.column_mut(feature).assign(&ArrayView1::from(&values));
        criterion.gain(unshuffled, pipeline.criterion(&shuffled))
    };
    (0..REPEATS).map(&mut loss).collect()
}

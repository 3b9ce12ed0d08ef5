use ndarray::ArrayView1;
use onnward_schemas::Schema;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use crate::comparison::Importance;
use crate::dataset::LabelledRows;
use crate::metrics::mean_and_std;
use crate::pipeline::Pipeline;
use crate::random::{Purpose, generator};

const REPEATS: usize = 5;
/// The maximum number of rows. With more, only the time grows: the error of the drop is already far below any
/// difference that matters.
const MOST_ROWS: usize = 10_000;

/// Computes the permutation importance of each feature, most important first.
///
/// It is the drop of the area under the ROC curve when the feature's values are shuffled among the rows (L.
/// Breiman, Random Forests, Machine Learning 45 (2001), doi:10.1023/A:1010933404324; A. Fisher, C. Rudin and
/// F. Dominici, JMLR 20 (2019), no. 177). A categorical feature is shuffled as one column, before it is
/// one-hot encoded. `advance` is called after each feature with the number of steps done.
pub(crate) fn permutation_importance(
    schema: &Schema,
    pipeline: &Pipeline,
    rows: &LabelledRows,
    seed: u64,
    advance: &(dyn Fn(usize) + Sync),
) -> Vec<Importance> {
    let every = rows.labels.len().div_ceil(MOST_ROWS).max(1);
    let rows = rows.select(&(0..rows.labels.len()).step_by(every).collect::<Vec<_>>());
    let unshuffled = pipeline.roc_auc(&rows);
    let importance = schema.features.par_iter().enumerate().map(|(at, feature)| {
        let drops = drops(pipeline, &rows, at, unshuffled, seed);
        let (roc_auc_drop, roc_auc_drop_std) = mean_and_std(&drops);
        advance(1);
        Importance { feature: feature.name.clone(), roc_auc_drop, roc_auc_drop_std }
    });
    let mut importance: Vec<Importance> = importance.collect();
    importance.sort_by(|a, b| b.roc_auc_drop.total_cmp(&a.roc_auc_drop));
    importance
}

/// Shuffles a feature [`REPEATS`] times, and returns how far the area under the ROC curve drops each time.
fn drops(pipeline: &Pipeline, rows: &LabelledRows, feature: usize, unshuffled: f64, seed: u64) -> Vec<f64> {
    let mut random = generator(seed, Purpose::Permutation, feature as u32);
    let mut values = rows.features.column(feature).to_vec();
    let mut shuffled = rows.clone();
    let mut drop = |_| {
        values.shuffle(&mut random);
        shuffled.features.column_mut(feature).assign(&ArrayView1::from(&values));
        unshuffled - pipeline.roc_auc(&shuffled)
    };
    (0..REPEATS).map(&mut drop).collect()
}

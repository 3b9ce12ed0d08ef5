use ndarray::ArrayView1;
use onnward_schemas::Schema;
use rand::seq::SliceRandom;

use crate::comparison::Importance;
use crate::dataset::LabelledRows;
use crate::metrics::mean_and_std;
use crate::parallel;
use crate::pipeline::Pipeline;
use crate::random::{Purpose, generator};

const REPEATS: usize = 5;
/// Beyond this many rows the drop's error is far below any difference that matters, and only time grows.
const MOST_ROWS: usize = 10_000;

/// The permutation importance of each feature, the most important first: how far the area under the ROC curve falls
/// when the feature's values are shuffled among the rows (L. Breiman, Random Forests, Machine Learning 45 (2001),
/// doi:10.1023/A:1010933404324; A. Fisher, C. Rudin and F. Dominici, JMLR 20 (2019), no. 177). A categorical feature is
/// shuffled as a whole, before it is one-hot encoded. `progress` hears of each feature.
pub(crate) fn permutation_importance(
    schema: &Schema,
    pipeline: &Pipeline,
    rows: &LabelledRows,
    seed: u64,
    progress: &(dyn Fn(usize) + Sync),
) -> Vec<Importance> {
    let every = rows.labels.len().div_ceil(MOST_ROWS).max(1);
    let rows = rows.select(&(0..rows.labels.len()).step_by(every).collect::<Vec<_>>());
    let unshuffled = pipeline.roc_auc(&rows);
    let features: Vec<usize> = (0..schema.features.len()).collect();
    let mut importance = parallel::map(&features, |feature| {
        let drops = drops(pipeline, &rows, *feature, unshuffled, seed);
        let (roc_auc_drop, roc_auc_drop_std) = mean_and_std(&drops);
        progress(1);
        Importance { feature: schema.features[*feature].name.clone(), roc_auc_drop, roc_auc_drop_std }
    });
    importance.sort_by(|a, b| b.roc_auc_drop.total_cmp(&a.roc_auc_drop));
    importance
}

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

use rand::seq::SliceRandom;

use crate::dataset::Dataset;
use crate::labels::Labels;
use crate::random::{Purpose, generator};

/// The rows that are fitted, and those that are held out, both in the table's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The indices of the training rows.
    pub train: Vec<usize>,
    /// The indices of the held-out rows.
    pub test: Vec<usize>,
}

impl Dataset {
    /// Splits the rows at random so that both parts have the table's share of each class.
    ///
    /// `test_fraction`, between 0 and 1, is held out. Each part has at least one row of a class with two or
    /// more.
    pub fn split(&self, test_fraction: f64, seed: u64) -> Split {
        let mut random = generator(seed, Purpose::Split, 0);
        let mut split = Split { train: Vec::new(), test: Vec::new() };
        for mut class in self.labels.strata() {
            class.shuffle(&mut random);
            split.test.extend(class.drain(..held_out(class.len(), test_fraction)));
            split.train.extend(class);
        }
        split.train.sort_unstable();
        split.test.sort_unstable();
        split
    }
}

/// Returns how many of the `rows` of a class are held out.
pub(crate) fn held_out(rows: usize, test_fraction: f64) -> usize {
    let share = (rows as f64 * test_fraction).round() as usize;
    share.max(1).min(rows.saturating_sub(1))
}

/// Divides the rows into `folds` parts of equal size (to within one row) and equal share of each class. Each
/// is the test part of one split.
pub(crate) fn stratified_folds(labels: &Labels, folds: usize, seed: u64) -> Vec<Split> {
    let mut random = generator(seed, Purpose::Folds, 0);
    let mut fold_of = vec![0; labels.len()];
    let mut dealt = 0;
    for mut class in labels.strata() {
        class.shuffle(&mut random);
        for row in class {
            fold_of[row] = dealt % folds;
            dealt += 1;
        }
    }
    let split = |fold| {
        let (test, train) = (0..labels.len()).partition(|row| fold_of[*row] == fold);
        Split { train, test }
    };
    (0..folds).map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_share_rows_and_positives_evenly_and_cover_every_row_once() {
        let positive: Vec<bool> = (0..103).map(|row| row % 4 == 0).collect();
        let labels = Labels::Binary(positive.clone());
        let folds = stratified_folds(&labels, 5, 42);
        let mut validated: Vec<usize> = folds.iter().flat_map(|fold| fold.test.clone()).collect();
        validated.sort_unstable();
        assert_eq!(validated, (0..103).collect::<Vec<_>>());
        for fold in &folds {
            let positives = fold.test.iter().filter(|row| positive[**row]).count();
            assert!((5..=6).contains(&positives), "{positives}");
            assert!((20..=21).contains(&fold.test.len()), "{}", fold.test.len());
            assert!(fold.train.iter().all(|row| !fold.test.contains(row)));
        }
        assert_eq!(folds, stratified_folds(&labels, 5, 42));
        assert_ne!(folds, stratified_folds(&labels, 5, 43));
    }
}

//! Numbers the distinct results of a forest's tests. Each has a bit vector of its own.
//!
//! For a column with several thresholds, a result is the interval between two of them in which a row's value
//! lies. Columns with one threshold, such as those of categories, are grouped. A result of a group is the
//! combination of their tests.

use std::ops::Range;

/// The largest group of columns with one threshold. Each column doubles the number of results.
const MAX_BINARY_SPLITS: usize = 8;

/// The results of a forest's tests, numbered from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct TestIndex {
    /// The columns with several thresholds.
    columns: Vec<Column>,
    /// Their thresholds, by column, ascending and distinct. Each is a result: the greatest threshold below a
    /// value.
    thresholds: Vec<f32>,
    /// The columns with one threshold.
    binary_splits: Vec<BinarySplits>,
    len: usize,
}

/// A column that is tested at several thresholds.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    place: usize,
    /// The range of its thresholds.
    thresholds: Range<usize>,
}

/// A group of columns that are tested at one threshold each. Each failed test sets a bit, and each number
/// made of these bits is a result.
#[derive(Debug, Clone, PartialEq)]
struct BinarySplits {
    tests: Vec<(usize, f32)>,
    first: usize,
}

impl TestIndex {
    /// Numbers the results. `None` if there is none, if there are more than `max`, or if a threshold is NaN,
    /// which has no order.
    pub fn of(tests: impl Iterator<Item = (usize, f32)>, max: usize) -> Option<Self> {
        let tests = distinct(tests)?;
        let columns: Vec<&[(usize, f32)]> = tests.chunk_by(|(column, _), (next, _)| column == next).collect();
        let (single, several): (Vec<_>, Vec<_>) = columns.into_iter().partition(|tests| tests.len() == 1);
        let mut index =
            Self { columns: Vec::new(), thresholds: Vec::new(), binary_splits: Vec::new(), len: 0 };
        for tests in several {
            let start = index.thresholds.len();
            index.thresholds.extend(tests.iter().map(|(_, threshold)| *threshold));
            let thresholds = start..index.thresholds.len();
            index.columns.extend(tests.first().map(|(place, _)| Column { place: *place, thresholds }));
        }
        index.len = index.thresholds.len();
        let single = single.concat();
        let codes = |together: usize| single.chunks(together).map(|tests| 1 << tests.len()).sum::<usize>();
        let together = (1..=MAX_BINARY_SPLITS).rev().find(|together| index.len + codes(*together) <= max)?;
        for tests in single.chunks(together) {
            index.binary_splits.push(BinarySplits { tests: tests.to_vec(), first: index.len });
            index.len += 1 << tests.len();
        }
        (index.len > 0).then_some(index)
    }

    /// Returns the number of results.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns how many results a row has at most.
    pub fn max_per_row(&self) -> usize {
        self.columns.len() + self.binary_splits.len()
    }

    /// Returns the range of results of each column with several thresholds. A result implies those before it
    /// in its range.
    pub fn ascending(&self) -> impl Iterator<Item = Range<usize>> {
        self.columns.iter().map(|column| column.thresholds.clone())
    }

    /// Calls `visit` with each result in which the test fails. Of a column with several thresholds, it is
    /// only the first.
    pub fn for_each_failing(&self, place: usize, threshold: f32, mut visit: impl FnMut(usize)) {
        if let Ok(column) = self.columns.binary_search_by_key(&place, |column| column.place) {
            let Column { thresholds, .. } = &self.columns[column];
            let before = self.thresholds[thresholds.clone()].partition_point(|other| *other < threshold);
            return visit(thresholds.start + before);
        }
        for BinarySplits { tests, first } in &self.binary_splits {
            if let Some(bit) = tests.iter().position(|(column, _)| *column == place) {
                (0..1 << tests.len())
                    .filter(|code| code >> bit & 1 == 1)
                    .for_each(|code| visit(first + code));
            }
        }
    }

    /// Writes the results of a row's tests to `found` and returns their number. A column whose tests all pass
    /// has none.
    pub fn find(&self, row: &[f32], found: &mut [u32]) -> usize {
        let mut count = 0;
        for Column { place, thresholds } in &self.columns {
            let value = row[*place];
            let failed = self.thresholds[thresholds.clone()]
                .partition_point(|threshold| test_fails(value, *threshold));
            // Written unconditionally and kept or not: a branch here would be mispredicted.
            found[count] = (thresholds.start + failed).wrapping_sub(1) as u32;
            count += usize::from(failed > 0);
        }
        for BinarySplits { tests, first } in &self.binary_splits {
            let bits = tests.iter().enumerate();
            let code = bits.fold(0, |code, (bit, (place, threshold))| {
                code | usize::from(test_fails(row[*place], *threshold)) << bit
            });
            found[count] = (first + code) as u32;
            count += 1;
        }
        count
    }
}

/// Returns whether a value fails a test. NaN fails every test.
fn test_fails(value: f32, threshold: f32) -> bool {
    let passes = value <= threshold;
    !passes
}

/// Returns the distinct tests, sorted by column and threshold. `None` if a threshold is NaN.
fn distinct(tests: impl Iterator<Item = (usize, f32)>) -> Option<Vec<(usize, f32)>> {
    let mut tests: Vec<(usize, f32)> = tests.collect();
    if tests.iter().any(|(_, threshold)| threshold.is_nan()) {
        return None;
    }
    tests.sort_unstable_by(|(column, threshold), other| {
        column.cmp(&other.0).then(threshold.total_cmp(&other.1))
    });
    tests.dedup();
    Some(tests)
}

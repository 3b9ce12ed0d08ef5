//! What the tests of a forest come to for a row.
//!
//! A forest tests a column at several thresholds, and all that matters is between which of them a row's value lies. Or it
//! tests a column at one threshold, as it does one category's: what several such columns come to together is one outcome
//! too.

use std::ops::Range;

use super::TreeNode;

/// How many columns with one threshold make an outcome together at most: each doubles the outcomes.
const MOST_SWITCHES: usize = 8;

/// The outcomes that the tests of a forest have, numbered from 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    /// The columns with several thresholds.
    columns: Vec<Column>,
    /// Theirs, each column's in turn, there ascending and each once. Each is an outcome: the greatest that a value is above.
    thresholds: Vec<f32>,
    /// The columns with one threshold.
    switches: Vec<Switches>,
    len: usize,
}

/// A column that is tested at several thresholds.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    place: usize,
    /// Where its thresholds are.
    thresholds: Range<usize>,
}

/// Columns that are tested at one threshold each. A row has a bit for each one that it is above, and each number that these
/// bits make is an outcome.
#[derive(Debug, Clone, PartialEq)]
struct Switches {
    tests: Vec<(usize, f32)>,
    first: usize,
}

impl Outcomes {
    /// Numbers the outcomes; `None` if there is none, if there are more than `most`, or if a threshold is NaN, which has no
    /// place among the others.
    pub fn of(trees: &[Vec<TreeNode>], most: usize) -> Option<Self> {
        let tests = tests(trees)?;
        let columns: Vec<&[(usize, f32)]> = tests.chunk_by(|(column, _), (next, _)| column == next).collect();
        let (single, several): (Vec<_>, Vec<_>) = columns.into_iter().partition(|tests| tests.len() == 1);
        let mut outcomes = Self { columns: Vec::new(), thresholds: Vec::new(), switches: Vec::new(), len: 0 };
        for tests in several {
            let start = outcomes.thresholds.len();
            outcomes.thresholds.extend(tests.iter().map(|(_, threshold)| *threshold));
            let thresholds = start..outcomes.thresholds.len();
            outcomes.columns.extend(tests.first().map(|(place, _)| Column { place: *place, thresholds }));
        }
        outcomes.len = outcomes.thresholds.len();
        let single = single.concat();
        let codes = |together: usize| single.chunks(together).map(|tests| 1 << tests.len()).sum::<usize>();
        let together = (1..=MOST_SWITCHES).rev().find(|together| outcomes.len + codes(*together) <= most)?;
        for tests in single.chunks(together) {
            outcomes.switches.push(Switches { tests: tests.to_vec(), first: outcomes.len });
            outcomes.len += 1 << tests.len();
        }
        (outcomes.len > 0).then_some(outcomes)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many a row has at most.
    pub fn of_row(&self) -> usize {
        self.columns.len() + self.switches.len()
    }

    /// The outcomes of each column with several thresholds: to whom one of them comes, fails the tests of those before it
    /// too.
    pub fn ascending(&self) -> impl Iterator<Item = Range<usize>> {
        self.columns.iter().map(|column| column.thresholds.clone())
    }

    /// Tells the outcomes in which a test is failed, but for those of a column with several thresholds that follow the first.
    pub fn each_failing(&self, place: usize, threshold: f32, mut tell: impl FnMut(usize)) {
        if let Ok(column) = self.columns.binary_search_by_key(&place, |column| column.place) {
            let Column { thresholds, .. } = &self.columns[column];
            let before = self.thresholds[thresholds.clone()].partition_point(|other| *other < threshold);
            return tell(thresholds.start + before);
        }
        for Switches { tests, first } in &self.switches {
            if let Some(bit) = tests.iter().position(|(column, _)| *column == place) {
                (0..1 << tests.len()).filter(|code| code >> bit & 1 == 1).for_each(|code| tell(first + code));
            }
        }
    }

    /// Writes down the outcomes of a row's tests; says how many these are. A column none of whose tests it fails has none.
    pub fn find(&self, row: &[f32], found: &mut [u32]) -> usize {
        let mut count = 0;
        for Column { place, thresholds } in &self.columns {
            let value = row[*place];
            let failed =
                self.thresholds[thresholds.clone()].partition_point(|threshold| fails(value, *threshold));
            // Nobody can foresee whether there is one, so it is written without asking, and kept or not.
            found[count] = (thresholds.start + failed).wrapping_sub(1) as u32;
            count += usize::from(failed > 0);
        }
        for Switches { tests, first } in &self.switches {
            let bits = tests.iter().enumerate();
            let code = bits.fold(0, |code, (bit, (place, threshold))| {
                code | usize::from(fails(row[*place], *threshold)) << bit
            });
            found[count] = (first + code) as u32;
            count += 1;
        }
        count
    }
}

/// Who does not pass fails: what is not a number too.
fn fails(value: f32, threshold: f32) -> bool {
    let passes = value <= threshold;
    !passes
}

/// All tests, by column and then ascending, each once; `None` if a threshold is NaN.
fn tests(trees: &[Vec<TreeNode>]) -> Option<Vec<(usize, f32)>> {
    let tests = trees.iter().flatten().filter_map(|node| match *node {
        TreeNode::Split { column, threshold, .. } => Some((column, threshold)),
        TreeNode::Leaf { .. } => None,
    });
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

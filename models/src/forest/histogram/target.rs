//! What a tree predicts, and the sums by which it is grown.

use std::array;

use crate::fitted::ClassShare;
use crate::forest::leaf_steps;
use crate::labels::ClassLabels;

/// The labels of rows, as a record holds them and a tree sums them.
pub(super) trait Target: Sync {
    /// The sums of some records.
    type Sums: Sums;
    /// The value of a leaf.
    type Leaf: Clone + PartialEq + Default + Send;
    /// The number of bytes of a label in a record.
    const BYTES: usize;

    /// Returns how many of the columns are considered at each split, unless a setting says so: as Breiman advises, the
    /// square root of their number for classes and a third of them for numbers.
    fn considered(columns: usize) -> usize {
        columns.isqrt()
    }

    /// Returns the number of rows.
    fn rows(&self) -> usize;

    /// Adds the label of a row to a record.
    fn write(&self, row: usize, record: &mut Vec<u8>);

    /// Reads a record that was drawn this often.
    fn one(&self, times: u8, label: &[u8]) -> <Self::Sums as Sums>::One;

    /// Returns the sums of no record.
    fn zero(&self) -> Self::Sums;

    /// Returns the value of a leaf with these sums.
    fn leaf(&self, sums: &Self::Sums) -> Self::Leaf;
}

/// The sums of some records of one tree.
pub(super) trait Sums: Clone + Send {
    /// One record.
    type One: Copy;

    /// Makes them those of no record.
    fn clear(&mut self);

    /// Adds a record.
    fn add_one(&mut self, one: Self::One);

    /// Adds the sums of other records.
    fn add(&mut self, other: &Self);

    /// Returns the sums without a part of their records.
    #[must_use]
    fn without(&self, part: &Self) -> Self;

    /// Returns the number of different rows.
    fn rows(&self) -> u32;

    /// Returns whether all labels are alike.
    fn is_pure(&self) -> bool;

    /// Returns the part of the impurity that a split can change, negated: the higher, the purer.
    fn purity(&self) -> f64;
}

/// A binary label.
pub(super) struct BinaryTarget<'a> {
    labels: &'a [bool],
    steps: f32,
}

impl<'a> BinaryTarget<'a> {
    pub fn new(labels: &'a [bool], trees: usize) -> Self {
        Self { labels, steps: leaf_steps(trees) }
    }
}

impl Target for BinaryTarget<'_> {
    type Sums = Counts;
    type Leaf = f32;
    const BYTES: usize = 1;

    fn rows(&self) -> usize {
        self.labels.len()
    }

    fn write(&self, row: usize, record: &mut Vec<u8>) {
        record.push(u8::from(self.labels[row]));
    }

    fn one(&self, times: u8, label: &[u8]) -> Counts {
        let positive = label.first().copied().unwrap_or_default();
        Counts([1, u32::from(times), u32::from(times * positive), 0])
    }

    fn zero(&self) -> Counts {
        Counts::default()
    }

    fn leaf(&self, sums: &Counts) -> f32 {
        (sums.share() as f32 * self.steps).round() / self.steps
    }
}

/// Counts of records: how many there are, how often they were drawn, and how often positive ones were drawn.
/// The fourth word is 0: four are added as fast as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts([u32; 4]);

impl Counts {
    fn drawn(self) -> u32 {
        self.0[1]
    }

    fn positives(self) -> u32 {
        self.0[2]
    }

    /// Returns the share of positives among the rows drawn.
    fn share(self) -> f64 {
        f64::from(self.positives()) / f64::from(self.drawn().max(1))
    }
}

impl Sums for Counts {
    type One = Self;

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn add_one(&mut self, one: Self) {
        self.add(&one);
    }

    fn add(&mut self, other: &Self) {
        self.0 = array::from_fn(|at| self.0[at] + other.0[at]);
    }

    fn without(&self, part: &Self) -> Self {
        Self(array::from_fn(|at| self.0[at] - part.0[at]))
    }

    fn rows(&self) -> u32 {
        self.0[0]
    }

    fn is_pure(&self) -> bool {
        self.positives() == 0 || self.positives() == self.drawn()
    }

    /// Returns that of Gini's impurity.
    fn purity(&self) -> f64 {
        f64::from(self.positives()) * self.share()
    }
}

/// The classes of rows.
pub(super) struct ClassTarget<'a> {
    labels: &'a ClassLabels,
    steps: f32,
}

impl<'a> ClassTarget<'a> {
    pub fn new(labels: &'a ClassLabels, trees: usize) -> Self {
        Self { labels, steps: leaf_steps(trees) }
    }
}

impl Target for ClassTarget<'_> {
    type Sums = ClassCounts;
    type Leaf = Vec<ClassShare>;
    const BYTES: usize = 4;

    fn rows(&self) -> usize {
        self.labels.indices.len()
    }

    fn write(&self, row: usize, record: &mut Vec<u8>) {
        record.extend(self.labels.indices[row].to_le_bytes());
    }

    fn one(&self, times: u8, label: &[u8]) -> (u32, u32) {
        (u32::from(times), label.try_into().map_or(0, u32::from_le_bytes))
    }

    fn zero(&self) -> ClassCounts {
        ClassCounts { rows: 0, drawn: 0, classes: vec![0; self.labels.classes] }
    }

    /// Returns the shares of the classes that occur, which add up to 1. What rounding down leaves over goes to the
    /// largest remainders.
    fn leaf(&self, sums: &ClassCounts) -> Vec<ClassShare> {
        let steps = f64::from(self.steps);
        let exact = |count: u32| f64::from(count) / f64::from(sums.drawn.max(1)) * steps;
        let present = sums.classes.iter().enumerate().filter(|(_, count)| **count > 0);
        let mut shares: Vec<(u32, f64, f64)> = present
            .map(|(class, count)| (class as u32, exact(*count).floor(), exact(*count).fract()))
            .collect();
        let left = steps - shares.iter().map(|(_, share, _)| share).sum::<f64>();
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by(|a, b| shares[*b].2.total_cmp(&shares[*a].2));
        for at in order.into_iter().take(left.round() as usize) {
            shares[at].1 += 1.0;
        }
        let shares = shares.into_iter().filter(|(_, share, _)| *share > 0.0);
        shares.map(|(class, share, _)| ClassShare { class, share: (share / steps) as f32 }).collect()
    }
}

/// Counts of records by class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClassCounts {
    rows: u32,
    /// How often the records were drawn.
    drawn: u32,
    /// The same by class.
    classes: Vec<u32>,
}

impl Sums for ClassCounts {
    /// How often it was drawn, and its class.
    type One = (u32, u32);

    fn clear(&mut self) {
        (self.rows, self.drawn) = (0, 0);
        self.classes.fill(0);
    }

    fn add_one(&mut self, (times, class): (u32, u32)) {
        self.rows += 1;
        self.drawn += times;
        if let Some(count) = self.classes.get_mut(class as usize) {
            *count += times;
        }
    }

    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.drawn += other.drawn;
        self.classes.iter_mut().zip(&other.classes).for_each(|(count, more)| *count += more);
    }

    fn without(&self, part: &Self) -> Self {
        let classes = self.classes.iter().zip(&part.classes).map(|(all, part)| all - part).collect();
        Self { rows: self.rows - part.rows, drawn: self.drawn - part.drawn, classes }
    }

    fn rows(&self) -> u32 {
        self.rows
    }

    fn is_pure(&self) -> bool {
        self.classes.contains(&self.drawn)
    }

    /// Returns that of Gini's impurity.
    fn purity(&self) -> f64 {
        let squares: f64 = self.classes.iter().map(|count| f64::from(*count).powi(2)).sum();
        squares / f64::from(self.drawn.max(1))
    }
}

/// The numbers of rows.
pub(super) struct NumberTarget {
    /// The labels in standard deviations from their mean.
    labels: Vec<f64>,
    mean: f64,
    std: f64,
    /// Leaves are multiples of this power of two, in the units of the labels.
    step: f64,
}

impl NumberTarget {
    pub fn new(labels: &[f64], trees: usize) -> Self {
        let (mean, std) = crate::metrics::mean_and_std(labels);
        // The leaves are around what the model adds them to, which has single precision.
        let mean = f64::from(mean as f32);
        let std = if std > 0.0 { std } else { 1.0 };
        let farthest = labels.iter().map(|label| (label - mean).abs()).fold(0.0, f64::max);
        Self {
            labels: labels.iter().map(|label| (label - mean) / std).collect(),
            mean,
            std,
            step: exact_step(farthest, trees),
        }
    }

    /// Returns the prediction of leaves of 0.
    pub fn base(&self) -> f32 {
        self.mean as f32
    }
}

/// Returns the smallest power of two of which values up to `farthest` are multiples while the sum of one from each
/// tree stays exact in single precision, which holds every whole number up to 2²⁴.
fn exact_step(farthest: f64, trees: usize) -> f64 {
    const EXACT: f64 = 16_777_216.0;
    let smallest = farthest * trees as f64 / EXACT;
    if smallest > 0.0 { smallest.log2().ceil().exp2().max(f64::from(f32::MIN_POSITIVE)) } else { 1.0 }
}

impl Target for NumberTarget {
    type Sums = Moments;
    type Leaf = f32;
    const BYTES: usize = 8;

    fn considered(columns: usize) -> usize {
        columns / 3
    }

    fn rows(&self) -> usize {
        self.labels.len()
    }

    fn write(&self, row: usize, record: &mut Vec<u8>) {
        record.extend(self.labels[row].to_le_bytes());
    }

    fn one(&self, times: u8, label: &[u8]) -> Moments {
        let (times, label) = (f64::from(times), label.try_into().map_or(0.0, f64::from_le_bytes));
        Moments([1.0, times, times * label, times * label * label])
    }

    fn zero(&self) -> Moments {
        Moments::default()
    }

    fn leaf(&self, sums: &Moments) -> f32 {
        // Adding 0 makes 0 of -0.
        ((sums.mean() * self.std / self.step).round() * self.step) as f32 + 0.0
    }
}

/// Sums of records: how many there are, how often they were drawn, the sum of their labels, and of their squares.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Moments([f64; 4]);

impl Moments {
    fn mean(self) -> f64 {
        self.0[2] / self.0[1].max(1.0)
    }
}

impl Sums for Moments {
    type One = Self;

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn add_one(&mut self, one: Self) {
        self.add(&one);
    }

    fn add(&mut self, other: &Self) {
        self.0 = array::from_fn(|at| self.0[at] + other.0[at]);
    }

    fn without(&self, part: &Self) -> Self {
        Self(array::from_fn(|at| self.0[at] - part.0[at]))
    }

    fn rows(&self) -> u32 {
        self.0[0] as u32
    }

    /// Labels within a millionth of a standard deviation are alike: sums of squares hold no more digits.
    fn is_pure(&self) -> bool {
        let [_, drawn, _, squares] = self.0;
        squares / drawn.max(1.0) - self.mean().powi(2) <= 1e-12
    }

    /// Returns that of the squared error.
    fn purity(&self) -> f64 {
        self.0[2] * self.mean()
    }
}

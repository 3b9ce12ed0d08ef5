//! One tree, grown on a bootstrap sample.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::bins::{BINS, BinnedRows, Group};
use super::target::{Sums, Target};
use crate::fitted::{Node, Tree};
use crate::forest::pruned;
use crate::parameters::ForestParams;

/// Grows a tree on a bootstrap sample of the rows.
pub(super) fn tree<T: Target>(
    rows: &BinnedRows,
    target: &T,
    params: &ForestParams,
    mut random: ChaCha8Rng,
) -> Tree<T::Leaf> {
    let mut sample = Sample::draw(rows, target, &mut random);
    let columns: Vec<u32> = (0..rows.columns.len() as u32).collect();
    let tried = params.max_features.unwrap_or(T::considered(columns.len())).clamp(1, columns.len().max(1));
    let slot_of = vec![None; rows.groups.len()];
    let mut search = Search { rows, target, params, tried, columns, slot_of, histograms: Vec::new(), random };

    let mut nodes = vec![Node::Leaf { value: T::Leaf::default() }];
    let mut open = vec![Open { node: 0, start: 0, end: sample.len(), depth: 0, sums: sample.sums() }];
    while let Some(Open { node, start, end, depth, sums }) = open.pop() {
        let part = sample.part(start, end);
        let Some(split) = search.best_split(&part, depth, &sums) else {
            nodes[node] = Node::Leaf { value: target.leaf(&sums) };
            continue;
        };
        let middle = start + sample.partition(start, end, &split);
        let next = nodes.len();
        let (column, threshold) = (split.column, split.threshold);
        nodes[node] = Node::Split { column, threshold, below: next as u32, above: next as u32 + 1 };
        nodes.extend([(); 2].map(|()| Node::Leaf { value: T::Leaf::default() }));
        let depth = depth + 1;
        let above = sums.without(&split.below);
        open.push(Open { node: next + 1, start: middle, end, depth, sums: above });
        open.push(Open { node: next, start, end: middle, depth, sums: split.below });
    }
    pruned(&nodes)
}

/// A node that is still to be split or made a leaf, with its part of the sample.
struct Open<S> {
    node: usize,
    start: usize,
    end: usize,
    depth: u16,
    sums: S,
}

/// A bootstrap sample: for each row drawn, its bins, how often it was drawn, and its label.
///
/// A record holds them side by side, and the records of a node are contiguous, so the search reads memory in
/// order.
struct Sample<'a, T> {
    target: &'a T,
    records: Vec<u8>,
    width: usize,
}

/// Returns the number of bytes after the bins of a record: how often it was drawn, and its label.
const fn tail<T: Target>() -> usize {
    1 + T::BYTES
}

impl<'a, T: Target> Sample<'a, T> {
    fn draw(rows: &BinnedRows, target: &'a T, random: &mut ChaCha8Rng) -> Self {
        let count = target.rows();
        let mut drawn = vec![0_u32; count];
        for _ in 0..count {
            drawn[random.random_range(0..count)] += 1;
        }
        let width = rows.groups.len() + tail::<T>();
        let distinct = drawn.iter().filter(|times| **times > 0).count();
        let mut records = Vec::with_capacity(distinct * width);
        for (row, mut left) in drawn.into_iter().enumerate() {
            while left > 0 {
                let times = left.min(u32::from(u8::MAX)) as u8;
                records.extend_from_slice(rows.row(row));
                records.push(times);
                target.write(row, &mut records);
                left -= u32::from(times);
            }
        }
        Self { target, records, width }
    }

    fn len(&self) -> usize {
        self.records.len() / self.width
    }

    fn part(&self, start: usize, end: usize) -> Part<'_, T> {
        let records = &self.records[start * self.width..end * self.width];
        Part { target: self.target, records, width: self.width }
    }

    fn sums(&self) -> T::Sums {
        let mut sums = self.target.zero();
        self.part(0, self.len()).each(|_, one| sums.add_one(one));
        sums
    }

    /// Moves the records that go below the split before those that go above. Returns how many go below.
    fn partition(&mut self, start: usize, end: usize, split: &Split<T::Sums>) -> usize {
        let width = self.width;
        let records = &mut self.records[start * width..end * width];
        let (mut low, mut high) = (0, end - start);
        while low < high {
            if split.goes_below(records[low * width + split.group]) {
                low += 1;
            } else if !split.goes_below(records[(high - 1) * width + split.group]) {
                high -= 1;
            } else {
                high -= 1;
                let (head, tail) = records.split_at_mut(high * width);
                head[low * width..(low + 1) * width].swap_with_slice(&mut tail[..width]);
                low += 1;
            }
        }
        low
    }
}

/// The records of one node.
struct Part<'a, T> {
    target: &'a T,
    records: &'a [u8],
    width: usize,
}

/// One record of a target.
type One<T> = <<T as Target>::Sums as Sums>::One;

impl<T: Target> Part<'_, T> {
    /// Calls `f` with the bins and the label of each record.
    fn each(&self, mut f: impl FnMut(&[u8], One<T>)) {
        let bins = self.width - tail::<T>();
        for record in self.records.chunks_exact(self.width) {
            let (bins, tail) = record.split_at(bins);
            if let Some((times, label)) = tail.split_first() {
                f(bins, self.target.one(*times, label));
            }
        }
    }
}

/// A split of a node.
#[derive(Debug, Clone)]
struct Split<S> {
    column: u32,
    threshold: f32,
    group: usize,
    rule: Rule,
    /// The sums of the records that go below.
    below: S,
    purity: f64,
}

/// The bins that go below.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// All bins up to this one.
    UpTo(u8),
    /// All bins but this one.
    AllBut(u8),
}

impl<S> Split<S> {
    fn goes_below(&self, bin: u8) -> bool {
        match self.rule {
            Rule::UpTo(last) => bin <= last,
            Rule::AllBut(one) => bin != one,
        }
    }
}

/// The best split on one column, or why there is none.
enum Candidate<S> {
    /// All rows have the same value.
    Constant,
    /// No split leaves enough rows on both sides.
    TooFew,
    Split(Split<S>),
}

/// The search for splits of one tree.
struct Search<'a, T: Target> {
    rows: &'a BinnedRows,
    target: &'a T,
    params: &'a ForestParams,
    /// The number of columns considered at each split.
    tried: usize,
    /// All columns. Each search moves those that it tries to the front.
    columns: Vec<u32>,
    /// The index of the histogram of each group, if this node has one.
    slot_of: Vec<Option<usize>>,
    /// The sums of each bin.
    histograms: Vec<Vec<T::Sums>>,
    random: ChaCha8Rng,
}

impl<T: Target> Search<'_, T> {
    /// Returns the best split on the columns that are drawn, or `None` if the node becomes a leaf.
    ///
    /// As in scikit-learn, columns of one value count among those tried; further columns are drawn only if
    /// all were such.
    fn best_split(&mut self, part: &Part<'_, T>, depth: u16, sums: &T::Sums) -> Option<Split<T::Sums>> {
        let rows = sums.rows() as usize;
        let is_small = rows < self.params.min_samples_split || rows / 2 < self.params.min_samples_leaf;
        if sums.is_pure() || is_small || self.params.max_depth == Some(depth) {
            return None;
        }
        self.slot_of.fill(None);
        let mut best: Option<Split<T::Sums>> = None;
        let mut all_constant = true;
        let mut from = 0;
        while all_constant && from < self.columns.len() {
            let to = if from == 0 { self.tried } else { from + 1 };
            self.draw(from, to);
            self.count(part, from, to);
            for at in from..to {
                match self.best_on(self.columns[at], sums) {
                    Candidate::Constant => continue,
                    Candidate::TooFew => {}
                    Candidate::Split(split)
                        if best.as_ref().is_none_or(|best| split.purity > best.purity) =>
                    {
                        best = Some(split);
                    }
                    Candidate::Split(_) => {}
                }
                all_constant = false;
            }
            from = to;
        }
        best
    }

    /// Draws columns that were not drawn before, and moves them to these places.
    fn draw(&mut self, from: usize, to: usize) {
        for at in from..to {
            let other = self.random.random_range(at..self.columns.len());
            self.columns.swap(at, other);
        }
    }

    /// Builds the histograms that the columns at these places need, in one pass over the records.
    fn count(&mut self, part: &Part<'_, T>, from: usize, to: usize) {
        let mut wanted = Vec::with_capacity(to - from);
        let first = self.slot_of.iter().flatten().count();
        for column in &self.columns[from..to] {
            let (group, _) = self.rows.columns[*column as usize];
            if self.slot_of[group].is_none() {
                self.slot_of[group] = Some(first + wanted.len());
                wanted.push(group);
            }
        }
        let slots = first + wanted.len();
        if self.histograms.len() < slots {
            self.histograms.resize_with(slots, || vec![self.target.zero(); BINS]);
        }
        let histograms = &mut self.histograms[first..slots];
        for (histogram, group) in histograms.iter_mut().zip(&wanted) {
            histogram[..self.rows.groups[*group].bins()].iter_mut().for_each(Sums::clear);
        }
        part.each(|bins, one| {
            for (histogram, group) in histograms.iter_mut().zip(&wanted) {
                histogram[usize::from(bins[*group])].add_one(one);
            }
        });
    }

    fn best_on(&self, column: u32, all: &T::Sums) -> Candidate<T::Sums> {
        let (group, bin) = self.rows.columns[column as usize];
        let Some(slot) = self.slot_of[group] else { return Candidate::Constant };
        let of = &self.rows.groups[group];
        let histogram = &self.histograms[slot][..of.bins()];
        match of {
            Group::Numeric { .. } => self.best_numeric(column, group, histogram, all),
            Group::OneHot { .. } => {
                let above = &histogram[usize::from(bin)];
                if above.rows() == 0 || above.rows() == all.rows() {
                    return Candidate::Constant;
                }
                let below = all.without(above);
                if !self.leaves_enough(&below, above) {
                    return Candidate::TooFew;
                }
                let (threshold, rule) = (of.threshold(0, 1), Rule::AllBut(bin));
                let purity = below.purity() + above.purity();
                Candidate::Split(Split { column, threshold, group, rule, below, purity })
            }
        }
    }

    fn best_numeric(
        &self,
        column: u32,
        group: usize,
        histogram: &[T::Sums],
        all: &T::Sums,
    ) -> Candidate<T::Sums> {
        let mut below = self.target.zero();
        // The last bin that has rows, and the best split so far: its bins on both sides and the sums below.
        let mut last = None;
        let mut best: Option<(f64, usize, usize, T::Sums)> = None;
        let mut is_constant = true;
        for (bin, sums) in histogram.iter().enumerate().filter(|(_, sums)| sums.rows() > 0) {
            if let Some(last) = last {
                is_constant = false;
                let above = all.without(&below);
                let purity = below.purity() + above.purity();
                if self.leaves_enough(&below, &above) && best.as_ref().is_none_or(|(best, ..)| purity > *best)
                {
                    best = Some((purity, last, bin, below.clone()));
                }
            }
            below.add(sums);
            last = Some(bin);
        }
        match best {
            Some((purity, last, next, below)) => {
                let threshold = self.rows.groups[group].threshold(last, next);
                Candidate::Split(Split {
                    column,
                    threshold,
                    group,
                    rule: Rule::UpTo(last as u8),
                    below,
                    purity,
                })
            }
            None if is_constant => Candidate::Constant,
            None => Candidate::TooFew,
        }
    }

    fn leaves_enough(&self, below: &T::Sums, above: &T::Sums) -> bool {
        below.rows().min(above.rows()) as usize >= self.params.min_samples_leaf
    }
}

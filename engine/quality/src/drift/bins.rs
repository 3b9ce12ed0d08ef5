use onnward_schemas::{FeatureProfile, Profile, SCORE_BINS, ScoreProfile};

/// The bins in which the values of a row are counted: those of all features and of the score, one after the
/// other.
///
/// A feature's bins are those of its values as the profile has them, then one for missing values and, of a
/// category, one for unknown values. A probability has [`SCORE_BINS`] equal bins and one for NaN; a predicted
/// class has the bins of a category, and a predicted number those of a quantity.
#[derive(Debug)]
pub struct Bins {
    features: Vec<VariableBins>,
    score: VariableBins,
}

/// The bins of one feature, or of the score.
#[derive(Debug)]
struct VariableBins {
    start: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// [`SCORE_BINS`] equal bins from 0 to 1.
    Probability,
    /// The inner edges, ascending; a bin holds its upper edge.
    Numeric(Box<[f32]>),
    /// The number of values.
    Categorical(usize),
}

impl Bins {
    /// Creates the bins of a training profile.
    pub fn new(profile: &Profile) -> Self {
        let mut start = 0;
        let mut place = |values: Values| {
            let placed = VariableBins { start, values };
            start = placed.end();
            placed
        };
        let features = profile.features.iter().map(|feature| place(Values::of(feature))).collect();
        let score = place(match &profile.score {
            ScoreProfile::Probability(_) => Values::Probability,
            ScoreProfile::Values(profile) => Values::of(profile),
        });
        Self { features, score }
    }

    /// Returns the number of features of a row.
    pub fn features(&self) -> usize {
        self.features.len()
    }

    /// Returns the number of all bins.
    pub fn len(&self) -> usize {
        self.score.end()
    }

    /// Counts rows: `features` is flat `[rows, features]` in the schema's order, `scores` `[rows]`. `counts`
    /// has one count for each bin.
    pub fn count(&self, counts: &mut [u32], features: &[f32], scores: &[f32]) {
        let width = self.features.len();
        // Feature by feature: the branch on its kind is then predicted, and its edges stay in the cache.
        for (index, bins) in self.features.iter().enumerate() {
            bins.count(counts, features.iter().skip(index).step_by(width).copied());
        }
        self.score.count(counts, scores.iter().copied());
    }
}

impl VariableBins {
    /// Returns the first bin after these.
    fn end(&self) -> usize {
        self.start + self.values.bins()
    }

    fn count(&self, counts: &mut [u32], column: impl Iterator<Item = f32>) {
        let Some(counts) = counts.get_mut(self.start..) else { return };
        match &self.values {
            Values::Probability => column.for_each(|probability| add(counts, score(probability))),
            Values::Numeric(edges) => column.for_each(|value| add(counts, numeric(edges, value))),
            Values::Categorical(values) => column.for_each(|code| add(counts, category(*values, code))),
        }
    }
}

impl Values {
    fn of(profile: &FeatureProfile) -> Self {
        match profile {
            FeatureProfile::Numeric { edges, .. } => Self::Numeric(edges.clone().into_boxed_slice()),
            FeatureProfile::Categorical { counts, .. } => Self::Categorical(counts.len()),
        }
    }

    /// Returns the number of bins, with those of missing and unknown values.
    fn bins(&self) -> usize {
        match self {
            Self::Probability => SCORE_BINS + 1,
            Self::Numeric(edges) => edges.len() + 2,
            Self::Categorical(values) => values + 2,
        }
    }
}

fn add(counts: &mut [u32], bin: usize) {
    if let Some(count) = counts.get_mut(bin) {
        *count += 1;
    }
}

/// Returns the bin of a number. NaN, which means missing, is the bin after the last.
fn numeric(edges: &[f32], value: f32) -> usize {
    if value.is_nan() {
        return edges.len() + 1;
    }
    // Edges are few: a linear scan is faster than a binary search.
    edges.iter().filter(|edge| value > **edge).count()
}

/// Returns the bin of a category. The bins of missing and unknown ones follow those of the schema's values.
fn category(values: usize, code: f32) -> usize {
    if code.is_nan() {
        return values;
    }
    // A negative code, as unknown values have, becomes 0 as a whole number.
    let value = code as usize;
    if code >= 0.0 && value < values { value } else { values + 1 }
}

/// Returns the bin of a probability, as the profile counts it.
fn score(probability: f32) -> usize {
    if probability.is_nan() {
        return SCORE_BINS;
    }
    ((f64::from(probability) * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_bin_and_missing_and_unknown_have_their_own() {
        let profile = Profile {
            rows: 0,
            features: vec![
                FeatureProfile::Numeric {
                    edges: vec![1.0, 5.0],
                    counts: vec![0; 3],
                    missing: 0,
                    min: 0.0,
                    median: 0.0,
                    mean: 0.0,
                    max: 0.0,
                },
                FeatureProfile::Categorical { counts: vec![0; 2], missing: 0, unknown: 0 },
            ],
            score: ScoreProfile::Probability(vec![0; SCORE_BINS]),
            errors: None,
        };
        let bins = Bins::new(&profile);
        let nan = f32::NAN;
        #[rustfmt::skip]
        let rows = [
            0.5, 0.0,
            1.0, 1.0,
            1.5, -1.0,
            5.0, nan,
            f32::INFINITY, 2.0,
            nan, 1.0,
        ];
        let mut counts = vec![0; bins.len()];
        bins.count(&mut counts, &rows, &[0.0, 0.049, 0.05, 1.0, nan, 0.999]);
        assert_eq!(counts[..4], [2, 2, 1, 1], "up to 1, up to 5, over 5, missing");
        assert_eq!(counts[4..8], [1, 2, 1, 2], "two values, missing, unknown");
        let score = &counts[8..];
        assert_eq!((score[0], score[1], score[19], score[20]), (2, 1, 2, 1));
        assert_eq!(counts.iter().sum::<u32>(), 18, "each value is counted once");
    }
}

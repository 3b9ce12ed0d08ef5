use onnward_schemas::{Feature, FeatureKind, FeatureProfile, GoldenValue, Profile, Schema};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws rows as the training rows were, each feature for itself: a raw value for each feature, in the schema's order.
/// The same `seed` always gives the same rows.
pub fn draw_rows(schema: &Schema, profile: &Profile, rows: usize, seed: &str) -> Vec<Vec<GoldenValue>> {
    let mut bytes = [0; 32];
    for (byte, given) in bytes.iter_mut().zip(seed.bytes()) {
        *byte = given;
    }
    let mut random = ChaCha8Rng::from_seed(bytes);
    let mut row = || {
        let features = schema.features.iter().zip(&profile.features);
        features.map(|(feature, seen)| draw(feature, seen, &mut random)).collect()
    };
    (0..rows).map(|_| row()).collect()
}

/// Always takes two random numbers, so that what one feature draws does not depend on what another one drew.
fn draw(feature: &Feature, seen: &FeatureProfile, random: &mut ChaCha8Rng) -> GoldenValue {
    let [which, within]: [f64; 2] = [random.random_range(0.0..1.0), random.random_range(0.0..1.0)];
    match seen {
        FeatureProfile::Numeric { edges, counts, missing, min, max, .. } => {
            match pick(counts, *missing, which) {
                Some(bin) => {
                    let below = bin.checked_sub(1).and_then(|below| edges.get(below)).copied();
                    number(feature, below, [*min, *edges.get(bin).unwrap_or(max)], within)
                }
                None => GoldenValue::Missing,
            }
        }
        FeatureProfile::Categorical { counts, missing, unknown } => {
            let values = feature.categories().unwrap_or_default();
            let mut counts = counts.clone();
            counts.push(*unknown);
            match pick(&counts, *missing, which) {
                Some(value) => {
                    GoldenValue::Text(values.get(value).cloned().unwrap_or_else(|| unlisted(values)))
                }
                None => GoldenValue::Missing,
            }
        }
    }
}

/// Which of `counts` a share of the way through all of them lies in; `None` in the `missing` after them, or if there is
/// nothing to choose from.
fn pick(counts: &[u64], missing: u64, share: f64) -> Option<usize> {
    let total: f64 = counts.iter().chain([&missing]).map(|count| *count as f64).sum();
    let mut left = share * total;
    counts.iter().position(|count| {
        left -= *count as f64;
        left < 0.0
    })
}

/// A number above the edge `below`, up to `high`; the first bin has no edge below it and begins with `min`.
fn number(feature: &Feature, below: Option<f32>, [min, high]: [f32; 2], share: f64) -> GoldenValue {
    let [min, high] = [min, high].map(f64::from);
    let below = below.map(f64::from);
    let drawn = if matches!(feature.kind, FeatureKind::Numeric { integer: true, .. }) {
        (high - share * (high - below.unwrap_or(min - 1.0))).ceil().min(high)
    } else {
        high - share * (high - below.unwrap_or(min))
    };
    // The few digits that tell this single-precision number from its neighbours.
    let written = (drawn as f32).to_string().parse();
    GoldenValue::Number(written.unwrap_or(drawn))
}

fn unlisted(values: &[String]) -> String {
    let mut name = "(unlisted)".to_owned();
    while values.contains(&name) {
        name.push('*');
    }
    name
}

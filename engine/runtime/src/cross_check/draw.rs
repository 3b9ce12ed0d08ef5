use onnward_schemas::{Feature, FeatureKind, FeatureProfile, GoldenValue, Profile, Schema};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws rows from the training profile, each feature independently, in the schema's order. The same `seed`
/// always returns the same rows.
pub fn draw_rows(schema: &Schema, profile: &Profile, rows: usize, seed: &str) -> Vec<Vec<GoldenValue>> {
    let mut bytes = [0; 32];
    for (byte, byte_of_seed) in bytes.iter_mut().zip(seed.bytes()) {
        *byte = byte_of_seed;
    }
    let mut random = ChaCha8Rng::from_seed(bytes);
    let mut row = || {
        let features = schema.features.iter().zip(&profile.features);
        features.map(|(feature, profile)| draw(feature, profile, &mut random)).collect()
    };
    (0..rows).map(|_| row()).collect()
}

/// Draws a value for one feature. It always takes two random numbers, so that each feature's draw is
/// independent of the others.
fn draw(feature: &Feature, profile: &FeatureProfile, random: &mut ChaCha8Rng) -> GoldenValue {
    let [which, within]: [f64; 2] = [random.random_range(0.0..1.0), random.random_range(0.0..1.0)];
    match profile {
        FeatureProfile::Numeric { edges, counts, missing, min, max, .. } => {
            match pick_bin(counts, *missing, which) {
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
            match pick_bin(&counts, *missing, which) {
                Some(value) => {
                    GoldenValue::Text(values.get(value).cloned().unwrap_or_else(|| unlisted_category(values)))
                }
                None => GoldenValue::Missing,
            }
        }
    }
}

/// Returns the bin in which a share of the cumulated counts lies. `None` for the missing rows, which come
/// last, or if all counts are 0.
fn pick_bin(counts: &[u64], missing: u64, share: f64) -> Option<usize> {
    let total: f64 = counts.iter().chain([&missing]).map(|count| *count as f64).sum();
    let mut left = share * total;
    counts.iter().position(|count| {
        left -= *count as f64;
        left < 0.0
    })
}

/// Draws a number above the edge `below` and up to `high`. The first bin has no edge below it and starts at
/// `min`.
fn number(feature: &Feature, below: Option<f32>, [min, high]: [f32; 2], share: f64) -> GoldenValue {
    let [min, high] = [min, high].map(f64::from);
    let below = below.map(f64::from);
    let drawn = if matches!(feature.kind, FeatureKind::Numeric { integer: true, .. }) {
        (high - share * (high - below.unwrap_or(min - 1.0))).ceil().min(high)
    } else {
        high - share * (high - below.unwrap_or(min))
    };
    // The few digits that distinguish this single-precision number from its neighbours.
    let written = (drawn as f32).to_string().parse();
    GoldenValue::Number(written.unwrap_or(drawn))
}

fn unlisted_category(values: &[String]) -> String {
    let mut name = "(unlisted)".to_owned();
    while values.contains(&name) {
        name.push('*');
    }
    name
}

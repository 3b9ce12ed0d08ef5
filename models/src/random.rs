//! Random choices that are the same on every machine for one seed.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers is for. Each purpose has its own, so that a change in one place moves nothing
/// elsewhere.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Split,
    Folds,
    ForestChunk,
    Permutation,
    GoldenRows,
    ForestTree,
}

/// The generator for one purpose; `index` tells apart parts of it that may run in any order.
pub(crate) fn generator(seed: u64, purpose: Purpose, index: u32) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(((purpose as u64) << 32) | u64::from(index));
    generator
}

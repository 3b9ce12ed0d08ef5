//! Random numbers that depend only on the seed, and not on the machine.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The purpose of a stream of random numbers. Each has its own stream, so that a change of one does not
/// affect the others.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Split,
    Folds,
    ForestChunk,
    Permutation,
    GoldenRows,
    ForestTree,
}

/// Returns the generator for one purpose. Parts of it that may run in any order each have their own `index`.
pub(crate) fn generator(seed: u64, purpose: Purpose, index: u32) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(((purpose as u64) << 32) | u64::from(index));
    generator
}

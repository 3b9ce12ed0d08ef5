use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws attributes and inputs.
pub struct Draw {
    random: ChaCha8Rng,
}

/// Numbers at which trees split and that inputs hold, so that ties are common.
const TIES: [f32; 9] = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 7.0];
/// Numbers that are treated apart.
const SPECIAL: [f32; 7] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, 1e-8, 3e10];
const WORDS: [&str; 8] = ["", "a", "b", "A", "north", "ü", "0", "NaN"];

impl Draw {
    pub fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    pub fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    pub fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// Returns 1 or a few or many rows.
    pub fn rows(&mut self) -> usize {
        self.one_of(&[1, 2, 3, 17, 70])
    }

    /// Returns a number that no rounding affects much.
    pub fn plain(&mut self) -> f32 {
        (self.random.random_range(-4.0..4.0f32) * 64.0).round() / 64.0
    }

    pub fn plains(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.plain()).collect()
    }

    pub fn tie(&mut self) -> f32 {
        self.one_of(&TIES)
    }

    /// Returns any number, special ones among them.
    pub fn number(&mut self) -> f32 {
        match self.below(5) {
            0 => self.one_of(&SPECIAL),
            1 | 2 => self.tie(),
            _ => self.plain(),
        }
    }

    pub fn numbers(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.number()).collect()
    }

    pub fn integers(&mut self, count: usize) -> Vec<i64> {
        (0..count).map(|_| self.below(9) as i64 - 2).collect()
    }

    pub fn words(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.one_of(&WORDS).to_owned()).collect()
    }
}

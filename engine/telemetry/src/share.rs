//! Sampling: which requests are logged, captured or traced.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A share of something, from 0 (none of it) to 1 (all of it).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

impl Share {
    /// All of it.
    pub const ALL: Self = Self(1.0);

    /// Creates a share, clamped to the range from 0 to 1.
    pub fn of(share: f64) -> Self {
        Self(share.clamp(0.0, 1.0))
    }

    /// Returns the bound below which the upper 53 bits of a random number are with this probability.
    fn bound(self) -> u64 {
        (self.0 * (1_u64 << BITS) as f64) as u64
    }

    /// Returns the share as a number.
    pub fn value(self) -> f64 {
        self.0
    }
}

/// A sampler that selects a share of requests at random.
///
/// It draws its own numbers. So nothing that a client sends, such as a request id, decides what is sampled.
///
/// ```
/// use onnward_telemetry::share::{Sampler, Share};
///
/// let sampler = Sampler::new(Share::of(0.25));
/// let sampled = (0..10_000).filter(|_| sampler.samples()).count();
/// assert!((2_300..2_700).contains(&sampled));
/// assert!(!Sampler::new(Share::of(0.0)).samples());
/// ```
#[derive(Debug)]
pub struct Sampler {
    /// A number is sampled if its upper 53 bits are below this bound.
    bound: AtomicU64,
    /// The number of decisions so far, from a random start. So instances sample independently.
    asked: AtomicU64,
}

/// The bits of a number that decide, as many as a share's precision has.
const BITS: u32 = 53;

impl Sampler {
    /// Creates a sampler with a random start.
    pub fn new(share: Share) -> Self {
        let asked = AtomicU64::new(RandomState::new().hash_one(()));
        Self { bound: AtomicU64::new(share.bound()), asked }
    }

    /// Selects this share from now on.
    pub fn set_share(&self, share: Share) {
        self.bound.store(share.bound(), Ordering::Relaxed);
    }

    /// Draws whether the next request is sampled.
    #[inline]
    pub fn samples(&self) -> bool {
        match self.bound.load(Ordering::Relaxed) {
            0 => false,
            bound if bound >> BITS > 0 => true,
            bound => mix(self.asked.fetch_add(1, Ordering::Relaxed)) >> (u64::BITS - BITS) < bound,
        }
    }
}

/// Spreads a counter over all bits, as SplitMix64 does (Steele et al., OOPSLA 2014).
#[inline]
fn mix(number: u64) -> u64 {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 100_000;

    /// Returns how many of [`DRAWS`] requests are sampled.
    fn sampled(share: f64) -> usize {
        let sampler = Sampler::new(Share::of(share));
        (0..DRAWS).filter(|_| sampler.samples()).count()
    }

    #[test]
    fn a_sampler_selects_its_share() {
        assert_eq!((sampled(0.0), sampled(1.0)), (0, DRAWS));
        // Five standard deviations of a binomial distribution.
        assert!(sampled(0.1).abs_diff(10_000) < 475, "{}", sampled(0.1));
        assert!(sampled(0.01).abs_diff(1_000) < 158, "{}", sampled(0.01));
        assert!(sampled(0.9).abs_diff(90_000) < 475, "{}", sampled(0.9));
    }

    #[test]
    fn requests_that_arrive_in_turns_are_sampled_alike() {
        let sampler = Sampler::new(Share::of(0.25));
        for turns in [2, 3, 4, 8, 64] {
            let of_first =
                (0..turns * 20_000).filter(|number| sampler.samples() && number % turns == 0).count();
            assert!(of_first.abs_diff(5_000) < 307, "{turns}: {of_first}");
        }
    }

    #[test]
    fn samplers_start_at_random_and_draw_independently() {
        let (one, other) = (Sampler::new(Share::of(0.5)), Sampler::new(Share::of(0.5)));
        let alike = (0..DRAWS).filter(|_| one.samples() == other.samples()).count();
        assert!(alike.abs_diff(DRAWS / 2) < 800, "{alike}");
    }
}

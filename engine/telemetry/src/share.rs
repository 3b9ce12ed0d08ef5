//! A share of requests, for sampling.

/// A share of something, from 0 (none of it) to 1 (all of it).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(f64);

impl Share {
    /// All of it.
    pub const ALL: Self = Self(1.0);

    /// This share, as near to it as there is one.
    pub fn of(share: f64) -> Self {
        Self(share.clamp(0.0, 1.0))
    }

    /// The share as a number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Whether what goes by this id belongs to the share. An id always belongs to the same shares: whatever is
    /// sampled by it is sampled whole, in every instance, and a smaller share is part of a larger one.
    pub fn holds(self, id: &[u8]) -> bool {
        self.0 >= 1.0 || (self.0 > 0.0 && place(id) < self.0)
    }
}

/// A place from 0 to below 1, evenly spread over ids however alike they are.
fn place(id: &[u8]) -> f64 {
    // FNV-1a (RFC 9923), and the last steps of MurmurHash3, which spread the last bytes over all bits.
    let fnv = id.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    let bits = (mixed ^ (mixed >> 33)) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_ids_is_as_large_as_it_says_and_a_larger_one_contains_it() {
        let ids: Vec<String> = (0..100_000).map(|number| format!("request-{number}")).collect();
        let held = |share: f64| ids.iter().filter(|id| Share::of(share).holds(id.as_bytes())).count();
        assert_eq!((held(0.0), held(1.0)), (0, ids.len()));
        // Four standard deviations of a binomial distribution.
        assert!((held(0.1) as f64 - 10_000.0).abs() < 380.0, "{}", held(0.1));
        assert!((held(0.01) as f64 - 1_000.0).abs() < 126.0, "{}", held(0.01));
        assert!(ids.iter().all(|id| !Share(0.01).holds(id.as_bytes()) || Share(0.1).holds(id.as_bytes())));
    }
}

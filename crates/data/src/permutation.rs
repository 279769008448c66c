/// A seeded order of `0..count` in constant memory: a Feistel network of eight rounds over the smallest
/// even number of bits that holds them, walked on until it comes out within (Black, Rogaway, "Ciphers
/// with arbitrary finite domains", 2002: cycle walking). At least eight bits, for below that few of the
/// orders could come out.
#[derive(Debug, Clone)]
pub struct Permutation {
    count: u64,
    half_bits: u32,
    keys: [u64; 8],
}

impl Permutation {
    /// The order of `count` things that a seed gives.
    pub fn new(count: u64, seed: u64) -> Self {
        let bits = (u64::BITS - count.saturating_sub(1).leading_zeros()).max(8);
        let mut keys = [0; 8];
        let mut state = seed;
        for key in &mut keys {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            *key = mixed(state);
        }
        Self { count, half_bits: bits.div_ceil(2), keys }
    }

    /// The thing at a position below `count`.
    pub fn at(&self, position: u64) -> u64 {
        debug_assert!(position < self.count);
        let mut value = position;
        // Each step is a permutation of a larger range, so the walk comes back to `0..count` at the latest
        // where it began; it takes four steps on average, 256 for a single thing.
        loop {
            value = self.round_trip(value);
            if value < self.count {
                return value;
            }
        }
    }

    fn round_trip(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mixed(right ^ key) & mask));
        }
        left << self.half_bits | right
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
fn mixed(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_order_of_three_comes_out_about_as_often() {
        let mut seen = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            let order = Permutation::new(3, seed);
            *seen.entry([order.at(0), order.at(1), order.at(2)]).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 6);
        // 1,000 of each with a standard deviation of 29: five of them.
        assert!(seen.values().all(|count| (855..=1145).contains(count)), "{seen:?}");
    }

    proptest! {
        #[test]
        fn everything_comes_once(count in 1_u64..3000, seed: u64) {
            let order = Permutation::new(count, seed);
            let mut seen: Vec<u64> = (0..count).map(|position| order.at(position)).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }

        #[test]
        fn large_ones_stay_within(count in 1_u64.., position: u64, seed: u64) {
            let order = Permutation::new(count, seed);
            prop_assert!(order.at(position % count) < count);
        }
    }
}

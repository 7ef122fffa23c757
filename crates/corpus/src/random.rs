//! Counter-based randomness: the k-th number of a stream is a function of (seed, purpose, index, k) alone.
//!
//! The mixing function is that of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
//! generators", 2014): add a multiple of the golden gamma, then two xor-shift-multiply rounds.

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The finaliser of SplitMix64: a bijection on 64 bits whose every output bit depends on every input bit.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One value from several, in order.
pub(crate) fn key(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |key, &part| mix(key.wrapping_add(GOLDEN_GAMMA) ^ mix(part)))
}

/// A sequence of random numbers that belongs to one purpose and one index.
pub(crate) struct Stream {
    key: u64,
    drawn: u64,
}

impl Stream {
    pub(crate) fn new(seed: u64, purpose: u64, index: u64) -> Self {
        Self { key: key(&[seed, purpose, index]), drawn: 0 }
    }

    fn next(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.key.wrapping_add(self.drawn.wrapping_mul(GOLDEN_GAMMA)))
    }

    /// A whole number in `0..bound`; `bound` is above 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // The high word of a 64 x 64 product; its bias is below bound / 2^64.
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// True in `percent` of a hundred draws.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A whole number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// One of `items`, which are never empty.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Fisher and Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_every_part_of_their_key() {
        let first = |seed, purpose, index| Stream::new(seed, purpose, index).next();
        assert_eq!(first(1, 2, 3), first(1, 2, 3));
        assert_ne!(first(1, 2, 3), first(2, 2, 3));
        assert_ne!(first(1, 2, 3), first(1, 3, 3));
        assert_ne!(first(1, 2, 3), first(1, 3, 2));
    }

    #[test]
    fn every_number_below_a_bound_is_about_equally_likely() {
        let mut stream = Stream::new(5, 0, 0);
        let mut counts = [0usize; 7];
        for _ in 0..70_000 {
            counts[stream.below(7)] += 1;
        }
        for count in counts {
            assert!((9_500..10_500).contains(&count), "{counts:?}");
        }
    }
}

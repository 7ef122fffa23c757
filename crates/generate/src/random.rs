//! Counter-based random numbers: every draw is a pure function of its key, so a row's tokens depend neither on what
//! else is in the batch nor on the number of threads, and a seed repeats exactly.

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64 bits that scatters counters.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One row's own stream of uniform numbers, keyed by seed, prompt and copy.
///
/// The prompt's tokens are the key rather than its place in the batch, so the same prompt gives the same tokens alone
/// and among others. `copy` counts the equal prompts of one call and the `num_return_sequences` of each: asking twice
/// for one sequence draws what asking once for two does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomStream {
    key: u64,
}

impl RandomStream {
    /// The stream of the `copy`-th sequence for this prompt under this seed.
    #[must_use]
    pub fn new(seed: u64, prompt: &[u32], copy: u64) -> Self {
        let mut key = mix(seed.wrapping_add(GOLDEN));
        for &token in prompt {
            key = mix(key.wrapping_add(GOLDEN) ^ u64::from(token));
        }
        Self { key: mix(key.wrapping_add(GOLDEN) ^ mix(copy.wrapping_add(GOLDEN))) }
    }

    /// The number at (step, index), uniform on (0, 1) with 53 bits; never 0 and never 1.
    #[must_use]
    pub fn uniform(&self, step: u64, index: u64) -> f64 {
        let at_step = mix(self.key.wrapping_add(step.wrapping_add(1).wrapping_mul(GOLDEN)));
        let bits = mix(at_step.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)));
        ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_over_steps_and_over_indices_are_uniform() {
        let stream = RandomStream::new(7, &[1, 2, 3], 0);
        for along_steps in [true, false] {
            let mut bins = [0f64; 100];
            for i in 0..100_000u64 {
                let u = if along_steps { stream.uniform(i, 0) } else { stream.uniform(3, i) };
                bins[(u * 100.0) as usize] += 1.0;
            }
            let chi2: f64 = bins.iter().map(|n| (n - 1000.0) * (n - 1000.0) / 1000.0).sum();
            // 99 degrees of freedom: p = 0.001 at 148.2.
            assert!(chi2 < 148.2, "chi-square {chi2}");
        }
    }

    #[test]
    fn seed_prompt_and_copy_each_change_the_stream() {
        let base = RandomStream::new(1, &[5, 6], 0);
        assert_eq!(base, RandomStream::new(1, &[5, 6], 0));
        for other in
            [RandomStream::new(2, &[5, 6], 0), RandomStream::new(1, &[6, 5], 0), RandomStream::new(1, &[5, 6], 1)]
        {
            assert_ne!(base.uniform(0, 0), other.uniform(0, 0));
        }
    }
}

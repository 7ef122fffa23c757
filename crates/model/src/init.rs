//! Random numbers for fresh weights: counter-based, keyed by (seed, parameter name), so that a weight does not depend
//! on what else the model has.

/// A stream of random numbers (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Debug)]
pub(crate) struct Stream(u64);

impl Stream {
    /// The stream of that name under that seed.
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a of the name, then one round of mixing with the seed.
        let hash = name
            .bytes()
            .fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3));
        let mut stream = Self(hash ^ seed.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        stream.next();
        stream
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `count` numbers uniform in [-bound, bound).
    pub(crate) fn uniforms(&mut self, count: usize, bound: f64) -> Vec<f32> {
        (0..count).map(|_| ((2.0 * self.uniform() - 1.0) * bound) as f32).collect()
    }

    /// `count` numbers from a normal distribution around 0 (Box and Muller 1958).
    pub(crate) fn normals(&mut self, count: usize, deviation: f64) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(count + 1);
        while numbers.len() < count {
            let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * deviation;
            let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
            numbers.extend([(radius * cos) as f32, (radius * sin) as f32]);
        }
        numbers.truncate(count);
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_the_mean_and_deviation_they_were_asked_for() {
        let numbers = Stream::new(1, "w").normals(100_001, 0.02);
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e5;
        let square = numbers.iter().map(|&x| f64::from(x * x)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 3e-4 && (square.sqrt() - 0.02).abs() < 3e-4, "{mean} {square}");
        assert_ne!(numbers[..8], Stream::new(1, "v").normals(8, 0.02));
        assert_eq!(numbers[..8], Stream::new(1, "w").normals(8, 0.02));
    }
}

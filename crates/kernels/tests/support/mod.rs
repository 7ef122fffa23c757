//! Numbers to compute with and comparisons of results.
#![allow(dead_code)] // each test binary uses its part

use std::fmt::Debug;

/// A small generator, so that the tests need no crate for it (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// `n` numbers between -1 and 1.
    pub(crate) fn vec(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    /// `n` whole numbers below `end`.
    pub(crate) fn below(&mut self, end: u32, n: usize) -> Vec<u32> {
        (0..n).map(|_| ((self.next() >> 33) % u64::from(end)) as u32).collect()
    }
}

pub(crate) fn double(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

/// Every element within `tolerance` of the greatest magnitude expected.
#[track_caller]
pub(crate) fn assert_close(what: &str, got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: lengths");
    let greatest = expected.iter().fold(1e-30f64, |m, x| m.max(x.abs()));
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        let off = (f64::from(*g) - e).abs() / greatest;
        assert!(
            off <= tolerance,
            "{what}: element {i} is {g}, expected {e}, off by {off:e} of the greatest {greatest:e}"
        );
    }
}

/// The gradient of `sum(weights * f(x))` by central differences.
pub(crate) fn differences(x: &[f64], weights: &[f32], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let loss = |x: &[f64]| f(x).iter().zip(weights).map(|(y, w)| y * f64::from(*w)).sum::<f64>();
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let at = x[i];
            x[i] = at + STEP;
            let above = loss(&x);
            x[i] = at - STEP;
            let below = loss(&x);
            x[i] = at;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// Runs `f` with one, two, three and seven threads and asserts that the results are equal to the last bit.
#[track_caller]
pub(crate) fn same_for_any_threads<T: PartialEq + Debug + Send>(what: &str, f: impl Fn() -> T + Sync) {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(&f)
    };
    let alone = on(1);
    for threads in [2, 3, 7] {
        assert!(on(threads) == alone, "{what}: {threads} threads give other bits than one");
    }
}

/// The bits of the numbers, so that -0.0 differs from 0.0 and NaN equals itself.
pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

//! Dropout whose mask is a function of a key and the position, so that it need not be stored.

use crate::simd::vectorised;
use crate::threads::{self, GRAIN, rows_of};

/// `y[i] = x[i] / (1 - p)` where element `i` is kept, else 0; whether it is kept depends on `(key, i)` alone.
///
/// The gradient is the same function with the same key, applied to `dy`.
pub fn dropout(x: &[f32], y: &mut [f32], p: f32, key: u64) {
    assert_eq!(x.len(), y.len(), "dropout: lengths");
    assert!((0.0..1.0).contains(&p), "dropout: probability {p} is not in [0, 1)");
    let dropped_below = (f64::from(p) * 4_294_967_296.0) as u32;
    let kept = 1.0 / (1.0 - p);
    threads::rows(x.len(), GRAIN / 2, rows_of(y, 1), |r, y| {
        // The low 32 bits of a position go through the mixer, the high ones into its keys.
        let (mut x, mut y, mut first) = (&x[r.clone()], y.data, r.start as u64);
        while !x.is_empty() {
            let high = first >> 32;
            let here = x.len().min((((high + 1) << 32) - first) as usize);
            let mixed = splitmix64(splitmix64(key) ^ high);
            let keys = [mixed as u32, (mixed >> 32) as u32];
            let (y_here, y_later) = y.split_at_mut(here);
            mask_from(&x[..here], y_here, first as u32, keys, dropped_below, kept);
            (x, y, first) = (&x[here..], y_later, first + here as u64);
        }
    });
}

/// Steele, Lea and Flood's mixer of 64 bits (OOPSLA 2014), the usual SplitMix64 output function.
#[inline(always)]
fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A mixer of 32 bits with two multiplications (Wellons, hash-prospector "lowbias32").
#[inline(always)]
fn mix32(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

vectorised! {
    fn mask_from(x: &[f32], y: &mut [f32], first: u32, keys: [u32; 2], dropped_below: u32, kept: f32) {
        let [key0, key1] = keys;
        let mut i = first;
        for (y, x) in y.iter_mut().zip(x) {
            let random = mix32(mix32(i ^ key0).wrapping_add(key1));
            *y = if random >= dropped_below { x * kept } else { 0.0 };
            i = i.wrapping_add(1);
        }
    }
}

//! Dropout whose mask is a function of a key and the position, so that it need not be stored.

use crate::simd::vectorised;
use crate::threads::{self, GRAIN, rows_of};

/// `y[i] = x[i] / (1 - p)` where element `i` is kept, else 0; whether it is kept depends on `(key, i)` alone.
///
/// The gradient is the same function with the same key, applied to `dy`.
pub fn dropout(x: &[f32], y: &mut [f32], p: f32, key: u64) {
    assert_eq!(x.len(), y.len(), "dropout: lengths");
    assert!((0.0..1.0).contains(&p), "dropout: probability {p} is not in [0, 1)");
    let stream = splitmix64(key);
    let dropped_below = (f64::from(p) * 4_294_967_296.0) as u32;
    let kept = 1.0 / (1.0 - p);
    threads::rows(x.len(), GRAIN / 4, rows_of(y, 1), |r, y| {
        mask_from(&x[r.clone()], y.data, r.start as u64, stream, dropped_below, kept);
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

vectorised! {
    fn mask_from(x: &[f32], y: &mut [f32], first: u64, stream: u64, dropped_below: u32, kept: f32) {
        for ((y, x), i) in y.iter_mut().zip(x).zip(first..) {
            let random = splitmix64(stream.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            *y = if (random >> 32) as u32 >= dropped_below { x * kept } else { 0.0 };
        }
    }
}

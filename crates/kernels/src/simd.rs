//! The choice of instruction set at run time, and sums with a fixed order.
//!
//! [`vectorised!`] compiles one plain loop three times, with AVX-512, with AVX2 + FMA and with the target's
//! baseline (NEON on ARM), and picks at run time. The loops use explicit [`LANES`] accumulators, so that the order of
//! every sum, and with it the result, is the same under all three.

/// Accumulators of a sum: one AVX-512 register, two AVX2 registers, four NEON registers.
pub(crate) const LANES: usize = 16;

/// What the processor offers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) enum Level {
    Baseline,
    Avx2,
    Avx512,
}

/// Looks the processor up once.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn level() -> Level {
    static LEVEL: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
    *LEVEL.get_or_init(|| {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx2, avx512) {
            (true, true) => Level::Avx512,
            (true, false) => Level::Avx2,
            _ => Level::Baseline,
        }
    })
}

/// Defines functions whose body is compiled for each instruction set and chosen when called.
macro_rules! vectorised {
    ($(
        $(#[$meta:meta])*
        $vis:vis fn $name:ident $(<$(const $g:ident: usize),+>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    )+) => {$(
        $(#[$meta])*
        $vis fn $name $(<$(const $g: usize),+>)? ($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body $(<$(const $g: usize),+>)? ($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512 $(<$(const $g: usize),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    body $(::<$($g),+>)? ($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<$(const $g: usize),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    body $(::<$($g),+>)? ($($arg),*)
                }
                match $crate::simd::level() {
                    $crate::simd::Level::Avx512 => {
                        // SAFETY: `level` has found every feature named above on this processor.
                        #[allow(unsafe_code)]
                        return unsafe { avx512 $(::<$($g),+>)? ($($arg),*) };
                    }
                    $crate::simd::Level::Avx2 => {
                        // SAFETY: `level` has found AVX2 and FMA on this processor.
                        #[allow(unsafe_code)]
                        return unsafe { avx2 $(::<$($g),+>)? ($($arg),*) };
                    }
                    $crate::simd::Level::Baseline => {}
                }
            }
            body $(::<$($g),+>)? ($($arg),*)
        }
    )+};
}
pub(crate) use vectorised;

/// The sum of the accumulators, as a tree, always in the same order.
#[inline(always)]
pub(crate) fn sum_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The greatest accumulator.
#[inline(always)]
pub(crate) fn max_lanes(lanes: [f32; LANES]) -> f32 {
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Sum over `i` of `term(a[i], b[i])`, `LANES` at a time; a rest shorter than `LANES` goes into the first lanes.
#[inline(always)]
pub(crate) fn sum_of2(a: &[f32], b: &[f32], mut term: impl FnMut(f32, f32, f32) -> f32) -> f32 {
    let mut acc = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for i in 0..LANES {
            acc[i] = term(x[i], y[i], acc[i]);
        }
    }
    for (i, (x, y)) in a_rest.iter().zip(b_rest).enumerate() {
        acc[i] = term(*x, *y, acc[i]);
    }
    sum_lanes(acc)
}

/// Inner product with [`LANES`] accumulators.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_of2(a, b, f32::mul_add)
}

/// The greatest element; `-inf` for none, and not-a-numbers are passed over.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut acc = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for i in 0..LANES {
            acc[i] = if block[i] > acc[i] { block[i] } else { acc[i] };
        }
    }
    for (lane, v) in acc.iter_mut().zip(rest) {
        *lane = if *v > *lane { *v } else { *lane };
    }
    max_lanes(acc)
}

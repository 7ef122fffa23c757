//! The choice of instruction set at run time, and sums with a fixed order.
//!
//! [`vectorised!`] compiles one body three times, with AVX-512, with AVX2 + FMA and with the target's baseline (NEON on
//! ARM), and picks at run time. Loops over elements are left to the compiler. Sums are written with [`Vector`], sixteen
//! accumulators under every instruction set, so that their order, and with it the result, is the same under all.

#[cfg(target_arch = "x86_64")]
mod x86;

/// Accumulators of a sum: one AVX-512 register, two AVX2 registers, four NEON registers.
pub(crate) const LANES: usize = 16;

/// Sixteen numbers in registers.
pub(crate) trait Vector: Copy {
    fn splat(x: f32) -> Self;
    fn load(x: &[f32; LANES]) -> Self;
    fn store(self, to: &mut [f32; LANES]);
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self * b + c`, rounded once.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// The greater of each pair; `other` where `self` is not a number.
    fn max(self, other: Self) -> Self;
    /// The sum of all, as a tree: `i` and `i + 8` first, then `i` and `i + 4`, and so on.
    fn sum(self) -> f32;
    /// The sums of four, each as [`Vector::sum`] has it.
    #[inline(always)]
    fn sums(four: [Self; 4]) -> [f32; 4] {
        four.map(Self::sum)
    }
    /// Sixteen numbers, little-endian.
    fn from_f32(codes: &[u8; 4 * LANES]) -> Self;
    /// Sixteen bf16, little-endian.
    fn from_bf16(codes: &[u8; 2 * LANES]) -> Self;
    /// Sixteen signed bytes.
    fn from_i8(codes: &[u8; LANES]) -> Self;
    /// The elements of `table` named by the lower halves of the codes, and those named by the upper halves.
    fn look_up(codes: &[u8; LANES], table: Self) -> (Self, Self);
}

/// [`Vector`] without named registers; the compiler finds those of the baseline.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; LANES]);

impl Vector for Portable {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    fn load(x: &[f32; LANES]) -> Self {
        Self(*x)
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + other.0[i]))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * other.0[i]))
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].mul_add(b.0[i], c.0[i])))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] }))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let mut lanes = self.0;
        let mut half = LANES / 2;
        while half > 0 {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    #[inline(always)]
    fn from_f32(codes: &[u8; 4 * LANES]) -> Self {
        let (codes, _) = codes.as_chunks::<4>();
        Self(std::array::from_fn(|i| f32::from_le_bytes(codes[i])))
    }

    #[inline(always)]
    fn from_bf16(codes: &[u8; 2 * LANES]) -> Self {
        let (codes, _) = codes.as_chunks::<2>();
        Self(std::array::from_fn(|i| f32::from_bits(u32::from(u16::from_le_bytes(codes[i])) << 16)))
    }

    #[inline(always)]
    fn from_i8(codes: &[u8; LANES]) -> Self {
        Self(std::array::from_fn(|i| f32::from(codes[i] as i8)))
    }

    #[inline(always)]
    fn look_up(codes: &[u8; LANES], table: Self) -> (Self, Self) {
        let number = |i: usize, shift: u32| table.0[usize::from(codes[i] >> shift & 15)];
        (Self(std::array::from_fn(|i| number(i, 0))), Self(std::array::from_fn(|i| number(i, 4))))
    }
}

/// What the processor offers.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) enum Level {
    Baseline,
    Avx2,
    Avx512,
}

/// Looks the processor up once. The environment variable `LUTHIER_SIMD`, `avx2` or `baseline`, asks for less than it
/// offers, so that one machine can test every path.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn level() -> Level {
    static LEVEL: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
    *LEVEL.get_or_init(|| {
        let limit = std::env::var("LUTHIER_SIMD").unwrap_or_default();
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (avx2 && limit != "baseline", avx512 && limit != "avx2") {
            (true, true) => Level::Avx512,
            (true, false) => Level::Avx2,
            _ => Level::Baseline,
        }
    })
}

/// The instruction set that the kernels have chosen, for people.
#[must_use]
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    return match level() {
        Level::Avx512 => "AVX-512",
        Level::Avx2 => "AVX2 + FMA",
        Level::Baseline => "SSE2 (the baseline of x86-64)",
    };
    #[cfg(not(target_arch = "x86_64"))]
    "the baseline of this processor"
}

/// Whether there are thirty-two registers of sixteen elements, rather than sixteen smaller ones.
pub(crate) fn many_registers() -> bool {
    #[cfg(target_arch = "x86_64")]
    return matches!(level(), Level::Avx512);
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Asks for the lines of the cache that a value as large as `here` takes, `bytes` behind it, to be brought near (not into the
/// nearest cache, where they would be in the way); nothing happens where there is no memory.
#[inline(always)]
pub(crate) fn prefetch_behind<T>(here: &T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..size_of::<T>()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        let address = std::ptr::from_ref(here).cast::<i8>().wrapping_add(bytes + line);
        // SAFETY: SSE belongs to the baseline, and a prefetch of any address is harmless.
        #[allow(unsafe_code)]
        unsafe {
            _mm_prefetch::<_MM_HINT_T1>(address);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (here, bytes);
}

/// Defines functions whose body is compiled for each instruction set and chosen when called. A body may name the type
/// `V`, the [`Vector`] of its instruction set.
macro_rules! vectorised {
    ($(
        $(#[$meta:meta])*
        $vis:vis fn $name:ident $(<$(const $g:ident: usize),+>)? ($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    )+) => {$(
        $(#[$meta])*
        $vis fn $name $(<$(const $g: usize),+>)? ($($arg: $ty),*) $(-> $ret)? {
            #[allow(clippy::extra_unused_type_parameters)] // loops left to the compiler do not name V
            #[inline(always)]
            fn body<V: $crate::simd::Vector $($(, const $g: usize)+)?> ($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512 $(<$(const $g: usize),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    body::<$crate::simd::Avx512 $($(, $g)+)?> ($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2 $(<$(const $g: usize),+>)? ($($arg: $ty),*) $(-> $ret)? {
                    body::<$crate::simd::Avx2 $($(, $g)+)?> ($($arg),*)
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
            body::<$crate::simd::Portable $($(, $g)+)?> ($($arg),*)
        }
    )+};
}
pub(crate) use vectorised;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// The elements of a vector, one after another.
#[inline(always)]
fn lanes<V: Vector>(v: V) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    v.store(&mut lanes);
    lanes
}

/// The sum of the accumulators, always in the same order.
#[inline(always)]
pub(crate) fn sum_lanes<V: Vector>(v: V) -> f32 {
    v.sum()
}

/// The first elements of a vector; the others are `fill`.
#[inline(always)]
pub(crate) fn load_part<V: Vector>(x: &[f32], fill: f32) -> V {
    let mut lanes = [fill; LANES];
    for (lane, x) in lanes.iter_mut().zip(x) {
        *lane = *x;
    }
    V::load(&lanes)
}

/// Inner product.
#[inline(always)]
pub(crate) fn dot<V: Vector>(a: &[f32], b: &[f32]) -> f32 {
    let mut acc = [V::splat(0.0); 4];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    // Four sums at a time, to hide the latency of an addition.
    let (a_fours, a_blocks) = a_blocks.as_chunks::<4>();
    let (b_fours, b_blocks) = b_blocks.as_chunks::<4>();
    for (x, y) in a_fours.iter().zip(b_fours) {
        for i in 0..4 {
            acc[i] = V::load(&x[i]).mul_add(V::load(&y[i]), acc[i]);
        }
    }
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        acc[0] = V::load(x).mul_add(V::load(y), acc[0]);
    }
    if !a_rest.is_empty() {
        acc[1] = load_part::<V>(a_rest, 0.0).mul_add(load_part(b_rest, 0.0), acc[1]);
    }
    sum_lanes(acc[0].add(acc[1]).add(acc[2].add(acc[3])))
}

/// Sum of the elements.
#[inline(always)]
pub(crate) fn sum<V: Vector>(x: &[f32]) -> f32 {
    let mut acc = V::splat(0.0);
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        acc = acc.add(V::load(block));
    }
    sum_lanes(acc.add(load_part(rest, 0.0)))
}

/// The greatest element; `-inf` for none, and not-a-numbers are passed over.
#[inline(always)]
pub(crate) fn max<V: Vector>(x: &[f32]) -> f32 {
    let mut acc = [V::splat(f32::NEG_INFINITY); 4];
    let (blocks, rest) = x.as_chunks::<LANES>();
    let (fours, blocks) = blocks.as_chunks::<4>();
    for four in fours {
        for i in 0..4 {
            acc[i] = V::load(&four[i]).max(acc[i]);
        }
    }
    for block in blocks {
        acc[0] = V::load(block).max(acc[0]);
    }
    acc[1] = load_part::<V>(rest, f32::NEG_INFINITY).max(acc[1]);
    lanes(acc[0].max(acc[1]).max(acc[2].max(acc[3]))).into_iter().fold(f32::NEG_INFINITY, f32::max)
}

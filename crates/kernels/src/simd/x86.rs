//! [`Vector`] in the registers of x86.
//!
//! The methods are inlined into functions that enable the instruction set, which [`level`](super::level) has found on the
//! processor before `vectorised!` calls them; nothing else names these types.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{LANES, Vector};

/// One register of AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

impl Vector for Avx512 {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: AVX-512 is there, see the module.
        unsafe { Self(_mm512_set1_ps(x)) }
    }

    #[inline(always)]
    fn load(x: &[f32; LANES]) -> Self {
        // SAFETY: AVX-512 is there; the array has the sixteen elements that are read, and no alignment is asked for.
        unsafe { Self(_mm512_loadu_ps(x.as_ptr())) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: AVX-512 is there; the array has the sixteen elements that are written, and no alignment is asked for.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: AVX-512 is there, see the module.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: AVX-512 is there, see the module.
        unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: AVX-512 is there, see the module.
        unsafe { Self(_mm512_fmadd_ps(self.0, b.0, c.0)) }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: AVX-512 is there, see the module.
        unsafe { Self(_mm512_max_ps(self.0, other.0)) }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: AVX-512 is there, see the module.
        unsafe { Avx2(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0)).sum() }
    }

    #[inline(always)]
    fn sums(four: [Self; 4]) -> [f32; 4] {
        // SAFETY: AVX-512 is there, see the module.
        unsafe {
            let [a, b, c, d] = four.map(|v| v.0);
            // Each step folds the upper half of every sum onto its lower half and lays two beside each other.
            let ab = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
            let cd = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(c, d), _mm512_shuffle_f32x4::<0xee>(c, d));
            let fours = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
            let twos = _mm512_add_ps(fours, _mm512_permute_ps::<0x0e>(fours));
            let ones = _mm512_add_ps(twos, _mm512_permute_ps::<0x01>(twos));
            let mut sums = [0.0; 4];
            _mm_storeu_ps(sums.as_mut_ptr(), _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, ones)));
            sums
        }
    }

    #[inline(always)]
    fn from_f32(codes: &[u8; 4 * LANES]) -> Self {
        // SAFETY: AVX-512 is there; the array has the sixty-four bytes that are read, and no alignment is asked for.
        unsafe { Self(_mm512_loadu_ps(codes.as_ptr().cast())) }
    }

    #[inline(always)]
    fn from_bf16(codes: &[u8; 2 * LANES]) -> Self {
        // SAFETY: AVX-512 is there; the array has the thirty-two bytes that are read, and no alignment is asked for.
        unsafe {
            let codes = _mm256_loadu_si256(codes.as_ptr().cast());
            Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(codes))))
        }
    }

    #[inline(always)]
    fn from_i8(codes: &[u8; LANES]) -> Self {
        // SAFETY: AVX-512 is there; the array has the sixteen bytes that are read, and no alignment is asked for.
        unsafe {
            let codes = _mm_loadu_si128(codes.as_ptr().cast());
            Self(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)))
        }
    }

    #[inline(always)]
    fn look_up(codes: &[u8; LANES], Self(table): Self) -> (Self, Self) {
        // SAFETY: AVX-512 is there; the array has the sixteen bytes that are read, and no alignment is asked for.
        unsafe {
            // The permutation looks at the lower four bits of an index alone.
            let low = _mm512_cvtepu8_epi32(_mm_loadu_si128(codes.as_ptr().cast()));
            let high = _mm512_srli_epi32::<4>(low);
            (Self(_mm512_permutexvar_ps(low, table)), Self(_mm512_permutexvar_ps(high, table)))
        }
    }
}

/// Two registers of AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

impl Vector for Avx2 {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: AVX is there, see the module.
        unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
    }

    #[inline(always)]
    fn load(x: &[f32; LANES]) -> Self {
        // SAFETY: AVX is there; the array has the sixteen elements that are read, and no alignment is asked for.
        unsafe { Self(_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8))) }
    }

    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        // SAFETY: AVX is there; the array has the sixteen elements that are written, and no alignment is asked for.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), self.0);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), self.1);
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: AVX is there, see the module.
        unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: AVX is there, see the module.
        unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        // SAFETY: FMA is there, see the module.
        unsafe { Self(_mm256_fmadd_ps(self.0, b.0, c.0), _mm256_fmadd_ps(self.1, b.1, c.1)) }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: AVX is there, see the module.
        unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: AVX is there, see the module.
        unsafe {
            let eight = _mm256_add_ps(self.0, self.1);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }

    #[inline(always)]
    fn sums(four: [Self; 4]) -> [f32; 4] {
        // SAFETY: AVX is there, see the module.
        unsafe {
            let [a, b, c, d] = four.map(|v| _mm256_add_ps(v.0, v.1));
            // Each step folds the upper half of every sum onto its lower half and lays two beside each other.
            let ab = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
            let cd = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(c, d), _mm256_permute2f128_ps::<0x31>(c, d));
            let twos = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(ab, cd), _mm256_shuffle_ps::<0xee>(ab, cd));
            let ones = _mm256_add_ps(twos, _mm256_permute_ps::<0xb1>(twos));
            let (ac, bd) = (_mm256_castps256_ps128(ones), _mm256_extractf128_ps::<1>(ones));
            let mut sums = [0.0; 4];
            let acbd = _mm_shuffle_ps::<0x88>(ac, bd);
            _mm_storeu_ps(sums.as_mut_ptr(), _mm_shuffle_ps::<0xd8>(acbd, acbd));
            sums
        }
    }

    #[inline(always)]
    fn from_f32(codes: &[u8; 4 * LANES]) -> Self {
        // SAFETY: AVX is there; the array has the twice thirty-two bytes that are read, and no alignment is asked for.
        unsafe { Self(_mm256_loadu_ps(codes.as_ptr().cast()), _mm256_loadu_ps(codes.as_ptr().add(32).cast())) }
    }

    #[inline(always)]
    fn from_bf16(codes: &[u8; 2 * LANES]) -> Self {
        // SAFETY: AVX2 is there; the array has the twice sixteen bytes that are read, and no alignment is asked for.
        unsafe {
            let half = |at: usize| {
                let codes = _mm256_cvtepu16_epi32(_mm_loadu_si128(codes.as_ptr().add(at).cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(codes))
            };
            Self(half(0), half(16))
        }
    }

    #[inline(always)]
    fn from_i8(codes: &[u8; LANES]) -> Self {
        // SAFETY: AVX2 is there; the array has the twice eight bytes that are read, and no alignment is asked for.
        unsafe {
            let half =
                |at: usize| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(codes.as_ptr().add(at).cast())));
            Self(half(0), half(8))
        }
    }

    #[inline(always)]
    fn look_up(codes: &[u8; LANES], Self(first, second): Self) -> (Self, Self) {
        // SAFETY: AVX2 is there; the array has the twice eight bytes that are read, and no alignment is asked for.
        unsafe {
            // The permutations look at three bits of an index, the choice between them at its sign.
            let number = |index: __m256i| {
                let fourth_bit = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(index));
                let (first, second) = (_mm256_permutevar8x32_ps(first, index), _mm256_permutevar8x32_ps(second, index));
                _mm256_blendv_ps(first, second, fourth_bit)
            };
            let index = |at: usize| _mm256_cvtepu8_epi32(_mm_loadl_epi64(codes.as_ptr().add(at).cast()));
            let (a, b) = (index(0), index(8));
            let high = |index: __m256i| number(_mm256_srli_epi32::<4>(index));
            (Self(number(a), number(b)), Self(high(a), high(b)))
        }
    }
}

//! How codes become numbers, in registers: a block of 32 columns at a time, for each packing.

use super::Packing;
use crate::simd::{LANES, Vector};

/// Packings as numbers, for parameters of functions.
pub(super) const BF16: usize = Packing::Bf16 as usize;
pub(super) const INT8: usize = Packing::Int8 as usize;
pub(super) const NF4: usize = Packing::Nf4 as usize;

/// Columns of a block: two vectors.
pub(super) const BLOCK: usize = 32;

/// Blocks that share a scale.
#[inline(always)]
pub(super) const fn group_blocks(packing: usize) -> usize {
    match packing {
        INT8 => 4,
        NF4 => 2,
        _ => usize::MAX,
    }
}

/// The factor of a group; 1 where there are no scales.
#[inline(always)]
pub(super) fn scale(packing: usize, scales: &[f32], group: usize) -> f32 {
    if packing == BF16 { 1.0 } else { scales[group] }
}

/// How many columns of a last block of `w` columns belong to the first vector.
#[inline(always)]
pub(super) fn cut(packing: usize, w: usize) -> usize {
    if packing == NF4 { w.div_ceil(2) } else { w.min(LANES) }
}

/// The two vectors of a block of activations.
#[inline(always)]
pub(super) fn halves<V: Vector>(x: &[f32; BLOCK]) -> (V, V) {
    let (halves, _) = x.as_chunks::<LANES>();
    (V::load(&halves[0]), V::load(&halves[1]))
}

/// The numbers of a block, not yet scaled: the first half of its columns and the second. `B` is 64 bytes for bf16, 32 for
/// int8 and 16 for nf4.
#[inline(always)]
pub(super) fn widen<V: Vector, const P: usize>(codes: &[u8]) -> (V, V) {
    match P {
        BF16 => {
            let (halves, _) = codes.as_chunks::<32>();
            (V::from_bf16(&halves[0]), V::from_bf16(&halves[1]))
        }
        INT8 => {
            let (halves, _) = codes.as_chunks::<16>();
            (V::from_i8(&halves[0]), V::from_i8(&halves[1]))
        }
        _ => V::look_up(&codes.as_chunks::<16>().0[0], &super::NF4_LEVELS),
    }
}

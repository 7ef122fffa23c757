//! How codes become numbers, in registers: a block of 32 columns at a time, for each packing.

use super::Packing;
use crate::simd::{LANES, Vector};

/// Packings as numbers, for parameters of functions.
pub(crate) const BF16: usize = Packing::Bf16 as usize;
pub(crate) const INT8: usize = Packing::Int8 as usize;
pub(crate) const NF4: usize = Packing::Nf4 as usize;
/// Not packed at all: numbers of single precision, little-endian, 128 bytes a block.
pub(crate) const F32: usize = NF4 + 1;

/// Columns of a block: two vectors.
pub(crate) const BLOCK: usize = 32;

/// Blocks that share a scale.
#[inline(always)]
pub(crate) const fn group_blocks(packing: usize) -> usize {
    match packing {
        INT8 => 4,
        NF4 => 2,
        _ => usize::MAX,
    }
}

/// What the codes of a group are widened with: the scale in all lanes, or the levels of nf4 times the scale.
#[inline(always)]
pub(crate) fn key<V: Vector, const P: usize>(scales: &[f32], group: usize) -> V {
    match P {
        INT8 => V::splat(scales[group]),
        NF4 => V::load(&super::NF4_LEVELS).mul(V::splat(scales[group])),
        _ => V::splat(1.0),
    }
}

/// How many columns of a last block of `w` columns belong to the first vector.
#[inline(always)]
pub(crate) fn cut(packing: usize, w: usize) -> usize {
    if packing == NF4 { w.div_ceil(2) } else { w.min(LANES) }
}

/// Bytes of the codes of `w` columns.
#[inline(always)]
pub(crate) const fn bytes(packing: usize, w: usize) -> usize {
    match packing {
        F32 => 4 * w,
        BF16 => 2 * w,
        INT8 => w,
        _ => w.div_ceil(2),
    }
}

/// The two vectors of a block of activations.
#[inline(always)]
pub(crate) fn halves<V: Vector>(x: &[f32; BLOCK]) -> (V, V) {
    let (halves, _) = x.as_chunks::<LANES>();
    (V::load(&halves[0]), V::load(&halves[1]))
}

/// The numbers of a block: the first half of its columns and the second. Codes are 128 bytes for f32, 64 for bf16, 32 for
/// int8 and 16 for nf4.
#[inline(always)]
pub(crate) fn widen<V: Vector, const P: usize>(codes: &[u8], key: V) -> (V, V) {
    match P {
        F32 => {
            let (halves, _) = codes.as_chunks::<64>();
            (V::from_f32(&halves[0]), V::from_f32(&halves[1]))
        }
        BF16 => {
            let (halves, _) = codes.as_chunks::<32>();
            (V::from_bf16(&halves[0]), V::from_bf16(&halves[1]))
        }
        INT8 => {
            let (halves, _) = codes.as_chunks::<16>();
            (V::from_i8(&halves[0]).mul(key), V::from_i8(&halves[1]).mul(key))
        }
        _ => V::look_up(&codes.as_chunks::<16>().0[0], key),
    }
}

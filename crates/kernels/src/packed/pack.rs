//! From single precision to codes and scales.

use super::codec::BLOCK;
use super::{NF4_LEVELS, Packing};
use crate::simd::vectorised;
use crate::threads::{self, row_chunk, rows_of};

/// Packs `data: [rows, cols]`; returns codes and scales with the lengths of [`Packing::sizes`]. Numbers should be finite.
///
/// bf16 rounds to the nearest, ties to even. int8 and nf4 take the nearest code; a group of zeros has the scale 0.
#[must_use]
pub fn pack(packing: Packing, rows: usize, cols: usize, data: &[f32]) -> (Vec<u8>, Vec<f32>) {
    assert_eq!(data.len(), rows * cols, "pack: numbers of [{rows}, {cols}]");
    let (bytes, scales) = packing.sizes(rows, cols);
    let (mut codes, mut scales) = (vec![0; bytes], vec![0.0; scales]);
    let (code_len, scale_len) = (packing.row_bytes(cols), packing.row_scales(cols));
    let out = (rows_of(&mut codes, code_len), rows_of(&mut scales, scale_len));
    threads::rows(rows, row_chunk(cols), out, |r, (codes, scales)| {
        for (i, row) in r.enumerate() {
            let from = &data[row * cols..][..cols];
            let codes = &mut codes.data[i * code_len..][..code_len];
            let scales = &mut scales.data[i * scale_len..][..scale_len];
            match packing {
                Packing::Bf16 => bf16_row(from, codes),
                Packing::Int8 => int8_row(from, codes, scales),
                Packing::Nf4 => nf4_row(from, codes, scales),
            }
        }
    });
    (codes, scales)
}

/// The upper half of a number, rounded to the nearest, ties to even; not-a-number stays so.
#[inline(always)]
fn bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    if x.is_nan() { (bits >> 16) as u16 | 0x40 } else { (rounded >> 16) as u16 }
}

#[inline(always)]
fn greatest(group: &[f32]) -> f32 {
    group.iter().fold(0.0, |max, x| if x.abs() > max { x.abs() } else { max })
}

/// How many middles between two levels lie below `x`: the number of the nearest level.
#[inline(always)]
fn nearest_level(x: f32) -> u8 {
    let mut code = 0;
    for pair in NF4_LEVELS.windows(2) {
        code += u8::from(x > f32::midpoint(pair[0], pair[1]));
    }
    code
}

vectorised! {
    fn bf16_row(from: &[f32], codes: &mut [u8]) {
        for (x, code) in from.iter().zip(codes.as_chunks_mut::<2>().0) {
            *code = bf16(*x).to_le_bytes();
        }
    }

    fn int8_row(from: &[f32], codes: &mut [u8], scales: &mut [f32]) {
        let group = Packing::Int8.group();
        for ((from, codes), scale) in from.chunks(group).zip(codes.chunks_mut(group)).zip(scales) {
            *scale = greatest(from) / 127.0;
            let divisor = if *scale == 0.0 { 1.0 } else { *scale };
            for (x, code) in from.iter().zip(codes) {
                *code = (x / divisor).round_ties_even() as i8 as u8;
            }
        }
    }

    fn nf4_row(from: &[f32], codes: &mut [u8], scales: &mut [f32]) {
        let group = Packing::Nf4.group();
        for ((from, codes), scale) in from.chunks(group).zip(codes.chunks_mut(group / 2)).zip(scales) {
            *scale = greatest(from);
            let divisor = if *scale == 0.0 { 1.0 } else { *scale };
            let mut levels = [0; 64];
            for (x, level) in from.iter().zip(&mut levels) {
                *level = nearest_level(x / divisor);
            }
            let blocks = levels[..from.len()].chunks(BLOCK).zip(codes.chunks_mut(BLOCK / 2));
            for (levels, codes) in blocks {
                let (low, high) = levels.split_at(codes.len());
                for (i, code) in codes.iter_mut().enumerate() {
                    *code = low[i] | high.get(i).unwrap_or(&0) << 4;
                }
            }
        }
    }
}

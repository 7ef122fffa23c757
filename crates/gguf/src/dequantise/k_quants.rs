//! Super-blocks of 256 numbers: parts of 16 or 32 with scales of a few bits, which `d` (and `dmin` for the least numbers) scale.

use super::{IQ4_VALUES, half};

/// Scales and least numbers of 16 parts, four bits each; 64 bytes of four; d; dmin.
pub(super) fn q2(block: &[u8; 84], out: &mut [f32; 256]) {
    let (scales, quants) = (&block[..16], &block[16..80]);
    let (d, dmin) = (half(block, 80), half(block, 82));
    for (part, (numbers, &scale)) in out.as_chunks_mut::<16>().0.iter_mut().zip(scales).enumerate() {
        let (d, m) = (d * f32::from(scale & 15), dmin * f32::from(scale >> 4));
        let (at, shift) = two_bits(part);
        for (number, &q) in numbers.iter_mut().zip(&quants[at..]) {
            *number = d * f32::from(q >> shift & 3) - m;
        }
    }
}

/// The third bits; 64 bytes of four; scales of 16 parts, six bits each; d. Where the third bit is 0, four is taken off.
pub(super) fn q3(block: &[u8; 110], out: &mut [f32; 256]) {
    let (third, quants, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let d = half(block, 108);
    for (part, numbers) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let low = scales[part % 8] >> (part / 8 * 4) & 15;
        let high = scales[8 + part % 4] >> (part / 4 * 2) & 3;
        let d = d * f32::from((low | high << 4).cast_signed() - 32);
        let (at, shift) = two_bits(part);
        let third = &third[part % 2 * 16..];
        for ((number, &q), &third) in numbers.iter_mut().zip(&quants[at..]).zip(third) {
            let low = (q >> shift & 3).cast_signed();
            let off = if third >> (part / 2) & 1 == 0 { 4 } else { 0 };
            *number = d * f32::from(low - off);
        }
    }
}

/// Where 16 numbers of two bits stand: two halves of 32 bytes, each holding four rows of 32 numbers.
fn two_bits(part: usize) -> (usize, usize) {
    let (half, row, side) = (part / 8, part % 8 / 2, part % 2);
    (half * 32 + side * 16, row * 2)
}

/// d; dmin; scales and least numbers of 8 parts; 128 bytes of two.
pub(super) fn q4(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    let (scales, quants) = (&block[4..16], &block[16..]);
    for (part, numbers) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_and_min(scales, part);
        let (d, m) = (d * f32::from(scale), dmin * f32::from(min));
        let shift = part % 2 * 4;
        for (number, &q) in numbers.iter_mut().zip(&quants[part / 2 * 32..]) {
            *number = d * f32::from(q >> shift & 15) - m;
        }
    }
}

/// d; dmin; scales and least numbers of 8 parts; the fifth bits; 128 bytes of two.
pub(super) fn q5(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    let (scales, fifth, quants) = (&block[4..16], &block[16..48], &block[48..]);
    for (part, numbers) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, min) = scale_and_min(scales, part);
        let (d, m) = (d * f32::from(scale), dmin * f32::from(min));
        let shift = part % 2 * 4;
        for ((number, &q), &fifth) in numbers.iter_mut().zip(&quants[part / 2 * 32..]).zip(fifth) {
            *number = d * f32::from(q >> shift & 15 | (fifth >> part & 1) << 4) - m;
        }
    }
}

/// Six bits each of 8 scales and 8 least numbers, in 12 bytes: those of the first four whole, the others' upper two bits above them.
fn scale_and_min(scales: &[u8], part: usize) -> (u8, u8) {
    if part < 4 {
        (scales[part] & 63, scales[part + 4] & 63)
    } else {
        let both = scales[part + 4];
        (both & 15 | scales[part - 4] >> 6 << 4, both >> 4 | scales[part] >> 6 << 4)
    }
}

/// 128 bytes of the lower four bits; 64 bytes of the upper two; scales of 16 parts; d: d * scale * (q - 32).
pub(super) fn q6(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half(block, 208);
    for (row, numbers) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        // Two halves of four rows: the rows of a half share 32 bytes of upper bits, and two by two 32 bytes of lower ones.
        let (half, row) = (row / 4, row % 4);
        let low = &low[half * 64 + row % 2 * 32..];
        let high = &high[half * 32..];
        let (low_shift, high_shift) = (row / 2 * 4, row * 2);
        for (side, numbers) in numbers.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let d = d * f32::from(scales[half * 8 + row * 2 + side].cast_signed());
            let (low, high) = (&low[side * 16..], &high[side * 16..]);
            for ((number, &low), &high) in numbers.iter_mut().zip(low).zip(high) {
                let q = low >> low_shift & 15 | (high >> high_shift & 3) << 4;
                *number = d * f32::from(q.cast_signed() - 32);
            }
        }
    }
}

/// d; the upper two bits of 8 scales; their lower four; 128 bytes of two.
pub(super) fn iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let d = half(block, 0);
    let upper = u16::from_le_bytes([block[2], block[3]]);
    let (lower, quants) = (&block[4..8], &block[8..]);
    for (part, numbers) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let low = lower[part / 2] >> (part % 2 * 4) & 15;
        let high = (upper >> (part * 2) & 3) as u8;
        let d = d * f32::from((low | high << 4).cast_signed() - 32);
        let (first, last) = numbers.split_at_mut(16);
        for ((low, high), &q) in first.iter_mut().zip(last).zip(&quants[part * 16..]) {
            *low = d * IQ4_VALUES[usize::from(q & 15)];
            *high = d * IQ4_VALUES[usize::from(q >> 4)];
        }
    }
}

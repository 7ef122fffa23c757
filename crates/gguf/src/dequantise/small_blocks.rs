//! Blocks of 32 numbers: `d` is the scale, `m` the least number. Of a byte's two halves the lower belongs to the first 16 numbers.

use super::{IQ4_VALUES, half};

/// d, 32 numbers: d * q.
pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = half(block, 0);
    for (number, &q) in out.iter_mut().zip(&block[2..]) {
        *number = d * f32::from(q.cast_signed());
    }
}

/// d, 16 bytes of two: d * (q - 8).
pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(block, 0);
    let (first, last) = out.split_at_mut(16);
    for ((low, high), &q) in first.iter_mut().zip(last).zip(&block[2..]) {
        *low = d * f32::from((q & 15).cast_signed() - 8);
        *high = d * f32::from((q >> 4).cast_signed() - 8);
    }
}

/// d, m, 16 bytes of two: d * q + m.
pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    let (first, last) = out.split_at_mut(16);
    for ((low, high), &q) in first.iter_mut().zip(last).zip(&block[4..]) {
        *low = d * f32::from(q & 15) + m;
        *high = d * f32::from(q >> 4) + m;
    }
}

/// d, the fifth bits, 16 bytes of two: d * (q - 16).
pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = half(block, 0);
    let fifth = bits(block, 2);
    let (first, last) = out.split_at_mut(16);
    for (i, ((low, high), &q)) in first.iter_mut().zip(last).zip(&block[6..]).enumerate() {
        *low = d * f32::from((q & 15 | fifth_bit(fifth, i)).cast_signed() - 16);
        *high = d * f32::from((q >> 4 | fifth_bit(fifth, i + 16)).cast_signed() - 16);
    }
}

/// d, m, the fifth bits, 16 bytes of two: d * q + m.
pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    let fifth = bits(block, 4);
    let (first, last) = out.split_at_mut(16);
    for (i, ((low, high), &q)) in first.iter_mut().zip(last).zip(&block[8..]).enumerate() {
        *low = d * f32::from(q & 15 | fifth_bit(fifth, i)) + m;
        *high = d * f32::from(q >> 4 | fifth_bit(fifth, i + 16)) + m;
    }
}

/// d, 16 bytes of two: d * the value of that number.
pub(super) fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(block, 0);
    let (first, last) = out.split_at_mut(16);
    for ((low, high), &q) in first.iter_mut().zip(last).zip(&block[2..]) {
        *low = d * IQ4_VALUES[usize::from(q & 15)];
        *high = d * IQ4_VALUES[usize::from(q >> 4)];
    }
}

fn bits(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// Bit `i`, where the fifth bit of a number stands.
fn fifth_bit(bits: u32, i: usize) -> u8 {
    ((bits >> i & 1) << 4) as u8
}

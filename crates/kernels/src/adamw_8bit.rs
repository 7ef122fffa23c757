//! AdamW whose moments lie in memory as eight-bit codes (arXiv 2110.02861): a quarter of the bytes.
//!
//! Each block of 256 numbers is coded relative to its greatest magnitude, which is kept beside it in f32: first moments in
//! the signed dynamic map, second moments in the unsigned one (see [`crate::dynamic_map`]). A step decodes a block,
//! takes the step of [`crate::adamw`] on it in f32, and codes the new moments anew; the weight sees them before that.

use crate::adamw::{AdamW, Factors, update_here};
use crate::dynamic_map::{DynamicMap, SIGNED, UNSIGNED};
use crate::simd::vectorised;
use crate::threads::{self, GRAIN, rows_of};

/// Numbers that share a scale.
pub const BLOCK: usize = 256;
/// Codes in the bits of one f32, so that codes lie in memory as all other numbers do.
const PER_WORD: usize = 4;

/// Lengths of the codes and of the scales of one moment of `n` numbers: each element of the codes holds four codes in its
/// bits, the first lowest. All zeros stand for zero moments.
#[must_use]
pub fn lengths(n: usize) -> (usize, usize) {
    let blocks = n.div_ceil(BLOCK);
    (blocks * (BLOCK / PER_WORD), blocks)
}

/// One step on a parameter of n numbers: `w`, its gradient `g`, and codes and scales (see [`lengths`]) of first and second
/// moment.
pub fn adamw_8bit(w: &mut [f32], g: &[f32], codes: [&mut [f32]; 2], scales: [&mut [f32]; 2], h: &AdamW) {
    let n = w.len();
    let (words, blocks) = lengths(n);
    let fits = codes.iter().all(|codes| codes.len() == words) && scales.iter().all(|scales| scales.len() == blocks);
    assert!(g.len() == n && fits, "adamw_8bit: lengths of {n} numbers: gradient {}, codes and scales", g.len());
    let factors = Factors::of(h);
    let (signed, unsigned) = (&*SIGNED, &*UNSIGNED);
    let codes = codes.map(|codes| rows_of(codes, BLOCK / PER_WORD));
    let scales = scales.map(|scales| rows_of(scales, 1));
    let ([m, v], [m_scales, v_scales]) = (codes, scales);
    let out = (rows_of(w, BLOCK), (m, m_scales), (v, v_scales));
    threads::rows(blocks, GRAIN / BLOCK / 4, out, |r, (w, (m, m_scales), (v, v_scales))| {
        let g = &g[r.start * BLOCK..n.min(r.end * BLOCK)];
        let codes = m.data.as_chunks_mut().0.iter_mut().zip(v.data.as_chunks_mut().0);
        let scales = m_scales.data.iter_mut().zip(v_scales.data);
        for ((w, g), ((m, v), (m_scale, v_scale))) in
            w.data.chunks_mut(BLOCK).zip(g.chunks(BLOCK)).zip(codes.zip(scales))
        {
            update_block(w, g, (m, m_scale, signed), (v, v_scale, unsigned), factors);
        }
    });
}

/// Codes of a block, its scale, and the map of its codes.
type Coded<'a> = (&'a mut [f32; BLOCK / PER_WORD], &'a mut f32, &'a DynamicMap);

vectorised! {
    fn update_block(w: &mut [f32], g: &[f32], first: Coded<'_>, second: Coded<'_>, h: Factors) {
        let (mut m, mut v) = (decode(&first), decode(&second));
        let n = w.len();
        update_here(w, g, &mut m[..n], &mut v[..n], h);
        m[n..].fill(0.0);
        v[n..].fill(0.0);
        encode(&m, first);
        encode(&v, second);
    }
}

#[inline(always)]
fn decode((codes, scale, map): &Coded<'_>) -> [f32; BLOCK] {
    let mut numbers = [0.0; BLOCK];
    for (four, word) in numbers.as_chunks_mut::<PER_WORD>().0.iter_mut().zip(codes.iter()) {
        for (number, code) in four.iter_mut().zip(word.to_bits().to_le_bytes()) {
            *number = map.values[code as usize] * **scale;
        }
    }
    numbers
}

#[inline(always)]
fn encode(numbers: &[f32; BLOCK], (codes, scale, map): Coded<'_>) {
    // Magnitudes are ordered as their bits are.
    *scale = f32::from_bits(numbers.iter().fold(0, |greatest, x| greatest.max(x.abs().to_bits())));
    let divisor = if *scale == 0.0 { 1.0 } else { *scale };
    let mut bytes = [0; BLOCK];
    for (byte, number) in bytes.iter_mut().zip(numbers) {
        *byte = map.encode(number / divisor);
    }
    for (word, four) in codes.iter_mut().zip(bytes.as_chunks::<PER_WORD>().0) {
        *word = f32::from_bits(u32::from_le_bytes(*four));
    }
}

/// The same in double precision, one number at a time, the nearest code by looking at all.
pub mod plain {
    use super::{AdamW, BLOCK};
    use crate::dynamic_map::{SIGNED, UNSIGNED, plain::encode};

    /// Codes of a moment, one a number, and the scales of its blocks.
    pub type Moment = (Vec<u8>, Vec<f32>);

    /// One step: returns the new weights and moments.
    #[must_use]
    pub fn adamw_8bit(w: &[f32], g: &[f32], moments: &[Moment; 2], h: &AdamW) -> (Vec<f64>, [Moment; 2]) {
        let maps = [&SIGNED.values, &UNSIGNED.values];
        let read = |which: usize, i: usize| {
            let (codes, scales) = &moments[which];
            f64::from(maps[which][codes[i] as usize]) * f64::from(scales[i / BLOCK])
        };
        let step = |i: usize| crate::adamw::plain::adamw(w[i].into(), g[i].into(), read(0, i), read(1, i), h);
        let new: Vec<(f64, f64, f64)> = (0..w.len()).map(step).collect();
        let code = |which: usize, numbers: Vec<f64>| {
            let scales: Vec<f64> =
                numbers.chunks(BLOCK).map(|block| block.iter().fold(0.0, |m: f64, x| m.max(x.abs()))).collect();
            let codes = numbers.iter().enumerate().map(|(i, x)| encode(maps[which], x / scales[i / BLOCK].max(1e-300)));
            (codes.collect(), scales.iter().map(|&scale| scale as f32).collect())
        };
        let first = code(0, new.iter().map(|new| new.1).collect());
        let second = code(1, new.iter().map(|new| new.2).collect());
        (new.iter().map(|new| new.0).collect(), [first, second])
    }
}

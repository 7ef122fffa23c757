//! A few rows of `a` by a weight stored `[n, k]`, the products of decoding: every weight is read from memory once, row by
//! row from end to end, widened in registers and multiplied with all rows.
//!
//! Each product has two sums of its own, of the first and the second half of each block of 32 columns, so that its bits do
//! not depend on how many rows go together.

use std::ops::Range;

use crate::matmul::{MatMul, Output};
use crate::packed::Packing;
use crate::packed::codec::{self, BF16, BLOCK, F32, INT8, NF4};
use crate::simd::{self, LANES, Vector, vectorised};
use crate::{scratch, threads};

/// Rows of `a` up to which a product streams the weight instead of packing it.
pub const FEW_ROWS: usize = 64;

/// Rows that go together at most.
const MOST: usize = 8;

/// A weight as rows of codes, each with its scales.
#[derive(Clone, Copy)]
pub(crate) struct Weight<'a> {
    pub(crate) codes: &'a [u8],
    /// From row to row, which may lie further apart than they are long.
    pub(crate) row_bytes: usize,
    pub(crate) scales: &'a [f32],
    /// Scales of a row.
    pub(crate) row_scales: usize,
}

/// The product with a weight packed so, or in single precision (`None`), on so many threads. Rows of `a` are contiguous.
pub(crate) fn matmul(
    spec: &MatMul,
    a: &[f32],
    packing: Option<Packing>,
    weight: Weight<'_>,
    c: &mut [f32],
    threads: usize,
) {
    match packing {
        None => product::<F32, 128>(spec, a, weight, c, threads),
        Some(Packing::Bf16) => product::<BF16, 64>(spec, a, weight, c, threads),
        Some(Packing::Int8) => product::<INT8, 32>(spec, a, weight, c, threads),
        Some(Packing::Nf4) => product::<NF4, 16>(spec, a, weight, c, threads),
    }
}

/// `B`: bytes of a block of the packing `P`.
fn product<const P: usize, const B: usize>(
    spec: &MatMul,
    a: &[f32],
    weight: Weight<'_>,
    c: &mut [f32],
    threads: usize,
) {
    let (m, n, k) = (spec.m, spec.n, spec.k);
    // Rows that go together: as many as the registers hold sums for, in parts of about the same size.
    let most = if simd::many_registers() { MOST } else { 3 + usize::from(P == F32) };
    let parts = m.div_ceil(most);
    let part = |i: usize| m * i / parts..m * (i + 1) / parts;
    let blocks = k.div_ceil(BLOCK);
    let out = Output::new(c);
    scratch::with(LINE + m * blocks * BLOCK, |buffer| {
        let x = in_blocks::<P>(spec, a, (0..parts).map(part), buffer);
        let chunk = if threads == 1 { n } else { threads::row_chunk(k) };
        threads::rows(n, chunk, (), |columns, ()| {
            scratch::with(m * columns.len(), |products| {
                for rows in (0..parts).map(part) {
                    let x = &x[rows.start * blocks..rows.end * blocks];
                    of_rows::<P, B>(k, x, rows.len(), weight, columns.clone(), &mut products[rows.start..], m);
                }
                // SAFETY: each column of the output belongs to one part.
                #[allow(unsafe_code)]
                unsafe {
                    out.put_columns(spec, columns, products);
                }
            });
        });
    });
}

/// Numbers of a line of the cache.
const LINE: usize = 16;

/// The rows of each part with their blocks in turn, `[part][block][row][32]`, on whole lines of the cache; a last block is
/// filled with zeros, each half of it behind the columns that its codes have.
fn in_blocks<'x, const P: usize>(
    spec: &MatMul,
    a: &[f32],
    parts: impl Iterator<Item = Range<usize>>,
    buffer: &'x mut [f32],
) -> &'x [[f32; BLOCK]] {
    let skip = buffer.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let blocks = spec.k.div_ceil(BLOCK);
    let x = &mut buffer[skip..].as_chunks_mut::<BLOCK>().0[..spec.m * blocks];
    for rows in parts {
        let x = &mut x[rows.start * blocks..rows.end * blocks];
        for (i, row) in rows.clone().enumerate() {
            let (whole, rest) = a[row * spec.a_strides.0..][..spec.k].as_chunks::<BLOCK>();
            for (block, numbers) in whole.iter().enumerate() {
                x[block * rows.len() + i] = *numbers;
            }
            if !rest.is_empty() {
                let last = &mut x[(blocks - 1) * rows.len() + i];
                let (low, high) = rest.split_at(codec::cut(P, rest.len()));
                last.fill(0.0);
                last[..low.len()].copy_from_slice(low);
                last[LANES..][..high.len()].copy_from_slice(high);
            }
        }
    }
    x
}

/// Up to [`MOST`] rows by some columns of the product; `out[l * step + i]` is that of row `i` and column `columns[l]`.
fn of_rows<const P: usize, const B: usize>(
    k: usize,
    x: &[[f32; BLOCK]],
    rows: usize,
    weight: Weight<'_>,
    columns: Range<usize>,
    out: &mut [f32],
    step: usize,
) {
    let products = match rows {
        1 => products::<P, B, 1>,
        2 => products::<P, B, 2>,
        3 => products::<P, B, 3>,
        4 => products::<P, B, 4>,
        5 => products::<P, B, 5>,
        6 => products::<P, B, 6>,
        7 => products::<P, B, 7>,
        MOST => products::<P, B, MOST>,
        _ => unreachable!("{rows} rows go together"),
    };
    products(k, x, weight, columns, out, step);
}

/// How far ahead of its use a weight is asked for, in bytes: further than the processor looks by itself.
const AHEAD: usize = 16 << 10;

vectorised! {
    /// `out[l * step + i] = x[i] . weight[columns[l]]` for `I` rows, `x: [blocks][I]`.
    fn products<const P: usize, const B: usize, const I: usize>(
        k: usize,
        x: &[[f32; BLOCK]],
        weight: Weight<'_>,
        columns: Range<usize>,
        out: &mut [f32],
        step: usize,
    ) {
        let x = x.as_chunks::<I>().0;
        let blocks = k / BLOCK;
        let (whole, rest) = (&x[..blocks], x.get(blocks));
        let group = codec::group_blocks(P).min(blocks).max(1);
        for (column, out) in columns.zip(out.chunks_mut(step)) {
            let codes = &weight.codes[column * weight.row_bytes..];
            let scales = &weight.scales[column * weight.row_scales..][..weight.row_scales];
            let w = &codes.as_chunks::<B>().0[..blocks];
            let mut sums = [(V::splat(0.0), V::splat(0.0)); I];
            for (at_group, start) in (0..blocks).step_by(group).enumerate() {
                let key = codec::key::<V, P>(scales, at_group);
                for at in start..(start + group).min(blocks) {
                    simd::prefetch_behind(&w[at], AHEAD);
                    add_block::<V, P, I>(&w[at], key, &whole[at], &mut sums);
                }
            }
            if let Some(x) = rest {
                let (mut block, used) = ([0; B], codec::bytes(P, k - blocks * BLOCK));
                block[..used].copy_from_slice(&codes[blocks * B..][..used]);
                let key = codec::key::<V, P>(scales, blocks / codec::group_blocks(P));
                add_block::<V, P, I>(&block, key, x, &mut sums);
            }
            let sums = sums.map(|(low, high)| low.add(high));
            let (fours, ones) = sums.as_chunks::<4>();
            let (out_fours, out_ones) = out[..I].as_chunks_mut::<4>();
            for (four, out) in fours.iter().zip(out_fours) {
                *out = V::sums(*four);
            }
            for (one, out) in ones.iter().zip(out_ones) {
                *out = one.sum();
            }
        }
    }
}

/// Adds the products of a block to the sums of its first and its second half.
#[inline(always)]
fn add_block<V: Vector, const P: usize, const I: usize>(
    codes: &[u8],
    key: V,
    x: &[[f32; BLOCK]; I],
    sums: &mut [(V, V); I],
) {
    let (w_low, w_high) = codec::widen::<V, P>(codes, key);
    for ((low, high), x) in sums.iter_mut().zip(x) {
        let (x_low, x_high) = codec::halves::<V>(x);
        *low = x_low.mul_add(w_low, *low);
        *high = x_high.mul_add(w_high, *high);
    }
}

const _: () = assert!(BLOCK == 2 * LANES);

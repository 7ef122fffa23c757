//! A few rows of `a` by a weight stored `[n, k]`, the products of decoding: every weight is read from memory once, widened
//! in registers and multiplied with all rows.
//!
//! Some rows by some columns are a tile of products, each with sums of its own in sixteen lanes that run along the row, so
//! that its bits do not depend on how many rows go together or where the tile stands.

use std::ops::Range;

use crate::matmul::{MatMul, Output};
use crate::packed::Packing;
use crate::packed::codec::{self, BF16, BLOCK, F32, INT8, NF4};
use crate::simd::{self, LANES, Vector, vectorised};
use crate::{scratch, threads};

/// Rows of `a` up to which a product streams the weight instead of packing it.
pub const FEW_ROWS: usize = 128;

/// Bytes of a weight in single precision that all rows are multiplied with before the next ones are read: they stay in the
/// nearest cache meanwhile.
const NEAR: usize = 16 << 10;

/// The same where four of its rows are longer than [`SHORT`], and for packed ones: they stay in the next cache.
const NEXT: usize = 128 << 10;

/// Bytes that four rows may have to stay in the nearest cache beside those they are multiplied with.
const SHORT: usize = 32 << 10;

/// How far ahead of its use a weight is asked for, in bytes: further than the processor looks by itself.
const AHEAD: usize = 16 << 10;

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
    // Rows of a tile: as many as leave registers for the weights, in parts of about the same size.
    let most = match (simd::many_registers(), P) {
        (true, F32 | BF16) => 6,
        (false, F32) if m != 4 => 3,
        _ => 4,
    };
    let parts = m.div_ceil(most);
    let part = |i: usize| m * i / parts..m * (i + 1) / parts;
    let near = if P == F32 && 4 * weight.row_bytes <= SHORT { NEAR } else { NEXT };
    let near = (near / weight.row_bytes.max(1)).next_multiple_of(4).max(4);
    let out = Output::new(c);
    scratch::with(if k.is_multiple_of(BLOCK) { 0 } else { m * BLOCK }, |buffer| {
        let x = X { a, stride: spec.a_strides.0, ends: ends::<P>(spec, a, buffer), alone: parts == 1 };
        let chunk = if threads == 1 { n } else { threads::row_chunk(k) };
        threads::rows(n, chunk, (), |columns, ()| {
            let width = columns.len();
            scratch::with(m * width, |products| {
                for start in columns.clone().step_by(near) {
                    let near = start..(start + near).min(columns.end);
                    for rows in (0..parts).map(part) {
                        let out = &mut products[rows.start * width + start - columns.start..];
                        of_rows::<P, B>(k, x, rows, weight, near.clone(), out, width);
                    }
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

/// The rows that weights are multiplied with.
#[derive(Clone, Copy)]
struct X<'a> {
    a: &'a [f32],
    /// From row to row.
    stride: usize,
    /// What stands behind the last whole block of each row; nothing where rows are whole blocks.
    ends: &'a [[f32; BLOCK]],
    /// Whether one tile takes them all.
    alone: bool,
}

/// The last blocks of the rows, filled with zeros, each half of it behind the columns that its codes have; none where rows
/// are whole blocks.
fn ends<'x, const P: usize>(spec: &MatMul, a: &[f32], buffer: &'x mut [f32]) -> &'x [[f32; BLOCK]] {
    let ends = buffer.as_chunks_mut::<BLOCK>().0;
    for (row, end) in ends.iter_mut().enumerate() {
        let rest = a[row * spec.a_strides.0..][..spec.k].as_chunks::<BLOCK>().1;
        let (low, high) = rest.split_at(codec::cut(P, rest.len()));
        end.fill(0.0);
        end[..low.len()].copy_from_slice(low);
        end[LANES..][..high.len()].copy_from_slice(high);
    }
    ends
}

/// The rows of a tile by some columns of the product; `out[i * width + l]` is that of row `rows[i]` and column `columns[l]`.
fn of_rows<const P: usize, const B: usize>(
    k: usize,
    x: X<'_>,
    rows: Range<usize>,
    weight: Weight<'_>,
    columns: Range<usize>,
    out: &mut [f32],
    width: usize,
) {
    // One row or two wait for weights of single precision, which come fastest in one stream. All others wait for the
    // arithmetic: a few columns side by side share what they load, and have sums enough to hide how long one takes.
    let one_stream = P == F32 && x.alone;
    let tile = match (rows.len(), simd::many_registers()) {
        (1, _) if one_stream => products::<P, B, 1, 1>,
        (2, _) if one_stream => products::<P, B, 2, 1>,
        (1, _) => products::<P, B, 1, 4>,
        (2, true) => products::<P, B, 2, 4>,
        (3, true) => products::<P, B, 3, 4>,
        (4, true) => products::<P, B, 4, 4>,
        (5, true) => products::<P, B, 5, 4>,
        (6, true) => products::<P, B, 6, 4>,
        (2, false) => products::<P, B, 2, 2>,
        (3, false) if P == F32 => products::<P, B, 3, 2>,
        (3, false) => products::<P, B, 3, 1>,
        (4, false) => products::<P, B, 4, 1>,
        (rows, _) => unreachable!("{rows} rows go together"),
    };
    tile(k, x, rows.start, weight, columns, out, width);
}

vectorised! {
    /// `out[i * width + l] = x[row + i] . weight[columns[l]]` for `I` rows, `C` columns at a time.
    fn products<const P: usize, const B: usize, const I: usize, const C: usize>(
        k: usize,
        x: X<'_>,
        row: usize,
        weight: Weight<'_>,
        columns: Range<usize>,
        out: &mut [f32],
        width: usize,
    ) {
        let ends = (!x.ends.is_empty()).then(|| std::array::from_fn(|i| &x.ends[row + i]));
        let x: [&[[f32; BLOCK]]; I] = std::array::from_fn(|i| &x.a[(row + i) * x.stride..][..k].as_chunks().0[..k / BLOCK]);
        let whole = columns.len() / C * C;
        for at in (0..whole).step_by(C) {
            put(sums_of::<V, P, B, I, C>(k, x, ends, weight, columns.start + at), &mut out[at..], width);
        }
        for at in whole..columns.len() {
            put(sums_of::<V, P, B, I, 1>(k, x, ends, weight, columns.start + at), &mut out[at..], width);
        }
    }
}

/// Adds up the sixteen sums of each product of a tile.
#[inline(always)]
fn put<V: Vector, const I: usize, const C: usize>(tile: [[V; C]; I], out: &mut [f32], width: usize) {
    for (row, sums) in tile.iter().enumerate() {
        let (fours, ones) = sums.as_chunks::<4>();
        let (out_fours, out_ones) = out[row * width..][..C].as_chunks_mut::<4>();
        for (four, out) in fours.iter().zip(out_fours) {
            *out = V::sums(*four);
        }
        for (one, out) in ones.iter().zip(out_ones) {
            *out = one.sum();
        }
    }
}

/// The products of `I` rows and the `C` columns from `column` on, each still in sixteen sums.
#[inline(always)]
fn sums_of<V: Vector, const P: usize, const B: usize, const I: usize, const C: usize>(
    k: usize,
    x: [&[[f32; BLOCK]]; I],
    ends: Option<[&[f32; BLOCK]; I]>,
    weight: Weight<'_>,
    column: usize,
) -> [[V; C]; I] {
    let blocks = k / BLOCK;
    let codes: [&[u8]; C] = std::array::from_fn(|c| &weight.codes[(column + c) * weight.row_bytes..]);
    let scales: [&[f32]; C] =
        std::array::from_fn(|c| &weight.scales[(column + c) * weight.row_scales..][..weight.row_scales]);
    let w: [&[[u8; B]]; C] = codes.map(|codes| &codes.as_chunks::<B>().0[..blocks]);
    let x = x.map(|x| &x[..blocks]);
    let group = codec::group_blocks(P).min(blocks).max(1);
    let mut sums = [[V::splat(0.0); C]; I];
    for (at_group, start) in (0..blocks).step_by(group).enumerate() {
        let keys = keys_of::<V, P, C>(scales, at_group);
        for at in start..(start + group).min(blocks) {
            for w in w {
                simd::prefetch_behind(&w[at], AHEAD);
            }
            let block = std::array::from_fn(|c| &w[c][at][..]);
            add_block::<V, P, I, C>(block, keys, x.map(|x| &x[at]), &mut sums);
        }
    }
    if let Some(x) = ends {
        let used = codec::bytes(P, k - blocks * BLOCK);
        let block: [[u8; B]; C] = std::array::from_fn(|c| {
            let mut block = [0; B];
            block[..used].copy_from_slice(&codes[c][blocks * B..][..used]);
            block
        });
        let keys = keys_of::<V, P, C>(scales, blocks / codec::group_blocks(P));
        add_block::<V, P, I, C>(block.each_ref().map(|block| &block[..]), keys, x, &mut sums);
    }
    sums
}

/// The keys of a group of blocks. (A loop: the body of a closure is compiled for the baseline of the target.)
#[inline(always)]
fn keys_of<V: Vector, const P: usize, const C: usize>(scales: [&[f32]; C], at_group: usize) -> [V; C] {
    let mut keys = [V::splat(0.0); C];
    for (key, scales) in keys.iter_mut().zip(scales) {
        *key = codec::key::<V, P>(scales, at_group);
    }
    keys
}

/// Adds the products of a block, those of its first half before those of its second.
#[inline(always)]
fn add_block<V: Vector, const P: usize, const I: usize, const C: usize>(
    codes: [&[u8]; C],
    keys: [V; C],
    x: [&[f32; BLOCK]; I],
    sums: &mut [[V; C]; I],
) {
    let mut w = [(V::splat(0.0), V::splat(0.0)); C];
    for (w, (codes, key)) in w.iter_mut().zip(codes.into_iter().zip(keys)) {
        *w = codec::widen::<V, P>(codes, key);
    }
    for (sums, x) in sums.iter_mut().zip(x) {
        let (x_low, _) = codec::halves::<V>(x);
        for (sum, (w_low, _)) in sums.iter_mut().zip(w) {
            *sum = x_low.mul_add(w_low, *sum);
        }
    }
    for (sums, x) in sums.iter_mut().zip(x) {
        let (_, x_high) = codec::halves::<V>(x);
        for (sum, (_, w_high)) in sums.iter_mut().zip(w) {
            *sum = x_high.mul_add(w_high, *sum);
        }
    }
}

const _: () = assert!(BLOCK == 2 * LANES);

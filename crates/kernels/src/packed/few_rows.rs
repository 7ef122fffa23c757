//! A few rows of `a` by a packed weight stored `[n, k]`: every code is read from memory once and widened in registers.

use std::ops::Range;

use super::codec::{self, BF16, BLOCK, INT8, NF4};
use super::{PackedView, Packing};
use crate::matmul::{MatMul, few_columns};
use crate::simd::{LANES, load_part, many_registers, prefetch_behind, sum_lanes, vectorised};

/// The product of up to [`FEW_ROWS`](crate::matmul::FEW_ROWS) rows, each contiguous.
pub(super) fn matmul(spec: &MatMul, a: &[f32], b: &PackedView<'_>, c: &mut [f32]) {
    match b.packing {
        Packing::Bf16 => product::<BF16, 64>(spec, a, b, c),
        Packing::Int8 => product::<INT8, 32>(spec, a, b, c),
        Packing::Nf4 => product::<NF4, 16>(spec, a, b, c),
    }
}

/// `B`: bytes of a block of the packing `P`.
fn product<const P: usize, const B: usize>(spec: &MatMul, a: &[f32], b: &PackedView<'_>, c: &mut [f32]) {
    // One row reads the codes from end to end, which memory likes best. nf4 is not as fast as memory and wants more sums
    // at a time; several rows share what has been widened, with as many sums as the registers hold twice: of the group
    // and in all.
    let columns_of = match spec.m {
        1 if P == NF4 => columns_of::<P, B, 1, 4>,
        1 => columns_of::<P, B, 1, 1>,
        4.. if many_registers() => columns_of::<P, B, 4, 2>,
        _ => columns_of::<P, B, 2, 2>,
    };
    few_columns(spec, crate::threads::parallelism(), c, |r, out| columns_of(spec, a, b, r, out));
}

/// Some columns of the product, `J` at a time with `I` rows; `out: [columns, m]`.
fn columns_of<const P: usize, const B: usize, const I: usize, const J: usize>(
    spec: &MatMul,
    a: &[f32],
    b: &PackedView<'_>,
    columns: Range<usize>,
    mut out: &mut [f32],
) {
    let m = spec.m;
    let x = |i: usize| &a[i * spec.a_strides.0..][..spec.k];
    let mut j = columns.start;
    while j + J <= columns.end {
        let w: [_; J] = std::array::from_fn(|l| b.row(j + l));
        let mut i = 0;
        while i + I <= m {
            inner_products::<P, B, I, J>(std::array::from_fn(|l| x(i + l)), w, &mut out[i..], m);
            i += I;
        }
        for i in i..m {
            inner_products::<P, B, 1, J>([x(i)], w, &mut out[i..], m);
        }
        out = &mut out[J * m..];
        j += J;
    }
    for (j, out) in (j..columns.end).zip(out.chunks_exact_mut(m)) {
        for i in 0..m {
            inner_products::<P, B, 1, 1>([x(i)], [b.row(j)], &mut out[i..], m);
        }
    }
}

vectorised! {
    /// `out[j * step + i] = x[i] . w[j]`, where `w[j]` are the codes and scales of a row. Each product is summed group by
    /// group in its own accumulators, so that the order does not depend on `I` or `J`.
    fn inner_products<const P: usize, const B: usize, const I: usize, const J: usize>(
        x: [&[f32]; I],
        w: [(&[u8], &[f32]); J],
        out: &mut [f32],
        step: usize,
    ) {
        let blocks = x[0].len() / BLOCK;
        let x_blocks = x.map(|x| &x.as_chunks::<BLOCK>().0[..blocks]);
        let w_blocks = w.map(|w| &w.0.as_chunks::<B>().0[..blocks]);
        let mut total = [[V::splat(0.0); I]; J];
        let group = codec::group_blocks(P).min(blocks).max(1);
        for (at_group, start) in (0..blocks).step_by(group).enumerate() {
            let mut acc = [[V::splat(0.0); I]; J];
            for at in start..(start + group).min(blocks) {
                for j in 0..J {
                    if I * J > 1 {
                        prefetch_behind(&w_blocks[j][at], J * w[j].0.len());
                    }
                    let (low, high) = codec::widen::<V, P>(&w_blocks[j][at]);
                    for i in 0..I {
                        let (x_low, x_high) = codec::halves::<V>(&x_blocks[i][at]);
                        acc[j][i] = x_high.mul_add(high, x_low.mul_add(low, acc[j][i]));
                    }
                }
            }
            for j in 0..J {
                let scale = codec::scale(P, w[j].1, at_group);
                for i in 0..I {
                    total[j][i] = acc[j][i].mul_add(V::splat(scale), total[j][i]);
                }
            }
        }
        let done = blocks * BLOCK;
        if done < x[0].len() {
            let cut = codec::cut(P, x[0].len() - done);
            for j in 0..J {
                let mut codes = [0; B];
                codes[..w[j].0.len() - blocks * B].copy_from_slice(&w[j].0[blocks * B..]);
                let (low, high) = codec::widen::<V, P>(&codes);
                let scale = codec::scale(P, w[j].1, blocks / codec::group_blocks(P));
                for i in 0..I {
                    let (x_low, x_high) = x[i][done..].split_at(cut);
                    let part = load_part::<V>(x_low, 0.0).mul(low);
                    let part = load_part::<V>(x_high, 0.0).mul_add(high, part);
                    total[j][i] = part.mul_add(V::splat(scale), total[j][i]);
                }
            }
        }
        for j in 0..J {
            for i in 0..I {
                out[j * step + i] = sum_lanes(total[j][i]);
            }
        }
    }
}

const _: () = assert!(BLOCK == 2 * LANES);

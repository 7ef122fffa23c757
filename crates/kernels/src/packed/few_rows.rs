//! A few rows of `a` by a packed weight stored `[n, k]`: every code is read from memory once and widened in registers.

use std::ops::Range;

use super::codec::{self, BF16, BLOCK, INT8, NF4};
use super::{PackedView, Packing};
use crate::matmul::{MatMul, few_columns};
use crate::simd::{LANES, Vector, load_part, many_registers, sum_lanes, vectorised};

/// The product of up to [`FEW_ROWS`](crate::matmul::FEW_ROWS) rows, each contiguous.
pub(super) fn matmul(spec: &MatMul, a: &[f32], b: &PackedView<'_>, c: &mut [f32]) {
    let columns_of = match (b.packing, many_registers()) {
        (Packing::Bf16, true) => columns_of::<BF16, 64, 4, 4>,
        (Packing::Bf16, false) => columns_of::<BF16, 64, 2, 2>,
        (Packing::Int8, true) => columns_of::<INT8, 32, 4, 4>,
        (Packing::Int8, false) => columns_of::<INT8, 32, 2, 2>,
        (Packing::Nf4, true) => columns_of::<NF4, 16, 4, 4>,
        (Packing::Nf4, false) => columns_of::<NF4, 16, 2, 2>,
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
                let x = x_blocks.map(|x| codec::halves::<V>(&x[at]));
                for j in 0..J {
                    let (low, high) = codec::widen::<V, P>(&w_blocks[j][at]);
                    for i in 0..I {
                        acc[j][i] = x[i].1.mul_add(high, x[i].0.mul_add(low, acc[j][i]));
                    }
                }
            }
            add_group::<V, P, I, J>(&mut total, &acc, |j| w[j].1[at_group]);
        }
        let done = blocks * BLOCK;
        if done < x[0].len() {
            let mut acc = [[V::splat(0.0); I]; J];
            let cut = codec::cut(P, x[0].len() - done);
            for j in 0..J {
                let mut codes = [0; B];
                codes[..w[j].0.len() - blocks * B].copy_from_slice(&w[j].0[blocks * B..]);
                let (low, high) = codec::widen::<V, P>(&codes);
                for i in 0..I {
                    let (x_low, x_high) = x[i][done..].split_at(cut);
                    acc[j][i] = load_part::<V>(x_low, 0.0).mul_add(low, acc[j][i]);
                    acc[j][i] = load_part::<V>(x_high, 0.0).mul_add(high, acc[j][i]);
                }
            }
            add_group::<V, P, I, J>(&mut total, &acc, |j| w[j].1[w[j].1.len() - 1]);
        }
        for j in 0..J {
            for i in 0..I {
                out[j * step + i] = sum_lanes(total[j][i]);
            }
        }
    }
}

/// `total += acc * scale`; without scales there is one group and the rest, which are added as they are.
#[inline(always)]
fn add_group<V: Vector, const P: usize, const I: usize, const J: usize>(
    total: &mut [[V; I]; J],
    acc: &[[V; I]; J],
    scale: impl Fn(usize) -> f32,
) {
    for j in 0..J {
        for i in 0..I {
            total[j][i] =
                if P == BF16 { total[j][i].add(acc[j][i]) } else { acc[j][i].mul_add(V::splat(scale(j)), total[j][i]) };
        }
    }
}

const _: () = assert!(BLOCK == 2 * LANES);

//! Sums, scalings and reductions over whole buffers.

use crate::simd::{dot, vectorised};
use crate::threads::{self, GRAIN, rows_of};

/// Squares summed in single precision before their sum moves to double.
const SQUARES_BLOCK: usize = 1 << 9;

/// Elements of one part of [`sum_of_squares`].
const SQUARES_CHUNK: usize = 1 << 14;

/// `out = x + y`.
pub fn add(x: &[f32], y: &[f32], out: &mut [f32]) {
    assert!(x.len() == y.len() && x.len() == out.len(), "add: lengths {}, {} and {}", x.len(), y.len(), out.len());
    threads::rows(x.len(), GRAIN, rows_of(out, 1), |r, out| add_here(&x[r.clone()], &y[r], out.data));
}

/// `acc += x`.
pub fn add_assign(acc: &mut [f32], x: &[f32]) {
    assert_eq!(acc.len(), x.len(), "add_assign: lengths");
    threads::rows(x.len(), GRAIN, rows_of(acc, 1), |r, acc| add_assign_here(acc.data, &x[r]));
}

/// `x *= s`.
pub fn scale(x: &mut [f32], s: f32) {
    threads::rows(x.len(), GRAIN, rows_of(x, 1), |_, x| scale_here(x.data, s));
}

/// `y = s * x`.
pub fn scaled(x: &[f32], s: f32, y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "scaled: lengths");
    threads::rows(x.len(), GRAIN, rows_of(y, 1), |r, y| scaled_here(&x[r], s, y.data));
}

/// `acc += s * x`.
pub fn axpy(s: f32, x: &[f32], acc: &mut [f32]) {
    assert_eq!(acc.len(), x.len(), "axpy: lengths");
    threads::rows(x.len(), GRAIN, rows_of(acc, 1), |r, acc| axpy_here(s, &x[r], acc.data));
}

/// `x[N, C] += bias[C]` on every row.
pub fn add_bias(x: &mut [f32], bias: &[f32]) {
    let c = bias.len();
    assert!(c > 0 && x.len().is_multiple_of(c), "add_bias: {} elements, rows of {c}", x.len());
    threads::rows(x.len() / c, threads::row_chunk(c), rows_of(x, c), |_, x| add_bias_here(x.data, bias));
}

/// `out[C] += sum over the rows of x[N, C]`: the gradient of [`add_bias`].
pub fn column_sums(x: &[f32], c: usize, out: &mut [f32]) {
    assert!(c > 0 && x.len().is_multiple_of(c), "column_sums: {} elements, rows of {c}", x.len());
    assert_eq!(out.len(), c, "column_sums: length of the sums");
    threads::reduce_rows(x.len() / c, out, |r, partial| {
        for row in x[r.start * c..r.end * c].chunks_exact(c) {
            add_assign_here(partial, row);
        }
    });
}

/// Sum of the squares, short parts in single precision and their total in double; relative error about 1e-7.
#[must_use]
pub fn sum_of_squares(x: &[f32]) -> f64 {
    use rayon::prelude::*;
    if x.len() <= threads::GRAIN || threads::parallelism() == 1 {
        return x.chunks(SQUARES_CHUNK).map(sum_of_squares_here).sum();
    }
    let parts: Vec<f64> = x.par_chunks(SQUARES_CHUNK).with_min_len(4).map(sum_of_squares_here).collect();
    parts.iter().sum()
}

vectorised! {
    fn add_here(x: &[f32], y: &[f32], out: &mut [f32]) {
        for ((o, x), y) in out.iter_mut().zip(x).zip(y) {
            *o = x + y;
        }
    }

    pub(crate) fn add_assign_here(acc: &mut [f32], x: &[f32]) {
        for (a, x) in acc.iter_mut().zip(x) {
            *a += x;
        }
    }

    pub(crate) fn scale_here(x: &mut [f32], s: f32) {
        for x in x {
            *x *= s;
        }
    }

    pub(crate) fn scaled_here(x: &[f32], s: f32, y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = s * x;
        }
    }

    pub(crate) fn axpy_here(s: f32, x: &[f32], acc: &mut [f32]) {
        for (a, x) in acc.iter_mut().zip(x) {
            *a = s.mul_add(*x, *a);
        }
    }

    fn add_bias_here(x: &mut [f32], bias: &[f32]) {
        for row in x.chunks_exact_mut(bias.len()) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x += b;
            }
        }
    }

    pub(crate) fn inner(a: &[f32], b: &[f32]) -> f32 {
        dot::<V>(a, b)
    }

    fn sum_of_squares_here(x: &[f32]) -> f64 {
        let mut total = 0.0;
        for block in x.chunks(SQUARES_BLOCK) {
            total += f64::from(dot::<V>(block, block));
        }
        total
    }
}

//! Norms, row by row.
//!
//! - Root mean square (RMSNorm, arXiv 1910.07467): `y = x / sqrt(mean(x^2) + eps) * w`; with gemma's weights `(1 + w)` in
//!   the place of `w`.
//! - Layer norm (arXiv 1607.06450): `y = (x - mean) / sqrt(variance + eps) * w + b`, the variance that of all C elements.

use crate::simd::{self, LANES, Vector, dot, load_part, vectorised};
use crate::threads::{self, row_chunk, rows_of};

/// What a norm does to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Divides by the root mean square, multiplies by the weight.
    Rms,
    /// Divides by the root mean square, multiplies by one plus the weight, as gemma does.
    RmsPlusOne,
    /// Subtracts the mean, divides by the standard deviation, multiplies by the weight, adds the bias if there is one.
    Layer,
}

/// Kinds as numbers, for parameters of functions.
const RMS: usize = NormKind::Rms as usize;
const PLUS_ONE: usize = NormKind::RmsPlusOne as usize;
const LAYER: usize = NormKind::Layer as usize;

/// See [`NormKind::statistics`].
const fn kept(kind: usize) -> usize {
    if kind == LAYER { 2 } else { 1 }
}

impl NormKind {
    /// How many numbers of each row are kept for the backward: the inverse of the root mean square, or the mean and the
    /// inverse of the standard deviation.
    #[must_use]
    pub fn statistics(self) -> usize {
        kept(self as usize)
    }
}

/// The function that is compiled for this kind.
macro_rules! of_kind {
    ($kind:expr, $function:ident) => {
        match $kind {
            NormKind::Rms => $function::<RMS>,
            NormKind::RmsPlusOne => $function::<PLUS_ONE>,
            NormKind::Layer => $function::<LAYER>,
        }
    };
}

/// `x: [N, C], w and bias: [C] -> y: [N, C]`; `statistics: [N, 1 or 2]` are kept for the backward. `eps` stands inside the
/// root. Only [`NormKind::Layer`] has a bias.
pub fn norm(
    kind: NormKind,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
    y: &mut [f32],
    statistics: &mut [f32],
) {
    let (n, c) = rows_and_width("norm", x.len(), w.len());
    let kept = kind.statistics();
    assert_eq!(y.len(), x.len(), "norm: length of y");
    check_rows("norm", kind, n, c, bias, statistics.len());
    let norm_rows = of_kind!(kind, norm_rows);
    let out = (rows_of(y, c), rows_of(statistics, kept));
    threads::rows(n, row_chunk(c), out, |r, (y, statistics)| {
        norm_rows(&x[r.start * c..r.end * c], w, bias, eps, y.data, statistics.data);
    });
}

/// `sum = x + delta`, then [`norm`] of the sum: the residual stream and its norm in one pass.
pub fn add_norm(
    kind: NormKind,
    x: &[f32],
    delta: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
    sum: &mut [f32],
    y: &mut [f32],
    statistics: &mut [f32],
) {
    let (n, c) = rows_and_width("add_norm", x.len(), w.len());
    assert!(delta.len() == x.len() && sum.len() == x.len() && y.len() == x.len(), "add_norm: lengths");
    check_rows("add_norm", kind, n, c, bias, statistics.len());
    let add_norm_rows = of_kind!(kind, add_norm_rows);
    let out = (rows_of(sum, c), rows_of(y, c), rows_of(statistics, kind.statistics()));
    threads::rows(n, row_chunk(c), out, |r, (sum, y, statistics)| {
        let at = r.start * c..r.end * c;
        add_norm_rows(&x[at.clone()], &delta[at], w, bias, eps, sum.data, y.data, statistics.data);
    });
}

/// The gradient of [`norm`]: `dx = dx_beta * dx + ...` and, when asked for, `dw += ...`; that of the bias is the sum of the
/// rows of `dy`.
///
/// With `g = dy * w` (`dy * (1 + w)` in [`NormKind::RmsPlusOne`]), `s` the inverse of the root and `z = x`, or `x - mean` in
/// [`NormKind::Layer`]: `dx = s g - z s^3 mean(g z)`, in [`NormKind::Layer`] less `s mean(g)`, and `dw = sum over rows of dy z s`.
/// `dx_beta` is 0 (overwrite, whatever `dx` holds) or 1 (accumulate).
pub fn norm_backward(
    kind: NormKind,
    x: &[f32],
    w: &[f32],
    statistics: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    dx_beta: f32,
    dw: Option<&mut [f32]>,
) {
    let (n, c) = rows_and_width("norm_backward", x.len(), w.len());
    let kept = kind.statistics();
    assert!(dy.len() == x.len() && dx.len() == x.len(), "norm_backward: lengths of dy and dx");
    check_rows("norm_backward", kind, n, c, None, statistics.len());
    let (dx_rows, dw_rows) = (of_kind!(kind, norm_dx_rows), of_kind!(kind, norm_dw_rows));
    threads::rows(n, row_chunk(c), rows_of(dx, c), |r, dx| {
        let (at, kept) = (r.start * c..r.end * c, r.start * kept..r.end * kept);
        dx_rows(&x[at.clone()], w, &statistics[kept], &dy[at], dx.data, dx_beta);
    });
    if let Some(dw) = dw {
        assert_eq!(dw.len(), c, "norm_backward: length of dw");
        threads::reduce_rows(n, dw, |r, partial| {
            let (at, kept) = (r.start * c..r.end * c, r.start * kept..r.end * kept);
            dw_rows(&x[at.clone()], &statistics[kept], &dy[at], partial);
        });
    }
}

fn rows_and_width(what: &str, elements: usize, c: usize) -> (usize, usize) {
    assert!(c > 0 && elements.is_multiple_of(c), "{what}: {elements} elements do not make rows of {c}");
    (elements / c, c)
}

fn check_rows(what: &str, kind: NormKind, n: usize, c: usize, bias: Option<&[f32]>, statistics: usize) {
    assert_eq!(statistics, n * kind.statistics(), "{what}: length of the statistics of {n} rows");
    if let Some(bias) = bias {
        assert!(kind == NormKind::Layer && bias.len() == c, "{what}: a bias of {} for {kind:?} of {c}", bias.len());
    }
}

/// What an element is multiplied by.
#[inline(always)]
fn factor<const KIND: usize>(w: f32) -> f32 {
    if KIND == PLUS_ONE { 1.0 + w } else { w }
}

#[inline(always)]
fn norm_row<V: Vector, const KIND: usize>(
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
    y: &mut [f32],
    statistics: &mut [f32],
) {
    let c = x.len() as f32;
    if KIND != LAYER {
        let s = 1.0 / (dot::<V>(x, x) / c + eps).sqrt();
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * s * factor::<KIND>(*w);
        }
        statistics[0] = s;
        return;
    }
    // Two passes over the row; the second one also finds by how much the first one's mean was off (Chan, Golub and LeVeque,
    // The American Statistician 37, 1983, eq. 1.7).
    let mean = simd::sum::<V>(x) / c;
    let (sum, squares) = around::<V>(x, mean);
    let off = sum / c;
    let s = 1.0 / ((squares - sum * off).max(0.0) / c + eps).sqrt();
    let mean = mean + off;
    match bias {
        Some(bias) => {
            for (((y, x), w), b) in y.iter_mut().zip(x).zip(w).zip(bias) {
                *y = ((x - mean) * s).mul_add(*w, *b);
            }
        }
        None => {
            for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
                *y = (x - mean) * s * w;
            }
        }
    }
    statistics[0] = mean;
    statistics[1] = s;
}

/// Sums of `x - mean` and of its squares.
#[inline(always)]
fn around<V: Vector>(x: &[f32], mean: f32) -> (f32, f32) {
    let (mut sum, mut squares) = (V::splat(0.0), V::splat(0.0));
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        (sum, squares) = add_around(V::load(block), mean, sum, squares);
    }
    (sum, squares) = add_around(load_part(rest, mean), mean, sum, squares);
    (sum.sum(), squares.sum())
}

#[inline(always)]
fn add_around<V: Vector>(x: V, mean: f32, sum: V, squares: V) -> (V, V) {
    let d = x.add(V::splat(-mean));
    (sum.add(d), d.mul_add(d, squares))
}

/// Sums of `g` and of `g z`, see [`norm_backward`]; the first one only where it is needed, 0 elsewhere.
#[inline(always)]
fn gradient_sums<V: Vector, const KIND: usize>(x: &[f32], w: &[f32], dy: &[f32], mean: f32) -> (f32, f32) {
    let mut sums = [(V::splat(0.0), V::splat(0.0)); 2];
    let ((x_blocks, x_rest), (w_blocks, w_rest)) = (x.as_chunks::<LANES>(), w.as_chunks::<LANES>());
    let (dy_blocks, dy_rest) = dy.as_chunks::<LANES>();
    // Two sums in turn, to hide the latency of an addition.
    let ((x_pairs, x_last), (w_pairs, w_last)) = (x_blocks.as_chunks::<2>(), w_blocks.as_chunks::<2>());
    let (dy_pairs, dy_last) = dy_blocks.as_chunks::<2>();
    for ((x, w), dy) in x_pairs.iter().zip(w_pairs).zip(dy_pairs) {
        for i in 0..2 {
            sums[i] = add_gradient::<V, KIND>(V::load(&x[i]), V::load(&w[i]), V::load(&dy[i]), mean, sums[i]);
        }
    }
    for ((x, w), dy) in x_last.iter().zip(w_last).zip(dy_last) {
        sums[0] = add_gradient::<V, KIND>(V::load(x), V::load(w), V::load(dy), mean, sums[0]);
    }
    let (x, w, dy) = (load_part(x_rest, mean), load_part(w_rest, 0.0), load_part(dy_rest, 0.0));
    sums[0] = add_gradient::<V, KIND>(x, w, dy, mean, sums[0]);
    let [(sum, product), (other_sum, other_product)] = sums;
    (sum.add(other_sum).sum(), product.add(other_product).sum())
}

#[inline(always)]
fn add_gradient<V: Vector, const KIND: usize>(x: V, w: V, dy: V, mean: f32, (sum, products): (V, V)) -> (V, V) {
    let w = if KIND == PLUS_ONE { w.add(V::splat(1.0)) } else { w };
    let g = w.mul(dy);
    if KIND == LAYER {
        (sum.add(g), g.mul_add(x.add(V::splat(-mean)), products))
    } else {
        (sum, g.mul_add(x, products))
    }
}

/// One element of `dx`, where `along` is the factor of `z` and `level` what all elements lose.
#[inline(always)]
fn gradient<const KIND: usize>(x: f32, w: f32, dy: f32, (mean, s): (f32, f32), along: f32, level: f32) -> f32 {
    if KIND == LAYER {
        along.mul_add(x - mean, s * w * dy - level)
    } else {
        along.mul_add(x, s * factor::<KIND>(w) * dy)
    }
}

/// The mean, 0 where it stays, and the inverse of the root.
#[inline(always)]
fn mean_and_inverse<const KIND: usize>(statistics: &[f32]) -> (f32, f32) {
    if KIND == LAYER { (statistics[0], statistics[1]) } else { (0.0, statistics[0]) }
}

vectorised! {
    fn norm_rows<const KIND: usize>(
        x: &[f32],
        w: &[f32],
        bias: Option<&[f32]>,
        eps: f32,
        y: &mut [f32],
        statistics: &mut [f32],
    ) {
        let c = w.len();
        let kept = kept(KIND);
        for ((x, y), statistics) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(statistics.chunks_exact_mut(kept)) {
            norm_row::<V, KIND>(x, w, bias, eps, y, statistics);
        }
    }

    fn add_norm_rows<const KIND: usize>(
        x: &[f32],
        delta: &[f32],
        w: &[f32],
        bias: Option<&[f32]>,
        eps: f32,
        sum: &mut [f32],
        y: &mut [f32],
        statistics: &mut [f32],
    ) {
        let c = w.len();
        let kept = kept(KIND);
        let inputs = x.chunks_exact(c).zip(delta.chunks_exact(c));
        let outputs = sum.chunks_exact_mut(c).zip(y.chunks_exact_mut(c)).zip(statistics.chunks_exact_mut(kept));
        for ((x, delta), ((sum, y), statistics)) in inputs.zip(outputs) {
            for ((s, x), d) in sum.iter_mut().zip(x).zip(delta) {
                *s = x + d;
            }
            norm_row::<V, KIND>(sum, w, bias, eps, y, statistics);
        }
    }

    fn norm_dx_rows<const KIND: usize>(
        x: &[f32],
        w: &[f32],
        statistics: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        beta: f32,
    ) {
        let c = w.len();
        let kept = kept(KIND);
        let rows = x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c));
        for (((x, dy), dx), statistics) in rows.zip(statistics.chunks_exact(kept)) {
            let (mean, s) = mean_and_inverse::<KIND>(statistics);
            let (sum, product) = gradient_sums::<V, KIND>(x, w, dy, mean);
            let along = -s * s * s * product / c as f32;
            let level = s * sum / c as f32;
            if beta == 0.0 {
                for (((dx, x), w), dy) in dx.iter_mut().zip(x).zip(w).zip(dy) {
                    *dx = gradient::<KIND>(*x, *w, *dy, (mean, s), along, level);
                }
            } else {
                for (((dx, x), w), dy) in dx.iter_mut().zip(x).zip(w).zip(dy) {
                    *dx = beta * *dx + gradient::<KIND>(*x, *w, *dy, (mean, s), along, level);
                }
            }
        }
    }

    fn norm_dw_rows<const KIND: usize>(x: &[f32], statistics: &[f32], dy: &[f32], dw: &mut [f32]) {
        let c = dw.len();
        let kept = kept(KIND);
        for ((x, dy), statistics) in x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(statistics.chunks_exact(kept)) {
            let (mean, s) = mean_and_inverse::<KIND>(statistics);
            for ((dw, x), dy) in dw.iter_mut().zip(x).zip(dy) {
                let z = if KIND == LAYER { x - mean } else { *x };
                *dw = (z * s).mul_add(*dy, *dw);
            }
        }
    }
}

/// The same in double precision, without tricks.
pub mod plain {
    use super::NormKind;

    /// `x: [N, C], w and bias: [C] -> [N, C]`.
    #[must_use]
    pub fn norm(kind: NormKind, x: &[f64], w: &[f64], bias: Option<&[f64]>, eps: f64) -> Vec<f64> {
        let c = w.len();
        let mut y = Vec::with_capacity(x.len());
        for row in x.chunks_exact(c) {
            let mean = if kind == NormKind::Layer { row.iter().sum::<f64>() / c as f64 } else { 0.0 };
            let mean_square = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / c as f64;
            let inv = 1.0 / (mean_square + eps).sqrt();
            for (i, v) in row.iter().enumerate() {
                let factor = if kind == NormKind::RmsPlusOne { 1.0 + w[i] } else { w[i] };
                y.push((v - mean) * inv * factor + bias.map_or(0.0, |bias| bias[i]));
            }
        }
        y
    }
}

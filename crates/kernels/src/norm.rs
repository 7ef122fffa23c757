//! Root mean square norm (RMSNorm, arXiv 1910.07467): `y = x / sqrt(mean(x^2) + eps) * w`, row by row.

use crate::simd::{Vector, dot, dot3, vectorised};
use crate::threads::{self, row_chunk, rows_of};

/// `x: [N, C], w: [C] -> y: [N, C]`; `inv_rms: [N]` is kept for the backward. `eps` stands inside the root.
pub fn rms_norm(x: &[f32], w: &[f32], eps: f32, y: &mut [f32], inv_rms: &mut [f32]) {
    let (n, c) = rows_and_width("rms_norm", x.len(), w.len());
    assert!(y.len() == x.len() && inv_rms.len() == n, "rms_norm: y has {}, inv_rms {}", y.len(), inv_rms.len());
    threads::rows(n, row_chunk(c), (rows_of(y, c), rows_of(inv_rms, 1)), |r, (y, inv)| {
        norm_rows(&x[r.start * c..r.end * c], w, eps, y.data, inv.data);
    });
}

/// `sum = x + delta`, then [`rms_norm`] of the sum: the residual stream and its norm in one pass.
pub fn add_rms_norm(
    x: &[f32],
    delta: &[f32],
    w: &[f32],
    eps: f32,
    sum: &mut [f32],
    y: &mut [f32],
    inv_rms: &mut [f32],
) {
    let (n, c) = rows_and_width("add_rms_norm", x.len(), w.len());
    assert!(delta.len() == x.len() && sum.len() == x.len() && y.len() == x.len(), "add_rms_norm: lengths");
    assert_eq!(inv_rms.len(), n, "add_rms_norm: length of inv_rms");
    let out = (rows_of(sum, c), rows_of(y, c), rows_of(inv_rms, 1));
    threads::rows(n, row_chunk(c), out, |r, (sum, y, inv)| {
        let at = r.start * c..r.end * c;
        add_norm_rows(&x[at.clone()], &delta[at], w, eps, sum.data, y.data, inv.data);
    });
}

/// The gradient of [`rms_norm`]: `dx = dx_beta * dx + ...` and, when asked for, `dw += ...`.
///
/// With `g = w * dy` and `s = inv_rms`: `dx = s g - x s^3 mean(g x)`, `dw = sum over rows of dy x s`.
/// `dx_beta` is 0 (overwrite, whatever `dx` holds) or 1 (accumulate).
pub fn rms_norm_backward(
    x: &[f32],
    w: &[f32],
    inv_rms: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    dx_beta: f32,
    dw: Option<&mut [f32]>,
) {
    let (n, c) = rows_and_width("rms_norm_backward", x.len(), w.len());
    assert!(dy.len() == x.len() && dx.len() == x.len(), "rms_norm_backward: lengths of dy and dx");
    assert_eq!(inv_rms.len(), n, "rms_norm_backward: length of inv_rms");
    threads::rows(n, row_chunk(c), rows_of(dx, c), |r, dx| {
        let at = r.start * c..r.end * c;
        norm_dx_rows(&x[at.clone()], w, &inv_rms[r], &dy[at], dx.data, dx_beta);
    });
    if let Some(dw) = dw {
        assert_eq!(dw.len(), c, "rms_norm_backward: length of dw");
        threads::reduce_rows(n, dw, |r, partial| {
            let at = r.start * c..r.end * c;
            norm_dw_rows(&x[at.clone()], &inv_rms[r], &dy[at], partial);
        });
    }
}

fn rows_and_width(what: &str, elements: usize, c: usize) -> (usize, usize) {
    assert!(c > 0 && elements.is_multiple_of(c), "{what}: {elements} elements do not make rows of {c}");
    (elements / c, c)
}

#[inline(always)]
fn norm_row<V: Vector>(x: &[f32], w: &[f32], eps: f32, y: &mut [f32], inv: &mut f32) {
    let s = 1.0 / (dot::<V>(x, x) / x.len() as f32 + eps).sqrt();
    for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
        *y = x * s * w;
    }
    *inv = s;
}

vectorised! {
    fn norm_rows(x: &[f32], w: &[f32], eps: f32, y: &mut [f32], inv_rms: &mut [f32]) {
        let c = w.len();
        for ((x, y), inv) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(inv_rms) {
            norm_row::<V>(x, w, eps, y, inv);
        }
    }

    fn add_norm_rows(x: &[f32], delta: &[f32], w: &[f32], eps: f32, sum: &mut [f32], y: &mut [f32], inv_rms: &mut [f32]) {
        let c = w.len();
        let inputs = x.chunks_exact(c).zip(delta.chunks_exact(c));
        let outputs = sum.chunks_exact_mut(c).zip(y.chunks_exact_mut(c)).zip(inv_rms);
        for ((x, delta), ((sum, y), inv)) in inputs.zip(outputs) {
            for ((s, x), d) in sum.iter_mut().zip(x).zip(delta) {
                *s = x + d;
            }
            norm_row::<V>(sum, w, eps, y, inv);
        }
    }

    fn norm_dx_rows(x: &[f32], w: &[f32], inv_rms: &[f32], dy: &[f32], dx: &mut [f32], beta: f32) {
        let c = w.len();
        let rows = x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(dx.chunks_exact_mut(c)).zip(inv_rms);
        for (((x, dy), dx), &s) in rows {
            let g_x = dot3::<V>(w, dy, x);
            let along = -s * s * s * g_x / c as f32;
            if beta == 0.0 {
                for (((dx, x), w), dy) in dx.iter_mut().zip(x).zip(w).zip(dy) {
                    *dx = along.mul_add(*x, s * w * dy);
                }
            } else {
                for (((dx, x), w), dy) in dx.iter_mut().zip(x).zip(w).zip(dy) {
                    *dx = beta * *dx + along.mul_add(*x, s * w * dy);
                }
            }
        }
    }

    fn norm_dw_rows(x: &[f32], inv_rms: &[f32], dy: &[f32], dw: &mut [f32]) {
        let c = dw.len();
        for ((x, dy), s) in x.chunks_exact(c).zip(dy.chunks_exact(c)).zip(inv_rms) {
            for ((dw, x), dy) in dw.iter_mut().zip(x).zip(dy) {
                *dw = (x * s).mul_add(*dy, *dw);
            }
        }
    }
}

/// The same in double precision, without tricks.
pub mod plain {
    /// `x: [N, C], w: [C] -> [N, C]`.
    #[must_use]
    pub fn rms_norm(x: &[f64], w: &[f64], eps: f64) -> Vec<f64> {
        let c = w.len();
        let mut y = Vec::with_capacity(x.len());
        for row in x.chunks_exact(c) {
            let mean_square = row.iter().map(|v| v * v).sum::<f64>() / c as f64;
            let inv = 1.0 / (mean_square + eps).sqrt();
            y.extend(row.iter().zip(w).map(|(v, w)| v * inv * w));
        }
        y
    }
}

//! Rotary position embedding (arXiv 2104.09864), in the half-rotation layout of transformers' llama: element `i` of a
//! head is paired with element `i + R/2`. R is the head size D, or less where a part of each head is turned (gpt_neox's
//! `rotary_pct`, phi3's `partial_rotary_factor`); the rest passes through.

use crate::simd::vectorised;
use crate::threads::{self, row_chunk, rows_of};

/// `x: [N, heads * D] -> y: [N, heads * D]`; `cos_sin: [N, 2, R/2]` holds each row's cosines, then its sines.
///
/// `inverse` rotates back, which is also the gradient: the rotation is orthogonal.
pub fn rope(x: &[f32], y: &mut [f32], heads: usize, head_size: usize, cos_sin: &[f32], inverse: bool) {
    let width = heads * head_size;
    assert!(width > 0, "rope: {heads} heads of {head_size}");
    assert!(x.len() == y.len() && x.len().is_multiple_of(width), "rope: {} elements, rows of {width}", x.len());
    let n = x.len() / width;
    if n == 0 {
        return;
    }
    let turned = cos_sin.len() / n;
    assert_eq!(cos_sin.len(), n * turned, "rope: length of cos_sin");
    assert!(
        turned > 0 && turned.is_multiple_of(2) && turned <= head_size,
        "rope: {turned} elements of a head of {head_size} are turned: it must be an even number of them"
    );
    let sign = if inverse { -1.0 } else { 1.0 };
    threads::rows(n, row_chunk(width), rows_of(y, width), |r, y| {
        let angles = &cos_sin[r.start * turned..r.end * turned];
        rotate_rows(&x[r.start * width..r.end * width], y.data, head_size, turned, width, angles, sign);
    });
}

vectorised! {
    fn rotate_rows(
        x: &[f32],
        y: &mut [f32],
        head_size: usize,
        turned: usize,
        width: usize,
        cos_sin: &[f32],
        sign: f32,
    ) {
        let half = turned / 2;
        let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(cos_sin.chunks_exact(turned));
        for ((x, y), angles) in rows {
            let (cos, sin) = angles.split_at(half);
            for (x, y) in x.chunks_exact(head_size).zip(y.chunks_exact_mut(head_size)) {
                let ((x, x_rest), (y, y_rest)) = (x.split_at(turned), y.split_at_mut(turned));
                if !x_rest.is_empty() {
                    y_rest.copy_from_slice(x_rest);
                }
                let ((x0, x1), (y0, y1)) = (x.split_at(half), y.split_at_mut(half));
                let inputs = x0.iter().zip(x1).zip(cos.iter().zip(sin));
                for (((x0, x1), (cos, sin)), (y0, y1)) in inputs.zip(y0.iter_mut().zip(y1)) {
                    let sin = sign * sin;
                    *y0 = x0 * cos - x1 * sin;
                    *y1 = x1 * cos + x0 * sin;
                }
            }
        }
    }
}

/// The same in double precision, without tricks.
pub mod plain {
    /// As [`rope`](super::rope()), forwards.
    #[must_use]
    pub fn rope(x: &[f64], heads: usize, head_size: usize, cos_sin: &[f64]) -> Vec<f64> {
        let mut y = x.to_vec();
        let n = x.len() / (heads * head_size);
        let turned = cos_sin.len() / n;
        let half = turned / 2;
        for row in 0..n {
            for head in 0..heads {
                let at = (row * heads + head) * head_size;
                for i in 0..half {
                    let (cos, sin) = (cos_sin[row * turned + i], cos_sin[row * turned + half + i]);
                    y[at + i] = x[at + i] * cos - x[at + half + i] * sin;
                    y[at + half + i] = x[at + half + i] * cos + x[at + i] * sin;
                }
            }
        }
        y
    }
}

//! Rotary position embedding (arXiv 2104.09864), in the half-rotation layout of transformers' llama: element `i` of a
//! head is paired with element `i + D/2`.

use crate::simd::vectorised;
use crate::threads::{self, row_chunk, rows_of};

/// `x: [N, heads * D] -> y: [N, heads * D]`; `cos_sin: [N, 2, D/2]` holds each row's cosines, then its sines.
///
/// `inverse` rotates back, which is also the gradient: the rotation is orthogonal.
pub fn rope(x: &[f32], y: &mut [f32], heads: usize, head_size: usize, cos_sin: &[f32], inverse: bool) {
    let width = heads * head_size;
    assert!(width > 0 && head_size.is_multiple_of(2), "rope: {heads} heads of {head_size}: the size must be even");
    assert!(x.len() == y.len() && x.len().is_multiple_of(width), "rope: {} elements, rows of {width}", x.len());
    let n = x.len() / width;
    assert_eq!(cos_sin.len(), n * head_size, "rope: length of cos_sin");
    let sign = if inverse { -1.0 } else { 1.0 };
    threads::rows(n, row_chunk(width), rows_of(y, width), |r, y| {
        let angles = &cos_sin[r.start * head_size..r.end * head_size];
        rotate_rows(&x[r.start * width..r.end * width], y.data, head_size, width, angles, sign);
    });
}

vectorised! {
    fn rotate_rows(x: &[f32], y: &mut [f32], head_size: usize, width: usize, cos_sin: &[f32], sign: f32) {
        let half = head_size / 2;
        let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(cos_sin.chunks_exact(head_size));
        for ((x, y), angles) in rows {
            let (cos, sin) = angles.split_at(half);
            for (x, y) in x.chunks_exact(head_size).zip(y.chunks_exact_mut(head_size)) {
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
        let mut y = vec![0.0; x.len()];
        let half = head_size / 2;
        for row in 0..x.len() / (heads * head_size) {
            for head in 0..heads {
                let at = (row * heads + head) * head_size;
                for i in 0..half {
                    let (cos, sin) = (cos_sin[row * head_size + i], cos_sin[row * head_size + half + i]);
                    y[at + i] = x[at + i] * cos - x[at + half + i] * sin;
                    y[at + half + i] = x[at + half + i] * cos + x[at + i] * sin;
                }
            }
        }
        y
    }
}

//! The gated activation of llama's feed-forward (SwiGLU, arXiv 2002.05202): `silu(gate) * up`, `silu(z) = z sigmoid(z)`.

use crate::exp::sigmoid;
use crate::simd::vectorised;
use crate::threads::{self, GRAIN, rows_of};

/// Elements worth a thread: an exponential costs several additions.
const SWIGLU_GRAIN: usize = GRAIN / 4;

/// `y = silu(gate) * up`, element by element.
pub fn swiglu(gate: &[f32], up: &[f32], y: &mut [f32]) {
    assert!(gate.len() == up.len() && gate.len() == y.len(), "swiglu: lengths");
    threads::rows(y.len(), SWIGLU_GRAIN, rows_of(y, 1), |r, y| forward(&gate[r.clone()], &up[r], y.data));
}

/// The gradients of [`swiglu`] (both overwritten): `dup = dy silu(gate)`, `dgate = dy up (s + gate s (1 - s))`, with
/// `s = sigmoid(gate)`.
pub fn swiglu_backward(gate: &[f32], up: &[f32], dy: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
    let n = gate.len();
    assert!(up.len() == n && dy.len() == n && dgate.len() == n && dup.len() == n, "swiglu_backward: lengths");
    threads::rows(n, SWIGLU_GRAIN, (rows_of(dgate, 1), rows_of(dup, 1)), |r, (dgate, dup)| {
        backward(&gate[r.clone()], &up[r.clone()], &dy[r], dgate.data, dup.data);
    });
}

vectorised! {
    fn forward(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
            *y = g * sigmoid(*g) * u;
        }
    }

    fn backward(gate: &[f32], up: &[f32], dy: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
        for ((((g, u), dy), dg), du) in gate.iter().zip(up).zip(dy).zip(dgate).zip(dup) {
            let s = sigmoid(*g);
            let silu = g * s;
            *du = dy * silu;
            *dg = dy * u * (s + silu * (1.0 - s));
        }
    }
}

/// The same in double precision, without tricks.
pub mod plain {
    /// As [`swiglu`](super::swiglu()).
    #[must_use]
    pub fn swiglu(gate: &[f64], up: &[f64]) -> Vec<f64> {
        gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
    }
}

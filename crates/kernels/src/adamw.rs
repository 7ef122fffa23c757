//! AdamW (arXiv 1711.05101), step for step as `torch.optim.AdamW` takes it.

use crate::simd::vectorised;
use crate::threads::{self, GRAIN, rows_of};

/// The numbers of one optimiser step, in double precision as torch keeps them: each factor is rounded to single once, after
/// its last operation (`1 - beta2` taken of a rounded `beta2` would be off by a hundred-thousandth).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first moment, usually 0.9.
    pub beta1: f64,
    /// Decay of the second moment, usually 0.999.
    pub beta2: f64,
    /// Added to the root of the second moment, usually 1e-8.
    pub eps: f64,
    /// Decoupled weight decay: `w *= 1 - lr * weight_decay` before the step.
    pub weight_decay: f64,
    /// Number of this step, counted from 1.
    pub step: u64,
    /// Multiplied into every gradient first: the factor of norm clipping.
    pub grad_scale: f64,
}

/// One step on a parameter: `w`, its gradient `g` and its moments `m` and `v`, all of one length.
pub fn adamw(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], h: &AdamW) {
    let n = w.len();
    assert!(g.len() == n && m.len() == n && v.len() == n, "adamw: lengths {n}, {}, {}, {}", g.len(), m.len(), v.len());
    let factors = Factors::of(h);
    let out = (rows_of(w, 1), rows_of(m, 1), rows_of(v, 1));
    threads::rows(n, GRAIN, out, |r, (w, m, v)| update(w.data, &g[r], m.data, v.data, factors));
}

#[derive(Clone, Copy)]
pub(crate) struct Factors {
    decay: f32,
    new1: f32,
    beta2: f32,
    new2: f32,
    inv_root_correction2: f32,
    eps: f32,
    step_size: f32,
    grad_scale: f32,
}

impl Factors {
    pub(crate) fn of(h: &AdamW) -> Self {
        assert!(h.step > 0, "adamw: steps are counted from 1");
        let t = h.step as f64;
        Self {
            decay: (1.0 - h.lr * h.weight_decay) as f32,
            new1: (1.0 - h.beta1) as f32,
            beta2: h.beta2 as f32,
            new2: (1.0 - h.beta2) as f32,
            inv_root_correction2: (1.0 / (1.0 - h.beta2.powf(t)).sqrt()) as f32,
            eps: h.eps as f32,
            step_size: (h.lr / (1.0 - h.beta1.powf(t))) as f32,
            grad_scale: h.grad_scale as f32,
        }
    }
}

/// The step, element by element; to be inlined where an instruction set is chosen.
#[inline(always)]
pub(crate) fn update_here(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], h: Factors) {
    for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
        let g = g * h.grad_scale;
        let first = (g - *m).mul_add(h.new1, *m);
        let second = *v * h.beta2 + h.new2 * g * g;
        let denominator = second.sqrt() * h.inv_root_correction2 + h.eps;
        *w = *w * h.decay - h.step_size * (first / denominator);
        *m = first;
        *v = second;
    }
}

vectorised! {
    fn update(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], h: Factors) {
        update_here(w, g, m, v, h);
    }
}

/// The same in double precision, without tricks.
pub mod plain {
    /// One step on one parameter element: returns the new `(w, m, v)`.
    #[must_use]
    pub fn adamw(w: f64, g: f64, m: f64, v: f64, h: &super::AdamW) -> (f64, f64, f64) {
        let g = g * h.grad_scale;
        let m = h.beta1 * m + (1.0 - h.beta1) * g;
        let v = h.beta2 * v + (1.0 - h.beta2) * g * g;
        let m_hat = m / (1.0 - h.beta1.powf(h.step as f64));
        let v_hat = v / (1.0 - h.beta2.powf(h.step as f64));
        let w = w * (1.0 - h.lr * h.weight_decay);
        (w - h.lr * m_hat / (v_hat.sqrt() + h.eps), m, v)
    }
}

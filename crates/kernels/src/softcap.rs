//! The soft cap of gemma2 (arXiv 2408.00118, section 2): `y = cap tanh(x / cap)`, whose slope is `1 - (y / cap)^2`.

use crate::exp::tanh;
use crate::simd::vectorised;
use crate::threads::{self, GRAIN, rows_of};

/// `x = cap tanh(x / cap)`, element by element.
pub fn softcap(x: &mut [f32], cap: f32) {
    assert!(cap > 0.0, "softcap: a cap of {cap}");
    threads::rows(x.len(), GRAIN / 4, rows_of(x, 1), |_, x| softcap_here(x.data, cap));
}

vectorised! {
    pub(crate) fn softcap_here(x: &mut [f32], cap: f32) {
        let inverse = 1.0 / cap;
        for x in x {
            *x = cap * tanh(*x * inverse);
        }
    }

    /// `dx *= slope`, the slope found from what was capped.
    pub(crate) fn times_slope(dx: &mut [f32], y: &[f32], cap: f32) {
        let inverse = 1.0 / cap;
        for (dx, y) in dx.iter_mut().zip(y) {
            let y = y * inverse;
            *dx *= 1.0 - y * y;
        }
    }
}

/// The same in double precision, without tricks.
pub mod plain {
    /// `cap tanh(x / cap)`.
    #[must_use]
    pub fn softcap(x: f64, cap: f64) -> f64 {
        cap * (x / cap).tanh()
    }
}

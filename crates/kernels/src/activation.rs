//! The activations of feed-forwards, alone and as gates: `act(x)`, and `act(gate) * up` (GLU variants, arXiv 2002.05202).
//!
//! With `s` the logistic sigmoid, `P` the standard normal distribution and `p` its density:
//!
//! | activation | value | slope |
//! |---|---|---|
//! | silu | `x s(x)` | `s + x s (1 - s)` |
//! | gelu | `x P(x)` (arXiv 1606.08415) | `P + x p` |
//! | gelu, tanh | `x (1 + tanh u) / 2 = x s(2u)`, `u = sqrt(2/pi) (x + 0.044715 x^3)` | `s + x s (1 - s) 2u'` |
//! | quick gelu | `x s(1.702 x)` | `s + 1.702 x s (1 - s)` |
//! | relu | `max(x, 0)` | 1 above 0, else 0 |

use crate::exp::{normal, sigmoid};
use crate::simd::vectorised;
use crate::threads::{self, GRAIN, rows_of};

/// Elements worth a thread: an exponential costs several additions.
const ACTIVATION_GRAIN: usize = GRAIN / 4;

/// Which activation, under the names that transformers has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `silu`, also `swish`.
    Silu,
    /// `gelu_new` and `gelu_pytorch_tanh`.
    GeluTanh,
    /// `gelu`, by the error function.
    Gelu,
    /// `relu`.
    Relu,
    /// `quick_gelu`.
    QuickGelu,
}

/// Activations as numbers, for parameters of functions.
const SILU: usize = Activation::Silu as usize;
const GELU_TANH: usize = Activation::GeluTanh as usize;
const GELU: usize = Activation::Gelu as usize;
const RELU: usize = Activation::Relu as usize;
const QUICK_GELU: usize = Activation::QuickGelu as usize;

/// The function that is compiled for this activation.
macro_rules! of_activation {
    ($activation:expr, $function:ident) => {
        match $activation {
            Activation::Silu => $function::<SILU>,
            Activation::GeluTanh => $function::<GELU_TANH>,
            Activation::Gelu => $function::<GELU>,
            Activation::Relu => $function::<RELU>,
            Activation::QuickGelu => $function::<QUICK_GELU>,
        }
    };
}

/// `y = act(x)`, element by element.
pub fn activate(activation: Activation, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "activate: lengths");
    let values = of_activation!(activation, values);
    threads::rows(y.len(), ACTIVATION_GRAIN, rows_of(y, 1), |r, y| values(&x[r], y.data));
}

/// The gradient of [`activate`] (overwritten): `dx = dy act'(x)`.
pub fn activate_backward(activation: Activation, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    assert!(dy.len() == x.len() && dx.len() == x.len(), "activate_backward: lengths");
    let gradients = of_activation!(activation, gradients);
    threads::rows(x.len(), ACTIVATION_GRAIN, rows_of(dx, 1), |r, dx| gradients(&x[r.clone()], &dy[r], dx.data));
}

/// `y = act(gate) * up`, element by element.
pub fn gated(activation: Activation, gate: &[f32], up: &[f32], y: &mut [f32]) {
    assert!(gate.len() == up.len() && gate.len() == y.len(), "gated: lengths");
    let values = of_activation!(activation, gated_values);
    threads::rows(y.len(), ACTIVATION_GRAIN, rows_of(y, 1), |r, y| values(&gate[r.clone()], &up[r], y.data));
}

/// The gradients of [`gated`] (both overwritten): `dup = dy act(gate)`, `dgate = dy up act'(gate)`.
pub fn gated_backward(
    activation: Activation,
    gate: &[f32],
    up: &[f32],
    dy: &[f32],
    dgate: &mut [f32],
    dup: &mut [f32],
) {
    let n = gate.len();
    assert!(up.len() == n && dy.len() == n && dgate.len() == n && dup.len() == n, "gated_backward: lengths");
    let gradients = of_activation!(activation, gated_gradients);
    threads::rows(n, ACTIVATION_GRAIN, (rows_of(dgate, 1), rows_of(dup, 1)), |r, (dgate, dup)| {
        gradients(&gate[r.clone()], &up[r.clone()], &dy[r], dgate.data, dup.data);
    });
}

/// Twice `sqrt(2/pi)`.
const TWICE: f32 = 1.595_769_2;
const CUBE: f32 = 0.044_715;
const QUICK: f32 = 1.702;

/// `x s` and its slope, where `s` is the sigmoid of something whose slope is `steep`.
#[inline(always)]
fn by_sigmoid(x: f32, s: f32, steep: f32) -> (f32, f32) {
    let value = x * s;
    (value, s + value * (1.0 - s) * steep)
}

/// The activation of `x` and its slope there. What a caller does not use is not computed.
#[inline(always)]
fn value_and_slope<const A: usize>(x: f32) -> (f32, f32) {
    match A {
        SILU => by_sigmoid(x, sigmoid(x), 1.0),
        GELU_TANH => {
            let s = sigmoid(TWICE * x * (CUBE * x * x + 1.0));
            // Beyond 10 the sigmoid is level, and a square might not be finite.
            let near = x.clamp(-10.0, 10.0);
            by_sigmoid(x, s, TWICE * (3.0 * CUBE * near * near + 1.0))
        }
        GELU => {
            let (below, density) = normal(x);
            (x * below, below + x * density)
        }
        RELU => {
            // What is not a number stays so.
            let value = if x < 0.0 { 0.0 } else { x };
            (value, if x > 0.0 { 1.0 } else { 0.0 })
        }
        QUICK_GELU => by_sigmoid(x, sigmoid(QUICK * x), QUICK),
        _ => unreachable!(),
    }
}

vectorised! {
    fn values<const A: usize>(x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = value_and_slope::<A>(*x).0;
        }
    }

    fn gradients<const A: usize>(x: &[f32], dy: &[f32], dx: &mut [f32]) {
        for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
            *dx = dy * value_and_slope::<A>(*x).1;
        }
    }

    fn gated_values<const A: usize>(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
            *y = value_and_slope::<A>(*g).0 * u;
        }
    }

    fn gated_gradients<const A: usize>(gate: &[f32], up: &[f32], dy: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
        for ((((g, u), dy), dg), du) in gate.iter().zip(up).zip(dy).zip(dgate).zip(dup) {
            let (value, slope) = value_and_slope::<A>(*g);
            *du = dy * value;
            *dg = dy * u * slope;
        }
    }
}

/// The same in double precision, without tricks.
pub mod plain {
    use super::Activation;
    use crate::exp::plain::erf;

    /// `act(x)`.
    #[must_use]
    pub fn activation(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::GeluTanh => {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                0.5 * x * (1.0 + u.tanh())
            }
            Activation::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
            Activation::Relu => x.max(0.0),
            Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        }
    }

    /// As [`activate`](super::activate()).
    #[must_use]
    pub fn activate(kind: Activation, x: &[f64]) -> Vec<f64> {
        x.iter().map(|x| activation(kind, *x)).collect()
    }

    /// As [`gated`](super::gated()).
    #[must_use]
    pub fn gated(kind: Activation, gate: &[f64], up: &[f64]) -> Vec<f64> {
        gate.iter().zip(up).map(|(g, u)| activation(kind, *g) * u).collect()
    }
}

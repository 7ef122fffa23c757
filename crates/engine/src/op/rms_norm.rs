//! RMSNorm: `y = x / sqrt(mean(x^2) + eps) * w` (arXiv 1910.07467 eq. 4, eps inside the root), alone and fused with
//! the residual sum before it.
//!
//! With `r = 1 / sqrt(mean(x^2) + eps)` and `g = dy * w`: `dx = r * (g - x * r^2 * mean(g * x))`, `dw = sum dy * x * r`.

use crate::device::Device;
use crate::params::{ParamId, Params};
use crate::recompute::Remake;
use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

impl Tape<'_> {
    /// x: `[N, C]`, weight: `[C]` -> `[N, C]`.
    pub fn rms_norm(&mut self, x: &Var, weight: ParamId, eps: f32) -> Var {
        let device = self.device().clone();
        let (n, c) = (x.tensor.rows(), x.tensor.cols());
        let mut y = Tensor::empty(&device, n, c);
        let mut inv_rms = Tensor::empty(&device, n, 1);
        let w = &self.params().get(weight).tensor;
        device.rms_norm(x.tensor.view(), w.view(), eps, y.view_mut(), inv_rms.view_mut());
        let needed = self.needs_backward(&[x], &[weight]);
        let y = self.record_if(needed, y, || RmsNorm { x: x.tensor.clone(), weight, inv_rms, inputs: vec![x.slot] });
        self.remake(y, || Normed { x: x.tensor.clone(), weight, eps })
    }

    /// x, delta: `[N, C]` -> their sum, and the norm of the sum. Saves a pass over memory for each sub-layer.
    pub fn add_rms_norm(&mut self, x: &Var, delta: &Var, weight: ParamId, eps: f32) -> (Var, Var) {
        let device = self.device().clone();
        let (n, c) = (x.tensor.rows(), x.tensor.cols());
        let mut sum = Tensor::empty(&device, n, c);
        let mut y = Tensor::empty(&device, n, c);
        let mut inv_rms = Tensor::empty(&device, n, 1);
        let w = &self.params().get(weight).tensor;
        device.add_rms_norm(
            x.tensor.view(),
            delta.tensor.view(),
            w.view(),
            eps,
            sum.view_mut(),
            y.view_mut(),
            inv_rms.view_mut(),
        );
        if !self.needs_backward(&[x, delta], &[weight]) {
            return (Var::constant(sum), Var::constant(y));
        }
        let op = RmsNorm { x: sum.clone(), weight, inv_rms, inputs: vec![x.slot, delta.slot] };
        let how = Normed { x: sum.clone(), weight, eps };
        let [y, sum] = self.record(op, vec![y, sum]).try_into().expect("two outputs were recorded");
        (sum, self.remake(y, || how))
    }
}

/// The norm of a value that is kept.
#[derive(Debug)]
struct Normed {
    x: Tensor,
    weight: ParamId,
    eps: f32,
}

impl Remake for Normed {
    fn remake(&self, device: &Device, params: &Params) -> Tensor {
        let mut y = Tensor::empty(device, self.x.rows(), self.x.cols());
        let mut inv_rms = Tensor::empty(device, self.x.rows(), 1);
        let w = &params.get(self.weight).tensor;
        device.rms_norm(self.x.view(), w.view(), self.eps, y.view_mut(), inv_rms.view_mut());
        y
    }
}

/// Outputs: the normed value, then (fused form) the sum itself.
#[derive(Debug)]
struct RmsNorm {
    /// What was normed.
    x: Tensor,
    weight: ParamId,
    inv_rms: Tensor,
    inputs: Vec<Option<Slot>>,
}

impl Backward for RmsNorm {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let dsum = if outputs.len() == 2 { outputs.pop().flatten() } else { None };
        let dy = outputs.pop().flatten();
        let device = flow.device().clone();
        let dx = match (dy, dsum) {
            (None, dsum) => dsum,
            (Some(dy), dsum) => {
                let beta = if dsum.is_some() { 1.0 } else { 0.0 };
                let mut dx = dsum.unwrap_or_else(|| Tensor::empty(&device, dy.rows(), dy.cols()));
                let w = &flow.params().get(self.weight).tensor;
                device.rms_norm_backward(
                    self.x.view(),
                    w.view(),
                    self.inv_rms.view(),
                    dy.view(),
                    dx.view_mut(),
                    beta,
                    flow.param(self.weight),
                );
                Some(dx)
            }
        };
        let Some(dx) = dx else { return };
        for &input in &self.inputs {
            flow.add(input, dx.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Check;

    const EPS: f32 = 1e-5;

    #[test]
    fn gradients_of_value_and_weight_agree_with_finite_differences() {
        Check::new().inputs(&[(5, 7)]).param("w", 1, 7).gradients(|tape, x| {
            let w = tape.params().find("w").unwrap();
            tape.rms_norm(&x[0], w, EPS)
        });
    }

    #[test]
    fn the_fused_form_passes_both_outputs_gradients_to_both_terms() {
        Check::new().inputs(&[(5, 7), (5, 7)]).param("w", 1, 7).gradients(|tape, x| {
            let w = tape.params().find("w").unwrap();
            let (sum, y) = tape.add_rms_norm(&x[0], &x[1], w, EPS);
            tape.add(&sum, &y)
        });
        // Only the sum is used further on: the norm's gradient is absent, not zero.
        Check::new().inputs(&[(5, 7), (5, 7)]).frozen("w", 1, 7).gradients(|tape, x| {
            let w = tape.params().find("w").unwrap();
            tape.add_rms_norm(&x[0], &x[1], w, EPS).0
        });
    }
}

//! Norms of rows, alone and fused with the residual sum before them.
//!
//! - RMSNorm: `y = x / sqrt(mean(x^2) + eps) * w` (arXiv 1910.07467 eq. 4, eps inside the root), in gemma `* (1 + w)`. With
//!   `r = 1 / sqrt(mean(x^2) + eps)` and `g = dy * w`: `dx = r * (g - x * r^2 * mean(g * x))`, `dw = sum dy * x * r`.
//! - Layer norm: `y = (x - mean) / sqrt(var + eps) * w + b` (arXiv 1607.06450). With `r = 1 / sqrt(var + eps)` and
//!   `z = (x - mean) * r`: `dx = r * (g - mean(g) - z * mean(g * z))`, `dw = sum dy * z`, `db = sum dy`.

use luthier_kernels::norm::NormKind;

use crate::device::{Device, View};
use crate::params::{ParamId, Params};
use crate::recompute::Remake;
use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

/// A norm and its parameters.
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    /// What it does to a row.
    pub kind: NormKind,
    /// `[C]`.
    pub weight: ParamId,
    /// `[C]`, of a layer norm that has one.
    pub bias: Option<ParamId>,
    /// Added to the mean square or the variance, inside the root.
    pub eps: f32,
}

impl Norm {
    /// RMSNorm.
    pub fn rms(weight: ParamId, eps: f32) -> Self {
        Self { kind: NormKind::Rms, weight, bias: None, eps }
    }

    /// Its parameters on their device.
    fn operands<'p>(&self, params: &'p Params) -> (View<'p>, Option<View<'p>>) {
        let view = |id: ParamId| params.get(id).tensor.view();
        (view(self.weight), self.bias.map(view))
    }

    /// The numbers of so many rows that the backward needs.
    fn statistics(&self, device: &Device, rows: usize) -> Tensor {
        Tensor::empty(device, rows, self.kind.statistics())
    }

    /// How many rows of its own width those of `x` are; checks that they are that many each.
    fn rows(&self, params: &Params, x: &Tensor, heads: usize) -> usize {
        let c = params.get(self.weight).tensor.cols();
        assert_eq!(x.cols(), heads * c, "a norm of {c} over {heads} parts of rows of {}", x.cols());
        x.rows() * heads
    }
}

impl Tape<'_> {
    /// x: `[N, C]`, the norm's weight: `[C]` -> `[N, C]`.
    pub fn norm(&mut self, x: &Var, norm: &Norm) -> Var {
        self.head_norm(x, 1, norm)
    }

    /// x: `[N, heads * D]`, the norm's weight: `[D]` -> the same shape, the D entries of every head normed by themselves.
    pub fn head_norm(&mut self, x: &Var, heads: usize, norm: &Norm) -> Var {
        let (y, statistics) = normed(self.device(), self.params(), &x.tensor, heads, norm);
        let needed = self.needs_backward_of_norm(&[x], norm);
        let op = || NormBackward { x: x.tensor.clone(), norm: *norm, statistics, inputs: vec![x.slot] };
        let y = self.record_if(needed, y, op);
        self.remake(y, || Normed { x: x.tensor.clone(), heads, norm: *norm })
    }

    /// x, delta: `[N, C]` -> their sum, and the norm of the sum. Saves a pass over memory for each sub-layer.
    pub fn add_norm(&mut self, x: &Var, delta: &Var, norm: &Norm) -> (Var, Var) {
        let device = self.device().clone();
        let (n, c) = (x.tensor.rows(), x.tensor.cols());
        let mut sum = Tensor::empty(&device, n, c);
        let mut y = Tensor::empty(&device, n, c);
        let mut statistics = norm.statistics(&device, norm.rows(self.params(), &x.tensor, 1));
        let (w, bias) = norm.operands(self.params());
        device.add_norm(
            norm.kind,
            x.tensor.view(),
            delta.tensor.view(),
            w,
            bias,
            norm.eps,
            sum.view_mut(),
            y.view_mut(),
            statistics.view_mut(),
        );
        if !self.needs_backward_of_norm(&[x, delta], norm) {
            return (Var::constant(sum), Var::constant(y));
        }
        let op = NormBackward { x: sum.clone(), norm: *norm, statistics, inputs: vec![x.slot, delta.slot] };
        let how = Normed { x: sum.clone(), heads: 1, norm: *norm };
        let [y, sum] = self.record(op, vec![y, sum]).try_into().expect("two outputs were recorded");
        (sum, self.remake(y, || how))
    }

    fn needs_backward_of_norm(&self, inputs: &[&Var], norm: &Norm) -> bool {
        let params: Vec<ParamId> = std::iter::once(norm.weight).chain(norm.bias).collect();
        self.needs_backward(inputs, &params)
    }
}

/// The norm of every head of `x`, and what its backward needs.
fn normed(device: &Device, params: &Params, x: &Tensor, heads: usize, norm: &Norm) -> (Tensor, Tensor) {
    let mut y = Tensor::empty(device, x.rows(), x.cols());
    let mut statistics = norm.statistics(device, norm.rows(params, x, heads));
    let (w, bias) = norm.operands(params);
    device.norm(norm.kind, x.view(), w, bias, norm.eps, y.view_mut(), statistics.view_mut());
    (y, statistics)
}

/// The norm of a value that is kept.
#[derive(Debug)]
struct Normed {
    x: Tensor,
    heads: usize,
    norm: Norm,
}

impl Remake for Normed {
    fn remake(&self, device: &Device, params: &Params) -> Tensor {
        normed(device, params, &self.x, self.heads, &self.norm).0
    }
}

/// Outputs: the normed value, then (fused form) the sum itself.
#[derive(Debug)]
struct NormBackward {
    /// What was normed.
    x: Tensor,
    norm: Norm,
    statistics: Tensor,
    inputs: Vec<Option<Slot>>,
}

impl Backward for NormBackward {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let dsum = if outputs.len() == 2 { outputs.pop().flatten() } else { None };
        let dy = outputs.pop().flatten();
        let device = flow.device().clone();
        let dx = match (dy, dsum) {
            (None, dsum) => dsum,
            (Some(dy), dsum) => {
                let beta = if dsum.is_some() { 1.0 } else { 0.0 };
                let mut dx = dsum.unwrap_or_else(|| Tensor::empty(&device, dy.rows(), dy.cols()));
                let w = &flow.params().get(self.norm.weight).tensor;
                device.norm_backward(
                    self.norm.kind,
                    self.x.view(),
                    w.view(),
                    self.statistics.view(),
                    dy.view(),
                    dx.view_mut(),
                    beta,
                    flow.param(self.norm.weight),
                );
                if let Some(db) = self.norm.bias.and_then(|bias| flow.param(bias)) {
                    device.column_sums(dy.view(), w.cols(), db);
                }
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
    use super::*;
    use crate::check::Check;

    const KINDS: [NormKind; 3] = [NormKind::Rms, NormKind::RmsPlusOne, NormKind::Layer];

    fn norm(tape: &Tape<'_>, kind: NormKind) -> Norm {
        let params = tape.params();
        Norm { kind, weight: params.find("w").unwrap(), bias: params.find("bias"), eps: 1e-5 }
    }

    #[test]
    fn gradients_of_value_weight_and_bias_agree_with_finite_differences() {
        let check = Check::new().inputs(&[(5, 7)]).param("w", 1, 7);
        for kind in KINDS {
            check.gradients(|tape, x| tape.norm(&x[0], &norm(tape, kind)));
        }
        let check = check.param("bias", 1, 7);
        check.gradients(|tape, x| tape.norm(&x[0], &norm(tape, NormKind::Layer)));
    }

    #[test]
    fn the_fused_form_passes_both_outputs_gradients_to_both_terms() {
        let check = Check::new().inputs(&[(5, 7), (5, 7)]);
        for kind in KINDS {
            let (trained, frozen) = (check.param("w", 1, 7), check.frozen("w", 1, 7));
            trained.gradients(|tape, x| {
                let (sum, y) = tape.add_norm(&x[0], &x[1], &norm(tape, kind));
                tape.add(&sum, &y)
            });
            // Only the sum is used further on: the norm's gradient is absent, not zero.
            frozen.gradients(|tape, x| tape.add_norm(&x[0], &x[1], &norm(tape, kind)).0);
        }
        check.param("w", 1, 7).param("bias", 1, 7).gradients(|tape, x| {
            let (sum, y) = tape.add_norm(&x[0], &x[1], &norm(tape, NormKind::Layer));
            tape.add(&sum, &y)
        });
    }

    #[test]
    fn every_head_is_normed_by_itself() {
        for kind in KINDS {
            let check = Check::new().inputs(&[(4, 15)]).param("w", 1, 5);
            check.gradients(|tape, x| tape.head_norm(&x[0], 3, &norm(tape, kind)));
            let mut tape = Tape::inference(&Device::cpu(), check.params());
            let x: Vec<f32> = (0..60).map(|i| (i as f32).sin()).collect();
            let as_rows = |rows| Var::constant(Tensor::from_slice(&Device::cpu(), rows, 60 / rows, &x));
            let norm = norm(&tape, kind);
            let by_heads = tape.head_norm(&as_rows(4), 3, &norm).tensor.to_vec();
            assert_eq!(by_heads, tape.norm(&as_rows(12), &norm).tensor.to_vec());
        }
    }
}

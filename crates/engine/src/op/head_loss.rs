//! Output head and cross-entropy in one: `logits = x W^T`, `nll_i = logsumexp(logits_i) - logits_i[label_i]`.
//!
//! The logits may be scaled, `s x W^T` (granite's `logits_scaling`), and then capped, `cap tanh(logits / cap)` (gemma2's
//! `final_logit_softcapping`, arXiv 2408.00118).
//!
//! The logits of all rows never exist together: rows go through in chunks. In training the chunk's gradient
//! `scale * (softmax - onehot)` is used at once for `dx` and `dW`, so the product is computed once.
//! `x` holds the labelled rows only; see `Tape::gather`.

use std::ops::Range;

use luthier_kernels::matmul::MatMul;

use crate::params::{Grads, ParamId};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// How hidden states become logits.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// `[V, C]`.
    pub weight: ParamId,
    /// The products are multiplied by it.
    pub scale: f32,
    /// Logits stay below it, in magnitude.
    pub softcap: Option<f32>,
}

impl Head {
    /// The products themselves.
    pub fn new(weight: ParamId) -> Self {
        Self { weight, scale: 1.0, softcap: None }
    }
}

/// Numbers of one chunk of logits: 256 MB at most. Large vocabularies need some hundred rows together, or the head's products
/// spend their time on packing it.
const CHUNK: usize = 1 << 26;

/// How many rows of logits over `v` words exist at a time at most.
pub fn logits_rows(v: usize) -> usize {
    (CHUNK / v).max(1)
}

impl Tape<'_> {
    /// x: `[n, C]`, labels: n ids below V -> the negative log-likelihood of each label, in nats.
    pub fn head_loss(&self, x: &Var, head: &Head, labels: &[u32]) -> Vec<f32> {
        let mut losses = Vec::with_capacity(labels.len());
        for rows in self.chunks(head.weight, labels) {
            let mut logits = self.uncapped_logits(x, head, rows.clone());
            let v = logits.cols();
            losses.extend(self.device().cross_entropy(logits.view_mut(), v, &labels[rows], None, head.softcap));
        }
        losses
    }

    /// As [`Tape::head_loss`], and the backward of `scale * sum(nll)` through the whole tape: adds to `grads`.
    pub fn backward_head_loss(self, x: &Var, head: &Head, labels: &[u32], scale: f32, grads: &mut Grads) -> Vec<f32> {
        let device = self.device().clone();
        let (n, c) = (x.tensor.rows(), x.tensor.cols());
        let weight = &self.params().get(head.weight).tensor;
        let mut losses = Vec::with_capacity(n);
        let mut dx = x.slot.map(|_| Tensor::empty(&device, n, c));
        for rows in self.chunks(head.weight, labels) {
            let (m, v) = (rows.len(), weight.rows());
            let mut logits = self.uncapped_logits(x, head, rows.clone());
            let labels = &labels[rows.clone()];
            let nll = device.cross_entropy(logits.view_mut(), v, labels, Some(scale), head.softcap);
            losses.extend(nll);
            if let Some(dx) = &mut dx {
                let product = MatMul::nn(m, c, v).alpha(head.scale);
                device.matmul(&product, logits.view(), weight.view(), dx.view_rows_mut(rows.clone()));
            }
            if let Some(dw) = grads.view_mut(self.params(), head.weight) {
                let product = MatMul::tn(v, c, m).alpha(head.scale).beta(1.0);
                device.matmul(&product, logits.view(), x.tensor.view_rows(rows), dw);
            }
        }
        if let Some(dx) = dx {
            self.backward(x, dx, grads);
        }
        losses
    }

    /// The logits of some rows: `[rows, V]`.
    pub fn logits(&self, x: &Var, head: &Head, rows: Range<usize>) -> Tensor {
        let mut logits = self.uncapped_logits(x, head, rows);
        if let Some(cap) = head.softcap {
            self.device().softcap(logits.view_mut(), cap);
        }
        logits
    }

    fn uncapped_logits(&self, x: &Var, head: &Head, rows: Range<usize>) -> Tensor {
        let weight = &self.params().get(head.weight).tensor;
        let (v, c) = (weight.rows(), weight.cols());
        let mut logits = Tensor::empty(self.device(), rows.len(), v);
        let product = MatMul::nt(rows.len(), v, c).alpha(head.scale);
        self.device().matmul(&product, x.tensor.view_rows(rows), weight.view(), logits.view_mut());
        logits
    }

    fn chunks(&self, head: ParamId, labels: &[u32]) -> impl Iterator<Item = Range<usize>> + use<> {
        let v = self.params().get(head).tensor.rows();
        assert!(labels.iter().all(|&label| (label as usize) < v), "a label is not below the vocabulary of {v}");
        let n = labels.len();
        let chunks = n.div_ceil(logits_rows(v));
        (0..chunks).map(move |i| n * i / chunks..n * (i + 1) / chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::Head;
    use crate::check::Check;
    use crate::{Device, Grads, Tape, Tensor};

    #[test]
    fn gradients_of_rows_and_head_agree_with_finite_differences() {
        let labels = [3, 0, 6, 3];
        let check = Check::new().inputs(&[(4, 5)]).param("head", 7, 5);
        for (factor, softcap) in [(1.0, None), (0.3, None), (1.0, Some(0.9)), (2.0, Some(1.5))] {
            check.loss_gradients(|mut tape, x, grads, scale| {
                let weight = tape.params().find("head").unwrap();
                let head = Head { weight, scale: factor, softcap };
                // An op between input and loss, so that the gradient of the rows flows through the tape.
                let x = tape.add(&x[0], &x[0]);
                let nll = match grads {
                    Some(grads) => tape.backward_head_loss(&x, &head, &labels, scale, grads),
                    None => tape.head_loss(&x, &head, &labels),
                };
                nll.iter().map(|&loss| f64::from(loss * scale)).sum()
            });
        }
    }

    #[test]
    fn the_gradient_of_rows_agrees_with_finite_differences_through_scale_and_cap() {
        // The embedding's rows are the head's inputs.
        let check = Check::new().param("rows", 4, 5).frozen("head", 7, 5);
        for (factor, softcap) in [(0.3, None), (2.0, Some(1.5))] {
            check.loss_gradients(|mut tape, _, grads, scale| {
                let head = Head { weight: tape.params().find("head").unwrap(), scale: factor, softcap };
                let x = tape.embed(&[2, 0, 1, 3], tape.params().find("rows").unwrap());
                let nll = match grads {
                    Some(grads) => tape.backward_head_loss(&x, &head, &[3, 0, 6, 3], scale, grads),
                    None => tape.head_loss(&x, &head, &[3, 0, 6, 3]),
                };
                nll.iter().map(|&loss| f64::from(loss * scale)).sum()
            });
        }
    }

    #[test]
    fn logits_are_scaled_and_then_capped() {
        let device = Device::cpu();
        let check = Check::new().inputs(&[(3, 4)]).param("head", 9, 4);
        let mut tape = Tape::inference(&device, check.params());
        let x = tape.input(Tensor::from_slice(&device, 3, 4, &[0.5; 12]));
        let plain = Head::new(check.params().find("head").unwrap());
        let products = tape.logits(&x, &plain, 0..3).to_vec();
        let logits = tape.logits(&x, &Head { scale: 3.0, softcap: Some(2.0), ..plain }, 0..3).to_vec();
        for (product, logit) in products.into_iter().zip(logits) {
            assert!((2.0 * (3.0 * product / 2.0).tanh() - logit).abs() < 1e-6, "{product} {logit}");
        }
    }

    #[test]
    fn the_loss_of_equal_logits_is_the_log_of_the_vocabulary() {
        let device = Device::cpu();
        let check = Check::new().inputs(&[(2, 4)]).param("head", 9, 4);
        let mut params = check.params().clone();
        let head = params.find("head").unwrap();
        params.get_mut(head).tensor = Tensor::zeros(&device, 9, 4);
        let mut tape = Tape::training(&device, &params);
        let x = tape.input(Tensor::zeros(&device, 2, 4));
        let mut grads = Grads::zeros(&device, &params);
        let nll = tape.backward_head_loss(&x, &Head::new(head), &[1, 8], 1.0, &mut grads);
        assert!(nll.iter().all(|loss| (loss - 9f32.ln()).abs() < 1e-6), "{nll:?}");
    }
}

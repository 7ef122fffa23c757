//! Output head and cross-entropy in one: `logits = x W^T`, `nll_i = logsumexp(logits_i) - logits_i[label_i]`.
//!
//! The logits of all rows never exist together: rows go through in chunks. In training the chunk's gradient
//! `scale * (softmax - onehot)` is used at once for `dx` and `dW`, so the product is computed once.
//! `x` holds the labelled rows only; see `Tape::gather`.

use std::ops::Range;

use luthier_kernels::matmul::MatMul;

use crate::params::{Grads, ParamId};
use crate::tape::{Tape, Var};
use crate::tensor::Tensor;

/// Numbers of one chunk of logits: 256 MB at most. Large vocabularies need some hundred rows together, or the head's products
/// spend their time on packing it.
const CHUNK: usize = 1 << 26;

/// How many rows of logits over `v` words exist at a time at most.
pub fn logits_rows(v: usize) -> usize {
    (CHUNK / v).max(1)
}

impl Tape<'_> {
    /// x: `[n, C]`, head: `[V, C]`, labels: n ids below V -> the negative log-likelihood of each label, in nats.
    pub fn head_loss(&self, x: &Var, head: ParamId, labels: &[u32]) -> Vec<f32> {
        let mut losses = Vec::with_capacity(labels.len());
        for rows in self.chunks(head, labels) {
            let mut logits = self.logits(x, head, rows.clone());
            let v = logits.cols();
            losses.extend(self.device().cross_entropy(logits.view_mut(), v, &labels[rows], None));
        }
        losses
    }

    /// As [`Tape::head_loss`], and the backward of `scale * sum(nll)` through the whole tape: adds to `grads`.
    pub fn backward_head_loss(self, x: &Var, head: ParamId, labels: &[u32], scale: f32, grads: &mut Grads) -> Vec<f32> {
        let device = self.device().clone();
        let (n, c) = (x.tensor.rows(), x.tensor.cols());
        let weight = &self.params().get(head).tensor;
        let mut losses = Vec::with_capacity(n);
        let mut dx = x.slot.map(|_| Tensor::empty(&device, n, c));
        for rows in self.chunks(head, labels) {
            let (m, v) = (rows.len(), weight.rows());
            let mut logits = self.logits(x, head, rows.clone());
            let nll = device.cross_entropy(logits.view_mut(), v, &labels[rows.clone()], Some(scale));
            losses.extend(nll);
            if let Some(dx) = &mut dx {
                device.matmul(&MatMul::nn(m, c, v), logits.view(), weight.view(), dx.view_rows_mut(rows.clone()));
            }
            if let Some(dw) = grads.view_mut(self.params(), head) {
                let product = MatMul::tn(v, c, m).beta(1.0);
                device.matmul(&product, logits.view(), x.tensor.view_rows(rows), dw);
            }
        }
        if let Some(dx) = dx {
            self.backward(x, dx, grads);
        }
        losses
    }

    /// The logits of some rows: `[rows, V]`.
    pub fn logits(&self, x: &Var, head: ParamId, rows: Range<usize>) -> Tensor {
        let weight = &self.params().get(head).tensor;
        let (v, c) = (weight.rows(), weight.cols());
        let mut logits = Tensor::empty(self.device(), rows.len(), v);
        let product = MatMul::nt(rows.len(), v, c);
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
    use crate::check::Check;
    use crate::{Device, Grads, Tape};

    #[test]
    fn gradients_of_rows_and_head_agree_with_finite_differences() {
        let labels = [3, 0, 6, 3];
        let check = Check::new().inputs(&[(4, 5)]).param("head", 7, 5);
        check.loss_gradients(|mut tape, x, grads, scale| {
            let head = tape.params().find("head").unwrap();
            // An op between input and loss, so that the gradient of the rows flows through the tape.
            let x = tape.add(&x[0], &x[0]);
            let nll = match grads {
                Some(grads) => tape.backward_head_loss(&x, head, &labels, scale, grads),
                None => tape.head_loss(&x, head, &labels),
            };
            nll.iter().map(|&loss| f64::from(loss * scale)).sum()
        });
    }

    #[test]
    fn the_loss_of_equal_logits_is_the_log_of_the_vocabulary() {
        let device = Device::cpu();
        let check = Check::new().inputs(&[(2, 4)]).param("head", 9, 4);
        let mut params = check.params().clone();
        let head = params.find("head").unwrap();
        params.get_mut(head).tensor = crate::Tensor::zeros(&device, 9, 4);
        let mut tape = Tape::training(&device, &params);
        let x = tape.input(crate::Tensor::zeros(&device, 2, 4));
        let mut grads = Grads::zeros(&device, &params);
        let nll = tape.backward_head_loss(&x, head, &[1, 8], 1.0, &mut grads);
        assert!(nll.iter().all(|loss| (loss - 9f32.ln()).abs() < 1e-6), "{nll:?}");
    }
}

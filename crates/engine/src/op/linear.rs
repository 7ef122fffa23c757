//! Linear map with an optional bias and an optional low-rank term (LoRA, arXiv 2106.09685 eq. 3):
//! `y = x W^T + b + s * drop(x) A^T B^T`, W `[out, in]`, A `[R, in]`, B `[out, R]`.
//!
//! `dx = dy W + drop'(s * dy B A)`, `dW += dy^T x`, `db += sum dy`, `dB += s * dy^T (drop(x) A^T)`,
//! `dA += (s * dy B)^T drop(x)`. What is frozen is not computed.

use luthier_kernels::matmul::MatMul;

use crate::device::Device;
use crate::params::ParamId;
use crate::recompute::Saved;
use crate::tape::{Backward, Flow, Run, Slot, Tape, Var};
use crate::tensor::Tensor;

/// Which parameters make a linear map.
#[derive(Clone, Debug)]
pub struct Linear {
    /// `[out, in]`, as checkpoints store it.
    pub weight: ParamId,
    /// `[out]`.
    pub bias: Option<ParamId>,
    /// The trained low-rank term beside it.
    pub low_rank: Option<LowRank>,
}

/// A low-rank term: `scale * drop(x) A^T B^T`.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// `[R, in]`.
    pub a: ParamId,
    /// `[out, R]`.
    pub b: ParamId,
    /// alpha / R, or alpha / sqrt(R) for rank-stabilised LoRA.
    pub scale: f32,
    /// Share of the inputs that are dropped before A while training.
    pub dropout: f32,
    /// Which random stream the dropout draws from; differs for each map.
    pub site: u64,
}

impl Tape<'_> {
    /// x: `[N, in]` -> `[N, out]`.
    pub fn linear(&mut self, x: &Var, map: &Linear) -> Var {
        self.linear_of(x, map, true)
    }

    /// The same where the value is only given out of a part that may run again ([`Tape::run_again`]): the second run
    /// needs no more of it than its place on the tape, and its numbers are left unspecified.
    pub fn last_linear(&mut self, x: &Var, map: &Linear) -> Var {
        let read = self.run() != Run::Again;
        self.linear_of(x, map, read)
    }

    fn linear_of(&mut self, x: &Var, map: &Linear, read: bool) -> Var {
        let device = self.device().clone();
        let weight = &self.params().get(map.weight).tensor;
        let (n, inputs, outs) = (x.tensor.rows(), weight.cols(), weight.rows());
        let mut y = Tensor::empty(&device, n, outs);
        if read {
            device.matmul(&MatMul::nt(n, outs, inputs), x.tensor.view(), weight.view(), y.view_mut());
            if let Some(bias) = map.bias {
                device.add_bias(y.view_mut(), self.params().get(bias).tensor.view());
            }
        }
        let low_rank = map.low_rank.as_ref().map(|term| self.low_rank_forward(&x.tensor, term, &mut y, read));

        let mut params = vec![map.weight];
        params.extend(map.bias);
        params.extend(map.low_rank.iter().flat_map(|term| [term.a, term.b]));
        let needed = self.needs_backward(&[x], &params);
        let keeps_x = params.iter().any(|&id| self.params().get(id).trainable);
        self.record_if(needed, y, || LinearBackward {
            map: map.clone(),
            x: keeps_x.then(|| x.save()),
            x_slot: x.slot,
            low_rank,
        })
    }

    /// Adds the low-rank term to `y`, if that is read; returns what its backward needs.
    fn low_rank_forward(&self, x: &Tensor, term: &LowRank, y: &mut Tensor, read: bool) -> KeptLowRank {
        let device = self.device();
        let (a, b) = (&self.params().get(term.a).tensor, &self.params().get(term.b).tensor);
        let (n, inputs, rank, outs) = (x.rows(), a.cols(), a.rows(), b.rows());
        let key = self.dropout_key(term);
        let dropped = dropped(device, x, key);
        let mut xa = Tensor::empty(device, n, rank);
        device.matmul(&MatMul::nt(n, rank, inputs), dropped.view(), a.view(), xa.view_mut());
        if read {
            let product = MatMul::nt(n, outs, rank).alpha(term.scale).beta(1.0);
            device.matmul(&product, xa.view(), b.view(), y.view_mut());
        }
        KeptLowRank { xa, dropout: key }
    }

    fn dropout_key(&self, term: &LowRank) -> Option<(f32, u64)> {
        let seed = self.dropout_seed()?;
        (term.dropout > 0.0).then(|| (term.dropout, seed ^ term.site.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }
}

/// `drop(x)`, or `x` itself when nothing is dropped. The dropped copy is made again in the backward, not kept.
fn dropped(device: &Device, x: &Tensor, dropout: Option<(f32, u64)>) -> Tensor {
    let Some((p, key)) = dropout else { return x.clone() };
    let mut y = Tensor::empty(device, x.rows(), x.cols());
    device.dropout(x.view(), y.view_mut(), p, key);
    y
}

#[derive(Debug)]
struct KeptLowRank {
    /// `drop(x) A^T`, `[N, R]`.
    xa: Tensor,
    dropout: Option<(f32, u64)>,
}

#[derive(Debug)]
struct LinearBackward {
    map: Linear,
    /// Kept only when a trained operand needs it.
    x: Option<Saved>,
    x_slot: Option<Slot>,
    low_rank: Option<KeptLowRank>,
}

impl Backward for LinearBackward {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        let device = flow.device().clone();
        let weight = flow.params().get(self.map.weight).tensor.clone();
        let (n, inputs, outs) = (dy.rows(), weight.cols(), weight.rows());
        flow.accumulate(self.x_slot, (n, inputs), |device, dx, beta| {
            device.matmul(&MatMul::nn(n, inputs, outs).beta(beta), dy.view(), weight.view(), dx);
        });
        let x = self.x.as_ref().map(|x| x.get(flow));
        if let (Some(x), Some(dw)) = (&x, flow.param(self.map.weight)) {
            device.matmul(&MatMul::tn(outs, inputs, n).beta(1.0), dy.view(), x.view(), dw);
        }
        if let Some(db) = self.map.bias.and_then(|bias| flow.param(bias)) {
            device.column_sums(dy.view(), outs, db);
        }
        if let (Some(term), Some(kept)) = (&self.map.low_rank, &self.low_rank) {
            low_rank_backward(term, kept, x.as_ref(), self.x_slot, &dy, flow);
        }
    }
}

fn low_rank_backward(
    term: &LowRank,
    kept: &KeptLowRank,
    x: Option<&Tensor>,
    x_slot: Option<Slot>,
    dy: &Tensor,
    flow: &mut Flow<'_>,
) {
    let device = flow.device().clone();
    let params = flow.params();
    let (a, b) = (&params.get(term.a).tensor, &params.get(term.b).tensor);
    let (n, inputs, rank, outs) = (dy.rows(), a.cols(), a.rows(), b.rows());
    if let Some(db) = flow.param(term.b) {
        let product = MatMul::tn(outs, rank, n).alpha(term.scale).beta(1.0);
        device.matmul(&product, dy.view(), kept.xa.view(), db);
    }
    let mut dxa = Tensor::empty(&device, n, rank);
    device.matmul(&MatMul::nn(n, rank, outs).alpha(term.scale), dy.view(), b.view(), dxa.view_mut());
    if let (Some(x), Some(da)) = (x, flow.param(term.a)) {
        let dropped = dropped(&device, x, kept.dropout);
        device.matmul(&MatMul::tn(rank, inputs, n).beta(1.0), dxa.view(), dropped.view(), da);
    }
    match kept.dropout {
        None => flow.accumulate(x_slot, (n, inputs), |device, dx, beta| {
            device.matmul(&MatMul::nn(n, inputs, rank).beta(beta), dxa.view(), a.view(), dx);
        }),
        Some((p, key)) => {
            let mut through = Tensor::empty(&device, n, inputs);
            device.matmul(&MatMul::nn(n, inputs, rank), dxa.view(), a.view(), through.view_mut());
            let mut dx = Tensor::empty(&device, n, inputs);
            device.dropout(through.view(), dx.view_mut(), p, key);
            flow.add(x_slot, dx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::{Grads, Params};

    fn map(params: &Params) -> Linear {
        let low_rank = params.find("a").map(|a| LowRank {
            a,
            b: params.find("b").unwrap(),
            scale: 0.7,
            dropout: if params.find("drop").is_some() { 0.3 } else { 0.0 },
            site: 5,
        });
        Linear { weight: params.find("w").unwrap(), bias: params.find("bias"), low_rank }
    }

    #[test]
    fn gradients_of_value_weight_and_bias_agree_with_finite_differences() {
        let check = Check::new().inputs(&[(6, 5)]).param("w", 4, 5);
        check.gradients(|tape, x| tape.linear(&x[0], &map(tape.params())));
        check.param("bias", 1, 4).gradients(|tape, x| tape.linear(&x[0], &map(tape.params())));
    }

    #[test]
    fn gradients_of_the_low_rank_term_agree_with_finite_differences_with_and_without_dropout() {
        let check = Check::new().inputs(&[(6, 5)]).frozen("w", 4, 5).param("a", 2, 5).param("b", 4, 2);
        check.gradients(|tape, x| tape.linear(&x[0], &map(tape.params())));
        check.frozen("drop", 1, 1).gradients(|tape, x| {
            tape.set_dropout_seed(Some(99));
            tape.linear(&x[0], &map(tape.params()))
        });
    }

    #[test]
    fn a_frozen_map_of_a_constant_is_not_recorded() {
        let device = Device::cpu();
        let check = Check::new().frozen("w", 3, 2);
        let params = check.params();
        let mut tape = Tape::training(&device, params);
        let y = tape.linear(&Var::constant(Tensor::zeros(&device, 1, 2)), &map(params));
        assert_eq!(y.slot, None);
        assert_eq!(Grads::zeros(&device, params).flat().len(), 0);
    }
}

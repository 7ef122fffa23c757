//! Gated activation: `y = silu(gate) * up`, `silu(x) = x / (1 + exp(-x))` (GLU variants, arXiv 2002.05202).
//!
//! `dup = dy * silu(gate)`, `dgate = dy * up * s * (1 + gate * (1 - s))` with `s` the sigmoid of `gate`.

use crate::device::Device;
use crate::params::Params;
use crate::recompute::Remake;
use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

impl Tape<'_> {
    /// gate, up: `[N, F]` -> `[N, F]`.
    pub fn swiglu(&mut self, gate: &Var, up: &Var) -> Var {
        let kept = || Kept { gate: gate.tensor.clone(), up: up.tensor.clone() };
        let y = kept().remake(self.device(), self.params());
        let needed = self.needs_backward(&[gate, up], &[]);
        let y = self.record_if(needed, y, || SwiGlu { slots: [gate.slot, up.slot], kept: kept() });
        self.remake(y, kept)
    }
}

#[derive(Debug)]
struct SwiGlu {
    slots: [Option<Slot>; 2],
    kept: Kept,
}

#[derive(Debug)]
struct Kept {
    gate: Tensor,
    up: Tensor,
}

impl Remake for Kept {
    fn remake(&self, device: &Device, _: &Params) -> Tensor {
        let mut y = Tensor::empty(device, self.gate.rows(), self.gate.cols());
        device.swiglu(self.gate.view(), self.up.view(), y.view_mut());
        y
    }
}

impl Backward for SwiGlu {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        let device = flow.device().clone();
        let mut dgate = Tensor::empty(&device, dy.rows(), dy.cols());
        let mut dup = Tensor::empty(&device, dy.rows(), dy.cols());
        let Kept { gate, up } = &self.kept;
        device.swiglu_backward(gate.view(), up.view(), dy.view(), dgate.view_mut(), dup.view_mut());
        flow.add(self.slots[0], dgate);
        flow.add(self.slots[1], dup);
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Check;

    #[test]
    fn gradients_of_gate_and_up_agree_with_finite_differences() {
        Check::new().inputs(&[(4, 7), (4, 7)]).gradients(|tape, x| tape.swiglu(&x[0], &x[1]));
    }
}

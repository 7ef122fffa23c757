//! Gated activation: `y = silu(gate) * up`, `silu(x) = x / (1 + exp(-x))` (GLU variants, arXiv 2002.05202).
//!
//! `dup = dy * silu(gate)`, `dgate = dy * up * s * (1 + gate * (1 - s))` with `s` the sigmoid of `gate`.

use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

impl Tape<'_> {
    /// gate, up: `[N, F]` -> `[N, F]`.
    pub fn swiglu(&mut self, gate: &Var, up: &Var) -> Var {
        let device = self.device().clone();
        let mut y = Tensor::empty(&device, gate.tensor.rows(), gate.tensor.cols());
        device.swiglu(gate.tensor.view(), up.tensor.view(), y.view_mut());
        let needed = self.needs_backward(&[gate, up], &[]);
        self.record_if(needed, y, || SwiGlu {
            slots: [gate.slot, up.slot],
            gate: gate.tensor.clone(),
            up: up.tensor.clone(),
        })
    }
}

#[derive(Debug)]
struct SwiGlu {
    slots: [Option<Slot>; 2],
    gate: Tensor,
    up: Tensor,
}

impl Backward for SwiGlu {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        let device = flow.device().clone();
        let mut dgate = Tensor::empty(&device, dy.rows(), dy.cols());
        let mut dup = Tensor::empty(&device, dy.rows(), dy.cols());
        device.swiglu_backward(self.gate.view(), self.up.view(), dy.view(), dgate.view_mut(), dup.view_mut());
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

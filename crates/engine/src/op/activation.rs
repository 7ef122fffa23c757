//! Activations: `y = act(x)`, and gated `y = act(gate) * up` (GLU variants, arXiv 2002.05202). Values and slopes of each
//! stand with the kernel, `luthier_kernels::activation`.
//!
//! `dx = dy * act'(x)`; gated `dup = dy * act(gate)`, `dgate = dy * up * act'(gate)`.

use luthier_kernels::activation::Activation;

use crate::device::Device;
use crate::params::Params;
use crate::recompute::Remake;
use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

impl Tape<'_> {
    /// gate, up: `[N, F]` -> `[N, F]`.
    pub fn gated(&mut self, gate: &Var, up: &Var, activation: Activation) -> Var {
        let kept = || Gated { activation, gate: gate.tensor.clone(), up: up.tensor.clone() };
        let y = kept().remake(self.device(), self.params());
        let needed = self.needs_backward(&[gate, up], &[]);
        let y = self.record_if(needed, y, || GatedBackward { slots: [gate.slot, up.slot], kept: kept() });
        self.remake(y, kept)
    }

    /// x: `[N, F]` -> `[N, F]`.
    pub fn activate(&mut self, x: &Var, activation: Activation) -> Var {
        let kept = || Activated { activation, x: x.tensor.clone() };
        let y = kept().remake(self.device(), self.params());
        let needed = self.needs_backward(&[x], &[]);
        let y = self.record_if(needed, y, || ActivatedBackward { slot: x.slot, kept: kept() });
        self.remake(y, kept)
    }
}

#[derive(Debug)]
struct GatedBackward {
    slots: [Option<Slot>; 2],
    kept: Gated,
}

#[derive(Debug)]
struct Gated {
    activation: Activation,
    gate: Tensor,
    up: Tensor,
}

impl Remake for Gated {
    fn remake(&self, device: &Device, _: &Params) -> Tensor {
        let mut y = Tensor::empty(device, self.gate.rows(), self.gate.cols());
        device.gated(self.activation, self.gate.view(), self.up.view(), y.view_mut());
        y
    }
}

impl Backward for GatedBackward {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        let device = flow.device().clone();
        let mut dgate = Tensor::empty(&device, dy.rows(), dy.cols());
        let mut dup = Tensor::empty(&device, dy.rows(), dy.cols());
        let Gated { activation, gate, up } = &self.kept;
        device.gated_backward(*activation, gate.view(), up.view(), dy.view(), dgate.view_mut(), dup.view_mut());
        flow.add(self.slots[0], dgate);
        flow.add(self.slots[1], dup);
    }
}

#[derive(Debug)]
struct ActivatedBackward {
    slot: Option<Slot>,
    kept: Activated,
}

#[derive(Debug)]
struct Activated {
    activation: Activation,
    x: Tensor,
}

impl Remake for Activated {
    fn remake(&self, device: &Device, _: &Params) -> Tensor {
        let mut y = Tensor::empty(device, self.x.rows(), self.x.cols());
        device.activate(self.activation, self.x.view(), y.view_mut());
        y
    }
}

impl Backward for ActivatedBackward {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        let device = flow.device().clone();
        let mut dx = Tensor::empty(&device, dy.rows(), dy.cols());
        device.activate_backward(self.kept.activation, self.kept.x.view(), dy.view(), dx.view_mut());
        flow.add(self.slot, dx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;

    const ALL: [Activation; 5] =
        [Activation::Silu, Activation::GeluTanh, Activation::Gelu, Activation::Relu, Activation::QuickGelu];

    #[test]
    fn gradients_of_gate_and_up_agree_with_finite_differences() {
        for activation in ALL {
            Check::new().inputs(&[(4, 7), (4, 7)]).gradients(|tape, x| tape.gated(&x[0], &x[1], activation));
        }
    }

    #[test]
    fn gradients_of_an_activation_alone_agree_with_finite_differences() {
        for activation in ALL {
            Check::new().inputs(&[(4, 7)]).gradients(|tape, x| tape.activate(&x[0], activation));
        }
    }
}

//! Sum of two values: `y = a + b`; both gradients are `dy`.

use crate::device::Device;
use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

impl Tape<'_> {
    /// a, b: `[N, C]` -> `[N, C]`.
    pub fn add(&mut self, a: &Var, b: &Var) -> Var {
        let device: Device = self.device().clone();
        let mut y = Tensor::empty(&device, a.tensor.rows(), a.tensor.cols());
        device.add(a.tensor.view(), b.tensor.view(), y.view_mut());
        let needed = self.needs_backward(&[a, b], &[]);
        self.record_if(needed, y, || Add { inputs: [a.slot, b.slot] })
    }
}

#[derive(Debug)]
struct Add {
    inputs: [Option<Slot>; 2],
}

impl Backward for Add {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        flow.add(self.inputs[0], dy.clone());
        flow.add(self.inputs[1], dy);
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Check;

    #[test]
    fn both_terms_receive_the_whole_gradient() {
        let check = Check::new();
        check.inputs(&[(5, 3), (5, 3)]).gradients(|tape, x| tape.add(&x[0], &x[1]));
        // The same value twice: its gradients add up.
        check.inputs(&[(5, 3)]).gradients(|tape, x| tape.add(&x[0], &x[0]));
    }
}

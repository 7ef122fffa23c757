//! A value times a constant: `y = factor * x`, `dx = factor * dy`.

use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

impl Tape<'_> {
    /// x: `[N, C]` -> `[N, C]`; a factor of 1 changes nothing.
    pub fn scale(&mut self, x: &Var, factor: f32) -> Var {
        if factor == 1.0 {
            return x.clone();
        }
        let device = self.device().clone();
        let mut y = Tensor::empty(&device, x.tensor.rows(), x.tensor.cols());
        device.scaled(x.tensor.view(), factor, y.view_mut());
        let needed = self.needs_backward(&[x], &[]);
        self.record_if(needed, y, || Scale { x: x.slot, factor })
    }
}

#[derive(Debug)]
struct Scale {
    x: Option<Slot>,
    factor: f32,
}

impl Backward for Scale {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        let mut dx = Tensor::empty(flow.device(), dy.rows(), dy.cols());
        flow.device().scaled(dy.view(), self.factor, dx.view_mut());
        flow.add(self.x, dx);
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Check;

    #[test]
    fn gradients_agree_with_finite_differences() {
        for factor in [1.0, -2.5] {
            Check::new().inputs(&[(4, 5)]).gradients(|tape, x| tape.scale(&x[0], factor));
        }
    }
}

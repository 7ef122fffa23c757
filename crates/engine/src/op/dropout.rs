//! Dropout: `y = x * keep / (1 - p)`, `keep` drawn from a counter keyed by (key, position), so that the backward
//! (the same function of `dy`), a recomputation, a resumed run and another device all draw the same.

use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

impl Tape<'_> {
    /// x: `[N, C]` -> `[N, C]`; p is the share that is dropped, 0 changes nothing.
    pub fn dropout(&mut self, x: &Var, p: f32, key: u64) -> Var {
        if p == 0.0 {
            return x.clone();
        }
        let device = self.device().clone();
        let mut y = Tensor::empty(&device, x.tensor.rows(), x.tensor.cols());
        device.dropout(x.tensor.view(), y.view_mut(), p, key);
        let needed = self.needs_backward(&[x], &[]);
        self.record_if(needed, y, || Dropout { x: x.slot, p, key })
    }
}

#[derive(Debug)]
struct Dropout {
    x: Option<Slot>,
    p: f32,
    key: u64,
}

impl Backward for Dropout {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        let mut dx = Tensor::empty(flow.device(), dy.rows(), dy.cols());
        flow.device().dropout(dy.view(), dx.view_mut(), self.p, self.key);
        flow.add(self.x, dx);
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Check;
    use crate::{Device, Params, Tape, Tensor, Var};

    #[test]
    fn the_backward_drops_what_the_forward_dropped() {
        Check::new().inputs(&[(6, 9)]).gradients(|tape, x| tape.dropout(&x[0], 0.4, 11));
    }

    #[test]
    fn what_is_kept_is_scaled_so_that_the_mean_stays() {
        let (device, params) = (Device::cpu(), Params::default());
        let x = Var::constant(Tensor::from_slice(&device, 100, 100, &[1.0; 10_000]));
        let y = Tape::inference(&device, &params).dropout(&x, 0.25, 3).tensor.to_vec();
        let mean = y.iter().sum::<f32>() / 1e4;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!(y.iter().all(|&v| v == 0.0 || (v - 1.0 / 0.75).abs() < 1e-6));
    }
}

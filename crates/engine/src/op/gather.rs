//! Chosen rows: `y[i] = x[rows[i]]`; the gradient is added back to the rows it came from.

use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

impl Tape<'_> {
    /// x: `[N, C]`, rows: n indices below N -> `[n, C]`. The loss needs only the rows that carry a label.
    pub fn gather(&mut self, x: &Var, rows: &[u32]) -> Var {
        let device = self.device().clone();
        let c = x.tensor.cols();
        let mut y = Tensor::empty(&device, rows.len(), c);
        device.gather_rows(x.tensor.view(), c, rows, y.view_mut());
        let needed = self.needs_backward(&[x], &[]);
        self.record_if(needed, y, || Gather { x: x.slot, n: x.tensor.rows(), rows: rows.to_vec() })
    }
}

#[derive(Debug)]
struct Gather {
    x: Option<Slot>,
    n: usize,
    rows: Vec<u32>,
}

impl Backward for Gather {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        let c = dy.cols();
        flow.accumulate(self.x, (self.n, c), |device, mut dx, beta| {
            if beta == 0.0 {
                device.fill(0.0, dx.reborrow());
            }
            device.scatter_add_rows(dy.view(), c, &self.rows, dx);
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::check::Check;

    #[test]
    fn a_row_taken_twice_receives_both_gradients_and_a_row_not_taken_none() {
        Check::new().inputs(&[(4, 3)]).gradients(|tape, x| tape.gather(&x[0], &[2, 0, 2]));
    }
}

//! Parts of the columns of a value: what one map computed together, taken apart; the gradient is the parts' gradients put
//! together again.

use luthier_kernels::split::Columns;

use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

impl Tape<'_> {
    /// x: `[N, C]`, each row `groups` groups of the parts of `widths` end to end -> `[N, groups * width]` for each width.
    ///
    /// One group: phi3's queries, keys and values, or gate and up. A group for each head, of widths D, D, D: the
    /// `query_key_value` of gpt_neox and bloom.
    pub fn split(&mut self, x: &Var, widths: &[usize], groups: usize) -> Vec<Var> {
        let device = self.device().clone();
        let (n, c) = (x.tensor.rows(), x.tensor.cols());
        let group_width: usize = widths.iter().sum();
        assert_eq!(c, groups * group_width, "{groups} groups of {widths:?} are not the {c} columns of a row");
        let mut start = 0;
        let mut columns = Vec::with_capacity(widths.len());
        for &width in widths {
            columns.push(Columns { groups, group_width, start, width });
            start += width;
        }
        let parts = columns.iter().map(|columns| {
            let mut part = Tensor::empty(&device, n, groups * columns.width);
            device.take_columns(x.tensor.view(), *columns, part.view_mut());
            part
        });
        let parts: Vec<Tensor> = parts.collect();
        if !self.needs_backward(&[x], &[]) {
            return parts.into_iter().map(Var::constant).collect();
        }
        self.record(Split { x: x.slot, shape: (n, c), columns }, parts)
    }
}

#[derive(Debug)]
struct Split {
    x: Option<Slot>,
    shape: (usize, usize),
    columns: Vec<Columns>,
}

impl Backward for Split {
    fn backward(self: Box<Self>, outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let all = outputs.iter().all(Option::is_some);
        flow.accumulate(self.x, self.shape, |device, mut dx, beta| {
            let beta = if beta == 0.0 && !all {
                device.fill(0.0, dx.reborrow());
                1.0
            } else {
                beta
            };
            for (columns, dy) in self.columns.iter().zip(outputs) {
                if let Some(dy) = dy {
                    device.put_columns(dy.view(), *columns, beta, dx.reborrow());
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::check::Check;

    #[test]
    fn gradients_of_parts_agree_with_finite_differences() {
        // Two parts of equal width are used, so that they can be added; the third one is not.
        for (groups, cols) in [(1, 8), (3, 24)] {
            Check::new().inputs(&[(4, cols)]).gradients(|tape, x| {
                let parts = tape.split(&x[0], &[3, 2, 3], groups);
                tape.add(&parts[0], &parts[2])
            });
        }
        // All parts are used, and the value itself.
        Check::new().inputs(&[(4, 6)]).gradients(|tape, x| {
            let parts = tape.split(&x[0], &[3, 3], 1);
            let sum = tape.add(&parts[0], &parts[1]);
            let again = tape.split(&x[0], &[3, 3], 1);
            tape.add(&sum, &again[1])
        });
    }

    #[test]
    fn parts_of_groups_stand_together() {
        let (device, params) = (Device::cpu(), crate::Params::default());
        let x = Var::constant(Tensor::from_slice(&device, 1, 6, &[0.0, 1.0, 2.0, 10.0, 11.0, 12.0]));
        let parts = Tape::inference(&device, &params).split(&x, &[1, 2], 2);
        assert_eq!(parts[0].tensor.to_vec(), [0.0, 10.0]);
        assert_eq!(parts[1].tensor.to_vec(), [1.0, 2.0, 11.0, 12.0]);
    }
}

//! Rotary position embedding (RoFormer, arXiv 2104.09864) in the half-rotation order of transformers: entry `i` of a
//! head turns with entry `i + R/2` by the angle `position * frequency[i]`. R is the head size, or less: then the entries behind
//! the first R pass through. The backward turns the other way.

use std::sync::Arc;

use crate::device::Device;
use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

/// Cosines and sines of the N positions of a pass, `[N, R]`: the R/2 cosines of a row, then its R/2 sines.
#[derive(Clone, Debug)]
pub struct RopeTable(Arc<Tensor>);

impl RopeTable {
    /// The table for these positions and frequencies (radians a position, R/2 of them); both are multiplied by
    /// `attention_factor` (1 but for some scalings). Angles are formed in f32, as transformers forms them.
    pub fn new(device: &Device, positions: &[u32], frequencies: &[f32], attention_factor: f32) -> Self {
        Self::of_parts(device, std::iter::once((positions, frequencies, attention_factor)))
    }

    /// The same for positions one part after another, each with its own frequencies (as many) and factor.
    pub fn of_parts<'p, F: AsRef<[f32]>>(
        device: &Device,
        parts: impl IntoIterator<Item = (&'p [u32], F, f32)>,
    ) -> Self {
        let (mut table, mut rows, mut width) = (Vec::new(), 0, 0);
        for (positions, frequencies, attention_factor) in parts {
            let frequencies = frequencies.as_ref();
            width = 2 * frequencies.len();
            rows += positions.len();
            table.reserve_exact(positions.len() * width);
            for &position in positions {
                let angles = frequencies.iter().map(|frequency| position as f32 * frequency);
                table.extend(angles.clone().map(|angle| angle.cos() * attention_factor));
                table.extend(angles.map(|angle| angle.sin() * attention_factor));
            }
        }
        Self(Arc::new(Tensor::from_slice(device, rows, width, &table)))
    }
}

impl Tape<'_> {
    /// x: `[N, heads * D]` -> the same shape, of each head the first R entries turned by its row's position; R is the width
    /// of the table.
    pub fn rope(&mut self, x: &Var, table: &RopeTable, heads: usize) -> Var {
        let device = self.device().clone();
        let head_size = x.tensor.cols() / heads;
        let mut y = Tensor::empty(&device, x.tensor.rows(), x.tensor.cols());
        device.rope(x.tensor.view(), y.view_mut(), heads, head_size, table.0.view(), false);
        let needed = self.needs_backward(&[x], &[]);
        self.record_if(needed, y, || Rope { x: x.slot, table: table.clone(), heads })
    }
}

#[derive(Debug)]
struct Rope {
    x: Option<Slot>,
    table: RopeTable,
    heads: usize,
}

impl Backward for Rope {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dy) = outputs.pop().flatten() else { return };
        let mut dx = Tensor::empty(flow.device(), dy.rows(), dy.cols());
        let head_size = dy.cols() / self.heads;
        flow.device().rope(dy.view(), dx.view_mut(), self.heads, head_size, self.table.0.view(), true);
        flow.add(self.x, dx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;

    #[test]
    fn gradients_agree_with_finite_differences() {
        let table = RopeTable::new(&Device::cpu(), &[0, 1, 5, 2], &[1.0, 0.1, 0.01], 1.0);
        // Whole heads of 6, and the first 6 entries of heads of 8.
        for cols in [12, 16] {
            Check::new().inputs(&[(4, cols)]).gradients(|tape, x| tape.rope(&x[0], &table, 2));
        }
    }

    #[test]
    fn scores_depend_only_on_the_distance() {
        let device = Device::cpu();
        let params = crate::Params::default();
        let mut tape = Tape::inference(&device, &params);
        let rows = [0.3, -1.0, 0.7, 0.2];
        let turned = |tape: &mut Tape<'_>, position| {
            let table = RopeTable::new(&device, &[position], &[1.0, 0.1], 1.0);
            let x = Var::constant(Tensor::from_slice(&device, 1, 4, &rows));
            tape.rope(&x, &table, 1).tensor.to_vec()
        };
        let dot = |a: Vec<f32>, b: Vec<f32>| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let near = dot(turned(&mut tape, 3), turned(&mut tape, 7));
        let far = dot(turned(&mut tape, 103), turned(&mut tape, 107));
        assert!((near - far).abs() < 1e-4, "{near} {far}");
    }
}

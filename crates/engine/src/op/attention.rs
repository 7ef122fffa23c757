//! Causal attention over packed segments: `softmax(scale * q k^T) v` for each head, a query seeing the keys of its own
//! segment up to its own position (arXiv 1706.03762 eq. 1; H query heads share K key-value heads, arXiv 2305.13245).
//!
//! The forward keeps the log of each row's sum of exponentials and the backward computes the weights again from it
//! (arXiv 2205.14135, algorithm 4): `dv = p^T do`, `ds = p * (do v^T - rowsum(do * o))`, `dq = scale * ds k`,
//! `dk = scale * ds^T q`.
//!
//! A shape may limit what a query sees to a window of keys (arXiv 2310.06825), add a bias by distance to the scores (ALiBi,
//! arXiv 2108.12409), and cap them, `cap tanh(scores / cap)`, whose slope then multiplies `ds`; see [`AttentionShape`].

use std::sync::Arc;

use luthier_kernels::attention::{AttentionShape, Segment};

use crate::device::AttentionForward;
use crate::tape::{Backward, Flow, Slot, Tape, Var};
use crate::tensor::Tensor;

/// How the rows of a pass belong together.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Position of each of the N tokens in its own text.
    pub positions: Vec<u32>,
    /// Which keys the queries see: key rows lie in the pass itself, or in a cache.
    pub segments: Arc<Vec<Segment>>,
    /// Tokens of the text that each segment belongs to, where that goes on behind it; none where every segment ends its text.
    /// Rotary positions of some models depend on it.
    pub text_lengths: Option<Arc<Vec<usize>>>,
}

impl Layout {
    /// Rows of these lengths laid end to end, each on its own, positions from 0.
    pub fn packed(lengths: &[usize]) -> Self {
        let mut layout = Self::default();
        let mut start = 0;
        let mut segments = Vec::with_capacity(lengths.len());
        for &length in lengths {
            layout.positions.extend(0..length as u32);
            let own = start..start + length;
            segments.push(Segment { queries: own.clone(), keys: vec![own] });
            start += length;
        }
        layout.segments = Arc::new(segments);
        layout
    }

    /// Tokens of the text that a segment belongs to.
    pub fn text_length(&self, segment: usize) -> usize {
        match &self.text_lengths {
            Some(lengths) => lengths[segment],
            None => {
                self.segments[segment].queries.clone().map(|row| self.positions[row] as usize + 1).max().unwrap_or(0)
            }
        }
    }

    /// N: the tokens of the pass.
    pub fn tokens(&self) -> usize {
        self.positions.len()
    }
}

impl Tape<'_> {
    /// q: `[N, H*D]`, k, v: `[M, K*D]` (M = N in training; the rows of a cache in decoding) -> `[N, H*D]`.
    pub fn attention(&mut self, q: &Var, k: &Var, v: &Var, shape: &AttentionShape, layout: &Layout) -> Var {
        let device = self.device().clone();
        let n = q.tensor.rows();
        let mut out = Tensor::empty(&device, n, q.tensor.cols());
        let mut lse = Tensor::empty(&device, n, shape.heads);
        device.attention(
            q.tensor.view(),
            k.tensor.view(),
            v.tensor.view(),
            shape,
            &layout.segments,
            out.view_mut(),
            lse.view_mut(),
        );
        let needed = self.needs_backward(&[q, k, v], &[]);
        let kept = out.clone();
        self.record_if(needed, out, || Attention {
            slots: [q.slot, k.slot, v.slot],
            q: q.tensor.clone(),
            k: k.tensor.clone(),
            v: v.tensor.clone(),
            out: kept,
            lse,
            shape: *shape,
            segments: Arc::clone(&layout.segments),
        })
    }
}

#[derive(Debug)]
struct Attention {
    slots: [Option<Slot>; 3],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    shape: AttentionShape,
    segments: Arc<Vec<Segment>>,
}

impl Backward for Attention {
    fn backward(self: Box<Self>, mut outputs: Vec<Option<Tensor>>, flow: &mut Flow<'_>) {
        let Some(dout) = outputs.pop().flatten() else { return };
        let device = flow.device().clone();
        let mut dq = Tensor::empty(&device, self.q.rows(), self.q.cols());
        let mut dk = Tensor::zeros(&device, self.k.rows(), self.k.cols());
        let mut dv = Tensor::zeros(&device, self.v.rows(), self.v.cols());
        let forward = AttentionForward {
            q: self.q.view(),
            k: self.k.view(),
            v: self.v.view(),
            out: self.out.view(),
            lse: self.lse.view(),
        };
        device.attention_backward(
            forward,
            dout.view(),
            &self.shape,
            &self.segments,
            dq.view_mut(),
            dk.view_mut(),
            dv.view_mut(),
        );
        for (slot, gradient) in self.slots.into_iter().zip([dq, dk, dv]) {
            flow.add(slot, gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;

    #[test]
    fn gradients_of_packed_rows_with_grouped_heads_agree_with_finite_differences() {
        let layout = Layout::packed(&[4, 1, 3]);
        let shape = AttentionShape::new(4, 2, 3);
        Check::new()
            .inputs(&[(8, 12), (8, 6), (8, 6)])
            .gradients(|tape, x| tape.attention(&x[0], &x[1], &x[2], &shape, &layout));
    }

    #[test]
    fn gradients_of_a_prefix_that_two_rows_share_agree_with_finite_differences() {
        // Rows 3..5 and 5..8 go on from the prefix.
        let prefix = 0..3;
        let segments = vec![
            Segment { queries: prefix.clone(), keys: vec![prefix.clone()] },
            Segment { queries: 3..5, keys: vec![prefix.clone(), 3..5] },
            Segment { queries: 5..8, keys: vec![prefix, 5..8] },
        ];
        let layout =
            Layout { positions: vec![0, 1, 2, 3, 4, 3, 4, 5], segments: Arc::new(segments), text_lengths: None };
        let shape = AttentionShape::new(2, 1, 4);
        Check::new()
            .inputs(&[(8, 8), (8, 4), (8, 4)])
            .gradients(|tape, x| tape.attention(&x[0], &x[1], &x[2], &shape, &layout));
    }

    #[test]
    fn gradients_under_a_window_a_cap_and_a_bias_agree_with_finite_differences() {
        let layout = Layout::packed(&[6, 1, 3]);
        let plain = AttentionShape::new(4, 2, 3);
        for shape in [
            AttentionShape { window: Some(2), ..plain },
            AttentionShape { softcap: Some(0.5), ..plain },
            AttentionShape { alibi: true, ..plain },
            AttentionShape { window: Some(3), softcap: Some(0.8), alibi: true, ..plain },
        ] {
            Check::new()
                .inputs(&[(10, 12), (10, 6), (10, 6)])
                .gradients(|tape, x| tape.attention(&x[0], &x[1], &x[2], &shape, &layout));
        }
    }
}

//! Self-attention of a block.

use luthier_engine::{AttentionShape, Linear, Norm, Tape, Var};

use super::{KeysAndValues, Pass};

#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub(super) projections: Projections,
    pub(super) query_key_norms: Option<QueryKeyNorms>,
    pub(super) output: Linear,
    pub(super) shape: AttentionShape,
    /// Which of the pass's tables turns queries and keys.
    pub(super) rope: Option<usize>,
}

/// The maps to queries, keys and values.
#[derive(Clone, Debug)]
pub(super) enum Projections {
    Separate { q: Linear, k: Linear, v: Linear },
    Fused { qkv: Linear, widths: [usize; 3], groups: usize },
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueryKeyNorms {
    pub(super) q: Norm,
    pub(super) k: Norm,
    pub(super) by_head: bool,
}

impl QueryKeyNorms {
    fn apply(&self, tape: &mut Tape<'_>, x: &Var, heads: usize, norm: &Norm) -> Var {
        if self.by_head { tape.head_norm(x, heads, norm) } else { tape.norm(x, norm) }
    }
}

impl Attention {
    /// h: `[N, C]` -> what the heads of all rows read, `[N, H*D]`.
    pub(super) fn heads(
        &self,
        tape: &mut Tape<'_>,
        pass: &Pass,
        layer: usize,
        h: &Var,
        store: &mut dyn KeysAndValues,
    ) -> Var {
        let (mut q, mut k, v) = match &self.projections {
            Projections::Separate { q, k, v } => (tape.linear(h, q), tape.linear(h, k), tape.linear(h, v)),
            Projections::Fused { qkv, widths, groups } => {
                let fused = tape.linear(h, qkv);
                let parts: [Var; 3] = tape.split(&fused, widths, *groups).try_into().expect("three widths were given");
                parts.into()
            }
        };
        let (heads, kv_heads) = (self.shape.heads, self.shape.kv_heads);
        if let Some(norms) = &self.query_key_norms {
            q = norms.apply(tape, &q, heads, &norms.q);
            k = norms.apply(tape, &k, kv_heads, &norms.k);
        }
        if let Some(rope) = self.rope {
            q = tape.rope(&q, &pass.ropes[rope], heads);
            k = tape.rope(&k, &pass.ropes[rope], kv_heads);
        }
        let (k, v) = store.exchange(layer, k, v);
        tape.attention(&q, &k, &v, &self.shape, &pass.layout)
    }

    pub(super) fn linears_mut(&mut self) -> Vec<&mut Linear> {
        let mut maps: Vec<&mut Linear> = match &mut self.projections {
            Projections::Separate { q, k, v } => vec![q, k, v],
            Projections::Fused { qkv, .. } => vec![qkv],
        };
        maps.push(&mut self.output);
        maps
    }
}

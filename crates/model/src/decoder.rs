//! The one transformer: blocks of attention and MLP with norms around them, between an embedding and a head. What a family
//! does otherwise stands in its blueprint (`arch/`), never in this code.

mod attention;
mod build;
mod mlp;

use luthier_engine::{Head, Layout, Linear, Norm, ParamId, Recompute, RopeTable, Tape, Var};

use crate::blueprint::{Around, Arrangement};
use crate::rope::Rope;

use attention::Attention;
pub(crate) use build::{Role, Weight};
use mlp::Mlp;

/// Which parameters make the decoder.
#[derive(Clone, Debug)]
pub struct Decoder {
    embedding: Embedding,
    blocks: Vec<Block>,
    last_norm: Option<Norm>,
    /// From the decoder's width to that of the head's rows.
    projection: Option<Linear>,
    /// Vectors to logits.
    pub head: Head,
    ropes: Vec<Rope>,
    residual_scale: f32,
}

/// Tokens and places to vectors.
#[derive(Clone, Debug)]
struct Embedding {
    /// `[V, E]`.
    table: ParamId,
    scale: f32,
    projection: Option<Linear>,
    /// `[P, C]`, and the row of place 0.
    positions: Option<(ParamId, usize)>,
    norm: Option<Norm>,
}

/// Attention and MLP, with the norms around them.
#[derive(Clone, Debug)]
struct Block {
    norms: Arrangement<Norm>,
    attention: Attention,
    mlp: Mlp,
}

/// Where attention finds its keys and values.
pub trait KeysAndValues {
    /// Takes the keys and values of the pass's tokens in a layer, `[N, K*D]` each, and returns those to attend to.
    fn exchange(&mut self, layer: usize, k: Var, v: Var) -> (Var, Var);
    /// Whether a layer may be computed twice.
    fn repeats(&self) -> bool {
        false
    }
}

/// Training: tokens attend to the pass itself.
#[derive(Debug)]
pub struct Packed;

impl KeysAndValues for Packed {
    fn exchange(&mut self, _: usize, k: Var, v: Var) -> (Var, Var) {
        (k, v)
    }

    fn repeats(&self) -> bool {
        true
    }
}

/// The stream `[N, C]`, and what the part before adds to it, not yet added.
type Stream = (Var, Option<Var>);

impl Decoder {
    /// tokens: N ids -> hidden states `[n, C]` behind the last norm, of the rows that are wanted (all N when `None`).
    pub fn forward(
        &self,
        tape: &mut Tape<'_>,
        tokens: &[u32],
        layout: &Layout,
        store: &mut dyn KeysAndValues,
        wanted: Option<&[u32]>,
    ) -> Var {
        let pass = Pass {
            ropes: self.ropes.iter().map(|rope| table(tape, rope, layout)).collect(),
            layout: layout.clone(),
            residual_scale: self.residual_scale,
        };
        let mut x = self.embedding.forward(tape, tokens, layout);
        let mut delta: Option<Var> = None;
        // Behind the last attention a row is on its own: those that nobody asks for go no further, if they are many.
        let early = wanted.filter(|rows| rows.len() * 16 <= tokens.len() * 15);
        let again = tape.recompute() == Recompute::Block && store.repeats();
        for (layer, block) in self.blocks.iter().enumerate() {
            let last = layer + 1 == self.blocks.len();
            // The last block's backward comes at once: nothing is gained by running it again.
            (x, delta) = if again && !last {
                block.forward_again(tape, &pass, layer, &x, delta.as_ref())
            } else {
                block.forward(tape, &pass, layer, (x, delta), store, early.filter(|_| last))
            };
        }
        if let (Some(rows), None) = (wanted, early) {
            x = tape.gather(&x, rows);
            delta = delta.map(|delta| tape.gather(&delta, rows));
        }
        let hidden = match (&self.last_norm, delta) {
            (Some(norm), Some(delta)) => tape.add_norm(&x, &delta, norm).1,
            (Some(norm), None) => tape.norm(&x, norm),
            (None, Some(delta)) => tape.add(&x, &delta),
            (None, None) => x,
        };
        match &self.projection {
            Some(projection) => tape.linear(&hidden, projection),
            None => hidden,
        }
    }

    /// The embedding `[V, E]`.
    pub(crate) fn embedding(&self) -> ParamId {
        self.embedding.table
    }

    /// Every linear map of the blocks with the path of its module, such as `model.layers.0.mlp.up_proj`, in order.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.blocks
            .iter_mut()
            .flat_map(|block| block.attention.linears_mut().into_iter().chain(block.mlp.linears_mut()))
    }
}

/// Cosines and sines of a pass. Where they depend on the length of a text, each segment has its own.
fn table(tape: &Tape<'_>, rope: &Rope, layout: &Layout) -> RopeTable {
    if rope.turns_at().is_none() {
        let (frequencies, factor) = rope.frequencies(1);
        return RopeTable::new(tape.device(), &layout.positions, &frequencies, factor);
    }
    let parts = layout.segments.iter().enumerate().map(|(index, segment)| {
        let (frequencies, factor) = rope.frequencies(layout.text_length(index));
        (&layout.positions[segment.queries.clone()], frequencies, factor)
    });
    RopeTable::of_parts(tape.device(), parts)
}

impl Embedding {
    fn forward(&self, tape: &mut Tape<'_>, tokens: &[u32], layout: &Layout) -> Var {
        let mut x = tape.embed(tokens, self.table);
        if let Some(projection) = &self.projection {
            x = tape.linear(&x, projection);
        }
        if self.scale != 1.0 {
            x = tape.scale(&x, self.scale);
        }
        if let Some((table, offset)) = self.positions {
            let rows: Vec<u32> = layout.positions.iter().map(|position| position + offset as u32).collect();
            let places = tape.embed(&rows, table);
            x = tape.add(&x, &places);
        }
        match &self.norm {
            Some(norm) => tape.norm(&x, norm),
            None => x,
        }
    }
}

/// What is the same for all blocks of a forward.
#[derive(Clone, Debug)]
struct Pass {
    ropes: Vec<RopeTable>,
    layout: Layout,
    residual_scale: f32,
}

impl Pass {
    /// The stream, what the part before left added, and what the part reads of it.
    fn enter(tape: &mut Tape<'_>, (x, delta): Stream, around: &Around<Norm>) -> (Var, Var) {
        let (stream, read) = Self::enter_through(tape, (x, delta), around.before.as_ref());
        (if around.adds_to_normed { read.clone() } else { stream }, read)
    }

    fn enter_through(tape: &mut Tape<'_>, (x, delta): Stream, norm: Option<&Norm>) -> (Var, Var) {
        match (norm, delta) {
            (Some(norm), Some(delta)) => tape.add_norm(&x, &delta, norm),
            (Some(norm), None) => {
                let read = tape.norm(&x, norm);
                (x, read)
            }
            (None, Some(delta)) => {
                let sum = tape.add(&x, &delta);
                (sum.clone(), sum)
            }
            (None, None) => (x.clone(), x),
        }
    }

    /// Whether what a part gives is added to the stream as it is.
    fn adds_plainly(&self, around: &Around<Norm>) -> bool {
        self.residual_scale == 1.0 && around.behind.is_none() && around.after_sum.is_none()
    }

    /// What a part gave, on its way to the stream.
    fn leave(&self, tape: &mut Tape<'_>, stream: Var, mut given: Var, around: &Around<Norm>) -> Stream {
        if let Some(norm) = &around.behind {
            given = tape.norm(&given, norm);
        }
        given = self.scaled(tape, given);
        match &around.after_sum {
            Some(norm) => (tape.add_norm(&stream, &given, norm).1, None),
            None => (stream, Some(given)),
        }
    }

    fn scaled(&self, tape: &mut Tape<'_>, given: Var) -> Var {
        if self.residual_scale == 1.0 { given } else { tape.scale(&given, self.residual_scale) }
    }
}

impl Block {
    /// The stream and what the block before adds to it -> the same for the block behind; of the rows that are wanted (all
    /// when `None`).
    fn forward(
        &self,
        tape: &mut Tape<'_>,
        pass: &Pass,
        layer: usize,
        stream: Stream,
        store: &mut dyn KeysAndValues,
        wanted: Option<&[u32]>,
    ) -> Stream {
        let keep = |tape: &mut Tape<'_>, x: Var| match wanted {
            Some(rows) => tape.gather(&x, rows),
            None => x,
        };
        match &self.norms {
            Arrangement::Sequential { attention, mlp } => {
                let (stream, read) = Pass::enter(tape, stream, attention);
                let heads = self.attention.heads(tape, pass, layer, &read, store);
                let (stream, heads) = (keep(tape, stream), keep(tape, heads));
                let attended = tape.linear(&heads, &self.attention.output);
                let stream = pass.leave(tape, stream, attended, attention);
                let (stream, read) = Pass::enter(tape, stream, mlp);
                let given = self.mlp.forward(tape, &read, pass.adds_plainly(mlp));
                pass.leave(tape, stream, given, mlp)
            }
            Arrangement::Parallel { attention, mlp } => {
                let (stream, read) = Pass::enter_through(tape, stream, Some(attention));
                let heads = self.attention.heads(tape, pass, layer, &read, store);
                let (stream, heads) = (keep(tape, stream), keep(tape, heads));
                let attended = tape.linear(&heads, &self.attention.output);
                let read = tape.norm(&stream, mlp);
                let given = self.mlp.forward(tape, &read, false);
                let both = tape.add(&attended, &given);
                (stream, Some(pass.scaled(tape, both)))
            }
        }
    }

    /// The same, keeping only the stream and what is added to it for the backward.
    fn forward_again(&self, tape: &mut Tape<'_>, pass: &Pass, layer: usize, x: &Var, delta: Option<&Var>) -> Stream {
        let (block, pass) = (self.clone(), pass.clone());
        let inputs: Vec<&Var> = std::iter::once(x).chain(delta).collect();
        let outputs = tape.run_again(&inputs, move |tape, inputs| {
            let stream = (inputs[0].clone(), inputs.get(1).cloned());
            let (x, delta) = block.forward(tape, &pass, layer, stream, &mut Packed, None);
            std::iter::once(x).chain(delta).collect()
        });
        let mut outputs = outputs.into_iter();
        (outputs.next().expect("a block gives the stream"), outputs.next())
    }
}

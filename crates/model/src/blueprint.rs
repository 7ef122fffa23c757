//! What a decoder is built of: the names of its tensors and the switches between them, as a family and its `config.json`
//! say. `arch/*.rs` write blueprints, `decoder.rs` builds from them; neither knows the other.
//!
//! [`Blueprint::usual`] is llama, which most families follow: theirs is llama's with some things changed.

use std::collections::HashSet;

use luthier_engine::{Activation, AttentionShape, NormKind};

use crate::config::Sizes;
use crate::rope::Rope;

/// A whole decoder.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Blueprint {
    /// What stands in front of the names below, except the head's: as we write it, and otherwise in some files.
    pub(crate) prefixes: &'static [&'static str],
    /// Tokens and places to vectors.
    pub(crate) embedding: Embedding,
    /// All norms of a decoder are of one kind.
    pub(crate) norm: NormKind,
    /// eps inside the norms.
    pub(crate) eps: f32,
    /// Rotary tables that blocks choose from; none where places are told otherwise.
    pub(crate) ropes: Vec<Rope>,
    /// In order.
    pub(crate) blocks: Vec<Block>,
    /// What a block adds is multiplied by it.
    pub(crate) residual_scale: f32,
    /// Behind the last block.
    pub(crate) last_norm: Option<String>,
    /// Vectors to logits.
    pub(crate) head: Head,
    /// Endings of tensors in old files that nobody needs: buffers that follow from the configuration.
    pub(crate) ignored: &'static [&'static str],
}

/// Tokens and places to vectors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Embedding {
    pub(crate) name: String,
    /// Of a row; the decoder's where there is no projection.
    pub(crate) width: usize,
    pub(crate) scale: f32,
    /// From its width to the decoder's.
    pub(crate) projection: Option<Linear>,
    pub(crate) norm: Option<String>,
    pub(crate) positions: Option<Positions>,
}

/// Learned vectors of places.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Positions {
    pub(crate) name: String,
    /// Rows of the table.
    pub(crate) rows: usize,
    /// The row of place 0.
    pub(crate) offset: usize,
}

/// A block: attention, MLP, and the norms around them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) norms: Arrangement<String>,
    pub(crate) attention: Attention,
    pub(crate) mlp: Mlp,
}

/// Where norms and sums stand in a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arrangement<N> {
    /// Attention, then the MLP, each added to the stream.
    Sequential { attention: Around<N>, mlp: Around<N> },
    /// Both read the stream, each through its norm, and are added together.
    Parallel { attention: N, mlp: N },
}

/// The norms around attention or MLP.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Around<N> {
    /// Of what it reads.
    pub(crate) before: Option<N>,
    /// Of what it gives, before that is added.
    pub(crate) behind: Option<N>,
    /// Of the sum.
    pub(crate) after_sum: Option<N>,
    /// Whether the sum is with what it reads, normed, rather than with the stream.
    pub(crate) adds_to_normed: bool,
}

impl<N> Around<N> {
    pub(crate) fn before(norm: N) -> Self {
        Self { before: Some(norm), behind: None, after_sum: None, adds_to_normed: false }
    }

    fn map<M>(&self, f: &mut impl FnMut(&N) -> Result<M, crate::ModelError>) -> Result<Around<M>, crate::ModelError> {
        let mut each = |norm: &Option<N>| norm.as_ref().map(&mut *f).transpose();
        Ok(Around {
            before: each(&self.before)?,
            behind: each(&self.behind)?,
            after_sum: each(&self.after_sum)?,
            adds_to_normed: self.adds_to_normed,
        })
    }
}

impl<N> Arrangement<N> {
    /// The same with other norms.
    pub(crate) fn map<M>(
        &self,
        mut f: impl FnMut(&N) -> Result<M, crate::ModelError>,
    ) -> Result<Arrangement<M>, crate::ModelError> {
        Ok(match self {
            Self::Sequential { attention, mlp } => {
                Arrangement::Sequential { attention: attention.map(&mut f)?, mlp: mlp.map(&mut f)? }
            }
            Self::Parallel { attention, mlp } => Arrangement::Parallel { attention: f(attention)?, mlp: f(mlp)? },
        })
    }
}

/// Self-attention of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attention {
    pub(crate) projections: Projections,
    /// Norms of queries and keys.
    pub(crate) query_key_norms: Option<QueryKeyNorms>,
    pub(crate) output: Linear,
    pub(crate) shape: AttentionShape,
    /// Which of the decoder's tables turns queries and keys.
    pub(crate) rope: Option<usize>,
}

/// The maps to queries, keys and values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Projections {
    /// One each.
    Separate { q: Linear, k: Linear, v: Linear },
    /// One for all: `groups` groups in a row of its output, each of the three widths end to end.
    Fused { qkv: Linear, widths: [usize; 3], groups: usize },
}

/// Norms of queries and keys, before they are turned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QueryKeyNorms {
    pub(crate) q: String,
    pub(crate) k: String,
    /// Whether each head is normed by itself, rather than all together.
    pub(crate) by_head: bool,
}

/// The feed-forward part of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mlp {
    /// `down(activation(gate x) * up x)`.
    Gated { gate: Linear, up: Linear, down: Linear, activation: Activation },
    /// The same, gate and up in one map, one after the other.
    FusedGated { gate_up: Linear, down: Linear, activation: Activation },
    /// `down(activation(up x))`.
    Plain { up: Linear, down: Linear, activation: Activation },
    /// Some of many gated MLPs, chosen for each token (Mixtral, arXiv 2401.04088).
    Experts { router: Linear, experts: Vec<[Linear; 3]>, chosen: usize, renormalise: bool, activation: Activation },
}

/// A linear map: `NAME.weight`, `NAME.bias`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Linear {
    pub(crate) name: String,
    pub(crate) outs: usize,
    pub(crate) inputs: usize,
    pub(crate) bias: bool,
    /// Whether the files hold the weight as `[in, out]` (gpt2's Conv1D).
    pub(crate) transposed: bool,
}

impl Linear {
    pub(crate) fn new(name: String, outs: usize, inputs: usize) -> Self {
        Self { name, outs, inputs, bias: false, transposed: false }
    }

    pub(crate) fn with_bias(self, bias: bool) -> Self {
        Self { bias, ..self }
    }

    pub(crate) fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }
}

/// Vectors to logits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    /// The whole name; unused where the embedding is the head.
    pub(crate) name: String,
    pub(crate) tied: bool,
    /// From the decoder's width to that of the head's rows.
    pub(crate) projection: Option<Linear>,
    /// Logits are multiplied by it.
    pub(crate) scale: f32,
    /// And then bounded: `cap * tanh(logits / cap)`.
    pub(crate) softcap: Option<f32>,
}

impl Blueprint {
    /// Llama: RMS norms before attention and MLP, separate maps without biases, a gated MLP with SiLU, rotary positions.
    pub(crate) fn usual(sizes: &Sizes, eps: f32, rope: Rope, tied: bool) -> Self {
        let (c, f) = (sizes.hidden_size, sizes.intermediate_size);
        let (query_width, key_width) = (sizes.query_width(), sizes.key_width());
        let block = |layer: usize| {
            let linear = |path: &str, outs, inputs| Linear::new(format!("layers.{layer}.{path}"), outs, inputs);
            Block {
                norms: Arrangement::Sequential {
                    attention: Around::before(format!("layers.{layer}.input_layernorm")),
                    mlp: Around::before(format!("layers.{layer}.post_attention_layernorm")),
                },
                attention: Attention {
                    projections: Projections::Separate {
                        q: linear("self_attn.q_proj", query_width, c),
                        k: linear("self_attn.k_proj", key_width, c),
                        v: linear("self_attn.v_proj", key_width, c),
                    },
                    query_key_norms: None,
                    output: linear("self_attn.o_proj", c, query_width),
                    shape: sizes.attention(),
                    rope: Some(0),
                },
                mlp: Mlp::Gated {
                    gate: linear("mlp.gate_proj", f, c),
                    up: linear("mlp.up_proj", f, c),
                    down: linear("mlp.down_proj", c, f),
                    activation: Activation::Silu,
                },
            }
        };
        Self {
            // Files of a model saved without its head have nothing in front.
            prefixes: &["model.", ""],
            embedding: Embedding::new("embed_tokens", c),
            norm: NormKind::Rms,
            eps,
            ropes: vec![rope],
            blocks: (0..sizes.num_hidden_layers).map(block).collect(),
            residual_scale: 1.0,
            last_norm: Some("norm".to_owned()),
            head: Head::new("lm_head", tied),
            // Old files carry the rotary frequencies.
            ignored: &["rotary_emb.inv_freq"],
        }
    }

    /// The linear maps of the blocks, in order.
    fn maps(&self) -> impl Iterator<Item = &Linear> {
        self.blocks.iter().flat_map(|block| block.attention.linears().into_iter().chain(block.mlp.linears()))
    }

    /// How many numbers embedding, head and linear maps hold; none where they cannot be counted.
    pub(crate) fn weights(&self, sizes: &Sizes) -> Option<usize> {
        let tables = if self.head.tied { 1 } else { 2 };
        let table = sizes.vocab_size.checked_mul(self.embedding.width)?.checked_mul(tables);
        self.maps().try_fold(table?, |sum, map| sum.checked_add(map.outs.checked_mul(map.inputs)?))
    }

    /// The names of the weights whose columns the files hold as rows.
    pub(crate) fn transposed(&self) -> HashSet<String> {
        self.maps().filter(|map| map.transposed).map(|map| format!("{}{}.weight", self.prefixes[0], map.name)).collect()
    }

    /// Biases of the maps to queries, keys and values, of the one behind attention, and of the MLP's.
    pub(crate) fn set_biases(&mut self, qkv: bool, output: bool, mlp: bool) {
        for block in &mut self.blocks {
            match &mut block.attention.projections {
                Projections::Separate { q, k, v } => [q, k, v].into_iter().for_each(|map| map.bias = qkv),
                Projections::Fused { qkv: map, .. } => map.bias = qkv,
            }
            block.attention.output.bias = output;
            match &mut block.mlp {
                Mlp::Gated { gate, up, down, .. } => [gate, up, down].into_iter().for_each(|map| map.bias = mlp),
                Mlp::FusedGated { gate_up: up, down, .. } | Mlp::Plain { up, down, .. } => {
                    [up, down].into_iter().for_each(|map| map.bias = mlp);
                }
                Mlp::Experts { .. } => {}
            }
        }
    }

    /// The activation of every gated MLP.
    pub(crate) fn set_activation(&mut self, to: Activation) {
        for block in &mut self.blocks {
            match &mut block.mlp {
                Mlp::Gated { activation, .. }
                | Mlp::FusedGated { activation, .. }
                | Mlp::Plain { activation, .. }
                | Mlp::Experts { activation, .. } => *activation = to,
            }
        }
    }

    /// Queries of a layer see no more than so many keys, themselves counted.
    pub(crate) fn set_windows(&mut self, window: impl Fn(usize) -> Option<usize>) {
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            block.attention.shape.window = window(layer);
        }
    }

    /// Norms of queries and keys under the names that families use.
    pub(crate) fn set_query_key_norms(&mut self, by_head: bool) {
        for (layer, block) in self.blocks.iter_mut().enumerate() {
            let name = |which: &str| format!("layers.{layer}.self_attn.{which}_norm");
            block.attention.query_key_norms = Some(QueryKeyNorms { q: name("q"), k: name("k"), by_head });
        }
    }
}

impl Attention {
    fn linears(&self) -> Vec<&Linear> {
        let mut maps = match &self.projections {
            Projections::Separate { q, k, v } => vec![q, k, v],
            Projections::Fused { qkv, .. } => vec![qkv],
        };
        maps.push(&self.output);
        maps
    }
}

impl Mlp {
    fn linears(&self) -> Vec<&Linear> {
        match self {
            Self::Gated { gate, up, down, .. } => vec![gate, up, down],
            Self::FusedGated { gate_up: up, down, .. } | Self::Plain { up, down, .. } => vec![up, down],
            Self::Experts { router, experts, .. } => std::iter::once(router).chain(experts.iter().flatten()).collect(),
        }
    }
}

impl Embedding {
    pub(crate) fn new(name: &str, width: usize) -> Self {
        Self { name: name.to_owned(), width, scale: 1.0, projection: None, norm: None, positions: None }
    }
}

impl Head {
    pub(crate) fn new(name: &str, tied: bool) -> Self {
        Self { name: name.to_owned(), tied, projection: None, scale: 1.0, softcap: None }
    }
}

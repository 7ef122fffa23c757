//! The one transformer: pre-norm decoder blocks with rotary positions, grouped-query attention and a gated MLP.
//! Families differ in names and switches only (`arch/`), never in this code.

use luthier_engine::{
    Activation, AttentionShape, Head, Layout, Linear, Norm, Param, ParamId, Params, Recompute, RopeTable, Tape, Tensor,
    Var,
};

use crate::config::Config;
use crate::error::ModelError;

/// Which parameters make the decoder.
#[derive(Clone, Debug)]
pub struct Decoder {
    /// `[V, C]`.
    pub embedding: ParamId,
    /// L blocks.
    pub blocks: Vec<Block>,
    /// `[C]`, before the head.
    pub norm: Norm,
    /// `[V, C]`; the embedding itself when tied.
    pub head: Head,
    attention: AttentionShape,
    frequencies: Vec<f32>,
}

/// One block: attention and MLP, each behind a norm and added to the stream.
#[derive(Clone, Debug)]
pub struct Block {
    input_norm: Norm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    post_attention_norm: Norm,
    gate: Linear,
    up: Linear,
    down: Linear,
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

impl Decoder {
    /// Registers the decoder's parameters, getting the numbers of each from `fill(name, shape)`.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn build(
        config: &Config,
        params: &mut Params,
        mut fill: impl FnMut(&str, &[usize]) -> Result<Tensor, ModelError>,
    ) -> Result<Self, ModelError> {
        let mut add = |name: String, shape: &[usize]| -> Result<ParamId, ModelError> {
            let tensor = fill(&name, shape)?;
            Ok(params.push(Param { name, shape: shape.to_owned(), tensor, trainable: false }))
        };
        let (c, f, v) = (config.hidden_size, config.intermediate_size, config.vocab_size);
        let (query_width, key_width, eps) = (config.query_width(), config.key_width(), config.rms_norm_eps);
        let embedding = add("model.embed_tokens.weight".to_owned(), &[v, c])?;
        let mut blocks = Vec::with_capacity(config.num_hidden_layers);
        for layer in 0..config.num_hidden_layers {
            let mut linear = |path: &str, outs: usize, inputs: usize, bias: bool| -> Result<Linear, ModelError> {
                let path = format!("model.layers.{layer}.{path}");
                let weight = add(format!("{path}.weight"), &[outs, inputs])?;
                let bias = if bias { Some(add(format!("{path}.bias"), &[outs])?) } else { None };
                Ok(Linear { weight, bias, low_rank: None })
            };
            let q = linear("self_attn.q_proj", query_width, c, config.qkv_bias)?;
            let k = linear("self_attn.k_proj", key_width, c, config.qkv_bias)?;
            let v = linear("self_attn.v_proj", key_width, c, config.qkv_bias)?;
            let o = linear("self_attn.o_proj", c, query_width, config.output_bias)?;
            let gate = linear("mlp.gate_proj", f, c, config.mlp_bias)?;
            let up = linear("mlp.up_proj", f, c, config.mlp_bias)?;
            let down = linear("mlp.down_proj", c, f, config.mlp_bias)?;
            let input_norm = add(format!("model.layers.{layer}.input_layernorm.weight"), &[c])?;
            let post_attention_norm = add(format!("model.layers.{layer}.post_attention_layernorm.weight"), &[c])?;
            let [input_norm, post_attention_norm] = [input_norm, post_attention_norm].map(|w| Norm::rms(w, eps));
            blocks.push(Block { input_norm, q, k, v, o, post_attention_norm, gate, up, down });
        }
        let norm = Norm::rms(add("model.norm.weight".to_owned(), &[c])?, eps);
        let head = if config.tie_word_embeddings { embedding } else { add("lm_head.weight".to_owned(), &[v, c])? };
        let attention = AttentionShape::new(config.num_attention_heads, config.num_key_value_heads, config.head_dim);
        let frequencies = config.rope_frequencies();
        Ok(Self { embedding, blocks, norm, head: Head::new(head), attention, frequencies })
    }

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
            rope: RopeTable::new(tape.device(), &layout.positions, &self.frequencies, 1.0),
            layout: layout.clone(),
            attention: self.attention,
        };
        let mut x = tape.embed(tokens, self.embedding);
        let mut delta: Option<Var> = None;
        // Behind the last attention a row is on its own: those that nobody asks for go no further, if they are many.
        let early = wanted.filter(|rows| rows.len() * 16 <= tokens.len() * 15);
        let again = tape.recompute() == Recompute::Block && store.repeats();
        for (layer, block) in self.blocks.iter().enumerate() {
            let last = layer + 1 == self.blocks.len();
            // The last block's backward comes at once: nothing is gained by running it again.
            let (stream, added) = if again && !last {
                block.forward_again(tape, &pass, layer, &x, delta.as_ref())
            } else {
                block.forward(tape, &pass, layer, x, delta, store, early.filter(|_| last))
            };
            (x, delta) = (stream, Some(added));
        }
        if let (Some(rows), None) = (wanted, early) {
            x = tape.gather(&x, rows);
            delta = delta.map(|delta| tape.gather(&delta, rows));
        }
        normed(tape, x, delta, &self.norm).1
    }

    /// Every linear map with the path of its module, such as `model.layers.0.mlp.up_proj`, in order.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = (String, &mut Linear)> {
        self.blocks.iter_mut().enumerate().flat_map(|(layer, block)| {
            [
                ("self_attn.q_proj", &mut block.q),
                ("self_attn.k_proj", &mut block.k),
                ("self_attn.v_proj", &mut block.v),
                ("self_attn.o_proj", &mut block.o),
                ("mlp.gate_proj", &mut block.gate),
                ("mlp.up_proj", &mut block.up),
                ("mlp.down_proj", &mut block.down),
            ]
            .into_iter()
            .map(move |(name, linear)| (format!("model.layers.{layer}.{name}"), linear))
        })
    }
}

/// What is the same for all blocks of a forward.
#[derive(Clone, Debug)]
struct Pass {
    rope: RopeTable,
    layout: Layout,
    attention: AttentionShape,
}

/// Adds what the block before left to the stream, and norms the sum.
fn normed(tape: &mut Tape<'_>, x: Var, delta: Option<Var>, norm: &Norm) -> (Var, Var) {
    match delta {
        Some(delta) => tape.add_norm(&x, &delta, norm),
        None => {
            let h = tape.norm(&x, norm);
            (x, h)
        }
    }
}

impl Block {
    /// x, delta: the stream `[N, C]` and what the block before adds to it -> the same for the block behind; of the
    /// rows that are wanted (all when `None`).
    fn forward(
        &self,
        tape: &mut Tape<'_>,
        pass: &Pass,
        layer: usize,
        x: Var,
        delta: Option<Var>,
        store: &mut dyn KeysAndValues,
        wanted: Option<&[u32]>,
    ) -> (Var, Var) {
        let (mut stream, h) = normed(tape, x, delta, &self.input_norm);
        let mut heads = self.attend(tape, pass, layer, &h, store);
        if let Some(rows) = wanted {
            stream = tape.gather(&stream, rows);
            heads = tape.gather(&heads, rows);
        }
        let attended = tape.linear(&heads, &self.o);
        let (stream, h) = tape.add_norm(&stream, &attended, &self.post_attention_norm);
        (stream, self.mlp(tape, &h))
    }

    /// The same, keeping only `x` and `delta` for the backward.
    fn forward_again(
        &self,
        tape: &mut Tape<'_>,
        pass: &Pass,
        layer: usize,
        x: &Var,
        delta: Option<&Var>,
    ) -> (Var, Var) {
        let (block, pass) = (self.clone(), pass.clone());
        let inputs: Vec<&Var> = std::iter::once(x).chain(delta).collect();
        let outputs = tape.run_again(&inputs, move |tape, inputs| {
            let (x, delta) = (inputs[0].clone(), inputs.get(1).cloned());
            let (x, delta) = block.forward(tape, &pass, layer, x, delta, &mut Packed, None);
            vec![x, delta]
        });
        let [x, delta] = outputs.try_into().expect("a block gives the stream and what is to be added");
        (x, delta)
    }

    /// What the heads of all rows read, `[N, H*D]`.
    fn attend(&self, tape: &mut Tape<'_>, pass: &Pass, layer: usize, h: &Var, store: &mut dyn KeysAndValues) -> Var {
        let q = tape.linear(h, &self.q);
        let k = tape.linear(h, &self.k);
        let v = tape.linear(h, &self.v);
        let q = tape.rope(&q, &pass.rope, pass.attention.heads);
        let k = tape.rope(&k, &pass.rope, pass.attention.kv_heads);
        let (k, v) = store.exchange(layer, k, v);
        tape.attention(&q, &k, &v, &pass.attention, &pass.layout)
    }

    fn mlp(&self, tape: &mut Tape<'_>, h: &Var) -> Var {
        let gate = tape.linear(h, &self.gate);
        let up = tape.linear(h, &self.up);
        let gated = tape.gated(&gate, &up, Activation::Silu);
        tape.last_linear(&gated, &self.down)
    }
}

//! Which tensor of a file is which parameter of Hugging Face's model.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{Config, Metadata};
use super::{Architecture, Architecture as A, Conversion};
use crate::error::GgufError;
use crate::gguf::Gguf;

/// What a tensor is called in llama.cpp and what in Hugging Face, without `.weight` or `.bias` and with `{}` for the block and
/// `{e}` for the expert; and what happens to its numbers.
type Name = (&'static str, &'static str, Change);

/// A [`Conversion`], before it is known how many heads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    PermuteQuery,
    PermuteKey,
    MinusOne,
    Transpose,
    Qkv,
}

use Change as C;

/// What names tensors on both sides.
#[derive(Clone, Debug)]
pub struct Mapping {
    architecture: Architecture,
    names: Vec<Name>,
    blocks: usize,
    heads: usize,
    kv_heads: usize,
    experts: usize,
    tied: bool,
}

/// Where a parameter's numbers stand in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The tensor.
    pub tensor: String,
    /// Which part of it along the first dimension, if it holds all experts.
    pub expert: Option<usize>,
    /// What makes the parameter of it.
    pub conversion: Conversion,
}

/// What becomes of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The tensor.
    pub tensor: String,
    /// The parameters that it holds: one, those of all experts in order, or none for tensors whose numbers stand in
    /// `config.json`.
    pub parameters: Vec<String>,
    /// Whether it holds them one behind the other, along a first dimension of its own: experts.
    pub stacked: bool,
    /// What makes each parameter of it.
    pub conversion: Conversion,
}

/// Tensors whose numbers stand in `config.json`, or follow from it.
const ROPE: [&str; 3] = ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/// Buffers that older checkpoints hold beside the parameters: masks, and frequencies that follow from `config.json`.
const BUFFERS: [&str; 5] =
    [".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"];

impl Mapping {
    /// For the model of a file.
    ///
    /// # Errors
    /// When its architecture is not known, or its metadata does not say how many blocks and heads there are.
    pub fn of_gguf(file: &Gguf) -> Result<Self, GgufError> {
        let architecture = Architecture::of_gguf(file)?;
        let metadata = Metadata { file, name: architecture.gguf_name() };
        let heads = metadata.size("attention.head_count")?;
        Ok(Self {
            architecture,
            blocks: metadata.size("block_count")?,
            heads,
            kv_heads: metadata.optional_size("attention.head_count_kv")?.unwrap_or(heads),
            experts: experts(metadata)?,
            tied: is_tied(file),
            names: names(architecture),
        })
    }

    /// For the model of a `config.json`.
    ///
    /// # Errors
    /// When its family is not known, or it does not say how many blocks and heads there are.
    pub fn of_config(config: &Map<String, Value>) -> Result<Self, GgufError> {
        let architecture = Architecture::of_config(config)?;
        let config = Config(config);
        let size = |names: &[&str]| config.size(names).map(|size| size as usize);
        let heads = size(&["num_attention_heads", "n_head"])?;
        let kv_heads = config.optional_size(&["num_key_value_heads"])?;
        let experts = config.optional_size(&["num_local_experts", "num_experts"])?.unwrap_or(0) as usize;
        if experts > MOST_EXPERTS {
            return Err(GgufError::Config(format!("{experts} experts are more than the {MOST_EXPERTS} of llama.cpp")));
        }
        let ties = !matches!(
            architecture,
            Architecture::Llama
                | Architecture::Qwen2
                | Architecture::Qwen3
                | Architecture::Qwen3Moe
                | Architecture::Phi3
                | Architecture::GptNeox
                | Architecture::Olmo2
                | Architecture::Granite
        );
        Ok(Self {
            architecture,
            blocks: size(&["num_hidden_layers", "n_layer"])?,
            heads,
            kv_heads: kv_heads.map_or(heads, |heads| heads as usize),
            experts,
            tied: config.flag_or("tie_word_embeddings", ties)?,
            names: names(architecture),
        })
    }

    /// The architecture.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Whether the output head is the embedding.
    pub fn is_tied(&self) -> bool {
        self.tied
    }

    /// Where a parameter of Hugging Face's stands; `None` if the model has none of that name.
    pub fn source(&self, parameter: &str) -> Option<Source> {
        // Checkpoints from before the class with a head (`gpt2`, `bigscience/bloom`) leave the first name out.
        self.exact_source(parameter).or_else(|| self.exact_source(&format!("transformer.{parameter}")))
    }

    fn exact_source(&self, parameter: &str) -> Option<Source> {
        let (stem, kind) = parameter.rsplit_once('.').filter(|(_, kind)| is_kind(kind))?;
        self.names.iter().find_map(|&(tensor, pattern, change)| {
            let place = self.fit(pattern, stem)?;
            let tensor = if self.tied && tensor == "output" { "token_embd" } else { tensor };
            let tensor = format!("{}.{kind}", fill(tensor, place));
            Some(Source { tensor, expert: place.expert, conversion: self.conversion(change, kind) })
        })
    }

    /// What becomes of a tensor of a file; `None` if the model has none of that name.
    pub fn target(&self, tensor: &str) -> Option<Target> {
        let target =
            |parameters, stacked, conversion| Target { tensor: tensor.to_owned(), parameters, stacked, conversion };
        let (stem, kind) = tensor.rsplit_once('.').filter(|(_, kind)| is_kind(kind))?;
        if ROPE.contains(&tensor) || fit("blk.{}.attn_rot_embd", stem).is_some() {
            return Some(target(Vec::new(), false, Conversion::None));
        }
        self.names.iter().find_map(|&(pattern, parameter, change)| {
            let place = self.fit(pattern, stem)?;
            let of = |expert| format!("{}.{kind}", fill(parameter, Place { expert, ..place }));
            let stacked = parameter.contains("{e}");
            let parameters =
                if stacked { (0..self.experts).map(|expert| of(Some(expert))).collect() } else { vec![of(None)] };
            Some(target(parameters, stacked, self.conversion(change, kind)))
        })
    }

    /// The tensors that a file of these parameters holds, in llama.cpp's order: outside the blocks first, then block by
    /// block. Buffers are left out, and so is the head of a tied model.
    ///
    /// # Errors
    /// When a parameter is not one of the model's, or of several experts one is missing.
    pub fn targets<'n>(&self, parameters: impl IntoIterator<Item = &'n str>) -> Result<Vec<Target>, GgufError> {
        let mut found = BTreeMap::<_, Vec<(Option<usize>, &str)>>::new();
        let mut conversions = BTreeMap::new();
        for parameter in parameters {
            if BUFFERS.iter().any(|end| parameter.ends_with(end)) {
                continue;
            }
            let Some(source) = self.source(parameter) else {
                let name = self.architecture.gguf_name();
                return Err(GgufError::unwritable(parameter, format!("models of \"{name}\" have no such tensor")));
            };
            if self.tied && source.tensor == "token_embd.weight" && self.is_head(parameter) {
                continue;
            }
            let place = self.place_in_file(&source.tensor);
            conversions.insert(place.clone(), source.conversion);
            found.entry(place).or_default().push((source.expert, parameter));
        }
        found.into_iter().map(|(place, parts)| self.target_of(&place.2, parts, conversions[&place])).collect()
    }

    fn target_of(
        &self,
        tensor: &str,
        mut parts: Vec<(Option<usize>, &str)>,
        conversion: Conversion,
    ) -> Result<Target, GgufError> {
        parts.sort_unstable();
        let stacked = parts[0].0.is_some();
        let due = if stacked { self.experts } else { 1 };
        let in_order = parts.iter().enumerate().all(|(index, (expert, _))| expert.is_none_or(|expert| expert == index));
        if parts.len() != due || !in_order {
            let why = format!("{} parameters are there for it, and {due} are needed: {:?}", parts.len(), parts[0].1);
            return Err(GgufError::unwritable(tensor, why));
        }
        let parameters = parts.iter().map(|(_, parameter)| (*parameter).to_owned()).collect();
        Ok(Target { tensor: tensor.to_owned(), parameters, stacked, conversion })
    }

    fn is_head(&self, parameter: &str) -> bool {
        self.names
            .iter()
            .any(|(tensor, name, _)| *tensor == "output" && parameter.strip_suffix(".weight") == Some(*name))
    }

    /// Block from 1 on, place among the names, and the name: what tensors are sorted by.
    fn place_in_file(&self, tensor: &str) -> (usize, usize, String) {
        let stem = tensor.rsplit_once('.').map_or(tensor, |(stem, _)| stem);
        let found = self.names.iter().enumerate().find_map(|(index, (pattern, ..))| Some((index, fit(pattern, stem)?)));
        let (index, place) = found.expect("the tensor comes from these names");
        (place.block.map_or(0, |block| block + 1), index, tensor.to_owned())
    }

    /// The numbers in a name, if they are within the model.
    fn fit(&self, pattern: &str, stem: &str) -> Option<Place> {
        let within = |number: Option<usize>, count| number.is_none_or(|number| number < count);
        fit(pattern, stem).filter(|place| within(place.block, self.blocks) && within(place.expert, self.experts))
    }

    fn conversion(&self, change: Change, kind: &str) -> Conversion {
        match change {
            C::PermuteQuery => Conversion::PermuteHeads { heads: self.heads },
            C::PermuteKey => Conversion::PermuteHeads { heads: self.kv_heads },
            C::Qkv => Conversion::InterleaveQkv { heads: self.heads },
            C::MinusOne if kind == "weight" => Conversion::MinusOne,
            C::Transpose if kind == "weight" => Conversion::Transpose,
            C::None | C::MinusOne | C::Transpose => Conversion::None,
        }
    }
}

/// More experts than any model has (`LLAMA_MAX_EXPERTS`): a bound on lists of their names.
const MOST_EXPERTS: usize = 512;

pub(super) fn experts(metadata: Metadata<'_>) -> Result<usize, GgufError> {
    let value = metadata.get("expert_count");
    // Models without experts say 0, or nothing.
    let count = value.as_ref().map_or(Some(0), |value| value.as_u64().and_then(|count| usize::try_from(count).ok()));
    count.filter(|&count| count <= MOST_EXPERTS).ok_or_else(|| {
        metadata.wrong("expert_count", format!("must be a whole number up to {MOST_EXPERTS}, it is {value:?}"))
    })
}

/// Whether a file has no head of its own, or one that is the embedding over again, byte by byte: GPT-2's.
pub(super) fn is_tied(file: &Gguf) -> bool {
    match (file.tensor("output.weight"), file.tensor("token_embd.weight")) {
        (Some(head), Some(embedding)) => {
            head.kind() == embedding.kind()
                && head.shape() == embedding.shape()
                && file.data(head).as_slice() == file.data(embedding).as_slice()
        }
        (head, _) => head.is_none(),
    }
}

/// The numbers that stand in a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    block: Option<usize>,
    expert: Option<usize>,
}

fn is_kind(kind: &str) -> bool {
    kind == "weight" || kind == "bias"
}

/// The numbers that stand in a name where the pattern has `{}` and `{e}`; `None` if it is not of that pattern.
fn fit(mut pattern: &str, mut name: &str) -> Option<Place> {
    let mut place = Place::default();
    while let Some((before, after)) = pattern.split_once('{') {
        name = name.strip_prefix(before)?;
        let digits = name.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(name.len());
        let (number, rest) = name.split_at(digits);
        // One name for each number.
        let number = Some(number.parse().ok().filter(|_| number == "0" || !number.starts_with('0'))?);
        (pattern, name) = match after.strip_prefix("e}") {
            Some(after) => {
                place.expert = number;
                (after, rest)
            }
            None => {
                place.block = number;
                (after.strip_prefix('}')?, rest)
            }
        };
    }
    (pattern == name).then_some(place)
}

fn fill(pattern: &str, place: Place) -> String {
    let number = |number: Option<usize>| number.map_or_else(String::new, |number| number.to_string());
    pattern.replace("{}", &number(place.block)).replace("{e}", &number(place.expert))
}

/// Embedding, last norm and head of most.
const fn outside(norm: Change) -> [Name; 3] {
    [("token_embd", "model.embed_tokens", C::None), ("output_norm", "model.norm", norm), ("output", "lm_head", C::None)]
}

const fn attention(query: Change, key: Change) -> [Name; 4] {
    [
        ("blk.{}.attn_q", "model.layers.{}.self_attn.q_proj", query),
        ("blk.{}.attn_k", "model.layers.{}.self_attn.k_proj", key),
        ("blk.{}.attn_v", "model.layers.{}.self_attn.v_proj", C::None),
        ("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj", C::None),
    ]
}

/// Norms of queries and keys.
const fn head_norms(norm: Change) -> [Name; 2] {
    [
        ("blk.{}.attn_q_norm", "model.layers.{}.self_attn.q_norm", norm),
        ("blk.{}.attn_k_norm", "model.layers.{}.self_attn.k_norm", norm),
    ]
}

/// Norms before attention and before the MLP.
const fn norms_before(norm: Change) -> [Name; 2] {
    [
        ("blk.{}.attn_norm", "model.layers.{}.input_layernorm", norm),
        ("blk.{}.ffn_norm", "model.layers.{}.post_attention_layernorm", norm),
    ]
}

/// Norms behind attention and behind the MLP.
const fn norms_behind(norm: Change) -> [Name; 2] {
    [
        ("blk.{}.post_attention_norm", "model.layers.{}.post_attention_layernorm", norm),
        ("blk.{}.post_ffw_norm", "model.layers.{}.post_feedforward_layernorm", norm),
    ]
}

/// Norms on both sides of both.
const fn four_norms(norm: Change) -> [Name; 4] {
    let [attention, feed_forward] = norms_behind(norm);
    [
        ("blk.{}.attn_norm", "model.layers.{}.input_layernorm", norm),
        attention,
        ("blk.{}.ffn_norm", "model.layers.{}.pre_feedforward_layernorm", norm),
        feed_forward,
    ]
}

const MLP: [Name; 3] = [
    ("blk.{}.ffn_gate", "model.layers.{}.mlp.gate_proj", C::None),
    ("blk.{}.ffn_up", "model.layers.{}.mlp.up_proj", C::None),
    ("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj", C::None),
];

const MIXTRAL_EXPERTS: [Name; 4] = [
    ("blk.{}.ffn_gate_inp", "model.layers.{}.block_sparse_moe.gate", C::None),
    ("blk.{}.ffn_gate_exps", "model.layers.{}.block_sparse_moe.experts.{e}.w1", C::None),
    ("blk.{}.ffn_up_exps", "model.layers.{}.block_sparse_moe.experts.{e}.w3", C::None),
    ("blk.{}.ffn_down_exps", "model.layers.{}.block_sparse_moe.experts.{e}.w2", C::None),
];

const QWEN_EXPERTS: [Name; 4] = [
    ("blk.{}.ffn_gate_inp", "model.layers.{}.mlp.gate", C::None),
    ("blk.{}.ffn_gate_exps", "model.layers.{}.mlp.experts.{e}.gate_proj", C::None),
    ("blk.{}.ffn_up_exps", "model.layers.{}.mlp.experts.{e}.up_proj", C::None),
    ("blk.{}.ffn_down_exps", "model.layers.{}.mlp.experts.{e}.down_proj", C::None),
];

/// Queries, keys and values, and gate and up, are one map each, on both sides.
const PHI3: [Name; 4] = [
    ("blk.{}.attn_qkv", "model.layers.{}.self_attn.qkv_proj", C::None),
    ("blk.{}.attn_output", "model.layers.{}.self_attn.o_proj", C::None),
    ("blk.{}.ffn_up", "model.layers.{}.mlp.gate_up_proj", C::None),
    ("blk.{}.ffn_down", "model.layers.{}.mlp.down_proj", C::None),
];

const GPT2: [Name; 10] = [
    ("token_embd", "transformer.wte", C::None),
    ("position_embd", "transformer.wpe", C::None),
    ("output_norm", "transformer.ln_f", C::None),
    ("output", "lm_head", C::None),
    ("blk.{}.attn_norm", "transformer.h.{}.ln_1", C::None),
    ("blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn", C::Transpose),
    ("blk.{}.attn_output", "transformer.h.{}.attn.c_proj", C::Transpose),
    ("blk.{}.ffn_norm", "transformer.h.{}.ln_2", C::None),
    ("blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc", C::Transpose),
    ("blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj", C::Transpose),
];

const GPT_NEOX: [Name; 9] = [
    ("token_embd", "gpt_neox.embed_in", C::None),
    ("output_norm", "gpt_neox.final_layer_norm", C::None),
    ("output", "embed_out", C::None),
    ("blk.{}.attn_norm", "gpt_neox.layers.{}.input_layernorm", C::None),
    ("blk.{}.attn_qkv", "gpt_neox.layers.{}.attention.query_key_value", C::Qkv),
    ("blk.{}.attn_output", "gpt_neox.layers.{}.attention.dense", C::None),
    ("blk.{}.ffn_norm", "gpt_neox.layers.{}.post_attention_layernorm", C::None),
    ("blk.{}.ffn_up", "gpt_neox.layers.{}.mlp.dense_h_to_4h", C::None),
    ("blk.{}.ffn_down", "gpt_neox.layers.{}.mlp.dense_4h_to_h", C::None),
];

const BLOOM: [Name; 10] = [
    ("token_embd", "transformer.word_embeddings", C::None),
    ("token_embd_norm", "transformer.word_embeddings_layernorm", C::None),
    ("output_norm", "transformer.ln_f", C::None),
    ("output", "lm_head", C::None),
    ("blk.{}.attn_norm", "transformer.h.{}.input_layernorm", C::None),
    ("blk.{}.attn_qkv", "transformer.h.{}.self_attention.query_key_value", C::Qkv),
    ("blk.{}.attn_output", "transformer.h.{}.self_attention.dense", C::None),
    ("blk.{}.ffn_norm", "transformer.h.{}.post_attention_layernorm", C::None),
    ("blk.{}.ffn_up", "transformer.h.{}.mlp.dense_h_to_4h", C::None),
    ("blk.{}.ffn_down", "transformer.h.{}.mlp.dense_4h_to_h", C::None),
];

fn names(architecture: Architecture) -> Vec<Name> {
    let (same, permuted) = (attention(C::None, C::None), attention(C::PermuteQuery, C::PermuteKey));
    match architecture {
        A::Llama => [&outside(C::None)[..], &norms_before(C::None), &permuted, &MLP, &MIXTRAL_EXPERTS].concat(),
        A::Granite => [&outside(C::None)[..], &norms_before(C::None), &permuted, &MLP].concat(),
        A::Qwen2 => [&outside(C::None)[..], &norms_before(C::None), &same, &MLP].concat(),
        A::Qwen3 => [&outside(C::None)[..], &norms_before(C::None), &same, &head_norms(C::None), &MLP].concat(),
        A::Qwen3Moe => {
            [&outside(C::None)[..], &norms_before(C::None), &same, &head_norms(C::None), &QWEN_EXPERTS].concat()
        }
        A::Gemma => [&outside(C::MinusOne)[..], &norms_before(C::MinusOne), &same, &MLP].concat(),
        A::Gemma2 => [&outside(C::MinusOne)[..], &four_norms(C::MinusOne), &same, &MLP].concat(),
        A::Gemma3 => {
            [&outside(C::MinusOne)[..], &four_norms(C::MinusOne), &same, &head_norms(C::MinusOne), &MLP].concat()
        }
        A::Olmo2 => [&outside(C::None)[..], &same, &head_norms(C::None), &norms_behind(C::None), &MLP].concat(),
        A::Phi3 => [&outside(C::None)[..], &norms_before(C::None), &PHI3].concat(),
        A::Gpt2 => GPT2.to_vec(),
        A::GptNeox => GPT_NEOX.to_vec(),
        A::Bloom => BLOOM.to_vec(),
    }
}

//! A `config.json` as metadata, and the tensors that say what llama.cpp keeps out of it.

use serde_json::{Map, Value as Json, json};

use super::Architecture;
use super::fields::Config;
use super::reading::{LARGE_GEMMA2, LARGE_GEMMA3, query_scalar};
use super::rope::{Rope, Scaling};
use crate::error::GgufError;
use crate::tensor_type::TensorType;
use crate::value::Value;

/// Version of ggml's quantisation (`GGML_QNT_VERSION`).
const QUANTISATION_VERSION: u32 = 2;

/// The metadata of a model: all that a file needs beside the vocabulary ([`crate::Vocabulary::metadata`]). Most tensors are
/// of type `stored`.
///
/// # Errors
/// When the family is not known, a field is missing or of the wrong type, or says what llama.cpp would not heed.
pub fn metadata(config: &Map<String, Json>, stored: TensorType) -> Result<Vec<(String, Value)>, GgufError> {
    let architecture = Architecture::of_config(config)?;
    let config = Config(config);
    refuse_what_is_not_heeded(architecture, config)?;
    let shape = Shape::of(architecture, config)?;
    let mut entries = Entries { architecture, all: Vec::new() };
    entries.all.push(("general.architecture".to_owned(), architecture.gguf_name().into()));
    entries.all.push(("general.type".to_owned(), "model".into()));
    if let Some(file_type) = stored.file_type() {
        entries.all.push(("general.file_type".to_owned(), file_type.into()));
    }
    entries.all.push(("general.quantization_version".to_owned(), QUANTISATION_VERSION.into()));
    entries.put("vocab_size", config.size(&["vocab_size"])?);
    entries.put("block_count", shape.blocks);
    entries.put("context_length", shape.context);
    entries.put("embedding_length", shape.width);
    entries.put("feed_forward_length", shape.inner);
    entries.put("attention.head_count", shape.heads);
    match architecture {
        Architecture::Gpt2 | Architecture::GptNeox | Architecture::Bloom => {
            let eps = config.number(&["layer_norm_epsilon", "layer_norm_eps"])?;
            entries.put("attention.layer_norm_epsilon", eps as f32);
        }
        _ => {
            entries.put("attention.head_count_kv", shape.kv_heads);
            entries.put("attention.key_length", shape.head_dim);
            entries.put("attention.value_length", shape.head_dim);
            entries.put("attention.layer_norm_rms_epsilon", config.number(&["rms_norm_eps"])? as f32);
        }
    }
    if !matches!(architecture, Architecture::Gpt2 | Architecture::Bloom) {
        put_rope(&mut entries, &Rope::of_config(config)?, &shape);
    }
    put_particulars(&mut entries, config, &shape)?;
    Ok(entries.all)
}

/// The tensors, all of F32, whose numbers stand in `config.json`: how llama 3 and Phi stretch their positions.
///
/// # Errors
/// As [`metadata`].
pub fn rope_tensors(config: &Map<String, Json>) -> Result<Vec<(String, Vec<f32>)>, GgufError> {
    let architecture = Architecture::of_config(config)?;
    let config = Config(config);
    if matches!(architecture, Architecture::Gpt2 | Architecture::Bloom) {
        return Ok(Vec::new());
    }
    let (rope, shape) = (Rope::of_config(config)?, Shape::of(architecture, config)?);
    let rotated = rotated(&rope, &shape);
    let tensors = rope.scaling.tensors(rotated as usize, rope.theta.unwrap_or(10_000.0));
    match tensors.iter().find(|(_, factors)| factors.len() != rotated as usize / 2) {
        Some((name, factors)) => {
            let (found, due) = (factors.len(), rotated / 2);
            let why = format!("field \"rope_scaling\" has {found} factors for {name}, and {due} frequencies need one");
            Err(GgufError::Config(why))
        }
        None => Ok(tensors),
    }
}

/// Entries whose keys begin with the architecture's name.
#[derive(Debug)]
struct Entries {
    architecture: Architecture,
    all: Vec<(String, Value)>,
}

impl Entries {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.all.push((format!("{}.{key}", self.architecture.gguf_name()), value.into()));
    }
}

/// The sizes that all architectures have.
#[derive(Debug)]
struct Shape {
    width: u32,
    inner: u32,
    blocks: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    context: u32,
}

impl Shape {
    fn of(architecture: Architecture, config: Config<'_>) -> Result<Self, GgufError> {
        let width = config.size(&["hidden_size", "n_embd", "n_embed"])?;
        let heads = config.size(&["num_attention_heads", "n_head"])?;
        let head_dim = match config.optional_size(&["head_dim"])? {
            Some(size) => size,
            None if width.is_multiple_of(heads) => width / heads,
            None => return Err(GgufError::Config(format!("{heads} heads do not divide the width {width}"))),
        };
        let inner = match architecture {
            Architecture::Gpt2 => config.optional_size(&["n_inner"])?.unwrap_or(4 * width),
            Architecture::Bloom => 4 * width,
            _ => config.size(&["intermediate_size"])?,
        };
        Ok(Self {
            width,
            inner,
            blocks: config.size(&["num_hidden_layers", "n_layer"])?,
            heads,
            kv_heads: config.optional_size(&["num_key_value_heads"])?.unwrap_or(heads),
            head_dim,
            // Bloom has no longest text; 2048 is what it was trained on.
            context: match config.optional_size(&["max_position_embeddings", "n_positions", "seq_length", "n_ctx"])? {
                Some(context) => context,
                None if architecture == Architecture::Bloom => 2048,
                None => return Err(GgufError::Config("field \"max_position_embeddings\" is missing".to_owned())),
            },
        })
    }
}

/// Numbers of a head that are rotated.
fn rotated(rope: &Rope, shape: &Shape) -> u32 {
    (f64::from(shape.head_dim) * rope.partial.unwrap_or(1.0)) as u32
}

fn put_rope(entries: &mut Entries, rope: &Rope, shape: &Shape) {
    let gemma3 = entries.architecture == Architecture::Gemma3;
    entries.put("rope.dimension_count", rotated(rope, shape));
    entries.put("rope.freq_base", rope.theta.unwrap_or(if gemma3 { 1e6 } else { 1e4 }) as f32);
    if gemma3 {
        entries.put("rope.freq_base_swa", rope.local_theta.unwrap_or(1e4) as f32);
    }
    for (key, value) in rope.scaling.entries(shape.context) {
        entries.put(key, value);
    }
}

/// What only one architecture has.
fn put_particulars(entries: &mut Entries, config: Config<'_>, shape: &Shape) -> Result<(), GgufError> {
    let number =
        |name: &str, default: f64| config.optional_number(&[name]).map(|found| found.unwrap_or(default) as f32);
    match entries.architecture {
        Architecture::Llama => {
            if let Some(experts) = config.optional_size(&["num_local_experts"])? {
                entries.put("expert_count", experts);
                entries.put("expert_used_count", config.size(&["num_experts_per_tok"])?);
            }
        }
        Architecture::Qwen3Moe => {
            entries.put("expert_count", config.size(&["num_experts", "num_local_experts"])?);
            entries.put("expert_used_count", config.size(&["num_experts_per_tok"])?);
            entries.put("expert_feed_forward_length", config.size(&["moe_intermediate_size"])?);
        }
        Architecture::Granite => {
            entries.put("attention.scale", number("attention_multiplier", 1.0)?);
            entries.put("embedding_scale", number("embedding_multiplier", 1.0)?);
            entries.put("residual_scale", number("residual_multiplier", 1.0)?);
            entries.put("logit_scale", number("logits_scaling", 1.0)?);
        }
        Architecture::Gemma2 => {
            entries.put("attention.sliding_window", config.optional_size(&["sliding_window"])?.unwrap_or(4096));
            entries.put("attn_logit_softcapping", number("attn_logit_softcapping", 50.0)?);
            entries.put("final_logit_softcapping", number("final_logit_softcapping", 30.0)?);
        }
        Architecture::Gemma3 => entries.put("attention.sliding_window", config.size(&["sliding_window"])?),
        Architecture::Phi3 => put_phi3(entries, config, shape)?,
        Architecture::GptNeox => {
            entries.put("use_parallel_residual", config.flag_or("use_parallel_residual", true)?);
        }
        _ => {}
    }
    Ok(())
}

fn put_phi3(entries: &mut Entries, config: Config<'_>, shape: &Shape) -> Result<(), GgufError> {
    let nested = config.object(&["rope_parameters", "rope_scaling"])?;
    let nested = nested.map_or(Ok(None), |rope| rope.optional_size(&["original_max_position_embeddings"]))?;
    let outer = config.optional_size(&["original_max_position_embeddings"])?;
    let original = outer.or(nested).unwrap_or(shape.context);
    entries.put("rope.scaling.original_context_length", original);
    // 0 tells llama.cpp that there is no window.
    entries.put("attention.sliding_window", config.optional_size(&["sliding_window"])?.unwrap_or(0));
    if let Scaling::LongRope { .. } = Rope::of_config(config)?.scaling {
        // What transformers multiplies queries and keys by (`_compute_longrope_parameters`).
        let stretched = f64::from(shape.context) / f64::from(original);
        let factor = if stretched > 1.0 { (1.0 + stretched.ln() / f64::from(original).ln()).sqrt() } else { 1.0 };
        entries.put("rope.scaling.attn_factor", factor as f32);
    }
    Ok(())
}

const NO_BIASES: &str = "llama.cpp has no biases of attention in this family";

/// Refuses settings that llama.cpp would pass over in silence, so that its model would be another.
fn refuse_what_is_not_heeded(architecture: Architecture, config: Config<'_>) -> Result<(), GgufError> {
    let tanh = [json!("gelu_pytorch_tanh"), json!("gelu_new"), json!("gelu_fast")];
    let one_activation = "llama.cpp computes models of this family with another activation";
    match architecture {
        Architecture::Gpt2 => {
            config.only("activation_function", &tanh, one_activation)?;
            config.only("scale_attn_weights", &[json!(true)], "llama.cpp always scales")?;
            config.only("scale_attn_by_inverse_layer_idx", &[json!(false)], "llama.cpp scales all blocks alike")?;
        }
        Architecture::GptNeox => {
            config.only("hidden_act", &[json!("gelu")], one_activation)?;
            config.only("attention_bias", &[json!(true)], "llama.cpp asks for biases in this family")?;
        }
        Architecture::Gemma | Architecture::Gemma2 | Architecture::Gemma3 => {
            config.only("hidden_activation", &tanh, one_activation)?;
            if config.get(&["hidden_activation"]).is_none() {
                config.only("hidden_act", &tanh, one_activation)?;
            }
            config.only("attention_bias", &[json!(false)], NO_BIASES)?;
            config.only(
                "tie_word_embeddings",
                &[json!(true)],
                "llama.cpp takes the embedding for the head in this family",
            )?;
        }
        Architecture::Bloom => {
            let why = "llama.cpp adds what comes before the norm";
            config.only("apply_residual_connection_post_layernorm", &[json!(false)], why)?;
        }
        _ => config.only("hidden_act", &[json!("silu"), json!("swish")], one_activation)?,
    }
    let no_window = "llama.cpp has no sliding window for this family; take it out if your texts are shorter";
    match architecture {
        Architecture::Llama => config.only("sliding_window", &[], no_window)?,
        Architecture::Qwen2 | Architecture::Qwen3 | Architecture::Qwen3Moe => {
            config.only("use_sliding_window", &[json!(false)], no_window)?;
        }
        _ => {}
    }
    match architecture {
        Architecture::Qwen3Moe => {
            if !config.flag_or("norm_topk_prob", false)? {
                let why = "llama.cpp makes the weights of the chosen experts add up to 1";
                return Err(GgufError::Config(format!("field \"norm_topk_prob\" is not true: {why}")));
            }
            config.only("decoder_sparse_step", &[json!(1)], "llama.cpp has experts in every block")?;
            config.only("mlp_only_layers", &[json!([])], "llama.cpp has experts in every block")?;
        }
        Architecture::Gemma2 => check_query_scalar(config, LARGE_GEMMA2)?,
        Architecture::Gemma3 => {
            check_query_scalar(config, LARGE_GEMMA3)?;
            let why = "llama.cpp has windows in five of six blocks";
            config.only("sliding_window_pattern", &[json!(6)], why)?;
            check_layer_types(config, 6, why)?;
            config.only("final_logit_softcapping", &[], "llama.cpp passes over it in this family")?;
        }
        Architecture::Granite => {
            let derived = config.size(&["hidden_size"])? / config.size(&["num_attention_heads"])?;
            config.only("head_dim", &[json!(derived)], "llama.cpp derives it from hidden_size in this family")?;
        }
        Architecture::Olmo2 => config.only("attention_bias", &[json!(false)], NO_BIASES)?,
        _ => {}
    }
    Ok(())
}

fn check_query_scalar(config: Config<'_>, large: usize) -> Result<(), GgufError> {
    let (width, heads) = (config.size(&["hidden_size"])? as usize, config.size(&["num_attention_heads"])? as usize);
    let head_dim = config.size(&["head_dim"])? as usize;
    let large = config.size(&["num_hidden_layers"])? as usize == large;
    let due = query_scalar(large, width, heads, head_dim);
    // What transformers takes if there is none.
    let scalar = config.optional_number(&["query_pre_attn_scalar"])?.unwrap_or(256.0);
    if scalar == due as f64 {
        return Ok(());
    }
    let why =
        format!("field \"query_pre_attn_scalar\" is {scalar}: files of llama.cpp do not hold it, and it takes {due}");
    Err(GgufError::Config(why))
}

/// That a block has no window just where its number is divisible by `period`.
fn check_layer_types(config: Config<'_>, period: usize, why: &str) -> Result<(), GgufError> {
    let Some((_, Json::Array(types))) = config.get(&["layer_types"]) else { return Ok(()) };
    let due = |index: usize| if (index + 1).is_multiple_of(period) { "full_attention" } else { "sliding_attention" };
    match types.iter().enumerate().find(|(index, kind)| kind.as_str() != Some(due(*index))) {
        Some((index, kind)) => Err(GgufError::Config(format!("field \"layer_types\" has {kind} at {index}: {why}"))),
        None => Ok(()),
    }
}

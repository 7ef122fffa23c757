//! Metadata of a file as a `config.json`.

use serde_json::{Map, Value as Json, json};

use super::fields::Metadata;
use super::mapping::{experts, is_tied};
use super::rope::Scaling;
use super::{ARCHITECTURES, Architecture};
use crate::error::GgufError;
use crate::gguf::Gguf;
use crate::vocabulary::Defaults;

/// The `config.json` of a file's model, as transformers reads it.
///
/// Numbers stored as f32 come out as the shortest decimals that mean them. The file does not tell the type that the model
/// was trained in, so there is no `torch_dtype`.
///
/// # Errors
/// When the architecture is not known, metadata is missing or of the wrong type, or says what `config.json` has no words for.
pub fn config(file: &Gguf) -> Result<Map<String, Json>, GgufError> {
    let architecture = Architecture::of_gguf(file)?;
    let metadata = Metadata { file, name: architecture.gguf_name() };
    refuse_parts(file)?;
    let shape = Shape::of(metadata)?;
    let mut json = Map::new();
    let mixtral = architecture == Architecture::Llama && shape.experts > 0;
    let (model_type, class) = if mixtral {
        ("mixtral", "MixtralForCausalLM")
    } else {
        let entry = ARCHITECTURES.iter().find(|entry| entry.0 == architecture).expect("it is in the table");
        (entry.2, entry.3)
    };
    put(&mut json, json!({"architectures": [class], "model_type": model_type, "vocab_size": shape.vocabulary}));
    match architecture {
        Architecture::Gpt2 => gpt2(&mut json, metadata, &shape)?,
        Architecture::Bloom => bloom(&mut json, metadata, &shape)?,
        Architecture::GptNeox => gpt_neox(&mut json, metadata, &shape)?,
        _ => common(&mut json, metadata, &shape)?,
    }
    let has = |tensor: &str| file.tensor(tensor).is_some();
    match architecture {
        Architecture::Llama if mixtral => put(
            &mut json,
            json!({
                "num_local_experts": shape.experts,
                "num_experts_per_tok": metadata.size("expert_used_count")?,
                "sliding_window": null,
            }),
        ),
        Architecture::Llama => {
            let (attention, mlp) = (has("blk.0.attn_q.bias"), has("blk.0.ffn_gate.bias"));
            put(&mut json, json!({"attention_bias": attention, "mlp_bias": mlp}));
        }
        Architecture::Granite => granite(&mut json, metadata)?,
        Architecture::Qwen2 => put(&mut json, json!({"use_sliding_window": false})),
        Architecture::Qwen3 => {
            let bias = has("blk.0.attn_q.bias");
            put(&mut json, json!({"attention_bias": bias, "use_sliding_window": false}));
        }
        Architecture::Qwen3Moe => qwen3_moe(&mut json, metadata, &shape)?,
        Architecture::Gemma2 => gemma2(&mut json, metadata, &shape)?,
        Architecture::Gemma3 => gemma3(&mut json, metadata, &shape)?,
        Architecture::Phi3 => phi3(&mut json, metadata, &shape)?,
        Architecture::Olmo2 => {
            if metadata.get("attention.sliding_window").is_some() {
                return Err(
                    metadata.wrong("attention.sliding_window", "is there, so that this is Olmo 3 and not Olmo 2")
                );
            }
            put(&mut json, json!({"attention_bias": false}));
        }
        Architecture::Gemma | Architecture::Gpt2 | Architecture::GptNeox | Architecture::Bloom => {}
    }
    let gemma = matches!(architecture, Architecture::Gemma | Architecture::Gemma2 | Architecture::Gemma3);
    put(&mut json, json!({"tie_word_embeddings": gemma || is_tied(file)}));
    put(&mut json, special_tokens(file));
    Ok(json)
}

/// The sizes that all architectures have.
#[derive(Debug)]
struct Shape {
    width: usize,
    blocks: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    context: usize,
    vocabulary: usize,
    experts: usize,
}

impl Shape {
    fn of(metadata: Metadata<'_>) -> Result<Self, GgufError> {
        let (width, heads) = (metadata.size("embedding_length")?, metadata.size("attention.head_count")?);
        let head_dim = match metadata.optional_size("attention.key_length")? {
            Some(size) => size,
            None if width.is_multiple_of(heads) => width / heads,
            None => {
                let why = format!("is missing, and embedding_length {width} is no multiple of head_count {heads}");
                return Err(metadata.wrong("attention.key_length", why));
            }
        };
        if metadata.optional_size("attention.value_length")?.is_some_and(|size| size != head_dim) {
            let why = format!("differs from key_length {head_dim}, which config.json has no words for");
            return Err(metadata.wrong("attention.value_length", why));
        }
        let embedding = metadata.file.tensor("token_embd.weight").and_then(|tensor| tensor.shape().first().copied());
        let vocabulary = match embedding {
            Some(rows) => rows,
            None => metadata.size("vocab_size")?,
        };
        Ok(Self {
            width,
            blocks: metadata.size("block_count")?,
            heads,
            kv_heads: metadata.optional_size("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            context: metadata.size("context_length")?,
            vocabulary,
            experts: experts(metadata)?,
        })
    }
}

/// Puts the fields of an object behind those that are there.
fn put(json: &mut Map<String, Json>, fields: Json) {
    if let Json::Object(fields) = fields {
        json.extend(fields);
    }
}

/// A model in several files cannot be read from one of them.
fn refuse_parts(file: &Gguf) -> Result<(), GgufError> {
    let count = file.get("split.count").and_then(|value| value.as_u64()).unwrap_or(1);
    if count <= 1 {
        return Ok(());
    }
    let why = format!("says that this is one of {count} files; join them with llama-gguf-split --merge of llama.cpp");
    Err(GgufError::Metadata { path: file.path().to_owned(), key: "split.count".to_owned(), why })
}

/// What llama's descendants share.
fn common(json: &mut Map<String, Json>, metadata: Metadata<'_>, shape: &Shape) -> Result<(), GgufError> {
    let rotated = metadata.optional_size("rope.dimension_count")?.unwrap_or(shape.head_dim);
    let theta = metadata.optional_number("rope.freq_base")?.unwrap_or(10_000.0);
    let scaling = Scaling::of_gguf(metadata, rotated, theta)?;
    let partial = rotated != shape.head_dim;
    if partial && metadata.name != "phi3" {
        let why = format!("is {rotated}, and heads have {}: config.json has no words for a part", shape.head_dim);
        return Err(metadata.wrong("rope.dimension_count", why));
    }
    put(
        json,
        json!({
            "hidden_size": shape.width,
            "intermediate_size": metadata.size("feed_forward_length")?,
            "num_hidden_layers": shape.blocks,
            "num_attention_heads": shape.heads,
            "num_key_value_heads": shape.kv_heads,
            "head_dim": shape.head_dim,
            "max_position_embeddings": shape.context,
            "rms_norm_eps": metadata.number("attention.layer_norm_rms_epsilon")?,
            "rope_theta": theta,
            "rope_scaling": scaling.to_config(),
        }),
    );
    let gemma = metadata.name.starts_with("gemma");
    let activation = if gemma { "gelu_pytorch_tanh" } else { "silu" };
    put(json, if gemma { json!({"hidden_activation": activation}) } else { json!({"hidden_act": activation}) });
    if metadata.name == "gemma" {
        // transformers reads the newer field, and others this one.
        put(json, json!({"hidden_act": activation}));
    }
    if partial {
        put(json, json!({"partial_rotary_factor": rotated as f64 / shape.head_dim as f64}));
    }
    Ok(())
}

fn granite(json: &mut Map<String, Json>, metadata: Metadata<'_>) -> Result<(), GgufError> {
    let (width, heads) = (metadata.size("embedding_length")?, metadata.size("attention.head_count")?);
    // Granite's configuration derives it.
    json.shift_remove("head_dim");
    if metadata.optional_size("attention.key_length")?.is_some_and(|size| size * heads != width) {
        return Err(metadata.wrong("attention.key_length", "is another than embedding_length / head_count"));
    }
    if !metadata.flag_or("rope.scaling.finetuned", true)? {
        return Err(metadata.wrong("rope.scaling.finetuned", "says that there are no positions"));
    }
    let scale = |key: &str, default: f64| Ok::<_, GgufError>(metadata.optional_number(key)?.unwrap_or(default));
    let bias = |tensor: &str| metadata.file.tensor(tensor).is_some();
    put(
        json,
        json!({
            "attention_multiplier": scale("attention.scale", 1.0 / (width as f64 / heads as f64).sqrt())?,
            "embedding_multiplier": scale("embedding_scale", 1.0)?,
            "residual_multiplier": scale("residual_scale", 1.0)?,
            "logits_scaling": metadata.number("logit_scale")?,
            "attention_bias": bias("blk.0.attn_q.bias"),
            "mlp_bias": bias("blk.0.ffn_gate.bias"),
        }),
    );
    Ok(())
}

fn qwen3_moe(json: &mut Map<String, Json>, metadata: Metadata<'_>, shape: &Shape) -> Result<(), GgufError> {
    let used = metadata.size("expert_used_count")?;
    let width = match metadata.optional_size("expert_feed_forward_length")? {
        Some(width) => width,
        None => metadata.size("feed_forward_length")? / used,
    };
    put(
        json,
        json!({
            "num_experts": shape.experts,
            "num_experts_per_tok": used,
            "moe_intermediate_size": width,
            "norm_topk_prob": true,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "attention_bias": metadata.file.tensor("blk.0.attn_q.bias").is_some(),
            "use_sliding_window": false,
        }),
    );
    Ok(())
}

/// What the query is scaled by, as llama.cpp has it: the file does not tell. The 27B models have `width / heads`.
pub(super) fn query_scalar(large: bool, width: usize, heads: usize, head_dim: usize) -> usize {
    if large { width / heads } else { head_dim }
}

/// Blocks of the Gemma 2 and 3 with 27B parameters.
pub(super) const LARGE_GEMMA2: usize = 46;
pub(super) const LARGE_GEMMA3: usize = 62;

fn gemma2(json: &mut Map<String, Json>, metadata: Metadata<'_>, shape: &Shape) -> Result<(), GgufError> {
    let scalar = query_scalar(shape.blocks == LARGE_GEMMA2, shape.width, shape.heads, shape.head_dim);
    put(
        json,
        json!({
            "query_pre_attn_scalar": scalar,
            "sliding_window": metadata.optional_size("attention.sliding_window")?.unwrap_or(4096),
            "attn_logit_softcapping": metadata.optional_number("attn_logit_softcapping")?.unwrap_or(50.0),
            "final_logit_softcapping": metadata.optional_number("final_logit_softcapping")?.unwrap_or(30.0),
        }),
    );
    Ok(())
}

fn gemma3(json: &mut Map<String, Json>, metadata: Metadata<'_>, shape: &Shape) -> Result<(), GgufError> {
    let scalar = query_scalar(shape.blocks == LARGE_GEMMA3, shape.width, shape.heads, shape.head_dim);
    if metadata.get("attention.sliding_window_pattern").is_some_and(|value| value.as_u64() != Some(6)) {
        let why = "is another than 6: five blocks with a window, one without";
        return Err(metadata.wrong("attention.sliding_window_pattern", why));
    }
    put(
        json,
        json!({
            "query_pre_attn_scalar": scalar,
            "sliding_window": metadata.size("attention.sliding_window")?,
            "sliding_window_pattern": 6,
            "rope_local_base_freq": metadata.optional_number("rope.freq_base_swa")?.unwrap_or(10_000.0),
            "final_logit_softcapping": metadata.optional_number("final_logit_softcapping")?,
            "attn_logit_softcapping": null,
        }),
    );
    Ok(())
}

fn phi3(json: &mut Map<String, Json>, metadata: Metadata<'_>, shape: &Shape) -> Result<(), GgufError> {
    json.shift_remove("head_dim");
    if shape.head_dim * shape.heads != shape.width {
        return Err(metadata.wrong("attention.key_length", "is another than embedding_length / head_count"));
    }
    let original = metadata.optional_size("rope.scaling.original_context_length")?.unwrap_or(shape.context);
    // Phi 4 has no window, and says so with a 0.
    let window = metadata.get("attention.sliding_window").and_then(|value| value.as_u64()).filter(|&window| window > 0);
    put(json, json!({"original_max_position_embeddings": original, "sliding_window": window}));
    Ok(())
}

fn gpt2(json: &mut Map<String, Json>, metadata: Metadata<'_>, shape: &Shape) -> Result<(), GgufError> {
    let inner = metadata.size("feed_forward_length")?;
    put(
        json,
        json!({
            "n_embd": shape.width,
            "n_layer": shape.blocks,
            "n_head": shape.heads,
            "n_inner": (inner != 4 * shape.width).then_some(inner),
            "n_positions": shape.context,
            "n_ctx": shape.context,
            "layer_norm_epsilon": metadata.number("attention.layer_norm_epsilon")?,
            "activation_function": "gelu_new",
        }),
    );
    Ok(())
}

fn bloom(json: &mut Map<String, Json>, metadata: Metadata<'_>, shape: &Shape) -> Result<(), GgufError> {
    if metadata.size("feed_forward_length")? != 4 * shape.width {
        return Err(metadata.wrong("feed_forward_length", "is another than four times embedding_length"));
    }
    put(
        json,
        json!({
            "hidden_size": shape.width,
            "n_layer": shape.blocks,
            "n_head": shape.heads,
            "seq_length": shape.context,
            "layer_norm_epsilon": metadata.number("attention.layer_norm_epsilon")?,
            "apply_residual_connection_post_layernorm": false,
        }),
    );
    Ok(())
}

fn gpt_neox(json: &mut Map<String, Json>, metadata: Metadata<'_>, shape: &Shape) -> Result<(), GgufError> {
    let rotated = metadata.optional_size("rope.dimension_count")?.unwrap_or(shape.head_dim);
    let theta = metadata.optional_number("rope.freq_base")?.unwrap_or(10_000.0);
    put(
        json,
        json!({
            "hidden_size": shape.width,
            "intermediate_size": metadata.size("feed_forward_length")?,
            "num_hidden_layers": shape.blocks,
            "num_attention_heads": shape.heads,
            "max_position_embeddings": shape.context,
            "layer_norm_eps": metadata.number("attention.layer_norm_epsilon")?,
            "rotary_pct": rotated as f64 / shape.head_dim as f64,
            "rotary_emb_base": theta,
            "rope_theta": theta,
            "rope_scaling": Scaling::of_gguf(metadata, rotated, theta)?.to_config(),
            "use_parallel_residual": metadata.flag_or("use_parallel_residual", true)?,
            "hidden_act": "gelu",
            "attention_bias": true,
        }),
    );
    Ok(())
}

/// First token, pad token, and those that end a text or a turn: one as such, several as a list.
fn special_tokens(file: &Gguf) -> Json {
    let text = |key: &str| file.get(key).and_then(|value| value.as_text().map(str::to_owned));
    let defaults =
        Defaults::of(text("tokenizer.ggml.model").as_deref().unwrap_or("none"), text("tokenizer.ggml.pre").as_deref());
    let token = |name: &str| {
        let value = file.get(&format!("tokenizer.ggml.{name}_token_id"))?;
        value.as_u64().and_then(|token| u32::try_from(token).ok())
    };
    let mut ends: Vec<u32> = Vec::new();
    for end in [token("eos").or(defaults.eos), token("eot"), token("eom")].into_iter().flatten() {
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    let ends = match ends.as_slice() {
        [] => Json::Null,
        [end] => json!(end),
        ends => json!(ends),
    };
    json!({"bos_token_id": token("bos").or(defaults.bos), "eos_token_id": ends, "pad_token_id": token("padding")})
}

//! A model that was converted by hand is read as the one it was made from; what is written and read again is the same.

mod hugging_face;
mod raw;

use std::collections::BTreeMap;
use std::path::PathBuf;

use hugging_face::{Tensor, config, parameters, tensors, to_gguf, to_hugging_face};
use luthier_fixtures::{model, repository, shared};
use luthier_gguf::architecture::{self, Architecture, Conversion, Mapping};
use luthier_gguf::{Gguf, TensorType};
use raw::{Raw, text, u32s};
use serde_json::{Map, Value, json};

fn converted_by_hand() -> Gguf {
    Gguf::open(&repository().join("fixtures/gguf/llama.gguf")).unwrap()
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn the_settings_of_a_file_are_those_of_the_model_it_was_made_from() {
    let found = architecture::config(&converted_by_hand()).unwrap();
    let due = config(&model("llama-gqa-tied-llama3-rope")).unwrap();
    let told = [
        "architectures",
        "model_type",
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_theta",
        "hidden_act",
        "attention_bias",
        "mlp_bias",
        "tie_word_embeddings",
        "bos_token_id",
        "eos_token_id",
    ];
    for field in told {
        assert_eq!(found[field], due[field], "{field}");
    }
    for (field, due) in due["rope_scaling"].as_object().unwrap() {
        assert_eq!(found["rope_scaling"][field], *due, "rope_scaling.{field}");
    }
}

#[test]
fn the_parameters_of_a_file_are_those_of_the_model_it_was_made_from() {
    let found = parameters(&converted_by_hand()).unwrap();
    let due = tensors(&model("llama-gqa-tied-llama3-rope")).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), due.keys().collect::<Vec<_>>());
    for (name, tensor) in &due {
        assert_eq!(found[name], *tensor, "{name}");
    }
}

/// The models under `fixtures/`, and those of other families if they are there.
fn folders() -> Vec<PathBuf> {
    let names = [
        "llama-gqa-tied-llama3-rope",
        "llama-linear-rope-headdim",
        "llama-mha-untied",
        "qwen2-bias-tied",
        "qwen2-untied-odd",
    ];
    let mut folders: Vec<PathBuf> = names.map(model).to_vec();
    for name in ["bloom", "gemma", "gpt2", "gpt_neox", "llama", "llama3-rope-scaled-gqa", "phi3", "qwen2"] {
        folders.extend(shared(&format!("models/tiny-random/{name}")));
    }
    folders
}

#[track_caller]
fn assert_near(found: &BTreeMap<String, Tensor>, due: &BTreeMap<String, Tensor>, of: &str, step: f32) {
    assert_eq!(found.keys().collect::<Vec<_>>(), due.keys().collect::<Vec<_>>(), "{of}");
    for (name, (shape, numbers)) in due {
        assert_eq!(found[name].0, *shape, "{of}: {name}");
        // Norms that are stored plus one lose bits below that one's last.
        let worst = numbers.iter().zip(&found[name].1).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        assert!(worst <= step, "{of}: {name} is off by {worst}");
    }
}

#[test]
fn models_of_every_family_come_back_as_they_went() {
    let temporary = tempfile::tempdir().unwrap();
    for folder in folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let (file, back) = (temporary.path().join("model.gguf"), temporary.path().join(&name));
        to_gguf(&folder, &file, TensorType::F32).unwrap();
        to_hugging_face(&file, &back).unwrap();
        let (mut due, found) = (tensors(&folder).unwrap(), tensors(&back).unwrap());
        let mapping = Mapping::of_config(&config(&folder).unwrap()).unwrap();
        if mapping.is_tied() {
            due.remove("lm_head.weight");
        }
        assert_near(&found, &due, &name, f32::EPSILON);
        // What was read is written as the same metadata.
        let (told, again) = (config(&folder).unwrap(), config(&back).unwrap());
        let [told, again] = [told, again].map(|config| architecture::metadata(&config, TensorType::F16).unwrap());
        assert_eq!(told, again, "{name}");
    }
}

#[test]
fn a_gemma_whose_queries_are_scaled_otherwise_is_refused() {
    let Some(folder) = shared("models/tiny-random/gemma2") else { return };
    let mut config = config(&folder).unwrap();
    let error = architecture::metadata(&config, TensorType::F32).unwrap_err().to_string();
    assert!(
        error.contains("\"query_pre_attn_scalar\" is 32: files of llama.cpp do not hold it, and it takes 24"),
        "{error}"
    );
    config.insert("query_pre_attn_scalar".to_owned(), json!(24));
    architecture::metadata(&config, TensorType::F32).unwrap();
}

#[test]
fn the_head_dim_of_a_granite_model_is_derived() {
    let config = granite();
    let metadata = architecture::metadata(&config, TensorType::F32).unwrap();
    assert!(metadata.contains(&("granite.logit_scale".to_owned(), 8.0f32.into())));
    assert!(metadata.contains(&("granite.attention.scale".to_owned(), 0.25f32.into())));
    let odd = Map::from_iter([(String::from("head_dim"), json!(24))]);
    let error = architecture::metadata(&[config, odd].into_iter().flatten().collect(), TensorType::F32).unwrap_err();
    assert!(error.to_string().contains("field \"head_dim\" is 24"), "{error}");
}

fn granite() -> Map<String, Value> {
    object(&json!({
        "model_type": "granite", "vocab_size": 99, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
        "attention_multiplier": 0.25, "embedding_multiplier": 12.0, "residual_multiplier": 0.22, "logits_scaling": 8.0,
    }))
}

#[test]
fn names_are_found_on_both_sides() {
    let mapping = Mapping::of_config(&granite()).unwrap();
    assert_eq!(mapping.architecture(), Architecture::Granite);
    let query = mapping.source("model.layers.1.self_attn.q_proj.weight").unwrap();
    assert_eq!(
        (query.tensor.as_str(), query.conversion),
        ("blk.1.attn_q.weight", Conversion::PermuteHeads { heads: 4 })
    );
    let key = mapping.source("model.layers.0.self_attn.k_proj.bias").unwrap();
    assert_eq!((key.tensor.as_str(), key.conversion), ("blk.0.attn_k.bias", Conversion::PermuteHeads { heads: 2 }));
    for unknown in [
        "model.layers.2.self_attn.q_proj.weight",
        "model.layers.01.self_attn.q_proj.weight",
        "model.layers..self_attn.q_proj.weight",
        "model.layers.0.self_attn.q_proj.scale",
        "model.layers.0.mlp.experts.0.gate_proj.weight",
        "model.layers.18446744073709551616.self_attn.q_proj.weight",
        "nothing",
        "",
    ] {
        assert_eq!(mapping.source(unknown), None, "{unknown}");
    }
    let target = mapping.target("blk.1.ffn_norm.weight").unwrap();
    assert_eq!(target.parameters, ["model.layers.1.post_attention_layernorm.weight"]);
    assert_eq!(mapping.target("rope_freqs.weight").unwrap().parameters, [""; 0]);
    assert_eq!(mapping.target("blk.0.attn_qkv.weight"), None);
    assert_eq!(mapping.target("blk.7.ffn_norm.weight"), None);
}

#[test]
fn experts_lie_in_one_tensor_in_order() {
    let mixtral = object(&json!({
        "model_type": "mixtral", "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5,
        "num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": null,
    }));
    let mapping = Mapping::of_config(&mixtral).unwrap();
    let name = |expert: usize| format!("model.layers.0.block_sparse_moe.experts.{expert}.w2.weight");
    let source = mapping.source(&name(2)).unwrap();
    assert_eq!((source.tensor.as_str(), source.expert), ("blk.0.ffn_down_exps.weight", Some(2)));
    assert_eq!(mapping.source(&name(3)), None);
    let target = mapping.target("blk.0.ffn_down_exps.weight").unwrap();
    assert!(target.stacked && target.parameters == [name(0), name(1), name(2)]);
    let names = [name(2), name(0), name(1)];
    assert_eq!(mapping.targets(names.iter().map(String::as_str)).unwrap(), [target]);
    let error = mapping.targets(names[..2].iter().map(String::as_str)).unwrap_err().to_string();
    assert!(error.contains("2 parameters are there for it, and 3 are needed"), "{error}");
    let metadata = architecture::metadata(&mixtral, TensorType::F32).unwrap();
    assert!(metadata.contains(&("llama.expert_count".to_owned(), 3u32.into())));
}

#[test]
fn buffers_and_tied_heads_are_left_out_and_strangers_refused() {
    let gpt2 = object(&json!({"model_type": "gpt2", "n_layer": 1, "n_head": 2}));
    let mapping = Mapping::of_config(&gpt2).unwrap();
    let names = ["wte.weight", "h.0.attn.bias", "h.0.attn.c_attn.weight", "lm_head.weight"];
    let targets = mapping.targets(names).unwrap();
    let found: Vec<(&str, &str, Conversion)> = targets
        .iter()
        .map(|target| (target.tensor.as_str(), target.parameters[0].as_str(), target.conversion))
        .collect();
    let due = [
        ("token_embd.weight", "wte.weight", Conversion::None),
        ("blk.0.attn_qkv.weight", "h.0.attn.c_attn.weight", Conversion::Transpose),
    ];
    assert_eq!(found, due);
    let error = mapping.targets(["transformer.h.0.attn.q_proj.weight"]).unwrap_err().to_string();
    assert!(error.contains("models of \"gpt2\" have no such tensor"), "{error}");
}

#[test]
fn settings_that_llama_cpp_would_pass_over_are_refused() {
    let with = |field: &str, value: Value| {
        let mut config = granite();
        config.insert(field.to_owned(), value);
        architecture::metadata(&config, TensorType::F32).map_err(|error| error.to_string())
    };
    let refused = [
        ("model_type", json!("opt"), "\"opt\" is not supported; supported are: llama, qwen2,"),
        ("model_type", json!("qwen3_moe"), "\"norm_topk_prob\" is not true"),
        ("hidden_act", json!("relu"), "field \"hidden_act\" is \"relu\""),
        ("hidden_size", json!("64"), "field \"hidden_size\" must be a whole number from 1 to"),
        ("hidden_size", json!(null), "field \"hidden_size\" is missing"),
        ("num_hidden_layers", json!(1u64 << 40), "field \"num_hidden_layers\" must be"),
        ("rope_scaling", json!({"rope_type": "dynamic", "factor": 2.0}), "of type \"dynamic\" has no counterpart"),
        ("rope_scaling", json!({"rope_type": "linear"}), "field \"factor\" is missing"),
        ("rope_scaling", json!(7), "field \"rope_scaling\" must be an object"),
        ("rms_norm_eps", json!(1e300), "field \"rms_norm_eps\" must be a number"),
    ];
    for (field, value, why) in refused {
        let error = with(field, value).expect_err(why);
        assert!(error.contains(why), "{error}");
    }
    let mistral = with("model_type", json!("mistral")).unwrap();
    assert_eq!(mistral[0], ("general.architecture".to_owned(), "llama".into()));
    let mut windowed = granite();
    windowed.extend(object(&json!({"model_type": "mistral", "sliding_window": 4096})));
    let error = architecture::metadata(&windowed, TensorType::F32).unwrap_err().to_string();
    assert!(error.contains("field \"sliding_window\" is 4096"), "{error}");
}

/// The least that a llama says.
fn llama() -> Raw {
    Raw::default()
        .entry("general.architecture", 8, &text("llama"))
        .entry("llama.vocab_size", 4, &u32s(&[99]))
        .entry("llama.context_length", 4, &u32s(&[128]))
        .entry("llama.embedding_length", 4, &u32s(&[64]))
        .entry("llama.block_count", 4, &u32s(&[2]))
        .entry("llama.feed_forward_length", 4, &u32s(&[96]))
        .entry("llama.attention.layer_norm_rms_epsilon", 6, &1e-5f32.to_le_bytes())
}

#[test]
fn metadata_that_config_json_has_no_words_for_is_refused_by_its_key() {
    let heads = |raw: Raw| raw.entry("llama.attention.head_count", 4, &u32s(&[4]));
    architecture::config(&heads(llama()).open()).unwrap();
    let array = |values: &[u32]| [u32s(&[4]), (values.len() as u64).to_le_bytes().to_vec(), u32s(values)].concat();
    let same = llama().entry("llama.attention.head_count", 9, &array(&[4, 4])).open();
    assert_eq!(architecture::config(&same).unwrap()["num_attention_heads"], 4);
    let refused = [
        (Raw::default(), "\"general.architecture\" must be a text"),
        (
            Raw::default().entry("general.architecture", 8, &text("mamba")),
            "\"mamba\" is not supported; supported are: llama",
        ),
        (llama(), "\"llama.attention.head_count\" is missing"),
        (llama().entry("llama.attention.head_count", 9, &array(&[4, 2])), "differs from block to block"),
        (llama().entry("llama.attention.head_count", 4, &u32s(&[0])), "must be a whole number from 1"),
        (llama().entry("llama.attention.head_count", 4, &u32s(&[7])), "no multiple of head_count 7"),
        (heads(llama()).entry("llama.rope.scaling.type", 8, &text("longrope")), "is \"longrope\", which config.json"),
        (heads(llama()).entry("llama.rope.freq_base", 6, &f32::NAN.to_le_bytes()), "must be a number"),
        (heads(llama()).entry("llama.attention.value_length", 4, &u32s(&[8])), "differs from key_length 16"),
        (heads(llama()).entry("split.count", 2, &[3, 0]), "one of 3 files; join them"),
    ];
    for (raw, why) in refused {
        let error = architecture::config(&raw.open()).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_factor_without_a_type_is_one_of_linear_scaling() {
    let raw = llama().entry("llama.attention.head_count", 4, &u32s(&[4]));
    let config = architecture::config(&raw.clone().open()).unwrap();
    assert_eq!(config["rope_scaling"], Value::Null);
    let scaled = raw.clone().entry("llama.rope.scale_linear", 6, &4f32.to_le_bytes()).open();
    let config = architecture::config(&scaled).unwrap();
    assert_eq!(config["rope_scaling"], json!({"rope_type": "linear", "factor": 4.0}));
    let yarn = raw
        .entry("llama.rope.scaling.type", 8, &text("yarn"))
        .entry("llama.rope.scaling.factor", 6, &2f32.to_le_bytes())
        .entry("llama.rope.scaling.original_context_length", 4, &u32s(&[64]))
        .entry("llama.rope.scaling.yarn_beta_fast", 6, &16.1f32.to_le_bytes());
    let config = architecture::config(&yarn.open()).unwrap();
    let due = json!({"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64, "beta_fast": 16.1});
    assert_eq!(config["rope_scaling"], due);
}

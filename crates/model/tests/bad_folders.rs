//! Bad model folders: each gives one clear error that names the file and the field or tensor, never a panic.

#![allow(clippy::print_stdout, reason = "says how many damaged files it tried")]

mod fixture;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fixture::{Stored, assert_says, copy_of, edit_json, edit_tensors, folder, repository};
use luthier_engine::Device;
use luthier_model::{Model, SaveDtype};
use safetensors::Dtype;
use serde_json::{Map, Value, json};

/// The message of a load that must fail; it must name `wanted`, all of them.
#[track_caller]
fn refused(dir: &Path, wanted: &[&str]) {
    let error = Model::load(dir, &Device::cpu()).expect_err("the folder is bad");
    assert_says(&error, wanted);
}

/// Loads qwen2-bias-tied with a changed `config.json`; the error must name the file and all of `wanted`.
#[track_caller]
fn config_refused(edit: impl FnOnce(&mut Map<String, Value>), wanted: &[&str]) {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    edit_json(&copy.path().join("config.json"), edit);
    let error = Model::load(copy.path(), &Device::cpu()).expect_err("the configuration is bad");
    assert_says(&error, wanted);
    assert_says(&error, &["config.json"]);
}

#[track_caller]
fn field_refused(field: &str, value: Value, wanted: &[&str]) {
    config_refused(
        |config| {
            config.insert(field.to_owned(), value);
        },
        wanted,
    );
}

#[test]
fn a_folder_that_is_no_model_is_refused_with_what_to_give_instead() {
    refused(Path::new("/no/such/folder"), &["/no/such/folder", "no such folder", "config.json"]);
    let copy = copy_of(&folder("qwen2-bias-tied"));
    refused(&copy.path().join("config.json"), &["it is a file", "give the folder"]);
    fs::remove_file(copy.path().join("config.json")).unwrap();
    refused(copy.path(), &["holds no config.json", "save_pretrained"]);
    refused(&repository().join("fixtures/training/qwen2-bias-tied/lora_qv/final"), &["holds an adapter", "base model"]);
}

#[test]
fn a_config_that_is_no_json_object_is_refused() {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    for text in ["", "{", "[1, 2]", "hello", "{\"model_type\": \"qwen2\",}", "\u{feff}{}", "\0\0\0"] {
        fs::write(copy.path().join("config.json"), text).unwrap();
        refused(copy.path(), &["config.json", "is not a JSON object", "line"]);
    }
    fs::write(copy.path().join("config.json"), b"\xff\xfe{}").unwrap();
    refused(copy.path(), &["config.json", "is not a JSON object"]);
    fs::write(copy.path().join("config.json"), "[".repeat(100_000)).unwrap();
    refused(copy.path(), &["config.json", "is not a JSON object"]);
    fs::remove_file(copy.path().join("config.json")).unwrap();
    fs::create_dir(copy.path().join("config.json")).unwrap();
    refused(copy.path(), &["holds no config.json"]);
}

#[test]
fn an_unsupported_family_is_refused_with_the_supported_ones() {
    field_refused("model_type", json!("gpt2"), &["\"gpt2\"", "llama", "qwen2"]);
    field_refused("model_type", json!(""), &["\"\"", "llama, qwen2"]);
    field_refused("model_type", json!(2), &["\"model_type\" must be a text, found 2"]);
    field_refused("model_type", Value::Null, &["\"model_type\" is missing"]);
}

#[test]
fn a_missing_or_mistyped_field_is_named_with_what_was_found() {
    for field in ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"] {
        config_refused(
            |config| {
                config.remove(field);
            },
            &[&format!("\"{field}\" is missing")],
        );
        for value in [json!("big"), json!(-32), json!(0), json!(1.5), json!([32]), json!(true), json!(1e300)] {
            let found = format!("found {value}");
            field_refused(field, value, &[&format!("\"{field}\""), "whole number from 1 to", &found]);
        }
    }
    for field in ["num_key_value_heads", "head_dim", "max_position_embeddings"] {
        for value in [json!("big"), json!(-1), json!(0), json!(0.5)] {
            field_refused(field, value, &[&format!("\"{field}\""), "whole number from 1 to"]);
        }
    }
    for field in ["rms_norm_eps", "rope_theta", "initializer_range"] {
        for value in [json!("small"), json!(-1e-6), json!(0), json!(1e300), json!(false)] {
            field_refused(field, value, &[&format!("\"{field}\" must be a number above 0")]);
        }
    }
    for field in ["tie_word_embeddings", "mlp_bias"] {
        field_refused(field, json!("yes"), &[&format!("\"{field}\" must be true or false, found \"yes\"")]);
    }
    for value in [json!("</s>"), json!(-1), json!(1.5), json!([1, "2"]), json!(1u64 << 40)] {
        field_refused("eos_token_id", value.clone(), &["\"eos_token_id\" must be a token id"]);
        field_refused("bos_token_id", value, &["\"bos_token_id\" must be a token id"]);
    }
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    field_refused(
        "num_key_value_heads",
        json!(3),
        &["num_attention_heads 4", "not a multiple of num_key_value_heads 3"],
    );
    field_refused("head_dim", json!(7), &["head_dim 7 is odd"]);
    config_refused(
        |config| {
            config.remove("head_dim");
            config.insert("num_attention_heads".to_owned(), json!(5));
            config.insert("num_key_value_heads".to_owned(), json!(5));
        },
        &["hidden_size 32 is not a multiple of num_attention_heads 5", "no head_dim"],
    );
    config_refused(
        |config| {
            config.remove("head_dim");
            config.insert("num_attention_heads".to_owned(), json!(64));
            config.insert("num_key_value_heads".to_owned(), json!(64));
        },
        &["hidden_size 32 is not a multiple of num_attention_heads 64"],
    );
}

#[test]
fn a_config_with_absurd_sizes_is_refused_before_anything_is_allocated() {
    for field in ["hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size", "num_attention_heads"] {
        field_refused(field, json!(u64::MAX), &[&format!("\"{field}\""), "18446744073709551615"]);
        field_refused(field, json!(1u64 << 60), &[&format!("\"{field}\"")]);
    }
    field_refused("num_hidden_layers", json!(200_000_000), &["num_hidden_layers 200000000 is above 10000"]);
    let largest = json!(1 << 28);
    for field in ["hidden_size", "intermediate_size", "vocab_size", "head_dim"] {
        let copy = copy_of(&folder("qwen2-bias-tied"));
        edit_json(&copy.path().join("config.json"), |config| {
            config.insert(field.to_owned(), largest.clone());
        });
        let asked = if field == "head_dim" { "[1073741824, 32]" } else { "268435456" };
        refused(copy.path(), &["has shape", asked]);
    }
    let copy = copy_of(&folder("qwen2-bias-tied"));
    edit_json(&copy.path().join("config.json"), |config| {
        for field in ["num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size"] {
            config.insert(field.to_owned(), largest.clone());
        }
        config.insert("num_hidden_layers".to_owned(), json!(10_000));
    });
    refused(copy.path(), &["has shape", "268435456"]);
}

#[test]
fn fresh_weights_of_absurd_sizes_are_refused() {
    let mut config = fixture::json(&folder("qwen2-bias-tied").join("config.json")).as_object().unwrap().clone();
    for (field, size) in [("hidden_size", 1 << 27), ("vocab_size", 1 << 27), ("intermediate_size", 1 << 27)] {
        config.insert(field.to_owned(), json!(size));
    }
    let error = Model::create(config.clone(), Path::new("base.json"), 1, &Device::cpu()).unwrap_err();
    assert_says(&error, &["base.json", "64 billion weights"]);
    for field in ["num_attention_heads", "num_key_value_heads", "head_dim", "hidden_size", "intermediate_size"] {
        config.insert(field.to_owned(), json!(1 << 28));
    }
    config.insert("num_hidden_layers".to_owned(), json!(10_000));
    let error = Model::create(config, Path::new("base.json"), 1, &Device::cpu()).unwrap_err();
    assert_says(&error, &["base.json", "64 billion weights"]);
}

#[test]
fn rope_that_cannot_be_computed_is_refused() {
    for (scaling, wanted) in [
        (
            json!({"rope_type": "yarn", "factor": 4.0}),
            "type \"yarn\" is not supported; supported are: default, linear, llama3",
        ),
        (json!({"type": "dynamic", "factor": 4.0}), "type \"dynamic\" is not supported"),
        (json!({"rope_type": 7}), "type 7 is not supported"),
        (json!({"factor": 4.0}), "\"rope_scaling.rope_type\" is missing"),
        (json!("linear"), "\"rope_scaling\" must be an object, found \"linear\""),
        (json!({"type": "linear"}), "\"rope_scaling.factor\" must be a number above 0, it is missing"),
        (json!({"type": "linear", "factor": 0}), "\"rope_scaling.factor\" must be a number above 0, it is 0"),
        (json!({"type": "linear", "factor": "2"}), "\"rope_scaling.factor\" must be a number above 0"),
        (json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0}), "\"rope_scaling.high_freq_factor\""),
        (
            json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": 64}),
            "\"rope_scaling.high_freq_factor\" must be above low_freq_factor 4, found 4.0",
        ),
    ] {
        field_refused("rope_scaling", scaling, &[wanted]);
    }
    field_refused("rope_parameters", json!({"rope_theta": -1}), &["rope_parameters.rope_theta", "above 0"]);
}

#[test]
fn what_the_decoder_cannot_do_is_refused_by_field() {
    field_refused("hidden_act", json!("gelu"), &["\"hidden_act\" must be \"silu\"", "found \"gelu\""]);
    field_refused("use_sliding_window", json!(true), &["\"use_sliding_window\" is true", "set it to false"]);
    let quantised = json!({"quant_method": "gptq", "bits": 4});
    field_refused("quantization_config", quantised, &["\"quantization_config\"", "gptq", "original"]);
}

#[test]
fn a_bad_generation_config_is_refused() {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    fs::write(copy.path().join("generation_config.json"), "{\"max_length\": }").unwrap();
    refused(copy.path(), &["generation_config.json", "is not a JSON object"]);
}

#[test]
fn a_file_cut_off_anywhere_is_an_error_that_names_it() {
    let copy = copy_of(&folder("llama-gqa-tied-llama3-rope"));
    let path = copy.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let mut cuts: Vec<usize> = (0..whole.len()).step_by(97).collect();
    cuts.extend([1, 7, 8, 9, whole.len() - 1]);
    for &cut in &cuts {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = Model::load(copy.path(), &Device::cpu()).expect_err("a part is missing");
        assert_says(&error, &["model.safetensors", "truncated"]);
    }
    println!("RUNNING {} cuts", cuts.len());
    fs::write(&path, [&whole[..], b"more"].concat()).unwrap();
    refused(copy.path(), &["model.safetensors", "4 bytes that belong to no tensor"]);
}

#[test]
fn a_damaged_header_never_panics() {
    let copy = copy_of(&folder("llama-gqa-tied-llama3-rope"));
    let path = copy.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let (mut state, mut errors, tries) = (1u64, 0, 1500);
    for _ in 0..tries {
        let mut damaged = whole.clone();
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (state >> 33) as usize % header;
        damaged[at] ^= 1 << (state >> 60 & 7);
        fs::write(&path, &damaged).unwrap();
        if let Err(error) = Model::load(copy.path(), &Device::cpu()) {
            assert_says(&error, &["model.safetensors"]);
            errors += 1;
        }
    }
    println!("RUNNING {tries} damaged headers: {errors} errors");
    // A flip inside the metadata, or between the types of 16 bits, still makes a readable file.
    assert!(errors > tries * 9 / 10, "{errors} of {tries}");
}

#[test]
fn a_header_that_lies_is_refused() {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    let path = copy.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap());
    for size in [u64::MAX, u64::MAX - 7, 1 << 40, 99_999_999, whole.len() as u64] {
        fs::write(&path, [&size.to_le_bytes(), &whole[8..]].concat()).unwrap();
        refused(copy.path(), &["model.safetensors", "a header of", "truncated or no safetensors file"]);
    }
    let text = std::str::from_utf8(&whole[8..8 + length as usize]).unwrap();
    let max = u64::MAX;
    for header in [
        format!("{{\"w\":{{\"dtype\":\"F32\",\"shape\":[{max},{max}],\"data_offsets\":[0,{max}]}}}}"),
        format!("{{\"w\":{{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,{max}]}}}}"),
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}".to_owned(),
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}".to_owned(),
        "{\"w\":{\"dtype\":\"Q7\",\"shape\":[2],\"data_offsets\":[0,8]}}".to_owned(),
        "{\"w\":7}".to_owned(),
        "[]".to_owned(),
        text.replacen("F32", "F16", 1),
    ] {
        fs::write(
            &path,
            [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &whole[8 + length as usize..]].concat(),
        )
        .unwrap();
        refused(copy.path(), &["model.safetensors", "header is damaged"]);
    }
    let header = format!("{{\"w\":{{\"dtype\":\"U8\",\"shape\":[{0}],\"data_offsets\":[0,{0}]}}}}", 1u64 << 60);
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
    refused(copy.path(), &["model.safetensors", "\"w\"", "truncated"]);
}

#[test]
fn a_tensor_that_is_missing_or_of_another_shape_or_type_is_named() {
    let q = "model.layers.1.self_attn.q_proj.weight";
    let copy = copy_of(&folder("qwen2-bias-tied"));
    let path = copy.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let with = |edit: &dyn Fn(&mut BTreeMap<String, Stored>), wanted: &[&str]| {
        fs::write(&path, &whole).unwrap();
        edit_tensors(&path, |tensors| edit(tensors));
        refused(copy.path(), wanted);
    };
    with(&|tensors| drop(tensors.remove(q)), &["model.safetensors", q, "is missing"]);
    with(&|tensors| drop(tensors.remove("model.norm.weight")), &["\"model.norm.weight\" is missing"]);
    with(&|tensors| tensors.clear(), &["\"model.embed_tokens.weight\" is missing", "no tensors at all"]);
    let shapes = ["shape [33, 32]", "asks for [32, 32]"];
    with(
        &|tensors| drop(tensors.insert(q.to_owned(), Stored::f32s(&[33, 32], 0.0))),
        &["model.safetensors", q, shapes[0], shapes[1]],
    );
    with(&|tensors| drop(tensors.insert(q.to_owned(), Stored::f32s(&[1024], 0.0))), &[q, "shape [1024]"]);
    for dtype in [Dtype::I32, Dtype::F64, Dtype::I8] {
        let stored = Stored { dtype, shape: vec![32, 32], bytes: vec![0; 1024 * dtype.bitsize() / 8] };
        with(
            &|tensors| drop(tensors.insert(q.to_owned(), stored.clone())),
            &["model.safetensors", q, &format!("{dtype:?}"), "f32, bf16 and f16"],
        );
    }
}

#[test]
fn files_with_blocks_or_biases_that_the_config_does_not_know_are_refused() {
    field_refused("num_hidden_layers", json!(1), &["without the tensor \"model.layers.1.", "that the files hold"]);
    field_refused("num_hidden_layers", json!(3), &[]);
    let copy = copy_of(&folder("llama-mha-untied"));
    edit_tensors(&copy.path().join("model.safetensors"), |tensors| {
        tensors.insert("model.layers.0.self_attn.q_proj.bias".to_owned(), Stored::f32s(&[32], 1.0));
    });
    refused(copy.path(), &["config.json", "model.layers.0.self_attn.q_proj.bias"]);
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let name = "model.layers.0.mlp.down_proj.weight";
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let copy = copy_of(&folder("qwen2-bias-tied"));
        edit_tensors(&copy.path().join("model.safetensors"), |tensors| {
            let bytes = &mut tensors.get_mut(name).unwrap().bytes;
            let last = bytes.len() - 4;
            bytes[last..].copy_from_slice(&bad.to_le_bytes());
        });
        refused(copy.path(), &["model.safetensors", name, "NaN or infinite"]);
    }
}

#[test]
fn bad_shards_and_indices_are_refused() {
    let copy = copy_of(&folder("qwen2-untied-odd"));
    let index = copy.path().join("model.safetensors.index.json");
    let whole = fs::read(&index).unwrap();
    let map = fixture::json(&index)["weight_map"].as_object().unwrap().clone();
    let norm = "model.norm.weight";
    let with = |weight_map: Value, wanted: &[&str]| {
        fs::write(&index, json!({ "weight_map": weight_map }).to_string()).unwrap();
        refused(copy.path(), wanted);
    };
    let moved = |shard: Value| {
        let mut map = map.clone();
        map.insert(norm.to_owned(), shard);
        Value::Object(map)
    };
    for bad in [json!([1]), json!("model.safetensors"), Value::Null] {
        with(bad, &["index.json", "\"weight_map\" must be an object"]);
    }
    for bad in
        [json!(5), json!(["a"]), Value::Null, json!("../x"), json!("/etc/passwd"), json!("a/b"), json!(""), json!("..")]
    {
        let found = bad.to_string();
        with(moved(bad), &["index.json", norm, &found, "not the name of a file beside it"]);
    }
    with(moved(json!("model-00009-of-00003.safetensors")), &["index.json", "00009", "not there"]);
    let first = map.values().next().unwrap().clone();
    let other = map.values().find(|shard| **shard != map[norm]).unwrap().clone();
    with(moved(other), &["index.json", norm, "where it is not"]);
    with(json!({}), &["is missing", "no tensors at all"]);
    for text in ["", "[]", "{\"weight_map\""] {
        fs::write(&index, text).unwrap();
        refused(copy.path(), &["index.json"]);
    }
    fs::write(&index, &whole).unwrap();
    let shard = copy.path().join(first.as_str().unwrap());
    let bytes = fs::read(&shard).unwrap();
    fs::write(&shard, &bytes[..bytes.len() / 2]).unwrap();
    refused(copy.path(), &[first.as_str().unwrap(), "truncated"]);
    fs::write(&shard, &bytes).unwrap();
    let second = copy.path().join(map.values().find(|shard| **shard != first).unwrap().as_str().unwrap());
    edit_tensors(&second, |tensors| {
        let (name, _) = map.iter().find(|(_, shard)| **shard == first).unwrap();
        tensors.insert(name.clone(), Stored::f32s(&[1], 0.0));
    });
    refused(copy.path(), &["is in", "already"]);
    fs::remove_file(&shard).unwrap();
    refused(copy.path(), &["index.json", first.as_str().unwrap(), "not there"]);
}

#[test]
fn a_folder_with_pickled_weights_says_how_to_convert_them() {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    fs::rename(copy.path().join("model.safetensors"), copy.path().join("pytorch_model.bin")).unwrap();
    refused(copy.path(), &["neither model.safetensors", "pytorch_model.bin", "as safetensors"]);
    fs::remove_file(copy.path().join("pytorch_model.bin")).unwrap();
    refused(copy.path(), &["neither model.safetensors nor model.safetensors.index.json"]);
}

#[test]
fn tokens_beyond_the_vocabulary_are_refused() {
    let model = fixture::model("qwen2-bias-tied");
    let error = model.log_probabilities(&[&[1, 384, 2]]).unwrap_err();
    assert_says(&error, &["token 384", "vocabulary of 384", "tokenizer"]);
}

#[test]
fn what_cannot_be_saved_leaves_no_file() {
    let model = fixture::model("qwen2-bias-tied");
    let copy = tempfile::tempdir().unwrap();
    let error = model.save_adapter(copy.path(), "base").unwrap_err();
    assert_says(&error, &["no adapter to save"]);
    let file = copy.path().join("file");
    fs::write(&file, "").unwrap();
    let error = model.save(&file.join("model"), SaveDtype::F32).unwrap_err();
    assert_says(&error, &["cannot write", "model.safetensors"]);
    assert_eq!(fs::read_dir(copy.path()).unwrap().count(), 1);
}

//! Bad configurations: each gives one clear error that names the file and the field, never a panic.

#![allow(clippy::print_stdout, reason = "the fixtures say what they skip")]

mod fixture;

use std::fs;
use std::path::Path;

use fixture::{Stored, assert_says, copy_of, edit_json, edit_tensors, folder, refused};
use luthier_engine::Device;
use luthier_model::Model;
use serde_json::{Map, Value, json};

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
    field_refused("model_type", json!("t5"), &["\"t5\"", "llama", "qwen2"]);
    field_refused("model_type", json!(""), &["\"\"", "llama, mistral, qwen2"]);
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
    let mut config =
        luthier_fixtures::json(&folder("qwen2-bias-tied").join("config.json")).as_object().unwrap().clone();
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
            json!({"rope_type": "ntk-by-parts", "factor": 4.0}),
            "type \"ntk-by-parts\" is not supported; supported are: default, linear, dynamic, llama3, yarn, longrope",
        ),
        (json!({"type": "mrope", "factor": 4.0}), "type \"mrope\" is not supported"),
        (json!({"type": "dynamic"}), "\"rope_scaling.factor\" must be a number above 0, it is missing"),
        (json!({"rope_type": "yarn", "factor": 4.0, "beta_fast": "x"}), "\"rope_scaling.beta_fast\" must be a number"),
        (json!({"type": "longrope", "short_factor": [1.0]}), "\"rope_scaling.short_factor\""),
        (json!({"rope_type": 7}), "type 7 is not supported"),
        (json!({"factor": 4.0}), "\"rope_scaling.rope_type\" is missing"),
        (json!("linear"), "\"rope_scaling\" must be an object, found \"linear\""),
        (json!({"type": "linear"}), "\"rope_scaling.factor\" must be a number above 0, it is missing"),
        (json!({"type": "linear", "factor": 0}), "\"rope_scaling.factor\" must be a number above 0, found 0"),
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
    field_refused("hidden_act", json!("tanh"), &["\"hidden_act\" must be silu, gelu,", "found \"tanh\""]);
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
fn files_with_blocks_or_biases_that_the_config_does_not_know_are_refused() {
    field_refused("num_hidden_layers", json!(1), &["without the tensor \"model.layers.1.", "that the files hold"]);
    field_refused("num_hidden_layers", json!(3), &[]);
    let copy = copy_of(&folder("llama-mha-untied"));
    edit_tensors(&copy.path().join("model.safetensors"), |tensors| {
        tensors.insert("model.layers.0.self_attn.q_proj.bias".to_owned(), Stored::f32s(&[32], 1.0));
    });
    refused(copy.path(), &["config.json", "model.layers.0.self_attn.q_proj.bias"]);
}

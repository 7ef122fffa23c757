//! Bad adapter folders: each gives one clear error that names the file and the field or tensor, and leaves the base
//! model as it was.

#![allow(clippy::print_stdout, reason = "the fixtures say what they skip")]

mod fixture;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fixture::{Stored, assert_says, copy_of, edit_json, edit_tensors, folder};
use luthier_fixtures::repository;
use luthier_model::{LoraOptions, Targets};
use safetensors::Dtype;
use serde_json::{Value, json};

fn adapter_folder() -> PathBuf {
    repository().join("fixtures/training/qwen2-bias-tied/lora_qv/final")
}

/// Loads a changed adapter; afterwards the model must be the base model still.
#[track_caller]
fn adapter_refused(damage: impl FnOnce(&Path), wanted: &[&str]) {
    let copy = copy_of(&adapter_folder());
    damage(copy.path());
    let mut model = fixture::model("qwen2-bias-tied");
    let before = fixture::logits(&model, &[1, 2, 3]);
    let error = model.load_adapter(copy.path()).expect_err("the adapter is bad");
    assert_says(&error, wanted);
    assert!(!model.has_adapter());
    assert_eq!(fixture::bits(&before), fixture::bits(&fixture::logits(&model, &[1, 2, 3])));
    model.load_adapter(&adapter_folder()).unwrap();
}

#[track_caller]
fn adapter_field_refused(field: &str, value: Value, wanted: &[&str]) {
    let edit = |dir: &Path| {
        edit_json(&dir.join("adapter_config.json"), |config| {
            config.insert(field.to_owned(), value);
        });
    };
    let wanted: Vec<&str> = [&["adapter_config.json"], wanted].concat();
    adapter_refused(edit, &wanted);
}

#[test]
fn a_folder_that_is_no_adapter_is_refused() {
    let mut model = fixture::model("qwen2-bias-tied");
    let mut refused = |dir: &Path, wanted: &[&str]| {
        assert_says(&model.load_adapter(dir).expect_err("no adapter"), wanted);
    };
    refused(Path::new("/no/such/adapter"), &["/no/such/adapter", "no such folder"]);
    refused(&folder("qwen2-bias-tied"), &["no adapter_config.json", "whole model"]);
    refused(&repository().join("fixtures/metrics"), &["no adapter_config.json", "save_pretrained"]);
    let weights = |dir: &Path| dir.join("adapter_model.safetensors");
    let neither = ["holds neither adapter_model.safetensors nor adapter_model.bin"];
    adapter_refused(|dir| fs::remove_file(weights(dir)).unwrap(), &neither);
    adapter_refused(
        |dir| fs::rename(weights(dir), dir.join("adapter_model.bin")).unwrap(),
        &["adapter_model.bin", "no file that torch.save wrote"],
    );
    for text in ["", "[]", "{\"r\": 4"] {
        adapter_refused(
            |dir| fs::write(dir.join("adapter_config.json"), text).unwrap(),
            &["adapter_config.json", "is not a JSON object"],
        );
    }
}

#[test]
fn adapter_fields_that_are_wrong_or_unsupported_are_named() {
    adapter_field_refused("peft_type", json!("IA3"), &["\"peft_type\" is \"IA3\"", "LORA"]);
    adapter_field_refused("peft_type", Value::Null, &["\"peft_type\" is missing"]);
    for r in [json!(0), json!(-4), json!("4"), json!(1.5), Value::Null] {
        adapter_field_refused("r", r, &["\"r\" must be a whole number above 0"]);
    }
    adapter_field_refused("r", json!(u64::MAX), &["rank must be from 1 to"]);
    for alpha in [json!("8"), json!([8]), Value::Null] {
        adapter_field_refused("lora_alpha", alpha, &["\"lora_alpha\" must be a number"]);
    }
    adapter_field_refused("lora_alpha", json!(-8), &["alpha must be a number above 0", "-8"]);
    adapter_field_refused("lora_dropout", json!("none"), &["\"lora_dropout\" must be a number"]);
    adapter_field_refused("lora_dropout", json!(1.0), &["dropout must be at least 0 and below 1"]);
    adapter_field_refused("use_rslora", json!("yes"), &["\"use_rslora\" must be true or false"]);
    for (field, value) in [
        ("use_dora", json!(true)),
        ("rank_pattern", json!({"q_proj": 8})),
        ("alpha_pattern", json!({"q_proj": 8})),
        ("layers_to_transform", json!([0])),
        ("layer_replication", json!([[0, 1]])),
        ("lora_bias", json!(true)),
        ("exclude_modules", json!("v_proj")),
    ] {
        let found = value.to_string();
        adapter_field_refused(field, value, &[&format!("\"{field}\" is"), &found, "not supported"]);
    }
    adapter_field_refused("bias", json!("all"), &["\"bias\" is \"all\"", "only \"none\""]);
    adapter_field_refused("init_lora_weights", json!("pissa"), &["\"init_lora_weights\"", "pissa", "base model"]);
}

#[test]
fn adapter_targets_that_are_not_there_are_named_with_those_that_are() {
    for targets in [json!("q_proj|v_proj"), json!(5), json!(["q_proj", 5]), Value::Null] {
        adapter_field_refused("target_modules", targets, &["\"target_modules\" must be a list of names"]);
    }
    adapter_field_refused("target_modules", json!([]), &["targets are empty"]);
    let known = "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj";
    for target in ["c_attn", "lm_head", "embed_tokens", "proj", ""] {
        let wanted = format!("\"{target}\" is no linear map of this model");
        adapter_field_refused("target_modules", json!(["q_proj", target]), &[&wanted, known]);
    }
}

#[test]
fn an_adapter_of_another_model_is_refused_by_tensor() {
    let a = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let file = "adapter_model.safetensors";
    let hint = "trained on another model";
    let other = repository().join("fixtures/training/llama-mha-untied/lora_qv/final");
    let mut odd = fixture::model("qwen2-untied-odd");
    assert_says(&odd.load_adapter(&other).unwrap_err(), &[file, "has shape", "this model asks for", hint]);
    assert!(!odd.has_adapter());
    let edited = |edit: &dyn Fn(&mut BTreeMap<String, Stored>), wanted: &[&str]| {
        adapter_refused(|dir| edit_tensors(&dir.join(file), |tensors| edit(tensors)), wanted);
    };
    edited(&|tensors| drop(tensors.remove(a)), &[file, a, "is missing", hint]);
    edited(
        &|tensors| drop(tensors.insert(a.to_owned(), Stored::f32s(&[32, 4], 0.0))),
        &[a, "[32, 4]", "[4, 32]", hint],
    );
    edited(
        &|tensors| {
            let moved = a.replace("layers.0", "layers.7");
            tensors.insert(moved, tensors[a].clone());
        },
        &[file, "layers.7", "has no place", hint],
    );
    edited(&|tensors| drop(tensors.insert(a.to_owned(), Stored::f32s(&[4, 32], f32::NAN))), &[file, a, "NaN"]);
    let ints = Stored { dtype: Dtype::I32, shape: vec![4, 32], bytes: vec![0; 512] };
    edited(&|tensors| drop(tensors.insert(a.to_owned(), ints.clone())), &[file, a, "I32"]);
    let fewer = |dir: &Path| {
        edit_json(&dir.join("adapter_config.json"), |config| {
            config.insert("target_modules".to_owned(), json!(["q_proj"]));
        });
    };
    adapter_refused(fewer, &[file, "v_proj.lora_A.weight\" has no place", hint]);
}

#[test]
fn an_adapter_cut_off_anywhere_is_an_error() {
    let copy = copy_of(&adapter_folder());
    let path = copy.path().join("adapter_model.safetensors");
    let whole = fs::read(&path).unwrap();
    let mut model = fixture::model("qwen2-bias-tied");
    for cut in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..cut]).unwrap();
        let error = model.load_adapter(copy.path()).expect_err("a part is missing");
        assert_says(&error, &["adapter_model.safetensors", "truncated"]);
    }
}

#[test]
fn lora_options_out_of_range_are_refused() {
    let good = LoraOptions::new(4, 8.0, Targets::AllLinear);
    let mut model = fixture::model("qwen2-bias-tied");
    let named = |names: &[&str]| Targets::Named(names.iter().map(|&name| name.to_owned()).collect());
    for (options, wanted) in [
        (LoraOptions { rank: 0, ..good.clone() }, "rank must be from 1 to"),
        (LoraOptions { rank: usize::MAX, ..good.clone() }, "rank must be from 1 to"),
        (LoraOptions { alpha: 0.0, ..good.clone() }, "alpha must be a number above 0"),
        (LoraOptions { alpha: f64::NAN, ..good.clone() }, "alpha must be a number above 0"),
        (LoraOptions { alpha: f64::INFINITY, ..good.clone() }, "alpha must be a number above 0"),
        (LoraOptions { dropout: 1.0, ..good.clone() }, "dropout must be at least 0 and below 1"),
        (LoraOptions { dropout: -0.1, ..good.clone() }, "dropout must be"),
        (LoraOptions { dropout: f64::NAN, ..good.clone() }, "dropout must be"),
        (LoraOptions { targets: named(&[]), ..good.clone() }, "targets are empty"),
        (LoraOptions { targets: named(&["query"]), ..good.clone() }, "\"query\" is no linear map"),
    ] {
        assert_says(&model.attach_lora(&options, 1).expect_err("out of range"), &[wanted]);
        assert!(!model.has_adapter());
    }
    model.attach_lora(&good, 1).unwrap();
    assert_says(&model.attach_lora(&good, 1).unwrap_err(), &["has an adapter already"]);
    assert_says(&model.load_adapter(&adapter_folder()).unwrap_err(), &["has an adapter already"]);
    assert!(model.has_adapter());
}

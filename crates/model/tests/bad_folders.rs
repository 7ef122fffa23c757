//! Bad model folders: each gives one clear error that names the file and the tensor, never a panic.

#![allow(clippy::print_stdout, reason = "says how many damaged files it tried")]

mod fixture;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fixture::{Stored, assert_says, copy_of, edit_tensors, folder, refused};
use luthier_engine::Device;
use luthier_fixtures::repository;
use luthier_model::{Model, SaveDtype};
use safetensors::Dtype;
use serde_json::{Value, json};

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
    for dtype in [Dtype::I32, Dtype::BOOL, Dtype::I8] {
        let stored = Stored { dtype, shape: vec![32, 32], bytes: vec![0; 1024 * dtype.bitsize() / 8] };
        with(
            &|tensors| drop(tensors.insert(q.to_owned(), stored.clone())),
            &["model.safetensors", q, &format!("{dtype:?}"), "f32, bf16, f16 and f64 can be read"],
        );
    }
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
    let map = luthier_fixtures::json(&index)["weight_map"].as_object().unwrap().clone();
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
fn tokens_beyond_the_vocabulary_are_refused() {
    let model = fixture::model("qwen2-bias-tied");
    let error = model.log_probabilities(&[&[1, 384, 2]]).unwrap_err();
    assert_says(&error, &["token 384", "vocabulary of 384", "tokenizer"]);
}

#[test]
fn what_cannot_be_saved_leaves_no_file() {
    let model = fixture::model("qwen2-bias-tied");
    let copy = tempfile::tempdir().unwrap();
    let error = model.save_adapter(copy.path(), "base", None).unwrap_err();
    assert_says(&error, &["no adapter to save"]);
    let file = copy.path().join("file");
    fs::write(&file, "").unwrap();
    let error = model.save(&file.join("model"), SaveDtype::F32).unwrap_err();
    assert_says(&error, &["cannot write", "model.safetensors"]);
    assert_eq!(fs::read_dir(copy.path()).unwrap().count(), 1);
}

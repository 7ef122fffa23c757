//! Model folders as they come and go: shards, ties, prefixes, and saving in each type.

#![allow(clippy::print_stdout, reason = "says which models it ran with")]

mod fixture;

use std::fs;
use std::path::Path;

use fixture::{Stored, bits, copy_of, edit_json, edit_tensors, folder, logits, text};
use half::{bf16, f16};
use luthier_engine::Device;
use luthier_fixtures::json;
use luthier_model::{Model, SaveDtype};
use safetensors::Dtype;
use serde_json::json;

fn load(dir: &Path) -> Model {
    Model::load(dir, &Device::cpu()).unwrap()
}

#[test]
fn a_model_saved_in_f32_loads_with_the_same_bits() {
    for name in fixture::MODELS {
        let model = fixture::model(name);
        let tokens = text(1, 33, model.config.vocab_size);
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path(), SaveDtype::F32).unwrap();
        let again = load(dir.path());
        assert_eq!(bits(&logits(&model, &tokens)), bits(&logits(&again, &tokens)), "{name}");
        assert_eq!(again.stored_dtype, SaveDtype::F32);
        assert_eq!(again.generation_config, model.generation_config);
        let names = |model: &Model| model.params.iter().map(|(_, param)| param.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&model), names(&again), "{name}");
    }
}

#[test]
fn weights_used_as_they_lie_in_the_file_are_those_that_are_read_and_writing_copies_them() {
    for name in fixture::MODELS {
        let (mut mapped, read) = (fixture::model(name), Model::load_to_train(&fixture::folder(name), &Device::cpu()));
        let read = read.unwrap();
        let tokens = text(2, 33, mapped.config.vocab_size);
        assert_eq!(bits(&logits(&mapped, &tokens)), bits(&logits(&read, &tokens)), "{name}");
        assert_eq!(mapped.device().memory().current, read.device().memory().current, "both are counted");
        let ids: Vec<_> = mapped.params.iter().map(|(id, _)| id).collect();
        for id in ids {
            let device = mapped.device().clone();
            let tensor = &mut mapped.params.get_mut(id).tensor;
            let (was, copy) = (bits(&tensor.to_vec()), tensor.clone());
            device.scale(tensor.view_mut(), -2.0);
            assert_eq!(bits(&copy.to_vec()), was, "{name}: the file's numbers stay for those who share them");
            assert!(tensor.to_vec().iter().zip(was).all(|(new, old)| *new == -2.0 * f32::from_bits(old)), "{name}");
        }
        let again = fixture::model(name);
        assert_eq!(bits(&logits(&again, &tokens)), bits(&logits(&read, &tokens)), "{name}: the file is as it was");
    }
}

#[test]
fn weights_that_do_not_lie_aligned_are_read() {
    let folder = copy_of(&folder("llama-mha-untied"));
    let (aligned, path) = (load(folder.path()), folder.path().join("model.safetensors"));
    let bytes = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    // A header may end in spaces: three more shift all numbers.
    let mut shifted = (header + 3).to_le_bytes().to_vec();
    shifted.extend_from_slice(&bytes[8..8 + header as usize]);
    shifted.extend_from_slice(b"   ");
    shifted.extend_from_slice(&bytes[8 + header as usize..]);
    fs::remove_file(&path).unwrap();
    fs::write(&path, shifted).unwrap();
    let tokens = text(3, 20, aligned.config.vocab_size);
    assert_eq!(bits(&logits(&aligned, &tokens)), bits(&logits(&load(folder.path()), &tokens)));
}

#[test]
fn a_model_saved_in_16_bits_loads_with_its_weights_rounded_to_nearest() {
    for name in fixture::MODELS {
        let model = fixture::model(name);
        for (dtype, round) in [
            (SaveDtype::Bf16, (|x| bf16::from_f32(x).to_f32()) as fn(f32) -> f32),
            (SaveDtype::F16, |x| f16::from_f32(x).to_f32()),
        ] {
            let dir = tempfile::tempdir().unwrap();
            model.save(dir.path(), dtype).unwrap();
            let again = load(dir.path());
            assert_eq!(again.stored_dtype, dtype);
            assert_eq!(json(&dir.path().join("config.json"))["torch_dtype"], dtype.torch_name());
            for ((_, ours), (_, theirs)) in model.params.iter().zip(again.params.iter()) {
                let rounded: Vec<f32> = ours.tensor.to_vec().into_iter().map(round).collect();
                assert_eq!(bits(&rounded), bits(&theirs.tensor.to_vec()), "{name} {dtype:?} {}", ours.name);
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn saved_weights_are_as_readable_as_the_files_beside_them() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fixture::model(fixture::MODELS[0]).save(dir.path(), SaveDtype::F32).unwrap();
    let mode = |file: &str| fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
    assert_eq!(mode("model.safetensors"), mode("config.json"));
}

#[test]
fn a_checkpoint_of_16_bits_saved_in_its_own_type_is_the_same_again() {
    for (name, dtype) in
        [("llama-gqa-tied-llama3-rope", SaveDtype::Bf16), ("llama-linear-rope-headdim", SaveDtype::F16)]
    {
        let model = fixture::model(name);
        assert_eq!(model.stored_dtype, dtype);
        let dir = tempfile::tempdir().unwrap();
        model.save(dir.path(), dtype).unwrap();
        let tokens = text(1, 33, model.config.vocab_size);
        assert_eq!(bits(&logits(&model, &tokens)), bits(&logits(&load(dir.path()), &tokens)), "{name}");
        assert_eq!(json(&folder(name).join("config.json")), json(&dir.path().join("config.json")), "{name}");
    }
}

#[test]
fn a_weight_beyond_f16_is_refused_rather_than_saved_as_infinity() {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    edit_tensors(&copy.path().join("model.safetensors"), |tensors| {
        tensors.insert("model.norm.weight".to_owned(), Stored::f32s(&[32], 70_000.0));
    });
    let model = load(copy.path());
    let dir = tempfile::tempdir().unwrap();
    let message = model.save(dir.path(), SaveDtype::F16).unwrap_err().to_string();
    assert!(message.contains("model.norm.weight holds 70000") && message.contains("bfloat16"), "{message}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    model.save(dir.path(), SaveDtype::Bf16).unwrap();
}

#[test]
fn a_saved_config_keeps_the_fields_we_do_not_know() {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    edit_json(&copy.path().join("config.json"), |config| {
        config.insert("made_by".to_owned(), json!({"名": ["琴", 1, null, 1e-5]}));
        config.insert("dtype".to_owned(), json!("float32"));
    });
    let dir = tempfile::tempdir().unwrap();
    load(copy.path()).save(dir.path(), SaveDtype::Bf16).unwrap();
    let (mut before, after) = (json(&copy.path().join("config.json")), json(&dir.path().join("config.json")));
    before["torch_dtype"] = json!("bfloat16");
    before["dtype"] = json!("bfloat16");
    assert_eq!(before, after);
}

#[test]
fn shards_give_the_model_of_one_file() {
    let sharded = fixture::model("qwen2-untied-odd");
    let dir = tempfile::tempdir().unwrap();
    sharded.save(dir.path(), SaveDtype::F32).unwrap();
    assert!(!dir.path().join("model.safetensors.index.json").exists());
    let tokens = text(4, 33, sharded.config.vocab_size);
    assert_eq!(bits(&logits(&sharded, &tokens)), bits(&logits(&load(dir.path()), &tokens)));
}

#[test]
fn a_tied_model_takes_its_embedding_even_when_the_file_carries_a_head() {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    edit_tensors(&copy.path().join("model.safetensors"), |tensors| {
        let stale = Stored::f32s(&tensors["model.embed_tokens.weight"].shape, 3.0);
        tensors.insert("lm_head.weight".to_owned(), stale);
    });
    let tokens = text(4, 33, 384);
    let tied = logits(&fixture::model("qwen2-bias-tied"), &tokens);
    assert_eq!(bits(&tied), bits(&logits(&load(copy.path()), &tokens)));
}

#[test]
fn names_without_the_model_prefix_are_accepted() {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    edit_tensors(&copy.path().join("model.safetensors"), |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, stored)| (name.strip_prefix("model.").unwrap().to_owned(), stored))
            .collect();
        // Old checkpoints carry the rotary frequencies of each block.
        tensors.insert("layers.0.self_attn.rotary_emb.inv_freq".to_owned(), Stored::f32s(&[4], 1.0));
    });
    let tokens = text(4, 33, 384);
    let bare = load(copy.path());
    assert_eq!(bits(&logits(&fixture::model("qwen2-bias-tied"), &tokens)), bits(&logits(&bare, &tokens)));
    let dir = tempfile::tempdir().unwrap();
    bare.save(dir.path(), SaveDtype::F32).unwrap();
    assert_eq!(fs::read(dir.path().join("model.safetensors")).unwrap(), saved("qwen2-bias-tied"));
}

/// The bytes that the fixture gives when we save it.
fn saved(name: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    fixture::model(name).save(dir.path(), SaveDtype::F32).unwrap();
    fs::read(dir.path().join("model.safetensors")).unwrap()
}

#[test]
fn numbers_of_64_bits_are_rounded_and_whole_numbers_beside_the_weights_do_no_harm() {
    let copy = copy_of(&folder("qwen2-bias-tied"));
    edit_tensors(&copy.path().join("model.safetensors"), |tensors| {
        let norm = tensors.get_mut("model.layers.1.input_layernorm.weight").unwrap();
        let numbers = norm.bytes.as_chunks().0.iter().map(|&four| f64::from(f32::from_le_bytes(four)) * (1.0 + 1e-12));
        norm.bytes = numbers.flat_map(f64::to_le_bytes).collect();
        norm.dtype = Dtype::F64;
        let mask = Stored { dtype: Dtype::BOOL, shape: vec![4], bytes: vec![1; 4] };
        tensors.insert("model.layers.0.self_attn.bias".to_owned(), mask);
    });
    let tokens = text(4, 33, 384);
    assert_eq!(bits(&logits(&fixture::model("qwen2-bias-tied"), &tokens)), bits(&logits(&load(copy.path()), &tokens)));
}

#[test]
fn a_model_saved_without_its_head_says_what_is_missing() {
    let copy = copy_of(&folder("llama-mha-untied"));
    edit_tensors(&copy.path().join("model.safetensors"), |tensors| drop(tensors.remove("lm_head.weight")));
    let message = Model::load(copy.path(), &Device::cpu()).unwrap_err().to_string();
    assert!(message.contains("\"lm_head.weight\" is missing") && message.contains("tie_word_embeddings"), "{message}");
}

#[test]
fn a_fresh_model_depends_on_its_seed_and_survives_saving() {
    let config = json(&folder("llama-linear-rope-headdim").join("config.json")).as_object().unwrap().clone();
    let create = |seed| Model::create(config.clone(), Path::new("config.json"), seed, &Device::cpu()).unwrap();
    let tokens = text(4, 20, 256);
    let (one, two) = (create(1), create(2));
    assert_eq!(bits(&logits(&one, &tokens)), bits(&logits(&create(1), &tokens)));
    assert_ne!(bits(&logits(&one, &tokens)), bits(&logits(&two, &tokens)));
    let dir = tempfile::tempdir().unwrap();
    one.save(dir.path(), SaveDtype::F32).unwrap();
    assert_eq!(bits(&logits(&one, &tokens)), bits(&logits(&load(dir.path()), &tokens)));
}

#[test]
fn texts_without_a_next_token_have_no_log_probabilities() {
    let model = fixture::model("qwen2-bias-tied");
    let list = model.log_probabilities(&[&[], &[1, 2, 3], &[4], &[5, 6], &[]]).unwrap();
    assert_eq!(list.iter().map(Vec::len).collect::<Vec<_>>(), [0, 2, 0, 1, 0]);
    assert_eq!(list[1], model.log_probabilities(&[&[1, 2, 3]]).unwrap()[0]);
    assert_eq!(list[3], model.log_probabilities(&[&[5, 6]]).unwrap()[0]);
    assert!(model.log_probabilities(&[]).unwrap().is_empty());
    assert_eq!(model.log_probabilities(&[&[], &[7]]).unwrap(), [Vec::<f32>::new(), Vec::new()]);
}

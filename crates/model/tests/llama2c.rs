//! Files of llama2.c as models.

mod fixture;

use std::fs;
use std::path::Path;

use fixture::{assert_says, bits, edit_json, folder, logits, refused, text};
use luthier_engine::Device;
use luthier_fixtures::{ids, json, numbers, shared};
use luthier_model::weights::{self, Tensors};
use luthier_model::{Config, Model, SaveDtype, Store};

fn load(path: &Path) -> Model {
    Model::load(path, &Device::cpu()).unwrap()
}

#[test]
fn stories260k_as_llama2c_wrote_it_is_the_converted_folder() {
    let Some(root) = shared("models/stories260K") else { return };
    let (ours, theirs) = (load(&root.join("stories260K.bin")), load(&root.join("hf")));
    let tokens = text(3, 40, 512);
    assert_eq!(bits(&logits(&ours, &tokens)), bits(&logits(&theirs, &tokens)));
    let nll = &json(&root.join("golden/hf_generate.json"))["nll"];
    let golden = numbers(&nll["token_logprobs"]);
    let found = ours.log_probabilities(&[&ids(&nll["ids"])]).unwrap().remove(0);
    assert_eq!(found.len(), golden.len());
    for (ours, golden) in found.iter().zip(golden) {
        assert!((f64::from(*ours) - golden).abs() < 1e-4, "{ours}, golden {golden}");
    }
    let (config, reference) = (&ours.config, &theirs.config);
    let mut config = config.clone();
    config.json.clone_from(&reference.json);
    assert_eq!(&config, reference, "the header says what config.json says");
    // What is saved of it is a folder like any other.
    let dir = tempfile::tempdir().unwrap();
    ours.save(dir.path(), SaveDtype::F32).unwrap();
    assert_eq!(bits(&logits(&load(dir.path()), &tokens)), bits(&logits(&theirs, &tokens)));
    let packed = |path: &Path| Model::load_as(path, &Device::cpu(), Store::Int8).unwrap();
    let (ours, theirs) = (packed(&root.join("stories260K.bin")), packed(&root.join("hf")));
    assert_eq!(bits(&logits(&ours, &tokens)), bits(&logits(&theirs, &tokens)));
}

/// The fixture model as llama2.c would write it, rows of q and k in its order.
fn exported(model: &Path, version: i32) -> Vec<u8> {
    let config = Config::read(model).unwrap();
    let tensors = Tensors::of_model(model).unwrap();
    let read = |name: &str| {
        let (shape, numbers) = tensors.read_any(name).unwrap();
        let head = config.head_dim;
        let turned = if name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight") {
            // Row 2i + j of a head is row j * D/2 + i here.
            let row = |to: usize| to / head * head + to % 2 * (head / 2) + to % head / 2;
            (0..shape[0]).flat_map(|to| numbers[row(to) * shape[1]..(row(to) + 1) * shape[1]].to_vec()).collect()
        } else {
            numbers
        };
        turned.iter().flat_map(|x: &f32| x.to_le_bytes()).collect::<Vec<u8>>()
    };
    let blocks = |names: &[&str]| {
        let all = names.iter().flat_map(|name| (0..config.num_hidden_layers).map(move |block| (block, *name)));
        all.flat_map(|(block, name)| read(&format!("model.layers.{block}.{name}.weight"))).collect::<Vec<u8>>()
    };
    let sign = if config.tie_word_embeddings || version > 0 { 1 } else { -1 };
    let sizes = [
        config.hidden_size as i32,
        config.intermediate_size as i32,
        config.num_hidden_layers as i32,
        config.num_attention_heads as i32,
        config.num_key_value_heads as i32,
        config.vocab_size as i32 * sign,
        config.max_position_embeddings as i32,
    ];
    let header: Vec<u8> = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
    let attention = blocks(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]);
    let mlp = blocks(&["mlp.gate_proj", "mlp.down_proj", "mlp.up_proj"]);
    let (embedding, norm) = (read("model.embed_tokens.weight"), read("model.norm.weight"));
    let (norms, mlp_norms) = (blocks(&["input_layernorm"]), blocks(&["post_attention_layernorm"]));
    let mut file = Vec::new();
    if version == 0 {
        let angles = vec![7; config.max_position_embeddings * config.head_dim * 4];
        file.extend([header, embedding, norms, attention, mlp_norms, mlp, norm, angles].concat());
    } else {
        file.extend([b"24ka".to_vec(), version.to_le_bytes().to_vec(), header].concat());
        file.push(u8::from(config.tie_word_embeddings));
        file.resize(256, 0);
        file.extend([norms, mlp_norms, norm, embedding, attention, mlp].concat());
    }
    if !config.tie_word_embeddings {
        file.extend(read("lm_head.weight"));
    }
    file
}

#[test]
fn both_versions_are_read_with_and_without_a_head_of_their_own() {
    // Fixture models with llama2.c's angles and eps.
    let name = "llama-mha-untied";
    let copy = fixture::copy_of(&folder(name));
    edit_json(&copy.path().join("config.json"), |config| {
        config.insert("rms_norm_eps".to_owned(), 1e-5.into());
        config.insert("rope_theta".to_owned(), 10_000.0.into());
    });
    for tied in [false, true] {
        edit_json(&copy.path().join("config.json"), |config| {
            config.insert("tie_word_embeddings".to_owned(), tied.into());
        });
        let reference = load(copy.path());
        let tokens = text(2, 20, 256);
        for version in [0, 1] {
            let path = copy.path().join("exported.bin");
            fs::write(&path, exported(copy.path(), version)).unwrap();
            let model = load(&path);
            assert_eq!(model.config.tie_word_embeddings, tied);
            assert_eq!(bits(&logits(&model, &tokens)), bits(&logits(&reference, &tokens)), "version {version}");
            let (json, tensors) = weights::open(&path).unwrap();
            assert_eq!(json["model_type"], "llama");
            assert_eq!(tensors.contains("lm_head.weight"), !tied);
            assert!(weights::are_there(&path));
        }
    }
}

#[test]
fn bad_files_of_llama2c_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.bin");
    let with = |bytes: &[u8], wanted: &[&str]| {
        fs::write(&path, bytes).unwrap();
        refused(&path, &[&["bad.bin"], wanted].concat());
    };
    for version in [0, 1] {
        let whole = exported(&folder("llama-mha-untied"), version);
        with(&whole[..whole.len() - 1], &["truncated", "a llama2.c file with this header has"]);
        with(&whole[..300], &["truncated"]);
        with(&[&whole[..], b"more"].concat(), &["damaged", "a llama2.c file with this header has"]);
    }
    let mut whole = exported(&folder("llama-mha-untied"), 1);
    whole[4] = 2;
    with(&whole, &["eight bits", "version 2", "--version 1"]);
    whole[4] = 9;
    with(&whole, &["version 9", "versions 0 and 1"]);
    whole[4] = 1;
    // Three heads do not divide the width, no model has none, and nobody has 2^31 blocks.
    for (at, size) in [(20, 3), (20, 0), (24, 3), (16, i32::MAX), (16, -1), (28, i32::MIN)] {
        let mut damaged = whole.clone();
        damaged[at..at + 4].copy_from_slice(&i32::to_le_bytes(size));
        with(&damaged, &["header is damaged"]);
    }
    // What is no file of llama2.c is no model.
    for bytes in [&b""[..], &[0; 64], b"{\"model_type\": \"llama\", \"hidden_size\": 64}", &[0xFF; 200]] {
        with(bytes, &["it is a file", "llama2.c", "give the folder"]);
    }
    let error = Tensors::of_file(&folder("llama-mha-untied").join("config.json")).unwrap_err();
    assert_says(&error, &["config.json", "no safetensors file"]);
}

//! LoRA adapters: attached, loaded from PEFT's files, merged, detached, saved and loaded again.

#![allow(clippy::print_stdout, reason = "says how close the losses came")]

mod fixture;

use std::fs;
use std::path::Path;

use fixture::{bits, largest_difference, logits, text};
use luthier_engine::{Device, Layout, Tape};
use luthier_fixtures::{ids, json, repository, shared};
use luthier_model::{LoraOptions, Model, Targets};
use serde_json::Value;

/// Mean loss over the labelled tokens of a golden row.
fn loss(model: &Model, row: &Value) -> f64 {
    let tokens = ids(&row["input_ids"]);
    let labels = row["labels"].as_array().unwrap().iter().map(|label| label.as_i64().unwrap());
    let pairs: Vec<(u32, u32)> =
        (0u32..).zip(labels.skip(1)).filter(|(_, l)| *l >= 0).map(|(i, l)| (i, l as u32)).collect();
    let (wanted, labels): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
    let mut tape = Tape::inference(model.device(), &model.params);
    let hidden = model.forward(&mut tape, &tokens, &Layout::packed(&[tokens.len()]), Some(&wanted)).unwrap();
    let nll = tape.head_loss(&hidden, model.head(), &labels);
    nll.iter().map(|&x| f64::from(x)).sum::<f64>() / nll.len() as f64
}

/// The losses of the first rows equal the golden ones within 1e-5 relative; returns the largest difference.
#[track_caller]
fn assert_losses(what: &str, model: &Model, rows: &Value, golden: &Value) -> f64 {
    let golden = golden.as_array().unwrap_or_else(|| panic!("{what}: no golden losses"));
    assert_eq!(golden.len(), 8, "{what}");
    let mut worst = 0.0f64;
    for (row, expected) in rows.as_array().unwrap().iter().zip(golden) {
        let (ours, expected) = (loss(model, row), expected.as_f64().unwrap());
        let difference = (ours - expected).abs() / expected;
        assert!(difference < 1e-5, "{what}: loss {ours}, golden {expected}");
        worst = worst.max(difference);
    }
    worst
}

fn options(targets: Targets) -> LoraOptions {
    LoraOptions::new(4, 8.0, targets)
}

fn named(names: &[&str]) -> Targets {
    Targets::Named(names.iter().map(|&name| name.to_owned()).collect())
}

/// Gives B of every term numbers, as training would.
fn train_a_little(model: &mut Model) {
    let ids: Vec<_> =
        model.params.trainable().map(|(id, param)| (id, param.tensor.rows(), param.tensor.cols())).collect();
    for (seed, (id, rows, cols)) in ids.into_iter().enumerate() {
        let data: Vec<f32> = (0..rows * cols).map(|i| ((i * 37 + seed * 11) % 101) as f32 / 500.0 - 0.1).collect();
        model.params.get_mut(id).tensor = luthier_engine::Tensor::from_slice(&Device::cpu(), rows, cols, &data);
    }
}

#[test]
fn a_fresh_adapter_does_not_change_a_bit_of_the_logits() {
    for name in fixture::MODELS {
        let mut model = fixture::model(name);
        let tokens = text(1, 40, model.config.vocab_size);
        let base = logits(&model, &tokens);
        for (targets, rslora) in [(Targets::AllLinear, false), (named(&["q_proj", "v_proj"]), true)] {
            model.attach_lora(&LoraOptions { rslora, ..options(targets) }, 7).unwrap();
            assert!(model.params.count().1 > 0 && model.has_adapter());
            assert_eq!(bits(&base), bits(&logits(&model, &tokens)), "{name}");
            model.detach_adapter();
        }
    }
}

#[test]
fn the_seed_decides_the_fresh_adapter() {
    let fresh = |seed| {
        let mut model = fixture::model("qwen2-bias-tied");
        model.attach_lora(&options(Targets::AllLinear), seed).unwrap();
        let values: Vec<f32> = model.params.trainable().flat_map(|(_, param)| param.tensor.to_vec()).collect();
        values
    };
    assert_eq!(bits(&fresh(1)), bits(&fresh(1)));
    assert_ne!(bits(&fresh(1)), bits(&fresh(2)));
    // Kaiming with a = sqrt 5, as PEFT: uniform within 1 / sqrt of the inputs; those of down_proj are wider than C = 32.
    let bound = 1.0 / 32f32.sqrt();
    assert!(fresh(1).iter().all(|x| x.abs() <= bound) && fresh(1).iter().any(|x| x.abs() > 0.9 * bound));
}

#[test]
fn detaching_gives_back_the_base_bit_for_bit() {
    let mut model = fixture::model("llama-mha-untied");
    let tokens = text(2, 30, model.config.vocab_size);
    let (base, parameters) = (logits(&model, &tokens), model.params.len());
    model.attach_lora(&options(Targets::AllLinear), 3).unwrap();
    train_a_little(&mut model);
    assert!(largest_difference(&base, &logits(&model, &tokens)) > 0.1);
    model.detach_adapter();
    assert_eq!((model.params.len(), model.params.count().1, model.has_adapter()), (parameters, 0, false));
    assert_eq!(bits(&base), bits(&logits(&model, &tokens)));
}

#[test]
fn peft_adapters_give_the_golden_losses_before_and_after_training_and_merged() {
    for name in ["llama-mha-untied", "qwen2-bias-tied"] {
        let root = repository().join("fixtures/training").join(name);
        let golden = json(&root.join("golden.json"));
        for run in ["lora_qv", "rslora_all", "lora_all_continued"] {
            let what = format!("{name} {run}");
            let numbers = &golden["runs"][run];
            let mut model = fixture::model(name);
            model.load_adapter(&root.join(numbers["initial"].as_str().unwrap())).unwrap();
            assert_losses(&format!("{what} initial"), &model, &golden["rows"], &numbers["row_losses_before_first8"]);
            model.detach_adapter();
            model.load_adapter(&root.join(numbers["final"].as_str().unwrap())).unwrap();
            assert_eq!(model.params.count().1 as u64, numbers["trainable_parameters"].as_u64().unwrap(), "{what}");
            let adapted =
                assert_losses(&format!("{what} final"), &model, &golden["rows"], &numbers["row_losses_after_first8"]);
            model.merge_adapter().unwrap();
            assert!(!model.has_adapter());
            assert_eq!(model.params.count().1, 0);
            let merged =
                assert_losses(&format!("{what} merged"), &model, &golden["rows"], &numbers["merged_row_losses_after"]);
            println!("{what}: largest relative difference {adapted:.1e}, merged {merged:.1e}");
        }
    }
}

#[test]
fn the_stories_adapters_give_the_golden_losses() {
    let Some(root) = shared("models/stories260K") else { return };
    let golden = json(&root.join("golden/hf_train.json"));
    let mut model = Model::load(&root.join("hf"), &Device::cpu()).unwrap();
    let mut check = |what: &str, dir: &Path, run: &Value| {
        model.load_adapter(dir).unwrap();
        let adapted = assert_losses(what, &model, &golden["examples"], &run["eval_loss_first8_after"]);
        assert_eq!(model.params.count().1 as u64, run["trainable_params"].as_u64().unwrap(), "{what}");
        model.merge_adapter().unwrap();
        let merged = assert_losses(what, &model, &golden["examples"], &run["merged_loss_first8"]);
        println!("{what}: largest relative difference {adapted:.1e}, merged {merged:.1e}");
        model = Model::load(&root.join("hf"), &Device::cpu()).unwrap();
    };
    check("adapter-lora-qv", &root.join("adapter-lora-qv"), &golden["lora_qv"]);
    // The goldens beside it hold PEFT's names in memory, with `.default`, and no configuration.
    let all = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
    for (run, file, rank, targets) in [
        ("lora_qv", "lora_qv_final", 8, &["q_proj", "v_proj"][..]),
        ("lora_all_rslora", "lora_all_rslora_final", 8, &all[..]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(root.join(format!("golden/{file}.safetensors")), dir.path().join("adapter_model.safetensors"))
            .unwrap();
        let config = serde_json::json!({"peft_type": "LORA", "r": rank, "lora_alpha": 16, "target_modules": targets,
            "use_rslora": run.ends_with("rslora")});
        fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
        check(file, dir.path(), &golden[run]);
    }
}

#[test]
fn merged_weights_give_the_adapters_logits_within_rounding() {
    for name in fixture::MODELS {
        let mut model = fixture::model(name);
        let tokens = text(5, 33, model.config.vocab_size);
        model.attach_lora(&options(Targets::AllLinear), 3).unwrap();
        train_a_little(&mut model);
        let adapted = logits(&model, &tokens);
        model.merge_adapter().unwrap();
        let largest = adapted.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        let difference = largest_difference(&adapted, &logits(&model, &tokens));
        println!("{name}: {difference:.1e} of {largest:.1e}");
        assert!(difference < 1e-5 * largest, "{name}: {difference} of {largest}");
    }
}

#[test]
fn an_adapter_saved_and_loaded_again_gives_the_same_bits_and_the_same_files() {
    for targets in [Targets::AllLinear, named(&["v_proj", "up_proj"]), named(&["layers.1.self_attn.q_proj"])] {
        let mut model = fixture::model("llama-gqa-tied-llama3-rope");
        let tokens = text(3, 33, model.config.vocab_size);
        let choice = LoraOptions { rslora: true, dropout: 0.1, alpha: 0.5, ..options(targets) };
        model.attach_lora(&choice, 5).unwrap();
        train_a_little(&mut model);
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        model.save_adapter(first.path(), "the/base", None).unwrap();
        let mut again = fixture::model("llama-gqa-tied-llama3-rope");
        again.load_adapter(first.path()).unwrap();
        assert_eq!(bits(&logits(&model, &tokens)), bits(&logits(&again, &tokens)));
        assert_eq!(model.params.count(), again.params.count());
        again.save_adapter(second.path(), "the/base", None).unwrap();
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            assert_eq!(
                fs::read(first.path().join(file)).unwrap(),
                fs::read(second.path().join(file)).unwrap(),
                "{file}"
            );
        }
    }
}

#[test]
fn a_saved_adapter_config_has_the_fields_of_peft() {
    let theirs = repository().join("fixtures/training/qwen2-bias-tied/rslora_all/final");
    let mut model = fixture::model("qwen2-bias-tied");
    model.load_adapter(&theirs).unwrap();
    let dir = tempfile::tempdir().unwrap();
    model.save_adapter(dir.path(), "fixtures/models/qwen2-bias-tied", None).unwrap();
    let (ours, theirs) = (json(&dir.path().join("adapter_config.json")), json(&theirs.join("adapter_config.json")));
    assert_eq!(ours, theirs);
}

#[test]
fn an_adapter_can_be_trained_on_after_loading() {
    let mut model = fixture::model("qwen2-bias-tied");
    model.load_adapter(&repository().join("fixtures/training/qwen2-bias-tied/lora_qv/final")).unwrap();
    assert!(model.params.trainable().all(|(_, param)| param.name.contains(".lora_")));
    assert_eq!(model.params.count().1, 896);
}

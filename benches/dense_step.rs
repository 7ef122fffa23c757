//! One dense training step on random tokens, no padding, every token labelled: the arithmetic-bound case. The peer's
//! twin is `tools/peers/step.py`.
//!
//! usage: cargo run --release -p luthier-train --example dense_step -- lora|full [BATCH [LENGTH [none|cheap|block]]]

#![allow(clippy::print_stdout, reason = "a program that prints its measurement")]

use std::path::Path;
use std::time::Instant;

use luthier_engine::{Device, Grads};
use luthier_model::{LoraOptions, Model, Targets};
use luthier_train::meter::peak_memory_bytes;
use luthier_train::optimiser::Optimiser;
use luthier_train::recipe::{Adam, AdamState, RecomputeName};
use luthier_train::{Batch, TrainingRow};
use serde_json::json;

/// SmolLM-135M's shape.
fn model() -> Model {
    let config = json!({
        "model_type": "llama", "hidden_act": "silu", "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49_152,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "tie_word_embeddings": true,
    });
    let config = config.as_object().expect("an object").clone();
    Model::create(config, Path::new("config.json"), 0, &Device::cpu()).expect("the shape above is right")
}

fn main() {
    let mut args = std::env::args().skip(1);
    let method = args.next().unwrap_or_else(|| "lora".to_owned());
    let batch: usize = args.next().map_or(4, |text| text.parse().expect("BATCH is a number"));
    let length: usize = args.next().map_or(256, |text| text.parse().expect("LENGTH is a number"));
    let recompute = args.next().map_or(RecomputeName::None, |text| {
        RecomputeName::from_name(&text).expect("recompute is none, cheap or block")
    });
    let mut model = model();
    match method.as_str() {
        "full" => model.train_everything(),
        _ => {
            let options = LoraOptions::new(8, 16.0, Targets::AllLinear);
            model.attach_lora(&options, 0).expect("all-linear fits any model");
        }
    }
    let rows: Vec<TrainingRow> = (0..batch)
        .map(|row| TrainingRow {
            tokens: (0..length).map(|i| ((row * 7919 + i * 104_729 + 12_345) % 49_152) as u32).collect(),
            labelled: vec![true; length],
        })
        .collect();
    let packed = Batch { recompute: recompute.into(), ..Batch::pack(&rows) };
    let adam = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, state: AdamState::F32 };
    let mut optimiser = Optimiser::new(model.device(), &model.params, adam, 0.01);
    let mut grads = Grads::zeros(model.device(), &model.params);
    let mut seconds = Vec::new();
    for step in 1..=6 {
        let started = Instant::now();
        grads.set_zero();
        let labels = packed.labels.len();
        let loss = packed.backward(&model, 1.0 / labels as f32, 0, &mut grads).expect("tokens are in the vocabulary");
        optimiser.update(&mut model.params, &grads, step, 1e-4, 1.0);
        seconds.push(started.elapsed().as_secs_f64());
        println!("step {step}: loss {:.4}, {:.2} s", loss / labels as f64, seconds[seconds.len() - 1]);
    }
    let mut counted = seconds[1..].to_vec();
    counted.sort_by(f64::total_cmp);
    let tokens = (batch * length) as f64;
    println!(
        "{method} {batch}x{length}: {:.1} tok/s best, {:.1} median, peak {:.2} GB",
        tokens / counted[0],
        tokens / counted[counted.len() / 2],
        peak_memory_bytes() as f64 / 1e9
    );
}

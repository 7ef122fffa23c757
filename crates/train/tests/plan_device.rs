//! The counting device runs the code that trains: what it says of memory is what the CPU then takes.

use luthier_engine::{Device, Grads, Recompute};
use luthier_model::{LoraOptions, Model, Store, Targets};
use luthier_train::optimiser::Optimiser;
use luthier_train::recipe::{Adam, AdamState};
use luthier_train::{Batch, TrainingRow};
use serde_json::json;

/// Two steps of an adapter on a model held so, or of all weights.
fn two_steps(device: &Device, lora: Option<Store>, recompute: Recompute, state: AdamState) {
    let dir = luthier_fixtures::model("qwen2-bias-tied");
    let mut model = Model::load_as(&dir, device, lora.unwrap_or_default()).unwrap();
    if lora.is_some() {
        let options = LoraOptions { dropout: 0.1, ..LoraOptions::new(4, 8.0, Targets::AllLinear) };
        model.attach_lora(&options, 1).unwrap();
    } else {
        model.train_everything();
    }
    let row = |length: u32| TrainingRow {
        tokens: (0..length).map(|i| (i * 37 + length) % 300).collect(),
        labelled: (0..length).map(|i| i > length / 2).collect(),
    };
    let mut batch = Batch::pack(&[row(30), row(57), row(5)]);
    batch.recompute = recompute;
    let adam = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, state };
    let mut optimiser = Optimiser::new(device, &model.params, adam, 0.0);
    let mut grads = Grads::zeros(device, &model.params);
    for step in 1..=2 {
        grads.set_zero();
        batch.backward(&model, 0.1, step, &mut grads).unwrap();
        optimiser.update(&mut model.params, &grads, step, 1e-3, 1.0);
    }
}

#[test]
fn the_counted_peak_is_the_peak_that_training_takes() {
    let stores = [None, Some(Store::F32), Some(Store::Bf16), Some(Store::Int8), Some(Store::Nf4)];
    let modes = [Recompute::None, Recompute::Cheap, Recompute::Block];
    for (lora, recompute) in stores.into_iter().flat_map(|lora| modes.map(|recompute| (lora, recompute))) {
        let (cpu, plan) = (Device::cpu(), Device::plan());
        two_steps(&cpu, lora, recompute, AdamState::F32);
        two_steps(&plan, lora, recompute, AdamState::F32);
        assert_eq!(plan.memory().peak, cpu.memory().peak, "{lora:?}, recompute {recompute:?}");
        assert_eq!(plan.memory().held, cpu.memory().held, "{lora:?}, recompute {recompute:?}");
        assert_eq!(plan.memory().current, 0);
        assert!(plan.memory().peak > 100_000);
    }
}

#[test]
fn an_adapter_step_counts_fewer_operations_than_a_full_one() {
    let count = |lora| {
        let plan = Device::plan();
        two_steps(&plan, lora, Recompute::None, AdamState::F32);
        plan.work().product_operations
    };
    let (full, adapter) = (count(None), count(Some(Store::F32)));
    // Without the weights' gradients a third of the linear maps' work goes; the low-rank terms add a little.
    assert!(adapter < full && adapter > full / 2, "{adapter} of {full}");
}

#[test]
fn moments_in_eight_bits_take_a_quarter_of_the_memory_on_both_devices() {
    let held = |device: &Device, state| {
        let config = json!({
            "model_type": "llama", "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 192,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 300,
            "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 1e4, "tie_word_embeddings": false,
        });
        let config = config.as_object().unwrap().clone();
        let mut model = Model::create(config, std::path::Path::new("config.json"), 0, device).unwrap();
        model.train_everything();
        let before = device.memory().current;
        let adam = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, state };
        let optimiser = Optimiser::new(device, &model.params, adam, 0.0);
        let held = device.memory().current - before;
        drop(optimiser);
        let sizes = model.params.trainable().map(|(_, param)| param.tensor.rows() * param.tensor.cols());
        (held, sizes.collect::<Vec<usize>>())
    };
    for device in [Device::cpu(), Device::plan()] {
        let (full, sizes) = held(&device, AdamState::F32);
        assert_eq!(full, sizes.iter().sum::<usize>() * 8);
        let (eight, _) = held(&device, AdamState::EightBit);
        let coded = |n: usize| if n < 4096 { 8 * n } else { n.div_ceil(256) * (2 * 256 + 2 * 4) };
        assert_eq!(eight, sizes.into_iter().map(coded).sum::<usize>());
        assert!(eight * 100 < full * 28, "{eight} of {full}");
    }
    let (cpu, plan) = (Device::cpu(), Device::plan());
    two_steps(&cpu, None, Recompute::None, AdamState::EightBit);
    two_steps(&plan, None, Recompute::None, AdamState::EightBit);
    assert_eq!(plan.memory().peak, cpu.memory().peak);
}

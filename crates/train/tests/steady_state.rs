//! Once a step of a shape was taken, the next one asks the system for no large block of memory: what a step frees is kept
//! for the next. The packing buffers of the `gemm` crate are not counted, see the allocator. One test, as that counts for
//! the whole process.

use luthier_engine::{Device, Grads, Recompute};
use luthier_fixtures::{LargeAllocations, large_allocations};
use luthier_model::{LoraOptions, Model, Targets};
use luthier_train::optimiser::Optimiser;
use luthier_train::recipe::{Adam, AdamState};
use luthier_train::{Batch, TrainingRow};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: LargeAllocations = LargeAllocations;

fn model() -> Model {
    let config = json!({
        "model_type": "llama", "hidden_act": "silu", "hidden_size": 192, "intermediate_size": 512,
        "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 3, "vocab_size": 4000,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "tie_word_embeddings": true,
    });
    let config = config.as_object().unwrap().clone();
    Model::create(config, std::path::Path::new("config.json"), 0, &Device::cpu()).unwrap()
}

/// Three rows of the lengths of every step, with other tokens in each.
fn batch(step: u32, recompute: Recompute) -> Batch {
    let row = |length: u32| TrainingRow {
        tokens: (0..length).map(|i| (i * 37 + length * step) % 4000).collect(),
        labelled: (0..length).map(|i| i > length / 2).collect(),
    };
    Batch { recompute, ..Batch::pack_apart(&[row(200), row(170), row(90)]) }
}

struct Training {
    model: Model,
    optimiser: Optimiser,
    grads: Grads,
    recompute: Recompute,
}

impl Training {
    fn new(lora: Option<f64>, recompute: Recompute, state: AdamState) -> Self {
        let mut model = model();
        match lora {
            None => model.train_everything(),
            Some(dropout) => {
                let targets = Targets::AllLinear;
                let options = LoraOptions { dropout, ..LoraOptions::new(8, 16.0, targets) };
                model.attach_lora(&options, 1).unwrap();
            }
        }
        let adam = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, state };
        let optimiser = Optimiser::new(model.device(), &model.params, adam, 0.01);
        let grads = Grads::zeros(model.device(), &model.params);
        Self { model, optimiser, grads, recompute }
    }

    fn step(&mut self, number: u32) {
        let (model, grads) = (&mut self.model, &mut self.grads);
        grads.set_zero();
        let seed = u64::from(number);
        batch(number, self.recompute).backward(model, 0.01, seed, grads).unwrap();
        let norm = grads.norm();
        self.optimiser.update(&mut model.params, grads, seed, 1e-3, 1.0 / norm);
    }
}

#[test]
fn a_step_like_the_ones_before_asks_the_system_for_no_large_block() {
    for lora in [Some(0.1), None] {
        for recompute in [Recompute::None, Recompute::Cheap, Recompute::Block] {
            for state in [AdamState::F32, AdamState::EightBit] {
                let what = format!("lora {lora:?}, {recompute:?}, {state}");
                let mut made = None;
                let (begin, _) = large_allocations(|| {
                    let mut training = Training::new(lora, recompute, state);
                    (1..=2).for_each(|number| training.step(number));
                    made = Some(training);
                });
                assert!(begin > 0, "nothing large is asked for: the test shows nothing");
                let mut training = made.expect("it was made");
                let held = training.model.device().memory().held;
                // A thread that comes to a kind of work for the first time gets its scratch then; what every step asks
                // for shows in all of them.
                let later: Vec<_> = (3..=6).map(|number| large_allocations(|| training.step(number))).collect();
                assert!(later.iter().any(|(count, _)| *count == 0), "{what}: {later:?}");
                assert_eq!(training.model.device().memory().held, held, "{what}");
            }
        }
    }
}

//! What is made again in the backward gives the loss and the gradients of what is kept, bit for bit, in less memory.

use luthier_engine::{Device, Grads, Recompute};
use luthier_model::{LoraOptions, Model, Targets};
use luthier_train::{Batch, TrainingRow};
use serde_json::json;

fn model(name: &str) -> Model {
    Model::load(&luthier_fixtures::model(name), &Device::cpu()).unwrap()
}

fn adapter(model: &mut Model, dropout: f64, targets: Targets) {
    let options = LoraOptions { dropout, ..LoraOptions::new(3, 6.0, targets) };
    model.attach_lora(&options, 5).unwrap();
    // B begins at zero, which would leave A without a gradient.
    let ids: Vec<_> = model.params.trainable().map(|(id, _)| id).collect();
    for id in ids {
        let tensor = &mut model.params.get_mut(id).tensor;
        let numbers: Vec<f32> = (0..tensor.rows() * tensor.cols()).map(|i| (i as f32 * 0.37).sin() * 0.1).collect();
        *tensor = luthier_engine::Tensor::from_slice(tensor.device(), tensor.rows(), tensor.cols(), &numbers);
    }
}

/// Three rows with a common beginning; of each the last `answer` tokens are learnt.
fn rows(answer: usize) -> Vec<TrainingRow> {
    let row = |tail: usize| {
        let tokens: Vec<u32> = (0..19).chain((0..tail).map(|i| 40 + i * tail)).map(|i| (i * 29 % 290) as u32).collect();
        let labelled = (0..tokens.len()).map(|i| i + answer >= tokens.len()).collect();
        TrainingRow { tokens, labelled }
    };
    [4, 11, 7].map(row).to_vec()
}

/// The loss and all gradients of a batch, as bits.
fn bits(model: &Model, batch: &Batch, recompute: Recompute) -> (u64, Vec<u32>) {
    let batch = Batch { recompute, ..batch.clone() };
    let mut grads = Grads::zeros(model.device(), &model.params);
    // Twice, so that gradients are also added to what is there.
    let loss: f64 = (0..2).map(|seed| batch.backward(model, 0.03, seed, &mut grads).unwrap()).sum();
    let gradients: Vec<u32> = model.device().download(grads.flat()).into_iter().map(f32::to_bits).collect();
    assert!(gradients.iter().filter(|&&bits| f32::from_bits(bits) != 0.0).count() * 2 > gradients.len());
    (loss.to_bits(), gradients)
}

fn assert_same_bits(what: &str, model: &Model, batch: &Batch) {
    let kept = bits(model, batch, Recompute::None);
    for recompute in [Recompute::Cheap, Recompute::Block] {
        let made_again = bits(model, batch, recompute);
        assert_eq!(made_again.0, kept.0, "the loss of {what} with {recompute:?}");
        assert!(made_again.1 == kept.1, "gradients of {what} with {recompute:?}");
    }
}

#[test]
fn full_training_makes_the_same_bits_again_with_shared_beginnings_and_with_few_wanted_rows() {
    for name in ["qwen2-bias-tied", "llama-linear-rope-headdim"] {
        let mut model = model(name);
        model.train_everything();
        for answer in [2, 40] {
            assert_same_bits(&format!("{name}, {answer} apart"), &model, &Batch::pack_apart(&rows(answer)));
            assert_same_bits(&format!("{name}, {answer} shared"), &model, &Batch::pack(&rows(answer)));
        }
    }
}

#[test]
fn adapters_make_the_same_bits_again_with_and_without_dropout() {
    for (dropout, targets) in [
        (0.0, Targets::AllLinear),
        (0.3, Targets::AllLinear),
        (0.3, Targets::Named(vec!["down_proj".to_owned(), "k_proj".to_owned()])),
    ] {
        let mut model = model("qwen2-bias-tied");
        adapter(&mut model, dropout, targets.clone());
        assert_same_bits(&format!("dropout {dropout}, {targets:?}"), &model, &Batch::pack_apart(&rows(5)));
    }
}

#[test]
fn nothing_runs_again_below_the_lowest_trained_layer() {
    let operations = |recompute: Recompute, trained: &str| {
        let device = Device::plan();
        let mut model = Model::load(&luthier_fixtures::model("qwen2-bias-tied"), &device).unwrap();
        let last = model.config.num_hidden_layers - 1;
        model.params.set_trainable(|name| name.starts_with(&trained.replace("LAST", &last.to_string())));
        let mut grads = Grads::zeros(&device, &model.params);
        let batch = Batch { recompute, ..Batch::pack_apart(&rows(5)) };
        batch.backward(&model, 1.0, 0, &mut grads).unwrap();
        device.work().product_operations
    };
    let more = |trained| operations(Recompute::Block, trained) - operations(Recompute::None, trained);
    assert_eq!(more("model.layers.LAST"), 0);
    assert!(more("model.layers.0") > 0);
}

#[test]
fn the_more_is_made_again_the_less_is_kept() {
    let peak = |recompute: Recompute| {
        let device = Device::plan();
        let config = json!({
            "model_type": "llama", "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 256,
            "num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300,
            "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "tie_word_embeddings": true,
        });
        let config = config.as_object().unwrap().clone();
        let mut model = Model::create(config, std::path::Path::new("config.json"), 0, &device).unwrap();
        adapter(&mut model, 0.0, Targets::AllLinear);
        let mut grads = Grads::zeros(&device, &model.params);
        let kept = device.memory().current;
        let row = TrainingRow { tokens: (0..290).collect(), labelled: vec![true; 290] };
        let batch = Batch { recompute, ..Batch::pack_apart([&row]) };
        batch.backward(&model, 1.0, 0, &mut grads).unwrap();
        device.memory().peak - kept
    };
    let [none, cheap, block] = [Recompute::None, Recompute::Cheap, Recompute::Block].map(peak);
    assert!(cheap < none * 3 / 4, "{cheap} {none}");
    assert!(block < none / 2, "{block} {none}");
}

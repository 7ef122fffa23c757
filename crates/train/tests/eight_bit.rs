//! Training with the optimiser's moments in eight bits: nearly the same losses, and the same bytes after a stop.

mod watch;

use std::path::Path;

use luthier_engine::Device;
use luthier_model::Model;
use luthier_train::recipe::{AdamState, Recipe, Train};
use luthier_train::{Run, Task, TrainingRow, train};
use serde_json::json;
use watch::Steps;

fn options(state: AdamState) -> Train {
    let text = format!(
        "name = \"x\"\ndata = {{ sources = [{{ path = \"rows.jsonl\" }}] }}\nmodel = {{ base = \"pocket\" }}\n\
         [train]\nmethod = \"full\"\nsteps = 80\nrows_per_step = 4\nlearning_rate = 3e-3\n\
         checkpoint = {{ every = 20, keep = 4 }}\nadam = {{ state = \"{state}\" }}\n"
    );
    Recipe::parse(&text, "x.toml").unwrap().resolve().train
}

/// Wide enough that all but its norms have their moments in eight bits.
fn model() -> Model {
    let config = json!({
        "model_type": "llama", "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 192,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 300,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "tie_word_embeddings": true,
    });
    let config = config.as_object().unwrap().clone();
    Model::create(config, Path::new("config.json"), 0, &Device::cpu()).unwrap()
}

/// Rows of a rule that can be learnt: each token follows from the one before.
fn rows() -> Vec<TrainingRow> {
    let row = |start: u32| {
        let tokens: Vec<u32> = std::iter::successors(Some(start), |at| Some((at * 7 + 3) % 290)).take(24).collect();
        TrainingRow { labelled: vec![true; tokens.len()], tokens }
    };
    (0..16).map(|i| row(i * 11 + 1)).collect()
}

fn run(dir: &Path, state: AdamState) -> Vec<f64> {
    let mut model = model();
    model.train_everything();
    let (rows, options) = (rows(), options(state));
    let task = Task { options: &options, rows: &rows, seed: 1, shuffle: Some(3), share: true };
    let run = Run { task, held_out: &[], dir, training_hash: "one", passing: None };
    let mut steps = Steps::default();
    train(&mut model, &run, &mut steps).unwrap();
    steps.0.iter().map(|step| step.loss).collect()
}

#[test]
fn training_ends_nearly_where_moments_in_f32_lead() {
    let folder = tempfile::tempdir().unwrap();
    let full = run(&folder.path().join("f32"), AdamState::F32);
    let eight = run(&folder.path().join("8bit"), AdamState::EightBit);
    let (first, last) = (full[0], full[79]);
    assert!(last < first / 2.0, "{first} {last}");
    assert_ne!(full, eight);
    for (step, (full, eight)) in full.iter().zip(&eight).enumerate() {
        assert!((full - eight).abs() < 0.02 * first, "step {step}: {eight}, in f32 {full}");
    }
}

#[test]
fn a_stopped_run_goes_on_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, stopped) = (folder.path().join("whole"), folder.path().join("stopped"));
    let losses = run(&whole, AdamState::EightBit);
    let checkpoint = |run: &Path, step: usize| run.join(format!("checkpoints/step-{step:06}"));
    std::fs::create_dir_all(stopped.join("checkpoints")).unwrap();
    std::fs::rename(checkpoint(&whole, 60), checkpoint(&stopped, 60)).unwrap();
    assert_eq!(run(&stopped, AdamState::EightBit), losses[60..]);
    for file in ["trained.safetensors", "optimiser.safetensors"] {
        let bytes = |run: &Path| std::fs::read(checkpoint(run, 80).join(file)).unwrap();
        assert!(bytes(&whole) == bytes(&stopped), "{file}");
    }
}

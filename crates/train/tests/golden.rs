//! The training loop against transformers' Trainer and PEFT: every step's loss, gradient norm and learning rate, and
//! the final weights.

#![allow(clippy::print_stdout, reason = "says how close the weights came")]

mod watch;

use std::path::Path;

use luthier_engine::Device;
use luthier_fixtures::{ids, json, repository, shared_for};
use luthier_model::weights::Tensors;
use luthier_model::{LoraOptions, Model, Targets};
use luthier_train::meter::StepMetrics;
use luthier_train::recipe::{
    Adam, AdamState, Amount, Checkpoint, Length, Method, RecomputeName, ScheduleKind, ScheduleRecipe, StepSize, Train,
    TrainEvaluate,
};
use luthier_train::{Run, Task, TrainingRow, mean_loss, train};
use serde_json::Value;
use watch::Steps;

fn rows(list: &Value) -> Vec<TrainingRow> {
    let row = |row: &Value| TrainingRow {
        tokens: ids(&row["input_ids"]),
        labelled: row["labels"].as_array().unwrap().iter().map(|label| label.as_i64().unwrap() >= 0).collect(),
    };
    list.as_array().unwrap().iter().map(row).collect()
}

/// `TrainingArguments` of a golden run as our options.
fn options(args: &Value) -> Train {
    let number = |name: &str| args[name].as_f64().unwrap_or_else(|| panic!("{name} in {args}"));
    let kind = match args["lr_scheduler_type"].as_str().unwrap() {
        "linear" => ScheduleKind::Linear,
        "cosine" => ScheduleKind::Cosine,
        "constant" => ScheduleKind::Constant,
        other => panic!("schedule {other}"),
    };
    let rows_per_step = number("per_device_train_batch_size") * number("gradient_accumulation_steps");
    Train {
        method: Method::Full,
        length: Length::Epochs(number("num_train_epochs")),
        step_size: StepSize::Rows(rows_per_step as usize),
        micro_batch_tokens: 300,
        recompute: RecomputeName::None,
        learning_rate: number("learning_rate"),
        weight_decay: number("weight_decay"),
        adam: Adam {
            beta1: number("adam_beta1"),
            beta2: number("adam_beta2"),
            eps: number("adam_epsilon"),
            state: AdamState::F32,
        },
        max_grad_norm: number("max_grad_norm"),
        schedule: ScheduleRecipe { kind, warmup: Amount::Count(number("warmup_steps") as usize) },
        checkpoint: Checkpoint { every: 0, keep: 1 },
        evaluate: TrainEvaluate { every: 0, rows: 0 },
    }
}

fn run(model: &mut Model, rows: &[TrainingRow], options: &Train) -> Vec<StepMetrics> {
    let dir = tempfile::tempdir().unwrap();
    let mut steps = Steps::default();
    let task = Task { options, rows, seed: 1, shuffle: None, share: true };
    let run = Run { task, held_out: &[], dir: dir.path(), training_hash: "golden", passing: None };
    train(model, &run, &mut steps).unwrap();
    steps.0
}

fn close(what: &str, ours: f64, golden: f64, relative: f64) {
    assert!((ours - golden).abs() <= relative * golden.abs(), "{what}: {ours}, golden {golden}");
}

fn assert_steps(name: &str, steps: &[StepMetrics], log: &[Value], loss_digits: f64) {
    assert_eq!(steps.len(), log.len(), "{name}");
    for (ours, golden) in steps.iter().zip(log) {
        let what = format!("{name} step {}", ours.step);
        assert_eq!(ours.step as u64, golden["step"].as_u64().unwrap());
        let loss = golden["loss"].as_f64().unwrap();
        assert!((ours.loss - loss).abs() <= 1e-4 * loss + loss_digits, "{what}: loss {}, golden {loss}", ours.loss);
        close(&format!("{what} grad_norm"), ours.grad_norm, golden["grad_norm"].as_f64().unwrap(), 1e-4);
        assert!((ours.epoch - golden["epoch"].as_f64().unwrap()).abs() < 1e-6, "{what}: epoch {}", ours.epoch);
    }
}

fn assert_weights(name: &str, model: &Model, golden: &Tensors, prefix: &str) {
    let (mut compared, mut greatest) = (0, 0.0_f32);
    for (_, param) in model.params.trainable() {
        let keys = [
            format!("{prefix}{}", param.name),
            format!("{prefix}{}.default.weight", param.name.trim_end_matches(".weight")),
        ];
        let key = keys.iter().find(|key| golden.contains(key)).unwrap_or_else(|| panic!("no golden {}", keys[0]));
        let (_, expected) = golden.read_any(key).unwrap();
        for (a, b) in param.tensor.to_vec().iter().zip(&expected) {
            assert!((a - b).abs() <= 1e-4, "{name} {key}: {a}, golden {b}");
            greatest = greatest.max((a - b).abs());
        }
        compared += expected.len();
    }
    println!("{name}: {compared} final weights, greatest difference {greatest:e}");
}

#[test]
fn the_fixture_runs_are_reproduced_step_by_step() {
    for folder in ["llama-mha-untied", "qwen2-bias-tied"] {
        let dir = repository().join("fixtures/training").join(folder);
        let golden = json(&dir.join("golden.json"));
        let rows = rows(&golden["rows"]);
        for (name, case) in golden["runs"].as_object().unwrap() {
            let name = format!("{folder} {name}");
            let mut model = Model::load(&luthier_fixtures::model(folder), &Device::cpu()).unwrap();
            match case["initial"].as_str() {
                Some(initial) => model.load_adapter(&dir.join(initial)).unwrap(),
                None => model.train_everything(),
            }
            assert_eq!(model.params.count().1 as u64, case["trainable_parameters"].as_u64().unwrap());
            let steps = run(&mut model, &rows, &options(&case["args"]));
            let log = case["log"].as_array().unwrap();
            assert_steps(&name, &steps, log, 0.0);
            for (ours, golden) in steps.iter().zip(log) {
                let rate = golden["learning_rate"].as_f64().unwrap();
                assert!((ours.learning_rate - rate).abs() <= 1e-12, "{name}: {} {rate}", ours.learning_rate);
            }
            for (row, golden) in rows.iter().zip(case["row_losses_after_first8"].as_array().unwrap()) {
                let loss = mean_loss(&model, std::slice::from_ref(row), 1).unwrap();
                close(&name, loss, golden.as_f64().unwrap(), 2e-4);
            }
            if let Some(end) = case["final"].as_str() {
                let adapter = dir.join(end).join("adapter_model.safetensors");
                let (file, prefix) =
                    if adapter.exists() { (adapter, "base_model.model.") } else { (dir.join(end), "") };
                assert_weights(&name, &model, &Tensors::of_file(&file).unwrap(), prefix);
            }
        }
    }
}

#[test]
fn the_stories260k_runs_are_reproduced_step_by_step() {
    let Some(root) = shared_for("models/stories260K", "golden Trainer runs of stories260K") else { return };
    let golden = json(&root.join("golden/hf_train.json"));
    let rows = rows(&golden["examples"]);
    let cases = [
        ("full_linear", None, Some("train_full_linear_final.safetensors")),
        ("full_cosine_ga1", None, None),
        ("lora_qv", Some(("lora_qv_init.safetensors", false)), Some("lora_qv_final.safetensors")),
        (
            "lora_all_rslora",
            Some(("lora_all_rslora_init.safetensors", true)),
            Some("lora_all_rslora_final.safetensors"),
        ),
    ];
    for (name, adapter, end) in cases {
        let case = &golden[name];
        let mut model = Model::load(&root.join("hf"), &Device::cpu()).unwrap();
        match adapter {
            None => model.train_everything(),
            Some((file, rslora)) => start_from(&mut model, &root.join("golden").join(file), rslora),
        }
        let steps = run(&mut model, &rows, &options(&case["args"]));
        // The Trainer's log rounds the loss to four digits.
        assert_steps(name, &steps, case["log"].as_array().unwrap(), 5e-5);
        for (row, golden) in rows.iter().zip(case["eval_loss_first8_after"].as_array().unwrap()) {
            close(name, mean_loss(&model, std::slice::from_ref(row), 1).unwrap(), golden.as_f64().unwrap(), 1e-4);
        }
        if let Some(file) = end {
            let prefix = if adapter.is_some() { "base_model.model." } else { "" };
            assert_weights(name, &model, &Tensors::of_file(&root.join("golden").join(file)).unwrap(), prefix);
        }
    }
}

/// Attaches an adapter with the numbers of a file.
fn start_from(model: &mut Model, file: &Path, rslora: bool) {
    let targets = if rslora { Targets::AllLinear } else { Targets::Named(vec!["q_proj".into(), "v_proj".into()]) };
    model.attach_lora(&LoraOptions { rslora, ..LoraOptions::new(8, 16.0, targets) }, 0).unwrap();
    let tensors = Tensors::of_file(file).unwrap();
    let device = model.device().clone();
    let ids: Vec<_> = model.params.trainable().map(|(id, _)| id).collect();
    for id in ids {
        let param = model.params.get_mut(id);
        let key = format!("base_model.model.{}.default.weight", param.name.trim_end_matches(".weight"));
        let data = tensors.read(&key, &param.shape).unwrap();
        let (rows, cols) = (param.tensor.rows(), param.tensor.cols());
        param.tensor = luthier_engine::Tensor::from_slice(&device, rows, cols, &data);
    }
}

#[test]
fn how_a_step_is_cut_into_micro_batches_does_not_change_it() {
    let folder = luthier_fixtures::model("qwen2-bias-tied");
    let golden = json(&repository().join("fixtures/training/qwen2-bias-tied/golden.json"));
    let rows = rows(&golden["rows"]);
    let mut options = options(&golden["runs"]["full_linear"]["args"]);
    let mut losses = |micro_batch_tokens| {
        options.micro_batch_tokens = micro_batch_tokens;
        let mut model = Model::load(&folder, &Device::cpu()).unwrap();
        model.train_everything();
        run(&mut model, &rows, &options).iter().map(|step| step.loss).collect::<Vec<_>>()
    };
    let whole = losses(100_000);
    for (one, other) in losses(1).iter().zip(&whole) {
        assert!((one - other).abs() < 2e-6 * other, "{one} {other}");
    }
}

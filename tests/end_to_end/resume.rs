//! Killed at any moment, the same command ends with the same bytes.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use luthier_fixtures::{announce, shared};
use serde_json::Value;

use crate::command::Folder;
use crate::task::{Recipe, assert_whole, first_and_last_loss, json_lines, outcomes, rows, sha256, spawn, stage, steps};

/// When a process is killed.
#[derive(Debug, Clone, Copy)]
enum At {
    /// So long after its start, wherever it is then.
    Milliseconds(u64),
    /// Once metrics.jsonl has so many lines.
    Line(usize),
    /// Once this file of the run folder is there.
    File(&'static str),
}

/// Starts the command and ends it with SIGKILL at that moment; whether it was still running then.
fn killed(command: &str, recipe: &str, out: &str, at: At) -> bool {
    let mut child = spawn(command, recipe, out);
    let started = Instant::now();
    let metrics = format!("{out}/metrics.jsonl");
    while !match at {
        At::Milliseconds(after) => started.elapsed() >= Duration::from_millis(after),
        At::Line(lines) => std::fs::read(&metrics).is_ok_and(|text| count_lines(&text) >= lines),
        At::File(name) => Path::new(out).join(name).exists(),
    } {
        if has_ended(&mut child) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let running = !has_ended(&mut child);
    child.kill().expect("a process of our own can be killed");
    running & child.wait().expect("it ends").code().is_none()
}

fn has_ended(child: &mut Child) -> bool {
    child.try_wait().expect("a process of our own can be asked").is_some()
}

fn count_lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

/// metrics.jsonl without what the clock and the machine decide.
fn course(out: &str) -> Vec<Value> {
    let mut lines = json_lines(&format!("{out}/metrics.jsonl"));
    for line in &mut lines {
        let line = line.as_object_mut().expect("a line is an object");
        line.remove("tokens_per_second");
        line.remove("peak_memory_bytes");
    }
    lines
}

/// Kills a training again and again, finishes it, and compares it with one that was never stopped.
fn ends_as_if_never_killed(recipe: &Recipe, weights: &str, last_step: u64) {
    let folder = Folder::new();
    let (recipe, whole, out) = (recipe.write(&folder), folder.path("whole"), folder.path("killed"));
    stage("train", &recipe, &whole, &[]).succeeds();
    let moments = [
        At::Milliseconds(15),
        At::Line(1),
        At::Line(9),
        At::File("checkpoints/step-000014"),
        At::Line(33),
        At::Line(50),
    ];
    let kills = moments.iter().filter(|at| killed("train", &recipe, &out, **at)).count();
    println!("killed {kills} times");
    assert!(kills >= 3, "the run is too short to be killed in its middle");
    assert!(!Path::new(&out).join(weights).exists(), "killed before its end");
    let last = stage("train", &recipe, &out, &[]).succeeds();
    assert!(last.stderr.contains("going on from step"), "{}", last.stderr);

    assert_eq!(sha256(&format!("{out}/{weights}")), sha256(&format!("{whole}/{weights}")), "other weights");
    assert_eq!(course(&out), course(&whole));
    let numbers: Vec<u64> = steps(&out).iter().map(|step| step["step"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=last_step).collect::<Vec<_>>());
    assert_whole(&out);
}

#[test]
fn a_killed_lora_run_with_dropout_ends_with_the_same_bytes() {
    let folder = Folder::new();
    let mut recipe = Recipe::lora(&rows(&folder));
    recipe.train = recipe.train.replace("steps = 30", "steps = 120").replace("every = 10", "every = 7");
    ends_as_if_never_killed(&recipe, "adapter/adapter_model.safetensors", 120);
}

#[test]
fn a_killed_full_run_ends_with_the_same_bytes() {
    let folder = Folder::new();
    let mut recipe = Recipe::full(&rows(&folder));
    recipe.train = recipe.train.replace("steps = 20", "steps = 120").replace("every = 5", "every = 7");
    ends_as_if_never_killed(&recipe, "model/model.safetensors", 120);
}

#[test]
fn a_run_killed_while_it_answers_ends_with_the_same_scores() {
    let folder = Folder::new();
    let (recipe, whole, out) =
        (Recipe::lora(&rows(&folder)).write(&folder), folder.path("whole"), folder.path("killed"));
    stage("run", &recipe, &whole, &[]).succeeds();
    let moments =
        ["predictions/base.greedy.jsonl", "adapter", "predictions/tuned.losses.json", "predictions/tuned.beam3.jsonl"];
    let kills = moments.iter().filter(|name| killed("run", &recipe, &out, At::File(name))).count();
    println!("killed {kills} times");
    stage("run", &recipe, &out, &[]).succeeds();
    for file in ["scores.json", "adapter/adapter_model.safetensors", "predictions/tuned.sampling.jsonl"] {
        assert_eq!(sha256(&format!("{out}/{file}")), sha256(&format!("{whole}/{file}")), "{file}");
    }
    assert_eq!(course(&out), course(&whole));
    assert_whole(&out);
}

#[test]
fn what_a_kill_left_half_written_does_not_disturb() {
    let folder = Folder::new();
    let (recipe, whole, out) = (Recipe::lora(&rows(&folder)).write(&folder), folder.path("whole"), folder.path("out"));
    stage("train", &recipe, &whole, &[]).succeeds();
    let finished = folder.path("out/checkpoints");
    stage("train", &recipe, &out, &[]).succeeds();
    // As after a kill behind step 20, in the middle of a checkpoint and of a line.
    std::fs::remove_dir_all(format!("{out}/adapter")).unwrap();
    std::fs::remove_dir_all(format!("{finished}/step-000030")).unwrap();
    for half in ["checkpoints/step-000030.tmp", "checkpoints/step-000004.tmp", "adapter.tmp"] {
        folder.write(&format!("out/{half}/trained.safetensors"), "half of a");
        folder.write(&format!("out/{half}/adapter_model.safetensors.tmp"), "half of a");
    }
    let metrics = format!("{out}/metrics.jsonl");
    let text = std::fs::read_to_string(&metrics).unwrap();
    std::fs::write(&metrics, &text[..text.len() - 40]).unwrap();

    let done = stage("train", &recipe, &out, &[]).succeeds();
    assert!(done.stderr.contains("going on from step 20 of 30"), "{}", done.stderr);
    let weights = "adapter/adapter_model.safetensors";
    assert_eq!(sha256(&format!("{out}/{weights}")), sha256(&format!("{whole}/{weights}")));
    assert_eq!(course(&out), course(&whole));
    assert_whole(&out);
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_serves() {
    let folder = Folder::new();
    let (recipe, out) = (Recipe::full(&rows(&folder)).write(&folder), folder.path("out"));
    stage("train", &recipe, &out, &[]).succeeds();
    let weights = sha256(&format!("{out}/model/model.safetensors"));
    let newest = format!("{out}/checkpoints/step-000020");
    for (file, keep) in [("trained.safetensors", 5000), ("optimiser.safetensors", 3), ("state.json", 10)] {
        let _ = std::fs::remove_dir_all(format!("{out}/model"));
        let path = format!("{newest}/{file}");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..keep]).unwrap();
        let refused = stage("train", &recipe, &out, &[]);
        assert_eq!(refused.code, Some(1), "{}", refused.stderr);
        for part in [path.as_str(), "damaged", "remove that checkpoint"] {
            assert!(refused.stderr.contains(part), "{part:?} is not in: {}", refused.stderr);
        }
        assert!(!Path::new(&out).join("model").exists());
        std::fs::write(&path, bytes).unwrap();
    }
    std::fs::remove_dir_all(&newest).unwrap();
    let done = stage("train", &recipe, &out, &[]).succeeds();
    assert!(done.stderr.contains("going on from step 15 of 20"), "{}", done.stderr);
    assert_eq!(sha256(&format!("{out}/model/model.safetensors")), weights);
}

#[test]
fn ten_thousand_real_rows_balance_train_and_survive_kill_9() {
    let Some(data) = shared("data/ntu-adl2023-hw3/train.json") else { return };
    let Some(tokenizer) = shared("models/tokenizers/qwen2") else { return };
    let absolute = |path: &Path| path.canonicalize().expect("it is there").display().to_string();
    let (data, tokenizer) = (absolute(&data), absolute(&tokenizer));
    let recipe = Recipe {
        name: "classical-chinese",
        data: format!(
            "sources = [{{ path = \"{data}\" }}]\ntemplate = \"alpaca\"\nmax_length = 192\nmax_answer_loss = 0.2\n\
             split = {{ test = 0.05, by = \"hash\" }}"
        ),
        model: format!(
            "[model.create]\narchitecture = \"qwen2\"\nhidden_size = 64\nintermediate_size = 128\nnum_hidden_layers = 2\n\
             num_attention_heads = 4\nnum_key_value_heads = 2\n[tokenizer]\npath = \"{tokenizer}\""
        ),
        train: "steps = 12\nrows_per_step = 4\nlearning_rate = 5e-3\ncheckpoint = { every = 4, keep = 1 }".to_owned(),
        evaluate: "rows = 3\nmetrics = [\"chrf\", \"perplexity\"]\nmax_new_tokens = 6\nsystems = [\"tuned\"]"
            .to_owned(),
    };
    let folder = Folder::new();
    let (recipe, whole, out) = (recipe.write(&folder), folder.path("whole"), folder.path("killed"));
    let started = Instant::now();
    stage("run", &recipe, &whole, &[]).succeeds();
    announce(&format!("10,000 rows: {:?}", outcomes(&whole)));
    assert_eq!(outcomes(&whole).values().sum::<usize>(), 10_000);
    assert_eq!(json_lines(&format!("{whole}/ledger.jsonl")).last().unwrap()["line"], 10_000);
    let (first, last) = first_and_last_loss(&whole, 3);
    assert!(last < first - 1.0, "the loss went from {first} to {last}");

    assert!(killed("run", &recipe, &out, At::Line(6)), "the run ended before it could be killed");
    let done = stage("run", &recipe, &out, &[]).succeeds();
    assert!(done.stderr.contains("going on from step"), "{}", done.stderr);
    for file in ["model/model.safetensors", "base/model.safetensors", "scores.json", "ledger.jsonl"] {
        assert_eq!(sha256(&format!("{out}/{file}")), sha256(&format!("{whole}/{file}")), "{file}");
    }
    assert_eq!(course(&out), course(&whole));
    announce(&format!("RAN: 10,000 rows, killed and gone on with, {:.1} s in all", started.elapsed().as_secs_f64()));
}

#[test]
fn a_folder_in_which_another_process_is_at_work_is_refused() {
    let folder = Folder::new();
    let mut recipe = Recipe::lora(&rows(&folder));
    recipe.train = recipe.train.replace("steps = 30", "steps = 4000");
    let (recipe, out) = (recipe.write(&folder), folder.path("out"));
    let mut child = spawn("train", &recipe, &out);
    let started = Instant::now();
    while std::fs::read(format!("{out}/metrics.jsonl")).map_or(0, |text| count_lines(&text)) < 2 {
        assert!(
            !has_ended(&mut child) && started.elapsed() < Duration::from_secs(60),
            "the first process does not train"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    stage("train", &recipe, &out, &[]).refuses(&[&out, "another luthier is at work"]);
    child.kill().expect("a process of our own can be killed");
    child.wait().expect("it ends");
}

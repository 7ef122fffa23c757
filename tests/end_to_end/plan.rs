//! `luthier plan`, and runs that their plan says do not fit.

use std::path::Path;
use std::process::Command;

use luthier_fixtures::repository;
use serde_json::{Value, json};

use crate::command::{Folder, QWEN, luthier};
use crate::task::{Recipe, stage, steps};

/// A recipe whose one micro-batch holds many long rows.
fn heavy(folder: &Folder, train: &str) -> Recipe {
    let row = |i: usize| json!({"instruction": format!("{i}"), "input": "umbrella ".repeat(40), "output": "red"});
    let lines: String = (0..80).map(|i| format!("{}\n", row(i))).collect();
    let recipe = Recipe::lora(&folder.write("long.jsonl", &lines));
    Recipe {
        data: recipe.data.replace("max_length = 160", "max_length = 1024"),
        train: format!("method = \"lora\"\nsteps = 2\nrows_per_step = 64\n{train}"),
        ..recipe
    }
}

fn plan(recipe: &str) -> Value {
    luthier(&["plan", recipe, "--json"]).succeeds().json_lines().remove(0)
}

fn bytes(plan: &Value) -> u64 {
    plan["peak_memory_bytes"].as_u64().expect("a number of bytes")
}

#[test]
fn a_plan_says_what_a_run_takes_without_reading_a_weight() {
    let folder = Folder::new();
    let recipe = heavy(&folder, "micro_batch_tokens = 32768");
    let path = recipe.write(&folder);
    let with_weights = plan(&path);
    assert_eq!(with_weights["steps"], 2);
    assert_eq!(with_weights["fits"], true);
    for kind in ["weights", "adapter", "gradients", "optimiser", "activations", "logits", "scratch"] {
        assert!(with_weights["memory"][kind].as_u64().is_some_and(|bytes| bytes > 0), "{kind}: {with_weights}");
    }
    assert!(with_weights["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));

    let dir = folder.copy_of(QWEN);
    std::fs::remove_file(Path::new(&dir).join("model.safetensors")).unwrap();
    let model = recipe.model.replace(&repository().join(QWEN).display().to_string(), &dir);
    let without = Recipe { name: "bare", model, ..recipe }.write(&folder);
    let outcome = luthier(&["plan", &without]).succeeds();
    assert!(outcome.stderr.contains("holds no weights yet"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("peak memory") && outcome.stdout.contains("saved"), "{}", outcome.stdout);
    assert_eq!(plan(&without)["memory"], with_weights["memory"]);
}

#[test]
fn a_run_that_does_not_fit_ends_before_its_first_step_and_names_what_to_change() {
    let folder = Folder::new();
    let large = heavy(&folder, "micro_batch_tokens = 32768").write(&folder);
    let small = Recipe { name: "small", ..heavy(&folder, "micro_batch_tokens = 1024") }.write(&folder);
    let (most, least) = (bytes(&plan(&large)), bytes(&plan(&small)));
    assert!(most > least + (64 << 20), "{most} {least}");
    let limit = u64::midpoint(most, least).to_string();
    let train = |recipe: &str, out: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_luthier"));
        command.args(["train", recipe, "--out", out]).env("LUTHIER_MEMORY_LIMIT", &limit);
        command.output().expect("the binary starts")
    };
    let out = folder.path("run");
    let refused = train(&large, &out);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{message}");
    for part in ["train.micro_batch_tokens at", "does not fit", "LUTHIER_MEMORY_LIMIT allows", "micro_batch_tokens = "]
    {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    for part in ["metrics.jsonl", "checkpoints", "adapter"] {
        assert!(!Path::new(&out).join(part).exists(), "{part}");
    }
    // Nothing holds the folder: the changed recipe goes into it.
    let done = train(&small, &out);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(steps(&out).len(), 2);
}

#[test]
fn a_limit_that_is_no_size_is_refused() {
    let folder = Folder::new();
    let recipe = heavy(&folder, "").write(&folder);
    let run = Command::new(env!("CARGO_BIN_EXE_luthier"))
        .args(["train", &recipe, "--out", &folder.path("run")])
        .env("LUTHIER_MEMORY_LIMIT", "much")
        .output()
        .expect("the binary starts");
    let message = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.code() == Some(2) && message.contains("LUTHIER_MEMORY_LIMIT is \"much\""), "{message}");
    stage("train", &recipe, &folder.path("run"), &[]).succeeds();
}

//! Wrong recipes and wrong model folders: one clear message, exit code 2, and nothing begun.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{Folder, QWEN, luthier};
use crate::task::{Recipe, json_file, outcomes, rows, stage};

/// The recipe is refused with these words by every stage, before anything is written.
#[track_caller]
fn is_refused(folder: &Folder, recipe: &str, parts: &[&str]) {
    let out = folder.path("out");
    for command in ["run", "train", "evaluate"] {
        let refused = stage(command, recipe, &out, &[]);
        println!("{}", refused.stderr.trim_end());
        assert_eq!(refused.stderr.matches("error:").count(), 1, "{}", refused.stderr);
        refused.refuses(parts);
        assert!(!Path::new(&out).exists(), "{command} left {out} behind");
    }
}

/// The task's recipe with one thing in it written otherwise.
#[track_caller]
fn with(folder: &Folder, from: &str, to: &str) -> String {
    let recipe = Recipe::lora(&rows(folder));
    let text = recipe.text();
    assert!(text.contains(from), "{from} is not in:\n{text}");
    folder.write("wrong.toml", &text.replace(from, to))
}

/// `wrong.toml:LINE:` of the line of that recipe that begins with these words.
fn place(recipe: &str, words: &str) -> String {
    let text = std::fs::read_to_string(recipe).expect("the test wrote it");
    let line = text.lines().position(|line| line.starts_with(words)).expect("the test wrote that line");
    format!("wrong.toml:{}:", line + 1)
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_key() {
    let folder = Folder::new();
    let recipe = with(&folder, "rows_per_step = 6", "row_per_step = 6");
    is_refused(
        &folder,
        &recipe,
        &["train.row_per_step", &place(&recipe, "row_per_step"), "did you mean rows_per_step?"],
    );
    let recipe = with(&folder, "rows_per_step = 6", "batch_size = 6");
    is_refused(&folder, &recipe, &["train.batch_size", "rows_per_step"]);
    let recipe = with(&folder, "[train]", "[trian]");
    is_refused(&folder, &recipe, &["trian", "did you mean train?"]);
}

#[test]
fn values_of_a_wrong_type_or_size_are_refused_with_what_is_allowed() {
    let cases: [(&str, &str, &[&str]); 7] = [
        (
            "learning_rate = 2e-2",
            "learning_rate = \"fast\"",
            &["train.learning_rate", "a number such as 2e-4", "\"fast\""],
        ),
        ("learning_rate = 2e-2", "learning_rate = -1.0", &["train.learning_rate", "-1"]),
        ("max_length = 160", "max_length = 0", &["data.max_length", "0"]),
        ("method = \"lora\"", "method = \"lara\"", &["train.method", "did you mean \"lora\"?"]),
        ("steps = 30", "steps = 30\nepochs = 3", &["train.", "cannot stand beside"]),
        ("\"chrf\"", "\"chrff\"", &["evaluate.metrics", "chrf"]),
        ("name = \"names\"", "", &["name", "missing"]),
    ];
    let folder = Folder::new();
    for (from, to, parts) in cases {
        let recipe = with(&folder, from, to);
        is_refused(&folder, &recipe, parts);
        if to.starts_with("learning_rate") {
            is_refused(&folder, &recipe, &[&place(&recipe, "learning_rate")]);
        }
    }
}

#[test]
fn what_is_no_recipe_is_refused() {
    let folder = Folder::new();
    is_refused(&folder, &folder.path("nowhere.toml"), &["cannot read the recipe", "nowhere.toml"]);
    is_refused(&folder, &folder.write("text.toml", "name = \n"), &["text.toml:1", "is not TOML"]);
    is_refused(&folder, &folder.path(""), &["cannot read the recipe"]);
    let usage = luthier(&["run"]);
    assert!(usage.stderr.contains("<RECIPE>") && usage.stderr.contains("--help"), "{}", usage.stderr);
    usage.refuses(&[]);
    luthier(&["run", "a.toml", "b.toml"]).refuses(&["b.toml"]);
    luthier(&["tarin", "a.toml"]).refuses(&["tarin", "train"]);
}

#[test]
fn a_missing_file_of_rows_is_named() {
    let folder = Folder::new();
    let recipe = with(&folder, "rows.jsonl", "rows-of-yesterday.jsonl");
    let parts = ["data.sources[0].path", &place(&recipe, "sources"), "cannot be read", "rows-of-yesterday.jsonl"];
    is_refused(&folder, &recipe, &parts);
    let recipe = with(&folder, "/rows.jsonl", "");
    is_refused(&folder, &recipe, &["data.sources[0].path", "cannot be read", "directory"]);
}

#[test]
fn a_folder_that_is_no_model_is_named_with_what_it_lacks() {
    let folder = Folder::new();
    let base = |path: &str| with(&folder, &Recipe::lora("").model, &format!("base = \"{path}\""));
    is_refused(&folder, &base(&folder.path("nowhere")), &["nowhere"]);
    folder.write("empty/readme.txt", "no model");
    is_refused(&folder, &base(&folder.path("empty")), &["empty", "config.json"]);

    let model = folder.copy_of(QWEN);
    let recipe = base(&model);
    let config = format!("{model}/config.json");
    let good = json_file(&config);
    let change = |key: &str, value: Value| {
        let mut config_json = good.clone();
        config_json[key] = value;
        std::fs::write(&config, config_json.to_string()).unwrap();
    };
    change("model_type", json!("mamba"));
    is_refused(&folder, &recipe, &["config.json", "\"mamba\" is not supported", "llama", "qwen2"]);
    change("hidden_size", json!("wide"));
    is_refused(&folder, &recipe, &["config.json", "hidden_size"]);
    change("intermediate_size", json!(97));
    is_refused(&folder, &recipe, &["model.layers.0.mlp", "97", "96"]);
    change("num_hidden_layers", json!(3));
    is_refused(&folder, &recipe, &["model.layers.2.", "missing"]);
    std::fs::write(&config, "{").unwrap();
    is_refused(&folder, &recipe, &["config.json"]);
    std::fs::write(&config, good.to_string()).unwrap();

    let weights = format!("{model}/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    for keep in [0, 5, 300, bytes.len() - 1] {
        std::fs::write(&weights, &bytes[..keep]).unwrap();
        is_refused(&folder, &recipe, &["model.safetensors"]);
    }
    std::fs::remove_file(&weights).unwrap();
    is_refused(&folder, &recipe, &[&model, "safetensors"]);
    std::fs::write(&weights, bytes).unwrap();

    std::fs::write(format!("{model}/tokenizer.json"), "{\"version\": \"1.0\"}").unwrap();
    is_refused(&folder, &recipe, &["tokenizer.json"]);
    std::fs::remove_file(format!("{model}/tokenizer.json")).unwrap();
    is_refused(&folder, &recipe, &[&model, "tokenizer.json"]);
}

#[test]
fn a_tokenizer_larger_than_the_vocabulary_is_refused_with_both_numbers() {
    let folder = Folder::new();
    let model = folder.copy_of(QWEN);
    let path = format!("{model}/tokenizer.json");
    let mut tokenizer = json_file(&path);
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    let mut more = added[0].clone();
    (more["id"], more["content"]) = (json!(384), json!("<|one too many|>"));
    added.push(more);
    for id in 380..384 {
        let mut filler = added[0].clone();
        (filler["id"], filler["content"]) = (json!(id), json!(format!("<|{id}|>")));
        added.push(filler);
    }
    added.sort_by_key(|token| token["id"].as_u64());
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    let recipe = with(&folder, &Recipe::lora("").model, &format!("base = \"{model}\""));
    is_refused(&folder, &recipe, &[&model, "385 tokens", "384", "tokenizer"]);
}

#[test]
fn a_target_that_the_model_does_not_have_is_refused_before_anything_is_answered() {
    let folder = Folder::new();
    let recipe = with(&folder, "rank = 4", "targets = [\"q_proj\", \"c_attn\"]");
    is_refused(&folder, &recipe, &["c_attn", "q_proj", "down_proj", "train.lora at", &place(&recipe, "lora")]);
    let recipe = with(&folder, "rank = 4", "rank = 4000");
    is_refused(&folder, &recipe, &["rank", "4000", "96"]);
    let recipe = with(&folder, "rank = 4", &format!("init = \"{}\"", folder.path("no-adapter")));
    is_refused(&folder, &recipe, &["no-adapter"]);
}

#[test]
fn a_wrong_generation_parameter_is_refused_at_its_line_and_the_mended_recipe_goes_on_in_the_folder() {
    let cases: [(&str, &str, &[&str]); 4] = [
        (
            "beam3 = { num_beams = 3 }",
            "beam3 = { num_beam = 3 }",
            &["evaluate.strategies.beam3.num_beam", "did you mean `num_beams`"],
        ),
        ("beam3 = { num_beams = 3 }", "beam3 = { num_beams = 0 }", &["beam3", "num_beams"]),
        (
            "sampling = { do_sample = true, temperature = 0.8",
            "sampling = { do_sample = true, temperature = -1",
            &["sampling", "temperature"],
        ),
        ("greedy = {}", "greedy = { temperature = 0.8 }", &["greedy", "temperature", "do_sample"]),
    ];
    let folder = Folder::new();
    let out = folder.path("out");
    for (from, to, parts) in cases {
        for command in ["run", "evaluate"] {
            let recipe = with(&folder, from, to);
            let line = place(&recipe, to.split(' ').next().expect("a name"));
            stage(command, &recipe, &out, &[]).refuses(&[parts, &[&line]].concat());
        }
    }
    // [evaluate] does not decide the training, so the rows are booked already and nothing else is.
    assert_eq!(outcomes(&out).values().sum::<usize>(), 40);
    assert!(!Path::new(&out).join("predictions").exists() && !Path::new(&out).join("metrics.jsonl").exists());
    stage("run", &Recipe::lora(&rows(&folder)).write(&folder), &out, &[]).succeeds();
}

#[test]
fn what_this_version_cannot_do_yet_says_so() {
    let folder = Folder::new();
    for (from, to, part) in [
        ("method = \"lora\"", "method = \"prefix\"", "not supported yet"),
        ("max_length = 160", "max_length = 160\ndedup = \"near\"", "not supported yet"),
    ] {
        is_refused(&folder, &with(&folder, from, to), &[part]);
    }
}

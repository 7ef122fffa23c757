//! `luthier run` and its stages: what the run folder holds, what a second run does, and what is refused.

use luthier_fixtures::repository;
use serde_json::Value;

use crate::command::{Folder, QWEN, luthier, luthier_reading};
use crate::task::{
    Recipe, assert_whole, files, first_and_last_loss, json_file, json_lines, outcomes, rows, sha256, stage, steps,
};

const STEP_FIELDS: [&str; 9] = [
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "tokens",
    "labelled_tokens",
    "tokens_per_second",
    "peak_memory_bytes",
];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn a_recipe_becomes_a_run_folder_in_which_every_file_is_well_formed() {
    let folder = Folder::new();
    let (recipe, out) = (Recipe::lora(&rows(&folder)).write(&folder), folder.path("out"));
    let done = stage("run", &recipe, &out, &[]).succeeds();

    assert!(done.stdout.contains("report.html"), "{}", done.stdout);
    for strategy in ["greedy", "beam3", "sampling"] {
        assert!(done.stdout.lines().any(|line| line.starts_with(strategy) && line.contains("exact-match")));
    }
    the_ledger_balances(&out);
    the_metrics_keep_the_contract(&out);
    the_answers_are_there(&out);
    the_page_is_self_contained(&out);
    let manifest = json_file(&format!("{out}/manifest.json"));
    assert_eq!(manifest["name"], "names");
    assert_eq!(manifest["method"], "lora");
    assert!(std::fs::read_to_string(format!("{out}/recipe.toml")).unwrap().contains("rows_per_step = 6"));
    assert_whole(&out);
    let (first, last) = first_and_last_loss(&out, 5);
    assert!(last < first - 0.3, "the loss went from {first} to {last}");
}

fn the_ledger_balances(out: &str) {
    let ledger = json_lines(&format!("{out}/ledger.jsonl"));
    assert_eq!(ledger.len(), 40);
    for (at, entry) in ledger.iter().enumerate() {
        assert_eq!(keys(entry), ["source", "line", "outcome", "reason", "tokens", "tokens_lost"]);
        assert_eq!(entry["line"], at + 1);
        assert!(entry["source"].as_str().unwrap().ends_with("rows.jsonl"));
        assert!(entry["tokens"].as_u64().unwrap() > 20);
    }
    assert_eq!(outcomes(out), [("test".to_owned(), 6), ("trained".to_owned(), 34)].into());
    assert!(std::fs::read_to_string(format!("{out}/ledger.md")).unwrap().contains("40 rows read"));
}

fn the_metrics_keep_the_contract(out: &str) {
    let steps = steps(out);
    let numbers: Vec<u64> = steps.iter().map(|step| step["step"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=30).collect::<Vec<_>>());
    for step in &steps {
        assert_eq!(keys(step), STEP_FIELDS);
        assert!(step["tokens"].as_u64() > step["labelled_tokens"].as_u64());
        assert!(step["tokens_per_second"].as_f64().unwrap() > 0.0);
        assert!(step["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    }
    assert_eq!(steps[0]["learning_rate"], 0.02);
    // 34 rows, six a step: the sixth step holds the last four and ends the epoch.
    assert_eq!(steps[5]["epoch"], 1.0);
    let held_out: Vec<Value> = json_lines(&format!("{out}/metrics.jsonl"))
        .into_iter()
        .filter(|line| line.get("eval_loss").is_some())
        .collect();
    assert_eq!(held_out.iter().map(|line| line["step"].as_u64().unwrap()).collect::<Vec<_>>(), [15, 30]);
    assert_eq!(keys(&held_out[0]), ["step", "epoch", "eval_loss", "eval_perplexity", "eval_rows"]);
    // An epoch's tokens are those of the ledger.
    let of = |value: &Value| value["tokens"].as_u64().unwrap();
    let epoch: u64 = steps[..6].iter().map(of).sum();
    let ledger = json_lines(&format!("{out}/ledger.jsonl"));
    assert_eq!(epoch, ledger.iter().filter(|entry| entry["outcome"] == "trained").map(of).sum::<u64>());
}

fn the_answers_are_there(out: &str) {
    for system in ["base", "tuned"] {
        for strategy in ["greedy", "beam3", "sampling"] {
            assert_eq!(json_lines(&format!("{out}/predictions/{system}.{strategy}.jsonl")).len(), 6);
        }
    }
    let scores = json_file(&format!("{out}/scores.json"));
    assert_eq!(scores["rows"], 6);
    for system in ["base", "tuned"] {
        for strategy in ["greedy", "beam3", "sampling"] {
            for metric in ["exact-match", "chrf"] {
                let value = scores["systems"][system][strategy][metric]["value"].as_f64().unwrap();
                assert!((0.0..=100.0).contains(&value), "{system} {strategy} {metric}: {value}");
            }
        }
    }
    let perplexity = |system: &str| scores["perplexity"][system].as_f64().unwrap();
    assert!(perplexity("tuned") < perplexity("base"));
}

fn the_page_is_self_contained(out: &str) {
    let page = std::fs::read_to_string(format!("{out}/report.html")).unwrap();
    assert!(page.starts_with("<!") && page.trim_end().ends_with("</html>") && page.contains("<svg"));
    for outside in ["<script", "@import", "url(http"] {
        assert!(!page.contains(outside), "the page has {outside}");
    }
    for attribute in ["src=\"", "href=\""] {
        for value in page.split(attribute).skip(1) {
            assert!(value.starts_with('#') || value.starts_with("data:"), "the page asks for {}", &value[..40]);
        }
    }
}

#[test]
fn the_adapter_loads_again_and_scores_the_answers_it_learnt_higher() {
    let folder = Folder::new();
    let (recipe, out) = (Recipe::lora(&rows(&folder)).write(&folder), folder.path("out"));
    let done = stage("train", &recipe, &out, &[]).succeeds();
    let adapter = format!("{out}/adapter");
    assert_eq!(done.stdout, format!("{adapter}\n"));
    assert!(!std::path::Path::new(&format!("{out}/report.html")).exists(), "train alone writes no report");
    let row = "{\"prompt\": \"翻成英文。\\n紅色的雨傘\", \"completion\": \"red umbrella\"}";
    let sum = |more: &[&str]| {
        let mut arguments = vec!["score", "--model", QWEN, "--input", "-", "--chat", "--json"];
        arguments.extend_from_slice(more);
        luthier_reading(row, &arguments).succeeds().json_lines()[0]["sum"].as_f64().unwrap()
    };
    assert!(sum(&["--adapter", &adapter]) > sum(&[]) + 1.0);
    let config = json_file(&format!("{adapter}/adapter_config.json"));
    assert_eq!((&config["peft_type"], &config["r"], &config["lora_dropout"]), (&"LORA".into(), &4.into(), &0.1.into()));
}

#[test]
fn a_second_run_does_nothing_new_and_gives_the_same_scores() {
    let folder = Folder::new();
    let (recipe, out) = (Recipe::lora(&rows(&folder)).write(&folder), folder.path("out"));
    let first = stage("run", &recipe, &out, &[]).succeeds();
    let before = files(&out);
    let changed = |name: &str| std::fs::metadata(format!("{out}/{name}")).unwrap().modified().unwrap();
    let answered = changed("predictions/tuned.beam3.jsonl");
    let second = stage("run", &recipe, &out, &[]).succeeds();
    assert_eq!(second.stdout, first.stdout);
    assert!(second.stderr.contains("there already"), "{}", second.stderr);
    assert_eq!(changed("predictions/tuned.beam3.jsonl"), answered);
    assert_eq!(files(&out), before);
}

#[test]
fn after_a_change_of_the_evaluation_only_what_is_missing_is_computed() {
    let folder = Folder::new();
    let (mut recipe, out) = (Recipe::lora(&rows(&folder)), folder.path("out"));
    stage("run", &recipe.write(&folder), &out, &[]).succeeds();
    let before = files(&out);
    recipe.evaluate = recipe.evaluate.replace("num_beams = 3", "num_beams = 3, length_penalty = 0.5");
    recipe.evaluate = recipe.evaluate.replace("\"chrf\"", "\"chrf\", \"rouge-l\"") + "\nbeam2 = { num_beams = 2 }";
    let done = stage("evaluate", &recipe.write(&folder), &out, &["--json"]).succeeds();
    let scores: Value = serde_json::from_str(&done.stdout).unwrap();
    for (strategy, kept) in [("greedy", true), ("sampling", true), ("beam3", false), ("beam2", false)] {
        for system in ["base", "tuned"] {
            assert!(scores["systems"][system][strategy]["rouge-l"]["value"].is_number(), "{system} {strategy}");
            let line = format!("{system} {strategy}: there already");
            assert_eq!(done.stderr.contains(&line), kept, "{line}\n{}", done.stderr);
        }
    }
    let after = files(&out);
    for name in ["adapter/adapter_model.safetensors", "metrics.jsonl", "ledger.jsonl", "predictions/base.losses.json"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert_eq!(json_file(&format!("{out}/scores.json")), scores);
}

#[test]
fn answers_to_other_rows_or_of_other_parameters_are_never_compared() {
    let folder = Folder::new();
    let (mut recipe, out) = (Recipe::lora(&rows(&folder)), folder.path("out"));
    stage("run", &recipe.write(&folder), &out, &[]).succeeds();
    // The base's answers stay behind; they are of six rows and of three beams.
    recipe.evaluate =
        format!("rows = 4\nsystems = [\"tuned\"]\n{}", recipe.evaluate.replace("num_beams = 3", "num_beams = 2"));
    stage("evaluate", &recipe.write(&folder), &out, &[]).succeeds();
    let scores = json_file(&format!("{out}/scores.json"));
    assert_eq!(scores["rows"], 4);
    assert!(scores["systems"].get("base").is_none() && scores["systems"]["tuned"]["beam3"].is_object());
    assert!(scores["perplexity"].get("base").is_none() && scores["comparisons"] == serde_json::json!({}));
}

#[test]
fn evaluate_before_any_training_scores_the_base_alone_and_says_so() {
    let folder = Folder::new();
    let (recipe, out) = (Recipe::lora(&rows(&folder)).write(&folder), folder.path("out"));
    let done = stage("evaluate", &recipe, &out, &[]).succeeds();
    assert!(done.stderr.contains("nothing is trained"), "{}", done.stderr);
    let scores = json_file(&format!("{out}/scores.json"));
    assert!(scores["systems"]["base"].is_object() && scores["systems"].get("tuned").is_none());
}

#[test]
fn full_fine_tuning_writes_a_model_that_loads_by_itself() {
    let folder = Folder::new();
    let (recipe, out) = (Recipe::full(&rows(&folder)).write(&folder), folder.path("out"));
    stage("run", &recipe, &out, &[]).succeeds();
    let model = format!("{out}/model");
    for file in
        ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    {
        assert!(std::path::Path::new(&format!("{model}/{file}")).is_file(), "{file}");
    }
    let (first, last) = first_and_last_loss(&out, 5);
    assert!(last < first - 0.3, "the loss went from {first} to {last}");
    // What score says of a text is what the last evaluation said of it.
    let losses = &json_file(&format!("{out}/predictions/tuned.losses.json"))["rows"][0];
    let row = crate::task::good_rows()[34].clone();
    let prompt = format!("{}\n{}", row["instruction"].as_str().unwrap(), row["input"].as_str().unwrap());
    let input = serde_json::json!({"prompt": prompt, "completion": row["output"]}).to_string();
    let scored = luthier_reading(&input, &["score", "--model", &model, "--input", "-", "--chat", "--json"]).succeeds();
    let scored = scored.json_lines()[0].clone();
    assert!((losses["nll"].as_f64().unwrap() + scored["sum"].as_f64().unwrap()).abs() < 1e-4, "{losses}, {scored}");
    let answer = ["generate", "--model", &model, "--prompt", &prompt, "--chat", "--max-new-tokens", "8", "--json"];
    assert!(luthier(&answer).succeeds().json_lines()[0]["outputs"][0]["text"].is_string());
}

#[test]
fn a_model_without_a_chat_template_is_trained_with_alpacas_which_is_told_and_saved() {
    let folder = Folder::new();
    let model = folder.copy_of(QWEN);
    let config = format!("{model}/tokenizer_config.json");
    let mut bare = json_file(&config);
    assert!(bare.as_object_mut().unwrap().remove("chat_template").is_some());
    std::fs::write(&config, bare.to_string()).unwrap();
    let lines: String = (0..12).map(|i| format!("{{\"instruction\": \"數到{i}\", \"output\": \"{i}。\"}}\n")).collect();
    let rows = folder.write("rows.jsonl", &lines);
    let facts = &luthier(&["inspect", &model, "--json"]).succeeds().json_lines()[0]["tokenizer"]["template"];
    assert_eq!((&facts["from"], &facts["own"]), (&"alpaca".into(), &false.into()));
    for (recipe, saved) in [(Recipe::lora(&rows), "adapter"), (Recipe { name: "full", ..Recipe::full(&rows) }, "model")]
    {
        let recipe = Recipe { model: format!("base = \"{model}\""), ..recipe };
        let (recipe, out) = (recipe.write(&folder), folder.path(recipe.name));
        let done = stage("train", &recipe, &out, &[]).succeeds();
        let told = format!("{model} has no chat template");
        assert!(done.stderr.contains(&told) && done.stderr.contains("Alpaca"), "{}", done.stderr);
        let manifest = json_file(&format!("{out}/manifest.json"));
        assert_eq!(manifest["template"], "alpaca");
        assert!(manifest["notices"][0].as_str().unwrap().contains("which is saved with what is trained"));
        let written = json_file(&format!("{out}/{saved}/tokenizer_config.json"));
        assert!(written["chat_template"].as_str().unwrap().contains("### Response:"));

        // What is served is what was trained, and nobody has to be told any more.
        let trained = luthier(&["inspect", &recipe, "--rows", "1", "--json"]).succeeds().json_lines().remove(0);
        assert!(trained["text"].as_str().unwrap().starts_with("Below is an instruction"), "{trained}");
        let tuned = format!("{out}/{saved}");
        let of_model =
            if saved == "model" { vec!["--model", &tuned] } else { vec!["--model", &model, "--adapter", &tuned] };
        let scored = luthier_reading(
            "{\"prompt\": \"數到0\", \"completion\": \"0。\"}",
            &[&["score", "--input", "-", "--chat", "--json"], &of_model[..]].concat(),
        )
        .succeeds();
        assert_eq!(scored.stderr, "");
        assert_eq!(scored.json_lines()[0]["tokens"], trained["tokens"]);
    }
}

#[test]
fn report_alone_writes_the_page_anew_in_either_language() {
    let folder = Folder::new();
    let (recipe, out) = (Recipe::lora(&rows(&folder)).write(&folder), folder.path("out"));
    stage("run", &recipe, &out, &[]).succeeds();
    let page = format!("{out}/report.html");
    let english = std::fs::read_to_string(&page).unwrap();
    std::fs::remove_file(&page).unwrap();
    let done = luthier(&["report", &out]).succeeds();
    assert_eq!(done.stdout, format!("{page}\n"));
    assert_eq!(std::fs::read_to_string(&page).unwrap(), english);
    luthier(&["report", &out, "--language", "zh-Hant"]).succeeds();
    assert!(std::fs::read_to_string(&page).unwrap().contains("lang=\"zh-Hant\""));
    luthier(&["report", &folder.path("nowhere")]).refuses(&["nowhere"]);
}

#[test]
fn a_new_model_with_its_own_tokenizer_learns_generated_devices() {
    let folder = Folder::new();
    let recipe = Recipe {
        name: "new",
        data: "sources = [{ generate = \"devices\", rows = 120, part = \"pretraining\" }]\ntrain_on = \"all\"\n\
               max_length = 512\nsplit = { test = 10, by = \"order\" }"
            .to_owned(),
        model: "[model.create]\narchitecture = \"qwen2\"\nhidden_size = 32\nintermediate_size = 64\nnum_hidden_layers = 2\n\
                num_attention_heads = 4\nnum_key_value_heads = 2\n[tokenizer.train]\nvocab_size = 400"
            .to_owned(),
        train: "steps = 12\nrows_per_step = 8\nlearning_rate = 1e-2".to_owned(),
        evaluate: "metrics = [\"perplexity\"]\nmax_new_tokens = 8".to_owned(),
    };
    let (recipe, out) = (recipe.write(&folder), folder.path("out"));
    stage("run", &recipe, &out, &[]).succeeds();
    let config = json_file(&format!("{out}/model/config.json"));
    assert_eq!((&config["model_type"], &config["vocab_size"]), (&"qwen2".into(), &400.into()));
    assert_eq!(outcomes(&out).values().sum::<usize>(), json_lines(&format!("{out}/ledger.jsonl")).len());
    let (first, last) = first_and_last_loss(&out, 3);
    assert!(last < first - 0.3, "the loss went from {first} to {last}");
    let scores = json_file(&format!("{out}/scores.json"));
    assert!(scores["perplexity"]["tuned"].as_f64().unwrap() < 400.0);

    let again = folder.path("again");
    stage("run", &recipe, &again, &[]).succeeds();
    for file in ["base/tokenizer.json", "base/model.safetensors", "model/model.safetensors"] {
        assert_eq!(sha256(&format!("{out}/{file}")), sha256(&format!("{again}/{file}")), "{file}");
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let folder = Folder::new();
    let recipe = Recipe::lora(&rows(&folder)).write(&folder);
    let outs = ["1", "2", "3"].map(|threads| {
        let out = folder.path(threads);
        stage("run", &recipe, &out, &["--threads", threads]).succeeds();
        out
    });
    let kept =
        ["adapter/adapter_model.safetensors", "predictions/tuned.beam3.jsonl", "predictions/tuned.sampling.jsonl"];
    for file in kept.into_iter().chain(["scores.json", "ledger.jsonl"]) {
        let hashes = outs.each_ref().map(|out| sha256(&format!("{out}/{file}")));
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{file}");
    }
    stage("run", &recipe, &folder.path("none"), &["--threads", "0"]).refuses(&["--threads"]);
}

#[test]
fn a_folder_of_another_run_is_refused_and_left_as_it_is_until_it_may_be_overwritten() {
    let folder = Folder::new();
    let (mut recipe, out) = (Recipe::lora(&rows(&folder)), folder.path("out"));
    stage("train", &recipe.write(&folder), &out, &[]).succeeds();
    std::fs::write(format!("{out}/notes.txt"), "mine").unwrap();
    let before = files(&out);
    recipe.train = recipe.train.replace("learning_rate = 2e-2", "learning_rate = 1e-2");
    let other = recipe.write(&folder);
    for command in ["train", "run", "evaluate"] {
        stage(command, &other, &out, &[]).refuses(&[&out, "another recipe", "--out", "--overwrite"]);
        assert_eq!(files(&out), before, "{command} changed something");
    }
    // One that cannot begin does not take the old run with it.
    let spoilt = folder.write("spoilt.toml", &recipe.text().replace("rows.jsonl", "no-rows.jsonl"));
    stage("train", &spoilt, &out, &["--overwrite"]).refuses(&["no-rows.jsonl"]);
    assert_eq!(files(&out), before);

    stage("train", &other, &out, &["--overwrite"]).succeeds();
    let after = files(&out);
    assert_ne!(after["adapter/adapter_model.safetensors"], before["adapter/adapter_model.safetensors"]);
    assert_eq!(after["notes.txt"], before["notes.txt"]);
    assert_eq!(steps(&out).len(), 30);
}

#[test]
fn a_folder_that_holds_no_run_is_never_written_into_or_emptied() {
    let folder = Folder::new();
    let recipe = Recipe::lora(&rows(&folder)).write(&folder);
    for (name, file) in [("photos", "photos/holiday.txt"), ("project", "project/data/important.txt")] {
        folder.write(file, "mine");
        folder.write(&format!("{name}/readme.txt"), "mine");
        let out = folder.path(name);
        let before = files(&out);
        for more in [&[][..], &["--overwrite"]] {
            stage("train", &recipe, &out, more).refuses(&[&out, "no run of luthier"]);
            assert_eq!(files(&out), before);
        }
    }
    stage("train", &recipe, &folder.write("file", "mine"), &[]).refuses(&["file"]);
}

#[test]
fn without_out_the_run_goes_to_runs_and_its_name() {
    let folder = Folder::new();
    let recipe = Recipe::lora(&rows(&folder)).write(&folder);
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_luthier"))
        .args(["train", &recipe])
        .current_dir(folder.path(""))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "runs/names/adapter\n");
    assert!(std::path::Path::new(&folder.path("runs/names/adapter/adapter_model.safetensors")).is_file());
    assert!(!repository().join("runs/names").exists());
}

#[test]
fn a_profile_tells_where_the_time_went_and_changes_no_weight() {
    let folder = Folder::new();
    let recipe = Recipe::full(&rows(&folder)).write(&folder);
    let (plain, profiled) = (folder.path("plain"), folder.path("profiled"));
    stage("train", &recipe, &plain, &[]).succeeds();
    let done = stage("train", &recipe, &profiled, &["--profile"]).succeeds();

    let mut with_profile = files(&profiled);
    assert!(with_profile.remove("profile.json").is_some());
    assert_eq!(files(&plain).keys().collect::<Vec<_>>(), with_profile.keys().collect::<Vec<_>>());
    assert_eq!(sha256(&format!("{plain}/model/model.safetensors")), with_profile["model/model.safetensors"]);

    let profile = json_file(&format!("{profiled}/profile.json"));
    assert_eq!(profile["steps"], 20);
    let seconds = |field: &str| profile[field].as_f64().unwrap();
    let rows = profile["rows"].as_array().unwrap();
    let sum: f64 = rows.iter().map(|row| row["seconds"].as_f64().unwrap()).sum();
    assert!((sum - seconds("seconds_in_kernels")).abs() < 1e-6);
    assert!((sum + seconds("seconds_elsewhere") - seconds("seconds")).abs() < 1e-6);
    assert!(rows.iter().any(|row| row["product"]["kind"] == "tn" && row["product_operations"].as_u64() > Some(0)));
    assert!(done.stderr.contains("matmul tn") && done.stderr.contains("elsewhere"), "{}", done.stderr);
}

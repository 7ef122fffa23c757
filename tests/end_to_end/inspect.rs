//! `luthier inspect` shows rows as training sees them, and what folders and files hold.

use std::path::Path;
use std::process::Command;

use luthier_fixtures::{ids, repository, shared};
use serde_json::{Value, json};

use crate::command::{Folder, LLAMA, QWEN, golden, luthier};

fn recipe(folder: &Folder, rows: &str, more: &str) -> String {
    folder.write("rows.jsonl", rows);
    let base = std::fs::canonicalize(repository().join(QWEN)).unwrap();
    let text = format!(
        "name = \"look\"\n[data]\nsources = [{{ path = \"rows.jsonl\" }}]\nsplit = {{ test = 0, by = \"order\" }}\n{more}\n\
         [model]\nbase = \"{}\"\n",
        base.display()
    );
    folder.write("look.toml", &text)
}

const ROWS: &str = concat!(
    "{\"prompt\": \"天地玄黃\", \"completion\": \"宇宙洪荒。\"}\n",
    "{\"instruction\": \"接下去\", \"input\": \"日月盈昃\", \"output\": \"辰宿列張。\"}\n",
    "{\"prompt\": \"空\", \"completion\": \"\"}\n",
);

#[test]
fn rows_are_the_tokens_and_labels_of_the_chat_template() {
    let folder = Folder::new();
    let path = recipe(&folder, ROWS, "");
    let outcome = luthier(&["inspect", &path, "--rows", "9", "--json"]).succeeds();
    let rows = outcome.json_lines();
    assert_eq!(rows.len(), 2);
    assert!(outcome.stderr.contains("3 rows read: 2 trained, 1 dropped"), "{}", outcome.stderr);
    for row in &rows {
        let (tokens, labelled) = (ids(&row["tokens"]), row["labelled"].as_array().unwrap());
        assert_eq!(tokens.len(), labelled.len());
        let learnt: Vec<u32> =
            tokens.iter().zip(labelled).filter(|(_, labelled)| **labelled == true).map(|(id, _)| *id).collect();
        assert_eq!(learnt.last(), Some(&2), "the end-of-turn is learnt");
        assert!(learnt.len() > 5 && learnt.len() < tokens.len());
        assert_eq!(labelled[0], false);
    }
    let text = rows[0]["text"].as_str().unwrap();
    assert!(
        text.ends_with("<|im_start|>user\n天地玄黃<|im_end|>\n<|im_start|>assistant\n宇宙洪荒。<|im_end|>\n"),
        "{text}"
    );
}

#[test]
fn the_screen_marks_what_is_learnt_and_ends_with_the_ledger() {
    let folder = Folder::new();
    let path = recipe(&folder, ROWS, "");
    let screen = luthier(&["inspect", &path, "--rows", "1"]).succeeds().stdout;
    assert!(screen.contains("<|im_start|>assistant\n[[宇宙洪荒。<|im_end|>]]\n"), "{screen}");
    assert!(!screen.contains("日月盈昃"), "one row was asked for");
    assert!(screen.contains("| trained | 2 |") && screen.contains("| dropped | 1 |"), "{screen}");
    assert!(screen.contains("rows.jsonl:3: field `completion`"), "{screen}");
}

#[test]
fn nothing_is_left_behind_and_generated_rows_need_no_file() {
    let folder = Folder::new();
    let text = "name = \"look\"\n[data]\nsources = [{ generate = \"devices\", rows = 20, part = \"train\" }]\n\
                template = \"alpaca\"\nmax_length = 2000\n[model.create]\narchitecture = \"llama\"\nhidden_size = 16\nintermediate_size = 32\n\
                num_hidden_layers = 1\nnum_attention_heads = 2\nnum_key_value_heads = 1\nmax_position_embeddings = 2000\n\
                [tokenizer.train]\nvocab_size = 400\nsources = [{ generate = \"devices\", rows = 50, part = \"pretraining\" }]\n";
    let path = folder.write("look.toml", text);
    let rows = luthier(&["inspect", &path, "--rows", "4", "--json"]).succeeds().json_lines();
    assert_eq!(rows.len(), 4);
    assert!(rows[0]["text"].as_str().unwrap().contains("### Response:"));
    let scratch = Folder::new();
    let command =
        Command::new(env!("CARGO_BIN_EXE_luthier")).args(["inspect", &path]).env("TMPDIR", scratch.path("")).output();
    let screen = String::from_utf8(command.unwrap().stdout).unwrap();
    assert!(screen.contains("| trained | 20 |") && !screen.contains(&scratch.path("")), "{screen}");
    for folder in [Path::new(&scratch.path("")), Path::new(&path).parent().unwrap()] {
        let left =
            std::fs::read_dir(folder).unwrap().filter(|entry| entry.as_ref().unwrap().file_name() != "look.toml");
        assert_eq!(left.count(), 0);
    }
}

#[test]
fn a_recipe_whose_run_would_be_refused_says_so_and_still_shows_the_ledger() {
    let folder = Folder::new();
    let path = recipe(&folder, ROWS, "max_length = 8");
    let outcome = luthier(&["inspect", &path]).succeeds();
    assert!(outcome.stderr.contains("a run would not start"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("| dropped | 3 |"), "{}", outcome.stdout);
}

#[test]
fn a_wrong_recipe_is_refused_with_its_line() {
    let folder = Folder::new();
    let path = recipe(&folder, ROWS, "max_lenght = 8");
    luthier(&["inspect", &path]).refuses(&["look.toml:5:1", "max_lenght", "max_length"]);
    let path = recipe(&folder, ROWS, "");
    std::fs::remove_file(folder.path("rows.jsonl")).unwrap();
    luthier(&["inspect", &path]).refuses(&["rows.jsonl"]);
    luthier(&["inspect", "no/such.toml"]).refuses(&["no/such.toml"]);
    luthier(&["inspect", "no/such"]).refuses(&["no folder no/such", "--offline"]);
    luthier(&["inspect", "no/such.jsonl"]).refuses(&["there is no no/such.jsonl"]);
    luthier(&["inspect", "such"]).refuses(&["there is no such;"]);
    luthier(&["inspect", "crates/files/src"]).refuses(&["crates/files/src holds none of config.json (a model)"]);
}

#[test]
fn a_model_folder_shows_its_sizes_and_what_surrounds_its_texts() {
    let facts = &luthier(&["inspect", LLAMA, "--json"]).succeeds().json_lines()[0];
    let sizes: usize = golden(LLAMA)["gradient_row0"]["parameters"].as_object().unwrap().values().map(elements).sum();
    assert_eq!(facts["parameters"], sizes);
    let kinds = facts["parameters_by_kind"].as_object().unwrap();
    assert_eq!(kinds.keys().collect::<Vec<_>>(), ["embedding", "attention", "mlp", "norms", "head"]);
    assert_eq!(kinds.values().filter_map(Value::as_u64).sum::<u64>(), sizes as u64);
    assert_eq!(facts["memory_bytes"]["f32"], sizes * 4);
    let bytes = |facts: &Value| ["f32", "bf16", "int8", "nf4"].map(|store| facts[store].as_u64().unwrap());
    for (held, trained) in bytes(&facts["memory_bytes"]).into_iter().zip(bytes(&facts["lora_training"]["memory_bytes"]))
    {
        assert!(trained > held, "{trained} {held}");
    }
    assert!(bytes(&facts["memory_bytes"]).is_sorted_by(|more, less| more > less));
    assert_eq!(facts["architecture"], "LlamaForCausalLM");
    assert_eq!(
        (&facts["layers"], &facts["vocabulary"], &facts["tokenizer"]["tokens"]),
        (&json!(2), &json!(384), &json!(380))
    );
    assert_eq!(facts["tokenizer"]["special_tokens"]["bos"], json!({"text": "<|bos|>", "id": 0}));
    assert_eq!(facts["tokenizer"]["bos_before_every_text"], true);
    let template = &facts["tokenizer"]["template"];
    assert_eq!((&template["from"], &template["own"]), (&json!("chat_template.jinja"), &json!(true)));
    assert!(template["source"].as_str().unwrap().contains("bos_token"));
    let bytes = std::fs::metadata(repository().join(LLAMA).join("model.safetensors")).unwrap().len();
    assert_eq!(facts["weights"], json!({"stored_as": "float32", "bytes": bytes, "here": true}));
}

#[test]
fn a_model_fits_one_screen_of_eighty_columns() {
    let screen = luthier(&["inspect", QWEN]).succeeds().stdout;
    for part in ["Qwen2ForCausalLM (qwen2)", "temperature 0.7", "eos <|im_end|> (2)", "float32", "q k v biases"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    for part in ["380 tokens, 384 rows of the embedding", "tokenizer_config.json, ", "LoRA training", "the head too"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(screen.lines().count() <= 40, "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    let screen = luthier(&["inspect", "fixtures/models/llama-gqa-tied-llama3-rope"]).succeeds().stdout;
    assert!(
        screen.contains("llama3 scaling by") && screen.contains("bfloat16") && screen.contains("no tokenizer"),
        "{screen}"
    );
}

fn elements(parameter: &Value) -> usize {
    parameter["shape"].as_array().unwrap().iter().map(|side| side.as_u64().unwrap() as usize).product()
}

#[test]
fn an_adapter_folder_shows_rank_and_targets() {
    let facts =
        &luthier(&["inspect", "fixtures/training/qwen2-bias-tied/lora_qv/final", "--json"]).succeeds().json_lines()[0];
    let text = std::fs::read_to_string(
        repository().join("fixtures/training/qwen2-bias-tied/lora_qv/final/adapter_config.json"),
    );
    let config: Value = serde_json::from_str(&text.unwrap()).unwrap();
    assert_eq!(
        (&facts["rank"], &facts["alpha"], &facts["targets"]),
        (&config["r"], &config["lora_alpha"], &config["target_modules"])
    );
    assert!(facts["parameters"].as_u64().unwrap() > 0);
}

#[test]
fn a_run_folder_shows_its_manifest_and_the_totals_of_its_ledger() {
    let folder = Folder::new();
    folder.write("manifest.json", "{\"name\": \"試\", \"method\": \"lora\"}");
    let entry = |line: usize, outcome: &str| {
        let entry =
            json!({"source": "a", "line": line, "outcome": outcome, "reason": null, "tokens": 7, "tokens_lost": 1});
        format!("{entry}\n")
    };
    folder.write("ledger.jsonl", &[entry(1, "trained"), entry(2, "trained"), entry(3, "test")].concat());
    folder.write("metrics.jsonl", "{\"step\":1,\"epoch\":0.5,\"loss\":3.0}\n{\"step\":1,\"eval_loss\":2.0}\n{\"st");
    let facts = &luthier(&["inspect", &folder.path(""), "--json"]).succeeds().json_lines()[0];
    assert_eq!((&facts["name"], &facts["last_step"]["loss"]), (&json!("試"), &json!(3.0)));
    assert_eq!(facts["ledger"]["trained"], json!({"rows": 2, "tokens": 14, "tokens_lost": 2}));
    assert_eq!(facts["ledger"]["all"]["rows"], 3);
    folder.write("ledger.jsonl", "{\"outcome\": \"eaten\"}\n");
    luthier(&["inspect", &folder.path("")]).refuses(&["ledger.jsonl:1"]);
}

#[test]
fn a_data_file_shows_fields_lengths_and_every_fault_with_its_line() {
    let folder = Folder::new();
    let path = folder.write(
        "data.txt.jsonl",
        &format!("{ROWS}not json\n{{\"prompt\": 5, \"completion\": \"x\"}}\n{{\"text\": \"一二三\"}}\n"),
    );
    let facts = &luthier(&["inspect", &path, "--json"]).succeeds().json_lines()[0];
    assert_eq!((&facts["kind"], &facts["records"], &facts["rows"]), (&json!("data"), &json!(6), &json!(3)));
    assert_eq!(facts["shapes"], json!({"alpaca": 1, "prompt-completion": 1, "text": 1}));
    let part = |name: &str| facts["lengths"].as_array().unwrap().iter().find(|part| part["part"] == name).unwrap();
    assert_eq!(part("text")["characters"]["max"], 3);
    assert_eq!(part("output")["characters"]["min"], 5);
    assert_eq!(facts["faults"]["kinds"], json!({"empty answer": 1, "not JSON": 1, "not text": 1}));
    let listed = facts["faults"]["listed"].as_array().unwrap();
    let lines: Vec<&Value> = listed.iter().map(|fault| &fault["line"]).collect();
    assert_eq!(lines, [3, 4, 5]);
    let screen = luthier(&["inspect", &path, "--faults", "2"]).succeeds().stdout;
    assert!(
        screen.contains("data.txt.jsonl:3: field `completion`") && screen.contains("data.txt.jsonl:4: not JSON"),
        "{screen}"
    );
    assert!(screen.contains("... 1 more"), "{screen}");
}

#[test]
fn ten_thousand_real_rows_are_read_without_a_fault() {
    let Some(path) = shared("data/ntu-adl2023-hw3/train.json") else { return };
    let facts = &luthier(&["inspect", &path.display().to_string(), "--json"]).succeeds().json_lines()[0];
    assert_eq!((&facts["rows"], &facts["faults"]["count"]), (&json!(10_000), &json!(0)));
    println!("{}", facts["lengths"]);
}

#[test]
fn with_a_model_rows_are_the_tokens_and_labels_that_a_recipe_would_train() {
    let folder = Folder::new();
    let path = recipe(&folder, ROWS, "");
    let trained = luthier(&["inspect", &path, "--rows", "9", "--json"]).succeeds().json_lines();
    let rows = folder.path("rows.jsonl");
    let facts = &luthier(&["inspect", &rows, "--model", QWEN, "--max-length", "30", "--rows", "9", "--json"])
        .succeeds()
        .json_lines()[0];
    let model = &facts["model"];
    let labelled = |row: &Value| row["labelled"].as_array().unwrap().iter().filter(|label| **label == true).count();
    let sizes: Vec<usize> = trained.iter().map(|row| ids(&row["tokens"]).len()).collect();
    assert_eq!(model["tokens"], sizes.iter().sum::<usize>());
    assert_eq!(model["labelled"], trained.iter().map(labelled).sum::<usize>());
    assert_eq!(model["longer"], sizes.iter().filter(|size| **size > 30).count());
    for (example, row) in facts["examples"].as_array().unwrap().iter().zip(&trained) {
        let pieces = example["pieces"].as_array().unwrap();
        let text: String = pieces.iter().map(|piece| piece["text"].as_str().unwrap()).collect();
        assert_eq!(row["text"], text);
        assert_eq!(
            (&example["tokens"], &example["labelled"]),
            (&json!(ids(&row["tokens"]).len()), &json!(labelled(row)))
        );
    }
    let screen = luthier(&["inspect", &rows, "--model", QWEN]).succeeds().stdout;
    assert!(screen.contains("assistant\n[[宇宙洪荒。<|im_end|>]]"), "{screen}");
    assert!(screen.contains("tokens in 2 rows carry a label"), "{screen}");
    let with_pocket = luthier(&["inspect", &rows, "--model", "pocket", "--rows", "0"]).succeeds();
    assert!(with_pocket.stdout.contains("as training with pocket would see them"), "{}", with_pocket.stdout);
}

#[test]
fn a_folder_a_table_and_a_compressed_file_are_data_as_well() {
    let folder = Folder::new();
    folder.write("set/a.csv", "instruction,output\n問,答\n問,答\n問,另一個答\n");
    folder.write("set/b.txt", "一段文字\n");
    let facts = &luthier(&["inspect", &folder.path("set"), "--json", "--near", "0.1"]).succeeds().json_lines()[0];
    assert_eq!(facts["shapes"], json!({"alpaca": 3, "text": 1}));
    assert_eq!((&facts["repeats"]["exact"], &facts["repeats"]["near"]["rows"]), (&json!(1), &json!(0)));
    assert_eq!(facts["repeats"]["prompts_with_several_outputs"], 1);
    let pair = &facts["repeats"]["first"][0];
    assert!(pair["row"]["place"].as_str().unwrap().ends_with("a.csv:3"), "{pair}");
    assert_eq!(facts["files"][1]["file"], "b.txt");
    let screen = luthier(&["inspect", &folder.path("set")]).succeeds().stdout;
    assert!(screen.contains("2 different ones") || screen.contains("1 different ones"), "{screen}");
}

#[test]
fn the_page_of_a_data_set_is_one_file() {
    let folder = Folder::new();
    let rows = folder.write("rows.jsonl", ROWS);
    let page = folder.path("page.html");
    let printed = luthier(&["inspect", &rows, "--html", &page, "--language", "zh-Hant", "--model", QWEN]).succeeds();
    assert_eq!(printed.stdout, format!("{page}\n"));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("<html lang=\"zh-Hant\">") && html.contains("有標籤的 token"), "{html}");
    assert!(!html.contains("<script") && !html.contains("http://"), "nothing is loaded");
}

#[test]
fn data_that_cannot_be_read_is_refused_in_one_line() {
    let folder = Folder::new();
    let empty = folder.write("empty.jsonl", "");
    luthier(&["inspect", &empty]).refuses(&["empty.jsonl holds no records: it is empty"]);
    let unknown = folder.write("rows.data", "a,b\n1,2\n");
    luthier(&["inspect", &unknown]).refuses(&["rows.data: neither content nor name", "--format: json, csv"]);
    let known = luthier(&["inspect", &unknown, "--format", "csv"]).succeeds();
    assert!(known.stdout.contains("1 records: 1 rows (1 columns)"), "{}", known.stdout);
    let rows = folder.write("rows.jsonl", ROWS);
    luthier(&["inspect", &rows, "--near", "0.9"]).refuses(&["--near: 0.9 is no share from 0 to 0.3"]);
    luthier(&["inspect", &rows, "--max-length", "9"]).refuses(&["--model"]);
    luthier(&["inspect", &rows, "--model", "no/such/folder"]).refuses(&["--model: there is no no/such/folder"]);
    luthier(&["inspect", QWEN, "--near", "0.1"]).refuses(&["--near is for data"]);
}

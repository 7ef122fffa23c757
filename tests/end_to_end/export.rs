//! Vocabularies that a recipe makes longer, and models that leave as others read them.

use crate::command::{Folder, QWEN, luthier, luthier_reading};
use crate::task::{Recipe, json_file, rows};

/// An adapter with two tokens more than its base model has.
fn longer(folder: &Folder) -> String {
    let mut recipe = Recipe::lora(&rows(folder));
    recipe.model += "\nadd_tokens = [\"<想>\", \"傘\"]";
    recipe.train = recipe.train.replace("dropout = 0.1", "dropout = 0.1, modules_to_save = [\"embed_tokens\"]");
    let (recipe, out) = (recipe.write(folder), folder.path("out"));
    luthier(&["train", &recipe, "--out", &out]).succeeds();
    format!("{out}/adapter")
}

fn answer(arguments: &[&str]) -> serde_json::Value {
    let mut all = vec!["generate", "--input", "-", "--chat", "--json", "--max-new-tokens", "8", "--do-sample", "false"];
    all.extend_from_slice(arguments);
    let row = "{\"prompt\": \"翻成英文。\\n紅色的雨傘\"}";
    luthier_reading(row, &all).succeeds().json_lines()[0]["outputs"].clone()
}

#[test]
fn tokens_that_a_recipe_adds_are_learnt_saved_with_the_adapter_and_served() {
    let folder = Folder::new();
    let adapter = longer(&folder);
    let config = json_file(&format!("{adapter}/adapter_config.json"));
    assert_eq!(config["modules_to_save"], serde_json::json!(["embed_tokens", "lm_head"]), "the head is the embedding");
    let tokenizer = json_file(&format!("{adapter}/tokenizer.json"));
    let added: Vec<&str> =
        tokenizer["added_tokens"].as_array().unwrap().iter().filter_map(|token| token["content"].as_str()).collect();
    assert!(added.contains(&"<想>") && added.contains(&"傘"), "{added:?}");
    answer(&["--model", QWEN, "--adapter", &adapter]);
}

#[test]
fn an_exported_model_answers_as_the_adapter_does_in_a_folder_and_in_a_gguf_file() {
    let folder = Folder::new();
    let adapter = longer(&folder);
    let expected = answer(&["--model", QWEN, "--adapter", &adapter]);
    let (merged, gguf) = (folder.path("merged"), folder.path("model.gguf"));
    for out in [&merged, &gguf] {
        let done = luthier(&["export", "--model", QWEN, "--adapter", &adapter, "--out", out]).succeeds();
        assert_eq!(done.stdout, format!("{out}\n"));
        let found = answer(&["--model", out]);
        assert_eq!(found[0]["text"], expected[0]["text"], "{out}: {found} {expected}");
    }
    // And out of the file into a folder again.
    let again = folder.path("again");
    luthier(&["export", "--model", &gguf, "--out", &again]).succeeds();
    assert_eq!(answer(&["--model", &again])[0]["text"], expected[0]["text"]);
    luthier(&["export", "--model", QWEN, "--out", &merged]).refuses(&[&merged, "is there already"]);
    luthier(&["export", "--model", QWEN, "--out", &folder.path("x"), "--dtype", "q8_0"]).refuses(&["q8_0", ".gguf"]);
    luthier(&["export", "--model", QWEN, "--out", &folder.path("y.gguf"), "--store", "int8"])
        .refuses(&["held as int8", "open it as f32"]);
    assert!(!std::path::Path::new(&folder.path("y.gguf")).exists());
}

//! The manifest of a run says what its reader cannot see elsewhere: how much is trained, and on which bytes.

use std::path::Path;

use luthier_train::{Recipe, RunFolder, Setup, set_up};
use serde_json::Value;

const ROW: &str = r#"{"instruction": "命名", "input": "一盞會摺疊的燈", "output": "摺疊燈"}"#;

/// Sets a run up from scratch; gives what it starts from, and its manifest.
fn set_up_with(rows: &str, learning_rate: &str) -> (Setup, Value) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("rows.jsonl"), rows).unwrap();
    let base = luthier_fixtures::model("qwen2-bias-tied");
    let text = format!(
        "name = \"titles\"\n\
         data = {{ sources = [{{ path = \"rows.jsonl\" }}], template = \"alpaca\" }}\n\
         model = {{ base = {base:?} }}\n\
         train = {{ lora = {{ rank = 4, targets = [\"q_proj\", \"v_proj\"] }}, learning_rate = {learning_rate} }}\n"
    );
    let recipe = Recipe::parse(&text, dir.path().join("recipe.toml")).unwrap().resolve();
    let folder = RunFolder::open(&dir.path().join("run"), false).unwrap();
    let mut setup =
        set_up(&recipe, &folder, Path::new("no pocket"), &luthier_engine::Device::cpu(), &|_, _| {}).unwrap();
    let manifest = luthier_fixtures::json(&folder.path("manifest.json"));
    setup.make_trainable(&recipe).unwrap();
    (setup, manifest)
}

#[test]
fn the_manifest_counts_what_will_be_trained() {
    let (setup, manifest) = set_up_with(ROW, "2e-4");
    let (all, trained) = setup.model.params.count();
    assert!(trained > 0);
    assert_eq!(manifest["trainable_parameters"], trained);
    assert_eq!(manifest["base_model"]["parameters"], all - trained);
}

#[test]
fn the_hash_of_the_data_changes_with_the_rows_and_with_nothing_else() {
    let data = |rows: &str, learning_rate| set_up_with(rows, learning_rate).1["data_sha256"].clone();
    let hash = data(ROW, "2e-4");
    assert_eq!(hash.as_str().unwrap().len(), 64);
    assert_eq!(data(ROW, "1e-3"), hash);
    assert_ne!(data(&format!("{ROW}\n{ROW}"), "2e-4"), hash);
}

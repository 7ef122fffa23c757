//! Run folders made for the tests: invented devices and their titles.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// A run folder that is removed with its value.
pub(crate) struct RunFolder(tempfile::TempDir);

impl RunFolder {
    pub(crate) const FILES: [&'static str; 7] = [
        "recipe.toml",
        "manifest.json",
        "ledger.jsonl",
        "metrics.jsonl",
        "scores.json",
        "predictions/base.greedy.jsonl",
        "predictions/tuned.greedy.jsonl",
    ];

    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().expect("a folder for the test"))
    }

    /// A run that went through to the end, scored on `rows` rows.
    pub(crate) fn whole(rows: u32) -> Self {
        let folder = Self::empty();
        folder.write("recipe.toml", RECIPE);
        folder.write("manifest.json", &serde_json::to_string_pretty(&manifest()).unwrap());
        folder.write("ledger.jsonl", &ledger());
        folder.write("metrics.jsonl", &metrics());
        folder.write("scores.json", &scores(rows).to_string());
        for strategy in ["greedy", "beam4", "warm"] {
            for system in ["base", "tuned"] {
                folder.write(&format!("predictions/{system}.{strategy}.jsonl"), &predictions(system, rows));
            }
        }
        folder
    }

    /// A whole run in which every name and text tries to be markup.
    pub(crate) fn hostile() -> Self {
        let folder = Self::whole(3);
        let bad = "\"><script>alert(\"x\")</script><img src=x onerror='y'>\0\u{7}\u{202E}שלום עולם {{ 7 * 7 }} {% raw %} ]]>\r\n--><!--\u{85}";
        let mut manifest = manifest();
        for key in ["name", "luthier_version", "method", "template"] {
            manifest[key] = json!(bad);
        }
        manifest["notices"] = json!([bad, "x".repeat(100_000)]);
        manifest["machine"]["cpu"] = json!(bad);
        folder.write("manifest.json", &manifest.to_string());
        folder.write(
            "recipe.toml",
            &format!("name = 'a'\n[data]\nsources = [{}]\n", Value::from(bad.replace(['\0', '\u{7}', '\u{85}'], ""))),
        );
        let line = |outcome: &str| json!({"source": bad, "line": 1, "outcome": outcome, "reason": bad}).to_string();
        folder.write("ledger.jsonl", &line(bad));
        let mut scores = scores(3);
        scores["metrics"][0] = json!({"name": bad, "label": bad, "signature": bad, "higher_is_better": true});
        scores["strategies"] = json!([{"name": bad, "options": {bad: bad}}]);
        scores["systems"] = json!({"base": {bad: {bad: {"value": 1}}}, "tuned": {bad: {bad: {"value": 1e308, "interval": [-1e308, 1e308]}}}});
        folder.write("scores.json", &scores.to_string());
        let texts = [bad.to_owned(), bad.repeat(400), format!("{bad}{}", "長".repeat(50_000))];
        for system in ["base", "tuned"] {
            let row = |(row, text): (usize, &String)| {
                let answer = if system == "base" { String::new() } else { text.replace("alert", "prompt") };
                json!({"row": row, "source": bad, "line": 1, "prompt": text, "reference": text, "output": answer,
                       "finish_reason": bad, "score": -1.0, "metrics": {bad: row}})
                .to_string()
            };
            let rows: Vec<String> = texts.iter().enumerate().map(row).collect();
            folder.write(&format!("predictions/{system}.greedy.jsonl"), &rows.join("\n"));
        }
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, file: &str, content: &str) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().expect("a file in the folder")).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn remove(&self, file: &str) {
        fs::remove_file(self.path().join(file)).unwrap();
    }

    /// The names in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// (row, prompt, title) of invented devices, Chinese and English in turn.
pub(crate) fn device_rows(rows: u32) -> impl Iterator<Item = (u32, String, String)> {
    let parts = [
        ("可折疊", "雨傘", "foldable", "umbrella"),
        ("防水", "手電筒", "waterproof", "torch"),
        ("靜音", "風扇", "silent", "fan"),
    ];
    (0..rows).map(move |row| {
        let (how, what, kind, thing) = parts[row as usize % parts.len()];
        if row % 2 == 0 {
            (
                row,
                format!("本裝置第 {row} 型為{what}，其特徵在於{how}。\n請給它一個標題。"),
                format!("第 {row} 型{how}{what}"),
            )
        } else {
            (
                row,
                format!("Model {row} is a {thing} which is {kind}.\nGive it a title."),
                format!("{kind} {thing} {row}"),
            )
        }
    })
}

/// The base model repeats the prompt; the tuned one is right on seven rows of eight.
fn predictions(system: &str, rows: u32) -> String {
    let mut lines = String::new();
    for (row, prompt, title) in device_rows(rows) {
        let right = if system == "base" { row == 1 } else { row % 8 != 3 };
        let output = match (system, right) {
            (_, true) => title.clone(),
            ("base", _) => prompt.repeat(3),
            _ => format!("{title}裝置"),
        };
        let exact = if right { 100.0 } else { 0.0 };
        let line = json!({"row": row, "source": "data/devices.jsonl", "line": row + 1, "prompt": prompt, "reference": title, "output": output,
            "finish_reason": if system == "base" { "length" } else { "stop" }, "score": -0.5,
            "metrics": {"exact-match": exact, "chrf": if right { 100.0 } else { 30.0 }}});
        writeln!(lines, "{line}").unwrap();
    }
    lines
}

fn scores(rows: u32) -> Value {
    let of = |exact: f64, chrf: f64| json!({"exact-match": {"value": exact, "interval": [exact - 2.0, exact + 2.0]}, "chrf": {"value": chrf, "interval": [chrf - 3.0, chrf + 3.0]}});
    let compared = |exact: f64| json!({"exact-match": {"difference": exact, "interval": [75.0, 92.5], "p_value": 0.000_999}, "chrf": {"difference": 40.0, "interval": [35.0, 45.0], "p_value": 0.001}});
    json!({
        "rows": rows,
        "metrics": [
            {"name": "exact-match", "label": "Exact match", "signature": "exact-match|version:luthier-0.1.0", "higher_is_better": true},
            {"name": "chrf", "label": "chrF", "signature": "chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.4.3", "higher_is_better": true},
        ],
        "strategies": [
            {"name": "greedy", "options": {}},
            {"name": "beam4", "options": {"num_beams": 4}},
            {"name": "warm", "options": {"do_sample": true, "temperature": 0.7, "top_p": 0.9, "top_k": 50}},
        ],
        "systems": {
            "base": {"greedy": of(2.5, 20.0), "beam4": of(2.5, 22.0), "warm": of(0.0, 18.0)},
            "tuned": {"greedy": of(85.0, 92.0), "beam4": of(87.5, 93.0), "warm": of(77.5, 88.0)},
        },
        "comparisons": {"greedy": compared(82.5), "beam4": compared(85.0), "warm": compared(77.5)},
        "perplexity": {"base": 412.7, "tuned": 1.31, "comparison": {"difference": -411.39, "interval": [-500.0, -350.5], "p_value": 0.001}},
    })
}

fn manifest() -> Value {
    json!({
        "name": "device-title", "created_unix": 1_767_225_600, "luthier_version": "0.1.0",
        "machine": {"cpu": "a processor", "threads": 2, "memory_bytes": 17_179_869_184_u64}, "data_sha256": "00",
        "base_model": {"path": "pocket", "architecture": "llama", "parameters": 494_032_768, "sha256": "00"}, "recipe_sha256": "00",
        "method": "lora", "trainable_parameters": 4_399_104, "template": "alpaca", "notices": ["標題以繁體中文與英文各半。"],
    })
}

/// 77 rows with every outcome.
fn ledger() -> String {
    let fates = [
        ("trained", "", 30),
        ("truncated", "7 tokens cut", 1),
        ("test", "", 40),
        ("duplicate", "the same as row #", 2),
        ("leaked", "in the test split", 1),
        ("dropped", "longer than max_length", 3),
    ];
    let mut lines = String::new();
    let mut number = 0;
    for (outcome, reason, rows) in fates {
        for _ in 0..rows {
            number += 1;
            let reason = if reason.is_empty() { Value::Null } else { json!(reason.replace('#', &number.to_string())) };
            let line = json!({"source": "data/devices.jsonl", "line": number, "outcome": outcome, "reason": reason, "tokens": 50, "tokens_lost": 0});
            writeln!(lines, "{line}").unwrap();
        }
    }
    lines
}

/// 200 steps with an evaluation every 50.
fn metrics() -> String {
    let mut lines = String::new();
    for step in 1..=200 {
        let x = f64::from(step) / 200.0;
        let line = json!({"step": step, "epoch": 3.0 * x, "loss": 4.0 * (-3.0 * x).exp() + 0.1 * f64::from(step % 3), "learning_rate": 2e-4 * (1.0 - x),
            "grad_norm": 1.0, "tokens": 4096, "labelled_tokens": 900, "tokens_per_second": 1500.0, "peak_memory_bytes": 900_000_000_u64});
        writeln!(lines, "{line}").unwrap();
        if step % 50 == 0 {
            writeln!(lines, "{}", json!({"step": step, "eval_loss": 4.0 * (-3.0 * x).exp(), "eval_perplexity": 2.0}))
                .unwrap();
        }
    }
    lines
}

const RECIPE: &str = r#"name = "device-title"
seed = 42

[data]
sources = [{ path = "data/devices.jsonl", format = "alpaca" }, { generate = "devices", rows = 70, seed = 3 }]
template = "alpaca"
train_on = "answers"
max_length = 256

[model]
base = "pocket"

[train]
method = "lora"
lora = { rank = 8, alpha = 16 }
epochs = 3
learning_rate = 2e-4
schedule = { kind = "cosine", warmup = 0.03 }
"#;

//! A small task to run: forty rows in two languages, a recipe of a few sections, and what a run folder holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use luthier_fixtures::repository;
use serde_json::{Value, json};

use crate::command::{Folder, Outcome, QWEN, luthier};

/// A recipe as its sections, each of which a test may write otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) data: String,
    pub(crate) model: String,
    pub(crate) train: String,
    pub(crate) evaluate: String,
}

impl Recipe {
    /// An adapter for the fixture model, thirty steps on forty rows, three ways of decoding.
    pub(crate) fn lora(rows: &str) -> Self {
        Self {
            name: "names",
            data: format!(
                "sources = [{{ path = \"{rows}\" }}]\nmax_length = 160\nsplit = {{ test = 6, by = \"order\" }}"
            ),
            model: format!("base = \"{}\"", repository().join(QWEN).display()),
            train: "method = \"lora\"\nlora = { rank = 4, alpha = 8, dropout = 0.1 }\nsteps = 30\nrows_per_step = 6\n\
                    learning_rate = 2e-2\ncheckpoint = { every = 10, keep = 2 }\nevaluate = { every = 15, rows = 6 }"
                .to_owned(),
            evaluate: "metrics = [\"exact-match\", \"chrf\", \"perplexity\"]\nmax_new_tokens = 8\n\
                       [evaluate.strategies]\ngreedy = {}\nbeam3 = { num_beams = 3 }\n\
                       sampling = { do_sample = true, temperature = 0.8, top_k = 20 }"
                .to_owned(),
        }
    }

    /// The same with every weight trained, and no evaluation.
    pub(crate) fn full(rows: &str) -> Self {
        let train =
            "method = \"full\"\nsteps = 20\nrows_per_step = 6\nlearning_rate = 3e-3\ncheckpoint = { every = 5 }";
        Self { train: train.to_owned(), ..Self::lora(rows) }
    }

    pub(crate) fn text(&self) -> String {
        let Self { name, data, model, train, evaluate } = self;
        format!(
            "name = \"{name}\"\nseed = 7\n\n[data]\n{data}\n\n[model]\n{model}\n\n[train]\n{train}\n\n[evaluate]\n{evaluate}\n"
        )
    }

    pub(crate) fn write(&self, folder: &Folder) -> String {
        folder.write(&format!("{}.toml", self.name), &self.text())
    }
}

/// Writes the forty rows of the task and gives their path.
pub(crate) fn rows(folder: &Folder) -> String {
    let lines: String = good_rows().iter().map(|row| format!("{row}\n")).collect();
    folder.write("rows.jsonl", &lines)
}

/// Things and their colours, with the English name as the answer and the other way round.
pub(crate) fn good_rows() -> Vec<Value> {
    let colours = [("紅色", "red"), ("藍色", "blue"), ("綠色", "green"), ("白色", "white"), ("黑色", "black")];
    let things = [("雨傘", "umbrella"), ("提燈", "lantern"), ("時鐘", "clock"), ("茶壺", "teapot")];
    let all = colours.iter().flat_map(|colour| things.iter().map(move |thing| (colour, thing)));
    all.flat_map(|((colour, color), (thing, object))| {
        [
            json!({"instruction": "翻成英文。", "input": format!("{colour}的{thing}"), "output": format!("{color} {object}")}),
            json!({"instruction": "Into Chinese.", "input": format!("{color} {object}"), "output": format!("{colour}的{thing}。")}),
        ]
    })
    .collect()
}

/// `luthier COMMAND RECIPE --out OUT ...`
pub(crate) fn stage(command: &str, recipe: &str, out: &str, more: &[&str]) -> Outcome {
    let mut arguments = vec![command, recipe, "--out", out];
    arguments.extend_from_slice(more);
    luthier(&arguments)
}

/// The same, running on its own.
pub(crate) fn spawn(command: &str, recipe: &str, out: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_luthier"))
        .args([command, recipe, "--out", out])
        .current_dir(repository())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

/// The JSON of a file.
#[track_caller]
pub(crate) fn json_file(path: &str) -> Value {
    luthier_fixtures::json(Path::new(path))
}

/// The JSON of each line of a file; every line must be whole.
#[track_caller]
pub(crate) fn json_lines(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(text.is_empty() || text.ends_with('\n'), "{path} ends in the middle of a line");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}: {error}"))).collect()
}

/// How many rows ended in each way.
pub(crate) fn outcomes(out: &str) -> BTreeMap<String, usize> {
    let mut outcomes = BTreeMap::new();
    for entry in json_lines(&format!("{out}/ledger.jsonl")) {
        *outcomes.entry(entry["outcome"].as_str().expect("an outcome").to_owned()).or_default() += 1;
    }
    outcomes
}

/// The lines of training steps in metrics.jsonl.
pub(crate) fn steps(out: &str) -> Vec<Value> {
    let lines = json_lines(&format!("{out}/metrics.jsonl"));
    lines.into_iter().filter(|line| line.get("loss").is_some()).collect()
}

/// The mean loss of the first and of the last few steps.
pub(crate) fn first_and_last_loss(out: &str, few: usize) -> (f64, f64) {
    let losses: Vec<f64> = steps(out).iter().map(|step| step["loss"].as_f64().expect("a loss")).collect();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    (mean(&losses[..few]), mean(&losses[losses.len() - few..]))
}

/// Every file of a folder, by its path inside, with the SHA-256 of its bytes.
pub(crate) fn files(dir: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(Path::new(dir), "", &mut found);
    found
}

fn collect(dir: &Path, inside: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let entry = entry.expect("an entry can be read");
        let name = format!("{inside}{}", entry.file_name().to_string_lossy());
        match entry.path() {
            path if path.is_dir() => collect(&path, &format!("{name}/"), found),
            path => {
                found.insert(name, sha256(&path.display().to_string()));
            }
        }
    }
}

/// SHA-256 of a file.
#[track_caller]
pub(crate) fn sha256(path: &str) -> String {
    luthier_files::sha256_of_file(Path::new(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Nothing in the folder is half written.
#[track_caller]
pub(crate) fn assert_whole(dir: &str) {
    let left: Vec<String> = files(dir).into_keys().filter(|name| name.contains(".tmp")).collect();
    assert!(left.is_empty(), "half-written files are left: {left:?}");
}

//! A run folder as parsed: what its files say, with nothing decided yet.
//!
//! Every part is optional, for a report can be asked for at any moment of a run.

mod ledger;
mod lines;
mod predictions;
mod scores;
mod training;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use ledger::{Ledger, Outcome, Reason};
pub use predictions::{Prediction, Predictions};
pub use scores::{Comparison, MetricInfo, Perplexity, Score, Scores, Strategy, Systems};
pub use training::{EvalPoint, Training, TrainingStep};

use crate::ReportError;

/// A run folder, parsed.
#[derive(Debug)]
pub struct Run {
    /// The folder.
    pub dir: PathBuf,
    /// `recipe.toml`
    pub recipe: Option<Recipe>,
    /// `manifest.json`
    pub manifest: Option<Manifest>,
    /// `ledger.jsonl`, counted.
    pub ledger: Option<Ledger>,
    /// `metrics.jsonl`
    pub training: Option<Training>,
    /// `scores.json`
    pub scores: Option<Scores>,
    /// `predictions/{base,tuned}.*.jsonl` of the first strategy.
    pub predictions: Option<Predictions>,
}

impl Run {
    /// Reads what is there; what is not stays `None`.
    ///
    /// # Errors
    /// [`ReportError::NotAFolder`], or a file that is there but cannot be read or parsed, with its line.
    pub fn read(dir: &Path) -> Result<Self, ReportError> {
        if !dir.is_dir() {
            return Err(ReportError::NotAFolder { path: dir.to_owned() });
        }
        let scores = Scores::read(&dir.join("scores.json"))?;
        let predictions = Predictions::read(&dir.join("predictions"), scores.as_ref())?;
        Ok(Self {
            dir: dir.to_owned(),
            recipe: Recipe::read(&dir.join("recipe.toml"))?,
            manifest: Manifest::read(&dir.join("manifest.json"))?,
            ledger: Ledger::read(&dir.join("ledger.jsonl"))?,
            training: Training::read(&dir.join("metrics.jsonl"))?,
            scores,
            predictions,
        })
    }
}

/// The resolved recipe: its text as it stands, and its values.
#[derive(Debug)]
pub struct Recipe {
    /// The file.
    pub text: String,
    /// The same, parsed.
    pub table: toml::Table,
}

impl Recipe {
    fn read(path: &Path) -> Result<Option<Self>, ReportError> {
        let Some(text) = read_text(path)? else { return Ok(None) };
        match text.parse::<toml::Table>() {
            Ok(table) => Ok(Some(Self { text, table })),
            Err(error) => {
                let start = error.span().map_or(0, |span| span.start.min(text.len()));
                let line = 1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
                let message = error.message().to_owned();
                Err(ReportError::Broken { path: path.to_owned(), line, kind: "file", message })
            }
        }
    }

    /// The value under a dotted path of keys, such as `train.learning_rate`.
    pub fn get(&self, dotted: &str) -> Option<&toml::Value> {
        let mut keys = dotted.split('.');
        let first = self.table.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }
}

/// What was run, on what, with which parts: `manifest.json`.
#[derive(Debug, Default, Deserialize)]
pub struct Manifest {
    /// The file as it stands.
    #[serde(skip)]
    pub text: String,
    /// Name of the run.
    pub name: Option<String>,
    /// Seconds since 1970-01-01 UTC.
    pub created_unix: Option<u64>,
    /// Version of the program that trained.
    pub luthier_version: Option<String>,
    /// Where it was trained.
    pub machine: Option<Machine>,
    /// The model before tuning.
    pub base_model: Option<Model>,
    /// Commits of the models that came from the Hub, by the recipe's keys.
    #[serde(default)]
    pub hub: BTreeMap<String, Commit>,
    /// `full`, `lora`, ...
    pub method: Option<String>,
    /// Number of trained parameters.
    pub trainable_parameters: Option<u64>,
    /// Which template rendered the rows.
    pub template: Option<String>,
    /// What the run wants its reader to know.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// The machine of a run.
#[derive(Debug, Default, Deserialize)]
pub struct Machine {
    /// Name of the processor.
    pub cpu: Option<String>,
    /// Threads used.
    pub threads: Option<u64>,
    /// Memory, bytes.
    pub memory_bytes: Option<u64>,
}

/// The base model of a run.
#[derive(Debug, Default, Deserialize)]
pub struct Model {
    /// Folder it was read from, or its name.
    pub path: Option<String>,
    /// `model_type` of its config.
    pub architecture: Option<String>,
    /// Number of parameters.
    pub parameters: Option<u64>,
}

/// A commit of a model of the Hub.
#[derive(Debug, Default, Deserialize)]
pub struct Commit {
    /// `ORG/NAME`.
    pub repo: String,
    /// Its hash.
    pub commit: String,
}

impl Manifest {
    fn read(path: &Path) -> Result<Option<Self>, ReportError> {
        let Some(text) = read_text(path)? else { return Ok(None) };
        let mut manifest: Self = serde_json::from_str(&text).map_err(|error| ReportError::json(path, &error))?;
        manifest.text = text;
        Ok(Some(manifest))
    }
}

/// The text of a file, or `None` where there is no such file.
fn read_text(path: &Path) -> Result<Option<String>, ReportError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ReportError::read(path, error)),
    }
}

//! What both models wrote, for the strategy whose examples are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::lines::read_lines;
use super::scores::Scores;
use crate::ReportError;

/// The predictions of one strategy.
#[derive(Debug)]
pub struct Predictions {
    /// The strategy.
    pub strategy: String,
    /// Before tuning, by row.
    pub base: Option<BTreeMap<u64, Prediction>>,
    /// After tuning, by row.
    pub tuned: Option<BTreeMap<u64, Prediction>>,
}

/// One answer of one model.
#[derive(Clone, Debug, Deserialize)]
pub struct Prediction {
    /// Number of the held-out row; the same in all files.
    pub row: u64,
    /// File the row came from.
    pub source: Option<String>,
    /// Line in it.
    pub line: Option<u64>,
    /// What the model was given.
    pub prompt: String,
    /// The answer of the data.
    pub reference: Option<String>,
    /// The answer of the model.
    pub output: String,
    /// `stop` or `length`.
    pub finish_reason: Option<String>,
    /// Value of each metric on this row alone.
    #[serde(default)]
    pub metrics: BTreeMap<String, Option<f64>>,
}

impl Predictions {
    /// Reads the first strategy of which both models have predictions, else the first of which one has.
    pub(super) fn read(dir: &Path, scores: Option<&Scores>) -> Result<Option<Self>, ReportError> {
        let there = files(dir)?;
        let has = |system: &str, strategy: &str| there.contains(&(system.to_owned(), strategy.to_owned()));
        let mut names: Vec<String> =
            scores.map(Scores::all_strategies).into_iter().flatten().map(|strategy| strategy.name).collect();
        names.extend(there.iter().map(|(_, strategy)| strategy.clone()));
        let both = names.iter().find(|name| has("base", name) && has("tuned", name));
        let Some(strategy) = both.or_else(|| names.iter().find(|name| has("tuned", name) || has("base", name))) else {
            return Ok(None);
        };
        let read = |system: &str| rows(&dir.join(format!("{system}.{strategy}.jsonl")));
        let base = if has("base", strategy) { read("base")? } else { None };
        let tuned = if has("tuned", strategy) { read("tuned")? } else { None };
        Ok(Some(Self { strategy: strategy.clone(), base, tuned }))
    }
}

fn rows(path: &Path) -> Result<Option<BTreeMap<u64, Prediction>>, ReportError> {
    let mut rows = BTreeMap::new();
    let found = read_lines(path, |prediction: Prediction| {
        rows.insert(prediction.row, prediction);
    })?;
    Ok(found.then_some(rows))
}

/// (system, strategy) of every file named `{system}.{strategy}.jsonl`. Names are taken from the folder, so a strategy
/// can never lead out of it.
fn files(dir: &Path) -> Result<BTreeSet<(String, String)>, ReportError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(ReportError::read(dir, error)),
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(|error| ReportError::read(dir, error))?.file_name();
        let Some(stem) = name.to_str().and_then(|name| name.strip_suffix(".jsonl")) else { continue };
        if let Some((system @ ("base" | "tuned"), strategy)) = stem.split_once('.') {
            found.insert((system.to_owned(), strategy.to_owned()));
        }
    }
    Ok(found)
}

//! The files of an evaluation in a run folder: what is there, what it was made from, and how it is read and written.
//!
//! ```text
//! predictions/{system}.{strategy}.jsonl   one answer a line
//! predictions/{system}.losses.json        the loss of each row's reference answer
//! predictions/index.json                  of each file: a fingerprint of all it was made from
//! scores.json                             what follows from them
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::perplexity::RowLoss;
use crate::{EvaluateError, Prediction};

/// Where one system's answers under one strategy are.
pub(crate) fn predictions_path(dir: &Path, system: &str, strategy: &str) -> PathBuf {
    dir.join("predictions").join(format!("{system}.{strategy}.jsonl"))
}

/// Where one system's losses are.
pub(crate) fn losses_path(dir: &Path, system: &str) -> PathBuf {
    dir.join("predictions").join(format!("{system}.losses.json"))
}

/// What a file was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) fingerprint: String,
    /// Metrics whose values stand in each line; they follow from the answers and may be computed again without a model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) metrics: Vec<String>,
}

/// `predictions/index.json`: file name -> what the file was made from.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Index {
    /// An index that cannot be parsed counts as empty: it can be made again, and the files it names too.
    pub(crate) fn read(dir: &Path) -> Result<Self, EvaluateError> {
        let path = dir.join("predictions/index.json");
        let entries = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(EvaluateError::Read { path, source }),
        };
        Ok(Self { path, entries })
    }

    /// What `file` was made from, if it is there.
    pub(crate) fn entry(&self, file: &Path) -> Option<&Entry> {
        self.entries.get(&name(file)).filter(|_| file.is_file())
    }

    /// Takes out a file before it is written anew: killed between the file and its note, a run must not take the new file for
    /// what the old note says.
    pub(crate) fn forget(&mut self, file: &Path) -> Result<(), EvaluateError> {
        match self.entries.remove(&name(file)) {
            Some(_) => write_json(&self.path, &self.entries),
            None => Ok(()),
        }
    }

    /// Notes a file that has just been written.
    pub(crate) fn note(&mut self, file: &Path, entry: Entry) -> Result<(), EvaluateError> {
        self.entries.insert(name(file), entry);
        write_json(&self.path, &self.entries)
    }
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

pub(crate) fn write_predictions(path: &Path, predictions: &[Prediction]) -> Result<(), EvaluateError> {
    luthier_files::write_atomically(path, |file| {
        for prediction in predictions {
            serde_json::to_writer(&mut *file, prediction)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    })
    .map_err(EvaluateError::write(path))
}

/// The lines of a predictions file; `None` where there is no such file.
pub(crate) fn read_predictions(path: &Path) -> Result<Option<Vec<Prediction>>, EvaluateError> {
    let Some(text) = read(path)? else { return Ok(None) };
    let lines = text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    lines.map(|(at, line)| parse(path, at + 1, line)).collect::<Result<_, _>>().map(Some)
}

#[derive(Serialize, Deserialize)]
struct Losses {
    rows: Vec<RowLoss>,
}

pub(crate) fn write_losses(path: &Path, rows: Vec<RowLoss>) -> Result<(), EvaluateError> {
    write_json(path, &Losses { rows })
}

pub(crate) fn read_losses(path: &Path) -> Result<Option<Vec<RowLoss>>, EvaluateError> {
    let Some(text) = read(path)? else { return Ok(None) };
    let losses: Losses = parse(path, 1, &text)?;
    Ok(Some(losses.rows))
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), EvaluateError> {
    luthier_files::write_atomically(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })
    .map_err(EvaluateError::write(path))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, EvaluateError> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EvaluateError::Read { path: path.to_owned(), source }),
    }
}

/// `line` is where `text` begins in the file.
fn parse<T: DeserializeOwned>(path: &Path, line: usize, text: &[u8]) -> Result<T, EvaluateError> {
    serde_json::from_slice(text).map_err(|error| EvaluateError::Broken {
        path: path.to_owned(),
        line: line + error.line().saturating_sub(1),
        reason: error.to_string(),
    })
}

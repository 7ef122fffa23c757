//! The run folder: whose it is, and what stands in it.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::TrainError;

/// What a run writes; `--overwrite` removes these and nothing else.
const PARTS: [&str; 13] = [
    "manifest.json",
    "recipe.toml",
    "ledger.jsonl",
    "ledger.md",
    "metrics.jsonl",
    "scores.json",
    "report.html",
    "data",
    "base",
    "checkpoints",
    "adapter",
    "model",
    "predictions",
];

/// A folder that belongs to one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    dir: PathBuf,
}

impl RunFolder {
    /// Opens the folder for a run, making it if need be. A folder that holds something else is refused.
    ///
    /// # Errors
    /// When it holds files but no run, or cannot be read or made.
    pub fn open(dir: &Path, overwrite: bool) -> Result<Self, TrainError> {
        let folder = Self { dir: dir.to_owned() };
        let read = |source| TrainError::Read { path: dir.to_owned(), source };
        if !dir.exists() {
            std::fs::create_dir_all(dir).map_err(|source| TrainError::Write { path: dir.to_owned(), source })?;
            return Ok(folder);
        }
        if overwrite {
            folder.clear()?;
        }
        let empty = std::fs::read_dir(dir).map_err(read)?.next().is_none();
        // A killed first start may have left parts of a run without its manifest.
        let ours = PARTS.iter().any(|part| dir.join(part).exists() || dir.join(format!("{part}.tmp")).exists());
        if empty || ours || overwrite { Ok(folder) } else { Err(TrainError::NotARun { path: dir.to_owned() }) }
    }

    /// The folder's path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path inside.
    pub fn path(&self, part: &str) -> PathBuf {
        self.dir.join(part)
    }

    /// A path inside a folder inside, which is made.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn part_of(&self, folder: &str, name: &str) -> Result<PathBuf, TrainError> {
        let dir = self.path(folder);
        std::fs::create_dir_all(&dir).map_err(|source| TrainError::Write { path: dir.clone(), source })?;
        Ok(dir.join(name))
    }

    /// The manifest of the run that is here, if there is one.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn manifest(&self) -> Result<Option<Map<String, Value>>, TrainError> {
        let path = self.path("manifest.json");
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| TrainError::Checkpoint { path, why: error.to_string() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(TrainError::Read { path, source }),
        }
    }

    /// Makes the folder this run's: writes the manifest, or checks that the one there is of the same run.
    ///
    /// # Errors
    /// When it is another run's, or cannot be written.
    pub fn claim(&self, manifest: &Map<String, Value>) -> Result<(), TrainError> {
        if let Some(there) = self.manifest()?
            && there.get("training_hash") != manifest.get("training_hash")
        {
            return Err(TrainError::AnotherRun { path: self.dir.clone() });
        }
        let text = serde_json::to_string_pretty(manifest).expect("a JSON map can be written");
        self.write("manifest.json", &text)
    }

    /// Writes a text file, whole or not at all.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, part: &str, text: &str) -> Result<(), TrainError> {
        let path = self.path(part);
        luthier_files::write_atomically(&path, |file| file.write_all(text.as_bytes()))
            .map_err(|source| TrainError::Write { path, source })
    }

    fn clear(&self) -> Result<(), TrainError> {
        for part in PARTS {
            let path = self.path(part);
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(TrainError::Write { path, source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

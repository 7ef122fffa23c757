//! The run folder: whose it is, and what stands in it.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::TrainError;

/// What a run writes; `--overwrite` removes these and nothing else.
const PARTS: [&str; 14] = [
    "manifest.json",
    "recipe.toml",
    "ledger.jsonl",
    "ledger.md",
    "metrics.jsonl",
    "profile.json",
    "scores.json",
    "report.html",
    "data",
    "base",
    "checkpoints",
    "adapter",
    "model",
    "predictions",
];

const MANIFEST: &str = "manifest.json";

/// Field of the manifest with the commits of the models that came from the Hub, by the recipe's keys.
pub(crate) const HUB: &str = "hub";

/// Fields of the manifest: the recipe's hash, there from the beginning; what decides the trained weights, there once the run
/// may start; when that was.
const RECIPE: &str = "recipe_sha256";
const CLAIM: &str = "training_hash";
const CREATED: &str = "created_unix";

/// A folder that belongs to one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    dir: PathBuf,
    overwrite: bool,
}

impl RunFolder {
    /// Opens the folder for a run; its first file makes it. A folder that holds something else is refused, even to overwrite;
    /// what is to be overwritten stays until the new run begins.
    ///
    /// # Errors
    /// When it holds files but no run, or cannot be read.
    pub fn open(dir: &Path, overwrite: bool) -> Result<Self, TrainError> {
        let folder = Self { dir: dir.to_owned(), overwrite };
        if dir.exists() && folder.manifest()?.is_none() && !folder.is_empty()? {
            return Err(TrainError::NotARun { path: dir.to_owned() });
        }
        Ok(folder)
    }

    /// Whether nothing is in it, a manifest that a kill left half-written aside.
    fn is_empty(&self) -> Result<bool, TrainError> {
        let read = |source| TrainError::Read { path: self.dir.clone(), source };
        let mut entries = std::fs::read_dir(&self.dir).map_err(read)?;
        Ok(entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == "manifest.json.tmp")))
    }

    /// The folder's path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps other processes out of the folder for as long as the result lives.
    ///
    /// # Errors
    /// When another process is at work in it.
    pub fn lock(&self) -> Result<Option<File>, TrainError> {
        // A system that cannot open or lock a folder leaves it open to all.
        let Ok(dir) = File::open(&self.dir) else { return Ok(None) };
        match dir.try_lock() {
            Err(TryLockError::WouldBlock) => Err(TrainError::Busy { path: self.dir.clone() }),
            _ => Ok(Some(dir)),
        }
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
    fn manifest(&self) -> Result<Option<Map<String, Value>>, TrainError> {
        let path = self.path(MANIFEST);
        match std::fs::read(&path) {
            Ok(text) => {
                let manifest: Option<Map<String, Value>> = serde_json::from_slice(&text).ok();
                Ok(manifest.filter(|manifest| manifest.contains_key(RECIPE)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(TrainError::Read { path, source }),
        }
    }

    /// Makes the folder that of a run of this recipe, before any file of it is written. A run that was refused or killed
    /// before it was claimed makes way.
    ///
    /// # Errors
    /// When it is another run's, or cannot be written.
    pub fn begin(&self, recipe_sha256: &str) -> Result<(), TrainError> {
        if let Some(there) = self.manifest()? {
            let (same, claimed) = (there[RECIPE] == recipe_sha256, there.contains_key(CLAIM));
            if same && !(claimed && self.overwrite) {
                return Ok(());
            }
            if claimed && !self.overwrite {
                return Err(TrainError::AnotherRun { path: self.dir.clone() });
            }
            self.clear()?;
        }
        self.write_manifest(&Map::from_iter([(RECIPE.to_owned(), recipe_sha256.into())]))
    }

    /// The commits of the Hub's models that the run in this folder began with, by the recipe's keys; nothing where it is no run of
    /// this recipe, or is to be overwritten.
    ///
    /// # Errors
    /// When the manifest cannot be read.
    pub(crate) fn commits(&self, recipe_sha256: &str) -> Result<Map<String, Value>, TrainError> {
        let there = self.manifest()?.filter(|there| !self.overwrite && there[RECIPE] == recipe_sha256);
        Ok(there.and_then(|there| there.get(HUB)?.as_object().cloned()).unwrap_or_default())
    }

    /// Whether the run may go on here: it is the one that claimed the folder, or nobody has, or it may overwrite.
    ///
    /// # Errors
    /// When it is another run's.
    pub fn check_claim(&self, training_hash: &str) -> Result<(), TrainError> {
        let claim = self.manifest()?.and_then(|there| there.get(CLAIM).cloned());
        if claim.is_some_and(|claim| claim != training_hash) && !self.overwrite {
            return Err(TrainError::AnotherRun { path: self.dir.clone() });
        }
        Ok(())
    }

    /// Makes the folder this run's for good, `training_hash` of the manifest telling it from others. The day a run was
    /// created stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn claim(&self, mut manifest: Map<String, Value>) -> Result<(), TrainError> {
        if let Some(created) = self.manifest()?.and_then(|there| there.get(CREATED).cloned()) {
            manifest.insert(CREATED.to_owned(), created);
        }
        self.write_manifest(&manifest)
    }

    fn write_manifest(&self, manifest: &Map<String, Value>) -> Result<(), TrainError> {
        self.write(MANIFEST, &serde_json::to_string_pretty(manifest).expect("a JSON map can be written"))
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

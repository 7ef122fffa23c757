//! What a stopped run goes on from: trained weights, optimiser moments and the number of steps done. The data order
//! and all randomness follow from the step's number, so there is nothing else to keep.

use std::io;
use std::path::{Path, PathBuf};

use luthier_engine::{Numbers, Params, Tensor};
use luthier_model::ModelError;
use luthier_model::weights::{SaveDtype, Saved, Tensors, write_safetensors};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::optimiser::{Content, Optimiser};

const WEIGHTS: &str = "trained.safetensors";
const MOMENTS: &str = "optimiser.safetensors";
const STATE: &str = "state.json";

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Optimiser steps done.
    pub step: usize,
    /// Rendered tokens seen.
    pub tokens: u64,
    /// Labelled tokens seen.
    pub labelled_tokens: u64,
    /// Seconds spent in steps.
    pub seconds: f64,
    /// What decides the trained weights; another run's checkpoint is refused.
    pub training_hash: String,
}

/// The checkpoints of a run: `step-000200` and so on.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// The checkpoints in `dir`, of which the newest `keep` stay.
    pub fn new(dir: PathBuf, keep: usize) -> Self {
        Self { dir, keep: keep.max(1) }
    }

    /// Writes a checkpoint aside, renames it, then removes those beyond `keep`.
    ///
    /// # Errors
    /// When it cannot be written; earlier checkpoints are untouched.
    pub fn write(&self, state: &State, params: &Params, optimiser: &Optimiser) -> Result<(), TrainError> {
        let path = self.dir.join(format!("step-{:06}", state.step));
        if path.exists() {
            return Ok(());
        }
        luthier_files::write_folder_aside(&path, |aside| {
            let weights = params.trainable().map(|(_, param)| (param.name.clone(), Content::Numbers, &param.tensor));
            save(&aside.join(WEIGHTS), weights)?;
            save(&aside.join(MOMENTS), optimiser.state())?;
            let text = serde_json::to_string_pretty(state).expect("numbers and a hash");
            luthier_files::write_atomically(&aside.join(STATE), |file| io::Write::write_all(file, text.as_bytes()))
        })
        .map_err(|source| TrainError::Write { path: path.clone(), source })?;
        for old in self.list()?.into_iter().rev().skip(self.keep) {
            std::fs::remove_dir_all(&old).map_err(|source| TrainError::Write { path: old, source })?;
        }
        Ok(())
    }

    /// Brings back the newest checkpoint, if there is one.
    ///
    /// # Errors
    /// When it is damaged, or of a run with another recipe or other data.
    pub fn restore(
        &self,
        training_hash: &str,
        params: &mut Params,
        optimiser: &mut Optimiser,
    ) -> Result<Option<State>, TrainError> {
        let Some(path) = self.list()?.pop() else { return Ok(None) };
        let damaged =
            |error: &dyn std::fmt::Display| TrainError::Checkpoint { path: path.clone(), why: error.to_string() };
        let state_path = path.join(STATE);
        let text =
            std::fs::read(&state_path).map_err(|source| TrainError::Read { path: state_path.clone(), source })?;
        let state: State =
            serde_json::from_slice(&text).map_err(|error| damaged(&format!("{}: {error}", state_path.display())))?;
        if state.training_hash != training_hash {
            return Err(TrainError::AnotherRun { path });
        }
        let weights = Tensors::of_file(&path.join(WEIGHTS)).map_err(|error| damaged(&error))?;
        let ids: Vec<_> = params.trainable().map(|(id, _)| id).collect();
        for id in ids {
            let param = params.get_mut(id);
            let name = param.name.clone();
            fill(&weights, &name, Content::Numbers, &mut param.tensor).map_err(|error| damaged(&error))?;
        }
        let moments = Tensors::of_file(&path.join(MOMENTS)).map_err(|error| damaged(&error))?;
        for (name, content, tensor) in optimiser.state_mut() {
            fill(&moments, &name, content, tensor).map_err(|error| damaged(&error))?;
        }
        Ok(Some(state))
    }

    /// Removes what a kill left half-written.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn sweep(&self) -> Result<(), TrainError> {
        for half in self.entries()?.into_iter().filter(|path| path.extension().is_some_and(|end| end == "tmp")) {
            std::fs::remove_dir_all(&half).map_err(|source| TrainError::Write { path: half, source })?;
        }
        Ok(())
    }

    /// Complete checkpoints, oldest first. Half-written ones have another name.
    fn list(&self) -> Result<Vec<PathBuf>, TrainError> {
        let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix("step-")?.parse::<usize>().ok();
        let mut list: Vec<_> = self.entries()?.into_iter().filter_map(|path| Some((number(&path)?, path))).collect();
        list.sort();
        Ok(list.into_iter().map(|(_, path)| path).collect())
    }

    fn entries(&self) -> Result<Vec<PathBuf>, TrainError> {
        match std::fs::read_dir(&self.dir) {
            Ok(entries) => Ok(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(TrainError::Read { path: self.dir.clone(), source }),
        }
    }
}

fn save<'a>(path: &Path, tensors: impl Iterator<Item = (String, Content, &'a Tensor)>) -> io::Result<()> {
    let tensors = tensors.map(|(name, content, tensor)| {
        let dtype = match content {
            Content::Numbers => SaveDtype::F32,
            Content::Bytes => SaveDtype::Bytes,
        };
        (name, Saved { shape: shape(content, tensor), transposed: false, dtype, tensor })
    });
    write_safetensors(path, tensors.collect()).map_err(io::Error::other)
}

/// As the file counts: numbers, or bytes.
fn shape(content: Content, tensor: &Tensor) -> Vec<usize> {
    match content {
        Content::Numbers => vec![tensor.rows(), tensor.cols()],
        Content::Bytes => vec![tensor.rows() * tensor.cols() * size_of::<f32>()],
    }
}

fn fill(from: &Tensors, name: &str, content: Content, tensor: &mut Tensor) -> Result<(), ModelError> {
    let shape = shape(content, tensor);
    let data = match content {
        Content::Numbers => from.read(name, &shape)?,
        Content::Bytes => from.read_bytes(name, &shape)?,
    };
    *tensor = Tensor::of(tensor.device(), tensor.rows(), tensor.cols(), Numbers::Owned(data));
    Ok(())
}

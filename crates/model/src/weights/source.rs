//! What a path names: a folder of `config.json` and files of weights, or one file that holds a whole model. Whoever opens
//! a model asks here, so a further kind of file is a line in [`Source::of`] and one in each `match`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::{Tensors, gguf, llama2c};
use crate::error::ModelError;

/// Names under which a folder holds its weights, and the index of their shards; the first that is there is taken.
const FILES: [(&str, &str); 2] =
    [("model.safetensors", "model.safetensors.index.json"), ("pytorch_model.bin", "pytorch_model.bin.index.json")];

enum Source {
    Folder,
    Gguf,
    Llama2c,
}

impl Source {
    fn of(path: &Path) -> Result<Self, ModelError> {
        Ok(match path.is_file() {
            true if gguf::is_one(path)? => Self::Gguf,
            true if llama2c::is_one(path)? => Self::Llama2c,
            _ => Self::Folder,
        })
    }
}

/// A model's configuration in the terms of `config.json`, and its tensors under the names of transformers.
///
/// `path` is a folder that transformers' `save_pretrained` wrote, a GGUF file, or a `.bin` file of llama2.c.
///
/// # Errors
/// When it is neither, or a file is broken.
pub fn open(path: &Path) -> Result<(Map<String, Value>, Tensors), ModelError> {
    Ok((config(path)?.0, tensors(path)?))
}

/// Whether a path holds weights, or at least says where they are; they may be broken.
pub fn are_there(path: &Path) -> bool {
    let is_there = |file: &str| path.join(file).is_file();
    path.is_file() || FILES.iter().any(|(single, index)| is_there(single) || is_there(index))
}

/// A model's configuration, and the file that errors about it name.
///
/// # Errors
/// As [`open`].
pub(crate) fn config(path: &Path) -> Result<(Map<String, Value>, PathBuf), ModelError> {
    match Source::of(path)? {
        Source::Folder => config_of_folder(path),
        Source::Gguf => Ok((gguf::config(path)?, path.to_owned())),
        Source::Llama2c => Ok((llama2c::config(path)?, path.to_owned())),
    }
}

/// A model's tensors.
///
/// # Errors
/// As [`open`].
pub(super) fn tensors(path: &Path) -> Result<Tensors, ModelError> {
    match Source::of(path)? {
        Source::Folder => tensors_of_folder(path),
        Source::Gguf => Tensors::of_whole_model(path, gguf::read(path)?),
        Source::Llama2c => Tensors::of_whole_model(path, llama2c::read(path)?),
    }
}

fn config_of_folder(dir: &Path) -> Result<(Map<String, Value>, PathBuf), ModelError> {
    let path = dir.join("config.json");
    if !path.is_file() {
        return Err(ModelError::NotAModel { path: dir.to_owned(), why: no_config(dir) });
    }
    let text = std::fs::read(&path).map_err(ModelError::read(&path))?;
    let json = serde_json::from_slice(&text)
        .map_err(|error| ModelError::config(&path, format!("is not a JSON object: {error}")))?;
    Ok((json, path))
}

/// Why a folder without `config.json` is no model, and what to give instead.
fn no_config(dir: &Path) -> String {
    if dir.join("adapter_config.json").is_file() {
        return "it holds an adapter; give its base model as the model, and this folder as the adapter".to_owned();
    }
    if dir.is_dir() {
        return "it holds no config.json; give the folder that transformers' save_pretrained wrote".to_owned();
    }
    if dir.exists() {
        return "it is a file, and none of GGUF or llama2.c, which would hold a whole model; give the folder that config.json \
                stands in"
            .to_owned();
    }
    "there is no such folder; give the path of a folder with config.json and model.safetensors, or the name of a model \
     on the Hub, ORG/NAME"
        .to_owned()
}

fn tensors_of_folder(dir: &Path) -> Result<Tensors, ModelError> {
    for (single, index) in FILES {
        let (single, index) = (dir.join(single), dir.join(index));
        if single.is_file() {
            return Tensors::of_file(&single);
        }
        if index.is_file() {
            return tensors_of_index(dir, &index);
        }
    }
    let why = "it holds neither model.safetensors nor model.safetensors.index.json, and no pytorch_model.bin either";
    Err(ModelError::NotAModel { path: dir.to_owned(), why: why.to_owned() })
}

fn tensors_of_index(dir: &Path, index: &Path) -> Result<Tensors, ModelError> {
    let text = std::fs::read(index).map_err(ModelError::read(index))?;
    let json: Value =
        serde_json::from_slice(&text).map_err(|error| ModelError::config(index, format!("is not JSON: {error}")))?;
    let map = json.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| ModelError::config(index, "field \"weight_map\" must be an object of file names"))?;
    let mut shards = BTreeMap::new();
    for (tensor, shard) in map {
        let name = shard.as_str().filter(|name| is_plain_name(name)).ok_or_else(|| {
            let why = format!("weight_map places \"{tensor}\" in {shard}, which is not the name of a file beside it");
            ModelError::config(index, why)
        })?;
        shards.entry(name).or_insert_with(Vec::new).push(tensor);
    }
    let mut tensors = Tensors::none_of(dir);
    for (shard, names) in shards {
        let path = dir.join(shard);
        if !path.is_file() {
            let why = format!("it names the shard {shard}, which is not there; fetch the whole model again");
            return Err(ModelError::config(index, why));
        }
        tensors.add_file(&path)?;
        let file = tensors.files.len() - 1;
        let placed = |name: &String| tensors.by_name.get(name).is_some_and(|(holder, _)| *holder == file);
        if let Some(missing) = names.into_iter().find(|name| !placed(name)) {
            let why = format!("it places the tensor \"{missing}\" in {shard}, where it is not");
            return Err(ModelError::config(index, why));
        }
    }
    Ok(tensors)
}

/// Whether a shard's name stays inside the folder: what the index says is not ours to trust.
fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('\\')
}

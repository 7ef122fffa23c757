//! A model folder as a decoder that can run, train and be saved.

use std::path::{Path, PathBuf};

use luthier_engine::{Device, Layout, ParamId, Params, Tape, Tensor, Var};
use serde_json::{Map, Value};

use crate::adapter::Adapter;
use crate::checkpoint::{self, SaveDtype, Saved, Tensors};
use crate::config::Config;
use crate::decoder::{Decoder, Packed};
use crate::error::ModelError;
use crate::init::Stream;

/// A decoder with its weights.
#[derive(Debug)]
pub struct Model {
    /// Its shape.
    pub config: Config,
    /// Its weights, and those of the adapter behind them.
    pub params: Params,
    /// `generation_config.json`, if the folder has one.
    pub generation_config: Option<Map<String, Value>>,
    /// The type its weights were stored in.
    pub stored_dtype: SaveDtype,
    pub(crate) decoder: Decoder,
    pub(crate) device: Device,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) base_params: usize,
    origin: Option<PathBuf>,
}

impl Model {
    /// Reads a folder that transformers' `save_pretrained` wrote; all weights frozen.
    ///
    /// # Errors
    /// Naming the file and the field or tensor that is wrong.
    pub fn load(dir: &Path, device: &Device) -> Result<Self, ModelError> {
        let config = Config::read(dir)?;
        let tensors = Tensors::of_model(dir)?;
        let mut params = Params::default();
        let decoder = Decoder::build(&config, &mut params, |name, shape| {
            let data = tensors.read(name, shape)?;
            Ok(tensor(device, shape, &data))
        })?;
        Ok(Self {
            generation_config: read_generation_config(dir)?,
            stored_dtype: tensors.stored_dtype(),
            base_params: params.len(),
            config,
            params,
            decoder,
            device: device.clone(),
            adapter: None,
            origin: Some(dir.to_owned()),
        })
    }

    /// A model with fresh weights: normal with the configuration's `initializer_range`, norms 1, biases 0.
    ///
    /// # Errors
    /// When the configuration is wrong; `path` is named.
    pub fn create(json: Map<String, Value>, path: &Path, seed: u64, device: &Device) -> Result<Self, ModelError> {
        let config = Config::from_json(json, path)?;
        let deviation = f64::from(config.initializer_range);
        let mut params = Params::default();
        let decoder = Decoder::build(&config, &mut params, |name, shape| {
            let count = shape.iter().product();
            let data = match name {
                _ if name.ends_with("norm.weight") => vec![1.0; count],
                _ if name.ends_with(".bias") => vec![0.0; count],
                _ => Stream::new(seed, name).normals(count, deviation),
            };
            Ok(tensor(device, shape, &data))
        })?;
        Ok(Self {
            generation_config: None,
            stored_dtype: SaveDtype::F32,
            base_params: params.len(),
            config,
            params,
            decoder,
            device: device.clone(),
            adapter: None,
            origin: None,
        })
    }

    /// The device its weights are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The folder it was read from.
    pub fn origin(&self) -> Option<&Path> {
        self.origin.as_deref()
    }

    /// The output head `[V, C]`, for [`Tape::head_loss`].
    pub fn head(&self) -> ParamId {
        self.decoder.head
    }

    /// Marks every weight as trained: full fine-tuning.
    pub fn train_everything(&mut self) {
        self.params.set_trainable(|_| true);
    }

    /// tokens: N ids, packed as `layout` says -> hidden states `[n, C]` of the wanted rows (all when `None`).
    ///
    /// # Errors
    /// When a token is not in the vocabulary or a position is beyond the model's.
    pub fn forward(
        &self,
        tape: &mut Tape<'_>,
        tokens: &[u32],
        layout: &Layout,
        wanted: Option<&[u32]>,
    ) -> Result<Var, ModelError> {
        self.check_tokens(tokens)?;
        Ok(self.decoder.forward(tape, tokens, layout, &mut Packed, wanted))
    }

    /// Log-probability of each token of each text after its first, in nats: one forward of all texts packed.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn log_probabilities(&self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>, ModelError> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.len()).collect();
        let tokens: Vec<u32> = texts.iter().flat_map(|text| text.iter().copied()).collect();
        let (rows, labels) = next_tokens(texts);
        if rows.is_empty() {
            return Ok(texts.iter().map(|_| Vec::new()).collect());
        }
        let mut tape = Tape::inference(&self.device, &self.params);
        let hidden = self.forward(&mut tape, &tokens, &Layout::packed(&lengths), Some(&rows))?;
        let mut nll = tape.head_loss(&hidden, self.head(), &labels).into_iter();
        Ok(texts
            .iter()
            .map(|text| nll.by_ref().take(text.len().saturating_sub(1)).map(|loss| -loss).collect())
            .collect())
    }

    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        let vocabulary = self.config.vocab_size;
        match tokens.iter().find(|&&id| id as usize >= vocabulary) {
            None => Ok(()),
            Some(id) => Err(ModelError::Input(format!(
                "token {id} is not in the model's vocabulary of {vocabulary}; the tokenizer belongs to another model"
            ))),
        }
    }

    /// Writes the base weights as transformers writes them: `config.json`, `generation_config.json`,
    /// `model.safetensors`. The tokenizer's files are the caller's.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path, dtype: SaveDtype) -> Result<(), ModelError> {
        let tensors = self.params.iter().take(self.base_params).map(|(_, param)| {
            let data: Box<dyn Fn() -> Vec<f32>> = Box::new(|| param.tensor.to_vec());
            (param.name.clone(), Saved { shape: param.shape.clone(), dtype, data })
        });
        checkpoint::write_safetensors(&dir.join("model.safetensors"), tensors.collect())?;
        let mut json = self.config.json.clone();
        json.insert("torch_dtype".to_owned(), dtype.torch_name().into());
        json.insert("architectures".to_owned(), vec![self.config.family.architecture()].into());
        write_json(&dir.join("config.json"), &json)?;
        if let Some(generation) = &self.generation_config {
            write_json(&dir.join("generation_config.json"), generation)?;
        }
        Ok(())
    }
}

/// The rows of packed texts that have a next token, and that token.
fn next_tokens(texts: &[&[u32]]) -> (Vec<u32>, Vec<u32>) {
    let (mut rows, mut labels, mut start) = (Vec::new(), Vec::new(), 0);
    for text in texts {
        for (i, &next) in text.iter().enumerate().skip(1) {
            rows.push(start + i as u32 - 1);
            labels.push(next);
        }
        start += text.len() as u32;
    }
    (rows, labels)
}

/// A tensor with the rows and columns of a file's shape: a vector is one row.
pub(crate) fn tensor(device: &Device, shape: &[usize], data: &[f32]) -> Tensor {
    let cols = shape.last().copied().unwrap_or(1);
    Tensor::from_slice(device, data.len() / cols.max(1), cols, data)
}

pub(crate) fn write_json(path: &Path, json: &Map<String, Value>) -> Result<(), ModelError> {
    let text = serde_json::to_string_pretty(json).expect("a JSON map can be written");
    luthier_files::write_atomically(path, |file| std::io::Write::write_all(file, text.as_bytes()))
        .map_err(ModelError::write(path))
}

fn read_generation_config(dir: &Path) -> Result<Option<Map<String, Value>>, ModelError> {
    let path = dir.join("generation_config.json");
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read(&path).map_err(ModelError::read(&path))?;
    let json = serde_json::from_slice(&text);
    json.map(Some).map_err(|error| ModelError::config(&path, format!("is not JSON: {error}")))
}

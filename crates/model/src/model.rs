//! A model folder as a decoder that can run, train and be saved.

use std::path::Path;

use luthier_engine::{Device, Head, Layout, Numbers, Params, Tape, Tensor, Var};
use luthier_gguf::{TensorType, Vocabulary};
use serde_json::{Map, Value};

use crate::adapter::Adapter;
use crate::config::Config;
use crate::decoder::{Decoder, Packed, Role};
use crate::error::ModelError;
use crate::init::Stream;
use crate::open::Opening;
use crate::store::Store;
use crate::weights::{self, SaveDtype, Saved};

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
    pub(crate) opening: Opening,
    /// V of the files.
    pub(crate) stored_vocabulary: usize,
    pub(crate) decoder: Decoder,
    pub(crate) device: Device,
    pub(crate) adapter: Option<Adapter>,
    pub(crate) base_params: usize,
}

impl Model {
    /// A model with fresh weights: normal with the configuration's `initializer_range`, norms 1, biases 0.
    ///
    /// # Errors
    /// When the configuration is wrong or asks for more weights than any machine holds; `path` is named.
    pub fn create(json: Map<String, Value>, path: &Path, seed: u64, device: &Device) -> Result<Self, ModelError> {
        let config = Config::from_json(json, path)?;
        check_weight_count(&config, path)?;
        let deviation = f64::from(config.initializer_range);
        let mut params = Params::default();
        let decoder = Decoder::build(&config, &mut params, |weight| {
            let count = weight.shape.iter().product();
            let data = match weight.role {
                Role::Norm { fresh } => vec![fresh; count],
                Role::Bias => vec![0.0; count],
                Role::Table | Role::Positions | Role::Matrix => {
                    Stream::new(seed, weight.name).normals(count, deviation)
                }
            };
            Ok(tensor(device, &weight.in_memory(), Numbers::Owned(data)))
        })?;
        Ok(Self::of(config, params, decoder, device))
    }

    /// A model of this shape whose numbers nobody has written, for a device that only counts.
    ///
    /// # Errors
    /// When the configuration, which `path` names, asks for more weights than any machine holds.
    pub fn of_shape(config: Config, path: &Path, device: &Device, opening: Opening) -> Result<Self, ModelError> {
        check_weight_count(&config, path)?;
        let stored_vocabulary = config.vocab_size;
        let config = config.with_vocabulary(opening.vocabulary);
        let mut params = Params::default();
        let decoder = Decoder::build(&config, &mut params, |weight| {
            let shape = weight.in_memory();
            let cols = shape.last().copied().unwrap_or(1);
            let rows = shape.iter().product::<usize>() / cols;
            Ok(tensor(device, &shape, Numbers::Absent { rows, cols, packing: opening.packing(weight.role) }))
        })?;
        Ok(Self { opening, stored_vocabulary, ..Self::of(config, params, decoder, device) })
    }

    /// A base model, nothing attached.
    pub(crate) fn of(config: Config, params: Params, decoder: Decoder, device: &Device) -> Self {
        Self {
            generation_config: None,
            stored_dtype: SaveDtype::F32,
            opening: Opening::default(),
            stored_vocabulary: config.vocab_size,
            base_params: params.len(),
            config,
            params,
            decoder,
            device: device.clone(),
            adapter: None,
        }
    }

    /// The device its weights are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The output head, for [`Tape::head_loss`].
    pub fn head(&self) -> &Head {
        &self.decoder.head
    }

    /// How it was opened.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Marks every weight as trained: full fine-tuning. [`Model::load_to_train`] opens a model for it.
    ///
    /// # Panics
    /// If the weights are packed: the recipe's check refuses that before.
    pub fn train_everything(&mut self) {
        assert_eq!(self.opening.store, Store::F32, "packed weights cannot be trained");
        self.params.set_trainable(|_| true);
    }

    /// tokens: N ids, packed as `layout` says -> hidden states `[n, C]` of the wanted rows (all when `None`).
    ///
    /// # Errors
    /// When a token is not in the vocabulary, or a place beyond those that the model has learnt. Positions beyond
    /// `max_position_embeddings` of other models are the caller's decision.
    pub fn forward(
        &self,
        tape: &mut Tape<'_>,
        tokens: &[u32],
        layout: &Layout,
        wanted: Option<&[u32]>,
    ) -> Result<Var, ModelError> {
        self.check_tokens(tokens)?;
        self.check_length(layout.positions.iter().max().map_or(0, |last| *last as usize + 1))?;
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

    /// Whether a text of so many tokens has all its places learnt.
    pub(crate) fn check_length(&self, length: usize) -> Result<(), ModelError> {
        match self.config.most_positions() {
            Some(most) if length > most => Err(ModelError::Input(format!(
                "a text of {length} tokens is longer than the {most} places that the model has learnt; shorten it"
            ))),
            _ => Ok(()),
        }
    }

    /// Writes the base weights as transformers writes them: `config.json`, `generation_config.json`,
    /// `model.safetensors`. The tokenizer's files are the caller's.
    ///
    /// # Errors
    /// When a file cannot be written, a weight is beyond the range of `dtype`, or the weights are packed.
    pub fn save(&self, dir: &Path, dtype: SaveDtype) -> Result<(), ModelError> {
        self.refuse_packed("saved: the files would hold weights that are rounded already")?;
        self.check_range(dtype)?;
        let columns_first = self.config.blueprint.transposed();
        let tensors = self.params.iter().take(self.base_params).map(|(_, param)| {
            let transposed = columns_first.contains(&param.name);
            (param.name.clone(), Saved { shape: param.shape.clone(), transposed, dtype, tensor: &param.tensor })
        });
        weights::write_safetensors(&dir.join("model.safetensors"), tensors.collect())?;
        let mut json = self.config.json.clone();
        json.insert("torch_dtype".to_owned(), dtype.torch_name().into());
        if json.contains_key("dtype") {
            // transformers 5 has renamed the field and reads the new name first.
            json.insert("dtype".to_owned(), dtype.torch_name().into());
        }
        json.insert("architectures".to_owned(), vec![self.config.family.architecture()].into());
        write_json(&dir.join("config.json"), &json)?;
        if let Some(generation) = &self.generation_config {
            write_json(&dir.join("generation_config.json"), generation)?;
        }
        Ok(())
    }

    /// Writes the base weights and `vocabulary` as a GGUF file, matrices as `kind`: what llama.cpp runs.
    ///
    /// # Errors
    /// When llama.cpp has no counterpart for the model, a weight is beyond the range of `kind`, the file cannot be written, or
    /// the weights are packed.
    pub fn save_gguf(&self, path: &Path, kind: TensorType, vocabulary: &Vocabulary) -> Result<(), ModelError> {
        self.refuse_packed("saved: the file would hold weights that are rounded twice")?;
        let transposed = self.config.blueprint.transposed();
        let params = self.params.iter().take(self.base_params).map(|(_, param)| {
            let stored = weights::Exported {
                shape: &param.shape,
                transposed: transposed.contains(&param.name),
                tensor: &param.tensor,
            };
            (param.name.as_str(), stored)
        });
        let vocabulary = vocabulary.clone().filled_up_to(self.config.vocab_size);
        weights::write_gguf(path, &self.config.json, &params.collect(), kind, &vocabulary)
    }

    /// What is made from packed weights is not what would be made from the model they stand for.
    pub(crate) fn refuse_packed(&self, cannot_be: &str) -> Result<(), ModelError> {
        if self.opening.store == Store::F32 {
            return Ok(());
        }
        let store = self.opening.store;
        Err(ModelError::Options(format!("a model held as {store} cannot be {cannot_be}; open it as f32")))
    }

    /// f16 has no numbers above 65504: a weight beyond would be saved as infinity.
    fn check_range(&self, dtype: SaveDtype) -> Result<(), ModelError> {
        if dtype != SaveDtype::F16 {
            return Ok(());
        }
        for (_, param) in self.params.iter().take(self.base_params) {
            if let Some(beyond) = param.tensor.to_vec().into_iter().find(|x| half::f16::from_f32(*x).is_infinite()) {
                let why = format!("{} holds {beyond}, which float16 cannot; save as bfloat16 or float32", param.name);
                return Err(ModelError::Options(why));
            }
        }
        Ok(())
    }
}

/// 256 GiB of f32: beyond it a size in the configuration is a slip.
const MOST_WEIGHTS: usize = 1 << 36;

fn check_weight_count(config: &Config, path: &Path) -> Result<(), ModelError> {
    match config.blueprint.weights(&config.sizes) {
        Some(count) if count <= MOST_WEIGHTS => Ok(()),
        _ => Err(ModelError::config(path, "its sizes multiply to more than 64 billion weights; is a size mistyped?")),
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
pub(crate) fn tensor(device: &Device, shape: &[usize], numbers: Numbers) -> Tensor {
    let cols = shape.last().copied().unwrap_or(1);
    let rows = shape.iter().product::<usize>() / cols.max(1);
    Tensor::of(device, rows, cols, numbers)
}

pub(crate) fn write_json(path: &Path, json: &Map<String, Value>) -> Result<(), ModelError> {
    let text = serde_json::to_string_pretty(json).expect("a JSON map can be written");
    luthier_files::write_atomically(path, |file| std::io::Write::write_all(file, text.as_bytes()))
        .map_err(ModelError::write(path))
}

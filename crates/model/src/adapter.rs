//! LoRA adapters (arXiv 2106.09685; rank-stabilised: 2312.03732): attach, load and save as PEFT does, merge.

mod config;
mod tables;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use luthier_engine::{Linear, LowRank, MatMul, Numbers, Param, ParamId, Params, Tensor};

use crate::error::ModelError;
use crate::init::Stream;
use crate::model::{Model, tensor, write_json};
use crate::weights::{self, SaveDtype, Saved, Tensors};

const PREFIX: &str = "base_model.model.";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT wrote before 0.6.
const PICKLED_WEIGHTS: &str = "adapter_model.bin";

/// How a LoRA adapter is made.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraOptions {
    /// R; at least 1, at most the width of the widest map.
    pub rank: usize,
    /// The term is scaled by alpha / R (alpha / sqrt R when rank-stabilised); above 0.
    pub alpha: f64,
    /// Share of inputs dropped before A while training; at least 0, below 1.
    pub dropout: f64,
    /// Rank-stabilised scaling.
    pub rslora: bool,
    /// Which maps get one.
    pub targets: Targets,
    /// Embedding or head, by the names of their modules (`embed_tokens`, `lm_head`): trained whole and saved with the adapter.
    pub modules_to_save: Vec<String>,
}

/// Which linear maps of the blocks an adapter sits on.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// All of them (not the output head).
    AllLinear,
    /// Those whose module path ends with one of these names, such as `q_proj`.
    Named(Vec<String>),
}

impl LoraOptions {
    /// A plain adapter: nothing dropped, the usual scale, no table trained.
    pub fn new(rank: usize, alpha: f64, targets: Targets) -> Self {
        Self { rank, alpha, dropout: 0.0, rslora: false, targets, modules_to_save: Vec::new() }
    }

    fn scale(&self) -> f32 {
        let divisor = if self.rslora { (self.rank as f64).sqrt() } else { self.rank as f64 };
        (self.alpha / divisor) as f32
    }
}

/// What is attached to a model.
#[derive(Clone, Debug)]
pub(crate) struct Adapter {
    options: LoraOptions,
    /// Module path, weight, and the term.
    terms: Vec<(String, ParamId, LowRank)>,
    /// Embedding and head that were changed for the adapter's, and what stood there before.
    replaced: Vec<(ParamId, Tensor)>,
}

/// The file in an adapter's folder that holds its weights, if there is one.
pub fn weights_file(dir: &Path) -> Option<PathBuf> {
    [WEIGHTS, PICKLED_WEIGHTS].map(|file| dir.join(file)).into_iter().find(|file| file.is_file())
}

impl Model {
    /// Attaches a fresh adapter, the only thing trained from now on: A uniform in ±1/sqrt(in) as PEFT's
    /// Kaiming initialisation draws it, B zero, so that the model does not change yet.
    ///
    /// # Errors
    /// When an option is out of its range, a target names no map of this model, or an adapter is attached already.
    pub fn attach_lora(&mut self, options: &LoraOptions, seed: u64) -> Result<(), ModelError> {
        self.check_options(options)?;
        self.attach(options, |name, shape| {
            let count = shape.iter().product();
            Ok(if name.ends_with("lora_A.weight") {
                Stream::new(seed, name).uniforms(count, 1.0 / (shape[1] as f64).sqrt())
            } else {
                vec![0.0; count]
            })
        })?;
        self.check_adapter_trains().inspect_err(|_| self.detach_adapter())
    }

    /// Attaches the adapter of a PEFT folder; trainable, as after [`Model::attach_lora`].
    ///
    /// # Errors
    /// When the folder is no LoRA adapter, asks for what is not supported, or belongs to another model.
    pub fn load_adapter(&mut self, dir: &Path) -> Result<(), ModelError> {
        let options = config::read(dir)?;
        self.check_options(&options)
            .map_err(|error| ModelError::adapter(&dir.join(config::FILE), error.to_string()))?;
        let weights = weights_file(dir)
            .ok_or_else(|| ModelError::adapter(dir, format!("it holds neither {WEIGHTS} nor {PICKLED_WEIGHTS}")))?;
        let tensors = Tensors::of_file(&weights)?;
        let mut used = HashSet::new();
        self.attach(&options, |name, shape| {
            let keys =
                [format!("{PREFIX}{name}"), format!("{PREFIX}{}.default.weight", name.trim_end_matches(".weight"))];
            let key = keys.iter().find(|key| tensors.contains(key)).unwrap_or(&keys[0]);
            used.insert(key.clone());
            tensors.read(key, shape).map_err(|error| match error {
                ModelError::MissingTensor { tensor, .. } => {
                    let why = format!("tensor \"{tensor}\", which target_modules of this model asks for, is missing");
                    ModelError::adapter(&weights, format!("{why}; was it trained on another model?"))
                }
                ModelError::Shape { tensor, found, expected, .. } => {
                    let why = format!("tensor \"{tensor}\" has shape {found:?}, this model asks for {expected:?}");
                    ModelError::adapter(&weights, format!("{why}; was it trained on another model?"))
                }
                other => other,
            })
        })?;
        if let Err(error) = self.load_tables(&tensors, &weights, &mut used) {
            self.detach_adapter();
            return Err(error);
        }
        if let Some(left) = tensors.names().find(|name| !used.contains(*name)) {
            self.detach_adapter();
            let why = format!("tensor \"{left}\" has no place: target_modules of this model do not ask for it");
            return Err(ModelError::adapter(&weights, format!("{why}; was it trained on another model?")));
        }
        Ok(())
    }

    fn attach(
        &mut self,
        options: &LoraOptions,
        fill: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, ModelError>,
    ) -> Result<(), ModelError> {
        if self.adapter.is_some() {
            return Err(ModelError::Options("the model has an adapter already; merge or detach it first".to_owned()));
        }
        match self.add_terms(options, fill) {
            Ok(terms) => {
                let tables = self.tables_of(&options.modules_to_save);
                self.params.set_trainable(|name| name.contains(".lora_") || tables.iter().any(|table| table == name));
                self.adapter = Some(Adapter { options: options.clone(), terms, replaced: Vec::new() });
                Ok(())
            }
            Err(error) => {
                self.detach_adapter();
                Err(error)
            }
        }
    }

    fn add_terms(
        &mut self,
        options: &LoraOptions,
        mut fill: impl FnMut(&str, &[usize]) -> Result<Vec<f32>, ModelError>,
    ) -> Result<Vec<(String, ParamId, LowRank)>, ModelError> {
        let mut terms = Vec::new();
        for linear in self.decoder.linears_mut() {
            let path = path(&self.params, linear);
            if !options.targets.contains(&path) {
                continue;
            }
            let weight = &self.params.get(linear.weight).tensor;
            let (outs, inputs) = (weight.rows(), weight.cols());
            let mut push = |name: String, shape: [usize; 2]| -> Result<ParamId, ModelError> {
                let tensor = tensor(&self.device, &shape, Numbers::Owned(fill(&name, &shape)?));
                Ok(self.params.push(Param { name, shape: shape.to_vec(), tensor, trainable: true }))
            };
            let a = push(format!("{path}.lora_A.weight"), [options.rank, inputs])?;
            let b = push(format!("{path}.lora_B.weight"), [outs, options.rank])?;
            let site = terms.len() as u64;
            let term = LowRank { a, b, scale: options.scale(), dropout: options.dropout as f32, site };
            linear.low_rank = Some(term.clone());
            terms.push((path, linear.weight, term));
        }
        Ok(terms)
    }

    fn check_options(&mut self, options: &LoraOptions) -> Result<(), ModelError> {
        let LoraOptions { rank, alpha, dropout, .. } = options;
        let widest = self.config.hidden_size.max(self.config.intermediate_size).max(self.config.query_width());
        let wrong = if !(1..=widest).contains(rank) {
            format!("lora rank must be from 1 to {widest}, the width of the model's widest map; it is {rank}")
        } else if !(alpha.is_finite() && *alpha > 0.0) {
            format!("lora alpha must be a number above 0; it is {alpha}")
        } else if !(0.0..1.0).contains(dropout) {
            format!("lora dropout must be at least 0 and below 1; it is {dropout}")
        } else {
            self.check_tables(&options.modules_to_save)?;
            return self.check_targets(&options.targets);
        };
        Err(ModelError::Options(wrong))
    }

    fn check_targets(&mut self, targets: &Targets) -> Result<(), ModelError> {
        let Targets::Named(names) = targets else { return Ok(()) };
        let paths: Vec<String> = self.decoder.linears_mut().map(|linear| path(&self.params, linear)).collect();
        match names.iter().find(|name| !paths.iter().any(|path| ends_with(path, name))) {
            None if names.is_empty() => Err(ModelError::Options("lora targets are empty".to_owned())),
            None => Ok(()),
            Some(wrong) => {
                let mut known: Vec<&str> = paths.iter().filter_map(|path| path.rsplit('.').next()).collect();
                known.sort_unstable();
                known.dedup();
                let why =
                    format!("lora target \"{wrong}\" is no linear map of this model; there are: {}", known.join(", "));
                Err(ModelError::Options(why))
            }
        }
    }

    /// Takes the adapter off again: the model is the base model, all frozen.
    pub fn detach_adapter(&mut self) {
        for linear in self.decoder.linears_mut() {
            linear.low_rank = None;
        }
        self.params.truncate(self.base_params);
        self.params.set_trainable(|_| false);
        let replaced = self.adapter.take().map(|adapter| adapter.replaced).unwrap_or_default();
        self.put_tables_back(replaced);
    }

    /// How the attached adapter is made.
    pub fn adapter_options(&self) -> Option<&LoraOptions> {
        self.adapter.as_ref().map(|adapter| &adapter.options)
    }

    /// Whether these targets name just the maps that the adapter sits on.
    pub fn adapter_sits_on(&mut self, targets: &Targets) -> bool {
        let params = &self.params;
        self.decoder.linears_mut().all(|linear| targets.contains(&path(params, linear)) == linear.low_rank.is_some())
    }

    /// The share of inputs that the attached adapter drops while training; at least 0, below 1.
    ///
    /// # Panics
    /// When the share is out of its range.
    pub fn set_adapter_dropout(&mut self, dropout: f64) {
        assert!((0.0..1.0).contains(&dropout), "dropout {dropout}");
        let Some(adapter) = &mut self.adapter else { return };
        adapter.options.dropout = dropout;
        for linear in self.decoder.linears_mut() {
            if let Some(term) = &mut linear.low_rank {
                term.dropout = dropout as f32;
            }
        }
        for (.., term) in &mut adapter.terms {
            term.dropout = dropout as f32;
        }
    }

    /// Whether an adapter is attached.
    pub fn has_adapter(&self) -> bool {
        self.adapter.is_some()
    }

    /// Adds `scale * B A` of the adapter to each weight and takes it off.
    ///
    /// # Errors
    /// When the weights are packed: their sum would be rounded once more.
    pub fn merge_adapter(&mut self) -> Result<(), ModelError> {
        self.refuse_packed("merged with its adapter: the sums would be rounded again")?;
        // Embedding and head stay as the adapter has them.
        let Some(adapter) = self.adapter.take() else { return Ok(()) };
        for (_, weight, term) in &adapter.terms {
            let (a, b) = (self.params.get(term.a).tensor.clone(), self.params.get(term.b).tensor.clone());
            let merged = &mut self.params.get_mut(*weight).tensor;
            let product = MatMul::nn(b.rows(), a.cols(), a.rows()).alpha(term.scale).beta(1.0);
            self.device.matmul(&product, b.view(), a.view(), merged.view_mut());
        }
        self.detach_adapter();
        Ok(())
    }

    /// Writes the adapter as PEFT's `save_pretrained` writes it; `base` is the folder or name of what it was trained on, `revision` the
    /// commit of a name.
    ///
    /// # Errors
    /// When there is none, or a file cannot be written.
    pub fn save_adapter(&self, dir: &Path, base: &str, revision: Option<&str>) -> Result<(), ModelError> {
        let Some(adapter) = &self.adapter else {
            return Err(ModelError::Options("there is no adapter to save".to_owned()));
        };
        let saved = |name: &str, param: &'_ Param| (format!("{PREFIX}{name}"), param.shape.clone());
        let terms = self.params.iter().skip(self.base_params).map(|(_, param)| (saved(&param.name, param), param));
        let tables = self.tables_to_save().into_iter().map(|(name, param)| (saved(&name, param), param));
        let tensors = terms.chain(tables).map(|((name, shape), param)| {
            (name, Saved { shape, transposed: false, dtype: SaveDtype::F32, tensor: &param.tensor })
        });
        weights::write_safetensors(&dir.join(WEIGHTS), tensors.collect())?;
        let columns_first = !self.config.blueprint.transposed().is_empty();
        write_json(&dir.join(config::FILE), &adapter.config(base, revision, &self.modules_to_save(), columns_first))
    }
}

impl Targets {
    fn contains(&self, path: &str) -> bool {
        match self {
            Self::AllLinear => true,
            Self::Named(names) => names.iter().any(|name| ends_with(path, name)),
        }
    }
}

/// The path of a map's module: `model.layers.0.mlp.up_proj`.
fn path(params: &Params, linear: &Linear) -> String {
    let name = &params.get(linear.weight).name;
    name.strip_suffix(".weight").expect("a map's weight is called so").to_owned()
}

/// Whether a module's path is that name or ends with it, whole parts only (PEFT `check_target_module_exists`).
fn ends_with(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

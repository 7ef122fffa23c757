//! LoRA adapters (arXiv 2106.09685; rank-stabilised: 2312.03732): attach, load and save as PEFT does, merge.

mod config;

use std::collections::HashSet;
use std::path::Path;

use luthier_engine::{LowRank, MatMul, Numbers, Param, ParamId};

use crate::checkpoint::{self, SaveDtype, Saved, Tensors};
use crate::error::ModelError;
use crate::init::Stream;
use crate::model::{Model, tensor, write_json};

const PREFIX: &str = "base_model.model.";
const WEIGHTS: &str = "adapter_model.safetensors";

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
        })
    }

    /// Attaches the adapter of a PEFT folder; trainable, as after [`Model::attach_lora`].
    ///
    /// # Errors
    /// When the folder is no LoRA adapter, asks for what is not supported, or belongs to another model.
    pub fn load_adapter(&mut self, dir: &Path) -> Result<(), ModelError> {
        let options = config::read(dir)?;
        self.check_options(&options)
            .map_err(|error| ModelError::adapter(&dir.join(config::FILE), error.to_string()))?;
        let weights = dir.join(WEIGHTS);
        if !weights.is_file() {
            let pickled =
                if dir.join("adapter_model.bin").is_file() { "; save its adapter_model.bin as that" } else { "" };
            return Err(ModelError::adapter(dir, format!("it holds no {WEIGHTS}{pickled}")));
        }
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
                self.params.set_trainable(|name| name.contains(".lora_"));
                self.adapter = Some(Adapter { options: options.clone(), terms });
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
        for (path, linear) in self.decoder.linears_mut() {
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
            return self.check_targets(&options.targets);
        };
        Err(ModelError::Options(wrong))
    }

    fn check_targets(&mut self, targets: &Targets) -> Result<(), ModelError> {
        let Targets::Named(names) = targets else { return Ok(()) };
        let paths: Vec<String> = self.decoder.linears_mut().map(|(path, _)| path).collect();
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
        for (_, linear) in self.decoder.linears_mut() {
            linear.low_rank = None;
        }
        self.params.truncate(self.base_params);
        self.params.set_trainable(|_| false);
        self.adapter = None;
    }

    /// How the attached adapter is made.
    pub fn adapter_options(&self) -> Option<&LoraOptions> {
        self.adapter.as_ref().map(|adapter| &adapter.options)
    }

    /// Whether these targets name just the maps that the adapter sits on.
    pub fn adapter_sits_on(&mut self, targets: &Targets) -> bool {
        self.decoder.linears_mut().all(|(path, linear)| targets.contains(&path) == linear.low_rank.is_some())
    }

    /// The share of inputs that the attached adapter drops while training; at least 0, below 1.
    ///
    /// # Panics
    /// When the share is out of its range.
    pub fn set_adapter_dropout(&mut self, dropout: f64) {
        assert!((0.0..1.0).contains(&dropout), "dropout {dropout}");
        let Some(adapter) = &mut self.adapter else { return };
        adapter.options.dropout = dropout;
        for (_, linear) in self.decoder.linears_mut() {
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
        let tensors = self.params.iter().skip(self.base_params).map(|(_, param)| {
            (
                format!("{PREFIX}{}", param.name),
                Saved { shape: param.shape.clone(), dtype: SaveDtype::F32, tensor: &param.tensor },
            )
        });
        checkpoint::write_safetensors(&dir.join(WEIGHTS), tensors.collect())?;
        write_json(&dir.join(config::FILE), &adapter.config(base, revision))
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

/// Whether a module's path is that name or ends with it, whole parts only (PEFT `check_target_module_exists`).
fn ends_with(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

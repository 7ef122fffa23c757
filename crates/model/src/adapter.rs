//! LoRA adapters (arXiv 2106.09685; rank-stabilised: 2312.03732): attach, load and save as PEFT does, merge.

use std::path::Path;

use luthier_engine::{LowRank, MatMul, Param, ParamId};
use serde_json::{Map, Value, json};

use crate::checkpoint::{self, SaveDtype, Saved, Tensors};
use crate::error::ModelError;
use crate::init::Stream;
use crate::model::{Model, tensor, write_json};

const PREFIX: &str = "base_model.model.";
const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// How a LoRA adapter is made.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraOptions {
    /// R.
    pub rank: usize,
    /// The term is scaled by alpha / R (alpha / sqrt R when rank-stabilised).
    pub alpha: f64,
    /// Share of inputs dropped before A while training.
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
    /// When a target names no map of this model, or an adapter is attached already.
    pub fn attach_lora(&mut self, options: &LoraOptions, seed: u64) -> Result<(), ModelError> {
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
        let options = read_options(dir)?;
        let weights = dir.join(WEIGHTS);
        if !weights.is_file() {
            return Err(ModelError::adapter(dir, format!("it holds no {WEIGHTS}")));
        }
        let tensors = Tensors::of_file(&weights)?;
        let mut used = 0;
        self.attach(&options, |name, shape| {
            let keys =
                [format!("{PREFIX}{name}"), format!("{PREFIX}{}.default.weight", name.trim_end_matches(".weight"))];
            let key = keys.iter().find(|key| tensors.contains(key)).unwrap_or(&keys[0]);
            used += 1;
            tensors.read(key, shape).map_err(|error| match error {
                ModelError::MissingTensor { .. } | ModelError::Shape { .. } => {
                    ModelError::adapter(&weights, format!("{error}; was it trained on another model?"))
                }
                other => other,
            })
        })?;
        let stored = tensors.names().count();
        if used != stored {
            let why = format!("it holds {stored} tensors, of which only {used} belong to this model's target_modules");
            self.detach_adapter();
            return Err(ModelError::adapter(&weights, why));
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
        self.check_targets(&options.targets)?;
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
                let tensor = tensor(&self.device, &shape, &fill(&name, &shape)?);
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

    fn check_targets(&mut self, targets: &Targets) -> Result<(), ModelError> {
        let Targets::Named(names) = targets else { return Ok(()) };
        let paths: Vec<String> = self.decoder.linears_mut().map(|(path, _)| path).collect();
        let ends = |path: &str, name: &str| path == name || path.ends_with(&format!(".{name}"));
        match names.iter().find(|name| !paths.iter().any(|path| ends(path, name))) {
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

    /// Whether an adapter is attached.
    pub fn has_adapter(&self) -> bool {
        self.adapter.is_some()
    }

    /// Adds `scale * B A` of the adapter to each weight and takes it off.
    pub fn merge_adapter(&mut self) {
        let Some(adapter) = self.adapter.take() else { return };
        for (_, weight, term) in &adapter.terms {
            let (a, b) = (self.params.get(term.a).tensor.clone(), self.params.get(term.b).tensor.clone());
            let merged = &mut self.params.get_mut(*weight).tensor;
            let product = MatMul::nn(b.rows(), a.cols(), a.rows()).alpha(term.scale).beta(1.0);
            self.device.matmul(&product, b.view(), a.view(), merged.view_mut());
        }
        self.detach_adapter();
    }

    /// Writes the adapter as PEFT's `save_pretrained` writes it; `base` is what it was trained on.
    ///
    /// # Errors
    /// When there is none, or a file cannot be written.
    pub fn save_adapter(&self, dir: &Path, base: &str) -> Result<(), ModelError> {
        let Some(adapter) = &self.adapter else {
            return Err(ModelError::Options("there is no adapter to save".to_owned()));
        };
        let tensors = self.params.iter().skip(self.base_params).map(|(_, param)| {
            let data: Box<dyn Fn() -> Vec<f32>> = Box::new(|| param.tensor.to_vec());
            (format!("{PREFIX}{}", param.name), Saved { shape: param.shape.clone(), dtype: SaveDtype::F32, data })
        });
        checkpoint::write_safetensors(&dir.join(WEIGHTS), tensors.collect())?;
        write_json(&dir.join(CONFIG), &adapter.config(base))
    }
}

impl Targets {
    fn contains(&self, path: &str) -> bool {
        match self {
            Self::AllLinear => true,
            Self::Named(names) => names.iter().any(|name| path == name || path.ends_with(&format!(".{name}"))),
        }
    }
}

impl Adapter {
    /// `adapter_config.json` with the fields of PEFT 0.13.
    fn config(&self, base: &str) -> Map<String, Value> {
        let mut modules: Vec<&str> = self.terms.iter().filter_map(|(path, ..)| path.rsplit('.').next()).collect();
        modules.sort_unstable();
        modules.dedup();
        let config = json!({
            "alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": base, "bias": "none",
            "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "layer_replication": null,
            "layers_pattern": null, "layers_to_transform": null, "loftq_config": {},
            "lora_alpha": number(self.options.alpha), "lora_dropout": self.options.dropout,
            "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null,
            "peft_type": "LORA", "r": self.options.rank, "rank_pattern": {}, "revision": null,
            "target_modules": modules, "task_type": "CAUSAL_LM", "use_dora": false,
            "use_rslora": self.options.rslora,
        });
        match config {
            Value::Object(map) => map,
            _ => unreachable!("the literal above is an object"),
        }
    }
}

/// 16 rather than 16.0, as PEFT writes it.
fn number(x: f64) -> Value {
    if x.fract() == 0.0 && x.abs() < 1e15 { json!(x as i64) } else { json!(x) }
}

fn read_options(dir: &Path) -> Result<LoraOptions, ModelError> {
    let path = dir.join(CONFIG);
    if !path.is_file() {
        return Err(ModelError::adapter(
            dir,
            format!("it holds no {CONFIG}; give the folder that PEFT's save_pretrained wrote"),
        ));
    }
    let text = std::fs::read(&path).map_err(ModelError::read(&path))?;
    let config: Map<String, Value> =
        serde_json::from_slice(&text).map_err(|error| ModelError::adapter(&path, format!("is not JSON: {error}")))?;
    let wrong = |why: String| ModelError::adapter(&path, why);
    let kind = config.get("peft_type").and_then(Value::as_str).unwrap_or("nothing");
    if kind != "LORA" {
        return Err(wrong(format!("peft_type is {kind}; only LORA is supported")));
    }
    let empty = |value: &Value| {
        matches!(value, Value::Null | Value::Bool(false))
            || value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(Map::is_empty)
    };
    for field in [
        "use_dora",
        "fan_in_fan_out",
        "modules_to_save",
        "rank_pattern",
        "alpha_pattern",
        "layers_to_transform",
        "layer_replication",
    ] {
        if let Some(value) = config.get(field).filter(|value| !empty(value)) {
            return Err(wrong(format!("field \"{field}\" is {value}, which is not supported")));
        }
    }
    if let Some(bias) = config.get("bias").and_then(Value::as_str).filter(|bias| *bias != "none") {
        return Err(wrong(format!("field \"bias\" is \"{bias}\"; only \"none\" is supported")));
    }
    let targets = match config.get("target_modules") {
        Some(Value::String(all)) if all == "all-linear" => Targets::AllLinear,
        Some(Value::Array(names)) => {
            let names: Option<Vec<String>> = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
            Targets::Named(names.ok_or_else(|| wrong("field \"target_modules\" must be a list of names".to_owned()))?)
        }
        other => {
            let found = other.map_or("missing".to_owned(), Value::to_string);
            return Err(wrong(format!("field \"target_modules\" must be a list of names, it is {found}")));
        }
    };
    let field = |name: &str| config.get(name).and_then(Value::as_f64);
    let rank = config.get("r").and_then(Value::as_u64).filter(|rank| *rank > 0);
    Ok(LoraOptions {
        rank: rank.ok_or_else(|| wrong("field \"r\" must be a whole number above 0".to_owned()))? as usize,
        alpha: field("lora_alpha").ok_or_else(|| wrong("field \"lora_alpha\" must be a number".to_owned()))?,
        dropout: field("lora_dropout").unwrap_or(0.0),
        rslora: config.get("use_rslora").and_then(Value::as_bool).unwrap_or(false),
        targets,
    })
}

//! `config.json` as the shape of a decoder.

use std::path::Path;

use serde_json::{Map, Value};

use crate::arch::{self, Family};
use crate::error::ModelError;
use crate::fields::Fields;

/// The shape of a decoder, as the family's switches and `config.json` say it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which family, by the `model_type` of transformers.
    pub family: Family,
    /// C: width of the residual stream.
    pub hidden_size: usize,
    /// F: width inside the MLP.
    pub intermediate_size: usize,
    /// L: blocks.
    pub num_hidden_layers: usize,
    /// H: query heads.
    pub num_attention_heads: usize,
    /// K: key and value heads; divides H.
    pub num_key_value_heads: usize,
    /// D: width of a head; not always C / H.
    pub head_dim: usize,
    /// V: rows of the embedding; may exceed the tokenizer's.
    pub vocab_size: usize,
    /// The longest text the model knows positions for.
    pub max_position_embeddings: usize,
    /// eps inside the norms.
    pub rms_norm_eps: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// How the frequencies are stretched.
    pub rope_scaling: RopeScaling,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether q, k and v have a bias.
    pub qkv_bias: bool,
    /// Whether o has a bias.
    pub output_bias: bool,
    /// Whether the MLP's maps have a bias.
    pub mlp_bias: bool,
    /// Standard deviation of fresh weights.
    pub initializer_range: f32,
    /// First token of a text.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
    /// The JSON as read, so that what we save keeps what we do not use.
    pub json: Map<String, Value>,
}

/// More blocks than any decoder has; a bound on what is allocated before the files are looked at.
const MOST_LAYERS: usize = 10_000;

/// Stretching of rotary frequencies (transformers `modeling_rope_utils.py`).
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Frequencies as they are.
    None,
    /// All frequencies divided by the factor.
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// Low frequencies divided by the factor, high ones kept, those between blended.
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Wavelengths above original / this are divided by the factor.
        low_freq_factor: f64,
        /// Wavelengths below original / this are kept.
        high_freq_factor: f64,
        /// Positions of the original training.
        original_max_position_embeddings: f64,
    },
}

impl Config {
    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// When it is missing, no JSON, of an unsupported family, or lacks or contradicts a field.
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("config.json");
        if !path.is_file() {
            return Err(ModelError::NotAModel { path: dir.to_owned(), why: no_config(dir) });
        }
        let text = std::fs::read(&path).map_err(ModelError::read(&path))?;
        let json: Map<String, Value> = serde_json::from_slice(&text)
            .map_err(|error| ModelError::config(&path, format!("is not a JSON object: {error}")))?;
        Self::from_json(json, &path)
    }

    /// The configuration that this JSON describes; `path` is named in errors.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn from_json(json: Map<String, Value>, path: &Path) -> Result<Self, ModelError> {
        let fields = Fields { json: &json, path };
        let family = fields.text("model_type")?;
        let family = Family::from_name(family).ok_or_else(|| ModelError::UnsupportedFamily {
            path: path.to_owned(),
            found: family.to_owned(),
            supported: arch::names().join(", "),
        })?;
        fields.check_activation()?;
        fields.refuse(
            "quantization_config",
            "quantised files cannot be read; give the original f32, bf16 or f16 model",
        )?;
        family.check(&fields)?;
        let hidden_size = fields.size("hidden_size")?;
        let num_attention_heads = fields.size("num_attention_heads")?;
        let num_key_value_heads = fields.size_or("num_key_value_heads", num_attention_heads)?;
        let head_dim = match fields.optional_size("head_dim")? {
            Some(size) => size,
            None if hidden_size.is_multiple_of(num_attention_heads) => hidden_size / num_attention_heads,
            None => {
                let why = format!(
                    "hidden_size {hidden_size} is not a multiple of num_attention_heads {num_attention_heads}, \
                     and there is no head_dim to say how wide a head is"
                );
                return Err(ModelError::config(path, why));
            }
        };
        let mut config = Self {
            family,
            hidden_size,
            intermediate_size: fields.size("intermediate_size")?,
            num_hidden_layers: fields.size("num_hidden_layers")?,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            vocab_size: fields.size("vocab_size")?,
            max_position_embeddings: fields.size_or("max_position_embeddings", 2048)?,
            rms_norm_eps: fields.positive_or("rms_norm_eps", 1e-6)? as f32,
            rope_theta: fields.rope_theta()?,
            rope_scaling: fields.rope_scaling()?,
            tie_word_embeddings: fields.flag_or("tie_word_embeddings", family.ties_by_default())?,
            qkv_bias: family.qkv_bias(&fields)?,
            output_bias: family.output_bias(&fields)?,
            mlp_bias: fields.flag_or("mlp_bias", false)?,
            initializer_range: fields.positive_or("initializer_range", 0.02)? as f32,
            bos_token_id: fields.token_ids("bos_token_id")?.first().copied(),
            eos_token_ids: fields.token_ids("eos_token_id")?,
            json: Map::new(),
        };
        config.check(path)?;
        config.json = json;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), ModelError> {
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let (heads, kv) = (self.num_attention_heads, self.num_key_value_heads);
            let why = format!("num_attention_heads {heads} is not a multiple of num_key_value_heads {kv}");
            return Err(ModelError::config(path, why));
        }
        if !self.head_dim.is_multiple_of(2) {
            let why = format!("head_dim {} is odd; rotary positions need pairs", self.head_dim);
            return Err(ModelError::config(path, why));
        }
        if self.num_hidden_layers > MOST_LAYERS {
            let why = format!("num_hidden_layers {} is above {MOST_LAYERS}", self.num_hidden_layers);
            return Err(ModelError::config(path, why));
        }
        Ok(())
    }

    /// The D/2 rotary frequencies in radians a position, scaled; formed in f32 as transformers forms them.
    pub fn rope_frequencies(&self) -> Vec<f32> {
        let d = self.head_dim as f32;
        let plain = (0..self.head_dim / 2).map(|i| 1.0 / (self.rope_theta as f32).powf((2 * i) as f32 / d));
        match self.rope_scaling {
            RopeScaling::None => plain.collect(),
            RopeScaling::Linear { factor } => plain.map(|f| f / factor as f32).collect(),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original,
            } => plain
                .map(|frequency| {
                    let wavelength = std::f64::consts::TAU / f64::from(frequency);
                    if wavelength < original / high_freq_factor {
                        frequency
                    } else if wavelength > original / low_freq_factor {
                        frequency / factor as f32
                    } else {
                        let smooth = (original / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                        let low = f64::from(frequency) / factor;
                        ((1.0 - smooth) * low + smooth * f64::from(frequency)) as f32
                    }
                })
                .collect(),
        }
    }

    /// Width of all query heads, H*D.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key (or value) heads, K*D.
    pub fn key_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }
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
        return "it is a file; give the folder that config.json stands in".to_owned();
    }
    "there is no such folder; give the path of a folder with config.json and model.safetensors, or the name of a model \
     on the Hub, ORG/NAME"
        .to_owned()
}

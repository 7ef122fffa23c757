//! Fields of `config.json`, with errors that name file and field.

mod rope;

pub(crate) use rope::RopeDefaults;

use std::path::Path;

use luthier_engine::Activation;
use serde_json::{Map, Value};

use crate::config::Sizes;
use crate::error::ModelError;

/// Larger sizes are refused: two of them multiplied stay far from overflow, and no decoder comes near.
const LARGEST_SIZE: u64 = 1 << 28;

/// A `config.json` being read; `null` is as good as missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) json: &'a Map<String, Value>,
    pub(crate) path: &'a Path,
}

/// Names that a family has for the sizes; the first that stands in the file counts.
pub(crate) struct SizeNames {
    pub(crate) hidden: &'static [&'static str],
    pub(crate) intermediate: &'static [&'static str],
    pub(crate) layers: &'static [&'static str],
    pub(crate) heads: &'static [&'static str],
    pub(crate) positions: &'static [&'static str],
}

impl SizeNames {
    /// Those of llama, which most families keep.
    pub(crate) const USUAL: Self = Self {
        hidden: &["hidden_size"],
        intermediate: &["intermediate_size"],
        layers: &["num_hidden_layers"],
        heads: &["num_attention_heads"],
        positions: &["max_position_embeddings"],
    };
}

/// What sizes are where a configuration does not say; most families leave none unsaid.
#[derive(Clone, Copy, Default)]
pub(crate) struct SizeDefaults {
    pub(crate) hidden: Option<usize>,
    pub(crate) intermediate: Option<usize>,
    pub(crate) layers: Option<usize>,
    pub(crate) heads: Option<usize>,
    pub(crate) key_value_heads: Option<usize>,
    pub(crate) head_dim: Option<usize>,
    pub(crate) vocab: Option<usize>,
    pub(crate) positions: Option<usize>,
}

impl<'a> Fields<'a> {
    pub(crate) fn wrong(&self, field: &str, value: &Value, due: &str) -> ModelError {
        ModelError::config(self.path, format!("field \"{field}\" must be {due}, found {value}"))
    }

    fn missing(&self, field: &str) -> ModelError {
        ModelError::config(self.path, format!("field \"{field}\" is missing"))
    }

    pub(crate) fn contradiction(&self, why: impl Into<String>) -> ModelError {
        ModelError::config(self.path, why)
    }

    pub(crate) fn get(&self, field: &str) -> Option<&'a Value> {
        self.json.get(field).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, field: &str) -> Result<&'a str, ModelError> {
        let value = self.get(field).ok_or_else(|| self.missing(field))?;
        value.as_str().ok_or_else(|| self.wrong(field, value, "a text"))
    }

    pub(crate) fn size(&self, field: &str) -> Result<usize, ModelError> {
        self.optional_size(field)?.ok_or_else(|| self.missing(field))
    }

    pub(crate) fn size_or(&self, field: &str, default: usize) -> Result<usize, ModelError> {
        Ok(self.optional_size(field)?.unwrap_or(default))
    }

    pub(crate) fn optional_size(&self, field: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match value.as_u64() {
            Some(size) if (1..=LARGEST_SIZE).contains(&size) => Ok(Some(size as usize)),
            _ => Err(self.wrong(field, value, &format!("a whole number from 1 to {LARGEST_SIZE}"))),
        }
    }

    /// A size that may be switched off with null, which is not the same as not being said.
    pub(crate) fn size_or_null(&self, field: &str, default: Option<usize>) -> Result<Option<usize>, ModelError> {
        if self.json.contains_key(field) { self.optional_size(field) } else { Ok(default) }
    }

    /// A number above 0 that may be switched off with null.
    pub(crate) fn positive_or_null(&self, field: &str, default: Option<f64>) -> Result<Option<f64>, ModelError> {
        if self.json.contains_key(field) { self.optional_positive(field) } else { Ok(default) }
    }

    /// Under the first of the names that stands in the file; the first name is the one that is called missing.
    pub(crate) fn size_under(&self, names: &[&str], default: Option<usize>) -> Result<usize, ModelError> {
        let there = names.iter().find(|name| self.get(name).is_some());
        match (there, default) {
            (Some(name), _) => self.size(name),
            (None, Some(size)) => Ok(size),
            (None, None) => Err(self.missing(names[0])),
        }
    }

    /// The sizes that every family has.
    pub(crate) fn sizes(&self, names: &SizeNames, defaults: &SizeDefaults) -> Result<Sizes, ModelError> {
        let hidden_size = self.size_under(names.hidden, defaults.hidden)?;
        let num_attention_heads = self.size_under(names.heads, defaults.heads)?;
        let head_dim = match self.optional_size("head_dim")?.or(defaults.head_dim) {
            Some(size) => size,
            None if hidden_size.is_multiple_of(num_attention_heads) => hidden_size / num_attention_heads,
            None => {
                return Err(self.contradiction(format!(
                    "hidden_size {hidden_size} is not a multiple of num_attention_heads {num_attention_heads}, \
                     and there is no head_dim to say how wide a head is"
                )));
            }
        };
        let sizes = Sizes {
            hidden_size,
            intermediate_size: self.size_under(names.intermediate, defaults.intermediate)?,
            num_hidden_layers: self.size_under(names.layers, defaults.layers)?,
            num_attention_heads,
            num_key_value_heads: self
                .size_or("num_key_value_heads", defaults.key_value_heads.unwrap_or(num_attention_heads))?,
            head_dim,
            vocab_size: self.size_under(&["vocab_size"], defaults.vocab)?,
            max_position_embeddings: self.size_under(names.positions, defaults.positions.or(Some(2048)))?,
        };
        sizes.check().map_err(|why| self.contradiction(why))?;
        Ok(sizes)
    }

    /// The sizes of a family with llama's names, all of them said.
    pub(crate) fn usual_sizes(&self) -> Result<Sizes, ModelError> {
        self.sizes(&SizeNames::USUAL, &SizeDefaults::default())
    }

    /// A number above 0 that is still one as f32.
    pub(crate) fn positive_or(&self, field: &str, default: f64) -> Result<f64, ModelError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        positive(value).ok_or_else(|| self.wrong(field, value, "a number above 0"))
    }

    /// A number above 0, or none.
    pub(crate) fn optional_positive(&self, field: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        positive(value).map(Some).ok_or_else(|| self.wrong(field, value, "a number above 0"))
    }

    pub(crate) fn flag_or(&self, field: &str, default: bool) -> Result<bool, ModelError> {
        match self.get(field) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(field, value, "true or false")),
        }
    }

    pub(crate) fn token_ids(&self, field: &str) -> Result<Vec<u32>, ModelError> {
        let Some(value) = self.get(field) else { return Ok(Vec::new()) };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = match value {
            Value::Array(list) => list.iter().map(id).collect(),
            single => id(single).map(|id| vec![id]),
        };
        ids.ok_or_else(|| self.wrong(field, value, "a token id or a list of token ids"))
    }

    /// The activation of the MLP, by the names that transformers has for it.
    pub(crate) fn activation(&self, field: &str, default: Activation) -> Result<Activation, ModelError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        match value.as_str() {
            Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu") => Ok(Activation::Gelu),
            // Ways of writing one function.
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Ok(Activation::GeluTanh),
            Some("relu") => Ok(Activation::Relu),
            Some("quick_gelu") => Ok(Activation::QuickGelu),
            _ => {
                Err(self.wrong(field, value, "silu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu or quick_gelu"))
            }
        }
    }

    /// Which layers have a window: those that `layer_types` calls sliding, or else those that the rule says.
    pub(crate) fn sliding_layers(&self, layers: usize, rule: impl Fn(usize) -> bool) -> Result<Vec<bool>, ModelError> {
        let Some(value) = self.get("layer_types") else { return Ok((0..layers).map(rule).collect()) };
        let kind = |value: &Value| match value.as_str() {
            Some("sliding_attention") => Some(true),
            Some("full_attention") => Some(false),
            _ => None,
        };
        let kinds: Option<Vec<bool>> = value.as_array().and_then(|list| list.iter().map(kind).collect());
        kinds.filter(|kinds| kinds.len() == layers).ok_or_else(|| {
            let due = format!("a list of {layers} times \"full_attention\" or \"sliding_attention\"");
            self.wrong("layer_types", value, &due)
        })
    }

    pub(crate) fn refuse(&self, field: &str, why: &str) -> Result<(), ModelError> {
        match self.get(field) {
            Some(value) if value != &Value::Bool(false) => {
                Err(self.contradiction(format!("field \"{field}\" is {value}: {why}")))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn positive(value: &Value) -> Option<f64> {
    value.as_f64().filter(|&x| x as f32 > 0.0 && (x as f32).is_finite())
}

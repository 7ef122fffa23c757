//! Fields of `config.json`, with errors that name file and field.

use std::path::Path;

use serde_json::{Map, Value};

use crate::config::RopeScaling;
use crate::error::ModelError;

/// Larger sizes are refused: two of them multiplied stay far from overflow, and no decoder comes near.
const LARGEST_SIZE: u64 = 1 << 28;

/// A `config.json` being read; `null` is as good as missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) json: &'a Map<String, Value>,
    pub(crate) path: &'a Path,
}

impl<'a> Fields<'a> {
    fn wrong(&self, field: &str, value: &Value, due: &str) -> ModelError {
        ModelError::config(self.path, format!("field \"{field}\" must be {due}, found {value}"))
    }

    fn missing(&self, field: &str) -> ModelError {
        ModelError::config(self.path, format!("field \"{field}\" is missing"))
    }

    fn get(&self, field: &str) -> Option<&'a Value> {
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

    /// A number above 0 that is still one as f32.
    pub(crate) fn positive_or(&self, field: &str, default: f64) -> Result<f64, ModelError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        positive(value).ok_or_else(|| self.wrong(field, value, "a number above 0"))
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

    pub(crate) fn check_activation(&self) -> Result<(), ModelError> {
        match self.get("hidden_act") {
            None => Ok(()),
            // Two names of one function in transformers.
            Some(Value::String(name)) if name == "silu" || name == "swish" => Ok(()),
            Some(value) => Err(self.wrong("hidden_act", value, "\"silu\" (no other activation is supported)")),
        }
    }

    /// The base of the frequencies: a field of its own, or inside `rope_parameters` as newer transformers write it.
    pub(crate) fn rope_theta(&self) -> Result<f64, ModelError> {
        match self.get("rope_parameters").and_then(|rope| rope.get("rope_theta")) {
            Some(theta) => {
                positive(theta).ok_or_else(|| self.wrong("rope_parameters.rope_theta", theta, "a number above 0"))
            }
            None => self.positive_or("rope_theta", 10_000.0),
        }
    }

    pub(crate) fn rope_scaling(&self) -> Result<RopeScaling, ModelError> {
        let field = if self.get("rope_scaling").is_some() { "rope_scaling" } else { "rope_parameters" };
        let Some(value) = self.get(field) else { return Ok(RopeScaling::None) };
        let scaling = value.as_object().ok_or_else(|| self.wrong(field, value, "an object"))?;
        let number = |name: &str| {
            scaling.get(name).and_then(positive).ok_or_else(|| {
                let found = scaling.get(name).map_or("missing".to_owned(), Value::to_string);
                ModelError::config(
                    self.path,
                    format!("field \"{field}.{name}\" must be a number above 0, it is {found}"),
                )
            })
        };
        let default = Value::from("default");
        let kind = match scaling.get("rope_type").or_else(|| scaling.get("type")) {
            None if field == "rope_scaling" => return Err(self.missing("rope_scaling.rope_type")),
            kind => kind.unwrap_or(&default),
        };
        match kind.as_str() {
            Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear { factor: number("factor")? }),
            Some("llama3") => {
                let (low_freq_factor, high_freq_factor) = (number("low_freq_factor")?, number("high_freq_factor")?);
                if high_freq_factor <= low_freq_factor {
                    let due = format!("above low_freq_factor {low_freq_factor}");
                    return Err(self.wrong(&format!("{field}.high_freq_factor"), &scaling["high_freq_factor"], &due));
                }
                Ok(RopeScaling::Llama3 {
                    factor: number("factor")?,
                    low_freq_factor,
                    high_freq_factor,
                    original_max_position_embeddings: number("original_max_position_embeddings")?,
                })
            }
            _ => {
                let why = format!("{field} of type {kind} is not supported; supported are: default, linear, llama3");
                Err(ModelError::config(self.path, why))
            }
        }
    }

    pub(crate) fn refuse(&self, field: &str, why: &str) -> Result<(), ModelError> {
        match self.get(field) {
            Some(value) if value != &Value::Bool(false) => {
                Err(ModelError::config(self.path, format!("field \"{field}\" is {value}: {why}")))
            }
            _ => Ok(()),
        }
    }
}

fn positive(value: &Value) -> Option<f64> {
    value.as_f64().filter(|&x| x as f32 > 0.0 && (x as f32).is_finite())
}

//! Families of decoders: one file each, with names and switches only. The transformer itself is `decoder.rs`.

mod llama;
mod qwen2;

use crate::error::ModelError;
use crate::fields::Fields;

/// A family, by the `model_type` of transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Llama 1, 2, 3: no biases unless `attention_bias` says so.
    Llama,
    /// Qwen 2 and 2.5: biases on q, k and v.
    Qwen2,
}

const FAMILIES: [(Family, &str, &str); 2] =
    [(Family::Llama, llama::MODEL_TYPE, llama::ARCHITECTURE), (Family::Qwen2, qwen2::MODEL_TYPE, qwen2::ARCHITECTURE)];

/// The supported `model_type`s.
pub fn names() -> Vec<&'static str> {
    FAMILIES.iter().map(|family| family.1).collect()
}

impl Family {
    /// The family with that `model_type`.
    pub fn from_name(model_type: &str) -> Option<Self> {
        FAMILIES.iter().find(|family| family.1 == model_type).map(|family| family.0)
    }

    fn entry(self) -> &'static (Self, &'static str, &'static str) {
        FAMILIES.iter().find(|family| family.0 == self).expect("every family is in the table")
    }

    /// Its `model_type`.
    pub fn model_type(self) -> &'static str {
        self.entry().1
    }

    /// The class that transformers loads it with.
    pub fn architecture(self) -> &'static str {
        self.entry().2
    }

    pub(crate) fn check(self, fields: &Fields<'_>) -> Result<(), ModelError> {
        match self {
            Self::Llama => Ok(()),
            Self::Qwen2 => qwen2::check(fields),
        }
    }

    pub(crate) fn qkv_bias(self, fields: &Fields<'_>) -> Result<bool, ModelError> {
        match self {
            Self::Llama => llama::attention_bias(fields),
            Self::Qwen2 => Ok(qwen2::QKV_BIAS),
        }
    }

    pub(crate) fn output_bias(self, fields: &Fields<'_>) -> Result<bool, ModelError> {
        match self {
            Self::Llama => llama::attention_bias(fields),
            Self::Qwen2 => Ok(qwen2::OUTPUT_BIAS),
        }
    }

    pub(crate) fn ties_by_default(self) -> bool {
        // transformers' PretrainedConfig ties; LlamaConfig and Qwen2Config override that.
        match self {
            Self::Llama => llama::TIES_BY_DEFAULT,
            Self::Qwen2 => qwen2::TIES_BY_DEFAULT,
        }
    }
}

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

/// What a family is and what of it is supported, in the field's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyInfo {
    /// `model_type` of `config.json`.
    pub model_type: &'static str,
    /// The class that transformers loads it with.
    pub architecture: &'static str,
    /// Models of this family that people know, the smallest first.
    pub examples: &'static [&'static str],
    /// How a token knows where it stands.
    pub positions: &'static str,
    /// Heads, biases and norms of the attention.
    pub attention: &'static str,
    /// The feed-forward layer.
    pub mlp: &'static str,
    /// The methods that train it, by their names in a recipe.
    pub trains: &'static [&'static str],
}

static FAMILIES: [(Family, &FamilyInfo); 2] = [(Family::Llama, &llama::INFO), (Family::Qwen2, &qwen2::INFO)];

/// What is supported of every family.
pub fn families() -> impl Iterator<Item = &'static FamilyInfo> {
    FAMILIES.iter().map(|(_, info)| *info)
}

/// The supported `model_type`s.
pub fn names() -> Vec<&'static str> {
    families().map(|info| info.model_type).collect()
}

impl Family {
    /// The family with that `model_type`.
    pub fn from_name(model_type: &str) -> Option<Self> {
        FAMILIES.iter().find(|(_, info)| info.model_type == model_type).map(|(family, _)| *family)
    }

    /// What is supported of it.
    pub fn info(self) -> &'static FamilyInfo {
        FAMILIES.iter().find(|(family, _)| *family == self).expect("every family is in the table").1
    }

    /// Its `model_type`.
    pub fn model_type(self) -> &'static str {
        self.info().model_type
    }

    /// The class that transformers loads it with.
    pub fn architecture(self) -> &'static str {
        self.info().architecture
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

//! Families of decoders: one file each, with names and switches only. The transformer itself is `decoder.rs`.

mod bloom;
mod gemma;
mod gemma2;
mod gemma3;
mod gpt2;
mod gpt_neox;
mod granite;
mod llama;
mod mistral;
mod mixtral;
mod olmo2;
mod opt;
mod phi3;
mod qwen2;
mod qwen3;
mod qwen3_moe;

use crate::blueprint::Blueprint;
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::Fields;

/// A family, by the `model_type` of transformers.
#[derive(Clone, Copy, Debug)]
pub struct Family(&'static FamilyInfo);

/// What there is to know of a family.
#[derive(Debug)]
pub struct FamilyInfo {
    /// Its `model_type`.
    pub model_type: &'static str,
    /// The class that transformers loads it with.
    pub architecture: &'static str,
    /// Models of it that people know, the smallest first.
    pub examples: &'static [&'static str],
    /// How a token knows where it stands.
    pub positions: &'static str,
    /// Heads, biases and norms of the attention.
    pub attention: &'static str,
    /// The feed-forward layer.
    pub mlp: &'static str,
    read: fn(&Fields<'_>) -> Result<(Sizes, Blueprint), ModelError>,
    /// Where the standard deviation of fresh weights stands.
    initializer_field: &'static str,
}

const FAMILIES: [&FamilyInfo; 16] = [
    &llama::FAMILY,
    &mistral::FAMILY,
    &qwen2::FAMILY,
    &qwen3::FAMILY,
    &gemma::FAMILY,
    &gemma2::FAMILY,
    &gemma3::FAMILY,
    &phi3::FAMILY,
    &gpt2::FAMILY,
    &gpt_neox::FAMILY,
    &bloom::FAMILY,
    &opt::FAMILY,
    &olmo2::FAMILY,
    &granite::FAMILY,
    &mixtral::FAMILY,
    &qwen3_moe::FAMILY,
];

/// All families.
pub fn families() -> impl Iterator<Item = &'static FamilyInfo> {
    FAMILIES.into_iter()
}

/// The supported `model_type`s.
pub fn names() -> Vec<&'static str> {
    families().map(|family| family.model_type).collect()
}

impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.0.model_type == other.0.model_type
    }
}
impl Eq for Family {}

impl Family {
    /// The family with that `model_type`.
    pub fn from_name(model_type: &str) -> Option<Self> {
        families().find(|family| family.model_type == model_type).map(Self)
    }

    /// What is known of it.
    pub fn info(self) -> &'static FamilyInfo {
        self.0
    }

    /// Its `model_type`.
    pub fn model_type(self) -> &'static str {
        self.0.model_type
    }

    /// The class that transformers loads it with.
    pub fn architecture(self) -> &'static str {
        self.0.architecture
    }

    pub(crate) fn initializer_field(self) -> &'static str {
        self.0.initializer_field
    }

    pub(crate) fn read(self, fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
        (self.0.read)(fields)
    }
}

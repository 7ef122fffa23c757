//! `qwen3`: every head's queries and keys are normed by themselves.

use luthier_engine::Activation;

use super::{FamilyInfo, qwen2};
use crate::blueprint::Blueprint;
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults, SizeDefaults, SizeNames};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "qwen3",
    architecture: "Qwen3ForCausalLM",
    examples: &["Qwen3-0.6B", "Qwen3-8B"],
    positions: "rotary",
    attention: "grouped, head norms",
    mlp: "SwiGLU",
    read,
    initializer_field: "initializer_range",
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    let defaults = SizeDefaults { head_dim: Some(128), positions: Some(32768), ..SizeDefaults::default() };
    read_with(fields, &defaults)
}

/// What the family shares with its sparse sister.
pub(super) fn read_with(fields: &Fields<'_>, defaults: &SizeDefaults) -> Result<(Sizes, Blueprint), ModelError> {
    let sizes = fields.sizes(&SizeNames::USUAL, defaults)?;
    let eps = fields.positive_or("rms_norm_eps", 1e-6)? as f32;
    let rope = fields.rope(&sizes, &RopeDefaults::USUAL)?;
    let mut plan = Blueprint::usual(&sizes, eps, rope, fields.flag_or("tie_word_embeddings", false)?);
    plan.set_activation(fields.activation("hidden_act", Activation::Silu)?);
    let attention = fields.flag_or("attention_bias", false)?;
    plan.set_biases(attention, attention, false);
    plan.set_query_key_norms(true);
    qwen2::set_upper_windows(fields, &mut plan)?;
    Ok((sizes, plan))
}

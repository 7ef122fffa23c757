//! `mistral`: queries see a window of the last keys.

use luthier_engine::Activation;

use super::FamilyInfo;
use crate::blueprint::Blueprint;
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults, SizeDefaults, SizeNames};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "mistral",
    architecture: "MistralForCausalLM",
    examples: &["Mistral-7B-v0.3", "Breeze-7B-Instruct"],
    positions: "rotary",
    attention: "grouped, window",
    mlp: "SwiGLU",
    read,
    initializer_field: "initializer_range",
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    let defaults = SizeDefaults { key_value_heads: Some(8), positions: Some(4096 * 32), ..SizeDefaults::default() };
    let sizes = fields.sizes(&SizeNames::USUAL, &defaults)?;
    let eps = fields.positive_or("rms_norm_eps", 1e-6)? as f32;
    let rope = fields.rope(&sizes, &RopeDefaults::USUAL)?;
    let mut plan = Blueprint::usual(&sizes, eps, rope, fields.flag_or("tie_word_embeddings", false)?);
    plan.set_activation(fields.activation("hidden_act", Activation::Silu)?);
    let window = fields.size_or_null("sliding_window", Some(4096))?;
    plan.set_windows(|_| window);
    Ok((sizes, plan))
}

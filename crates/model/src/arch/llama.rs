//! `llama`: Llama 1, 2 and 3, and what follows them.

use luthier_engine::Activation;

use super::FamilyInfo;
use crate::blueprint::Blueprint;
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    examples: &["SmolLM-135M", "Llama-3.2-1B", "TAIDE-LX-7B", "Llama-3-Taiwan-8B"],
    positions: "rotary",
    attention: "grouped",
    mlp: "SwiGLU",
    read,
    initializer_field: "initializer_range",
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    let sizes = fields.usual_sizes()?;
    let eps = fields.positive_or("rms_norm_eps", 1e-6)? as f32;
    let rope = fields.rope(&sizes, &RopeDefaults::USUAL)?;
    let mut plan = Blueprint::usual(&sizes, eps, rope, fields.flag_or("tie_word_embeddings", false)?);
    plan.set_activation(fields.activation("hidden_act", Activation::Silu)?);
    let attention = fields.flag_or("attention_bias", false)?;
    plan.set_biases(attention, attention, fields.flag_or("mlp_bias", false)?);
    Ok((sizes, plan))
}

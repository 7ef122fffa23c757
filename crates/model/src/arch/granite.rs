//! `granite`: llama with factors at four places.

use luthier_engine::Activation;

use super::FamilyInfo;
use crate::blueprint::Blueprint;
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "granite",
    architecture: "GraniteForCausalLM",
    examples: &["granite-3.3-2b", "granite-3.3-8b"],
    positions: "rotary",
    attention: "grouped, scaled",
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
    plan.embedding.scale = fields.positive_or("embedding_multiplier", 1.0)? as f32;
    plan.residual_scale = fields.positive_or("residual_multiplier", 1.0)? as f32;
    plan.head.scale = (1.0 / fields.positive_or("logits_scaling", 1.0)?) as f32;
    let scale = fields.positive_or("attention_multiplier", 1.0)? as f32;
    plan.blocks.iter_mut().for_each(|block| block.attention.shape.scale = scale);
    Ok((sizes, plan))
}

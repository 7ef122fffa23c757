//! `olmo2`: norms behind attention and MLP, none before; queries and keys normed whole.

use luthier_engine::Activation;

use super::FamilyInfo;
use crate::blueprint::{Around, Arrangement, Blueprint};
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "olmo2",
    architecture: "Olmo2ForCausalLM",
    examples: &["OLMo-2-0425-1B", "OLMo-2-1124-7B"],
    positions: "rotary",
    attention: "grouped, q k norms",
    mlp: "SwiGLU",
    read,
    initializer_field: "initializer_range",
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    let sizes = fields.usual_sizes()?;
    let eps = fields.positive_or("rms_norm_eps", 1e-5)? as f32;
    let rope = fields.rope(&sizes, &RopeDefaults::USUAL)?;
    let mut plan = Blueprint::usual(&sizes, eps, rope, fields.flag_or("tie_word_embeddings", false)?);
    plan.set_activation(fields.activation("hidden_act", Activation::Silu)?);
    let attention = fields.flag_or("attention_bias", false)?;
    plan.set_biases(attention, attention, false);
    plan.set_query_key_norms(false);
    for (layer, block) in plan.blocks.iter_mut().enumerate() {
        let behind = |name: &str| Around {
            before: None,
            behind: Some(format!("layers.{layer}.{name}")),
            after_sum: None,
            adds_to_normed: false,
        };
        block.norms = Arrangement::Sequential {
            attention: behind("post_attention_layernorm"),
            mlp: behind("post_feedforward_layernorm"),
        };
    }
    Ok((sizes, plan))
}

//! `qwen2`: Qwen 2 and 2.5. Biases on q, k and v, none on o; upper layers may have a window.

use luthier_engine::Activation;

use super::FamilyInfo;
use crate::blueprint::Blueprint;
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "qwen2",
    architecture: "Qwen2ForCausalLM",
    examples: &["Qwen2.5-0.5B", "Qwen2-1.5B", "DeepSeek-R1-Distill-Qwen-1.5B"],
    positions: "rotary",
    attention: "grouped, q k v biases",
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
    plan.set_biases(true, false, fields.flag_or("mlp_bias", false)?);
    set_upper_windows(fields, &mut plan)?;
    Ok((sizes, plan))
}

/// With `use_sliding_window`, layers from `max_window_layers` on have one, or those that `layer_types` names.
pub(super) fn set_upper_windows(fields: &Fields<'_>, plan: &mut Blueprint) -> Result<(), ModelError> {
    if !fields.flag_or("use_sliding_window", false)? {
        return Ok(());
    }
    let window = fields.size_or_null("sliding_window", Some(4096))?;
    let first = match fields.get("max_window_layers").map(|value| (value, value.as_u64())) {
        None => 28,
        Some((_, Some(first))) => first,
        Some((value, None)) => return Err(fields.wrong("max_window_layers", value, "a whole number")),
    };
    let sliding = fields.sliding_layers(plan.blocks.len(), |layer| layer as u64 >= first)?;
    plan.set_windows(|layer| window.filter(|_| sliding[layer]));
    Ok(())
}

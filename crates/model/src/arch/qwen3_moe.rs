//! `qwen3_moe`: qwen3 with sparse layers among dense ones.

use luthier_engine::Activation;
use serde_json::Value;

use super::{FamilyInfo, qwen3};
use crate::blueprint::{Blueprint, Linear, Mlp};
use crate::config::{MOST_EXPERTS, Sizes};
use crate::error::ModelError;
use crate::fields::{Fields, SizeDefaults};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "qwen3_moe",
    architecture: "Qwen3MoeForCausalLM",
    examples: &["Qwen3-30B-A3B"],
    positions: "rotary",
    attention: "grouped, head norms",
    mlp: "SwiGLU experts",
    read,
    initializer_field: "initializer_range",
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    // The class's head is as wide as hidden_size / heads, unlike qwen3's.
    let defaults = SizeDefaults { key_value_heads: Some(4), positions: Some(32768), ..SizeDefaults::default() };
    let (sizes, mut plan) = qwen3::read_with(fields, &defaults)?;
    // Unlike qwen3's, in every layer.
    let window = fields.size_or_null("sliding_window", Some(4096))?;
    let has_window = fields.flag_or("use_sliding_window", false)?;
    plan.set_windows(|_| window.filter(|_| has_window));
    let (c, f) = (sizes.hidden_size, fields.size_or("moe_intermediate_size", 768)?);
    let (count, chosen) = (fields.size_or("num_experts", 128)?, fields.size_or("num_experts_per_tok", 8)?);
    check_experts(fields, &sizes, "num_experts", count, chosen)?;
    let every = fields.size_or("decoder_sparse_step", 1)?;
    let dense = dense_layers(fields)?;
    let renormalise = fields.flag_or("norm_topk_prob", false)?;
    let activation = fields.activation("hidden_act", Activation::Silu)?;
    for (layer, block) in plan.blocks.iter_mut().enumerate() {
        if dense.contains(&layer) || !(layer + 1).is_multiple_of(every) {
            continue;
        }
        let linear = |path: &str, outs, inputs| Linear::new(format!("layers.{layer}.mlp.{path}"), outs, inputs);
        let expert = |expert: usize| {
            [("gate_proj", f, c), ("up_proj", f, c), ("down_proj", c, f)]
                .map(|(name, outs, inputs)| linear(&format!("experts.{expert}.{name}"), outs, inputs))
        };
        let experts = (0..count).map(expert).collect();
        block.mlp = Mlp::Experts { router: linear("gate", count, c), experts, chosen, renormalise, activation };
    }
    Ok((sizes, plan))
}

/// Layers with an ordinary MLP.
fn dense_layers(fields: &Fields<'_>) -> Result<Vec<usize>, ModelError> {
    let Some(value) = fields.get("mlp_only_layers") else { return Ok(Vec::new()) };
    let index = |value: &Value| value.as_u64().and_then(|layer| usize::try_from(layer).ok());
    let list = value.as_array().and_then(|list| list.iter().map(index).collect());
    list.ok_or_else(|| fields.wrong("mlp_only_layers", value, "a list of layers, counted from 0"))
}

/// Counts of experts that go together.
pub(super) fn check_experts(
    fields: &Fields<'_>,
    sizes: &Sizes,
    field: &str,
    count: usize,
    chosen: usize,
) -> Result<(), ModelError> {
    let layers = sizes.num_hidden_layers;
    if count.saturating_mul(layers) > MOST_EXPERTS {
        return Err(fields.contradiction(format!("{field} {count} in {layers} layers is above {MOST_EXPERTS} in all")));
    }
    if chosen > count {
        return Err(fields.contradiction(format!("num_experts_per_tok {chosen} is above {field} {count}")));
    }
    Ok(())
}

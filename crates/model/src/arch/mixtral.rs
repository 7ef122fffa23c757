//! `mixtral`: mistral with a sparse mixture of MLPs in every layer.

use luthier_engine::Activation;

use super::FamilyInfo;
use super::qwen3_moe::check_experts;
use crate::blueprint::{Blueprint, Linear, Mlp};
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults, SizeDefaults, SizeNames};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "mixtral",
    architecture: "MixtralForCausalLM",
    examples: &["Mixtral-8x7B"],
    positions: "rotary",
    attention: "grouped, window",
    mlp: "SwiGLU experts",
    read,
    initializer_field: "initializer_range",
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    let defaults = SizeDefaults { key_value_heads: Some(8), positions: Some(4096 * 32), ..SizeDefaults::default() };
    let sizes = fields.sizes(&SizeNames::USUAL, &defaults)?;
    let eps = fields.positive_or("rms_norm_eps", 1e-5)? as f32;
    let rope = fields.rope(&sizes, &RopeDefaults { theta: 1e6, ..RopeDefaults::USUAL })?;
    let mut plan = Blueprint::usual(&sizes, eps, rope, fields.flag_or("tie_word_embeddings", false)?);
    let window = fields.size_or_null("sliding_window", None)?;
    plan.set_windows(|_| window);
    let (c, f) = (sizes.hidden_size, sizes.intermediate_size);
    let (count, chosen) = (fields.size_or("num_local_experts", 8)?, fields.size_or("num_experts_per_tok", 2)?);
    check_experts(fields, &sizes, "num_local_experts", count, chosen)?;
    let activation = fields.activation("hidden_act", Activation::Silu)?;
    for (layer, block) in plan.blocks.iter_mut().enumerate() {
        let linear =
            |path: &str, outs, inputs| Linear::new(format!("layers.{layer}.block_sparse_moe.{path}"), outs, inputs);
        // Gate, up, down.
        let expert = |expert: usize| {
            [("w1", f, c), ("w3", f, c), ("w2", c, f)]
                .map(|(name, outs, inputs)| linear(&format!("experts.{expert}.{name}"), outs, inputs))
        };
        let experts = (0..count).map(expert).collect();
        block.mlp = Mlp::Experts { router: linear("gate", count, c), experts, chosen, renormalise: true, activation };
    }
    Ok((sizes, plan))
}

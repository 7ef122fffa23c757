//! `phi3`: queries, keys and values in one map, gate and up in one, and long rotary positions.

use luthier_engine::Activation;

use super::FamilyInfo;
use crate::blueprint::{Blueprint, Linear, Mlp, Projections};
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults, SizeDefaults, SizeNames};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "phi3",
    architecture: "Phi3ForCausalLM",
    examples: &["Phi-3.5-mini", "Phi-4-mini"],
    positions: "rotary, partial",
    attention: "grouped, window, fused",
    mlp: "SwiGLU, fused",
    read,
    initializer_field: "initializer_range",
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    let sizes = fields.sizes(&SizeNames::USUAL, &SizeDefaults { positions: Some(4096), ..SizeDefaults::default() })?;
    let eps = fields.positive_or("rms_norm_eps", 1e-5)? as f32;
    let rope = fields.rope(&sizes, &RopeDefaults::USUAL)?;
    let mut plan = Blueprint::usual(&sizes, eps, rope, fields.flag_or("tie_word_embeddings", false)?);
    let window = fields.size_or_null("sliding_window", None)?;
    plan.set_windows(|_| window);
    let (c, f) = (sizes.hidden_size, sizes.intermediate_size);
    let widths = [sizes.query_width(), sizes.key_width(), sizes.key_width()];
    let activation = fields.activation("hidden_act", Activation::Silu)?;
    for (layer, block) in plan.blocks.iter_mut().enumerate() {
        let linear = |path: &str, outs, inputs| Linear::new(format!("layers.{layer}.{path}"), outs, inputs);
        let qkv = linear("self_attn.qkv_proj", widths.iter().sum(), c);
        block.attention.projections = Projections::Fused { qkv, widths, groups: 1 };
        block.mlp = Mlp::FusedGated {
            gate_up: linear("mlp.gate_up_proj", 2 * f, c),
            down: linear("mlp.down_proj", c, f),
            activation,
        };
    }
    Ok((sizes, plan))
}

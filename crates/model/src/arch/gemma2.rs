//! `gemma2`: norms before and behind attention and MLP, bounded scores and logits, a window in every other layer.

use super::{FamilyInfo, gemma};
use crate::blueprint::{Around, Arrangement, Blueprint};
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults, SizeDefaults, SizeNames};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "gemma2",
    architecture: "Gemma2ForCausalLM",
    examples: &["gemma-2-2b", "gemma-2-9b"],
    positions: "rotary",
    attention: "grouped, window, soft cap",
    mlp: "GeGLU",
    read,
    initializer_field: "initializer_range",
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    let defaults = SizeDefaults {
        head_dim: Some(256),
        key_value_heads: Some(4),
        positions: Some(8192),
        ..SizeDefaults::default()
    };
    let sizes = fields.sizes(&SizeNames::USUAL, &defaults)?;
    let rope = fields.rope(&sizes, &RopeDefaults::USUAL)?;
    let mut plan = Blueprint::usual(&sizes, gemma::eps(fields)?, rope, gemma::tied(fields)?);
    gemma::set_gemma(fields, &sizes, &mut plan)?;
    set_four_norms(&mut plan);
    set_scores(fields, &mut plan, Some(50.0), Some(30.0))?;
    let window = fields.size_or_null("sliding_window", Some(4096))?;
    let sliding = fields.sliding_layers(plan.blocks.len(), |layer| layer.is_multiple_of(2))?;
    plan.set_windows(|layer| window.filter(|_| sliding[layer]));
    Ok((sizes, plan))
}

/// Norms before and behind both parts of a block.
pub(super) fn set_four_norms(plan: &mut Blueprint) {
    for (layer, block) in plan.blocks.iter_mut().enumerate() {
        let around = |before: &str, behind: &str| Around {
            behind: Some(format!("layers.{layer}.{behind}")),
            ..Around::before(format!("layers.{layer}.{before}"))
        };
        block.norms = Arrangement::Sequential {
            attention: around("input_layernorm", "post_attention_layernorm"),
            mlp: around("pre_feedforward_layernorm", "post_feedforward_layernorm"),
        };
    }
}

/// The factor of scores, and the bounds of scores and logits.
pub(super) fn set_scores(
    fields: &Fields<'_>,
    plan: &mut Blueprint,
    score_cap: Option<f64>,
    logit_cap: Option<f64>,
) -> Result<(), ModelError> {
    let scalar = fields.positive_or("query_pre_attn_scalar", 256.0)?;
    let cap = fields.positive_or_null("attn_logit_softcapping", score_cap)?;
    for block in &mut plan.blocks {
        block.attention.shape.scale = scalar.powf(-0.5) as f32;
        block.attention.shape.softcap = cap.map(|cap| cap as f32);
    }
    plan.head.softcap = fields.positive_or_null("final_logit_softcapping", logit_cap)?.map(|cap| cap as f32);
    Ok(())
}

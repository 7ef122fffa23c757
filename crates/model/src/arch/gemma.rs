//! `gemma`: embeddings scaled by the root of their width, norms stored less one, GELU.

use luthier_engine::{Activation, NormKind};

use super::FamilyInfo;
use crate::blueprint::Blueprint;
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults, SizeDefaults, SizeNames};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "gemma",
    architecture: "GemmaForCausalLM",
    examples: &["gemma-2b", "gemma-7b"],
    positions: "rotary",
    attention: "grouped",
    mlp: "GeGLU",
    read,
    initializer_field: "initializer_range",
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    let defaults = SizeDefaults { head_dim: Some(256), positions: Some(8192), ..SizeDefaults::default() };
    let sizes = fields.sizes(&SizeNames::USUAL, &defaults)?;
    let rope = fields.rope(&sizes, &RopeDefaults::USUAL)?;
    let mut plan = Blueprint::usual(&sizes, eps(fields)?, rope, tied(fields)?);
    set_gemma(fields, &sizes, &mut plan)?;
    Ok((sizes, plan))
}

pub(super) fn eps(fields: &Fields<'_>) -> Result<f32, ModelError> {
    Ok(fields.positive_or("rms_norm_eps", 1e-6)? as f32)
}

pub(super) fn tied(fields: &Fields<'_>) -> Result<bool, ModelError> {
    fields.flag_or("tie_word_embeddings", true)
}

/// What all generations share.
pub(super) fn set_gemma(fields: &Fields<'_>, sizes: &Sizes, plan: &mut Blueprint) -> Result<(), ModelError> {
    plan.norm = NormKind::RmsPlusOne;
    plan.embedding.scale = (sizes.hidden_size as f64).sqrt() as f32;
    // transformers before 4.57 takes a "gelu" of hidden_act alone for its approximation, later ones for itself.
    let field = if fields.get("hidden_activation").is_some() { "hidden_activation" } else { "hidden_act" };
    let activation = fields.activation(field, Activation::GeluTanh)?;
    plan.set_activation(activation);
    let attention = fields.flag_or("attention_bias", false)?;
    plan.set_biases(attention, attention, false);
    Ok(())
}

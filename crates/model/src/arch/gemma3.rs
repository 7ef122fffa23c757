//! `gemma3_text`: gemma2 without bounds, each head's queries and keys normed; most layers have a window and turn by a base of
//! their own. The text part of the models that see (`gemma3`) is read too.

use super::{FamilyInfo, gemma, gemma2};
use crate::blueprint::Blueprint;
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults, SizeDefaults, SizeNames};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    examples: &["gemma-3-270m", "gemma-3-1b", "Gemma-3-TAIDE-12b (text part)"],
    positions: "rotary, two bases",
    attention: "grouped, window, head norms",
    mlp: "GeGLU",
    read,
    initializer_field: "initializer_range",
};

/// Every sixth layer sees all keys.
const PATTERN: usize = 6;

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    // Files of the models that see leave unsaid what is as in the class.
    let defaults = SizeDefaults {
        hidden: Some(2304),
        intermediate: Some(9216),
        layers: Some(26),
        heads: Some(8),
        key_value_heads: Some(4),
        head_dim: Some(256),
        vocab: Some(262_208),
        positions: Some(131_072),
    };
    let sizes = fields.sizes(&SizeNames::USUAL, &defaults)?;
    let usual = RopeDefaults { theta: 1e6, ..RopeDefaults::USUAL };
    let (global, local) = match fields.rope_of_kind("full_attention", &sizes, &usual)? {
        Some(global) => {
            let usual = RopeDefaults { theta: 10_000.0, theta_field: "rope_local_base_freq", ..RopeDefaults::USUAL };
            (global, fields.rope_of_kind("sliding_attention", &sizes, &usual)?)
        }
        None => (fields.rope(&sizes, &usual)?, None),
    };
    let local = match local {
        Some(local) => local,
        None => fields.plain_rope(&sizes, "rope_local_base_freq", 10_000.0)?,
    };
    let mut plan = Blueprint::usual(&sizes, gemma::eps(fields)?, global, gemma::tied(fields)?);
    plan.prefixes = &["model.", "", "language_model.model.", "model.language_model."];
    plan.ropes.push(local);
    gemma::set_gemma(fields, &sizes, &mut plan)?;
    gemma2::set_four_norms(&mut plan);
    gemma2::set_scores(fields, &mut plan, None, None)?;
    plan.set_query_key_norms(true);
    let window = fields.size_or_null("sliding_window", Some(4096))?;
    let pattern = fields.size_or("sliding_window_pattern", fields.size_or("_sliding_window_pattern", PATTERN)?)?;
    let sliding = fields.sliding_layers(plan.blocks.len(), |layer| !(layer + 1).is_multiple_of(pattern))?;
    plan.set_windows(|layer| window.filter(|_| sliding[layer]));
    for (block, sliding) in plan.blocks.iter_mut().zip(sliding) {
        block.attention.rope = Some(usize::from(sliding));
    }
    Ok((sizes, plan))
}

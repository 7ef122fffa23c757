//! `bloom`: places told by ALiBi, a norm behind the embedding, layer norms, biases.

use luthier_engine::{Activation, NormKind};

use super::FamilyInfo;
use crate::blueprint::{Around, Arrangement, Attention, Block, Blueprint, Embedding, Head, Linear, Mlp, Projections};
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, SizeDefaults, SizeNames};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "bloom",
    architecture: "BloomForCausalLM",
    examples: &["bloom-560m", "bloom-1b1-zh", "BELLE-7B-2M"],
    positions: "ALiBi",
    attention: "fused, biases",
    mlp: "GELU",
    read,
    initializer_field: "initializer_range",
};

const NAMES: SizeNames = SizeNames {
    hidden: &["hidden_size", "n_embed"],
    // Always four times the width.
    intermediate: &["intermediate_size"],
    layers: &["n_layer", "num_hidden_layers"],
    heads: &["n_head", "num_attention_heads"],
    positions: &["seq_length", "max_position_embeddings"],
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    let hidden = fields.size_under(NAMES.hidden, None)?;
    let defaults = SizeDefaults { intermediate: Some(4 * hidden), ..SizeDefaults::default() };
    let sizes = Sizes { intermediate_size: 4 * hidden, ..fields.sizes(&NAMES, &defaults)? };
    let (c, f, heads, d) = (sizes.hidden_size, sizes.intermediate_size, sizes.num_attention_heads, sizes.head_dim);
    if heads * d != c || sizes.num_key_value_heads != heads {
        let why =
            format!("the {heads} heads of a bloom of hidden_size {c} are each {c} / {heads} wide, keys as queries");
        return Err(fields.contradiction(why));
    }
    let adds_to_normed = fields.flag_or("apply_residual_connection_post_layernorm", false)?;
    let block = |layer: usize| {
        let linear = |path: &str, outs, inputs| Linear::new(format!("h.{layer}.{path}"), outs, inputs).with_bias(true);
        let around = |name: &str| Around { adds_to_normed, ..Around::before(format!("h.{layer}.{name}")) };
        let mut shape = sizes.attention();
        shape.alibi = true;
        Block {
            norms: Arrangement::Sequential {
                attention: around("input_layernorm"),
                mlp: around("post_attention_layernorm"),
            },
            attention: Attention {
                projections: Projections::Fused {
                    qkv: linear("self_attention.query_key_value", 3 * c, c),
                    widths: [d, d, d],
                    groups: heads,
                },
                query_key_norms: None,
                output: linear("self_attention.dense", c, c),
                shape,
                rope: None,
            },
            mlp: Mlp::Plain {
                up: linear("mlp.dense_h_to_4h", f, c),
                down: linear("mlp.dense_4h_to_h", c, f),
                activation: Activation::GeluTanh,
            },
        }
    };
    let norm = Some("word_embeddings_layernorm".to_owned());
    let plan = Blueprint {
        prefixes: &["transformer.", ""],
        embedding: Embedding { norm, ..Embedding::new("word_embeddings", c) },
        norm: NormKind::Layer,
        eps: fields.positive_or("layer_norm_epsilon", 1e-5)? as f32,
        ropes: Vec::new(),
        blocks: (0..sizes.num_hidden_layers).map(block).collect(),
        residual_scale: 1.0,
        last_norm: Some("ln_f".to_owned()),
        head: Head::new("lm_head", fields.flag_or("tie_word_embeddings", true)?),
        ignored: &[],
    };
    Ok((sizes, plan))
}

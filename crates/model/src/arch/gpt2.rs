//! `gpt2`: learned positions, layer norms, an ungated MLP; weights stored `[in, out]`.

use luthier_engine::{Activation, NormKind};

use super::FamilyInfo;
use crate::blueprint::{
    Around, Arrangement, Attention, Block, Blueprint, Embedding, Head, Linear, Mlp, Positions, Projections,
};
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, SizeDefaults, SizeNames};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "gpt2",
    architecture: "GPT2LMHeadModel",
    examples: &["gpt2", "gpt2-base-chinese", "gpt2-xl"],
    positions: "learned",
    attention: "fused, biases",
    mlp: "GELU",
    read,
    initializer_field: "initializer_range",
};

const NAMES: SizeNames = SizeNames {
    hidden: &["n_embd", "hidden_size"],
    intermediate: &["n_inner"],
    layers: &["n_layer", "num_hidden_layers"],
    heads: &["n_head", "num_attention_heads"],
    positions: &["n_positions", "max_position_embeddings"],
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    fields.refuse("add_cross_attention", "attention to an encoder is not supported; a decoder alone can be read")?;
    let hidden = fields.size_under(NAMES.hidden, None)?;
    let defaults = SizeDefaults { intermediate: Some(4 * hidden), positions: Some(1024), ..SizeDefaults::default() };
    let sizes = fields.sizes(&NAMES, &defaults)?;
    let (c, f) = (sizes.hidden_size, sizes.intermediate_size);
    let activation = fields.activation("activation_function", Activation::GeluTanh)?;
    let scaled = fields.flag_or("scale_attn_weights", true)?;
    let by_layer = fields.flag_or("scale_attn_by_inverse_layer_idx", false)?;
    let block = |layer: usize| {
        let linear = |path: &str, outs, inputs| {
            Linear::new(format!("h.{layer}.{path}"), outs, inputs).with_bias(true).transposed()
        };
        let mut shape = sizes.attention();
        if !scaled {
            shape.scale = 1.0;
        }
        if by_layer {
            shape.scale /= (layer + 1) as f32;
        }
        Block {
            norms: Arrangement::Sequential {
                attention: Around::before(format!("h.{layer}.ln_1")),
                mlp: Around::before(format!("h.{layer}.ln_2")),
            },
            attention: Attention {
                projections: Projections::Fused { qkv: linear("attn.c_attn", 3 * c, c), widths: [c, c, c], groups: 1 },
                query_key_norms: None,
                output: linear("attn.c_proj", c, c),
                shape,
                rope: None,
            },
            mlp: Mlp::Plain { up: linear("mlp.c_fc", f, c), down: linear("mlp.c_proj", c, f), activation },
        }
    };
    let positions = Positions { name: "wpe".to_owned(), rows: sizes.max_position_embeddings, offset: 0 };
    let plan = Blueprint {
        prefixes: &["transformer.", ""],
        embedding: Embedding { positions: Some(positions), ..Embedding::new("wte", c) },
        norm: NormKind::Layer,
        eps: fields.positive_or("layer_norm_epsilon", 1e-5)? as f32,
        ropes: Vec::new(),
        blocks: (0..sizes.num_hidden_layers).map(block).collect(),
        residual_scale: 1.0,
        last_norm: Some("ln_f".to_owned()),
        head: Head::new("lm_head", fields.flag_or("tie_word_embeddings", true)?),
        // The causal mask, in files of old versions.
        ignored: &[".attn.bias", ".attn.masked_bias"],
    };
    Ok((sizes, plan))
}

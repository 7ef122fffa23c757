//! `gpt_neox`: attention and MLP side by side, a part of each head turned, layer norms, biases.

use luthier_engine::{Activation, NormKind};

use super::FamilyInfo;
use crate::blueprint::{Around, Arrangement, Attention, Block, Blueprint, Embedding, Head, Linear, Mlp, Projections};
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, RopeDefaults};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "gpt_neox",
    architecture: "GPTNeoXForCausalLM",
    examples: &["pythia-70m", "pythia-1b", "gpt-neox-20b"],
    positions: "rotary, partial",
    attention: "fused, biases, parallel",
    mlp: "GELU",
    read,
    initializer_field: "initializer_range",
};

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    let sizes = fields.usual_sizes()?;
    let (c, f, heads, d) = (sizes.hidden_size, sizes.intermediate_size, sizes.num_attention_heads, sizes.head_dim);
    if heads * d != c || sizes.num_key_value_heads != heads {
        let why =
            format!("the {heads} heads of a gpt_neox of hidden_size {c} are each {c} / {heads} wide, keys as queries");
        return Err(fields.contradiction(why));
    }
    let defaults =
        RopeDefaults { theta: 10_000.0, theta_field: "rotary_emb_base", partial: 0.25, partial_field: "rotary_pct" };
    let rope = fields.rope(&sizes, &defaults)?;
    let activation = fields.activation("hidden_act", Activation::Gelu)?;
    let bias = fields.flag_or("attention_bias", true)?;
    let parallel = fields.flag_or("use_parallel_residual", true)?;
    let block = |layer: usize| {
        let linear = |path: &str, outs, inputs| Linear::new(format!("layers.{layer}.{path}"), outs, inputs);
        let (attention, mlp) =
            (format!("layers.{layer}.input_layernorm"), format!("layers.{layer}.post_attention_layernorm"));
        Block {
            norms: if parallel {
                Arrangement::Parallel { attention, mlp }
            } else {
                Arrangement::Sequential { attention: Around::before(attention), mlp: Around::before(mlp) }
            },
            attention: Attention {
                projections: Projections::Fused {
                    qkv: linear("attention.query_key_value", 3 * c, c).with_bias(bias),
                    widths: [d, d, d],
                    groups: heads,
                },
                query_key_norms: None,
                output: linear("attention.dense", c, c).with_bias(bias),
                shape: sizes.attention(),
                rope: Some(0),
            },
            mlp: Mlp::Plain {
                up: linear("mlp.dense_h_to_4h", f, c).with_bias(true),
                down: linear("mlp.dense_4h_to_h", c, f).with_bias(true),
                activation,
            },
        }
    };
    let plan = Blueprint {
        prefixes: &["gpt_neox.", ""],
        embedding: Embedding::new("embed_in", c),
        norm: NormKind::Layer,
        eps: fields.positive_or("layer_norm_eps", 1e-5)? as f32,
        ropes: vec![rope],
        blocks: (0..sizes.num_hidden_layers).map(block).collect(),
        residual_scale: 1.0,
        last_norm: Some("final_layer_norm".to_owned()),
        head: Head::new("embed_out", fields.flag_or("tie_word_embeddings", false)?),
        // The causal mask and the frequencies, in files of old versions.
        ignored: &[".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"],
    };
    Ok((sizes, plan))
}

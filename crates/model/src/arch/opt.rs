//! `opt`: learned positions that begin at row 2, layer norms, ReLU; opt-350m norms behind the sums and projects its embedding.

use luthier_engine::{Activation, NormKind};

use super::FamilyInfo;
use crate::blueprint::{
    Around, Arrangement, Attention, Block, Blueprint, Embedding, Head, Linear, Mlp, Positions, Projections,
};
use crate::config::Sizes;
use crate::error::ModelError;
use crate::fields::{Fields, SizeDefaults, SizeNames};

pub(super) const FAMILY: FamilyInfo = FamilyInfo {
    model_type: "opt",
    architecture: "OPTForCausalLM",
    examples: &["opt-125m", "opt-1.3b"],
    positions: "learned",
    attention: "biases",
    mlp: "ReLU",
    read,
    initializer_field: "init_std",
};

const NAMES: SizeNames = SizeNames { intermediate: &["ffn_dim"], ..SizeNames::USUAL };

/// The row of the table where place 0 is.
const OFFSET: usize = 2;

/// That of PyTorch's LayerNorm: the configuration has no field for it.
const EPS: f32 = 1e-5;

fn read(fields: &Fields<'_>) -> Result<(Sizes, Blueprint), ModelError> {
    if !fields.flag_or("layer_norm_elementwise_affine", true)? {
        return Err(
            fields.contradiction("layer norms without weights (layer_norm_elementwise_affine) are not supported")
        );
    }
    let sizes = fields.sizes(&NAMES, &SizeDefaults::default())?;
    let (c, f) = (sizes.hidden_size, sizes.intermediate_size);
    let activation = fields.activation("activation_function", Activation::Relu)?;
    let bias = fields.flag_or("enable_bias", true)?;
    let norm_before = fields.flag_or("do_layer_norm_before", true)?;
    let around = |norm: String| match norm_before {
        true => Around::before(norm),
        false => Around { before: None, behind: None, after_sum: Some(norm), adds_to_normed: false },
    };
    let block = |layer: usize| {
        let path = format!("decoder.layers.{layer}");
        let linear = |name: &str, outs, inputs| Linear::new(format!("{path}.{name}"), outs, inputs).with_bias(bias);
        Block {
            norms: Arrangement::Sequential {
                attention: around(format!("{path}.self_attn_layer_norm")),
                mlp: around(format!("{path}.final_layer_norm")),
            },
            attention: Attention {
                projections: Projections::Separate {
                    q: linear("self_attn.q_proj", c, c),
                    k: linear("self_attn.k_proj", c, c),
                    v: linear("self_attn.v_proj", c, c),
                },
                query_key_norms: None,
                output: linear("self_attn.out_proj", c, c),
                shape: sizes.attention(),
                rope: None,
            },
            mlp: Mlp::Plain { up: linear("fc1", f, c), down: linear("fc2", c, f), activation },
        }
    };
    let width = fields.size_or("word_embed_proj_dim", c)?;
    let projected =
        |name: &str, outs, inputs| (width != c).then(|| Linear::new(format!("decoder.{name}"), outs, inputs));
    let positions = Positions {
        name: "decoder.embed_positions".to_owned(),
        rows: sizes.max_position_embeddings + OFFSET,
        offset: OFFSET,
    };
    let has_last_norm = norm_before && !fields.flag_or("_remove_final_layer_norm", false)?;
    let plan = Blueprint {
        prefixes: &["model.", ""],
        embedding: Embedding {
            positions: Some(positions),
            projection: projected("project_in", c, width),
            ..Embedding::new("decoder.embed_tokens", width)
        },
        norm: NormKind::Layer,
        eps: EPS,
        ropes: Vec::new(),
        blocks: (0..sizes.num_hidden_layers).map(block).collect(),
        residual_scale: 1.0,
        last_norm: has_last_norm.then(|| "decoder.final_layer_norm".to_owned()),
        head: Head {
            projection: projected("project_out", width, c),
            ..Head::new("lm_head", fields.flag_or("tie_word_embeddings", true)?)
        },
        ignored: &[],
    };
    Ok((sizes, plan))
}

//! `config.json` as the shape of a decoder.

use std::path::Path;

use luthier_engine::AttentionShape;
use serde_json::{Map, Value};

use crate::arch::{self, Family};
use crate::blueprint::Blueprint;
use crate::error::ModelError;
use crate::fields::Fields;
use crate::rope::Rope;
use crate::weights;

/// The shape of a decoder, as the family's switches and `config.json` say it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which family, by the `model_type` of transformers.
    pub family: Family,
    /// Widths, counts and the like.
    pub sizes: Sizes,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Standard deviation of fresh weights.
    pub initializer_range: f32,
    /// First token of a text.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
    /// What it is built of.
    pub(crate) blueprint: Blueprint,
    /// The JSON as read, so that what we save keeps what we do not use.
    pub json: Map<String, Value>,
}

/// The sizes that every family has, under whatever names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// C: width of the residual stream.
    pub hidden_size: usize,
    /// F: width inside the MLP.
    pub intermediate_size: usize,
    /// L: blocks.
    pub num_hidden_layers: usize,
    /// H: query heads.
    pub num_attention_heads: usize,
    /// K: key and value heads; divides H.
    pub num_key_value_heads: usize,
    /// D: width of a head; not always C / H.
    pub head_dim: usize,
    /// V: rows of the embedding; may exceed the tokenizer's.
    pub vocab_size: usize,
    /// The longest text the model knows positions for.
    pub max_position_embeddings: usize,
}

/// More blocks than any decoder has; a bound on what is allocated before the files are looked at.
const MOST_LAYERS: usize = 10_000;

/// More experts in all blocks than any decoder has.
pub(crate) const MOST_EXPERTS: usize = 100_000;

impl std::ops::Deref for Config {
    type Target = Sizes;

    fn deref(&self) -> &Sizes {
        &self.sizes
    }
}

impl Config {
    /// Reads `config.json` of a model folder, or what a file that holds a whole model says in its place (see
    /// [`weights::open`]).
    ///
    /// # Errors
    /// When it is missing, no JSON, of an unsupported family, or lacks or contradicts a field.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let (json, named) = weights::config(path)?;
        Self::from_json(json, &named)
    }

    /// The configuration that this JSON describes; `path` is named in errors.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn from_json(json: Map<String, Value>, path: &Path) -> Result<Self, ModelError> {
        let json = text_part(json);
        let fields = Fields { json: &json, path };
        let family = fields.text("model_type")?;
        let family = Family::from_name(family).ok_or_else(|| ModelError::UnsupportedFamily {
            path: path.to_owned(),
            found: family.to_owned(),
            supported: arch::names().join(", "),
        })?;
        fields.refuse(
            "quantization_config",
            "quantised files cannot be read; give the original f32, bf16 or f16 model",
        )?;
        let (sizes, blueprint) = family.read(&fields)?;
        let config = Self {
            family,
            tie_word_embeddings: blueprint.head.tied,
            initializer_range: fields.positive_or(family.initializer_field(), 0.02)? as f32,
            bos_token_id: fields.token_ids("bos_token_id")?.first().copied(),
            eos_token_ids: fields.token_ids("eos_token_id")?,
            sizes,
            blueprint,
            json: json.clone(),
        };
        Ok(config)
    }

    /// The same with so many rows of embedding and head, if it has fewer.
    #[must_use]
    pub fn with_vocabulary(mut self, rows: usize) -> Self {
        if rows > self.sizes.vocab_size {
            self.sizes.vocab_size = rows;
            self.json.insert("vocab_size".to_owned(), rows.into());
        }
        self
    }

    /// Whether queries and keys are turned otherwise in texts longer than this.
    pub fn rope_turns_at(&self) -> Option<usize> {
        self.blueprint.ropes.iter().filter_map(Rope::turns_at).min()
    }

    /// Whether texts of up to so many tokens have the same keys where they begin alike.
    pub fn keys_are_shared(&self, longest: usize) -> bool {
        self.rope_turns_at().is_none_or(|at| longest <= at)
    }

    /// Of those, the length beyond which the whole text is computed anew.
    pub(crate) fn rope_starts_over_at(&self) -> Option<usize> {
        self.blueprint.ropes.iter().filter(|rope| rope.starts_over()).filter_map(Rope::turns_at).min()
    }

    /// How many places the model has vectors for, where it has learnt them; others go on beyond what they were trained on.
    pub fn most_positions(&self) -> Option<usize> {
        self.blueprint.embedding.positions.as_ref().map(|positions| positions.rows - positions.offset)
    }

    /// The longest text it is for, in tokens: the positions it was trained on, or as many as its rotary scaling stretches them to.
    pub fn context(&self) -> usize {
        let stretched = self.blueprint.ropes.iter().filter_map(Rope::stretched_positions);
        stretched.fold(self.max_position_embeddings, usize::max)
    }

    /// The first of its rotary tables.
    pub fn rope(&self) -> Option<&Rope> {
        self.blueprint.ropes.first()
    }
}

impl Sizes {
    /// What is wrong with sizes that do not go together.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let (heads, kv) = (self.num_attention_heads, self.num_key_value_heads);
            return Err(format!("num_attention_heads {heads} is not a multiple of num_key_value_heads {kv}"));
        }
        if self.num_hidden_layers > MOST_LAYERS {
            return Err(format!("num_hidden_layers {} is above {MOST_LAYERS}", self.num_hidden_layers));
        }
        Ok(())
    }

    /// Width of all query heads, H*D.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key (or value) heads, K*D.
    pub fn key_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Heads of the usual kind, scores divided by the root of a head's width.
    pub(crate) fn attention(&self) -> AttentionShape {
        AttentionShape::new(self.num_attention_heads, self.num_key_value_heads, self.head_dim)
    }
}

/// The configuration of a model that sees, brought down to that of its text part, which is a family of its own.
fn text_part(mut json: Map<String, Value>) -> Map<String, Value> {
    if json.get("model_type").is_none_or(|kind| kind != "gemma3") {
        return json;
    }
    let Some(Value::Object(mut text)) = json.remove("text_config") else { return json };
    text.insert("model_type".to_owned(), "gemma3_text".into());
    for field in ["bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings", "torch_dtype", "dtype"] {
        if let Some(value) = json.remove(field) {
            text.entry(field).or_insert(value);
        }
    }
    text
}

//! A recipe with every default filled in, as the program uses it.

mod evaluate;
mod train;

use std::path::{Path, PathBuf};

use luthier_hub::{Found, Origin};
use serde::Serialize;
use serde::ser::Serializer;

pub use super::choice::*;
pub use evaluate::*;
pub use train::*;

/// A complete recipe. Its serialised form has the keys of a recipe again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResolvedRecipe {
    /// Names the run and its folder.
    pub name: String,
    /// Decides every random choice.
    pub seed: u64,
    /// Where relative paths start; absolute.
    pub folder: PathBuf,
    /// The rows.
    pub data: Data,
    /// The model to start from.
    pub model: Model,
    /// The tokenizer of a new model; none where a base model brings its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
    /// What is trained and how.
    pub train: Train,
    /// How answers are scored.
    pub evaluate: Evaluate,
    /// The page.
    pub report: Report,
}

/// A path of the recipe: as written, for files and hashes that outlive a move of the folder, and where it is now. A name of the Hub
/// is one too, once it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipePath {
    written: String,
    full: PathBuf,
    origin: Option<Box<Origin>>,
}

impl RecipePath {
    pub(super) fn new(folder: &Path, written: String) -> Self {
        let full = folder.join(&written);
        Self { written, full, origin: None }
    }

    /// The same words for what was found there.
    pub(crate) fn found(&self, found: Found) -> Self {
        Self { written: self.written.clone(), full: found.dir, origin: found.origin.map(Box::new) }
    }

    /// As the recipe has it.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The path to open.
    pub fn full(&self) -> &Path {
        &self.full
    }

    /// Which commit of the Hub lies there; none for a path of the user's.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_deref()
    }
}

impl Serialize for RecipePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written)
    }
}

/// A share of a whole, or a number of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Amount {
    /// From 0 to below 1.
    Fraction(f64),
    /// Rows or steps.
    Count(usize),
}

impl Amount {
    /// How many of `total` it is; a fraction is rounded up, as transformers' `get_warmup_steps` does.
    pub fn of(self, total: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Fraction(fraction) => (total as f64 * fraction).ceil() as usize,
        }
    }
}

/// `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Data {
    /// Where rows come from, in order.
    pub sources: Vec<Source>,
    /// How a conversation is written out.
    pub template: Template,
    /// Which tokens carry a label.
    pub train_on: TrainOn,
    /// The most tokens of a row.
    pub max_length: usize,
    /// A new order each epoch.
    pub shuffle: bool,
    /// What becomes of longer rows.
    pub overlong: Overlong,
    /// The largest share of answer tokens that may be lost to `max_length`.
    pub max_answer_loss: f64,
    /// Which rows are held out.
    pub split: Split,
    /// Which rows count as duplicates.
    pub dedup: Dedup,
    /// The most rows taken from all sources together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// One of `data.sources`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Source {
    /// A file of rows.
    File {
        /// JSON or JSON Lines.
        path: RecipePath,
        /// How its rows are laid out.
        format: RowFormat,
        /// Where its rows go; none: the split decides.
        #[serde(skip_serializing_if = "Option::is_none")]
        part: Option<Part>,
    },
    /// Rows from a seeded generator.
    Generated {
        /// Which one.
        generate: Generator,
        /// How many rows.
        rows: usize,
        /// Its seed.
        seed: u64,
        /// Which of its rows.
        part: Part,
    },
}

/// How a conversation is written out.
#[derive(Clone, Debug, PartialEq)]
pub enum Template {
    /// The model's own chat template.
    Model,
    /// Stanford Alpaca's.
    Alpaca,
    /// A Jinja file.
    File(RecipePath),
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Model => "model",
            Self::Alpaca => "alpaca",
            Self::File(path) => path.written(),
        })
    }
}

/// `data.split`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Split {
    /// How many rows of the sources without a part.
    pub test: Amount,
    /// How they are chosen.
    pub by: SplitBy,
}

/// `[model]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Model {
    /// Where the weights come from.
    #[serde(flatten)]
    pub source: ModelSource,
    /// How frozen weights are held.
    pub store: Store,
    /// Tokens that are added to the vocabulary.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_tokens: Vec<String>,
    /// How weights are saved.
    pub save_dtype: SaveDtype,
}

/// Where the weights come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ModelSource {
    /// A trained model.
    #[serde(rename = "base")]
    Base(Base),
    /// Random weights.
    #[serde(rename = "create")]
    Create(CreateModel),
}

/// A trained model.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// The one inside the program.
    Pocket,
    /// A Hugging Face folder, or a model of the Hub.
    Named(RecipePath),
}

impl Serialize for Base {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Pocket => "pocket",
            Self::Named(path) => path.written(),
        })
    }
}

/// `[model.create]`: fields as in `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CreateModel {
    /// The family of decoder.
    pub architecture: Architecture,
    /// C.
    pub hidden_size: usize,
    /// F.
    pub intermediate_size: usize,
    /// L.
    pub num_hidden_layers: usize,
    /// H.
    pub num_attention_heads: usize,
    /// K; divides H.
    pub num_key_value_heads: usize,
    /// D; even.
    pub head_dim: usize,
    /// Tokens.
    pub max_position_embeddings: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// The head is the embedding table.
    pub tie_word_embeddings: bool,
    /// Inside the root of the norms.
    pub rms_norm_eps: f64,
    /// Standard deviation of the random weights.
    pub initializer_range: f64,
}

/// `[tokenizer]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Tokenizer {
    /// A folder with `tokenizer.json`.
    #[serde(rename = "path")]
    Folder(RecipePath),
    /// A new one.
    #[serde(rename = "train")]
    Train(TrainTokenizer),
}

/// `[tokenizer.train]`: byte-level BPE.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainTokenizer {
    /// V, bytes and special tokens included.
    pub vocab_size: usize,
    /// Tokens that no merge touches.
    pub special_tokens: Vec<String>,
    /// The text it learns from.
    pub sources: Vec<Source>,
}

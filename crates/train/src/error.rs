//! What can stop a training run.

use std::path::PathBuf;

use luthier_hub::HubError;
use luthier_model::ModelError;

use crate::plan::PlanError;

/// Why a run cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The model refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The adapter that the recipe describes does not fit the model.
    #[error("{key}: {source}")]
    Adapter {
        /// The key of the recipe.
        key: &'static str,
        /// Why.
        source: ModelError,
    },
    /// A model of the Hub cannot be had.
    #[error("{key}: {source}")]
    Hub {
        /// The key of the recipe that names it.
        key: &'static str,
        /// Why.
        source: HubError,
    },
    /// The recipe says of the adapter to start from what is not so.
    #[error(
        "{key} is {said}, but the adapter of train.lora.init ({}) {found}; take the key away or name another adapter",
        dir.display()
    )]
    AdapterSays {
        /// The key of the recipe.
        key: &'static str,
        /// What the recipe says.
        said: String,
        /// What the adapter has instead.
        found: String,
        /// The adapter's folder.
        dir: std::path::PathBuf,
    },
    /// Rows, template or tokenizer refused.
    #[error(transparent)]
    Text(#[from] luthier_text::TextError),
    /// Generated rows refused.
    #[error(transparent)]
    Corpus(#[from] luthier_corpus::CorpusError),
    /// Rows make no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file cannot be written; what stood there before is untouched.
    #[error("cannot write {}: {source}; earlier checkpoints are untouched: make room and run the same command again", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint is damaged.
    #[error("{} is damaged: {why}; remove that checkpoint to go on from the one before", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The folder holds a run with another recipe or other data.
    #[error("{} belongs to a run with another recipe, other data or another base model; give another --out folder, or --overwrite to start anew", path.display())]
    AnotherRun {
        /// The checkpoint or run folder.
        path: PathBuf,
    },
    /// The run would take more memory than there is.
    #[error("{key}: {why}")]
    Memory {
        /// The key of the recipe to change.
        key: &'static str,
        /// How much it takes, how much there is, and what to change.
        why: String,
    },
    /// A size of memory that nobody can read.
    #[error("{0}")]
    MemoryLimit(String),
    /// The loss or a gradient is no number any more.
    #[error(
        "step {step}: {what} is not a finite number; lower learning_rate, or look for damaged weights. The last checkpoint is good"
    )]
    NotFinite {
        /// Counted from 1.
        step: usize,
        /// Loss or gradient norm.
        what: &'static str,
    },
    /// Two processes want the same folder.
    #[error("another luthier is at work in {}; wait for it to end, or give another --out folder", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The output folder holds something that is no run.
    #[error("{} holds files that are no run of luthier; give another --out folder", path.display())]
    NotARun {
        /// The folder.
        path: PathBuf,
    },
    /// The tokenizer knows more tokens than the model.
    #[error(
        "{}: the tokenizer has {tokens} tokens, but the model's vocab_size is {rows}; take the tokenizer that belongs to the model",
        path.display()
    )]
    Vocabulary {
        /// The model folder.
        path: PathBuf,
        /// Rows of the embedding.
        rows: usize,
        /// Tokens of the tokenizer.
        tokens: usize,
    },
}

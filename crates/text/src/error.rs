//! What can go wrong before a model is needed. Faults of single rows are [`crate::RowFault`]s; they never stop the other rows.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the text crate: wrong files, wrong settings, or data that must not be trained on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A file could not be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        #[source]
        cause: io::Error,
    },
    /// A file could not be written; what stood under its name is untouched.
    #[error("cannot write {}: {cause}; check that its folder is writable and has room", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        #[source]
        cause: io::Error,
    },
    /// The data file is in an encoding other than UTF-8.
    #[error("{} is written in {encoding}; save it as UTF-8", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The encoding its first bytes announce.
        encoding: &'static str,
    },
    /// The folder has no tokenizer.
    #[error(
        "{} has no tokenizer; looked for tokenizer.json, a SentencePiece or tiktoken model (tokenizer.model, spiece.model, or one file \
         *.model), vocab.json with merges.txt, tokenizer.bin of llama2.c",
        dir.display()
    )]
    TokenizerMissing {
        /// The folder.
        dir: PathBuf,
    },
    /// A tokenizer file is broken.
    #[error("{}: {cause}", path.display())]
    TokenizerFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A GGUF file could not be read.
    #[error(transparent)]
    Gguf(#[from] luthier_gguf::GgufError),
    /// Such a file alone does not say all of how text becomes tokens; the rest is a property of the class, known for some only.
    #[error(
        "{}: it is not known how tokenizer_class {class:?} reads this file (known: {known}); add a tokenizer.json to the folder",
        path.display()
    )]
    TokenizerClass {
        /// The file.
        path: PathBuf,
        /// The class that tokenizer_config.json beside it names, or "" when it names none.
        class: String,
        /// The classes that are known for such a file.
        known: &'static str,
    },
    /// Tokens could not be added.
    #[error("the tokens were not added: {cause}")]
    NewToken {
        /// Which token, and why not.
        cause: String,
    },
    /// The tokenizer has tokens for which the model has no row.
    #[error(
        "the tokenizer's ids go up to {}, but the model's embedding has {rows} rows: token {id} ({text:?}) is the first without one; \
         take the tokenizer that belongs to the model, or let the embedding grow",
        tokens.saturating_sub(1)
    )]
    BeyondEmbedding {
        /// Highest id + 1.
        tokens: usize,
        /// Rows of the embedding.
        rows: usize,
        /// The lowest id without a row.
        id: u32,
        /// Its text.
        text: String,
    },
    /// A text could not be tokenised.
    #[error("the tokenizer failed: {cause}")]
    Tokenise {
        /// What the tokenizer answered.
        cause: String,
    },
    /// A template could not be parsed.
    #[error("template {name} does not parse: {cause}")]
    TemplateSyntax {
        /// The template's file or name.
        name: String,
        /// What is wrong, with its line.
        cause: String,
    },
    /// The model's folder holds several templates and none is the default.
    #[error("template {name}: none of the named templates ({}) is called \"default\"; give the path of a Jinja file instead", names.join(", "))]
    TemplateNames {
        /// The file that lists them.
        name: String,
        /// The names found.
        names: Vec<String>,
    },
    /// A template could not render a conversation.
    #[error("template {name}: {cause}")]
    TemplateRender {
        /// The template's file or name.
        name: String,
        /// Its own message (`raise_exception`) or the renderer's.
        cause: String,
    },
    /// The tokenizer names no end-of-sequence token.
    #[error(
        "the tokenizer names no end-of-sequence token (eos_token in tokenizer_config.json), and {wanted_by} needs one"
    )]
    NoEos {
        /// What needs it.
        wanted_by: String,
    },
    /// A setting of the data section makes no sense.
    #[error("data.{field}: {cause}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What is wrong and what is allowed.
        cause: String,
    },
    /// `overlong = "refuse"` and rows are longer than `max_length`.
    #[error(
        "{rows} rows are longer than max_length = {max_length} tokens (the longest has {longest}, {at}); \
         raise max_length or set overlong to \"drop\", \"truncate-prompt\" or \"truncate-end\""
    )]
    Overlong {
        /// How many rows.
        rows: usize,
        /// Tokens of the longest.
        longest: usize,
        /// File and line of the longest.
        at: String,
        /// The limit.
        max_length: usize,
    },
    /// Too much of the answers would be lost to `max_length`.
    #[error(
        "max_length = {max_length} would lose {:.1} % of the answers' tokens ({lost} of {total}), more than the allowed {:.1} %; \
         raise max_length, choose overlong = \"truncate-prompt\", or raise max_answer_loss",
        share * 100.0, limit * 100.0
    )]
    AnswersLost {
        /// Labelled tokens lost.
        lost: usize,
        /// Labelled tokens before the limit was applied.
        total: usize,
        /// lost / total.
        share: f64,
        /// The allowed share.
        limit: f64,
        /// The limit of tokens a row.
        max_length: usize,
    },
    /// Nothing is left to train on.
    #[error("no row is left to train on: {summary}")]
    NothingToTrain {
        /// The fates of the rows.
        summary: String,
    },
    /// A tokenizer that GGUF has no counterpart for.
    #[error("a GGUF file cannot be written: {cause}; export to a folder instead")]
    NoGguf {
        /// What has none.
        cause: String,
    },
    /// The ledger does not add up: a bug of this crate.
    #[error("the ledger holds {entries} entries for {rows} rows; this is a bug of luthier")]
    Unbalanced {
        /// Entries in the ledger.
        entries: usize,
        /// Rows read.
        rows: usize,
    },
}

impl TextError {
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> TextError {
        let path = path.into();
        move |cause| TextError::Read { path, cause }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> TextError {
        move |cause| TextError::Write { path: path.to_owned(), cause }
    }
}

//! What can be wrong with the input of a metric, and what can go wrong in an evaluation.

use std::io;
use std::path::{Path, PathBuf};

/// Wrong input to a metric, a comparison or a perplexity.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricError {
    /// A name that no metric has.
    #[error("unknown metric \"{name}\": did you mean \"{nearest}\"? The metrics are {all}")]
    UnknownMetric {
        /// The name as it was given.
        name: String,
        /// The known name that is nearest to it.
        nearest: &'static str,
        /// All known names, separated by commas.
        all: String,
    },
    /// Predictions and references do not pair up.
    #[error(
        "{predictions} predictions but {references} references: give exactly one reference for each prediction, in the same order"
    )]
    UnequalRows {
        /// How many predictions were given.
        predictions: usize,
        /// How many references were given.
        references: usize,
    },
    /// The two sides of a comparison do not describe the same rows.
    #[error(
        "the base model has {base} rows and the tuned model {tuned}: compare both on the same rows, in the same order"
    )]
    UnequalSides {
        /// Rows of the base model.
        base: usize,
        /// Rows of the tuned model.
        tuned: usize,
    },
    /// The two sides of a comparison are statistics of different metrics.
    #[error(
        "the base model's statistics and the tuned model's are not of the same metric: compute both with the same one"
    )]
    UnequalMetrics,
    /// There is nothing to score.
    #[error("no rows to score: the test set is empty, check the recipe's split or the predictions file")]
    NoRows,
    /// A bootstrap without resamples.
    #[error("0 resamples give no interval: ask for at least 1 (1000 is usual)")]
    NoResamples,
    /// A row whose perplexity is undefined.
    #[error("row {row} has no scored tokens, so it has no perplexity: drop it, or give it a completion")]
    NoTokens {
        /// Position of the row, from 0.
        row: usize,
    },
    /// A loss that is infinite or not a number.
    #[error(
        "row {row} has a negative log-likelihood of {value}: the model gave a token probability 0 or a number went wrong before"
    )]
    LossNotFinite {
        /// Position of the row, from 0.
        row: usize,
        /// The loss as it was given.
        value: f64,
    },
}

/// Why an evaluation could not be done.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// Metrics and rows do not fit.
    #[error(transparent)]
    Metric(#[from] MetricError),
    /// A decoding strategy whose parameters cannot be used.
    #[error("decoding strategy \"{strategy}\": {reason}")]
    Strategy {
        /// Its name in the recipe.
        strategy: String,
        /// The parameter that is wrong, where a single one is.
        key: Option<String>,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// A strategy's name becomes part of a file name.
    #[error("\"{strategy}\" cannot name a decoding strategy: the name becomes part of a file name; leave out / and \\")]
    StrategyName {
        /// The name as given.
        strategy: String,
    },
    /// A system that no report knows.
    #[error("unknown system \"{system}\": the systems are base and tuned")]
    UnknownSystem {
        /// The name as given.
        system: String,
    },
    /// A held-out prompt that fills the model's context.
    #[error(
        "{source_file}, line {line}: the prompt has {length} tokens and leaves no room in the model's context of {context}; \
         shorten it, or lower max_length so that the row is left out"
    )]
    PromptTooLong {
        /// The row's file.
        source_file: String,
        /// Its line.
        line: usize,
        /// Tokens of the prompt.
        length: usize,
        /// The model's context length in tokens.
        context: usize,
    },
    /// Decoding failed.
    #[error("decoding strategy \"{strategy}\": {source}")]
    Generate {
        /// The strategy.
        strategy: String,
        /// What happened.
        source: luthier_generate::GenerateError,
    },
    /// The model failed while losses were computed.
    #[error("the loss of the reference answers: {0}")]
    Model(#[from] luthier_model::ModelError),
    /// A file that cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that cannot be written.
    #[error("{}: cannot be written: {source}; make room or choose another folder, then run the same command again", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of an evaluation that does not parse.
    #[error("{}, line {line}: {reason}; delete the file and evaluate again", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A file of an evaluation of other rows.
    #[error("{}: holds other rows than this run's test rows; delete the file and evaluate again", path.display())]
    OtherRows {
        /// The file.
        path: PathBuf,
    },
}

impl EvaluateError {
    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}

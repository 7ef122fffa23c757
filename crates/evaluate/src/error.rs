//! What can be wrong with the input of a metric.

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

//! Metrics, and the comparison of a base model with a tuned one.
//!
//! Two halves. The **runner** asks a model: [`strategy`] checks a recipe's decoding parameters, [`evaluate_system`] writes a
//! model's answers to the held-out rows ([`predict`]) and the loss of the reference answers ([`losses`]) into the run folder, and
//! [`score_run`] turns the files of both models into `scores.json`. The **metrics** know no model.
//!
//! Strings go in, numbers come out: predictions and references (one of each a row) become *row statistics*
//! ([`RowStatistics`]), a few numbers a row that may be summed over any choice of rows. [`score`] sums them over all
//! rows, [`compare`] over many resamples of the rows, so a corpus metric such as BLEU is always computed from summed
//! counts and never averaged over sentences.
//!
//! Every metric of [`Metric`] is on the scale 0 to 100, higher is better, and carries a *signature* that says what was
//! computed, in the form of sacreBLEU. Values equal sacreBLEU 2.4.3 (BLEU, chrF) and rouge_score 0.1.2 (ROUGE).
//! Perplexity stands apart ([`perplexity`]): it is made of losses, not of strings, and lower is better.
//!
//! ```
//! use luthier_evaluate::{Metric, score};
//!
//! let metric: Metric = "rouge-l".parse()?;
//! let scored = score(metric, &["可折疊的雨傘", ""], &["可摺疊雨傘", "防水手電筒"])?;
//! assert_eq!(scored.per_row.len(), 2);
//! assert_eq!(scored.per_row[1], 0.0); // an empty prediction counts as 0
//! # Ok::<(), luthier_evaluate::MetricError>(())
//! ```

pub mod bleu;
mod bleu_tokenizer;
pub mod bootstrap;
pub mod character_f1;
pub mod chrf;
mod error;
pub mod exact_match;
mod folder;
mod losses;
mod metric;
mod ngrams;
pub mod perplexity;
mod predict;
pub mod rouge;
mod row_statistics;
mod run;
mod scores;
mod space;
mod strategy;

pub use bleu_tokenizer::Tokenizer;
pub use bootstrap::{Comparison, Estimate, compare, compare_statistics};
pub use error::{EvaluateError, MetricError};
pub use losses::losses;
pub use metric::{Metric, Score, score, statistics};
pub use predict::{Prediction, predict};
pub use row_statistics::{Aggregate, RowStatistics};
pub use run::{PERPLEXITY, Plan, SYSTEMS, Watch, evaluate_system};
pub use scores::{ComparisonCell, MetricInfo, Perplexity, ScoreCell, Scores, StrategyInfo, score_run};
pub use strategy::{Strategy, strategy, turn_ends};

/// Ends every signature, so that a number can be traced to the code that made it.
pub(crate) const VERSION: &str = concat!("version:luthier-", env!("CARGO_PKG_VERSION"));

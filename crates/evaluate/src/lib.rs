//! Metrics, and the comparison of a base model with a tuned one.
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
mod metric;
mod ngrams;
pub mod perplexity;
pub mod rouge;
mod row_statistics;
mod space;

pub use bleu_tokenizer::Tokenizer;
pub use bootstrap::{Comparison, Estimate, compare, compare_statistics};
pub use error::MetricError;
pub use metric::{Metric, Score, score, statistics};
pub use row_statistics::{Aggregate, RowStatistics};

/// Ends every signature, so that a number can be traced to the code that made it.
pub(crate) const VERSION: &str = concat!("version:luthier-", env!("CARGO_PKG_VERSION"));

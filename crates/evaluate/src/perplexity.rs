//! Perplexity of a set of rows, from each row's summed loss.
//!
//! Two definitions are in use and they differ, so each has its own name. [`token_perplexity`] weighs every token alike:
//! exp(sum of negative log-likelihoods / number of tokens), what a language model's evaluation loss gives.
//! [`mean_row_perplexity`] weighs every row alike: the mean of exp(mean negative log-likelihood of the row), what Hugging
//! Face's `evaluate` calls `mean_perplexity`. Lower is better; natural logarithms; the scale begins at 1.

use serde::{Deserialize, Serialize};

use crate::{Aggregate, MetricError, RowStatistics};

/// The loss of one row's scored tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RowLoss {
    /// Sum of the negative natural-log probabilities of the scored tokens.
    pub nll: f64,
    /// How many tokens were scored.
    pub tokens: usize,
}

/// exp(sum nll / tokens) over all rows.
///
/// # Errors
/// [`MetricError::NoRows`]; [`MetricError::NoTokens`] and [`MetricError::LossNotFinite`] name the row.
///
/// ```
/// use luthier_evaluate::perplexity::{RowLoss, mean_row_perplexity, token_perplexity};
/// let rows = [RowLoss { nll: 0.0, tokens: 3 }, RowLoss { nll: 4.0_f64.ln(), tokens: 1 }];
/// assert!((token_perplexity(&rows)? - 4.0_f64.powf(0.25)).abs() < 1e-12);
/// assert!((mean_row_perplexity(&rows)? - 2.5).abs() < 1e-12);
/// # Ok::<(), luthier_evaluate::MetricError>(())
/// ```
pub fn token_perplexity(rows: &[RowLoss]) -> Result<f64, MetricError> {
    Ok(token_statistics(rows)?.value())
}

/// Mean over rows of exp(nll / tokens of the row).
///
/// # Errors
/// As [`token_perplexity`].
pub fn mean_row_perplexity(rows: &[RowLoss]) -> Result<f64, MetricError> {
    Ok(mean_row_statistics(rows)?.value())
}

/// Statistics of [`token_perplexity`], for [`crate::compare_statistics`].
///
/// # Errors
/// As [`token_perplexity`].
pub fn token_statistics(rows: &[RowLoss]) -> Result<RowStatistics, MetricError> {
    check(rows)?;
    RowStatistics::new(Aggregate::TokenPerplexity, rows.iter().map(|row| [row.nll, row.tokens as f64]))
}

/// Statistics of [`mean_row_perplexity`], for [`crate::compare_statistics`].
///
/// # Errors
/// As [`token_perplexity`].
pub fn mean_row_statistics(rows: &[RowLoss]) -> Result<RowStatistics, MetricError> {
    check(rows)?;
    RowStatistics::new(Aggregate::Mean, rows.iter().map(|row| [(row.nll / row.tokens as f64).exp(), 1.0]))
}

fn check(rows: &[RowLoss]) -> Result<(), MetricError> {
    for (row, loss) in rows.iter().enumerate() {
        if loss.tokens == 0 {
            return Err(MetricError::NoTokens { row });
        }
        if !loss.nll.is_finite() {
            return Err(MetricError::LossNotFinite { row, value: loss.nll });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_equal_length_and_loss_have_one_perplexity_under_both_definitions() {
        let rows = [RowLoss { nll: 2.0, tokens: 4 }; 3];
        assert!((token_perplexity(&rows).unwrap() - 0.5_f64.exp()).abs() < 1e-12);
        assert!((mean_row_perplexity(&rows).unwrap() - 0.5_f64.exp()).abs() < 1e-12);
    }

    #[test]
    fn a_row_without_tokens_or_with_an_infinite_loss_is_named() {
        let good = RowLoss { nll: 1.0, tokens: 1 };
        let no_tokens = RowLoss { nll: 0.0, tokens: 0 };
        assert_eq!(token_perplexity(&[good, no_tokens]), Err(MetricError::NoTokens { row: 1 }));
        let infinite = RowLoss { nll: f64::INFINITY, tokens: 1 };
        let error = mean_row_perplexity(&[infinite]).unwrap_err();
        assert_eq!(error, MetricError::LossNotFinite { row: 0, value: f64::INFINITY });
        assert_eq!(token_perplexity(&[]), Err(MetricError::NoRows));
    }
}

//! Numbers of each row that may be summed over any choice of rows: the common form of all metrics.

use serde::{Deserialize, Serialize};

use crate::{MetricError, bleu, chrf};

/// How sums over rows become one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// `[value, 1]`: the mean of the rows' values.
    Mean,
    /// Counts of BLEU: see [`crate::bleu`].
    Bleu,
    /// Counts of chrF or chrF++: see [`crate::chrf`].
    Chrf,
    /// `[negative log-likelihood, tokens]`: exp of the mean over tokens.
    TokenPerplexity,
}

impl Aggregate {
    fn value(self, sums: &[f64]) -> f64 {
        match self {
            Self::Mean => sums[0] / sums[1],
            Self::Bleu => bleu::from_counts(sums, bleu::Orders::All).value,
            Self::Chrf => chrf::from_counts(sums),
            Self::TokenPerplexity => (sums[0] / sums[1]).exp(),
        }
    }
}

/// A metric's statistics, one line of numbers a row; at least one row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowStatistics {
    aggregate: Aggregate,
    width: usize,
    /// `[rows, width]`, row-major.
    numbers: Vec<f64>,
}

impl RowStatistics {
    /// Lays the rows' numbers end to end.
    ///
    /// # Errors
    /// [`MetricError::NoRows`] when there is none.
    pub(crate) fn new<N: AsRef<[f64]>>(
        aggregate: Aggregate,
        rows: impl IntoIterator<Item = N>,
    ) -> Result<Self, MetricError> {
        let (mut numbers, mut width) = (Vec::new(), 0);
        for row in rows {
            width = row.as_ref().len();
            numbers.extend_from_slice(row.as_ref());
        }
        if width == 0 {
            return Err(MetricError::NoRows);
        }
        Ok(Self { aggregate, width, numbers })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.numbers.len() / self.width
    }

    /// The value over all rows.
    pub fn value(&self) -> f64 {
        self.value_of(0..self.rows())
    }

    /// The value over the given rows, each as often as it is given: a corpus made of these rows.
    ///
    /// # Panics
    /// When a row is out of range.
    pub fn value_of(&self, rows: impl IntoIterator<Item = usize>) -> f64 {
        let mut sums = vec![0.0; self.width];
        for row in rows {
            for (sum, number) in sums.iter_mut().zip(self.row(row)) {
                *sum += number;
            }
        }
        self.aggregate.value(&sums)
    }

    /// The value of each row by itself; for BLEU over the effective order, as sacreBLEU scores one sentence.
    pub fn row_values(&self) -> Vec<f64> {
        let value = |row: &[f64]| match self.aggregate {
            Aggregate::Bleu => bleu::from_counts(row, bleu::Orders::Effective).value,
            other => other.value(row),
        };
        self.numbers.chunks_exact(self.width).map(value).collect()
    }

    pub(crate) fn same_metric(&self, other: &Self) -> bool {
        self.aggregate == other.aggregate && self.width == other.width
    }

    fn row(&self, row: usize) -> &[f64] {
        &self.numbers[row * self.width..][..self.width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_over_chosen_rows_repeats_them() {
        let means = RowStatistics::new(Aggregate::Mean, [[10.0, 1.0], [40.0, 1.0]]).unwrap();
        assert_eq!(means.value(), 25.0);
        assert_eq!(means.value_of([0, 0, 1]), 20.0);
        assert_eq!(means.row_values(), [10.0, 40.0]);
    }

    #[test]
    fn no_rows_are_an_error() {
        assert_eq!(RowStatistics::new(Aggregate::Mean, Vec::<[f64; 2]>::new()), Err(MetricError::NoRows));
    }
}

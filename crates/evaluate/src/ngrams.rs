//! Counting n-grams that a prediction shares with its reference, as multisets.

use std::collections::HashMap;
use std::hash::Hash;

/// How many n-grams a sequence of `length` tokens has.
pub(crate) fn count(length: usize, n: usize) -> usize {
    (length + 1).saturating_sub(n)
}

/// N-grams common to both sequences, each counted at most as often as it stands in the other ("clipped" counts).
pub(crate) fn common<T: Eq + Hash>(prediction: &[T], reference: &[T], n: usize) -> usize {
    let mut left: HashMap<&[T], usize> = HashMap::new();
    for ngram in reference.windows(n) {
        *left.entry(ngram).or_insert(0) += 1;
    }
    let mut matches = 0;
    for ngram in prediction.windows(n) {
        if let Some(remaining) = left.get_mut(ngram)
            && *remaining > 0
        {
            *remaining -= 1;
            matches += 1;
        }
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_ngram_matches_only_as_often_as_the_reference_has_it() {
        assert_eq!(common(b"aaaa", b"aa", 1), 2);
        assert_eq!(common(b"aaaa", b"aa", 2), 1);
        assert_eq!(common(b"aa", b"aaaa", 2), 1);
    }

    #[test]
    fn a_sequence_shorter_than_n_has_no_ngrams() {
        assert_eq!(count(2, 3), 0);
        assert_eq!(count(3, 3), 1);
        assert_eq!(common(b"ab", b"abc", 3), 0);
    }
}

//! chrF (Popović 2015, <https://aclanthology.org/W15-3049>) and chrF++ (Popović 2017), equal to sacreBLEU 2.4.3.
//!
//! Character n-grams of orders 1 to 6 without white space, and for chrF++ also word n-grams of orders 1 and 2. Counts
//! are summed over the corpus; precision and recall are averaged over the orders that both sides have, then
//! F = (1 + b²)PR/(b²P + R) with b = 2: recall weighs more. Scale 0 to 100. It needs no tokenizer, which makes it a good
//! companion of BLEU for Chinese.

use crate::space::{characters, words};
use crate::{VERSION, ngrams};

/// The highest order of character n-grams.
pub const CHARACTER_ORDERS: usize = 6;

/// b², how much more recall weighs than precision.
const BETA_SQUARED: f64 = 4.0;

/// Which of the two metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chrf {
    /// Characters only (chrF2).
    Plain,
    /// With word n-grams of orders 1 and 2 (chrF2++).
    PlusPlus,
}

impl Chrf {
    fn word_orders(self) -> usize {
        match self {
            Self::Plain => 0,
            Self::PlusPlus => 2,
        }
    }

    /// Numbers of one row: n-grams of the prediction, of the reference and common to both, for each order.
    pub(crate) fn width(self) -> usize {
        3 * (CHARACTER_ORDERS + self.word_orders())
    }

    /// What was computed, as sacreBLEU writes it but for the version.
    pub fn signature(self) -> String {
        let words = self.word_orders();
        format!("nrefs:1|case:mixed|eff:yes|nc:{CHARACTER_ORDERS}|nw:{words}|space:no|{VERSION}")
    }
}

/// chrF of one prediction, 0 to 100.
///
/// ```
/// use luthier_evaluate::chrf::{Chrf, sentence_chrf};
/// assert_eq!(sentence_chrf("可折疊雨傘", "可折疊雨傘", Chrf::Plain), 100.0);
/// ```
pub fn sentence_chrf(prediction: &str, reference: &str, kind: Chrf) -> f64 {
    from_counts(&row_counts(prediction, reference, kind))
}

/// chrF of a corpus, 0 to 100: counts summed over the pairs of prediction and reference, then one score.
pub fn corpus_chrf<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, kind: Chrf) -> f64 {
    let mut sums = vec![0.0; kind.width()];
    for (prediction, reference) in pairs {
        for (sum, count) in sums.iter_mut().zip(row_counts(prediction, reference, kind)) {
            *sum += count;
        }
    }
    from_counts(&sums)
}

pub(crate) fn row_counts(prediction: &str, reference: &str, kind: Chrf) -> Vec<f64> {
    let mut counts = Vec::with_capacity(kind.width());
    push_orders(&mut counts, &characters(prediction), &characters(reference), CHARACTER_ORDERS);
    if kind == Chrf::PlusPlus {
        push_orders(&mut counts, &split_words(prediction), &split_words(reference), kind.word_orders());
    }
    counts
}

fn push_orders<T: Eq + std::hash::Hash>(counts: &mut Vec<f64>, prediction: &[T], reference: &[T], orders: usize) {
    for n in 1..=orders {
        let in_reference = ngrams::count(reference.len(), n);
        // sacreBLEU does not count n-grams of an order that the reference is too short for.
        let in_prediction = if in_reference > 0 { ngrams::count(prediction.len(), n) } else { 0 };
        let common = ngrams::common(prediction, reference, n);
        counts.extend([in_prediction as f64, in_reference as f64, common as f64]);
    }
}

/// Words with one ASCII punctuation mark taken off their end or else their beginning, never both, as sacreBLEU does.
fn split_words(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    for word in words(text) {
        let mut rest = word.chars();
        let (first, last) = (rest.next(), rest.next_back());
        match (first, last) {
            (Some(_), Some(last)) if last.is_ascii_punctuation() => {
                pieces.extend([&word[..word.len() - 1], &word[word.len() - 1..]]);
            }
            (Some(first), Some(_)) if first.is_ascii_punctuation() => {
                pieces.extend([&word[..1], &word[1..]]);
            }
            _ => pieces.push(word),
        }
    }
    pieces
}

/// The score of summed counts, three numbers an order.
pub(crate) fn from_counts(counts: &[f64]) -> f64 {
    let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
    for order in counts.chunks_exact(3) {
        let (in_prediction, in_reference, common) = (order[0], order[1], order[2]);
        if in_prediction > 0.0 && in_reference > 0.0 {
            precision += common / in_prediction;
            recall += common / in_reference;
            orders += 1.0;
        }
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / orders, recall / orders);
    100.0 * ((1.0 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_leaves_only_one_end_of_a_word() {
        assert_eq!(split_words("(hi) \"so ! 好。 x"), ["(hi", ")", "\"", "so", "!", "好。", "x"]);
        assert_eq!(split_words("\"甲\" é."), ["\"甲", "\"", "é", "."]);
    }

    #[test]
    fn white_space_does_not_count_in_chrf_and_does_in_its_word_orders() {
        assert_eq!(sentence_chrf("可折疊 雨傘", "可折疊雨傘", Chrf::Plain), 100.0);
        assert!(sentence_chrf("可折疊 雨傘", "可折疊雨傘", Chrf::PlusPlus) < 100.0);
    }

    #[test]
    fn orders_that_one_side_lacks_are_left_out() {
        assert_eq!(sentence_chrf("傘", "傘", Chrf::Plain), 100.0);
        // Order 1 alone: P = 1, R = 1/2, F2 = 5/9.
        assert!((sentence_chrf("傘", "雨傘", Chrf::Plain) - 500.0 / 9.0).abs() < 1e-9);
    }

    #[test]
    fn empty_sides_score_zero() {
        for kind in [Chrf::Plain, Chrf::PlusPlus] {
            assert_eq!(sentence_chrf("", "雨傘", kind), 0.0);
            assert_eq!(sentence_chrf("雨傘", "", kind), 0.0);
            assert_eq!(sentence_chrf(" ", "\n", kind), 0.0);
        }
    }

    #[test]
    fn signatures_tell_the_two_apart() {
        assert!(Chrf::Plain.signature().starts_with("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:luthier-"));
        assert!(Chrf::PlusPlus.signature().contains("|nw:2|"));
    }
}

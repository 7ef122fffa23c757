//! BLEU (Papineni et al. 2002, <https://aclanthology.org/P02-1040>), equal to sacreBLEU 2.4.3 with one reference.
//!
//! Matched and possible n-grams of orders 1 to 4 are summed over the corpus; a precision of 0 is smoothed
//! exponentially (the k-th one counts as 1/(2^k total)); BLEU is the geometric mean of the four precisions times the
//! brevity penalty exp(1 - reference length / prediction length) of a corpus that is too short. Scale 0 to 100.
//! A corpus without a single matched n-gram scores 0. For one sentence the mean runs over the *effective order*, the
//! orders that the prediction is long enough to have.

use crate::bleu_tokenizer::Tokenizer;
use crate::{VERSION, ngrams};

/// The highest order of n-grams.
pub const ORDERS: usize = 4;

/// Numbers of one row: both lengths, then matched and possible n-grams of each order; they add up over rows.
pub(crate) const WIDTH: usize = 2 + 2 * ORDERS;

/// BLEU with the numbers it is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bleu {
    /// The score, 0 to 100.
    pub value: f64,
    /// Precision of each order, 0 to 100, smoothed.
    pub precisions: [f64; ORDERS],
    /// 1, or less when the predictions are shorter than the references.
    pub brevity_penalty: f64,
    /// Tokens of the predictions.
    pub prediction_length: f64,
    /// Tokens of the references.
    pub reference_length: f64,
}

/// Which orders the geometric mean takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orders {
    /// All four: a corpus (`eff:no`).
    All,
    /// Those up to the length of the prediction: one sentence (`eff:yes`).
    Effective,
}

/// BLEU of one prediction over its effective order (sacreBLEU's `sentence_bleu`).
pub fn sentence_bleu(prediction: &str, reference: &str, tokenizer: Tokenizer) -> Bleu {
    from_counts(&row_counts(prediction, reference, tokenizer), Orders::Effective)
}

/// BLEU of a corpus: counts summed over the pairs of prediction and reference, then one score.
pub fn corpus_bleu<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>, tokenizer: Tokenizer) -> Bleu {
    let mut sums = [0.0; WIDTH];
    for (prediction, reference) in pairs {
        for (sum, count) in sums.iter_mut().zip(row_counts(prediction, reference, tokenizer)) {
            *sum += count;
        }
    }
    from_counts(&sums, Orders::All)
}

/// What was computed, as sacreBLEU writes it but for the version.
pub fn signature(tokenizer: Tokenizer, orders: Orders) -> String {
    let (effective, tokenizer) = (if orders == Orders::Effective { "yes" } else { "no" }, tokenizer.name());
    format!("nrefs:1|case:mixed|eff:{effective}|tok:{tokenizer}|smooth:exp|{VERSION}")
}

pub(crate) fn row_counts(prediction: &str, reference: &str, tokenizer: Tokenizer) -> [f64; WIDTH] {
    let (prediction, reference) = (tokenizer.tokens(prediction), tokenizer.tokens(reference));
    let mut counts = [0.0; WIDTH];
    counts[0] = prediction.len() as f64;
    counts[1] = reference.len() as f64;
    for n in 1..=ORDERS {
        counts[1 + n] = ngrams::common(&prediction, &reference, n) as f64;
        counts[1 + ORDERS + n] = ngrams::count(prediction.len(), n) as f64;
    }
    counts
}

/// The score of summed counts (`compute_bleu` of sacreBLEU, smoothing `exp`).
///
/// `counts`: `[2 + 2 * ORDERS]`, laid out as a row's.
pub(crate) fn from_counts(counts: &[f64], orders: Orders) -> Bleu {
    let (prediction_length, reference_length) = (counts[0], counts[1]);
    let (matched, possible) = counts[2..WIDTH].split_at(ORDERS);
    let brevity_penalty = match prediction_length {
        length if length >= reference_length => 1.0,
        0.0 => 0.0,
        length => (1.0 - reference_length / length).exp(),
    };
    let mut bleu = Bleu { value: 0.0, precisions: [0.0; ORDERS], brevity_penalty, prediction_length, reference_length };
    if matched.iter().all(|&count| count == 0.0) {
        return bleu;
    }
    let mut smoothing = 1.0;
    let mut reached = 0;
    for n in 0..ORDERS {
        if possible[n] == 0.0 {
            break;
        }
        reached = n + 1;
        bleu.precisions[n] = if matched[n] == 0.0 {
            smoothing *= 2.0;
            100.0 / (smoothing * possible[n])
        } else {
            100.0 * matched[n] / possible[n]
        };
    }
    // An order that no prediction is long enough for has precision 0, so the product over all orders is 0.
    if orders == Orders::Effective || reached == ORDERS {
        let logs: f64 = bleu.precisions[..reached].iter().map(|precision| precision.ln()).sum();
        bleu.value = brevity_penalty * (logs / reached as f64).exp();
    }
    bleu
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identical_corpus_scores_one_hundred() {
        let bleu = corpus_bleu([("一種可折疊的雨傘", "一種可折疊的雨傘")], Tokenizer::Zh);
        assert!((bleu.value - 100.0).abs() < 1e-9);
        assert_eq!(bleu.brevity_penalty, 1.0);
    }

    #[test]
    fn a_short_identical_text_scores_zero_as_a_corpus_and_one_hundred_as_a_sentence() {
        assert_eq!(corpus_bleu([("雨傘", "雨傘")], Tokenizer::Zh).value, 0.0);
        assert!((sentence_bleu("雨傘", "雨傘", Tokenizer::Zh).value - 100.0).abs() < 1e-9);
    }

    #[test]
    fn an_empty_prediction_scores_zero_and_still_lengthens_the_reference() {
        assert_eq!(sentence_bleu("", "雨傘", Tokenizer::Zh).value, 0.0);
        let with_empty = corpus_bleu([("一種雨傘。", "一種雨傘。"), ("", "一種雨傘。")], Tokenizer::Zh);
        assert!((with_empty.value - 100.0 * (-1.0_f64).exp()).abs() < 1e-9);
    }

    #[test]
    fn the_second_zero_precision_is_halved_twice() {
        // One shared token of four; orders 2 to 4 have none of 3, 2 and 1.
        let bleu = sentence_bleu("a x y z", "a b c d", Tokenizer::None);
        assert_eq!(bleu.precisions, [25.0, 100.0 / 6.0, 100.0 / 8.0, 100.0 / 8.0]);
    }

    #[test]
    fn the_signature_names_tokenizer_and_version() {
        let expected =
            format!("nrefs:1|case:mixed|eff:no|tok:zh|smooth:exp|version:luthier-{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(signature(Tokenizer::Zh, Orders::All), expected);
    }
}

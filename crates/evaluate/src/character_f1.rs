//! F1 over the bag of characters: the answer overlap of Chinese reading comprehension.
//!
//! SQuAD (arXiv 1606.05250) measures the overlap of answers as bags of words; for Chinese, DRCD (arXiv 1806.00920) takes
//! characters. P and R are shared characters over characters of the prediction and of the reference (white space
//! removed, nothing else), F1 = 2PR/(P+R). By definition it equals ROUGE-1 over characters; it has its own name because
//! that is how question answering reports it.

use crate::VERSION;
use crate::ngrams;
use crate::space::characters;

/// F1 of the two bags of characters, 0 to 1; 0 when either side is empty.
///
/// ```
/// use luthier_evaluate::character_f1::character_f1;
/// assert_eq!(character_f1("臺北市", "臺北"), 0.8); // P = 2/3, R = 1
/// ```
pub fn character_f1(prediction: &str, reference: &str) -> f64 {
    let (prediction, reference) = (characters(prediction), characters(reference));
    let shared = ngrams::common(&prediction, &reference, 1);
    if shared == 0 {
        return 0.0;
    }
    // 2PR/(P+R) with P = s/p and R = s/r is 2s/(p+r).
    2.0 * shared as f64 / (prediction.len() + reference.len()) as f64
}

/// What was computed, in the form of sacreBLEU's signatures.
pub fn signature() -> String {
    format!("nrefs:1|case:mixed|tok:characters|value:f1|avg:rows|scale:0-100|{VERSION}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_but_counts_do() {
        assert_eq!(character_f1("北臺", "臺北"), 1.0);
        assert_eq!(character_f1("人人人", "人"), 0.5);
    }

    #[test]
    fn empty_sides_score_zero() {
        assert_eq!(character_f1("", "臺北"), 0.0);
        assert_eq!(character_f1("臺北", ""), 0.0);
        assert_eq!(character_f1("", ""), 0.0);
    }
}

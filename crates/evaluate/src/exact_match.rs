//! Exact match: the share of predictions that are the reference, character for character.
//!
//! White space around both is removed first; nothing else is normalised (no case folding, no punctuation removal, no
//! Unicode normalisation), unlike SQuAD's script (arXiv 1606.05250), whose rules are for English. An empty prediction
//! never matches.

use crate::VERSION;
use crate::space::is_space;

/// Whether the prediction equals the reference once white space around both is removed; false for an empty one.
///
/// ```
/// use luthier_evaluate::exact_match::exact_match;
/// assert!(exact_match("防水手電筒\n", "防水手電筒"));
/// assert!(!exact_match("防水手電筒。", "防水手電筒"));
/// assert!(!exact_match("", ""));
/// ```
pub fn exact_match(prediction: &str, reference: &str) -> bool {
    let prediction = prediction.trim_matches(is_space);
    !prediction.is_empty() && prediction == reference.trim_matches(is_space)
}

/// What was computed, in the form of sacreBLEU's signatures.
pub fn signature() -> String {
    format!("nrefs:1|case:mixed|space:trim|avg:rows|scale:0-100|{VERSION}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_around_the_text_is_forgiven() {
        assert!(exact_match("\u{3000}甲 乙\r\n", "甲 乙"));
        assert!(!exact_match("甲  乙", "甲 乙"));
        assert!(!exact_match("Lamp", "lamp"));
        assert!(!exact_match("，", ","));
    }

    #[test]
    fn an_empty_prediction_never_matches() {
        assert!(!exact_match("", ""));
        assert!(!exact_match(" \n", ""));
    }
}

//! ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004, <https://aclanthology.org/W04-1013>), equal to rouge_score 0.1.2.
//!
//! ROUGE-N: shared n-grams (clipped multiset counts) over the n-grams of the prediction (P) and of the reference (R).
//! ROUGE-L: the longest common subsequence over their lengths. F1 = 2PR/(P+R). The unit of text decides everything for
//! Chinese: rouge_score's own tokenizer keeps `[a-z0-9]` only and so scores Chinese 0; there the unit is the character.

use crate::VERSION;
use crate::ngrams;
use crate::space::characters;

/// What ROUGE counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Unicode scalar values that are not white space, unchanged.
    Characters,
    /// rouge_score's default tokenizer without stemming: lower case, then maximal runs of `[a-z0-9]`.
    Words,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Characters => "characters",
            Self::Words => "words",
        }
    }
}

/// Precision, recall and their harmonic mean, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rouge {
    /// Share of the prediction that the reference has.
    pub precision: f64,
    /// Share of the reference that the prediction has.
    pub recall: f64,
    /// 2PR/(P+R), 0 when both are 0.
    pub f1: f64,
}

impl Rouge {
    fn new(matches: usize, in_prediction: usize, in_reference: usize) -> Self {
        let precision = matches as f64 / in_prediction.max(1) as f64;
        let recall = matches as f64 / in_reference.max(1) as f64;
        let both = precision + recall;
        let f1 = if both > 0.0 { 2.0 * precision * recall / both } else { 0.0 };
        Self { precision, recall, f1 }
    }
}

/// ROUGE-N of one prediction; `n` is 1 or 2 by custom. All 0 when either side has no n-gram.
///
/// ```
/// use luthier_evaluate::rouge::{Unit, rouge_n};
/// let rouge = rouge_n("可折疊雨傘", "摺疊雨傘", 2, Unit::Characters);
/// assert_eq!((rouge.precision, rouge.recall), (2.0 / 4.0, 2.0 / 3.0));
/// ```
pub fn rouge_n(prediction: &str, reference: &str, n: usize, unit: Unit) -> Rouge {
    on_units(prediction, reference, unit, |prediction, reference| {
        if n == 0 {
            return Rouge::default();
        }
        let matches = ngrams::common(prediction, reference, n);
        Rouge::new(matches, ngrams::count(prediction.len(), n), ngrams::count(reference.len(), n))
    })
}

/// ROUGE-L of one prediction taken as one sentence (rouge_score's `rougeL`, not `rougeLsum`).
pub fn rouge_l(prediction: &str, reference: &str, unit: Unit) -> Rouge {
    on_units(prediction, reference, unit, |prediction, reference| {
        Rouge::new(longest_common_subsequence(prediction, reference), prediction.len(), reference.len())
    })
}

/// What was computed, in the form of sacreBLEU's signatures; `kind` is `1`, `2` or `l`.
pub(crate) fn signature(kind: &str, unit: Unit) -> String {
    let (case, unit) = (if unit == Unit::Words { "lc" } else { "mixed" }, unit.name());
    format!("nrefs:1|case:{case}|rouge:{kind}|tok:{unit}|stem:no|value:f1|avg:rows|scale:0-100|{VERSION}")
}

/// Both texts as numbers, equal where the units are equal, so that one routine serves characters and words.
fn on_units(prediction: &str, reference: &str, unit: Unit, measure: impl Fn(&[u32], &[u32]) -> Rouge) -> Rouge {
    match unit {
        Unit::Characters => {
            let code = |text| characters(text).into_iter().map(u32::from).collect::<Vec<_>>();
            measure(&code(prediction), &code(reference))
        }
        Unit::Words => {
            let (prediction, reference) = (prediction.to_lowercase(), reference.to_lowercase());
            let mut known = std::collections::HashMap::new();
            let mut code = |text| {
                let numbered = |word| {
                    let next = known.len() as u32;
                    *known.entry(word).or_insert(next)
                };
                ascii_words(text).map(numbered).collect::<Vec<_>>()
            };
            let (prediction, reference) = (code(&prediction), code(&reference));
            measure(&prediction, &reference)
        }
    }
}

fn ascii_words(lower_case: &str) -> impl Iterator<Item = &str> {
    let keeps = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    lower_case.split(move |c| !keeps(c)).filter(|word| !word.is_empty())
}

/// Length of the longest common subsequence; two rows of the table are enough when only the length is asked for.
fn longest_common_subsequence(a: &[u32], b: &[u32]) -> usize {
    let mut above = vec![0; b.len() + 1];
    let mut row = above.clone();
    for x in a {
        for (j, y) in b.iter().enumerate() {
            row[j + 1] = if x == y { above[j] + 1 } else { above[j + 1].max(row[j]) };
        }
        std::mem::swap(&mut above, &mut row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_scores_zero_by_words_and_something_by_characters() {
        assert_eq!(rouge_l("臺北市", "臺北", Unit::Words), Rouge::default());
        assert_eq!(rouge_l("臺北市", "臺北", Unit::Characters).recall, 1.0);
    }

    #[test]
    fn words_are_lower_case_runs_of_letters_and_digits() {
        let words: Vec<&str> = ascii_words("it's 3.5 café-style_x").collect();
        assert_eq!(words, ["it", "s", "3", "5", "caf", "style", "x"]);
        assert_eq!(rouge_n("The LAMP!", "the lamp", 2, Unit::Words).f1, 1.0);
    }

    #[test]
    fn rouge_l_keeps_order_where_rouge_1_does_not() {
        assert_eq!(rouge_n("丙乙甲", "甲乙丙", 1, Unit::Characters).f1, 1.0);
        assert_eq!(rouge_l("丙乙甲", "甲乙丙", Unit::Characters).precision, 1.0 / 3.0);
    }

    #[test]
    fn empty_sides_score_zero() {
        for unit in [Unit::Characters, Unit::Words] {
            assert_eq!(rouge_l("", "abc", unit), Rouge::default());
            assert_eq!(rouge_n("abc", "", 1, unit), Rouge::default());
            assert_eq!(rouge_n("", "", 2, unit), Rouge::default());
        }
    }
}

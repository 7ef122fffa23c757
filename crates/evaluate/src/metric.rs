//! The metrics by the names that recipes use, and the one function that scores with any of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bleu::{self, Orders};
use crate::chrf::{self, Chrf};
use crate::rouge::{self, Unit, rouge_l, rouge_n};
use crate::{Aggregate, MetricError, RowStatistics, Tokenizer, character_f1, exact_match};

/// A metric of predictions against references. All are on the scale 0 to 100, and higher is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Metric {
    /// `exact-match`: see [`crate::exact_match`].
    ExactMatch,
    /// `rouge-1`: F1 over characters, see [`crate::rouge`].
    Rouge1,
    /// `rouge-2`: F1 over pairs of characters.
    Rouge2,
    /// `rouge-l`: F1 of the longest common subsequence of characters.
    RougeL,
    /// `rouge-l-word`: the same over rouge_score's words (0 for Chinese).
    RougeLWord,
    /// `bleu`: tokenizer `zh` when the references are mostly Han, else `13a`; the signature says which.
    Bleu,
    /// `bleu-zh`: see [`crate::bleu`].
    BleuZh,
    /// `bleu-13a`.
    Bleu13a,
    /// `bleu-char`.
    BleuChar,
    /// `chrf`: see [`crate::chrf`].
    Chrf,
    /// `chrf++`.
    ChrfPlusPlus,
    /// `char-f1`: see [`crate::character_f1`].
    CharF1,
}

impl Metric {
    /// Every metric, in the order in which they are listed to people.
    pub const ALL: [Self; 12] = [
        Self::ExactMatch,
        Self::Rouge1,
        Self::Rouge2,
        Self::RougeL,
        Self::RougeLWord,
        Self::Bleu,
        Self::BleuZh,
        Self::Bleu13a,
        Self::BleuChar,
        Self::Chrf,
        Self::ChrfPlusPlus,
        Self::CharF1,
    ];

    /// The name in recipes and in `scores.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ExactMatch => "exact-match",
            Self::Rouge1 => "rouge-1",
            Self::Rouge2 => "rouge-2",
            Self::RougeL => "rouge-l",
            Self::RougeLWord => "rouge-l-word",
            Self::Bleu => "bleu",
            Self::BleuZh => "bleu-zh",
            Self::Bleu13a => "bleu-13a",
            Self::BleuChar => "bleu-char",
            Self::Chrf => "chrf",
            Self::ChrfPlusPlus => "chrf++",
            Self::CharF1 => "char-f1",
        }
    }

    /// The name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::ExactMatch => "Exact match",
            Self::Rouge1 => "ROUGE-1",
            Self::Rouge2 => "ROUGE-2",
            Self::RougeL => "ROUGE-L",
            Self::RougeLWord => "ROUGE-L (words)",
            Self::Bleu => "BLEU",
            Self::BleuZh => "BLEU (zh)",
            Self::Bleu13a => "BLEU (13a)",
            Self::BleuChar => "BLEU (characters)",
            Self::Chrf => "chrF",
            Self::ChrfPlusPlus => "chrF++",
            Self::CharF1 => "Character F1",
        }
    }

    /// The tokenizer of a BLEU metric; references decide for plain `bleu`. `None` for every other metric.
    fn bleu_tokenizer<R: AsRef<str>>(self, references: &[R]) -> Option<Tokenizer> {
        match self {
            Self::Bleu => Some(Tokenizer::for_references(references)),
            Self::BleuZh => Some(Tokenizer::Zh),
            Self::Bleu13a => Some(Tokenizer::V13a),
            Self::BleuChar => Some(Tokenizer::Char),
            _ => None,
        }
    }

    /// What is computed against these references, in the form of sacreBLEU's signatures.
    pub fn signature<R: AsRef<str>>(self, references: &[R]) -> String {
        match self {
            Self::ExactMatch => exact_match::signature(),
            Self::Rouge1 => rouge::signature("1", Unit::Characters),
            Self::Rouge2 => rouge::signature("2", Unit::Characters),
            Self::RougeL => rouge::signature("l", Unit::Characters),
            Self::RougeLWord => rouge::signature("l", Unit::Words),
            Self::Bleu | Self::BleuZh | Self::Bleu13a | Self::BleuChar => {
                let tokenizer = self.bleu_tokenizer(references).expect("these are the BLEU metrics");
                bleu::signature(tokenizer, Orders::All)
            }
            Self::Chrf => Chrf::Plain.signature(),
            Self::ChrfPlusPlus => Chrf::PlusPlus.signature(),
            Self::CharF1 => character_f1::signature(),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Metric {
    type Err = MetricError;

    fn from_str(name: &str) -> Result<Self, MetricError> {
        if let Some(metric) = Self::ALL.into_iter().find(|metric| metric.name() == name) {
            return Ok(metric);
        }
        let wanted = name.to_lowercase();
        let distance = |metric: &Self| strsim::damerau_levenshtein(metric.name(), &wanted);
        let nearest = Self::ALL.into_iter().min_by_key(distance).expect("the list of metrics is not empty");
        let all = Self::ALL.map(Self::name).join(", ");
        Err(MetricError::UnknownMetric { name: name.to_string(), nearest: nearest.name(), all })
    }
}

impl TryFrom<String> for Metric {
    type Error = MetricError;

    fn try_from(name: String) -> Result<Self, MetricError> {
        name.parse()
    }
}

impl From<Metric> for &'static str {
    fn from(metric: Metric) -> Self {
        metric.name()
    }
}

/// What a metric says about a set of predictions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The value over all rows, 0 to 100: of the corpus for BLEU and chrF, the mean of the rows for the others.
    pub value: f64,
    /// The value of each row by itself, 0 to 100, in input order (BLEU with effective order).
    pub per_row: Vec<f64>,
    /// What was computed, in the form of sacreBLEU's signatures.
    pub signature: String,
}

/// Scores predictions against references, one each a row. An empty prediction counts as 0 and is never skipped.
///
/// # Errors
/// [`MetricError::UnequalRows`] when the two lists differ in length, [`MetricError::NoRows`] when they are empty.
pub fn score<P: AsRef<str>, R: AsRef<str>>(
    metric: Metric,
    predictions: &[P],
    references: &[R],
) -> Result<Score, MetricError> {
    let rows = statistics(metric, predictions, references)?;
    Ok(Score { value: rows.value(), per_row: rows.row_values(), signature: metric.signature(references) })
}

/// The statistics behind [`score`], for resampling or for scoring parts of a test set.
///
/// # Errors
/// As [`score`].
pub fn statistics<P: AsRef<str>, R: AsRef<str>>(
    metric: Metric,
    predictions: &[P],
    references: &[R],
) -> Result<RowStatistics, MetricError> {
    if predictions.len() != references.len() {
        return Err(MetricError::UnequalRows { predictions: predictions.len(), references: references.len() });
    }
    let pairs = predictions.iter().zip(references).map(|(p, r)| (p.as_ref(), r.as_ref()));
    if let Some(tokenizer) = metric.bleu_tokenizer(references) {
        return RowStatistics::new(Aggregate::Bleu, pairs.map(|(p, r)| bleu::row_counts(p, r, tokenizer)));
    }
    let chrf = |kind| RowStatistics::new(Aggregate::Chrf, pairs.clone().map(|(p, r)| chrf::row_counts(p, r, kind)));
    match metric {
        Metric::Chrf => chrf(Chrf::Plain),
        Metric::ChrfPlusPlus => chrf(Chrf::PlusPlus),
        _ => RowStatistics::new(Aggregate::Mean, pairs.map(|(p, r)| [100.0 * fraction(metric, p, r), 1.0])),
    }
}

/// One row's value, 0 to 1, of a metric that is a mean over rows.
fn fraction(metric: Metric, prediction: &str, reference: &str) -> f64 {
    match metric {
        Metric::ExactMatch => f64::from(u8::from(exact_match::exact_match(prediction, reference))),
        Metric::Rouge1 => rouge_n(prediction, reference, 1, Unit::Characters).f1,
        Metric::Rouge2 => rouge_n(prediction, reference, 2, Unit::Characters).f1,
        Metric::RougeL => rouge_l(prediction, reference, Unit::Characters).f1,
        Metric::RougeLWord => rouge_l(prediction, reference, Unit::Words).f1,
        Metric::CharF1 => character_f1::character_f1(prediction, reference),
        Metric::Bleu | Metric::BleuZh | Metric::Bleu13a | Metric::BleuChar | Metric::Chrf | Metric::ChrfPlusPlus => {
            unreachable!("BLEU and chrF are computed from counts, not averaged")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_its_metric_and_serializes_back() {
        for metric in Metric::ALL {
            assert_eq!(metric.name().parse(), Ok(metric));
            let json = serde_json::to_string(&metric).unwrap();
            assert_eq!(serde_json::from_str::<Metric>(&json).unwrap(), metric);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_all_others() {
        let message = "ruoge-l".parse::<Metric>().unwrap_err().to_string();
        assert!(message.contains("did you mean \"rouge-l\"?"), "{message}");
        assert!(Metric::ALL.iter().all(|metric| message.contains(metric.name())), "{message}");
        let message = "ChrF".parse::<Metric>().unwrap_err().to_string();
        assert!(message.contains("did you mean \"chrf\"?"), "{message}");
        let error = serde_json::from_str::<Metric>("\"blue\"").unwrap_err().to_string();
        assert!(error.contains("did you mean \"bleu\"?"), "{error}");
    }

    #[test]
    fn lists_of_different_length_are_an_error_that_says_both() {
        let error = score(Metric::Chrf, &["a"], &["a", "b"]).unwrap_err();
        assert_eq!(error, MetricError::UnequalRows { predictions: 1, references: 2 });
        assert_eq!(score::<&str, &str>(Metric::Bleu, &[], &[]), Err(MetricError::NoRows));
    }

    #[test]
    fn an_empty_prediction_scores_zero_in_every_metric_and_counts_as_a_row() {
        let text = "一種可折疊的雨傘 with 4 ribs";
        for metric in Metric::ALL {
            let scored = score(metric, &[text, ""], &[text, text]).unwrap();
            assert!((scored.per_row[0] - 100.0).abs() < 1e-9, "{metric}: {:?}", scored.per_row);
            assert_eq!(scored.per_row[1], 0.0, "{metric}");
            assert!(scored.value > 0.0 && scored.value < 99.0, "{metric}: {}", scored.value);
            let empty = score(metric, &[""], &[""]).unwrap();
            assert_eq!((empty.value, empty.per_row), (0.0, vec![0.0]), "{metric}");
        }
    }

    #[test]
    fn plain_bleu_takes_the_tokenizer_of_the_references_and_says_so() {
        let scored = score(Metric::Bleu, &["a waterproof torch"], &["一種防水手電筒"]).unwrap();
        assert!(scored.signature.contains("|tok:zh|"), "{}", scored.signature);
        let scored = score(Metric::Bleu, &["一種防水手電筒"], &["a waterproof torch"]).unwrap();
        assert!(scored.signature.contains("|tok:13a|"), "{}", scored.signature);
    }
}

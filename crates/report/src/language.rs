//! The two languages of the page and the look-up of their phrases.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::ReportError;
use crate::phrases::PHRASES;

/// The language every phrase of the page is written in; what the run itself holds is never translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// `en`
    #[default]
    English,
    /// `zh-Hant`
    TraditionalChinese,
}

impl Language {
    /// The BCP 47 tag: `en` or `zh-Hant`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::TraditionalChinese => "zh-Hant",
        }
    }

    /// The phrase of `key`, if the table knows it.
    pub(crate) fn known(self, key: &str) -> Option<&'static str> {
        let (_, phrases) = PHRASES.iter().find(|(name, _)| *name == key)?;
        Some(match self {
            Self::English => phrases[0],
            Self::TraditionalChinese => phrases[1],
        })
    }

    /// The phrase of a `key` that this crate itself names.
    pub(crate) fn phrase(self, key: &str) -> &'static str {
        let found = self.known(key);
        debug_assert!(found.is_some(), "no phrase {key:?}");
        found.unwrap_or_default()
    }

    /// The phrase of `key` with each `{name}` replaced. Values are put in once and never searched for names again.
    pub(crate) fn fill(self, key: &str, values: &[(&str, &str)]) -> String {
        let mut rest = self.phrase(key);
        let mut filled = String::new();
        while let Some(open) = rest.find('{') {
            let Some(close) = rest[open..].find('}').map(|at| open + at) else { break };
            join(&mut filled, &rest[..open]);
            let name = &rest[open + 1..close];
            let value = values.iter().find(|(known, _)| *known == name);
            debug_assert!(value.is_some(), "phrase {key:?} wants {name:?}");
            join(&mut filled, value.map_or("", |(_, value)| value));
            rest = &rest[close + 1..];
        }
        join(&mut filled, rest);
        filled
    }

    /// `one` when `n` is 1, else `other`: English tells them apart, Chinese has the same words for both.
    pub(crate) fn counted(self, key: &str, n: u64) -> String {
        let shown = crate::figures::count(n);
        let key = if n == 1 { format!("{key}.one") } else { format!("{key}.other") };
        self.fill(&key, &[("n", &shown)])
    }

    /// Every phrase without a place to fill, for the template.
    pub(crate) fn table(self) -> BTreeMap<&'static str, &'static str> {
        PHRASES.iter().map(|(key, _)| (*key, self.phrase(key))).collect()
    }
}

/// Appends, with the space that Chinese typography wants between a Chinese character and a Latin word or number.
fn join(text: &mut String, next: &str) {
    let (before, after) = (text.chars().next_back(), next.chars().next());
    if let Some((before, after)) = before.zip(after) {
        let latin = |c: char| c.is_ascii_alphanumeric();
        if (is_han(before) && latin(after)) || (latin(before) && is_han(after)) {
            text.push(' ');
        }
    }
    text.push_str(next);
}

fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

impl FromStr for Language {
    type Err = ReportError;

    fn from_str(tag: &str) -> Result<Self, ReportError> {
        match tag {
            "en" => Ok(Self::English),
            "zh-Hant" => Ok(Self::TraditionalChinese),
            other => Err(ReportError::UnknownLanguage(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_is_there_once_in_both_languages_with_the_same_places_to_fill() {
        let places = |phrase: &str| {
            let mut found: Vec<String> =
                phrase.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default().to_owned()).collect();
            found.sort();
            found
        };
        let mut seen = std::collections::BTreeSet::new();
        for (key, [english, chinese]) in PHRASES {
            assert!(seen.insert(key), "{key} stands twice");
            assert!(!english.is_empty() && !chinese.is_empty(), "{key} is empty");
            if !key.ends_with(".one") {
                assert_eq!(places(english), places(chinese), "{key}");
            }
        }
    }

    #[test]
    fn a_filled_value_that_looks_like_a_place_is_left_alone() {
        let filled = Language::English.fill("missing", &[("file", "{file}")]);
        assert!(filled.contains("{file}"), "{filled}");
    }

    #[test]
    fn chinese_sentences_keep_a_space_around_latin_words_only() {
        let fill = |metric| {
            let values = [("metric", metric), ("better", "1"), ("worse", "2"), ("wrong", "3")];
            Language::TraditionalChinese.fill("examples.balance", &values)
        };
        assert!(fill("chrF").starts_with("以 chrF 計："), "{}", fill("chrF"));
        assert!(fill("完全相符率").starts_with("以完全相符率計："));
    }

    #[test]
    fn an_unknown_language_names_the_two_known_ones() {
        let message = "fr".parse::<Language>().unwrap_err().to_string();
        assert!(message.contains("zh-Hant") && message.contains("fr"), "{message}");
        assert_eq!("zh-Hant".parse::<Language>().unwrap(), Language::TraditionalChinese);
    }
}

//! Contamination: training rows that hold a passage of a test row.
//!
//! All n-grams of letters of the test side are kept as hashes, a training row is clean when none of its own is among them. The default
//! widths, 15 Han or 50 other characters, are long enough that natural texts hardly share them by chance (50 is what the GPT-4 report
//! compares), and short enough to catch a sentence.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use rayon::prelude::*;

use crate::clean::{Over, Step, Verdict};
use crate::document::Document;
use crate::error::CorpusError;
use crate::letters::{KeyHasher, Prefixes, WIDEST, Widths, push_letters};

/// The passages of the test side.
pub struct Contamination {
    widths: Widths,
    grams: HashMap<u64, u32, BuildHasherDefault<KeyHasher>>,
    names: Vec<String>,
    /// The fields of training documents that are looked at, together.
    pub over: Over,
}

/// A passage that a text shares with a test row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contaminated {
    /// The test row's name.
    pub with: String,
    /// The passage, in small letters without marks.
    pub passage: String,
}

impl Contamination {
    /// The widths that are usual.
    pub const WIDTHS: Widths = Widths { han: 15, other: 50 };

    /// An empty test side.
    ///
    /// # Errors
    /// When a width is not from 4 to 128.
    pub fn new(widths: Widths) -> Result<Self, CorpusError> {
        if !(4..=WIDEST).contains(&widths.han) || !(4..=WIDEST).contains(&widths.other) {
            return Err(CorpusError::setting(
                "contamination.widths",
                format!("a passage has from 4 to {WIDEST} characters"),
            ));
        }
        Ok(Contamination { widths, grams: HashMap::default(), names: Vec::new(), over: Over::AllText })
    }

    /// Adds rows of the test side: name and text. A text shorter than a passage counts as one whole where it is at least half as long.
    pub fn add<T: AsRef<str> + Sync>(&mut self, rows: &[(String, T)]) {
        let widths = self.widths;
        let keys: Vec<Vec<(usize, u64)>> = rows.par_iter().map(|(_, text)| keys(widths, text.as_ref()).0).collect();
        for ((name, _), keys) in rows.iter().zip(keys) {
            let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
            self.names.push(name.clone());
            for (_, key) in keys {
                self.grams.entry(key).or_insert(number);
            }
        }
    }

    /// The first passage of a text that a test row holds as well.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Contaminated> {
        if self.grams.is_empty() {
            return None;
        }
        let (keys, letters) = keys(self.widths, text);
        let (start, number) = keys.iter().find_map(|(at, key)| Some((*at, *self.grams.get(key)?)))?;
        let width = self.widths.of(letters[start]).min(letters.len() - start);
        Some(Contaminated {
            with: self.names[number as usize].clone(),
            passage: letters[start..start + width].iter().collect(),
        })
    }
}

/// The hashes of all passages of a text with the places where they begin, and its letters.
fn keys(widths: Widths, text: &str) -> (Vec<(usize, u64)>, Vec<char>) {
    let mut letters = Vec::with_capacity(text.len());
    push_letters(text, &mut letters);
    let mut prefixes = Prefixes::default();
    prefixes.extend(&letters);
    let mut keys = Vec::with_capacity(letters.len());
    for (start, first) in letters.iter().enumerate() {
        let width = widths.of(*first);
        if start + width <= letters.len() {
            keys.push((start, prefixes.window(start, width)));
        }
    }
    if let (true, Some(first)) = (keys.is_empty(), letters.first())
        && 2 * letters.len() >= widths.of(*first)
    {
        keys.push((0, prefixes.window(0, letters.len())));
    }
    (keys, letters)
}

impl Step for Contamination {
    fn name(&self) -> &'static str {
        "contamination"
    }

    fn apply(&self, document: &mut Document) -> Verdict {
        match self.find(&self.over.joined(&document.fields)) {
            None => Verdict::Kept,
            Some(Contaminated { with, passage }) => {
                Verdict::dropped("shared with test", format!("the test row {with} holds {passage:?} as well"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contamination(tests: &[&str]) -> Contamination {
        let mut contamination = Contamination::new(Contamination::WIDTHS).unwrap();
        let rows: Vec<(String, &str)> = tests.iter().enumerate().map(|(i, text)| (format!("t{i}"), *text)).collect();
        contamination.add(&rows);
        contamination
    }

    #[test]
    fn a_shared_passage_is_found_with_the_row_that_holds_it() {
        let tests = [
            "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。",
            "The quick brown fox jumps over the lazy dog while the sun sets behind the hills.",
        ];
        let contamination = contamination(&tests);
        let found = contamination.find("王之渙寫道：白日依山盡，黃河入海流，欲窮千里目更上一層樓。").unwrap();
        assert_eq!((found.with.as_str(), found.passage.as_str()), ("t0", "白日依山盡黃河入海流欲窮千里目"));
        let found = contamination
            .find("He typed: THE QUICK brown fox, jumps over the lazy dog -- while the sun sets.")
            .unwrap();
        assert_eq!(found.with, "t1");
        for clean in ["白日依山盡，黃河入海流。", "The quick brown fox jumps over the cat.", "", "。"] {
            assert_eq!(contamination.find(clean), None, "{clean}");
        }
    }

    #[test]
    fn a_test_row_shorter_than_a_passage_is_found_as_a_whole() {
        let contamination = contamination(&["春眠不覺曉處處聞啼鳥"]);
        assert!(contamination.find("春眠不覺曉，處處聞啼鳥！").is_some());
        assert!(Contamination::new(Widths { han: 2, other: 50 }).is_err());
    }
}

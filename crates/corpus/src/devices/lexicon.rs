//! The words: five attributes of a device with their values, and details that decorate a description.
//!
//! The tables are text files beside this one, Chinese and English side by side. A *value* carries the word
//! that a title uses; its *clues* are the phrases by which a description says the same. Clues of `feature`,
//! `form` and `energy` are predicates of the device, clues of `function` hold a place for the object, and
//! clues of `object` are noun phrases of which the first is the plain name.

use std::sync::LazyLock;

use super::Language;

/// A word or phrase in both languages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    zh: &'static str,
    en: &'static str,
}

impl Pair {
    pub(crate) fn of(self, language: Language) -> &'static str {
        match language {
            Language::Chinese => self.zh,
            Language::English => self.en,
        }
    }
}

/// One value of an attribute.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) title: Pair,
    pub(crate) clues: Vec<Pair>,
}

/// All values of all attributes, and the details.
pub(crate) struct Lexicon {
    pub(crate) feature: Vec<Value>,
    pub(crate) form: Vec<Value>,
    pub(crate) energy: Vec<Value>,
    pub(crate) object: Vec<Value>,
    pub(crate) function: Vec<Value>,
    pub(crate) materials: Vec<Pair>,
    pub(crate) parts: Vec<Pair>,
    pub(crate) places: Vec<Pair>,
}

/// The lexicon of this crate, read once.
pub(crate) static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| Lexicon {
    feature: table(include_str!("lexicon/feature.txt")),
    form: table(include_str!("lexicon/form.txt")),
    energy: table(include_str!("lexicon/energy.txt")),
    object: table(include_str!("lexicon/object.txt")),
    function: table(include_str!("lexicon/function.txt")),
    materials: details(include_str!("lexicon/material.txt")),
    parts: details(include_str!("lexicon/part.txt")),
    places: details(include_str!("lexicon/place.txt")),
});

/// Reads a table; a line that is wrong is a fault of this crate's own files, which its tests would show.
fn table(text: &'static str) -> Vec<Value> {
    let mut values: Vec<Value> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (zh, en) = line.split_once(" | ").expect("a lexicon line is `Chinese | English`");
        let pair = Pair { zh: zh.trim(), en };
        if line.starts_with(' ') {
            values.last_mut().expect("a clue stands under a value").clues.push(pair);
        } else {
            values.push(Value { title: pair, clues: Vec::new() });
        }
    }
    values
}

/// Reads a table of words without clues.
fn details(text: &'static str) -> Vec<Pair> {
    table(text).into_iter().map(|value| value.title).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const LANGUAGES: [Language; 2] = [Language::Chinese, Language::English];

    fn attributes() -> [(&'static str, &'static [Value]); 5] {
        let lexicon = &*LEXICON;
        [
            ("feature", &lexicon.feature),
            ("form", &lexicon.form),
            ("energy", &lexicon.energy),
            ("object", &lexicon.object),
            ("function", &lexicon.function),
        ]
    }

    #[test]
    fn every_attribute_has_enough_values_and_every_value_its_clues() {
        for (name, values) in attributes() {
            assert!((12..=40).contains(&values.len()), "{name}: {} values", values.len());
            let clues = if name == "object" { 2 } else { 3 };
            for value in values {
                assert_eq!(value.clues.len(), clues, "{name}: {}", value.title.zh);
            }
        }
        for details in [&LEXICON.materials, &LEXICON.parts, &LEXICON.places] {
            assert!(details.len() >= 12);
        }
    }

    #[test]
    fn no_title_word_is_used_twice_and_none_begins_another_of_its_attribute() {
        for language in LANGUAGES {
            let mut seen = HashSet::new();
            for (name, values) in attributes() {
                for value in values {
                    let word = value.title.of(language);
                    assert!(seen.insert(word), "{name}: {word} stands twice");
                    // Without this, two combinations could share a title.
                    let begun = values.iter().map(|other| other.title.of(language));
                    assert_eq!(begun.filter(|other| other.starts_with(word)).count(), 1, "{word}");
                }
            }
        }
    }

    #[test]
    fn every_clue_points_to_one_value_and_hides_in_no_clue_of_another() {
        for language in LANGUAGES {
            let mut seen = HashSet::new();
            for (name, values) in attributes() {
                let clues = || {
                    let numbered = values.iter().enumerate();
                    numbered.flat_map(|(number, value)| value.clues.iter().map(move |clue| (number, clue.of(language))))
                };
                for (number, clue) in clues() {
                    assert!(seen.insert(clue), "{name}: {clue} stands twice");
                    for (other, text) in clues().filter(|&(other, _)| other != number) {
                        assert!(!text.contains(clue), "{clue} ({number}) hides in {text} ({other})");
                    }
                }
            }
        }
    }

    #[test]
    fn a_clue_of_a_function_holds_one_place_for_the_object() {
        for value in &LEXICON.function {
            for clue in &value.clues {
                for language in LANGUAGES {
                    assert_eq!(clue.of(language).matches("{}").count(), 1, "{clue:?}");
                }
            }
        }
    }

    #[test]
    fn no_clue_names_the_title_word_of_another_value_of_its_attribute() {
        for (name, values) in attributes() {
            for value in values {
                for other in values.iter().filter(|other| other.title.zh != value.title.zh) {
                    for clue in &value.clues {
                        assert!(!clue.zh.contains(other.title.zh), "{name}: {}", clue.zh);
                        assert!(!clue.en.contains(other.title.en), "{name}: {}", clue.en);
                    }
                }
            }
        }
    }
}

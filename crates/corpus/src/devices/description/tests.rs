//! What must hold for every description, proved on thousands.

use std::collections::{HashMap, HashSet};

use super::super::lexicon::{LEXICON, Value};
use super::super::{DeviceRow, Side, rows};
use super::*;

fn sample() -> Vec<DeviceRow> {
    rows(42, 4_000, Side::Train).chain(rows(43, 1_000, Side::Test)).collect()
}

/// Values one of whose clues stands in the text.
fn told(values: &[Value], text: &str, language: Language) -> Vec<usize> {
    let says = |value: &Value| value.clues.iter().any(|clue| text.contains(clue.of(language)));
    (0..values.len()).filter(|&index| says(&values[index])).collect()
}

/// Pairs (object, function) of which the text holds a whole function clause.
fn tasks_told(text: &str, language: Language) -> Vec<(usize, usize)> {
    let mut found = HashSet::new();
    for (function, value) in LEXICON.function.iter().enumerate() {
        for clue in &value.clues {
            let (before, after) = clue.of(language).split_once("{}").expect("a place");
            for (object, value) in LEXICON.object.iter().enumerate() {
                for noun in &value.clues {
                    if text.contains(&format!("{before}{}{after}", noun.of(language))) {
                        found.insert((object, function));
                    }
                }
            }
        }
    }
    found.into_iter().collect()
}

/// The rule-based reader: the title as far as the clues of the description decide it.
fn solved(text: &str, language: Language) -> Option<String> {
    let only = |found: Vec<usize>| (found.len() == 1).then(|| found[0]);
    let tasks = tasks_told(text, language);
    let &[(object, function)] = tasks.as_slice() else { return None };
    let device = Device {
        feature: only(told(&LEXICON.feature, text, language))?,
        form: only(told(&LEXICON.form, text, language))?,
        energy: only(told(&LEXICON.energy, text, language))?,
        object,
        function,
    };
    Some(device.title(language))
}

#[test]
fn a_reader_who_knows_the_clues_finds_every_title() {
    for row in sample().iter().step_by(5) {
        let title = solved(&row.input, row.language);
        assert_eq!(title.as_deref(), Some(row.output.as_str()), "{}", row.input);
    }
}

#[test]
fn one_description_never_has_two_titles() {
    let mut titles: HashMap<String, String> = HashMap::new();
    for row in sample() {
        if let Some(title) = titles.insert(row.input, row.output.clone()) {
            assert_eq!(title, row.output);
        }
    }
}

#[test]
fn no_title_can_be_copied_from_its_description() {
    let sample = sample();
    let lowered = |row: &DeviceRow| (row.input.to_lowercase(), row.output.to_lowercase());
    let verbatim = sample.iter().map(lowered).filter(|(input, output)| input.contains(output));
    assert_eq!(verbatim.count(), 0);
    for language in [Language::Chinese, Language::English] {
        let of_language = || sample.iter().filter(|row| row.language == language);
        let (mut whole, mut words, mut characters, mut character_total) = (0, 0, 0, 0);
        for row in of_language() {
            let text = row.input.to_lowercase();
            let held = row.attributes.words().map(|value| text.contains(value.title.of(language)));
            words += held.iter().filter(|&&held| held).count();
            whole += usize::from(held.iter().all(|&held| held));
            character_total += row.output.chars().count();
            characters += row.output.chars().filter(|&character| text.contains(character)).count();
        }
        let rows = of_language().count();
        let word_share = words as f64 / (5 * rows) as f64;
        let whole_share = whole as f64 / rows as f64;
        eprintln!(
            "{language:?}: {:.1} % of the title words and {:.1} % of the title's characters stand in the description; \
             in {:.2} % of the rows all five words do",
            100.0 * word_share,
            100.0 * characters as f64 / character_total as f64,
            100.0 * whole_share,
        );
        assert!(word_share < 0.5, "{word_share}");
        assert!(whole_share < 0.03, "{whole_share}");
    }
}

#[test]
fn decoys_name_wrong_words_in_many_descriptions() {
    let sample = sample();
    let misled = sample.iter().filter(|row| {
        let words = &*LEXICON;
        let tables = [&words.feature, &words.form, &words.energy, &words.object, &words.function];
        let own = row.attributes.words();
        tables.iter().zip(own).any(|(values, own)| {
            values.iter().any(|value| {
                let word = value.title.of(row.language);
                word != own.title.of(row.language) && row.input.contains(word)
            })
        })
    });
    let share = misled.count() as f64 / sample.len() as f64;
    eprintln!("{:.1} % of the descriptions hold a title word of another device", 100.0 * share);
    assert!((0.4..0.8).contains(&share), "{share}");
}

#[test]
fn lengths_fit_a_small_model() {
    let spread = |lengths: &mut Vec<usize>| {
        lengths.sort_unstable();
        (lengths[0], lengths[lengths.len() / 2], lengths[lengths.len() - 1])
    };
    let (mut zh, mut zh_title, mut en, mut en_title) = (vec![], vec![], vec![], vec![]);
    for row in sample() {
        match row.language {
            Language::Chinese => {
                zh.push(row.input.chars().count());
                zh_title.push(row.output.chars().count());
            }
            Language::English => {
                en.push(row.input.split(' ').count());
                en_title.push(row.output.split(' ').count());
            }
        }
    }
    for (name, lengths, low, high) in [
        ("Chinese description, characters", &mut zh, 60, 140),
        ("Chinese title, characters", &mut zh_title, 8, 16),
        ("English description, words", &mut en, 30, 80),
        ("English title, words", &mut en_title, 4, 7),
    ] {
        let (shortest, median, longest) = spread(lengths);
        eprintln!("{name}: {shortest} to {longest}, median {median}");
        assert!(shortest >= low && longest <= high, "{name}: {shortest} to {longest}");
    }
}

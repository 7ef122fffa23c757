//! What must hold for rows, and for rows beside pretraining text.

use std::collections::HashSet;

use super::super::pretraining_text;
use super::super::script::{assert_english, assert_traditional};
use super::*;

#[test]
fn the_same_seed_gives_the_same_rows_and_fewer_rows_begin_more() {
    let hundred: Vec<_> = rows(42, 100, Side::Train).collect();
    assert_eq!(hundred, rows(42, 100, Side::Train).collect::<Vec<_>>());
    assert_eq!(hundred[..30], rows(42, 30, Side::Train).collect::<Vec<_>>());
    assert_ne!(hundred, rows(43, 100, Side::Train).collect::<Vec<_>>());
    let texts = |seed| pretraining_text(seed, 50).collect::<Vec<_>>();
    assert_eq!(texts(1), texts(1));
    assert_eq!(texts(1)[..20], pretraining_text(1, 20).collect::<Vec<_>>());
    assert_ne!(texts(1), texts(2));
}

#[test]
fn the_first_rows_of_a_seed_are_the_same_on_every_machine() {
    let written: String =
        rows(42, 4, Side::Train).map(|row| format!("{}\n{}\n{}\n\n", row.instruction, row.input, row.output)).collect();
    assert_eq!(written, include_str!("golden.txt"));
}

#[test]
fn no_row_and_no_combination_comes_twice() {
    let (mut devices, mut inputs) = (HashSet::new(), HashSet::new());
    for row in rows(42, 20_000, Side::Train) {
        assert!(devices.insert(row.attributes), "{row:?}");
        assert!(inputs.insert(row.input.clone()), "{row:?}");
    }
}

#[test]
fn test_combinations_occur_in_no_training_row_and_no_pretraining_text() {
    let test: Vec<DeviceRow> = rows(7, 1_000, Side::Test).collect();
    let titles: HashSet<String> = test
        .iter()
        .flat_map(|row| [Language::Chinese, Language::English].map(|l| row.attributes.title(l)))
        .map(|title| title.to_lowercase())
        .collect();
    for row in rows(42, 10_000, Side::Train) {
        assert_eq!(row.attributes.side(), Side::Train);
        assert!(!titles.contains(&row.output.to_lowercase()), "{}", row.output);
    }
    let text = pretraining_text(42, 10_000).collect::<Vec<_>>().join("\n").to_lowercase();
    for title in &titles {
        assert!(!text.contains(title), "{title}");
    }
}

#[test]
fn pretraining_text_never_shows_the_task() {
    for text in pretraining_text(5, 10_000) {
        for instruction in INSTRUCTIONS_ZH.iter().chain(INSTRUCTIONS_EN) {
            assert!(!text.contains(instruction), "{text}");
        }
        for word in ["title", "###", "命名", "名稱"] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
}

#[test]
fn rows_and_texts_are_traditional_chinese_and_well_formed_english() {
    for row in rows(42, 5_000, Side::Train) {
        let text = format!("{}\n{}\n{}", row.instruction, row.input, row.output);
        match row.language {
            Language::Chinese => assert_traditional(&text),
            Language::English => assert_english(&text),
        }
    }
    for text in pretraining_text(42, 5_000) {
        if text.is_ascii() { assert_english(&text) } else { assert_traditional(&text) }
    }
}

#[test]
fn six_rows_in_ten_are_chinese() {
    let chinese = rows(42, 10_000, Side::Train).filter(|row| row.language == Language::Chinese);
    assert!((5_800..6_200).contains(&chinese.count()));
}

#[test]
fn a_readme_can_show_three_rows_of_each_language() {
    let examples = readme_examples();
    let chinese = examples.iter().filter(|row| row.language == Language::Chinese).count();
    assert_eq!((examples.len(), chinese), (6, 3));
    assert!(examples.iter().all(|row| row.attributes.side() == Side::Test));
}

#[test]
fn the_sides_together_are_all_combinations() {
    let (train, test) = (combinations_of(Side::Train), combinations_of(Side::Test));
    eprintln!("{} combinations: {train} train, {test} test", combinations());
    assert_eq!(train + test, combinations());
    assert!(test > 500_000);
}

#[test]
#[ignore = "prints rows and documents for a reader"]
fn rows_and_documents_are_shown() {
    for row in rows(42, 4, Side::Train) {
        eprintln!("{}\n{}\n{}\n", row.instruction, row.input, row.output);
    }
    for row in readme_examples() {
        eprintln!("{}\n  {}\n  => {}\n", row.instruction, row.input, row.output);
    }
    for text in pretraining_text(3, 40) {
        eprintln!("- {text}");
    }
}

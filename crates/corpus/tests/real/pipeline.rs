//! A data set of 57,607 poems: five phrasings of one task, split by poet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use luthier_corpus::Source;
use luthier_corpus::build::{Apart, BuildLedger, Collected, Duplicates, Outcome, Phrasing, Pipeline, Sides};
use luthier_corpus::clean::{ControlCharacters, Length, Over};
use luthier_corpus::duplicates::{Contamination, NearOptions};
use luthier_fixtures::{announce, shared};
use serde_json::Value;

const PHRASINGS: [&str; 5] =
    ["請為這首唐詩擬一個題目。", "這首詩題為何？", "為此詩命題。", "替這首詩取題：", "讀後寫出詩題。"];

fn pipeline(file: &Path) -> Pipeline {
    let over = || Over::fields(["paragraphs"]);
    let phrasing = |instruction: &&str| Phrasing {
        instruction: (*instruction).to_owned(),
        input: "{{ paragraphs }}".to_owned(),
        output: "{{ title }}".to_owned(),
        ..Phrasing::default()
    };
    Pipeline {
        name: "tang".into(),
        about: None,
        sources: vec![Collected {
            source: Source::new(file),
            name: "tang.jsonl".into(),
            commit: None,
            licence: Some("MIT".into()),
            about: None,
        }],
        steps: vec![Box::new(ControlCharacters::default()), Box::new(Length { least: 10, most: 600, over: over() })],
        duplicates: Duplicates { exact: true, near: Some(NearOptions::default()), over: over() },
        sides: Sides::new(0.05, Some("author".into()), 7).expect("a share"),
        apart: Some(Apart { widths: Contamination::WIDTHS, over: over(), against: Vec::new() }),
        phrasings: PHRASINGS.iter().map(phrasing).collect(),
        cuts: Vec::new(),
        choice: None,
        seed: 7,
        recipe: None,
    }
}

fn build(file: &Path, folder: &Path) -> BuildLedger {
    pipeline(file).build(folder, &mut |_| ()).unwrap_or_else(|error| panic!("{error}"))
}

fn rows(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("the build wrote it");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn poems_become_rows_of_title_generation_that_balance_and_come_out_the_same_again() {
    let Some(file) = shared("data/tang-poems-trad/tang.jsonl") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let begin = Instant::now();
    let ledger = build(&file, &first);
    announce(&format!("57,607 poems in {:.1} s: {}", begin.elapsed().as_secs_f64(), ledger.summary()));
    assert_eq!((ledger.came().records, ledger.came().documents()), (57_607, 57_607));
    ledger.balance().expect("it balances");

    let authors: BTreeMap<String, String> = Source::new(&file)
        .documents()
        .expect("it opens")
        .map(|document| document.expect("a poem"))
        .map(|document| (document.id.clone(), document.text("author").to_owned()))
        .collect();
    let (train, test) = (rows(&first.join("train.jsonl")), rows(&first.join("test.jsonl")));
    assert_eq!(train.len() as u64, ledger.count(Outcome::Train));
    assert_eq!(test.len() as u64, ledger.count(Outcome::Test));
    let poets = |rows: &[Value]| -> BTreeSet<String> {
        rows.iter().map(|row| authors[row["id"].as_str().expect("an id")].clone()).collect()
    };
    assert!(train.len() > 40_000 && test.len() > 500, "{} and {}", train.len(), test.len());
    assert_eq!(poets(&train).intersection(&poets(&test)).next(), None);
    for phrasing in PHRASINGS {
        let count = train.iter().filter(|row| row["instruction"] == phrasing).count();
        assert!((0.18..0.22).contains(&(count as f64 / train.len() as f64)), "{phrasing}: {count}");
    }

    build(&file, &second);
    for name in ["train.jsonl", "test.jsonl", "ledger.jsonl", "ledger.json", "card.md"] {
        let bytes = [&first, &second].map(|folder| std::fs::read(folder.join(name)).expect(name));
        assert!(bytes[0] == bytes[1], "{name}");
    }
}

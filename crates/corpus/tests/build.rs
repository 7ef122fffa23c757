//! Data sets built of small sources made here: every record has its line in the ledger, and the totals balance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use luthier_corpus::build::{Apart, BuildLedger, Choice, Collected, Duplicates, Outcome, Phrasing, Pipeline, Sides};
use luthier_corpus::clean::{ControlCharacters, Length, Over};
use luthier_corpus::duplicates::{Contamination, NearOptions};
use luthier_corpus::{CorpusError, Source};
use serde_json::{Value, json};

fn collected(path: PathBuf) -> Collected {
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    Collected { source: Source::new(path), name, commit: None, licence: Some("CC0".into()), about: None }
}

/// A pipeline that keeps all that can be read.
fn pipeline(sources: Vec<Collected>) -> Pipeline {
    Pipeline {
        name: "small".into(),
        about: None,
        sources,
        steps: Vec::new(),
        duplicates: Duplicates { exact: false, near: None, over: Over::AllText },
        sides: Sides::new(0.0, None, 1).expect("a share"),
        apart: None,
        phrasings: Vec::new(),
        cuts: Vec::new(),
        choice: None,
        seed: 1,
        recipe: Some("name = \"small\"\n".into()),
    }
}

fn phrasing(instruction: &str) -> Phrasing {
    let text = str::to_owned;
    Phrasing {
        instruction: text(instruction),
        input: text("{{ body }}"),
        output: text("{{ title }}"),
        ..Phrasing::default()
    }
}

fn build(pipeline: Pipeline, folder: &Path) -> BuildLedger {
    pipeline.build(folder, &mut |_| ()).unwrap_or_else(|error| panic!("{error}"))
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn outcomes(ledger: &BuildLedger) -> BTreeMap<&'static str, u64> {
    ledger.outcomes.iter().map(|(outcome, count)| (outcome.name(), *count)).collect()
}

fn write(folder: &Path, name: &str, rows: &[Value]) -> PathBuf {
    let path = folder.join(name);
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn every_fate_is_in_the_ledger_and_the_totals_balance() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let body = |i: usize| {
        format!("第{i}篇說的是很久以前的一個故事，主角在山裡走了{}天，遇見了{}個人。", i * 37 % 100, i * 53 % 90)
    };
    let mut text = String::new();
    for i in 0..40 {
        text += &json!({"id": format!("p{i}"), "body": body(i * 1000 + i * i), "title": format!("題{i}")}).to_string();
        text.push('\n');
    }
    text += "not JSON\n";
    text += &(json!({"id": "empty", "body": "短", "title": "題"}).to_string() + "\n");
    text += &(json!({"id": "twin", "body": format!(" {} ", body(0)), "title": "再題"}).to_string() + "\n");
    text += &(json!({"id": "near", "body": body(1001).replace("很久", "好久"), "title": "近題"}).to_string() + "\n");
    text += &(json!({"id": "untitled", "body": "沒有題目的一篇，說的是另一件完全不同的事情，與別的都不像。"})
        .to_string()
        + "\n");
    let path = folder.path().join("rows.jsonl");
    std::fs::write(&path, text).expect("written");
    let made = Pipeline {
        steps: vec![
            Box::new(ControlCharacters::default()),
            Box::new(Length { least: 5, most: 1000, over: Over::fields(["body"]) }),
        ],
        duplicates: Duplicates { exact: true, near: Some(NearOptions::default()), over: Over::fields(["body"]) },
        phrasings: vec![phrasing("擬題："), phrasing("題目是？")],
        ..pipeline(vec![collected(path)])
    };
    let out = folder.path().join("out");
    let ledger = build(made, &out);
    ledger.balance().expect("it balances");
    let found = outcomes(&ledger);
    assert_eq!(found["faulty"], 1);
    assert_eq!(found["dropped"], 1);
    assert_eq!(found["duplicate"], 1);
    assert_eq!(found["no-row"], 1);
    assert!(found["near-duplicate"] >= 1, "{found:?}");
    assert_eq!(found.values().sum::<u64>(), 45);

    let entries = lines(&out.join("ledger.jsonl"));
    assert_eq!(entries.len(), 45);
    let of = |id: &str| entries.iter().find(|entry| entry["id"] == id).unwrap_or_else(|| panic!("{id}"));
    assert_eq!(of("near")["outcome"], "near-duplicate");
    assert!(
        of("near")["reason"].as_str().expect("a reason").contains("differ from p1 (rows.jsonl:2)"),
        "{}",
        of("near")
    );
    assert_eq!(of("twin")["reason"], "the same as p0 (rows.jsonl:1)");
    assert_eq!(of("empty")["step"], "length");
    assert!(of("untitled")["reason"].as_str().expect("a reason").contains("phrasing"), "{}", of("untitled"));
    let fault = entries.iter().find(|entry| entry["outcome"] == "faulty").expect("one");
    assert_eq!((&fault["source"]["file"], &fault["source"]["line"]), (&json!("rows.jsonl"), &json!(41)));

    let rows = lines(&out.join("train.jsonl"));
    assert_eq!(rows.len() as u64, ledger.count(Outcome::Train));
    assert_eq!(rows[0]["source"], json!({"file": "rows.jsonl", "line": 1}));
    assert_eq!((&rows[0]["input"], &rows[0]["output"]), (&json!(body(0)), &json!("題0")));
    let drawn: std::collections::BTreeSet<&str> = rows.iter().filter_map(|row| row["instruction"].as_str()).collect();
    assert_eq!(drawn.into_iter().collect::<Vec<_>>(), ["擬題：", "題目是？"]);
    assert!(!out.join("test.jsonl").exists() && !out.join("documents.waiting").exists());
    let card = std::fs::read_to_string(out.join("card.md")).expect("a card");
    for words in ["| `rows.jsonl` | CC0 | 45 |", "| length | 44 |", "near-duplicate", "擬題", "name = \"small\""] {
        assert!(card.contains(words), "{words} is not in:\n{card}");
    }
    assert_eq!(std::fs::read_to_string(out.join("recipe.toml")).expect("kept"), "name = \"small\"\n");
}

#[test]
fn training_rows_that_share_a_passage_with_the_test_side_are_left_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let passage = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。";
    let row =
        |i: usize, body: &str| json!({"id": format!("r{i}"), "group": i.to_string(), "body": body, "title": "題"});
    let rows: Vec<Value> = (0..60)
        .map(|i| {
            row(
                i,
                &if i % 6 == 0 {
                    format!("第{i}次抄寫：{passage}")
                } else {
                    format!("第{i}篇是自己寫的，與別人無關{i}")
                },
            )
        })
        .collect();
    let path = write(folder.path(), "rows.jsonl", &rows);
    let other = write(
        folder.path(),
        "other.jsonl",
        &[json!({"id": "t", "text": "第7篇是自己寫的，與別人無關7，如此而已，這是別的測試集"})],
    );
    let made = |against: Vec<Collected>| Pipeline {
        sides: Sides::new(0.3, Some("group".into()), 5).expect("a share"),
        apart: Some(Apart { widths: Contamination::WIDTHS, over: Over::fields(["body", "text"]), against }),
        phrasings: vec![phrasing("擬題：")],
        ..pipeline(vec![collected(path.clone())])
    };
    let out = folder.path().join("out");
    let ledger = build(made(Vec::new()), &out);
    let test = lines(&out.join("test.jsonl"));
    assert!(
        test.iter().any(|row| row["input"].as_str().is_some_and(|input| input.contains(passage))),
        "one of ten is drawn"
    );
    for row in lines(&out.join("train.jsonl")) {
        assert!(!row["input"].as_str().expect("a text").contains(passage), "{row}");
    }
    let held_out =
        test.iter().filter(|row| row["input"].as_str().is_some_and(|input| input.contains(passage))).count() as u64;
    assert_eq!(ledger.count(Outcome::Contaminated), 10 - held_out);
    let again = build(made(vec![collected(other)]), &folder.path().join("again"));
    let only_other = again.count(Outcome::Contaminated) - ledger.count(Outcome::Contaminated);
    assert!(only_other <= 1 && again.count(Outcome::Train) + only_other == ledger.count(Outcome::Train));
}

#[test]
fn drawn_and_balanced_rows_are_as_many_as_asked_and_the_others_are_in_the_ledger() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows: Vec<Value> = (0..90)
        .map(|i| json!({"id": format!("r{i}"), "kind": if i % 9 == 0 { "rare" } else { "frequent" }, "instruction": format!("問{i}"), "output": format!("答{i}")}))
        .collect();
    let path = write(folder.path(), "rows.jsonl", &rows);
    let made = |choice| Pipeline { choice: Some(choice), ..pipeline(vec![collected(path.clone())]) };
    let out = folder.path().join("level");
    let ledger = build(made(Choice { by: Some("kind".into()), level: true, seed: 1, ..Choice::default() }), &out);
    assert_eq!((ledger.count(Outcome::Train), ledger.count(Outcome::NotDrawn)), (20, 70));
    assert_eq!(lines(&out.join("train.jsonl")).len(), 20);
    assert_eq!(lines(&out.join("ledger.jsonl")).len(), 90);
    let card = std::fs::read_to_string(out.join("card.md")).expect("a card");
    assert!(
        card.contains("| train | train.jsonl | 20 | 3.") || card.contains("| train | train.jsonl | 20 | 2."),
        "{card}"
    );
    let ledger = build(made(Choice { most: Some(33), seed: 1, ..Choice::default() }), &folder.path().join("some"));
    assert_eq!((ledger.count(Outcome::Train), ledger.count(Outcome::NotDrawn)), (33, 57));
}

#[test]
fn the_same_bytes_come_of_any_number_of_threads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows: Vec<Value> = (0..3000)
        .map(|i| json!({"id": i, "body": format!("{} {}", i % 700, "文字".repeat(i % 13)), "title": format!("題{}", i % 50)}))
        .collect();
    let path = write(folder.path(), "rows.jsonl", &rows);
    let made = || Pipeline {
        duplicates: Duplicates { exact: true, near: Some(NearOptions::default()), over: Over::fields(["body"]) },
        sides: Sides::new(0.2, Some("title".into()), 5).expect("a share"),
        apart: Some(Apart { widths: Contamination::WIDTHS, over: Over::fields(["body"]), against: Vec::new() }),
        phrasings: (0..5).map(|i| phrasing(&format!("說法{i}："))).collect(),
        choice: Some(Choice { most: Some(200), seed: 5, ..Choice::default() }),
        ..pipeline(vec![collected(path.clone())])
    };
    let outs: Vec<PathBuf> = [1, 2, 5].map(|threads| folder.path().join(threads.to_string())).into();
    for (threads, out) in [1, 2, 5].into_iter().zip(&outs) {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| build(made(), out));
    }
    for name in ["train.jsonl", "test.jsonl", "ledger.jsonl", "ledger.json", "card.md", "recipe.toml"] {
        let bytes = outs.iter().map(|out| std::fs::read(out.join(name)).expect(name)).collect::<Vec<_>>();
        assert!(bytes[0] == bytes[1] && bytes[0] == bytes[2], "{name}");
    }
}

#[test]
fn a_build_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let good = write(folder.path(), "rows.jsonl", &[json!({"instruction": "問", "output": "答"})]);
    let out = folder.path().join("out");
    let missing = pipeline(vec![collected(good.clone()), collected(folder.path().join("absent.jsonl"))]);
    let error = missing.build(&out, &mut |_| ()).expect_err("a source is missing");
    assert!(matches!(&error, CorpusError::Read { path, .. } if path.ends_with("absent.jsonl")), "{error}");
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path()).expect("listed").map(|entry| entry.expect("an entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["rows.jsonl"]);
    build(pipeline(vec![collected(good.clone())]), &out);
    let error = pipeline(vec![collected(good)]).build(&out, &mut |_| ()).expect_err("it is there");
    assert!(error.to_string().contains("it is there already"), "{error}");
}

#[test]
fn conversations_stay_conversations() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let messages = json!([
        {"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好！"},
        {"role": "user", "content": "再見"}, {"role": "assistant", "content": "再見！"}
    ]);
    let path = write(folder.path(), "chat.jsonl", &[json!({"id": "c", "messages": messages})]);
    let out = folder.path().join("out");
    let ledger = build(pipeline(vec![collected(path)]), &out);
    assert_eq!(ledger.count(Outcome::Train), 1);
    assert_eq!(lines(&out.join("train.jsonl"))[0]["messages"], messages);
}

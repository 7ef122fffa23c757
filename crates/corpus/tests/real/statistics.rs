//! Statistics of real data sets, beside what their sources and other programs say of them.

use std::path::Path;
use std::time::Instant;

use luthier_corpus::FileFormat;
use luthier_corpus::statistics::{DataSet, Difference, Options, ScriptOf, Statistics};
use luthier_fixtures::{announce, shared};

fn statistics(path: &Path) -> Statistics {
    let set = DataSet::open(path, FileFormat::Auto).unwrap_or_else(|error| panic!("{error}"));
    let options = Options { pairs: 3, examples: 2, faults: 40, ..Options::default() };
    Statistics::of(&set, &options, &mut |_, _| ()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn alpaca_is_counted_as_sorted_lists_count_it() {
    let Some(file) = shared("data/stanford-alpaca/alpaca_data.json") else { return };
    let begin = Instant::now();
    let found = statistics(&file);
    announce(&format!("52,002 alpaca rows in {:.1} s", begin.elapsed().as_secs_f64()));
    assert_eq!((found.tally.records, found.tally.documents(), found.tally.faults()), (52_002, 51_974, 28));
    assert_eq!(found.faults.len(), 28);
    // The same rows, all held in lists.
    let rows: Vec<serde_json::Value> = {
        let bytes = std::fs::read(&file).expect("it was read before");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    let text = |row: &serde_json::Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let good: Vec<_> = rows.iter().filter(|row| !text(row, "output").trim().is_empty()).collect();
    let mut lengths: Vec<u64> = good.iter().map(|row| text(row, "output").chars().count() as u64).collect();
    lengths.sort_unstable();
    let outputs = &found.outputs.characters;
    assert_eq!((outputs.least(), outputs.most()), (lengths[0], lengths[lengths.len() - 1]));
    assert_eq!(outputs.quantile(0.5), lengths[lengths.len().div_ceil(2) - 1]);
    assert_eq!(outputs.sum(), lengths.iter().sum::<u64>());
    let input = found.fields.iter().find(|field| field.name == "input").expect("a field");
    assert_eq!(input.filled, good.iter().filter(|row| !text(row, "input").trim().is_empty()).count() as u64);
    let english = found.languages[&Some("en")] as f64 / found.tally.documents() as f64;
    assert!(english > 0.95, "{:?}", found.languages);
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut pairs: Vec<(String, String)> = (good.iter())
        .map(|row| {
            let prompt = [text(row, "instruction"), text(row, "input")].map(words).join(" ");
            (prompt.trim().to_owned(), words(text(row, "output")))
        })
        .collect();
    pairs.sort_unstable();
    let repeated = pairs.windows(2).filter(|two| two[0] == two[1]).count() as u64;
    assert_eq!(found.repeats.rows, repeated);
    let prompts = pairs.chunk_by(|a, b| a.0 == b.0).filter(|group| group.iter().any(|one| one.1 != group[0].1));
    assert_eq!(found.conflicts.prompts, prompts.count() as u64);
    let most = found.often_output.most(1).remove(0);
    assert_eq!(most.count, good.iter().filter(|row| text(row, "output").trim() == most.text).count() as u64);
    assert_eq!(found.instructions.different(), Some(51_974));
}

#[test]
fn tang_poems_are_traditional_chinese_and_each_is_its_own_version() {
    let Some(file) = shared("data/tang-poems-trad/tang.jsonl") else { return };
    let found = statistics(&file);
    assert_eq!(found.tally.documents["columns"], 57_607);
    let traditional = found.scripts[&ScriptOf::Traditional] as f64 / 57_607.0;
    assert!(traditional > 0.95, "{:?}", found.scripts);
    assert!(found.languages[&Some("zh")] > 57_000, "{:?}", found.languages);
    assert_eq!((found.conflicts.prompts, found.prompts.characters.count()), (0, 0));
    let set = DataSet::open(&file, FileFormat::Auto).expect("it opens");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut lines: Vec<String> =
        std::fs::read_to_string(&file).expect("it was read before").lines().rev().map(str::to_owned).collect();
    let (removed, changed) = (lines.remove(100), lines[7].replacen("，", "、", 1));
    assert_ne!(changed, lines[7]);
    lines[7] = changed;
    let other = folder.path().join("other.jsonl");
    std::fs::write(&other, lines.join("\n")).expect("a file is written");
    let other = DataSet::open(&other, FileFormat::Auto).expect("it opens");
    let found = Difference::of(&set, &other, 2, &mut |_, _| ()).expect("both are read");
    assert_eq!((found.both, found.rewritten, found.only_a, found.only_b), (57_605, 1, 1, 0));
    let title = found.examples.only_a[0].text("title").to_owned();
    assert!(!title.is_empty() && removed.contains(&title), "{title}");
}

#[test]
fn every_kind_of_shared_file_is_told() {
    let Some(data) = shared("data") else { return };
    for (path, rows) in [
        ("belle", 1000 + 11 + 175),
        ("drcd", 3524 + 3493),
        ("ntu-adl2023-hw3/train.json", 10_000),
        ("ud-pud-zh-en/zh_pud-ud-test.conllu", 1000),
        ("commoncrawl-whirlwind/whirlwind.warc.gz", 1),
        ("commoncrawl-whirlwind/whirlwind.warc.wet", 1),
    ] {
        let found = statistics(&data.join(path));
        assert!(found.tally.documents() >= rows, "{path}: {:?}", found.tally);
        assert_eq!(found.languages.values().sum::<u64>(), found.tally.documents(), "{path}");
    }
}

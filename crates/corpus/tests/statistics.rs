//! What a data set holds and what changed between two, on small files of the tests' own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use luthier_corpus::duplicates::NearOptions;
use luthier_corpus::statistics::{
    DataSet, Difference, Labels, NearSearch, Options, Pair, Rendering, ScriptOf, Statistics, messages_of,
};
use luthier_corpus::{FileFormat, Position, Side};
use luthier_fixtures::model;
use luthier_text::{Renderer, Template, Tokenizer};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder is made");
        std::fs::write(&path, text).expect("a file is written");
        path
    }
}

fn open(path: &Path) -> DataSet {
    DataSet::open(path, FileFormat::Auto).unwrap_or_else(|error| panic!("{error}"))
}

fn statistics(path: &Path, options: &Options<'_>) -> Statistics {
    Statistics::of(&open(path), options, &mut |_, _| ()).unwrap_or_else(|error| panic!("{error}"))
}

fn difference(a: &Path, b: &Path) -> Difference {
    Difference::of(&open(a), &open(b), 9, &mut |_, _| ()).unwrap_or_else(|error| panic!("{error}"))
}

const ROWS: &str = concat!(
    "{\"instruction\": \"翻譯\", \"input\": \"雨傘\", \"output\": \"umbrella\"}\n",
    "{\"instruction\": \"翻譯\", \"input\": \"提燈\", \"output\": \"lantern\"}\n",
    "not json\n",
    "{\"instruction\": \"翻譯\", \"input\": \"雨傘\", \"output\": \" umbrella\"}\n",
    "{\"instruction\": \"翻譯\", \"input\": \"雨傘\", \"output\": \"parasol\"}\n",
    "{\"instruction\": \"Sing.\", \"input\": \"\", \"output\": \"\"}\n",
    "{\"instruction\": \"说一个字\", \"input\": \"\", \"output\": \"龙\"}\n",
    "{\"instruction\": \"Say a number.\", \"output\": 42}\n",
);

#[test]
fn rows_are_counted_by_what_they_are_and_faults_by_where_they_stand() {
    let folder = Folder::new();
    let path = folder.write("rows.jsonl", ROWS);
    let found = statistics(&path, &Options { faults: 2, pairs: 5, examples: 2, ..Options::default() });
    assert_eq!((found.tally.records, found.tally.documents(), found.tally.faults()), (8, 5, 3));
    assert_eq!(found.tally.documents, BTreeMap::from([("alpaca", 5)]));
    let lines: Vec<Position> = found.faults.iter().map(|fault| fault.position).collect();
    assert_eq!(lines, [Position::Line(3), Position::Line(6)], "two of three are named");
    assert_eq!(found.tally.faults["not text"], 1, "training takes no number for an answer");
    let fields: Vec<(&str, u64)> = found.fields.iter().map(|field| (field.name.as_str(), field.filled)).collect();
    assert_eq!(fields, [("instruction", 5), ("input", 4), ("output", 5)]);
    let lengths = &found.outputs.characters;
    assert_eq!((lengths.count(), lengths.least(), lengths.most(), lengths.quantile(0.5)), (5, 1, 9, 7));
    assert_eq!(found.prompts.characters.most(), 5, "instruction, a line break, input");
    assert_eq!(found.languages, BTreeMap::from([(Some("zh"), 5)]));
    let scripts = |script| found.scripts.get(&script).copied().unwrap_or(0);
    assert_eq!((scripts(ScriptOf::Traditional), scripts(ScriptOf::Simplified)), (4, 1));
    assert_eq!((found.repeats.rows, found.repeats.repeated), (1, 1), "white space does not count");
    assert_eq!(found.repeats.first, [Pair { later: 2, earlier: 0 }]);
    assert_eq!((found.conflicts.prompts, found.conflicts.rows), (1, 3));
    assert_eq!(found.conflicts.first, [Pair { later: 3, earlier: 0 }]);
    let most = found.instructions.most(9);
    assert_eq!((most[0].text.as_str(), most[0].count, most.len()), ("翻譯", 4, 1));
    assert_eq!(found.examples.len(), 2);
    let shown = open(&path).rows_at(&[3, 4].into()).expect("it is read again");
    assert_eq!(shown[&3].text("output"), "parasol");
    assert_eq!(shown[&4].provenance.position, Position::Line(7));
}

#[test]
fn a_folder_is_told_by_file_and_a_file_that_cannot_be_opened_is_a_fault() {
    let folder = Folder::new();
    folder.write("a.jsonl", "{\"text\": \"春眠不覺曉\"}\n");
    folder.write("b/table.csv", "text\n處處聞啼鳥\n夜來風雨聲\n");
    folder.write("LICENCE", "whatever");
    folder.write("README.md", "what it is");
    folder.write("picture.png", "\u{1}");
    let found = statistics(folder.0.path(), &Options { faults: 5, ..Options::default() });
    let files: Vec<(&str, u64, u64)> = (found.files.iter())
        .map(|file| (file.file.name.as_str(), file.tally.documents(), file.tally.faults()))
        .collect();
    assert_eq!(files, [("a.jsonl", 1, 0), ("b/table.csv", 2, 0), ("picture.png", 0, 1)]);
    assert_eq!(open(folder.0.path()).beside, ["LICENCE", "README.md"], "what tells of the data is no data");
    assert_eq!(open(&folder.0.path().join("README.md")).files.len(), 1, "unless it is asked for by itself");
    assert_eq!((found.tally.records, found.faults.len()), (4, 1));
    assert_eq!(found.texts.characters.count(), 3);
    assert_eq!(found.repeats.rows, 0);
}

#[test]
fn what_is_not_there_or_empty_or_of_no_known_format_is_an_error_that_says_so() {
    let folder = Folder::new();
    let message = |path: &Path| {
        let read = DataSet::open(path, FileFormat::Auto)
            .and_then(|set| Statistics::of(&set, &Options::default(), &mut |_, _| ()));
        read.expect_err("nothing can be read").to_string()
    };
    assert!(message(&folder.0.path().join("nowhere.jsonl")).contains("cannot read"), "missing");
    assert!(message(&folder.write("empty.jsonl", "")).ends_with("empty.jsonl holds no records: it is empty"));
    assert!(message(&folder.write("picture.png", "\u{1}\u{2}")).contains("neither content nor name tell the format"));
    let empty = Folder::new();
    assert!(message(empty.0.path()).contains("holds no records"));
    assert!(!DataSet::is_at(empty.0.path()) && DataSet::is_at(folder.0.path()));
    let stated = DataSet::open(&folder.write("rows.data", "a,b\n1,2\n"), FileFormat::Csv).expect("it is there");
    let found = Statistics::of(&stated, &Options::default(), &mut |_, _| ()).expect("its format is stated");
    assert_eq!(found.tally.documents(), 1);
}

#[test]
fn rows_in_other_shapes_are_told_by_all_their_texts_and_their_own_ids_make_no_difference() {
    let folder = Folder::new();
    let rows = "{\"id\": 1, \"title\": \"春曉\", \"lines\": [\"春眠不覺曉\", \"處處聞啼鳥\"]}\n\
                {\"id\": 2, \"title\": \"春曉\", \"lines\": [\"春眠不覺曉\", \"處處聞啼鳥\"]}\n\
                {\"id\": 2, \"title\": \"題\", \"lines\": []}\n";
    let found = statistics(&folder.write("poems.jsonl", rows), &Options { pairs: 5, ..Options::default() });
    assert_eq!((found.tally.documents["columns"], found.repeats.rows, found.conflicts.prompts), (3, 1, 0));
    let lines = found.fields.iter().find(|field| field.name == "lines").expect("a field");
    assert_eq!((lines.filled, lines.blank, lines.characters.most()), (2, 1, 11));
    assert_eq!((found.prompts.characters.count(), found.instructions.total()), (0, 0));
}

#[test]
fn conversations_are_told_with_their_turns() {
    let folder = Folder::new();
    let said = |role: &str, text: &str| format!("{{\"role\": \"{role}\", \"content\": \"{text}\"}}");
    let all = [
        said("system", "Be short."),
        said("user", "Hi"),
        said("assistant", "Hello"),
        said("user", "Bye"),
        said("assistant", "Farewell"),
    ];
    let rows = format!("{{\"messages\": [{}]}}\n{{\"messages\": [{}]}}\n", all.join(", "), all[1..3].join(", "));
    let found = statistics(&folder.write("talk.jsonl", &rows), &Options { examples: 1, ..Options::default() });
    assert_eq!((found.turns.least(), found.turns.most()), (2, 4));
    assert_eq!((found.outputs.characters.most(), found.outputs.characters.least()), (8, 5));
    let messages = messages_of(&found.examples[0]).expect("a conversation");
    assert!(messages.len() >= 2);
}

#[test]
fn near_repeats_are_found_where_they_are_looked_for() {
    let folder = Folder::new();
    let poem = "國破山河在，城春草木深。感時花濺淚，恨別鳥驚心。烽火連三月，家書抵萬金。";
    let rows: String = [poem, "白日依山盡，黃河入海流。", &poem.replace('深', "濃"), poem]
        .iter()
        .map(|text| format!("{{\"text\": \"{text}\"}}\n"))
        .collect();
    let path = folder.write("poems.jsonl", &rows);
    let scratch = Folder::new();
    let near = NearSearch { options: NearOptions::default(), scratch: scratch.0.path().to_owned() };
    let found = statistics(&path, &Options { near: Some(near), pairs: 5, ..Options::default() });
    let near = found.near.expect("it was looked for");
    assert_eq!((near.rows, found.repeats.rows), (1, 1), "an exact repeat is no near one");
    assert_eq!(near.first[0].rows, Pair { later: 2, earlier: 0 });
    assert!(near.first[0].edited > 0.0 && near.first[0].edited < 0.1, "{}", near.first[0].edited);
}

#[test]
fn tokens_and_labels_are_those_of_the_renderer() {
    let folder = Folder::new();
    let path = folder.write("rows.jsonl", &format!("{ROWS}{{\"question\": \"a\", \"answers\": [1]}}\n"));
    let dir = model("qwen2-bias-tied");
    let tokenizer = Tokenizer::from_model(&dir).expect("a fixture");
    let template = Template::choose("model", &dir, &tokenizer).expect("a fixture").template;
    let rendering = Rendering { renderer: Renderer::new(&tokenizer, &template), max_length: Some(60) };
    let options = Options { rendering: Some(rendering), examples: 9, faults: 9, ..Options::default() };
    let found = statistics(&path, &options);
    let labels: Labels = found.labels.clone().expect("there is a model");
    let examples: Vec<_> =
        found.examples.iter().map(|row| rendering.example(row).expect("it renders").expect("it is trained")).collect();
    assert_eq!(examples.len(), 5, "a row of another shape is a fault beside these");
    assert_eq!(labels.tokens(), examples.iter().map(|row| row.tokens.len() as u64).sum::<u64>());
    assert_eq!(labels.labelled, examples.iter().map(|row| row.labelled_tokens() as u64).sum::<u64>());
    let longer = examples.iter().filter(|row| row.tokens.len() > 60).count() as u64;
    assert_eq!(labels.rows.longer_than(60), longer);
    assert!(labels.share().is_some_and(|share| share > 0.05 && share < 0.9), "{:?}", labels.share());
    assert_eq!(found.outputs.tokens.count(), 5);
    let output = found.fields.iter().find(|field| field.name == "output").expect("a field");
    assert_eq!(output.tokens.count(), 5);
    assert!(output.tokens.sum() < labels.labelled, "an end-of-turn is learnt with each answer");
}

#[test]
fn the_number_of_threads_makes_no_difference() {
    let folder = Folder::new();
    let rows: String = (0..9000)
        .map(|i| format!("{{\"instruction\": \"Say {}.\", \"output\": \"{}\"}}\n", i % 700, "字".repeat(i % 53 + 1)))
        .collect();
    let path = folder.write("rows.jsonl", &rows);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let options = Options { pairs: 7, examples: 4, seed: 3, ..Options::default() };
        let found = pool.install(|| statistics(&path, &options));
        let often = (found.instructions.most(9), found.often_output.most(9));
        let ids: Vec<String> = found.examples.iter().map(|row| row.id.clone()).collect();
        (found.repeats, found.conflicts, found.fields, found.languages, often, ids)
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn a_difference_is_told_by_kind_whatever_the_order_and_the_shape() {
    let folder = Folder::new();
    let a = folder.write("a.jsonl", ROWS);
    let mut lines: Vec<String> = ROWS.lines().rev().map(str::to_owned).collect();
    let b = folder.write("b.jsonl", &lines.join("\n"));
    let none = difference(&a, &b);
    assert!(none.is_none());
    assert_eq!((none.both, none.changed, none.only_a, none.only_b), (5, 0, 0, 0));

    lines.retain(|line| !line.contains("提燈"));
    for line in &mut lines {
        *line = line.replace("龙", "虎");
    }
    lines.push("{\"messages\": [{\"role\": \"user\", \"content\": \"翻譯\\n茶壺\"}, {\"role\": \"assistant\", \"content\": \"teapot\"}]}".into());
    let c = folder.write("c.jsonl", &lines.join("\n"));
    let found = difference(&a, &c);
    assert_eq!((found.both, found.changed, found.only_a, found.only_b), (3, 1, 1, 1));
    let (old, new) = &found.examples.changed[0];
    assert_eq!((old.text("output"), new.text("output")), ("龙", "虎"));
    assert_eq!(found.examples.only_a[0].text("input"), "提燈");
    assert!(found.examples.only_b[0].text("messages").contains("teapot"));
    assert!(!found.is_none());
}

#[test]
fn rows_without_a_prompt_are_versions_of_each_other_by_their_id() {
    let folder = Folder::new();
    let a = folder.write("a.jsonl", "{\"id\": \"x\", \"title\": \"春曉\"}\n{\"id\": \"y\", \"title\": \"題\"}\n");
    let b = folder.write("b.jsonl", "{\"id\": \"y\", \"title\": \"題\"}\n{\"id\": \"x\", \"title\": \"春晓\"}\n");
    let found = difference(&a, &b);
    assert_eq!((found.both, found.changed, found.rewritten, found.only_a, found.only_b), (1, 0, 1, 0, 0));
    assert_eq!(found.examples.rewritten[0].1.text("title"), "春晓");
}

#[test]
fn data_sets_that_were_built_are_told_by_side_and_rows_that_changed_sides_are_found() {
    let folder = Folder::new();
    let row = |at: usize| format!("{{\"instruction\": \"第{at}題\", \"input\": \"\", \"output\": \"答{at}\"}}\n");
    let build = |name: &str, train: std::ops::Range<usize>, test: std::ops::Range<usize>| {
        folder.write(&format!("{name}/train.jsonl"), &train.map(row).collect::<String>());
        folder.write(&format!("{name}/test.jsonl"), &test.map(row).collect::<String>());
        folder.write(&format!("{name}/ledger.jsonl"), "{\"outcome\": \"train\"}\n");
        folder.write(&format!("{name}/card.md"), "# 題目\n\nrows\n");
        let ledger = folder.write(&format!("{name}/ledger.json"), "{\"outcomes\": {\"train\": 8, \"dropped\": 1}}");
        ledger.parent().expect("inside").to_owned()
    };
    let (a, b) = (build("a", 0..8, 8..10), build("b", 2..10, 0..3));
    let found = statistics(&b, &Options { pairs: 3, ..Options::default() });
    assert_eq!((found.rows_of(Side::Train), found.rows_of(Side::Test)), (8, 3), "the ledger's lines are no rows");
    assert_eq!(found.repeats.across_sides, 1, "row 2 stands on both sides");
    let built = open(&a).built.expect("it was built");
    assert_eq!((built.name.as_deref(), built.outcomes["dropped"]), (Some("題目"), 1));
    let found = difference(&a, &b);
    assert_eq!((found.both, found.only_a, found.only_b), (10, 0, 1));
    assert_eq!((found.to_test, found.to_train), (2, 2));
    assert_eq!(found.examples.moved.len(), 4);
    std::fs::write(a.join("ledger.json"), "{}").expect("a file is written");
    let error = DataSet::open(&a, FileFormat::Auto).expect_err("the ledger is broken").to_string();
    assert!(error.contains("ledger.json: it is no ledger"), "{error}");
}

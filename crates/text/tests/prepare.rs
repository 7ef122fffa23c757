//! Rows of a run: sides, duplicates, leaks, length, and a ledger that adds up.

mod tiny;

use std::fs;
use std::path::Path;
use std::time::Instant;

use luthier_fixtures::{shared, shared_for};
use luthier_text::{
    DataOptions, Dedup, Outcome, Overlong, Part, Prepared, Renderer, Source, Split, SplitBy, Template, TestSize,
    TextError, Tokenizer, prepare, read_all,
};
use proptest::prelude::*;
use serde_json::json;

fn options(path: &Path) -> DataOptions {
    DataOptions { sources: vec![Source::new(path)], ..DataOptions::default() }
}

fn try_run(options: &DataOptions) -> Result<Prepared, TextError> {
    let tokenizer = tiny::byte_level();
    let template = Template::from_source("chatml", tiny::CHATML, &tokenizer)?;
    let prepared = prepare(
        options,
        read_all(&options.sources, options.limit)?,
        &Renderer::new(&tokenizer, &template),
        &|_, _| {},
    )?;
    prepared.ledger.balance()?;
    Ok(prepared)
}

fn run(options: &DataOptions) -> Prepared {
    try_run(options).unwrap()
}

fn outcomes(prepared: &Prepared) -> Vec<&'static str> {
    prepared.ledger.entries.iter().map(|e| e.outcome.name()).collect()
}

fn write(path: &Path, rows: &[(&str, &str)]) {
    let lines: Vec<String> =
        rows.iter().map(|(p, c)| json!({"prompt": p, "completion": c}).to_string() + "\n").collect();
    fs::write(path, lines.concat()).unwrap();
}

#[test]
fn twelve_planted_faults_are_reported_with_file_and_line_and_the_good_rows_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("planted.jsonl");
    let good = |i: usize| {
        json!({"instruction": format!("第 {i} 盞燈"), "input": "", "output": "會唱歌。"}).to_string().into_bytes()
    };
    let faults: [(&[u8], &str); 12] = [
        (br#"{"instruction": "a", "output": "b""#, "not JSON"),
        (br#"["a", "b"]"#, "must be a JSON object, this one is a list"),
        (br#"{"instruction": "a", "ouput": "b"}"#, "`output` is missing; the nearest field present is `ouput`"),
        (br#"{"instruction": "a", "output": 12}"#, "`output` must be text, but holds the number 12"),
        (br#"{"instruction": "a", "output": ""}"#, "`output` is an empty answer"),
        (br#"{"instruction": " ", "output": "b"}"#, "`instruction` is empty"),
        (br#"{"messages": [{"role": "user", "content": "a"}]}"#, "no message from the assistant"),
        (
            br#"{"messages": [{"role": "assistant", "content": "b"}, {"role": "user", "content": "a"}]}"#,
            "`messages[0].role` breaks the order of roles",
        ),
        (
            br#"{"messages": [{"role": "robot", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
            "`messages[0].role` is \"robot\"",
        ),
        (b"{\"instruction\": \"\xA4\xA4\xA4\xE5\", \"output\": \"b\"}", "not UTF-8"),
        (br#"{"instruction": "a\u0000", "output": "b"}"#, "`instruction` contains a NUL"),
        (br#"{"question": "a", "answer": "b"}"#, "no known row shape"),
    ];
    let mut bytes = Vec::new();
    for (i, (fault, _)) in faults.iter().enumerate() {
        for line in [&good(i)[..], fault] {
            bytes.extend_from_slice(line);
            bytes.push(b'\n');
        }
    }
    fs::write(&path, bytes).unwrap();
    let prepared = run(&options(&path));
    assert_eq!(prepared.train.len(), 12);
    assert_eq!(prepared.ledger.entries.len(), 24);
    for (i, (_, expected)) in faults.iter().enumerate() {
        let entry = &prepared.ledger.entries[2 * i + 1];
        let detail = &entry.reason.as_ref().unwrap().detail;
        assert_eq!(
            (entry.source.as_str(), entry.line, entry.outcome),
            (path.to_str().unwrap(), 2 * i + 2, Outcome::Dropped)
        );
        assert!(detail.contains(expected), "line {}: {detail}", entry.line);
        assert_eq!(prepared.ledger.entries[2 * i].outcome, Outcome::Trained);
    }
}

#[test]
fn the_ledger_is_written_in_its_contract_and_its_table_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    write(&path, &[("甲", "一"), ("乙", ""), ("甲", "一")]);
    let prepared = run(&DataOptions { dedup: Dedup::Exact, ..options(&path) });
    let out = folder.path().join("ledger.jsonl");
    prepared.ledger.write_jsonl(&out).unwrap();
    let text = fs::read_to_string(&out).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    let keys: Vec<&str> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["source", "line", "outcome", "reason", "tokens", "tokens_lost"]);
    assert_eq!((&lines[0]["outcome"], &lines[0]["reason"]), (&json!("trained"), &json!(null)));
    assert_eq!((&lines[1]["outcome"], &lines[1]["line"]), (&json!("dropped"), &json!(2)));
    assert_eq!(lines[2]["outcome"], "duplicate");
    assert!(lines[2]["reason"].as_str().unwrap().ends_with("rows.jsonl:1"));
    let table = prepared.ledger.to_markdown();
    assert!(
        table.contains("3 rows read: 1 trained, 1 dropped, 1 duplicate") && table.contains("| **sum** | 3 |"),
        "{table}"
    );
    let mut broken = prepared.ledger.clone();
    broken.entries.pop();
    assert!(matches!(broken.balance(), Err(TextError::Unbalanced { entries: 2, rows: 3 })));
}

#[test]
fn a_row_keeps_its_side_whatever_else_the_file_holds_and_equal_prompts_stay_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let rows: Vec<(String, String)> = (0..400).map(|i| (format!("問 {}", i / 2), format!("答 {i}"))).collect();
    let rows: Vec<(&str, &str)> = rows.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
    let split = Split { test: TestSize::Fraction(0.25), by: SplitBy::Hash };
    let side = |rows: &[(&str, &str)]| {
        write(&path, rows);
        let prepared = run(&DataOptions { split, ..options(&path) });
        assert!(!outcomes(&prepared).contains(&"leaked"));
        prepared.test.iter().map(|row| row.reference.clone()).collect::<Vec<_>>()
    };
    let all = side(&rows);
    assert!((60..140).contains(&all.len()), "{} of 400 rows held out", all.len());
    for pair in all.chunks(2) {
        let number = |s: &str| s.trim_start_matches("答 ").parse::<usize>().unwrap();
        assert_eq!(number(&pair[0]) / 2, number(&pair[1]) / 2, "rows with the same prompt are held out together");
    }
    let half = side(&rows[..200]);
    assert_eq!(half, all.iter().filter(|a| half.contains(a)).cloned().collect::<Vec<_>>());
    assert!(half.iter().all(|h| all.contains(h)) && half.len() > 20);
}

#[test]
fn a_number_of_test_rows_is_held_out_by_hash_or_from_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let rows: Vec<String> = (0..50).map(|i| format!("問 {i}")).collect();
    write(&path, &rows.iter().map(|p| (p.as_str(), "答")).collect::<Vec<_>>());
    for by in [SplitBy::Hash, SplitBy::Order] {
        let prepared = run(&DataOptions { split: Split { test: TestSize::Rows(7), by }, ..options(&path) });
        assert_eq!((prepared.test.len(), prepared.train.len()), (7, 43), "{by:?}");
        if by == SplitBy::Order {
            assert_eq!(prepared.test.iter().map(|t| t.line).collect::<Vec<_>>(), (44..=50).collect::<Vec<_>>());
        }
    }
    let error =
        try_run(&DataOptions { split: Split { test: TestSize::Fraction(1.5), by: SplitBy::Hash }, ..options(&path) });
    assert!(error.unwrap_err().to_string().contains("data.split.test: 1.5"));
}

#[test]
fn training_rows_that_a_test_source_holds_are_leaked_and_test_rows_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (train, test) = (folder.path().join("train.jsonl"), folder.path().join("test.jsonl"));
    write(&train, &[("甲", "一"), ("乙", "二"), ("丙", "三"), ("丙", "三")]);
    write(&test, &[("甲", "一"), ("乙  ", "不同")]);
    let source = |path, part| Source { part: Some(part), ..Source::new(path) };
    let options = DataOptions {
        sources: vec![source(&train, Part::Train), source(&test, Part::Test)],
        dedup: Dedup::Exact,
        ..DataOptions::default()
    };
    let prepared = run(&options);
    assert_eq!(outcomes(&prepared), ["leaked", "leaked", "trained", "duplicate", "test", "test"]);
    let reasons: Vec<&str> = prepared.ledger.entries[..2].iter().map(|e| e.reason.as_ref().unwrap().label).collect();
    assert_eq!(reasons, ["the test split holds this row", "the test split holds this prompt"]);
    let row = &prepared.test[0];
    assert_eq!((row.reference.as_str(), row.messages.len()), ("一", 1));
    assert_eq!(row.example.tokens[..row.prompt.len()], row.prompt[..]);
}

#[test]
fn overlong_rows_are_dropped_cut_or_refused_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    write(&path, &[("the", "the"), (&"long ".repeat(40), "the the"), ("the", &"answer ".repeat(40))]);
    let limit = 80;
    let with = |overlong| DataOptions { overlong, max_length: limit, ..options(&path) };
    let lengths: Vec<usize> = run(&with(Overlong::Drop)).ledger.entries.iter().map(|e| e.tokens).collect();

    let dropped = run(&with(Overlong::Drop));
    assert_eq!(outcomes(&dropped), ["trained", "dropped", "dropped"]);
    assert_eq!(dropped.ledger.entries[1].tokens_lost, lengths[1]);
    assert!(dropped.answer_tokens_lost_share() > 0.9);
    let message = dropped.check(&with(Overlong::Drop)).unwrap_err().to_string();
    assert!(message.contains("max_length = 80 would lose") && message.contains("max_answer_loss"), "{message}");

    let prompt = run(&with(Overlong::TruncatePrompt));
    assert_eq!(outcomes(&prompt), ["trained", "truncated", "truncated"]);
    assert!(prompt.train.iter().all(|e| e.tokens.len() <= limit && e.tokens.len() == e.labelled.len()));
    assert_eq!(
        prompt.train[1].labelled_tokens(),
        dropped.train[0].labelled_tokens() + "the ".len() - 2,
        "the answer is whole"
    );
    assert_eq!(prompt.ledger.entries[1].tokens_lost, lengths[1] - limit);
    assert_eq!(prompt.ledger.entries[1].reason.as_ref().unwrap().label, "prompt cut");
    assert_eq!(prompt.ledger.entries[2].reason.as_ref().unwrap().label, "prompt and end cut");

    let end = run(&with(Overlong::TruncateEnd));
    assert_eq!(outcomes(&end), ["trained", "dropped", "truncated"], "nothing of the second answer would be left");
    assert_eq!(end.ledger.entries[1].reason.as_ref().unwrap().label, "no labelled token left");

    let message = try_run(&with(Overlong::Refuse)).unwrap_err().to_string();
    assert!(
        message.contains("2 rows are longer than max_length = 80") && message.contains("rows.jsonl:3"),
        "{message}"
    );
}

#[test]
fn a_cut_prompt_keeps_its_beginning_of_sequence_token_and_stays_the_rows_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    write(&path, &[(&"the lamp ".repeat(30), "he")]);
    let tokenizer = tiny::byte_fallback();
    let template = Template::alpaca(&tokenizer).unwrap();
    for part in [Part::Train, Part::Test] {
        let sources = vec![Source { part: Some(part), ..Source::new(&path) }];
        let options =
            DataOptions { sources, overlong: Overlong::TruncatePrompt, max_length: 50, ..DataOptions::default() };
        let rows = read_all(&options.sources, None).unwrap();
        let prepared = prepare(&options, rows, &Renderer::new(&tokenizer, &template), &|_, _| {}).unwrap();
        let example = prepared.train.first().or(prepared.test.first().map(|t| &t.example)).unwrap();
        assert_eq!((example.tokens[0], example.tokens.len()), (1, 50));
        assert!(tokenizer.decode(&example.tokens, true).ends_with("### Response:he"));
        if let Some(test) = prepared.test.first() {
            assert_eq!(test.prompt[..], example.tokens[..example.prompt_len]);
            assert!(prepared.ledger.entries[0].tokens_lost > 0 && prepared.ledger.entries[0].outcome == Outcome::Test);
        }
    }
}

#[test]
fn nothing_left_to_train_on_is_an_error_with_the_fates() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    write(&path, &[("甲", "")]);
    let message = run(&options(&path)).check(&options(&path)).unwrap_err().to_string();
    assert!(message.contains("1 rows read: 1 dropped"), "{message}");
}

#[test]
fn a_template_that_refuses_a_row_costs_that_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let system = json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]});
    fs::write(&path, format!("{system}\n{}\n", json!({"prompt": "u", "completion": "a"}))).unwrap();
    let tokenizer = tiny::byte_level();
    let source = format!(
        "{{% if messages[0].role == 'system' %}}{{{{ raise_exception('no system role') }}}}{{% endif %}}{}",
        tiny::CHATML
    );
    let template = Template::from_source("strict", &source, &tokenizer).unwrap();
    let options = options(&path);
    let prepared =
        prepare(&options, read_all(&options.sources, None).unwrap(), &Renderer::new(&tokenizer, &template), &|_, _| {})
            .unwrap();
    assert_eq!(outcomes(&prepared), ["dropped", "trained"]);
    assert!(prepared.ledger.entries[0].reason.as_ref().unwrap().detail.contains("no system role"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_balances_for_any_mix_of_rows(
        kinds in prop::collection::vec((0usize..9, 0usize..6), 0..40),
        array in any::<bool>(), dedup in any::<bool>(), by_hash in any::<bool>(), rows in 0usize..10, max_length in 8usize..60, policy in 0usize..3,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let lines: Vec<String> = kinds.iter().map(|(kind, n)| match kind {
            0 => "{\"prompt\": \"a\", ".to_string(),
            1 => "[1]".to_string(),
            2 => json!({"prompt": "a", "completion": n}).to_string(),
            3 => json!({"instruction": "", "output": "b"}).to_string(),
            4 => json!({"text": "燈 ".repeat(*n + 1)}).to_string(),
            5 => json!({"prompt": "長 ".repeat(n * 6 + 1), "completion": "短"}).to_string(),
            _ => json!({"prompt": format!("問 {n}"), "completion": "答"}).to_string(),
        }).collect();
        let text = if array { format!("[{}]", lines.join(",\n")) } else { lines.join("\n") };
        fs::write(&path, text).unwrap();
        let options = DataOptions {
            dedup: if dedup { Dedup::Exact } else { Dedup::None },
            split: Split { test: TestSize::Rows(rows), by: if by_hash { SplitBy::Hash } else { SplitBy::Order } },
            max_length,
            overlong: [Overlong::Drop, Overlong::TruncatePrompt, Overlong::TruncateEnd][policy],
            ..options(&path)
        };
        let prepared = run(&options);
        // In an array a row that never closes takes what cannot be told from it; as lines every row stands alone.
        if !array {
            prop_assert_eq!(prepared.ledger.entries.len(), lines.len());
        }
        let totals = prepared.ledger.totals();
        prop_assert_eq!(totals[&Outcome::Trained].rows + totals[&Outcome::Truncated].rows, prepared.train.len());
        prop_assert_eq!(totals[&Outcome::Test].rows, prepared.test.len());
        for example in &prepared.train {
            prop_assert!(example.tokens.len() <= max_length && example.labelled_tokens() > 0 && !example.labelled[0]);
        }
        let prompts: std::collections::HashSet<&str> = prepared.test.iter().map(|t| t.prompt_text.as_str()).filter(|p| !p.is_empty()).collect();
        for (entry, example) in prepared.ledger.entries.iter().filter(|e| e.outcome == Outcome::Trained).zip(&prepared.train) {
            prop_assert!(entry.tokens_lost == 0 && !prompts.iter().any(|p| example.text.starts_with(p)) || prepared.train.len() != totals[&Outcome::Trained].rows);
        }
    }
}

fn real(file: &Path, dir: &Path, dedup: Dedup, limit: Option<usize>) -> Prepared {
    let mut tokenizer = Tokenizer::from_dir(dir).unwrap();
    if tokenizer.eos().is_none() {
        let bytes = fs::read(dir.join("tokenizer.json")).unwrap();
        tokenizer = Tokenizer::from_bytes(&bytes, Some(br#"{"tokenizer_class": "GPT2Tokenizer"}"#)).unwrap();
    }
    let chosen = Template::choose("model", dir, &tokenizer).unwrap();
    let options =
        DataOptions { dedup, split: Split { test: TestSize::Fraction(0.05), by: SplitBy::Hash }, ..options(file) };
    let start = Instant::now();
    let rows = read_all(&options.sources, limit).unwrap();
    let read = start.elapsed().as_secs_f64();
    let prepared = prepare(&options, rows, &Renderer::new(&tokenizer, &chosen.template), &|_, _| {}).unwrap();
    prepared.ledger.balance().unwrap();
    eprintln!(
        "{}: read in {read:.2} s, all in {:.2} s; {}",
        file.display(),
        start.elapsed().as_secs_f64(),
        prepared.ledger.summary()
    );
    eprintln!("{}", prepared.notices.join("\n"));
    prepared
}

#[test]
fn ten_thousand_real_rows_add_up() {
    let what = "10,000 rows of Classical Chinese translation";
    let Some(file) = shared_for("data/ntu-adl2023-hw3/train.json", what) else { return };
    let Some(tokenizer) = shared("models/tokenizers/qwen2") else { return };
    let prepared = real(&file, &tokenizer, Dedup::Exact, None);
    let sum: usize = prepared.ledger.totals().values().map(|t| t.rows).sum();
    assert_eq!(sum, 10_000);
    assert_eq!(prepared.ledger.entries.last().unwrap().line, 10_000);
    assert!(prepared.train.len() > 9_000 && prepared.test.len() > 400);
}

#[test]
fn fifty_two_thousand_alpaca_rows_are_read_and_the_first_five_thousand_add_up() {
    let Some(file) = shared_for("data/stanford-alpaca/alpaca_data.json", "52,002 alpaca rows") else { return };
    let Some(tokenizer) = shared("models/tokenizers/gpt2") else { return };
    let start = Instant::now();
    let rows = read_all(&[Source::new(&file)], None).unwrap();
    eprintln!("{} rows read in {:.2} s", rows.len(), start.elapsed().as_secs_f64());
    assert_eq!(rows.len(), 52_002);
    assert_eq!(rows.iter().filter(|row| row.is_err()).count(), 28, "rows whose output is empty");
    let prepared = real(&file, &tokenizer, Dedup::None, Some(5_000));
    assert_eq!(prepared.ledger.entries.len(), 5_000);
    assert!(prepared.notices.iter().any(|n| n.contains("tokenised in two pieces")));
}

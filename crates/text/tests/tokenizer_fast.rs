//! The path without the regex engine gives what the `tokenizers` crate gives.

use std::path::{Path, PathBuf};

use luthier_fixtures::{json, repository, shared, shared_for};
use luthier_text::{Encoded, Tokenizer};
use proptest::prelude::*;
use rayon::prelude::*;
use serde_json::Value;

/// A tokenizer of ours, and the same read by the crate.
fn pair(dir: &Path) -> (Tokenizer, tokenizers::Tokenizer) {
    let tokenizer = Tokenizer::from_dir(dir).unwrap();
    let saved = tempfile::tempdir().unwrap();
    tokenizer.save(saved.path(), None).unwrap();
    let crates = tokenizers::Tokenizer::from_file(saved.path().join("tokenizer.json")).unwrap();
    (tokenizer, crates)
}

fn check((ours, theirs): &(Tokenizer, tokenizers::Tokenizer), text: &str) {
    let expected = theirs.encode(text, false).unwrap();
    let expected = Encoded { ids: expected.get_ids().to_vec(), offsets: expected.get_offsets().to_vec() };
    assert_eq!(ours.encode_with_offsets(text).unwrap(), expected, "{text:?}");
    assert_eq!(ours.encode(text, false).unwrap(), expected.ids, "{text:?}");
}

const TEXTS: [&str; 14] = [
    "",
    " ",
    "It's 12345 o'clock,  isn't it?\n\n\tYES!!",
    "燈會唱歌嗎？會，「the lamp」 sings。",
    "<|endoftext|>x<|im_start|>user\n燈<|im_end|>\n",
    "é e\u{301} ﬁ \u{212B} 가\u{1100}\u{1161}",
    "🙂👩\u{200d}👩\u{200d}👧 𠮷",
    "a\u{301}\u{302}b",
    "\u{2000}\u{2001} x",
    "   leading and trailing   ",
    "\r\n\r\n",
    "don't DON'T 'ſ",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\0\u{1}\u{7f}\u{85}",
];

fn fixtures() -> Vec<PathBuf> {
    ["tokenizer", "tokenizer-bos", "tiktoken"].map(|name| repository().join("fixtures").join(name)).into()
}

#[test]
fn small_tokenizers_give_the_same_ids_and_offsets() {
    for dir in fixtures() {
        let pair = pair(&dir);
        TEXTS.iter().for_each(|text| check(&pair, text));
        for text in TEXTS {
            let expected = pair.1.encode(text, true).unwrap();
            assert_eq!(pair.0.encode(text, true).unwrap(), expected.get_ids(), "{text:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_the_same_ids_and_offsets(text in "([a-c thesnd'T0-9燈會，\\n\\r\u{301}🙂]|<\\|im_end\\|>|<\\|eot_id\\|>|<\\|bos\\|>){0,40}") {
        thread_local!(static PAIRS: Vec<(Tokenizer, tokenizers::Tokenizer)> = fixtures().iter().map(|dir| pair(dir)).collect());
        PAIRS.with(|pairs| pairs.iter().for_each(|pair| check(pair, &text)));
    }
}

fn rows(path: &Path, fields: &[&str]) -> Vec<String> {
    let Value::Array(rows) = json(path) else { panic!("{}: no list", path.display()) };
    let text = |row: &Value| fields.iter().filter_map(|field| row[field].as_str()).collect::<Vec<_>>().join("\n");
    rows.iter().map(text).collect()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn all_rows_of_alpaca_and_of_the_chinese_sets_give_the_same_ids_and_offsets() {
    let Some(folders) = shared_for("models/tokenizers", "the fast path of tokenizers against the crate's own") else {
        return;
    };
    let Some(data) = shared("data") else { return };
    let mut texts = rows(&data.join("stanford-alpaca/alpaca_data.json"), &["instruction", "input", "output"]);
    for file in ["llamafactory_alpaca_zh_demo.json", "hikariming_alpaca_zh_12345-15323.json"] {
        texts.extend(rows(&data.join("alpaca-zh-hans").join(file), &["instruction", "input", "output"]));
    }
    texts.extend(rows(&data.join("ntu-adl2023-hw3/train.json"), &["instruction", "output"]));
    texts.extend(lines(&data.join("classical-modern-mit/pairs.tsv")));
    texts.extend(lines(&data.join("tang-poems-trad/tang.jsonl")).into_iter().step_by(10));
    texts.extend(lines(&data.join("belle/eval_set.json")));
    texts.extend(lines(&data.join("ud-pud-zh-en/zh_pud-ud-test.conllu")));
    assert!(texts.len() > 100_000, "{}", texts.len());
    // Every row in the one that is used most, every ninth in the others.
    for (name, step) in [("qwen2", 1), ("llama3", 9), ("gpt2", 9), ("minimind", 9)] {
        let pair = pair(&folders.join(name));
        texts.par_iter().step_by(step).for_each(|text| check(&pair, text));
    }
}

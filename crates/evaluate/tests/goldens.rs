//! The metrics against sacreBLEU 2.4.3 and rouge_score 0.1.2 on the project's own sentences
//! (`fixtures/metrics/golden.json`, written by `tools/make_metric_goldens.py`).

use luthier_evaluate::bleu::{Orders, corpus_bleu, sentence_bleu, signature};
use luthier_evaluate::character_f1::character_f1;
use luthier_evaluate::chrf::{Chrf, corpus_chrf, sentence_chrf};
use luthier_evaluate::rouge::{Rouge, Unit, rouge_l, rouge_n};
use luthier_evaluate::{Metric, Tokenizer, score, statistics};
use serde_json::Value;

const TOLERANCE: f64 = 1e-9;
const TOKENIZERS: [Tokenizer; 4] = [Tokenizer::V13a, Tokenizer::Zh, Tokenizer::Char, Tokenizer::None];
const CHRFS: [(&str, Chrf); 2] = [("chrf", Chrf::Plain), ("chrf++", Chrf::PlusPlus)];

fn golden() -> Value {
    luthier_fixtures::json(&luthier_fixtures::repository().join("fixtures/metrics/golden.json"))
}

fn rows(golden: &Value) -> Vec<&Value> {
    let rows: Vec<&Value> = golden["rows"].as_array().unwrap().iter().collect();
    assert!(rows.len() >= 60, "the fixture has lost its rows: {}", rows.len());
    rows
}

/// Prediction and reference of the rows of a group, or of all.
fn pairs<'a>(golden: &'a Value, group: &str) -> Vec<(&'a str, &'a str)> {
    let chosen = |row: &&Value| group == "all" || row["group"] == group;
    let pair = |row: &'a Value| (text(&row["prediction"]), text(&row["reference"]));
    rows(golden).into_iter().filter(chosen).map(pair).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("not a number: {value}"))
}

#[track_caller]
fn assert_close(ours: f64, golden: &Value, what: &str) {
    let golden = number(golden);
    assert!((ours - golden).abs() <= TOLERANCE, "{what}: {ours} but the reference says {golden}");
}

#[test]
fn every_tokenizer_cuts_as_sacrebleu_does() {
    let golden = golden();
    for row in rows(&golden) {
        for tokenizer in TOKENIZERS {
            let ours = tokenizer.tokens(text(&row["prediction"]));
            let expected: Vec<&str> = row["tokens"][tokenizer.name()].as_array().unwrap().iter().map(text).collect();
            assert_eq!(ours, expected, "{} on {}", tokenizer.name(), row["prediction"]);
        }
    }
}

#[test]
fn every_character_beyond_ascii_is_cut_by_zh_exactly_where_sacrebleu_cuts_it() {
    let golden = golden();
    let ranges =
        |name: &str| -> Vec<[u64; 2]> { serde_json::from_value(golden[name].clone()).expect("pairs of code points") };
    let (chinese, space) = (ranges("chinese_for_zh"), ranges("white_space"));
    let within = |ranges: &[[u64; 2]], c: char| {
        let code = u64::from(u32::from(c));
        ranges.iter().any(|&[first, last]| (first..=last).contains(&code))
    };
    for c in '\u{80}'..=char::MAX {
        let ours = Tokenizer::Zh.tokens(&format!("a{c}b"));
        let expected = match (within(&space, c), within(&chinese, c)) {
            (true, _) => vec!["a".to_string(), "b".to_string()],
            (false, true) => vec!["a".to_string(), c.to_string(), "b".to_string()],
            (false, false) => vec![format!("a{c}b")],
        };
        assert_eq!(ours, expected, "U+{:04X}", u32::from(c));
    }
}

#[test]
fn sentence_scores_equal_the_references() {
    let golden = golden();
    for row in rows(&golden) {
        let (prediction, reference) = (text(&row["prediction"]), text(&row["reference"]));
        for tokenizer in TOKENIZERS {
            let ours = sentence_bleu(prediction, reference, tokenizer).value;
            let name = tokenizer.name();
            assert_close(ours, &row["bleu"][name], &format!("BLEU {name} of {row}"));
        }
        for (name, kind) in CHRFS {
            assert_close(sentence_chrf(prediction, reference, kind), &row[name], &format!("{name} of {row}"));
        }
        assert_close(character_f1(prediction, reference), &row["char_f1"], &format!("character F1 of {row}"));
        for (name, unit) in [("characters", Unit::Characters), ("words", Unit::Words)] {
            for (kind, rouge) in [
                ("rouge1", rouge_n(prediction, reference, 1, unit)),
                ("rouge2", rouge_n(prediction, reference, 2, unit)),
                ("rougeL", rouge_l(prediction, reference, unit)),
            ] {
                let Rouge { precision, recall, f1 } = rouge;
                for (part, ours) in [precision, recall, f1].into_iter().enumerate() {
                    let what = format!("{kind}[{part}] over {name} of {row}");
                    assert_close(ours, &row["rouge"][name][kind][part], &what);
                }
            }
        }
    }
}

#[test]
fn corpus_scores_equal_the_references_for_each_group_and_for_all() {
    let golden = golden();
    let corpora = golden["corpora"].as_object().unwrap();
    assert!(corpora.len() >= 6, "the fixture has lost its corpora: {}", corpora.len());
    for (group, expected) in corpora {
        let pairs = pairs(&golden, group);
        for tokenizer in TOKENIZERS {
            let expected = &expected["bleu"][tokenizer.name()];
            let bleu = corpus_bleu(pairs.iter().copied(), tokenizer);
            let what = format!("BLEU {} of group {group}", tokenizer.name());
            assert_close(bleu.value, &expected["score"], &what);
            assert_close(bleu.brevity_penalty, &expected["brevity_penalty"], &what);
            assert_close(bleu.prediction_length, &expected["lengths"][0], &what);
            assert_close(bleu.reference_length, &expected["lengths"][1], &what);
            for (order, precision) in bleu.precisions.into_iter().enumerate() {
                assert_close(precision, &expected["precisions"][order], &what);
            }
            assert_same_signature(&signature(tokenizer, Orders::All), text(&expected["signature"]));
        }
        for (name, kind) in CHRFS {
            let what = format!("{name} of group {group}");
            assert_close(corpus_chrf(pairs.iter().copied(), kind), &expected[name]["score"], &what);
            assert_same_signature(&kind.signature(), text(&expected[name]["signature"]));
        }
    }
}

#[track_caller]
fn assert_same_signature(ours: &str, theirs: &str) {
    let (ours, version) = ours.rsplit_once('|').unwrap();
    assert!(version.starts_with("version:luthier-"), "{version}");
    assert_eq!(ours, theirs.strip_suffix("|version:2.4.3").unwrap(), "all but the version");
}

#[test]
fn a_metric_by_name_gives_the_scores_of_its_module() {
    let golden = golden();
    let (predictions, references): (Vec<&str>, Vec<&str>) = pairs(&golden, "all").into_iter().unzip();
    let all = &golden["corpora"]["all"];
    for (name, expected) in [
        ("bleu-zh", &all["bleu"]["zh"]),
        ("bleu-13a", &all["bleu"]["13a"]),
        ("bleu-char", &all["bleu"]["char"]),
        ("chrf", &all["chrf"]),
        ("chrf++", &all["chrf++"]),
    ] {
        let scored = score(name.parse().unwrap(), &predictions, &references).unwrap();
        assert_close(scored.value, &expected["score"], name);
    }
    for (name, of_row) in [
        ("rouge-1", ["rouge", "characters", "rouge1"]),
        ("rouge-2", ["rouge", "characters", "rouge2"]),
        ("rouge-l", ["rouge", "characters", "rougeL"]),
        ("rouge-l-word", ["rouge", "words", "rougeL"]),
    ] {
        let scored = score(name.parse().unwrap(), &predictions, &references).unwrap();
        let f1 = |row: &Value| 100.0 * number(&row[of_row[0]][of_row[1]][of_row[2]][2]);
        let expected: Vec<f64> = rows(&golden).into_iter().map(f1).collect();
        for (row, (ours, expected)) in scored.per_row.iter().zip(&expected).enumerate() {
            assert!((ours - expected).abs() <= TOLERANCE, "{name} of row {row}: {ours}, {expected}");
        }
        let mean = expected.iter().sum::<f64>() / expected.len() as f64;
        assert!((scored.value - mean).abs() <= TOLERANCE, "{name}: {}, {mean}", scored.value);
    }
}

#[test]
fn resampled_corpora_score_as_in_sacrebleu() {
    let golden = golden();
    let written: Vec<(&str, &str)> = rows(&golden)
        .into_iter()
        .filter(|row| row["group"] != "random")
        .map(|row| (text(&row["prediction"]), text(&row["reference"])))
        .collect();
    let (predictions, references): (Vec<&str>, Vec<&str>) = written.into_iter().unzip();
    let draws = golden["resampled"]["draws"].as_array().unwrap();
    assert!(!draws.is_empty());
    for metric in [Metric::BleuZh, Metric::ChrfPlusPlus] {
        let rows = statistics(metric, &predictions, &references).unwrap();
        let expected = golden["resampled"]["scores"][metric.name()].as_array().unwrap();
        for (draw, expected) in draws.iter().zip(expected) {
            let draw = draw.as_array().unwrap().iter().map(|row| number(row) as usize);
            assert_close(rows.value_of(draw), expected, &format!("{metric} of a resample"));
        }
    }
}

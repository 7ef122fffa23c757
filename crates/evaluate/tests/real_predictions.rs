//! The metrics against golden scores of real model outputs and of a parallel corpus, which lie beside the repository
//! and not in it: skipped loudly where they are absent.

use std::path::Path;

use luthier_evaluate::bleu::{corpus_bleu, sentence_bleu};
use luthier_evaluate::chrf::{Chrf, corpus_chrf, sentence_chrf};
use luthier_evaluate::rouge::{Rouge, Unit, rouge_l, rouge_n};
use luthier_evaluate::{Metric, Tokenizer, compare, score};
use luthier_fixtures::{announce, json, shared_for};
use serde_json::Value;

const SYSTEMS: [&str; 2] = ["prediction_neil.json", "prediction_brian.json"];
const TOLERANCE: f64 = 1e-9;

/// ROUGE of a prediction and its reference.
type Measure = fn(&str, &str) -> Rouge;

/// Outputs of a file of rows with an `output` each.
fn outputs(path: &Path) -> Vec<String> {
    let rows = json(path);
    let output = |row: &Value| row["output"].as_str().unwrap().to_string();
    rows.as_array().unwrap().iter().map(output).collect()
}

fn pairs<'a>(predictions: &'a [String], references: &'a [String]) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
    assert_eq!(predictions.len(), references.len());
    predictions.iter().zip(references).map(|(p, r)| (p.as_str(), r.as_str()))
}

/// Compares with golden numbers and counts how many there were, so that none is skipped in silence.
struct Ledger(Vec<String>);

impl Ledger {
    #[track_caller]
    fn check(&mut self, name: &str, ours: f64, golden: &Value) {
        let golden = golden.as_f64().unwrap_or_else(|| panic!("{name}: no golden number"));
        assert!((ours - golden).abs() <= TOLERANCE, "{name}: {ours} but the reference says {golden}");
        match self.0.last_mut() {
            Some(last) if last == name => {}
            _ => self.0.push(name.to_string()),
        }
    }

    fn announce(&self, what: &str, least: usize) {
        announce(&format!("compared {what}: {}", self.0.join(", ")));
        assert!(self.0.len() >= least, "only {:?}", self.0);
    }
}

#[test]
fn scores_of_real_predictions_equal_the_golden_ones() {
    let Some(folder) = shared_for("data/ntu-adl2023-hw3", "golden scores of two real prediction files") else {
        return;
    };
    let golden = json(&folder.join("metrics_golden.json"));
    let references = outputs(&folder.join("public_test.json"));
    for system in SYSTEMS {
        let predictions = outputs(&folder.join(system));
        let golden = &golden["systems"][system];
        let mut ledger = Ledger(Vec::new());
        check_corpus_scores(&mut ledger, &predictions, &references, golden);
        check_sentence_scores(&mut ledger, &predictions, &references, golden);
        check_by_name(&mut ledger, &predictions, &references, golden);
        ledger.announce(system, 12);
    }
}

fn check_corpus_scores(ledger: &mut Ledger, predictions: &[String], references: &[String], golden: &Value) {
    for tokenizer in [Tokenizer::Zh, Tokenizer::Char, Tokenizer::V13a, Tokenizer::None] {
        let name = format!("bleu_{}", tokenizer.name());
        let golden = &golden[&name];
        let bleu = corpus_bleu(pairs(predictions, references), tokenizer);
        ledger.check(&name, bleu.value, &golden["score"]);
        ledger.check(&name, bleu.brevity_penalty, &golden["bp"]);
        ledger.check(&name, bleu.prediction_length, &golden["sys_len"]);
        ledger.check(&name, bleu.reference_length, &golden["ref_len"]);
        for (order, precision) in bleu.precisions.into_iter().enumerate() {
            ledger.check(&name, precision, &golden["precisions"][order]);
        }
    }
    for (name, kind) in [("chrf", Chrf::Plain), ("chrf++", Chrf::PlusPlus)] {
        ledger.check(name, corpus_chrf(pairs(predictions, references), kind), &golden[name]);
    }
}

fn check_sentence_scores(ledger: &mut Ledger, predictions: &[String], references: &[String], golden: &Value) {
    for (row, (prediction, reference)) in pairs(predictions, references).take(20).enumerate() {
        let bleu = sentence_bleu(prediction, reference, Tokenizer::Zh).value;
        ledger.check("sentence_bleu_zh", bleu, &golden["sentence_bleu_zh_first20"][row]);
    }
    for (row, (prediction, reference)) in pairs(predictions, references).take(20).enumerate() {
        let chrf = sentence_chrf(prediction, reference, Chrf::Plain);
        ledger.check("sentence_chrf", chrf, &golden["sentence_chrf_first20"][row]);
    }
    let kinds: [(&str, Measure); 3] = [
        ("rouge1", |p, r| rouge_n(p, r, 1, Unit::Characters)),
        ("rouge2", |p, r| rouge_n(p, r, 2, Unit::Characters)),
        ("rougeL", |p, r| rouge_l(p, r, Unit::Characters)),
    ];
    for (kind, rouge) in kinds {
        let rows: Vec<Rouge> = pairs(predictions, references).map(|(p, r)| rouge(p, r)).collect();
        for (row, ours) in rows.iter().take(10).enumerate() {
            let golden = &golden["rouge_score_char_first10"][row][kind];
            for (part, ours) in [ours.precision, ours.recall, ours.f1].into_iter().enumerate() {
                ledger.check(&format!("{kind} of sentences (rouge_score, characters)"), ours, &golden[part]);
            }
        }
        let golden = &golden["rouge_score_char_avg"][kind];
        let mean = |part: fn(&Rouge) -> f64| rows.iter().map(part).sum::<f64>() / rows.len() as f64;
        let name = format!("{kind} (rouge_score, characters)");
        ledger.check(&name, mean(|rouge| rouge.precision), &golden["p"]);
        ledger.check(&name, mean(|rouge| rouge.recall), &golden["r"]);
        ledger.check(&name, mean(|rouge| rouge.f1), &golden["f"]);
    }
}

fn check_by_name(ledger: &mut Ledger, predictions: &[String], references: &[String], golden: &Value) {
    let default_words = &golden["rouge_score_default_tokenizer_f_avg (drops all CJK)"];
    for (metric, golden, scale) in [
        (Metric::ExactMatch, &golden["exact_match"], 100.0),
        (Metric::CharF1, &golden["char_f1_bag_avg"], 100.0),
        (Metric::RougeL, &golden["rouge_score_char_avg"]["rougeL"]["f"], 100.0),
        (Metric::RougeLWord, &default_words["rougeL"], 100.0),
        (Metric::Bleu, &golden["bleu_zh"]["score"], 1.0),
        (Metric::ChrfPlusPlus, &golden["chrf++"], 1.0),
    ] {
        let scored = score(metric, predictions, references).unwrap();
        assert_eq!(scored.per_row.len(), references.len());
        ledger.check(metric.name(), scored.value / scale, golden);
    }
}

#[test]
fn a_parallel_corpus_tokenizes_and_scores_as_golden() {
    let Some(folder) = shared_for("data/ud-pud-zh-en", "tokenizer outputs and scores on PUD") else {
        return;
    };
    let Some(golden) = shared_for("data/ntu-adl2023-hw3", "tokenizer outputs and scores on PUD") else {
        return;
    };
    let golden = &json(&golden.join("metrics_golden.json"))["pud"];
    let sentences = |file: &str| -> Vec<String> {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        text.lines().filter_map(|line| line.strip_prefix("# text = ")).map(String::from).collect()
    };
    let (zh, en) = (sentences("zh_pud-ud-test.conllu"), sentences("en_pud-ud-test.conllu"));
    assert_eq!((zh.len(), en.len()), (1000, 1000));
    for (texts, tokenizer, golden) in [
        (&zh, Tokenizer::Zh, &golden["bleu_zh_tokenized_first20"]),
        (&en, Tokenizer::V13a, &golden["bleu_13a_tokenized_first20"]),
    ] {
        let golden = golden.as_array().unwrap();
        assert_eq!(golden.len(), 20);
        for (text, golden) in texts.iter().zip(golden) {
            assert_eq!(tokenizer.tokens(text).join(" "), golden.as_str().unwrap());
        }
    }
    let mut ledger = Ledger(vec!["20 zh and 20 13a tokenizations".to_string()]);
    for (metric, texts, name) in [
        (Metric::Bleu, &zh, "bleu_zh_shift1"),
        (Metric::Chrf, &zh, "chrf_zh_shift1"),
        (Metric::Bleu, &en, "bleu_13a_en_shift1"),
        (Metric::ChrfPlusPlus, &en, "chrfpp_en_shift1"),
    ] {
        let scored = score(metric, &texts[1..], &texts[..999]).unwrap();
        ledger.check(name, scored.value, &golden[name]);
    }
    ledger.announce("PUD", 5);
}

#[test]
fn the_better_of_two_real_systems_is_found_so_by_the_bootstrap() {
    let Some(folder) = shared_for("data/ntu-adl2023-hw3", "paired bootstrap on two real prediction files") else {
        return;
    };
    let references = outputs(&folder.join("public_test.json"));
    let [base, tuned] = SYSTEMS.map(|system| outputs(&folder.join(system)));
    for metric in [Metric::Bleu, Metric::Chrf, Metric::RougeL] {
        let compared = compare(metric, &base, &tuned, &references, 1000, 42).unwrap();
        let [low, high] = compared.difference.interval95;
        assert!(low > 10.0 && low < compared.difference.value && compared.difference.value < high, "{compared:?}");
        assert_eq!(compared.p_value, 1.0 / 1001.0);
        let (base, tuned) = (compared.base, compared.tuned);
        announce(&format!(
            "compared {metric}: base {:.3} {:.2?}, tuned {:.3} {:.2?}, difference {:.2?}",
            base.value, base.interval95, tuned.value, tuned.interval95, compared.difference.interval95
        ));
    }
    let few = compare(Metric::ExactMatch, &base[..50], &tuned[..50], &references[..50], 1000, 42).unwrap();
    assert!(few.p_value > 0.05, "50 rows are too few to tell exact matches apart: {few:?}");
}

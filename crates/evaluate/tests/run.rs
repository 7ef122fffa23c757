//! The evaluation of a tiny model from end to end: rows as messages, answers under three strategies, losses, scores, and the
//! report that reads them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use luthier_engine::Device;
use luthier_evaluate::perplexity::{RowLoss, token_perplexity};
use luthier_evaluate::{
    EvaluateError, MetricError, Plan, SYSTEMS, Strategy, Watch, evaluate_system, losses, predict, score_run, strategy,
    turn_ends,
};
use luthier_fixtures::json;
use luthier_generate::FinishReason;
use luthier_model::{LoraOptions, Model, Targets};
use luthier_text::{Message, Renderer, Template, TestRow, Tokenizer, TrainOn};
use serde_json::{Map, Value, json};

const PAIRS: [(&str, &str); 6] = [
    ("翻譯：天氣很好。", "今日天晴。"),
    ("一種可以折疊的雨傘", "折疊式雨傘"),
    ("name a colour", "blue"),
    ("翻譯：我不去。", "吾不往。"),
    ("say hello", "hello"),
    ("一種防水手電筒，附掛繩。", "防水手電筒"),
];

struct Bench {
    model: Model,
    tokenizer: Tokenizer,
    rows: Vec<TestRow>,
}

fn fixture() -> PathBuf {
    luthier_fixtures::model("qwen2-bias-tied")
}

fn bench() -> Bench {
    let tokenizer = Tokenizer::from_dir(fixture()).unwrap();
    let template = Template::of_model(fixture(), &tokenizer).unwrap().unwrap();
    let renderer = Renderer::new(&tokenizer, &template);
    let row = |(at, (question, answer)): (usize, &(&str, &str))| {
        let mut messages = vec![Message::user(*question), Message::assistant(*answer)];
        let example = renderer.render_example(&messages, TrainOn::Answers).unwrap();
        messages.pop();
        let prompt = renderer.render_prompt(&messages).unwrap();
        TestRow {
            source: "data/測試.jsonl".to_owned(),
            line: at + 1,
            prompt: prompt.tokens,
            prompt_text: prompt.text,
            reference: (*answer).to_owned(),
            messages,
            example,
        }
    };
    let rows = PAIRS.iter().enumerate().map(row).collect();
    Bench { model: Model::load(&fixture(), &Device::cpu()).unwrap(), tokenizer, rows }
}

impl Bench {
    fn strategy(&self, name: &str, table: &Value) -> Result<Strategy, EvaluateError> {
        let ends = turn_ends(&self.tokenizer, self.rows.iter().map(|row| &row.example));
        strategy(name, table.as_object().unwrap(), &self.model, &self.tokenizer, 8, &ends)
    }

    fn strategies(&self) -> Vec<Strategy> {
        let tables = [
            ("greedy", json!({})),
            ("beam4", json!({"num_beams": 4, "length_penalty": 0.8})),
            ("warm", json!({"do_sample": true, "temperature": 1.5, "top_k": 0})),
        ];
        tables.iter().map(|(name, table)| self.strategy(name, table).unwrap()).collect()
    }

    fn evaluate(&self, dir: &Path, system: &str, fingerprint: &str, plan: &Plan<'_>) -> Heard {
        let mut heard = Heard::default();
        evaluate_system(dir, system, fingerprint, &self.model, &self.tokenizer, &self.rows, plan, &mut heard).unwrap();
        heard
    }
}

fn metrics(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn plan<'a>(metrics: &'a [String], strategies: &'a [Strategy]) -> Plan<'a> {
    Plan { metrics, systems: &SYSTEMS, strategies, batch: 4, seed: 7, resamples: 200 }
}

/// What a watcher was told.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    made: Vec<String>,
    kept: Vec<String>,
    last_row: usize,
}

impl Watch for Heard {
    fn start(&mut self, _: &str, stage: &str, _: usize) {
        self.made.push(stage.to_owned());
    }

    fn rows(&mut self, done: usize) {
        self.last_row = done;
    }

    fn finish(&mut self, _: &str, stage: &str, kept: bool) {
        if kept {
            self.kept.push(stage.to_owned());
        }
    }
}

/// Every file below a folder with its bytes.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir.join("predictions")).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

#[test]
fn a_run_is_evaluated_scored_and_read_by_the_report() {
    let mut bench = bench();
    let (dir, strategies) = (tempfile::tempdir().unwrap(), bench.strategies());
    let names = metrics(&["exact-match", "rouge-l", "chrf", "bleu", "perplexity"]);
    let plan = plan(&names, &strategies);
    let heard = bench.evaluate(dir.path(), "base", "the base weights", &plan);
    assert_eq!((heard.made, heard.last_row), (metrics(&["perplexity", "greedy", "beam4", "warm"]), 6));

    let alone = score_run(dir.path(), &plan, &bench.rows).unwrap();
    assert!(alone.comparisons.is_empty() && !alone.systems.contains_key("tuned"));
    assert!(alone.perplexity.unwrap().comparison.is_none());

    // A tuned model that differs: every weight of the output norm doubled sharpens its distributions.
    let norm = bench.model.params.find("model.norm.weight").unwrap();
    let param = bench.model.params.get_mut(norm);
    let doubled: Vec<f32> = param.tensor.to_vec().iter().map(|weight| weight * 2.0).collect();
    param.tensor = luthier_engine::Tensor::from_slice(&Device::cpu(), 1, doubled.len(), &doubled);
    bench.evaluate(dir.path(), "tuned", "the tuned weights", &plan);
    let scores = score_run(dir.path(), &plan, &bench.rows).unwrap();

    let run = luthier_report::Run::read(dir.path()).unwrap();
    let read = run.scores.as_ref().unwrap();
    assert_eq!(read.rows, Some(6));
    assert_eq!(read.metrics.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>(), names[..4]);
    assert_eq!(read.strategies.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["greedy", "beam4", "warm"]);
    assert_eq!(
        Value::Object(read.strategies[1].options.clone()),
        json!({"max_new_tokens": 8, "num_beams": 4, "length_penalty": 0.8})
    );
    for (system, table) in [("base", &read.systems.base), ("tuned", &read.systems.tuned)] {
        for strategy in &strategies {
            for metric in &names[..4] {
                let (ours, theirs) =
                    (scores.systems[system][&strategy.name][metric], table.as_ref().unwrap()[&strategy.name][metric]);
                assert_eq!(theirs.value, Some(ours.value));
                assert_eq!(theirs.interval, Some((Some(ours.interval[0]), Some(ours.interval[1]))));
                assert!(ours.interval[0] <= ours.value && ours.value <= ours.interval[1]);
            }
        }
    }
    let (ours, theirs) = (scores.comparisons["warm"]["chrf"], read.comparisons["warm"]["chrf"]);
    assert_eq!((theirs.difference, theirs.p_value), (Some(ours.difference), Some(ours.p_value)));
    assert!(ours.difference != 0.0 && ours.p_value > 0.0 && ours.p_value <= 1.0);
    let both = read.perplexity.unwrap();
    let found = scores.perplexity.unwrap();
    assert_eq!((both.base, both.tuned), (found.base, found.tuned));
    assert!(found.tuned != found.base && found.comparison.is_some());

    let predictions = run.predictions.as_ref().unwrap();
    let shown = &predictions.tuned.as_ref().unwrap()[&3];
    assert_eq!(
        (predictions.strategy.as_str(), shown.line, shown.reference.as_deref()),
        ("greedy", Some(4), Some("吾不往。"))
    );
    assert!(shown.prompt.ends_with("<|im_start|>assistant\n") && shown.metrics["chrf"].is_some());
    let page = luthier_report::render_report(&run, luthier_report::Language::TraditionalChinese).unwrap();
    assert!(page.contains("beam4"));
}

#[test]
fn a_stopped_evaluation_goes_on_with_what_is_missing_and_ends_with_the_same_bytes() {
    let bench = bench();
    let (dir, strategies) = (tempfile::tempdir().unwrap(), bench.strategies());
    let names = metrics(&["exact-match", "chrf", "perplexity"]);
    let plan = plan(&names, &strategies);
    bench.evaluate(dir.path(), "tuned", "weights", &plan);
    let whole = files(dir.path());
    assert_eq!(whole.len(), 5, "{:?}", whole.keys());

    for missing in ["tuned.greedy.jsonl", "tuned.warm.jsonl", "tuned.losses.json"] {
        fs::remove_file(dir.path().join("predictions").join(missing)).unwrap();
        let heard = bench.evaluate(dir.path(), "tuned", "weights", &plan);
        assert_eq!((heard.made.len(), heard.kept.len()), (1, 3), "{missing}");
        assert!(files(dir.path()) == whole, "{missing}");
    }
    fs::write(dir.path().join("predictions/index.json"), "{\"half").unwrap();
    assert_eq!(bench.evaluate(dir.path(), "tuned", "weights", &plan).made.len(), 4);
    assert!(files(dir.path()) == whole);

    // Other metrics are computed from the answers that are there; other weights or another seed make the answers anew.
    let more = metrics(&["exact-match", "chrf", "rouge-l"]);
    let heard = bench.evaluate(dir.path(), "tuned", "weights", &Plan { metrics: &more, ..plan });
    assert_eq!((heard.made.len(), heard.kept.len()), (0, 3));
    let line = String::from_utf8(files(dir.path())["tuned.warm.jsonl"].clone()).unwrap();
    assert!(line.contains("\"rouge-l\""));
    let before = files(dir.path());
    assert_eq!(
        bench.evaluate(dir.path(), "tuned", "weights", &Plan { metrics: &more, seed: 8, ..plan }).made.len(),
        2 + 1
    );
    let after = files(dir.path());
    assert!(after["tuned.warm.jsonl"] != before["tuned.warm.jsonl"]);
    assert!(after["tuned.greedy.jsonl"] == before["tuned.greedy.jsonl"]);
    assert_eq!(bench.evaluate(dir.path(), "tuned", "other weights", &plan).made.len(), 4);
}

#[test]
fn rows_answered_together_are_answered_as_one_by_one() {
    let bench = bench();
    for strategy in bench.strategies() {
        let all = |rows: &[TestRow], batch| {
            predict(&bench.model, &bench.tokenizer, rows, &strategy, batch, 7, &mut |_| {}).unwrap()
        };
        let together = all(&bench.rows, 16);
        assert_eq!(together.len(), 6);
        for (at, row) in bench.rows.iter().enumerate() {
            let mut alone = all(std::slice::from_ref(row), 1).remove(0);
            alone.row = at;
            // Sums of log-probabilities may differ in the last place: products of other shapes add in another order.
            let (a, b) = (together[at].score.unwrap(), alone.score.take().unwrap());
            assert!((a - b).abs() < 1e-4, "{}: {a} {b}", strategy.name);
            let mut among = together[at].clone();
            among.score = None;
            assert_eq!(among, alone, "{}", strategy.name);
        }
        let texts: Vec<String> = all(&bench.rows, 2).into_iter().map(|prediction| prediction.output).collect();
        assert_eq!(texts, together.iter().map(|prediction| prediction.output.clone()).collect::<Vec<_>>());
    }
}

#[test]
fn draws_repeat_with_a_seed_and_differ_with_another() {
    let bench = bench();
    let warm = bench.strategies().remove(2);
    let draw = |strategy: &Strategy, seed| {
        let predictions = predict(&bench.model, &bench.tokenizer, &bench.rows, strategy, 4, seed, &mut |_| {}).unwrap();
        predictions.into_iter().map(|prediction| prediction.tokens).collect::<Vec<_>>()
    };
    assert_eq!(draw(&warm, 1), draw(&warm, 1));
    assert_ne!(draw(&warm, 1), draw(&warm, 2));
    let own = bench.strategy("own", &json!({"do_sample": true, "seed": 1})).unwrap();
    assert_eq!(draw(&own, 5), draw(&own, 6));
}

#[test]
fn outputs_hold_no_special_tokens_and_no_white_space_around() {
    let mut bench = bench();
    // Forced to a line break first and to the end after it: nothing but white space and a special token.
    let newline = bench.tokenizer.encode("\n", false).unwrap();
    let others: Vec<u32> = (0..384).filter(|id| *id != newline[0] && *id != 2).collect();
    let table = json!({"suppress_tokens": others, "max_new_tokens": 3});
    let strategy = bench.strategy("blank", &table).unwrap();
    bench.rows.truncate(2);
    let predictions = predict(&bench.model, &bench.tokenizer, &bench.rows, &strategy, 2, 0, &mut |_| {}).unwrap();
    for prediction in predictions {
        assert_eq!(prediction.output, "", "{prediction:?}");
        assert!(prediction.finish_reason == FinishReason::Stop || prediction.tokens.len() == 3);
    }
}

#[test]
fn losses_are_those_of_each_row_alone_however_they_are_packed() {
    let bench = bench();
    let packed = losses(&bench.model, &bench.rows, 10_000).unwrap();
    for (row, loss) in bench.rows.iter().zip(&packed) {
        let logprobs = bench.model.log_probabilities(&[&row.example.tokens]).unwrap().remove(0);
        let labelled = row.example.labelled[1..].iter().zip(&logprobs).filter(|(labelled, _)| **labelled);
        let expected: f64 = labelled.map(|(_, logprob)| -f64::from(*logprob)).sum();
        assert!((loss.nll - expected).abs() < 1e-4 * expected, "{} not {expected}", loss.nll);
        assert_eq!(loss.tokens, row.example.labelled_tokens());
    }
    for tokens_per_pass in [1, 90] {
        for (a, b) in losses(&bench.model, &bench.rows, tokens_per_pass).unwrap().iter().zip(&packed) {
            assert!((a.nll - b.nll).abs() < 1e-4 && a.tokens == b.tokens);
        }
    }
}

#[test]
fn perplexity_weighs_tokens_and_passes_over_rows_without_labels() {
    let mut bench = bench();
    bench.rows[1].example.labelled.fill(false);
    let (dir, names) = (tempfile::tempdir().unwrap(), metrics(&["perplexity"]));
    let plan = plan(&names, &[]);
    bench.evaluate(dir.path(), "base", "weights", &plan);
    let scores = score_run(dir.path(), &plan, &bench.rows).unwrap();
    let found = losses(&bench.model, &bench.rows, 10_000).unwrap();
    assert_eq!(found[1], RowLoss { nll: 0.0, tokens: 0 });
    let scored: Vec<RowLoss> = found.into_iter().filter(|row| row.tokens > 0).collect();
    let expected = token_perplexity(&scored).unwrap();
    assert!((scores.perplexity.unwrap().base.unwrap() - expected).abs() < 1e-3 * expected);
    assert!(scores.systems.is_empty());
}

#[test]
fn plain_text_has_losses_and_no_answers() {
    let mut bench = bench();
    bench.rows.truncate(1);
    bench.rows[0].prompt.clear();
    let (dir, strategies) = (tempfile::tempdir().unwrap(), bench.strategies());
    let names = metrics(&["chrf", "perplexity"]);
    let plan = plan(&names, &strategies);
    bench.evaluate(dir.path(), "base", "weights", &plan);
    let scores = score_run(dir.path(), &plan, &bench.rows).unwrap();
    assert!(scores.systems.is_empty() && scores.perplexity.is_some());
    assert_eq!(luthier_report::Run::read(dir.path()).unwrap().scores.unwrap().rows, Some(1));
}

#[test]
fn a_strategy_takes_the_models_token_ids_and_not_its_sampling_habits() {
    let bench = bench();
    assert_eq!(bench.model.generation_config.as_ref().unwrap()["do_sample"], true);
    let greedy = bench.strategy("greedy", &json!({})).unwrap();
    assert_eq!((greedy.options.do_sample, greedy.options.repetition_penalty), (None, None));
    assert_eq!(greedy.options.eos_token_id, Some(vec![2, 3]));
    assert_eq!(Value::Object(greedy.shown()), json!({"max_new_tokens": 8}));

    // The end of a turn that the model's files do not know is learnt from the rows; the table's own word is the last one.
    let other = strategy("other", &Map::new(), &bench.model, &bench.tokenizer, 8, &[2, 1]).unwrap();
    assert_eq!(other.options.eos_token_id, Some(vec![2, 3, 1]));
    let own = bench.strategy("own", &json!({"eos_token_id": 9, "max_length": 50})).unwrap();
    assert_eq!((own.options.eos_token_id, own.options.max_new_tokens), (Some(vec![9]), None));
    assert_eq!(turn_ends(&bench.tokenizer, bench.rows.iter().map(|row| &row.example)), [2]);
}

#[test]
fn a_wrong_strategy_is_named_with_its_key() {
    let bench = bench();
    let cases = [
        (json!({"num_beam": 4}), "num_beam", "did you mean `num_beams`?"),
        (json!({"temperature": "warm", "do_sample": true}), "temperature", "cannot be \"warm\""),
        (json!({"temperature": 0.0, "do_sample": true}), "temperature", "above 0"),
        (json!({"temperature": 0.7}), "temperature", "set do_sample"),
        (json!({"num_beams": 2, "num_return_sequences": 3}), "num_return_sequences", "num_beams is only 2"),
        (json!({"max_length": 9, "max_new_tokens": 9}), "max_length", "max_new_tokens is set and wins"),
        (json!({"num_beam_groups": 2}), "num_beam_groups", "does not divide num_beams = 1"),
        (json!({"num_beams": 2, "prompt_lookup_num_tokens": 5}), "prompt_lookup_num_tokens", "contradict each other"),
        (json!({"dola_layers": "low"}), "dola_layers", "not supported yet"),
    ];
    for (table, key, what) in cases {
        let error = bench.strategy("細心", &table).unwrap_err();
        let EvaluateError::Strategy { strategy, key: found, .. } = &error else { panic!("{error}") };
        assert_eq!((strategy.as_str(), found.as_deref()), ("細心", Some(key)));
        let message = error.to_string();
        assert!(message.starts_with("decoding strategy \"細心\": ") && message.contains(what), "{message}");
    }
    for name in ["", "a/b", "..\\x"] {
        assert!(matches!(bench.strategy(name, &json!({})), Err(EvaluateError::StrategyName { .. })));
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_says_where() {
    let mut bench = bench();
    let (dir, strategies) = (tempfile::tempdir().unwrap(), bench.strategies());
    let names = metrics(&["chrf"]);
    let plan = plan(&names, &strategies);
    let message = |bench: &Bench, system: &str, plan: &Plan<'_>| {
        let mut heard = Heard::default();
        evaluate_system(dir.path(), system, "w", &bench.model, &bench.tokenizer, &bench.rows, plan, &mut heard)
            .unwrap_err()
            .to_string()
    };
    assert!(message(&bench, "best", &plan).contains("the systems are base and tuned"));
    let wrong = metrics(&["crhf"]);
    assert!(message(&bench, "base", &Plan { metrics: &wrong, ..plan }).contains("did you mean \"chrf\"?"));

    bench.evaluate(dir.path(), "base", "w", &plan);
    bench.rows[2].reference.push('s');
    let error = score_run(dir.path(), &plan, &bench.rows).unwrap_err();
    assert!(error.to_string().contains("base.greedy.jsonl: holds other rows"), "{error}");
    let path = dir.path().join("predictions/base.greedy.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() - 20]).unwrap();
    let error = score_run(dir.path(), &plan, &bench.rows).unwrap_err();
    assert!(matches!(error, EvaluateError::Broken { line: 6, .. }), "{error}");
    assert!(matches!(score_run(dir.path(), &plan, &[]), Err(EvaluateError::Metric(MetricError::NoRows))));

    bench.rows[4].prompt = vec![5; 256];
    let long = message(&bench, "base", &plan);
    assert!(
        long.contains("data/測試.jsonl, line 5: the prompt has 256 tokens") && long.contains("context of 256"),
        "{long}"
    );
}

#[test]
fn a_fresh_adapter_scores_as_the_base_does() {
    let mut bench = bench();
    let (dir, strategies) = (tempfile::tempdir().unwrap(), bench.strategies());
    let names = metrics(&["exact-match", "chrf", "perplexity"]);
    let plan = plan(&names, &strategies);
    bench.evaluate(dir.path(), "base", "base", &plan);
    let options = LoraOptions::new(2, 4.0, Targets::AllLinear);
    bench.model.attach_lora(&options, 3).unwrap();
    bench.evaluate(dir.path(), "tuned", "base and adapter", &plan);
    let scores = score_run(dir.path(), &plan, &bench.rows).unwrap();
    for table in scores.comparisons.values() {
        assert!(table.values().all(|cell| cell.difference == 0.0 && cell.p_value == 1.0), "{table:?}");
    }
    let perplexity = scores.perplexity.unwrap();
    assert!((perplexity.base.unwrap() / perplexity.tuned.unwrap() - 1.0).abs() < 1e-6);
    assert_eq!(json(&dir.path().join("scores.json"))["resamples"], 200);
}

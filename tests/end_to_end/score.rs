//! `luthier score` gives the log-probabilities of the Python reference.

use luthier_fixtures::{ids, shared};
use serde_json::{Value, json};

use crate::command::{Folder, LLAMA, QWEN, golden, luthier, luthier_reading};

fn close(a: &Value, b: f64) -> bool {
    a.as_f64().is_some_and(|a| (a - b).abs() <= 1e-4 * b.abs().max(1.0))
}

/// The line equals these log-probabilities, and its sums follow from them.
#[track_caller]
fn assert_scored(line: &Value, expected: &[Option<f64>]) {
    let logprobs = line["logprobs"].as_array().unwrap();
    assert_eq!(logprobs.len(), expected.len());
    assert_eq!(line["tokens"].as_array().unwrap().len(), expected.len());
    for (i, (got, expected)) in logprobs.iter().zip(expected).enumerate() {
        match expected {
            Some(expected) => assert!(close(got, *expected), "token {i}: {got}, reference {expected}"),
            None => assert!(got.is_null(), "token {i}: {got}"),
        }
    }
    let sum: f64 = expected.iter().flatten().sum();
    let count = expected.iter().flatten().count();
    assert!(close(&line["sum"], sum));
    if count > 0 {
        let mean = sum / count as f64;
        assert!(close(&line["mean"], mean) && close(&line["perplexity"], (-mean).exp()));
    } else {
        assert!(line["mean"].is_null() && line["perplexity"].is_null());
    }
}

fn logprobs(row: &Value) -> Vec<Option<f64>> {
    row["logprobs"].as_array().unwrap().iter().map(Value::as_f64).collect()
}

#[test]
fn tokens_of_every_fixture_model_have_the_log_probabilities_of_transformers() {
    let folder = Folder::new();
    for name in [
        "llama-mha-untied",
        "llama-gqa-tied-llama3-rope",
        "llama-linear-rope-headdim",
        "qwen2-bias-tied",
        "qwen2-untied-odd",
    ] {
        let model = format!("fixtures/models/{name}");
        let rows = golden(&model)["rows"].as_array().unwrap().clone();
        let lines: String = rows.iter().map(|row| format!("{}\n", json!({"tokens": row["input_ids"]}))).collect();
        let input = folder.write("tokens.jsonl", &lines);
        for batch_tokens in ["1", "30", "4096"] {
            let arguments = ["score", "--model", &model, "--input", &input, "--json", "--batch-tokens", batch_tokens];
            let scored = luthier(&arguments).succeeds().json_lines();
            assert_eq!(scored.len(), rows.len());
            for (line, row) in scored.iter().zip(&rows) {
                assert_eq!(line["tokens"], row["input_ids"]);
                assert_scored(line, &logprobs(row));
            }
        }
    }
}

#[test]
fn a_text_is_tokenised_as_transformers_does_and_begins_without_a_log_probability() {
    for (model, tokenizer) in [(LLAMA, "fixtures/tokenizer-bos"), (QWEN, "fixtures/tokenizer")] {
        let cases = golden(tokenizer)["encode"].as_array().unwrap().clone();
        let cases: Vec<_> =
            cases.iter().filter(|case| !case["ids_without_special"].as_array().unwrap().is_empty()).collect();
        let lines: String = cases.iter().map(|case| format!("{}\n", json!({"text": case["text"]}))).collect();
        let scored =
            luthier_reading(&lines, &["score", "--model", model, "--input", "-", "--json"]).succeeds().json_lines();
        assert_eq!(scored.len(), cases.len());
        for (line, case) in scored.iter().zip(&cases) {
            assert_eq!(line["tokens"], case["ids"], "{}", case["text"]);
            assert!(line["logprobs"][0].is_null());
        }
    }
}

fn score(model: &str, rows: &str) -> Vec<Value> {
    luthier_reading(rows, &["score", "--model", model, "--input", "-", "--json"]).succeeds().json_lines()
}

#[test]
fn only_the_completion_counts_behind_the_prompts_own_tokens() {
    let mut like_the_whole_text = 0;
    for (prompt, completion) in [("天地玄黃，", "宇宙洪荒。"), ("Once upon", " a time"), ("", "宇宙洪荒")]
    {
        for model in [LLAMA, QWEN] {
            let pair = &score(model, &json!({"prompt": prompt, "completion": completion}).to_string())[0];
            let prompt_ids = if prompt.is_empty() {
                ids(&pair["tokens"])[..usize::from(model == LLAMA)].to_vec()
            } else {
                ids(&score(model, &json!({"text": prompt}).to_string())[0]["tokens"])
            };
            assert!(ids(&pair["tokens"]).starts_with(&prompt_ids), "{prompt}");
            let whole = &score(model, &json!({"tokens": pair["tokens"]}).to_string())[0];
            let mut expected = logprobs(whole);
            expected[..prompt_ids.len()].fill(None);
            assert!(expected.iter().flatten().count() > 0);
            assert_scored(pair, &expected);
            let text = &score(model, &json!({"text": format!("{prompt}{completion}")}).to_string())[0];
            like_the_whole_text += usize::from(text["tokens"] == pair["tokens"]);
        }
    }
    // ， and 宇 merge across the boundary of the first pair, so there the two texts keep tokens of their own.
    assert_eq!(like_the_whole_text, 4);
}

#[test]
fn a_chat_counts_the_answer_and_its_end_of_turn_behind_the_template() {
    let rows = concat!(
        "{\"prompt\": \"你好\", \"completion\": \"很好。\"}\n",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"你好\"}, {\"role\": \"assistant\", \"content\": \"很好。\"}]}\n",
    );
    let scored =
        luthier_reading(rows, &["score", "--model", QWEN, "--input", "-", "--chat", "--json"]).succeeds().json_lines();
    assert_eq!(scored[0], scored[1]);
    let counted = |line: &Value| -> Vec<u32> {
        let pairs = ids(&line["tokens"]).into_iter().zip(line["logprobs"].as_array().unwrap());
        pairs.filter(|(_, logprob)| !logprob.is_null()).map(|(id, _)| id).collect()
    };
    let answer = luthier_reading("{\"text\": \"很好。\"}", &["score", "--model", QWEN, "--input", "-", "--json"]);
    let mut expected = ids(&answer.succeeds().json_lines()[0]["tokens"]);
    expected.push(2); // <|im_end|>
    assert_eq!(counted(&scored[0]), expected);
}

#[test]
fn without_json_a_table_names_the_lines_and_ends_with_all() {
    let rows = "{\"text\": \"一二三\"}\n\n{\"text\": \"四五六\"}\n";
    let table = luthier_reading(rows, &["score", "--model", QWEN, "--input", "-"]).succeeds().stdout;
    let first: Vec<&str> = table.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(first, ["row", "1", "3", "all"]);
}

#[test]
fn an_adapter_changes_the_scores() {
    let row = "{\"tokens\": [5, 9, 33, 124, 60, 71]}";
    let adapter = "fixtures/training/qwen2-bias-tied/lora_qv/final";
    let base = luthier_reading(row, &["score", "--model", QWEN, "--input", "-", "--json"]).succeeds().json_lines();
    let tuned = ["score", "--model", QWEN, "--adapter", adapter, "--input", "-", "--json"];
    let tuned = luthier_reading(row, &tuned).succeeds().json_lines();
    assert!((base[0]["sum"].as_f64().unwrap() - tuned[0]["sum"].as_f64().unwrap()).abs() > 1e-3);
}

#[test]
fn wrong_rows_are_named_with_line_and_field_before_anything_is_printed() {
    let good = "{\"text\": \"好\"}\n";
    for (row, parts) in [
        ("{\"text\": 5}", vec!["stdin:2:", "`text` must be text", "the number 5"]),
        ("{\"text\": \"\"}", vec!["stdin:2:", "`text` is empty"]),
        ("{\"prompt\": \"a\"}", vec!["stdin:2:", "`completion` is missing", "`prompt`"]),
        ("{\"prompt\": \"a\", \"completion\": \"\"}", vec!["`completion` is empty"]),
        ("{\"tokens\": [1, 384]}", vec!["stdin:2:", "token 384", "384"]),
        ("{\"tokens\": [1, -1]}", vec!["stdin:2:", "`tokens`", "-1"]),
        ("{\"tokens\": []}", vec!["stdin:2:", "`tokens` is empty"]),
        ("{\"txt\": \"a\"}", vec!["stdin:2:", "`txt`"]),
        ("{\"text\": ", vec!["stdin:2:", "not JSON"]),
        ("7", vec!["stdin:2:", "the number 7"]),
        ("{\"messages\": [{\"role\": \"user\", \"content\": 3}]}", vec!["stdin:2:", "messages[0].content"]),
        ("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}", vec!["stdin:2:", "assistant"]),
    ] {
        let outcome = luthier_reading(&format!("{good}{row}\n"), &["score", "--model", QWEN, "--input", "-", "--json"]);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        outcome.refuses(&parts);
    }
    luthier(&["score", "--model", QWEN, "--input", "no/such.jsonl"]).refuses(&["no/such.jsonl"]);
    luthier_reading("\n", &["score", "--model", QWEN, "--input", "-"]).refuses(&["stdin holds no rows"]);
    luthier_reading(good, &["score", "--model", "no/model", "--input", "-"]).refuses(&["no/model"]);
    let without = "fixtures/models/qwen2-untied-odd";
    luthier_reading(good, &["score", "--model", without, "--input", "-"]).refuses(&[without, "no tokenizer", "tokens"]);
}

#[test]
fn stories260k_gives_the_reference_log_probabilities() {
    let Some(root) = shared("models/stories260K") else { return };
    let golden = luthier_fixtures::json(&root.join("golden/hf_generate.json"));
    let nll = &golden["nll"];
    let model = root.join("hf").display().to_string();
    let line = &score(&model, &json!({"text": nll["text"]}).to_string())[0];
    assert_eq!(line["tokens"], nll["ids"]);
    let expected = luthier_fixtures::numbers(&nll["token_logprobs"]);
    assert_eq!(line["logprobs"].as_array().unwrap().len(), expected.len() + 1);
    for (i, expected) in expected.iter().enumerate() {
        let got = line["logprobs"][i + 1].as_f64().unwrap();
        assert!((got - expected).abs() < 1e-4, "token {}: {got}, reference {expected}", i + 1);
    }
    assert!((line["perplexity"].as_f64().unwrap() - nll["ppl"].as_f64().unwrap()).abs() < 1e-4);
    println!("{} log-probabilities of stories260K equal", expected.len());
}

//! The 128 cases that transformers 4.46.3 generated with stories260K, its warpers on real logits, and transformers 4.35.2's beams.

#![allow(clippy::print_stdout, reason = "says how many cases it ran")]

use luthier_engine::Device;
use luthier_fixtures::{ids, json, numbers, shared_for};
use luthier_generate::{BeamLength, Chain, GenerationOptions, Generator, Resolved, softmax, warper};
use luthier_model::{Model, Session};
use serde_json::{Map, Value};

/// Runs a check over the golden file, where it is.
fn with_golden(name: &str, what: &str, check: impl Fn(&Value, &Model)) {
    let Some(folder) = shared_for("models/stories260K", what) else { return };
    let model = Model::load(&folder.join("hf"), &Device::cpu()).unwrap();
    check(&json(&folder.join("golden").join(name)), &model);
}

fn rows(value: &Value) -> Vec<Vec<u32>> {
    value.as_array().unwrap().iter().map(ids).collect()
}

/// The arguments as a user's options over the model's `generation_config.json`. Python's None switches off; an empty list does so here.
fn options(args: &Map<String, Value>) -> GenerationOptions {
    let config = r#"{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}"#;
    let config = GenerationOptions::from_generation_config(config).unwrap();
    let off = |value: &Value| if value.is_null() { Value::Array(vec![]) } else { value.clone() };
    let table = args.iter().map(|(key, value)| (key.clone(), off(value))).collect();
    let user = GenerationOptions::from_table(&table).unwrap();
    GenerationOptions::merge(&user, &config, &GenerationOptions::default())
}

struct Run {
    sequences: Vec<Vec<u32>>,
    scores: Vec<f64>,
}

fn run(session: &mut Session<'_>, prompt: &[u32], resolved: &Resolved) -> Run {
    let completions = Generator::new(resolved).generate(session, &[prompt.to_vec()]).unwrap();
    Run {
        sequences: completions[0].sequences(resolved),
        scores: completions[0].outputs.iter().map(|output| output.score).collect(),
    }
}

/// Whether both lists hold the same numbers within 1e-4; true where the reference has none. `scale` is what the score multiplies the sum
/// of log-probabilities by: a length penalty of -1 multiplies it, and its rounding, by the length.
fn close(expected: &Value, got: &[f64], scale: f64) -> bool {
    let Some(expected) = expected.as_array() else { return true };
    let near = |(a, b): (&Value, &f64)| (a.as_f64().unwrap() - b).abs() <= 1e-4 * scale;
    expected.len() == got.len() && expected.iter().zip(got).all(near)
}

fn all_cases(golden: &Value, model: &Model) {
    let prompts = rows(&golden["prompt_ids"]);
    let (mut equal, mut wrong) = (0, Vec::new());
    let mut session = Session::new(model);
    for case in golden["generate"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let options = options(case["args"].as_object().unwrap());
        let prompt = &prompts[case["prompt"].as_u64().unwrap() as usize];
        let got = run(&mut session, prompt, &options.resolve().unwrap());
        if got.sequences == rows(&case["sequences"]) && close(&case["sequences_scores"], &got.scores, 1.0) {
            equal += 1;
        } else {
            wrong.push(format!("{name} on prompt {}: {:?} {:?}", case["prompt"], got.sequences, got.scores));
        }
    }
    println!("{equal} cases equal, 0 skipped");
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(equal, 128);
}

#[test]
fn every_case_gives_the_tokens_and_scores_of_transformers() {
    with_golden("hf_generate.json", "128 generate cases of stories260K", all_cases);
}

#[test]
fn prompts_of_different_lengths_in_one_batch_give_what_left_padding_gives() {
    with_golden("hf_generate.json", "batched generation of stories260K", |golden, model| {
        for name in ["batched_left_pad_greedy", "batched_left_pad_beam4"] {
            let case = &golden[name];
            let masks = rows(&case["attention_mask"]);
            let skip_padding =
                |row: &[u32], mask: &[u32]| -> Vec<u32> { row[mask.iter().position(|&m| m == 1).unwrap()..].to_vec() };
            let prompts: Vec<Vec<u32>> =
                rows(&case["input_ids"]).iter().zip(&masks).map(|(row, mask)| skip_padding(row, mask)).collect();
            let resolved = options(case["args"].as_object().unwrap()).resolve().unwrap();
            let completions = Generator::new(&resolved).generate(&mut Session::new(model), &prompts).unwrap();
            for ((completion, expected), mask) in completions.iter().zip(rows(&case["sequences"])).zip(&masks) {
                let expected = skip_padding(&expected, mask);
                let mut got = completion.sequences(&resolved).remove(0);
                got.resize(expected.len(), 0);
                assert_eq!(got, expected, "{name}");
            }
        }
    });
}

#[test]
fn the_total_length_rule_gives_the_best_hypotheses_of_transformers_4_35() {
    with_golden("hf_generate.json", "beams of transformers 4.35", |golden, model| {
        with_golden("hf_generate_4.35.2.json", "beams of transformers 4.35", |old, _| {
            let prompts = rows(&golden["prompt_ids"]);
            let mut session = Session::new(model);
            let (mut cases, mut lists, mut new_rule_differs, mut wrong) = (0, 0, 0, Vec::new());
            for case in golden["generate"].as_array().unwrap() {
                let mut options = options(case["args"].as_object().unwrap());
                if options.num_beams.is_none() {
                    continue;
                }
                options.beam_length = Some(BeamLength::Total);
                let key = format!("{}#{}", case["name"].as_str().unwrap(), case["prompt"]);
                let expected = &old["cases"][&key];
                let prompt = &prompts[case["prompt"].as_u64().unwrap() as usize];
                let got = run(&mut session, prompt, &options.resolve().unwrap());
                let trim = |row: &[u32]| row.iter().rposition(|&id| id != 0).map_or(0, |end| end + 1);
                let best = rows(&expected["sequences"]).remove(0);
                if best[..trim(&best)] != got.sequences[0][..trim(&got.sequences[0])] {
                    wrong.push(key);
                }
                cases += 1;
                let scale = if options.length_penalty == Some(-1.0) { got.sequences[0].len() as f64 } else { 1.0 };
                lists += usize::from(
                    rows(&expected["sequences"]) == got.sequences
                        && close(&expected["sequences_scores"], &got.scores, scale),
                );
                new_rule_differs += usize::from(rows(&case["sequences"])[0] != got.sequences[0]);
            }
            println!(
                "{cases} beam cases; whole lists and scores equal: {lists}; best unlike the newer rule: {new_rule_differs}"
            );
            assert!(wrong.is_empty(), "best hypotheses differ: {wrong:?}");
            assert_eq!(lists, cases);
            assert!(new_rule_differs >= 8, "the cases must tell the two rules apart");
        });
    });
}

#[test]
fn transformers_4_57_differs_in_eight_lists_of_beams_and_one_best_hypothesis() {
    with_golden("hf_generate.json", "beams of transformers 4.57", |golden, model| {
        with_golden("hf_generate_4.57.1.json", "beams of transformers 4.57", |newer, _| {
            let prompts = rows(&golden["prompt_ids"]);
            let mut session = Session::new(model);
            let (mut cases, mut lists, mut best) = (0, Vec::new(), Vec::new());
            for case in golden["generate"].as_array().unwrap() {
                let key = format!("{}#{}", case["name"].as_str().unwrap(), case["prompt"]);
                let Some(expected) = newer["cases"].get(&key) else { continue };
                let resolved = options(case["args"].as_object().unwrap()).resolve().unwrap();
                let got = run(&mut session, &prompts[case["prompt"].as_u64().unwrap() as usize], &resolved);
                // Padding of 0 is written as an end of sequence there.
                let fills = |id: &u32| *id == 0 || resolved.eos_token_id.contains(id);
                let trim =
                    |row: &Vec<u32>| row[..row.iter().rposition(|id| !fills(id)).map_or(0, |end| end + 1)].to_vec();
                let [got, expected] =
                    [got.sequences, rows(&expected["sequences"])].map(|rows| rows.iter().map(trim).collect());
                let (got, expected): (Vec<_>, Vec<_>) = (got, expected);
                if got != expected {
                    best.extend((got[0] != expected[0]).then(|| key.clone()));
                    lists.push(key);
                }
                cases += 1;
            }
            println!("{cases} cases, {} lists and {} best hypotheses differ", lists.len(), best.len());
            assert_eq!((cases, lists.len(), best.len()), (120, 8, 1), "{lists:?}");
            assert!(lists.iter().all(|key| key.contains("_esFalse_")), "{lists:?}");
        });
    });
}

/// The stages of a named pipeline on one row of logits.
fn warp(pipeline: &str, args: &Map<String, Value>, scores: &mut [f32]) {
    let number = |key: &str| args[key].as_f64().unwrap();
    if pipeline == "top_p_min2" || args.get("top_p").is_some_and(|p| p.as_f64() == Some(0.0)) {
        let keep = args.get("min_tokens_to_keep").map_or(1, |keep| keep.as_u64().unwrap() as usize);
        return warper::top_p(scores, number("top_p"), keep);
    }
    let mut options = GenerationOptions::from_table(args).unwrap();
    options.do_sample = Some(true);
    options.top_k = options.top_k.or(Some(0));
    let resolved = options.resolve().unwrap();
    Chain::new(&resolved, &resolved.limits(0, 1, 512).unwrap()).apply(&[], scores);
}

#[test]
fn warpers_keep_the_tokens_and_give_the_probabilities_of_transformers() {
    with_golden("hf_generate.json", "warpers on logits of stories260K", |golden, _| {
        let mut checked = 0;
        for pipeline in golden["warpers_on_forward_last_logits_rows_0_1_2"].as_array().unwrap() {
            let name = pipeline["pipeline"].as_str().unwrap();
            for row in pipeline["rows"].as_array().unwrap() {
                let logits = &golden["forward_last_logits"][row["row"].as_u64().unwrap() as usize]["last_logits"];
                let mut scores: Vec<f32> = numbers(logits).into_iter().map(|logit| logit as f32).collect();
                warp(name, pipeline["args"].as_object().unwrap(), &mut scores);
                let kept: Vec<u32> = (0..512).filter(|&id| scores[id as usize] > f32::NEG_INFINITY).collect();
                match row["kept"].as_u64() {
                    Some(count) => assert_eq!(kept.len() as u64, count, "{name}"),
                    None => assert_eq!(kept, ids(&row["kept"]), "{name} {}", pipeline["args"]),
                }
                softmax::log_softmax(&mut scores);
                for pair in row["top_probs"].as_array().unwrap() {
                    let (id, p) = (pair[0].as_u64().unwrap() as usize, pair[1].as_f64().unwrap());
                    assert!((f64::from(scores[id].exp()) - p).abs() < 2e-6, "{name}: token {id}");
                }
                checked += 1;
            }
        }
        println!("{checked} warped rows equal");
        assert!(checked >= 54);
    });
}

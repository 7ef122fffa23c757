//! The project's decoder under every search: tokens and scores of transformers on the repository's fixtures, and on the
//! tiny random models beside it.

#![allow(clippy::print_stdout, reason = "says how many cases it ran")]

use std::path::Path;

use luthier_engine::Device;
use luthier_fixtures::{ids, json, shared_for};
use luthier_generate::{Chain, Feed, FinishReason, GenerationOptions, Generator, Resolved, StepModel, softmax};
use luthier_model::{Model, Session};
use serde_json::{Map, Value};

const FIXTURES: [&str; 5] = [
    "llama-mha-untied",
    "llama-gqa-tied-llama3-rope",
    "llama-linear-rope-headdim",
    "qwen2-bias-tied",
    "qwen2-untied-odd",
];

fn golden(folder: &Path) -> Value {
    json(&folder.join("golden.json"))
}

fn rows(value: &Value) -> Vec<Vec<u32>> {
    value.as_array().unwrap().iter().map(ids).collect()
}

fn resolve(args: &Map<String, Value>) -> Resolved {
    GenerationOptions::from_table(args).unwrap().resolve().unwrap()
}

/// New tokens, score where the reference has one, and why it ends, as the golden files write them.
fn differs(case: &Value, outputs: &[luthier_generate::Output]) -> Option<String> {
    let expected = case["outputs"].as_array().unwrap();
    let same = expected.len() == outputs.len()
        && expected.iter().zip(outputs).all(|(expected, output)| {
            let reason = if output.finish_reason == FinishReason::Stop { "stop" } else { "length" };
            ids(&expected["tokens"]) == output.tokens_with_eos()
                && expected["finish_reason"] == reason
                && expected["score"].as_f64().is_none_or(|score| (score - output.score).abs() <= 1e-4)
        });
    (!same)
        .then(|| format!("{} on {} tokens: {outputs:?}\n  not {expected:?}", case["args"], ids(&case["prompt"]).len()))
}

#[test]
fn every_golden_case_of_the_fixtures_comes_out_alone_and_among_others() {
    let (mut run, mut beams, mut wrong) = (0, 0, Vec::new());
    for name in FIXTURES {
        let model = Model::load(&luthier_fixtures::model(name), &Device::cpu()).unwrap();
        let golden = golden(&luthier_fixtures::model(name));
        let cases = golden["generate"].as_array().unwrap();
        let prompts: Vec<Vec<u32>> =
            golden["rows"].as_array().unwrap().iter().map(|row| ids(&row["input_ids"])).collect();
        for case in cases {
            let resolved = resolve(case["args"].as_object().unwrap());
            let prompt = ids(&case["prompt"]);
            let mut session = Session::new(&model);
            let alone = Generator::new(&resolved).generate(&mut session, std::slice::from_ref(&prompt)).unwrap();
            wrong.extend(differs(case, &alone[0].outputs).map(|why| format!("{name}: {why}")));
            run += 1;
            beams += usize::from(resolved.num_beams > 1);

            // A limit on the whole length would not leave the longer prompts any room.
            if case["args"].get("max_length").is_none() {
                let together = Generator::new(&resolved).generate(&mut session, &prompts).unwrap();
                let own = &together[prompts.iter().position(|other| *other == prompt).unwrap()];
                wrong.extend(differs(case, &own.outputs).map(|why| format!("{name}, in a batch: {why}")));
            }
        }
    }
    println!("{run} generate cases of the fixtures ({beams} with beams), 0 skipped, {} differ", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((run, beams), (135, 75));
}

#[test]
fn warpers_on_the_decoders_own_logits_keep_what_transformers_keeps() {
    let mut checked = 0;
    for name in FIXTURES {
        let model = Model::load(&luthier_fixtures::model(name), &Device::cpu()).unwrap();
        let golden = golden(&luthier_fixtures::model(name));
        let row = ids(&golden["rows"][golden["warpers_row"].as_u64().unwrap() as usize]["input_ids"]);
        let mut session = Session::new(&model);
        let sequence = StepModel::start(&mut session);
        let logits = StepModel::step(&mut session, &[Feed { sequence, tokens: &row }]).unwrap();
        for case in golden["warpers"].as_array().unwrap() {
            let mut options = GenerationOptions::from_table(case["args"].as_object().unwrap()).unwrap();
            (options.do_sample, options.top_k) = (Some(true), options.top_k.or(Some(0)));
            let resolved = options.resolve().unwrap();
            let mut scores = logits.clone();
            Chain::new(&resolved, &resolved.limits(0, 1, 512).unwrap()).apply(&[], &mut scores);
            let kept: Vec<u32> =
                (0..scores.len() as u32).filter(|&id| scores[id as usize] > f32::NEG_INFINITY).collect();
            assert_eq!(kept, ids(&case["kept"]), "{name} {}", case["args"]);
            softmax::log_softmax(&mut scores);
            for (id, p) in kept.iter().zip(case["probabilities"].as_array().unwrap()) {
                let got = f64::from(scores[*id as usize].exp());
                assert!((got - p.as_f64().unwrap()).abs() < 1e-5, "{name} {}: token {id}: {got} not {p}", case["args"]);
            }
            checked += 1;
        }
    }
    println!("{checked} warped rows of the fixtures");
    assert_eq!(checked, 40);
}

#[test]
fn the_tiny_random_models_continue_a_padded_batch_and_search_as_transformers_does() {
    let Some(root) = shared_for("models/tiny-random", "generation of three tiny random models") else { return };
    let (mut greedy, mut searches) = (0, 0);
    for name in ["llama", "llama3-rope-scaled-gqa", "qwen2"] {
        let folder = root.join(name);
        let (model, golden) = (Model::load(&folder, &Device::cpu()).unwrap(), golden(&folder));
        let merged = |table: Value| {
            let user = GenerationOptions::from_table(table.as_object().unwrap()).unwrap();
            let config = std::fs::read_to_string(folder.join("generation_config.json")).unwrap();
            let config = GenerationOptions::from_generation_config(&config).unwrap();
            GenerationOptions::merge(&user, &config, &GenerationOptions::default()).resolve().unwrap()
        };

        let masks = rows(&golden["attention_mask_left_pad"]);
        let start = |row: usize| masks[row].iter().position(|&seen| seen == 1).unwrap();
        let padded = rows(&golden["input_ids"]);
        let prompts: Vec<Vec<u32>> = padded.iter().enumerate().map(|(i, row)| row[start(i)..].to_vec()).collect();
        let resolved = merged(serde_json::json!({"max_new_tokens": 12}));
        let completions = Generator::new(&resolved).generate(&mut Session::new(&model), &prompts).unwrap();
        for (i, expected) in rows(&golden["greedy_12_left_padded"]).iter().enumerate() {
            let mut got = completions[i].sequences(&resolved).remove(0);
            got.resize(expected.len() - start(i), 0);
            assert_eq!(got, expected[start(i)..], "{name}, row {i}");
            greedy += 1;
        }

        let resolved = merged(serde_json::json!({"max_new_tokens": 10, "num_beams": 3, "num_return_sequences": 3}));
        let completions = Generator::new(&resolved).generate(&mut Session::new(&model), &prompts[..1]).unwrap();
        let expected = &golden["beam3_10_row0"];
        assert_eq!(completions[0].sequences(&resolved), rows(&expected["sequences"]), "{name}");
        for (output, score) in completions[0].outputs.iter().zip(expected["scores"].as_array().unwrap()) {
            assert!((output.score - score.as_f64().unwrap()).abs() < 1e-4, "{name}: {} not {score}", output.score);
        }
        searches += 1;
    }
    println!("{greedy} greedy rows and {searches} beam searches of the tiny random models");
}

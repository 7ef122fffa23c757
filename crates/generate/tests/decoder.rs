//! The project's decoder under every search: tokens and scores of transformers on the models with whole goldens. Greedy and
//! beam search of every shape of every family are in `families.rs`.

#![allow(clippy::print_stdout, reason = "says how many cases it ran")]

use std::path::Path;

use luthier_engine::Device;
use luthier_fixtures::{ids, json};
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
